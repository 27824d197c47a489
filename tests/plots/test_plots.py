"""Plots hold the numbers of the fit; nothing is drawn but where labels could make drawing fail."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.plots.shrinkage import compare
from multilevel.registry import members


@pytest.fixture(scope="module")
def schools():
    return ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))


@pytest.fixture(scope="module")
def classes():
    return ml.fit("score ~ ses + funding + (ses | school) + (1 | classroom)", ml.datasets.load("classes"))


def many(levels: int, names=str, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    code = np.repeat(np.arange(levels), rng.integers(2, 9, levels))
    y = rng.normal(0, 1, levels)[code] + rng.normal(0, 1, len(code))
    return pd.DataFrame({"g": [names(c) for c in code], "y": y})


def drawn(figure) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=40)
    return out.getvalue()


# --- the folder --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", members("plots"))
def test_every_plot_returns_a_figure_that_can_be_written(schools, classes, name):
    for fit in (schools, classes):
        figure = getattr(ml.plot, name)(fit)
        assert type(figure).__name__ == "Figure"
        assert drawn(figure)[:4] == b"\x89PNG"


@pytest.mark.parametrize("name", members("plots"))
def test_every_plot_refuses_a_model_without_groups(name):
    fit = ml.fit("score ~ 1", ml.datasets.load("schools"))
    with pytest.raises(SettingError, match="no grouping factor"):
        getattr(ml.plot, name)(fit)
    with pytest.raises(SettingError, match='did you mean "school"'):
        getattr(ml.plot, name)(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), "schol")


def test_the_folder_lists_its_plots_and_refuses_others():
    assert dir(ml.plot) == sorted(members("plots"))
    assert set(members("plots")) == {"caterpillar", "shrinkage"}
    with pytest.raises(AttributeError, match="no plot 'forrest'"):
        _ = ml.plot.forrest


def test_importing_a_plots_module_does_not_hide_the_plot():
    import multilevel.plots.shrinkage  # noqa: F401

    assert callable(ml.plot.shrinkage)


def test_no_global_state_and_no_pyplot():
    code = "import sys, multilevel as ml\nfit = ml.fit('score ~ 1 + (1 | school)', ml.datasets.load('schools'))\n"
    code += "ml.plot.shrinkage(fit)\nsys.exit('matplotlib.pyplot' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": str(Path(ml.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", code], env=environment, timeout=120).returncode == 0


# --- shrinkage ---------------------------------------------------------------------------------------------------
def test_no_pooling_estimates_are_group_means(schools):
    pooling = compare(schools)
    means = ml.datasets.load("schools").groupby("school")["score"].mean()
    np.testing.assert_allclose(pooling.own, means[pooling.levels], rtol=1e-12)
    assert np.all(np.diff(pooling.own) >= 0)


def test_intercepts_move_by_the_shrinkage_factor(schools):
    pooling, weight = compare(schools), schools.shrinkage()["lambda"][0]
    np.testing.assert_allclose(pooling.pooled - pooling.centre, weight * (pooling.own - pooling.centre), rtol=1e-9)


def test_a_second_factor_is_held_at_its_estimates(classes):
    pooling = compare(classes, "classroom")
    variance = pooling.n * classes.estimates.covariances[1][0, 0]
    weight = variance / (variance + classes.sigma**2)
    np.testing.assert_allclose(pooling.pooled - pooling.centre, weight * (pooling.own - pooling.centre), atol=1e-7)


def test_slopes_are_each_groups_own_regression():
    data = ml.datasets.load("classes")
    fit = ml.fit("score ~ ses + (ses | school)", data)
    pooling = compare(fit, term="ses")
    own = {s: np.polyfit(d["ses"], d["score"], 1)[0] for s, d in data.groupby("school")}
    np.testing.assert_allclose(pooling.own, [own[s] for s in pooling.levels], rtol=1e-8)
    assert pooling.centre == fit.coefficients["ses"]


@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
def test_levels_with_too_few_rows_are_left_out_and_counted():
    data = many(12)
    data["x"] = np.linspace(-1, 1, len(data))
    data = pd.concat([data, pd.DataFrame({"g": ["lone"], "y": [0.3], "x": [0.2]})])
    pooling = compare(ml.fit("y ~ x + (x | g)", data), term="x")
    assert "lone" not in pooling.levels
    assert pooling.left_out == 1


def test_the_points_drawn_are_the_estimates(schools):
    pooling, ax = compare(schools), ml.plot.shrinkage(schools).axes[0]
    own, pooled = ax.collections[1], ax.collections[2]
    np.testing.assert_allclose(own.get_offsets()[:, 0], pooling.own)
    np.testing.assert_allclose(pooled.get_offsets()[:, 0], pooling.pooled)
    assert [t.get_text() for t in ax.get_yticklabels()] == pooling.levels
    assert len(ax.texts) == 3  # the levels that move most


def test_areas_grow_with_rows(classes):
    pooling, ax = compare(classes, "classroom"), ml.plot.shrinkage(classes, "classroom").axes[0]
    sizes = ax.collections[1].get_sizes()
    assert sizes[np.argmax(pooling.n)] == sizes.max()
    assert sizes.max() > 2 * sizes.min()


def test_names_give_way_when_there_are_too_many():
    ax = ml.plot.shrinkage(ml.fit("y ~ 1 + (1 | g)", many(150))).axes[0]
    assert ax.get_yticklabels() == []
    assert ax.get_ylabel() == "150 levels of g"
    assert ax.get_figure().get_size_inches()[1] < 10


def test_an_unknown_term_is_refused(classes):
    with pytest.raises(SettingError, match="does not vary"):
        ml.plot.shrinkage(classes, "school", "funding")


@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("label", ["$\\foo$", "a$b", "<b>", "\x1b[31m", "x" * 5000, "{}%s", "\u202eabc", "naïve Ω"])
def test_labels_are_never_markup(label):
    data = many(8, lambda c: f"{label}{c}")
    fit = ml.fit("y ~ 1 + (1 | g)", data)
    for name in members("plots"):
        assert drawn(getattr(ml.plot, name)(fit))


@pytest.mark.filterwarnings("ignore::multilevel.errors.SingularFitWarning")
def test_a_singular_fit_is_drawn():
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0, 4.0, 5.5, 6.5] * 4, "g": np.repeat(list("abcd"), 6)})
    fit = ml.fit("y ~ 1 + (1 | g)", data)
    assert fit.singular
    for name in members("plots"):
        assert drawn(getattr(ml.plot, name)(fit))


# --- caterpillar -------------------------------------------------------------------------------------------------
def test_caterpillar_shows_effects_and_intervals_in_order(schools):
    ax = ml.plot.caterpillar(schools, level=0.8).axes[0]
    table = schools.group_effects("school").sort_values("estimate", kind="stable")
    assert [t.get_text() for t in ax.get_yticklabels()] == table["level"].tolist()
    half = 1.2815515655446004 * table["std_error"].to_numpy()
    ends = np.concatenate([s for c in ax.collections[::2] for s in c.get_segments()])
    expected = np.concatenate([table["estimate"] - half, table["estimate"] + half])
    np.testing.assert_allclose(np.sort(ends[:, 0]), np.sort(expected), rtol=1e-9)


def test_caterpillar_has_a_panel_for_each_coefficient(classes):
    titles = [ax.get_title(loc="left") for ax in ml.plot.caterpillar(classes, "school").axes]
    assert titles == ["Intercept by school", "ses by school"]
