"""Data simulated from the priors: moments that are known, units, refusals, and the picture."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import SettingError

RNG = np.random.default_rng(0)
N = 90
DATA = {
    "y": RNG.normal(size=N),
    "count": RNG.poisson(2.0, N).astype(float),
    "mark": RNG.integers(1, 4, N),
    "k": RNG.integers(0, 5, N).astype(float),
    "n": np.full(N, 5.0),
    "x": RNG.normal(size=N),
    "g": [f"g{i % 9}" for i in range(N)],
}


def test_moments_of_a_linear_model() -> None:
    """β ~ N(10, 2²), slope N(0, 1), τ = 3 and σ = 4 nearly known: E y = 10, Var ȳ = 4 + x̄² + 9/9 + 16/90."""
    priors = {
        "beta[Intercept]": "normal(10, 2)", "beta[x]": "normal(0, 1)", "sd": "normal(3, 0.001)",
        "sigma": "normal(4, 0.001)",
    }  # fmt: skip
    found = ml.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA, priors=priors), draws=4000, seed=1)
    assert found.y.shape == (4000, N)
    means = found.y.mean(axis=1)
    variance = 4.0 + DATA["x"].mean() ** 2 + 1.0 + 16.0 / N
    assert means.mean() == pytest.approx(10.0, abs=4.0 * np.sqrt(variance / 4000))
    assert means.var() == pytest.approx(variance, rel=0.1)
    assert found.y.var(axis=0).mean() == pytest.approx(4.0 + np.mean(DATA["x"] ** 2) + 9.0 + 16.0, rel=0.05)
    assert found.parameters["sd[g, Intercept]"].mean() == pytest.approx(3.0, abs=0.01)


def test_centred_intercepts_move_with_the_slopes() -> None:
    """The prior is on the value at the mean of x: there the draws vary by it alone."""
    data = {**DATA, "x": 100.0 + DATA["x"]}
    model = ml.Model("y ~ x + (1 | g)", data, priors={"Intercept": "normal(5, 0.01)", "beta": "normal(0, 50)"})
    found = ml.prior_predictive(model, draws=400)
    at_mean = found.parameters["Intercept"] + found.parameters["beta[x]"] * np.mean(data["x"])
    np.testing.assert_allclose(at_mean, 5.0, atol=0.05)


@pytest.mark.parametrize(
    ("formula", "family", "names"),
    [
        ("count ~ x + (x | g)", "poisson", {"mean", "sd", "min", "max", "zeros"}),
        ("count ~ x + (1 | g); zi ~ x", "zero_inflated_negative_binomial", {"mean", "zeros"}),
        ("k | trials(n) ~ x + (1 | g)", "binomial", {"mean", "sd"}),
        ("mark ~ x + (1 | g)", "cumulative", {"share[1]", "share[2]", "share[3]"}),
        ("mark ~ x + (1 | g)", "categorical", {"share[1]", "share[3]"}),
        ("y ~ x + cs(x | g); sigma ~ x", "gaussian", {"mean", "sd"}),
    ],
)
def test_families(formula: str, family: str, names: set[str]) -> None:
    model = ml.Model(formula, DATA, family=family)
    found = ml.prior_predictive(model, draws=60)
    assert names <= set(found.statistics)
    assert np.isfinite(found.y).all()
    if family == "binomial":
        assert found.y.max() <= 1.0
    if family == "cumulative":
        assert (found.parameters["Intercept[1]"] <= found.parameters["Intercept[2]"]).all()
        shares = sum(found.statistics[f"share[{k}]"][0] for k in (1, 2, 3))
        np.testing.assert_allclose(shares, 1.0)
    observed = {name: value for name, (_, value) in found.statistics.items()}
    if "mean" in observed:
        assert observed["mean"] == pytest.approx(model.design.response.mean())


def test_known_standard_errors_are_kept() -> None:
    model = ml.Model(
        "y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools"),
        priors={"Intercept": "normal(0, 0.001)", "sd": "exponential(1000)"},
    )  # fmt: skip
    found = ml.prior_predictive(model, draws=3000)
    np.testing.assert_allclose(found.y.std(axis=0), model.design.known_se, rtol=0.08)
    assert "sigma" not in found.parameters


def test_priors_beyond_any_number_are_said() -> None:
    wide = ml.Model("count ~ x + (1 | g)", DATA, family="poisson", priors={"beta": "normal(0, 1000)"})
    found = ml.prior_predictive(wide, draws=50)
    assert found.clipped > 0.5
    assert "tighter priors" in found.summary()
    assert "too wide" in ml.plot.prior_predictive(found).texts[0].get_text()


def test_table_and_summary() -> None:
    found = ml.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA), draws=100)
    table = found.table
    assert list(table.columns) == [
        "quantity", "parameter", "observed", "lower", "quarter", "median", "three_quarters", "upper",
    ]  # fmt: skip
    assert (table["lower"] <= table["upper"]).all()
    assert "sigma" in str(found)
    again = ml.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA), draws=100)
    np.testing.assert_array_equal(found.y, again.y)


def test_flat_priors_and_bad_settings_are_refused() -> None:
    with pytest.raises(SettingError) as caught:
        ml.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA, priors="brms"))
    assert caught.value.code == "E_PRIOR_IMPROPER"
    assert "beta[x]" in str(caught.value)
    with pytest.raises(SettingError, match="draws"):
        ml.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA), draws=1)


def test_plot_marks_what_the_prior_misses() -> None:
    model = ml.Model("y ~ x + (1 | g)", DATA, priors={"Intercept": "normal(50, 1)"})
    figure = ml.plot.prior_predictive(model, draws=100)
    assert "hardly reach" in figure.texts[0].get_text()
    assert "mean" in figure.texts[0].get_text()
    healthy = ml.plot.prior_predictive(ml.Model("y ~ x + (1 | g)", DATA), draws=300)
    assert "among what" in healthy.texts[0].get_text()
