"""The picture of the targets shows the numbers of `predict`."""

import numpy as np
import pytest

import multilevel as ml


def test_intervals_are_those_of_predict() -> None:
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    ax = ml.plot.targets(fit).axes[0]
    thick = [c.get_segments()[0][:, 0] for c in ax.collections[:4]]
    known = fit.predict({"school": ["S14", "S07"]})
    new = fit.predict({"school": ["x"]}, target="new_group")
    centre = fit.predict({"school": ["x"]}, target="marginal")
    expected = [*known[["lower", "upper"]].to_numpy(), *new[["lower", "upper"]].to_numpy()]
    expected += [*centre[["lower", "upper"]].to_numpy()]
    np.testing.assert_allclose(thick, expected)
    response = fit.predict({"school": ["x"]}, target="new_group", kind="response")
    np.testing.assert_allclose(ax.collections[4].get_segments()[2][:, 0], response[["lower", "upper"]].to_numpy()[0])


def test_hostile_labels_and_weights() -> None:
    rng = np.random.default_rng(0)
    labels = np.array(["$x^2", "<b>", "a" * 300, "\n", "e"])[np.repeat(np.arange(5), 20)]
    data = {"y": rng.normal(size=100) + np.repeat(rng.normal(size=5) * 3, 20), "g": labels, "w": np.full(100, 2.0)}
    fit = ml.fit("y ~ 1 + (1 | g)", data, weights="w")
    figure = ml.plot.targets(fit)
    figure.canvas.draw()
    assert all(len(t.get_text()) < 80 for t in figure.axes[0].get_yticklabels())
    with pytest.raises(ml.errors.SettingError, match="nobody"):
        ml.plot.targets(fit, "nobody")
