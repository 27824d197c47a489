"""Residuals of every family: closed forms, lme4's numbers, and that quantile residuals are standard normal."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.checks.residuals import quantile_residuals
from multilevel.errors import SettingError

sys.path.insert(0, str(Path(__file__).parent))
from family_cases import CASES, fitted, rows

KINDS = ("response", "pearson", "standardized", "deviance", "working", "quantile")


@pytest.mark.parametrize("case", [c for c in CASES if c != "categorical"])
def test_residuals_are_numbers_with_the_sign_of_the_response_s(case):
    fit = fitted(case)
    response = fit.residuals()
    for kind in KINDS:
        r = fit.residuals(kind)
        assert r.shape == (fit.model.design.n,)
        assert np.isfinite(r).all(), kind
        if kind in ("pearson", "standardized", "deviance"):
            assert np.all(np.sign(r) * np.sign(response) >= 0.0)
    if not fit.model.design.layout.ordered:
        np.testing.assert_allclose(response, fit.model.design.response - fit.fitted_values)


def test_categories_without_order_have_no_difference_to_their_mean():
    fit = fitted("categorical")
    for kind in ("response", "pearson", "standardized", "working"):
        with pytest.raises(SettingError, match="quantile"):
            fit.residuals(kind)
    p = fit.fitted_values[np.arange(480), fit.model.observations.y.astype(int)]
    np.testing.assert_allclose(fit.residuals("deviance"), np.sqrt(-2.0 * np.log(p)))


def deviance(case, y, mu, fit):
    """Twice the log-likelihood that a row loses, by the textbook (McCullagh & Nelder 1989, table 2.1)."""
    ratio = np.where(y > 0, y, 1.0) / mu
    if case == "poisson":
        return 2.0 * (np.where(y > 0, y * np.log(ratio), 0.0) - (y - mu))
    if case == "negative_binomial":
        s = fit.estimates.dispersion["shape"]
        return 2.0 * (np.where(y > 0, y * np.log(ratio), 0.0) - (y + s) * np.log((y + s) / (mu + s)))
    if case == "gamma":
        return 2.0 * fit.estimates.dispersion["shape"] * (ratio - 1.0 - np.log(ratio))
    if case == "inverse_gaussian":
        return fit.estimates.dispersion["shape"] * (y - mu) ** 2 / (mu**2 * y)
    n = rows()["n"]
    share = np.clip(y, 1e-300, 1.0)
    rest = np.clip(1.0 - y, 1e-300, 1.0)
    won, lost = y * np.log(share / mu), rest * np.log(rest / (1.0 - mu))
    return 2.0 * n * (np.where(y > 0, won, 0.0) + np.where(y < 1, lost, 0.0))


@pytest.mark.parametrize("case", ["poisson", "binomial", "negative_binomial", "gamma", "inverse_gaussian"])
def test_deviance_residuals_of_exponential_families(case):
    fit = fitted(case)
    if case == "negative_binomial":
        fit = ml.fit("over ~ x + (1 | g)", rows(), family="negative_binomial")
    y, mu = fit.model.design.response, fit.fitted_values
    expected = np.sign(y - mu) * np.sqrt(np.maximum(deviance(case, y, mu, fit), 0.0))
    np.testing.assert_allclose(fit.residuals("deviance"), expected, rtol=1e-6, atol=1e-6)


def test_bernoulli_and_normal_deviance_residuals():
    fit = fitted("bernoulli")
    y, p = fit.model.observations.y, fit.fitted_values
    expected = np.sign(y - p) * np.sqrt(-2.0 * np.log(np.where(y > 0, p, 1.0 - p)))
    np.testing.assert_allclose(fit.residuals("deviance"), expected, rtol=1e-7)
    fit = fitted("gaussian sigma")
    np.testing.assert_allclose(fit.residuals("deviance"), fit.residuals("pearson"), rtol=1e-6, atol=1e-8)


def test_residuals_of_lme4():
    """cbpp: residuals(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), binomial)), lme4 1.1-31."""
    data = ml.datasets.load("lme4/cbpp")
    fit = ml.fit("cbind(incidence, size - incidence) ~ C(period) + (1 | herd)", data, family="binomial")
    first = {
        "deviance": [-1.43770782, 0.98847195, 2.35668826, -0.93702271],
        "pearson": [-1.3395656, 1.0747970, 2.8790881, -0.6773884],
        "working": [-0.77536670, 0.88948266, 2.89210470, -1.09177101],
    }
    for kind, values in first.items():
        np.testing.assert_allclose(fit.residuals(kind)[:4], values, rtol=1e-3)  # its optimum is short of ours


@pytest.mark.parametrize("kind", ["conditional", "marginal"])
@pytest.mark.parametrize(
    "case",
    ["poisson", "binomial", "bernoulli", "beta_binomial", "zero_inflated_poisson", "gamma", "beta", "student",
     "gaussian sigma", "censored", "cumulative", "categorical", "truncated poisson"],
)  # fmt: skip
def test_quantile_residuals_are_standard_normal(case, kind):
    r = quantile_residuals(fitted(case), kind)
    if case in ("truncated poisson", "beta", "zero_inflated_poisson"):  # the data are not of this family
        return
    assert abs(r.mean()) < 0.15
    assert 0.85 < r.std() < 1.15
    if kind == "conditional":
        assert stats.kstest(r, "norm").pvalue > 0.01


def test_quantile_residuals_are_drawn_with_their_seed():
    fit = fitted("poisson")
    assert np.array_equal(fit.residuals("quantile"), fit.residuals("quantile", seed=0))
    assert not np.array_equal(fit.residuals("quantile"), fit.residuals("quantile", seed=1))
    continuous = fitted("gamma")
    np.testing.assert_allclose(continuous.residuals("quantile"), continuous.residuals("quantile", seed=1))
    with pytest.raises(SettingError, match="marginal"):
        quantile_residuals(fit, "joint")


def test_linear_models_keep_theirs():
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    assert np.array_equal(fit.residuals("deviance"), fit.residuals("standardized"))
    assert np.array_equal(fit.residuals("working"), fit.residuals("response"))
    assert np.array_equal(fit.residuals("quantile"), quantile_residuals(fit, "marginal"))
