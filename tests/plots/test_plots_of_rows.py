"""Fitted lines, residuals, quantiles, autocorrelation, influence, predictive checks: planted faults show."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.plots.fitted import fitted_lines
from multilevel.plots.qq import simulated_effects


# --- fitted lines ------------------------------------------------------------------------------------------------
def test_lines_are_coefficients_and_effects(words):
    fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    lines = fitted_lines(fit)
    b, effects = fit.coefficients, fit.estimates.effects[0]
    expected = b["Intercept"] + effects[:, :1] + (b["ses"] + effects[:, 1:]) * lines.grid
    np.testing.assert_allclose(lines.groups, expected, rtol=1e-9)
    np.testing.assert_allclose(lines.population, b["Intercept"] + b["ses"] * lines.grid, rtol=1e-9)
    slopes = b["ses"] + effects[:, 1]
    assert f"Slopes of ses go from {slopes.min():.1f} to {slopes.max():.1f}" in words(ml.plot.fitted(fit))


def test_lines_run_through_the_middle_of_their_rows(classes):
    lines = fitted_lines(classes, "ses", "school")
    for code in range(len(lines.levels)):
        mine = lines.codes == code
        at = np.interp(lines.x[mine].mean(), lines.grid, lines.groups[code])
        assert at == pytest.approx(classes.fitted_values[mine].mean(), rel=1e-9)


def test_a_predictor_inside_a_function_needs_the_data(words):
    data = ml.datasets.load("classes")
    fit = ml.fit("score ~ poly(ses, 2) + funding + (1 | school)", data)
    assert "Curves" in words(ml.plot.fitted(fit))  # the model remembers its table
    with pytest.raises(SettingError, match="does not hold the column"):
        fitted_lines(fit)
    lines = fitted_lines(fit, data=data)
    new = pd.DataFrame({"ses": lines.grid, "funding": float(data["funding"].mean())})
    np.testing.assert_allclose(lines.population, fit.predict(new, target="reference", interval=None)["estimate"])
    assert "Curves" in words(ml.plot.fitted(fit, data=data))
    with pytest.raises(SettingError, match="3 rows"):
        ml.plot.fitted(fit, data=data.head(3))


def test_factors_and_rows_left_out_do_not_matter(words):
    data = ml.datasets.load("classes").assign(kind=lambda d: np.where(d["funding"] > 0, "a", "b"))
    data.loc[::7, "score"] = np.nan
    with pytest.warns(UserWarning, match="missing"):
        fit = ml.fit("score ~ ses + kind + (1 | school)", data)
    lines = fitted_lines(fit, "ses")
    assert len(lines.x) == fit.n_obs
    slopes = np.diff(lines.groups, axis=1) / np.diff(lines.grid)
    np.testing.assert_allclose(slopes, fit.coefficients["ses"], rtol=1e-8)
    assert "share one slope of ses" in words(ml.plot.fitted(fit, "ses"))


def test_sixteen_groups_get_panels_and_more_one(fits):
    assert sum(ax.get_visible() for ax in ml.plot.fitted(fits["classes"]).axes) == 14
    assert len(ml.plot.fitted(fits["many"]).axes) == 1
    with pytest.raises(SettingError, match="too many for a panel"):
        ml.plot.fitted(fits["many"], facets=True)
    with pytest.raises(SettingError, match='did you mean "ses"'):
        ml.plot.fitted(fits["classes"], "sse")


def test_a_loaded_fit_has_its_lines(fits, tmp_path):
    fits["classes"].save(tmp_path / "a.fit")
    loaded = fitted_lines(ml.load(tmp_path / "a.fit"))
    np.testing.assert_allclose(loaded.groups, fitted_lines(fits["classes"]).groups, rtol=1e-9)


# --- residuals ---------------------------------------------------------------------------------------------------
def test_residuals_are_all_there_and_bends_are_orange(words):
    rng = np.random.default_rng(2)
    g, x = np.repeat(np.arange(20), 30), rng.uniform(-2, 2, 600)
    bent = pd.DataFrame({"g": g, "x": x, "y": x**2 + rng.normal(0, 1, 20)[g] + rng.normal(0, 1, 600)})
    figure = ml.plot.residuals(ml.fit("y ~ x + (1 | g)", bent))
    assert "urvature" in words(figure)
    against = figure.axes[0]
    assert len(against.collections[0].get_offsets()) == 600
    assert len(against.collections[2].get_offsets()) == 20
    assert len(np.unique(against.collections[2].get_facecolors(), axis=0)) == 2
    right = ml.plot.residuals(ml.fit("y ~ x + I(x^2) + (1 | g)", bent))
    assert words(right).startswith("The residuals look as they should")


def test_large_data_are_thinned_with_the_extremes_kept():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(60), 100)
    y = rng.normal(0, 1, 6000) + rng.normal(0, 1, 60)[g]
    y[123] = 25.0
    figure = ml.plot.residuals(ml.fit("y ~ 1 + (1 | g)", pd.DataFrame({"g": g, "y": y})))
    points = figure.axes[0].collections[0].get_offsets()
    assert 4000 <= len(points) < 4100
    assert points[:, 1].max() > 15


# --- quantiles ---------------------------------------------------------------------------------------------------
def test_points_are_the_sorted_residuals_and_effects(schools):
    from multilevel.checks.case import Case

    case, figure = Case(schools), ml.plot.qq(schools)
    for ax, values in zip(figure.axes, (case.studentized, case.effects[0].z), strict=True):
        drawn = np.concatenate([c.get_offsets()[:, 1] for c in ax.collections[1:]])
        np.testing.assert_allclose(np.sort(drawn), np.sort(values))


def test_simulated_effects_are_those_of_simulated_data(schools):
    """Fifty rows in each school: b̂ = λ (ȳ_ℓ − ȳ), with variance λ τ² when β is known."""
    from multilevel.checks.case import Case

    case = Case(schools)
    (null,) = simulated_effects(case)
    y = schools.simulate(null.shape[1], seed=0, target="new_group")
    means = y.reshape(null.shape[1], 30, 50).mean(axis=2).T
    weight, variance = schools.shrinkage()["lambda"][0], schools.estimates.covariances[0][0, 0]
    expected = weight * (means - means.mean(axis=0)) / np.sqrt(weight * variance)
    np.testing.assert_allclose(null, expected, rtol=1e-6, atol=1e-9)


def test_a_group_far_out_is_named(words):
    rng = np.random.default_rng(6)
    effects = rng.normal(0, 0.5, 40)
    effects[7] = 6.0
    g = np.repeat(np.arange(40), 12)
    fit = ml.fit("y ~ 1 + (1 | g)", pd.DataFrame({"g": [f"G{i}" for i in g], "y": effects[g] + rng.normal(0, 1, 480)}))
    figure = ml.plot.qq(fit)
    assert "G7" in {t.get_text() for t in figure.axes[1].texts}
    assert "normal" in words(figure) or "outlying" in words(figure)


# --- autocorrelation ---------------------------------------------------------------------------------------------
def series(rho: float) -> pd.DataFrame:
    rng = np.random.default_rng(8)
    error = rng.normal(0, 1, (30, 20))
    for t in range(1, 20):
        error[:, t] = rho * error[:, t - 1] + np.sqrt(1 - rho**2) * error[:, t]
    g = np.repeat(np.arange(30), 20)
    return pd.DataFrame({"g": g, "t": np.tile(np.arange(20.0), 30), "y": error.ravel() + rng.normal(0, 1, 30)[g]})


def test_autocorrelation_is_said_when_there_is_any(words):
    from multilevel.checks.autocorrelation import acf

    alike, apart = (ml.fit("y ~ t + (1 | g)", series(rho)) for rho in (0.5, 0.0))
    figure = ml.plot.acf(alike)
    assert "not independent: at lag 1" in words(figure)
    found = acf(alike)
    np.testing.assert_allclose(figure.axes[0].collections[-1].get_offsets()[:, 1], found.correlation)
    assert "No clear autocorrelation" in words(ml.plot.acf(apart))
    shuffled = ml.plot.acf(ml.fit("y ~ t + (1 | g)", series(0.5).sample(frac=1, random_state=1)), order="t")
    np.testing.assert_allclose(shuffled.axes[0].collections[-1].get_offsets()[:, 1], found.correlation, atol=1e-6)


# --- influence ---------------------------------------------------------------------------------------------------
def test_the_most_influential_is_on_top(schools):
    found = ml.influence(schools)
    ax = ml.plot.influence(found).axes[0]
    order = np.argsort(found.cooks)[-25:]
    np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 0], found.cooks[order])
    assert [t.get_text() for t in ax.get_yticklabels()] == [found.units[i] for i in order]
    assert len(ml.plot.influence(schools, most=5).axes[0].get_yticklabels()) == 5


def test_a_group_that_decides_is_named(words):
    rng = np.random.default_rng(1)
    g, x = np.repeat(np.arange(20), 10), rng.normal(0, 1, 200)
    y = 0.2 * x + rng.normal(0, 0.5, 20)[g] + rng.normal(0, 1, 200)
    x[g == 3] += 4.0
    y[g == 3] += 12.0
    figure = ml.plot.influence(ml.fit("y ~ x + (1 | g)", pd.DataFrame({"g": [f"G{i}" for i in g], "x": x, "y": y})))
    assert "stands out: without G3, " in words(figure)
    assert figure.axes[0].get_yticklabels()[-1].get_text() == "G3"


def test_rows_can_be_drawn_too(schools, words):
    figure = ml.plot.influence(ml.influence(schools, rows=True))
    assert "of 1500 rows" in words(figure)


# --- predictive checks -------------------------------------------------------------------------------------------
def test_observed_statistics_are_those_of_the_data(schools):
    figure = ml.plot.predictive(schools, n=50)
    by = ml.datasets.load("schools").groupby("school")["score"]
    order = by.mean().sort_values(kind="stable").index
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == order.tolist()
    for ax, values in zip(figure.axes, (by.mean(), by.std(), by.min(), by.max()), strict=True):
        drawn = np.concatenate([c.get_offsets() for c in ax.collections[1:]])
        drawn = drawn[np.argsort(drawn[:, 1])]
        np.testing.assert_allclose(drawn[:, 0], values[order])


def test_a_group_with_another_spread_is_orange(words):
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(15), 40)
    y = rng.normal(0, 1, 15)[g] + rng.normal(0, 1, 600) * np.where(g == 4, 3.0, 1.0)
    fit = ml.fit("y ~ 1 + (1 | g)", pd.DataFrame({"g": [f"G{i}" for i in g], "y": y}))
    figure = ml.plot.predictive(fit)
    assert "unlike simulated ones" in words(figure)
    assert "G4" in words(figure)
    assert len(figure.axes[1].collections[2].get_offsets()) >= 1
