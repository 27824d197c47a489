"""Leave-out scores of sampled fits: densities with effects integrated out, importance weights, and refits."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats
from synthetic import sampled

import multilevel as ml
from multilevel.checks.posterior_refits import left_out, own_levels
from multilevel.checks.psis_logo import kfold_of_draws
from multilevel.checks.psis_loo import _all_levels, _by_weights, _integrated, _narrowest
from multilevel.numerics.psis import psis
from multilevel.predictions.integrated import Densities
from multilevel.predictions.posterior import posterior


def counts(seed: int = 0, groups: int = 24, rows: int = 6) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), rows)
    x = rng.normal(size=len(g))
    slope = 0.4 + 0.5 * rng.normal(size=groups)[g]
    eta = 0.8 + slope * x + 0.6 * rng.normal(size=groups)[g] + 0.3 * (np.arange(len(g)) % 4)
    eta += 0.5 * rng.normal(size=len(g))
    y, z = rng.poisson(np.exp(eta)), eta + rng.normal(size=len(g))
    columns = {"g": g, "h": np.arange(len(g)) % 4, "row": np.arange(len(g)), "x": x, "y": y, "z": z}
    return pd.DataFrame({**columns, "yes": rng.random(len(g)) < 1.0 / (1.0 + np.exp(1.0 - eta))})


@pytest.fixture(scope="module")
def schools():
    return sampled(ml.fit("score ~ ses + (ses | school) + (1 | school:classroom)", ml.datasets.load("classes")), 100)


@pytest.fixture(scope="module")
def poisson():
    return sampled(ml.fit("y ~ x + (x | g)", counts(), family="poisson"), 250)


# --- densities -----------------------------------------------------------------------------------------------------
def test_normal_densities_are_those_of_the_joint_distribution(schools):
    draws = posterior(schools).take(np.arange(5))
    rows = np.flatnonzero(schools.model.design.groups[0].codes == 2)
    own = own_levels(schools, rows)
    assert set(own) == {0, 1}  # the school, and the classrooms within it
    found = Densities.of_training(draws).joint(rows, own)
    design = schools.model.design
    x = np.column_stack([np.ones(len(rows)), design.fixed_columns[1][rows]])
    rooms = design.groups[1].codes[rows]
    for s in range(5):
        cov = x @ draws.covariances[0][s] @ x.T + draws.covariances[1][s, 0, 0] * (rooms[:, None] == rooms)
        cov += np.exp(2.0 * draws.constants[1][s]) * np.eye(len(rows))
        exact = stats.multivariate_normal.logpdf(design.response[rows], x @ draws.beta[s], cov)
        np.testing.assert_allclose(found[s], exact, rtol=1e-10)


def test_densities_without_integration_are_the_conditional_ones(schools):
    draws = posterior(schools).take(np.arange(3))
    rows = np.array([0, 7, 400])
    eta = draws.eta(Densities.of_training(draws).rows)[:, rows]
    exact = stats.norm.logpdf(schools.model.design.response[rows], eta[:, :, 0], np.exp(eta[:, :, 1])).sum(axis=1)
    np.testing.assert_allclose(Densities.of_training(draws).joint(rows, {}), exact)


def test_other_densities_are_integrals_over_the_effects():
    fit = sampled(ml.fit("y ~ x + (1 | g)", counts(), family="poisson"), 10)
    draws = posterior(fit).take(np.arange(4))
    rows = np.flatnonzero(fit.model.design.groups[0].codes == 3)
    found = Densities.of_training(draws).joint(rows, own_levels(fit, rows))
    y, x = fit.model.design.response[rows], fit.model.design.fixed_columns[1][rows]
    for s in range(4):
        sd, eta = np.sqrt(draws.covariances[0][s, 0, 0]), draws.beta[s, 0] + draws.beta[s, 1] * x

        def height(u, sd=sd, eta=eta):
            return np.prod(stats.poisson.pmf(y, np.exp(eta + sd * u))) * stats.norm.pdf(u)

        exact = integrate.quad(height, -9, 9, limit=200, epsabs=0.0, points=[0.0])[0]
        np.testing.assert_allclose(found[s], np.log(exact), rtol=1e-6)


def test_two_effects_of_a_group_are_integrated_together(poisson):
    draws = posterior(poisson).take(np.arange(2))
    rows = np.flatnonzero(poisson.model.design.groups[0].codes == 3)
    found = Densities.of_training(draws).joint(rows, own_levels(poisson, rows))
    u = np.random.default_rng(0).standard_normal((400_000, 2))
    y, x = poisson.model.design.response[rows], poisson.model.design.fixed_columns[1][rows]
    for s in range(2):
        b = u @ np.linalg.cholesky(draws.covariances[0][s]).T
        log_p = np.zeros(len(u))
        for yi, xi in zip(y, x, strict=True):
            log_p += stats.poisson.logpmf(yi, np.exp(draws.beta[s] @ [1.0, xi] + b @ [1.0, xi]))
        np.testing.assert_allclose(found[s], np.log(np.mean(np.exp(log_p))), atol=0.03)


def test_portions_of_draws_do_not_change_densities(poisson, monkeypatch):
    from multilevel.predictions import integrated

    rows = np.arange(5)
    densities = Densities.of_training(posterior(poisson).take(np.arange(30)))
    whole = densities.joint(rows, own_levels(poisson, rows))
    monkeypatch.setattr(integrated, "CELLS", 40)
    np.testing.assert_allclose(densities.joint(rows, own_levels(poisson, rows)), whole, rtol=1e-9)


# --- leave-one-out -------------------------------------------------------------------------------------------------
def test_loo_by_hand(poisson):
    score = ml.loo(poisson)
    draws = posterior(poisson)
    eta = draws.eta(Densities.of_training(draws).rows)[:, :, 0]
    log_p = stats.poisson.logpmf(poisson.model.design.response, np.exp(eta))
    smoothed = psis(-log_p)
    w = np.exp(smoothed.log_weights)
    good = smoothed.khat <= score.limit
    assert good.mean() > 0.6
    np.testing.assert_allclose(score.elpd_each[good], np.log((w * np.exp(log_p)).sum(axis=0))[good], rtol=1e-9)
    np.testing.assert_allclose(score.khat_each[good], smoothed.khat[good], atol=1e-9)
    error = poisson.model.design.response - (w * np.exp(eta)).sum(axis=0)
    np.testing.assert_allclose(score.error_each[good], error[good], rtol=1e-9, atol=1e-9)
    optimism = np.log(np.mean(np.exp(log_p), axis=0)) - score.elpd_each
    np.testing.assert_allclose(score.p_loo, optimism.sum(), rtol=1e-9)
    assert "p_loo" in str(score)
    assert list(score.table) == ["unit", "n", "elpd", "error", "pareto_k"]


@pytest.mark.parametrize("formula", ["z ~ x + (1 | g)", "z ~ x + (1 | g) + (1 | h)", "z ~ x + (x | g)"])
def test_integrated_rows_are_the_same_number_with_better_weights(formula):
    """Exact draws: the two estimators of p(y_i | others) have the same limit."""
    fit = ml.Model(formula, counts(), priors="brms").fit("collapsed", draws=1000)
    densities = Densities.of_training(posterior(fit))
    plain = _by_weights(densities)
    rows = np.argsort(plain.khat)[20:26]  # reliable either way
    for own in (_narrowest, _all_levels) if "h" in formula else (_narrowest,):
        found = _by_weights(densities)
        found.khat[:] = np.inf
        for i in rows:
            _integrated(densities, found, int(i), own(fit, int(i)))
        np.testing.assert_allclose(found.elpd[rows], plain.elpd[rows], atol=0.05)
        np.testing.assert_allclose(found.mean[rows, 0], plain.mean[rows, 0], atol=0.05)
        assert found.khat[rows].mean() < plain.khat[rows].mean()


@pytest.mark.slow
def test_rows_of_a_binary_response_are_integrated_as_well():
    """A few rows a group: plain weights fail where the integrated ones do not; both agree where both are reliable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)  # few draws
        model = ml.Model("yes ~ x + (1 | g)", counts(), family="bernoulli", priors="brms")
        fit = model.fit("gibbs", draws=1000, tune=300)
    densities = Densities.of_training(posterior(fit))
    plain, found = _by_weights(densities), _by_weights(densities)
    rows = np.argsort(plain.khat)[:5]
    found.khat[:] = np.inf
    for i in rows:
        _integrated(densities, found, int(i), _narrowest(fit, int(i)))
    np.testing.assert_allclose(found.elpd[rows], plain.elpd[rows], atol=0.05)


def test_effects_of_single_rows_are_integrated():
    """With the effects in the draws, weights would look good enough and be far too hopeful."""
    likelihood = ml.fit("y ~ x + (1 | g) + (1 | row)", counts(), family="poisson")
    fit = sampled(likelihood, 250)
    score = ml.loo(fit)
    assert len(score.unreliable) == 0
    assert abs(score.elpd - ml.loo(likelihood).elpd) < 2.5
    i, draws = 7, posterior(fit)
    variance = draws.covariances[1][:, 0, 0]
    eta = draws.eta(Densities.of_training(draws).rows, skip=(1,))[:, i, 0]
    u = np.linspace(-8.0, 8.0, 401)
    rate = np.exp(eta[:, None] + np.sqrt(variance)[:, None] * u)
    inside = stats.poisson.pmf(likelihood.model.design.response[i], rate)
    log_p = np.log((inside * stats.norm.pdf(u)).sum(axis=1) * (u[1] - u[0]))
    smoothed = psis(-log_p)
    np.testing.assert_allclose(score.elpd_each[i], np.log(np.exp(smoothed.log_weights) @ np.exp(log_p)), atol=1e-3)


def test_scores_of_a_likelihood_fit_are_near_those_of_its_own_draws(schools):
    likelihood = ml.fit("score ~ ses + (ses | school) + (1 | school:classroom)", ml.datasets.load("classes"))
    for score in (ml.loo, ml.logo):
        a, b = score(likelihood), score(schools)
        assert a.units == b.units
        assert np.median(np.abs(a.elpd_each - b.elpd_each)) < 0.35
        np.testing.assert_allclose(a.rmse, b.rmse, rtol=0.01)


@pytest.mark.parametrize(
    "case", ["binomial", *(pytest.param(c, marks=pytest.mark.slow) for c in ("cumulative", "zero_inflated_poisson"))]
)
def test_other_families_have_scores(case):
    import sys
    from pathlib import Path

    sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))
    from family_cases import fitted

    likelihood = fitted(case)
    fit = sampled(likelihood, 50)
    assert abs(ml.loo(fit).elpd - ml.loo(likelihood).elpd) < 8.0
    assert abs(ml.logo(fit).elpd - ml.logo(likelihood).elpd) < 8.0


# --- groups --------------------------------------------------------------------------------------------------------
def test_logo_by_hand():
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 100)
    score, draws = ml.logo(fit), posterior(fit)
    rows = np.flatnonzero(fit.model.design.groups[0].codes == 4)
    y, n = fit.model.design.response[rows], len(rows)
    tau2, sigma2 = draws.covariances[0][:, 0, 0], np.exp(2.0 * draws.constants[1])
    log_p = np.array([
        stats.multivariate_normal.logpdf(y, np.full(n, m), s * np.eye(n) + t)
        for m, t, s in zip(draws.beta[:, 0], tau2, sigma2, strict=True)
    ])  # fmt: skip
    smoothed = psis(-log_p)
    np.testing.assert_allclose(score.elpd_each[4], np.log(np.sum(np.exp(smoothed.log_weights + log_p))), rtol=1e-9)
    np.testing.assert_allclose(score.khat_each[4], smoothed.khat[0], atol=1e-9)


def test_weights_agree_with_fits_without_the_group():
    """By a sampler that is exact: six batches of dyestuff."""
    model = ml.Model("y ~ 1 + (1 | batch)", dyestuff(), priors="brms")
    fit = model.fit("collapsed", draws=1000)
    score = ml.logo(fit)
    for level in np.flatnonzero(score.khat_each < 0.6)[:2]:
        rows = np.flatnonzero(fit.model.design.groups[0].codes == level)
        np.testing.assert_allclose(left_out(fit, rows).log_density, score.elpd_each[level], atol=0.12)
    assert len(ml.logo(fit, refit=True).unreliable) == 0


def dyestuff() -> pd.DataFrame:
    """Davies (1947), as in lme4."""
    y = [1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560,
         1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450, 1480, 1445]  # fmt: skip
    return pd.DataFrame({"y": np.array(y, float), "batch": np.repeat(list("ABCDEF"), 5)})


def test_folds_are_left_out_by_fits():
    from multilevel.checks.kfold import folds

    likelihood = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    fit = sampled(likelihood, 250)
    for by in (None, "school"):
        codes = folds(fit, 4, by, np.random.default_rng(0))
        found = kfold_of_draws(fit, "fold", codes, 4)
        expected = ml.kfold(likelihood.model, 4, by=by)
        np.testing.assert_allclose(found.elpd_each, expected.elpd_each, atol=2.5)
        np.testing.assert_allclose(found.rmse, expected.rmse, rtol=0.005)


# --- influence -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("rows", [False, True])
def test_influence_by_weights_is_near_the_closed_form(rows):
    likelihood = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    a, b = ml.influence(likelihood, rows=rows), ml.influence(sampled(likelihood, 100 if rows else 1000), rows=rows)
    assert a.units == b.units
    assert np.corrcoef(a.beta[:, 1], b.beta[:, 1])[0, 1] > (0.8 if rows else 0.97)
    if not rows:
        assert b.units[int(np.argmax(b.cooks))] in [a.units[i] for i in np.argsort(-a.cooks)[:3]]
        good = b.extra["pareto_k"] < 0.5
        np.testing.assert_allclose(a.sds[good], b.sds[good], atol=0.06)
