"""Where the engines of the reference fits disagree, and who is right: the computations behind `docs/engines.md`.

Everything is computed here in plain NumPy from the model's definition, with dense matrices and a fine grid in place of
quadrature; nothing of the package takes part except where a test says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_data import prepared
from scipy.special import expit, gammaln
from scipy.stats import binom, norm
from test_glmm import fitted

from multilevel.predictions.linear import linear_predictors

RECORDS = json.loads((Path(__file__).parent / "glmm_fits.json").read_text(encoding="utf-8"))
FITS = {fit["id"]: fit for fit in RECORDS}
GRID = np.linspace(-9.0, 9.0, 1501)
Link = tuple[Callable[[Any], Any], Callable[[Any], Any], Callable[[Any], Any]]

# mean, its slope and curvature in η
LINKS: dict[str, Link] = {
    "logit": (expit, lambda e: expit(e) * expit(-e), lambda e: expit(e) * expit(-e) * (1.0 - 2.0 * expit(e))),
    "probit": (norm.cdf, norm.pdf, lambda e: -e * norm.pdf(e)),
    "cloglog": (
        lambda e: -np.expm1(-np.exp(e)),
        lambda e: np.exp(e - np.exp(e)),
        lambda e: np.exp(e - np.exp(e)) * (1.0 - np.exp(e)),
    ),
}


@dataclass(frozen=True)
class Binomial:
    """Binomial rows with one random intercept, η_i = x_i'β + τ u_g(i): log-likelihoods at given parameters."""

    y: np.ndarray
    trials: np.ndarray
    x: np.ndarray
    codes: np.ndarray
    link: Link

    def sums(self, rows: np.ndarray) -> np.ndarray:
        return np.bincount(self.codes, rows)

    def rows(self, eta: np.ndarray) -> tuple[np.ndarray, ...]:
        """log p, its slope in η, the expected and the observed information of each row."""
        mean, slope, curvature = (part(eta) for part in self.link)
        variance, left = mean * (1.0 - mean), self.y - self.trials * mean
        expected = self.trials * slope**2 / variance
        observed = expected - left * (curvature / variance - (slope / variance) ** 2 * (1.0 - 2.0 * mean))
        return binom.logpmf(self.y, self.trials, mean), left * slope / variance, expected, observed

    def laplace(self, beta: np.ndarray, tau: float) -> tuple[float, float]:
        """Laplace's approximation with the expected and with the observed information."""
        fixed, u = self.x @ beta, np.zeros(self.codes.max() + 1)
        for _ in range(500):
            _, score, expected, _ = self.rows(fixed + tau * u[self.codes])
            step = (tau * self.sums(score) - u) / (tau**2 * self.sums(expected) + 1.0)
            u = u + np.clip(step, -0.5, 0.5)
        value, _, *informations = self.rows(fixed + tau * u[self.codes])
        inside = float(value.sum() - 0.5 * u @ u)
        first, second = (inside - 0.5 * np.log(tau**2 * self.sums(w) + 1.0).sum() for w in informations)
        return float(first), float(second)

    def exact(self, beta: np.ndarray, tau: float) -> float:
        """Each group's integral on a fine grid (trapezoid: exact to rounding for such integrands)."""
        mean = np.clip(self.link[0]((self.x @ beta)[:, None] + tau * GRID), 1e-300, 1.0 - 1e-16)
        rows = binom.logpmf(self.y[:, None], self.trials[:, None], mean)
        at = np.zeros((self.codes.max() + 1, len(GRID)))
        np.add.at(at, self.codes, rows)
        at += norm.logpdf(GRID)
        top = at.max(axis=1, keepdims=True)
        return float((np.log(np.exp(at - top).sum(axis=1) * (GRID[1] - GRID[0])) + top[:, 0]).sum())


def estimates(name: str, group: str) -> tuple[np.ndarray, float]:
    return np.array([r[1] for r in FITS[name]["fixef"]]), FITS[name]["sd"][group][0]


def dummies(values: Any) -> np.ndarray:
    codes = values.cat.codes.to_numpy()
    return (codes[:, None] == np.arange(1, codes.max() + 1)).astype(float)


def codes_of(values: Any) -> np.ndarray:
    return values.astype("category").cat.codes.to_numpy()


def cbpp(link: str) -> Binomial:
    data = prepared(FITS["cbpp_laplace"])
    x = np.column_stack([np.ones(len(data)), dummies(data["period"])])
    counts = data["incidence"].to_numpy(float), data["size"].to_numpy(float)
    return Binomial(*counts, x, codes_of(data["herd"]), LINKS[link])


# --- links that are not canonical ----------------------------------------------------------------------------------
@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_lme4_takes_the_expected_information_and_glmmtmb_the_observed(link: str) -> None:
    dense = cbpp(link)
    expected, _ = dense.laplace(*estimates(f"cbpp_{link}", "herd"))
    _, observed = dense.laplace(*estimates(f"cbpp_{link}_tmb", "herd"))
    assert expected == pytest.approx(FITS[f"cbpp_{link}"]["loglik"], abs=1e-6)  # lme4's modes are good to that
    assert observed == pytest.approx(FITS[f"cbpp_{link}_tmb"]["loglik"], abs=1e-9)


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_the_observed_information_comes_nearer_to_the_exact_likelihood(link: str) -> None:
    dense = cbpp(link)
    exact = []
    for name in (f"cbpp_{link}", f"cbpp_{link}_tmb"):
        at = estimates(name, "herd")
        expected, observed = dense.laplace(*at)
        exact.append(dense.exact(*at))
        assert abs(observed - exact[-1]) < 0.35 * abs(expected - exact[-1])
    assert exact[1] > exact[0]  # and its estimates are the better ones


@pytest.mark.parametrize("link", ["probit", "cloglog"])
def test_ours_is_the_maximum_of_the_observed_one(link: str) -> None:
    fit, dense = fitted(f"cbpp_{link}_tmb"), cbpp(link)
    beta, tau = fit.estimates.beta, float(np.sqrt(fit.estimates.covariances[0][0, 0]))
    assert dense.laplace(beta, tau)[1] == pytest.approx(fit.log_likelihood, abs=1e-9)
    for j in range(4):
        for step in (-1e-3, 1e-3):
            assert dense.laplace(beta + step * np.eye(4)[j], tau)[1] < fit.log_likelihood


# --- where Laplace's approximation is not enough -------------------------------------------------------------------
def toenail() -> Binomial:
    data = prepared(FITS["toenail_laplace"])
    treated, time = dummies(data["treatment"])[:, 0], data["time"].to_numpy()
    x = np.column_stack([np.ones(len(data)), treated, time, treated * time])
    return Binomial(data["y"].to_numpy(float), np.ones(len(data)), x, codes_of(data["patientID"]), LINKS["logit"])


def test_toenail_is_too_much_for_laplace() -> None:
    """Its maximum lies 3.5 below the exact one, and misjudges the likelihood in both directions."""
    dense = toenail()
    coarse, fine = estimates("toenail_laplace", "patientID"), estimates("toenail_agq50", "patientID")
    assert dense.laplace(*coarse)[1] == pytest.approx(FITS["toenail_laplace"]["loglik"], abs=1e-6)
    assert dense.exact(*fine) == pytest.approx(FITS["toenail_agq50"]["loglik"], abs=1e-4)
    assert dense.exact(*fine) - dense.exact(*coarse) > 3.5
    assert dense.laplace(*coarse)[1] - dense.exact(*coarse) > 1.0
    assert dense.laplace(*fine)[1] - dense.exact(*fine) < -4.0


# --- a boundary that is none ---------------------------------------------------------------------------------------
# glmer(fish_num ~ temperature + (temperature | weather)) with all settings at their defaults (bobyqa, Nelder-Mead) and
# with tolPwrss = 1e-13: θ is the lower triangle of λ by columns
LME4_DEFAULT = {"beta": (0.0388293836650754, 0.0564656759283478), "theta": (0.0, -0.0164818360919933, 0.0)}


def fish_laplace(beta: np.ndarray, covariance_root: np.ndarray) -> float:
    """Poisson counts of two groups with intercept and slope; λ may be any root of their covariance."""
    data = prepared(FITS["fish_temp_weather"])
    y, codes = data["fish_num"].to_numpy(float), codes_of(data["weather"])
    x = np.column_stack([np.ones(len(data)), data["temperature"]])
    z = np.zeros((len(y), 4))
    for level in (0, 1):
        z[codes == level, 2 * level : 2 * level + 2] = x[codes == level] @ covariance_root
    u = np.zeros(4)
    for _ in range(200):
        mean = np.exp(x @ beta + z @ u)
        curvature = z.T @ (mean[:, None] * z) + np.eye(4)
        u = u + np.linalg.solve(curvature, z.T @ (y - mean) - u)
    eta = x @ beta + z @ u
    inside = float((y * eta - np.exp(eta) - gammaln(y + 1.0)).sum() - 0.5 * u @ u)
    return inside - 0.5 * float(np.linalg.slogdet(curvature)[1])


def test_where_lme4_stops_on_the_fish_is_no_maximum_of_the_likelihood() -> None:
    """θ₁ ≥ 0 is a bound of the parametrisation, not of the covariance: with the column's sign changed, it goes up."""
    beta, (_, slope, _) = np.array(LME4_DEFAULT["beta"]), LME4_DEFAULT["theta"]
    there = fish_laplace(beta, np.array([[0.0, 0.0], [slope, 0.0]]))
    mirrored = fish_laplace(beta, np.array([[0.0, 0.0], [-slope, 0.0]]))
    best = FITS["fish_temp_weather"]["loglik"]
    assert 2.0 * (best - there) == pytest.approx(3.06, abs=0.01)
    assert mirrored == pytest.approx(there, abs=1e-10)
    for step in (1e-4, 1e-3, 1e-2):
        assert fish_laplace(beta, np.array([[step, 0.0], [slope, 0.0]])) < there
        assert fish_laplace(beta, np.array([[step, 0.0], [-slope, 0.0]])) > there
    assert fitted("fish_temp_weather").log_likelihood > best - 1e-8


# --- numbers that mean something else ------------------------------------------------------------------------------
def test_metafor_tells_the_conditional_log_likelihood_of_its_mixed_model() -> None:
    """log p(y | b̂) at the modes, not the integral over b."""
    fit = fitted("bcg_or_glmm")
    obs = fit.model.observations
    conditional = binom.logpmf(obs.y, obs.trials, expit(linear_predictors(fit)[:, 0])).sum()
    assert conditional == pytest.approx(FITS["bcg_or_glmm"]["loglik_conditional"], abs=2e-3)
    assert fit.log_likelihood < conditional - 15.0


def test_errors_beside_a_variance_of_zero_are_those_of_the_model_without_it() -> None:
    """d is even in θ, so at θ = 0 the information about it says nothing about β; clmm's errors are two per cent off."""
    with_bottle, without = fitted("wine_clmm_crossed"), fitted("wine_clmm_laplace")
    np.testing.assert_allclose(with_bottle.std_errors, without.std_errors, rtol=1e-3)
    reference = [r[2] for r in FITS["wine_clmm_crossed"]["fixef"]]
    assert np.min(np.array(reference) / with_bottle.std_errors) > 1.005


def test_errors_of_nlme_are_those_of_n_minus_p() -> None:
    fit, reference = fitted("orthodont_hetvar_int_lme_ml"), FITS["orthodont_hetvar_int_lme_ml"]
    n, p = reference["n_obs"], len(reference["errors"])
    np.testing.assert_allclose(fit.std_errors[:p] * np.sqrt(n / (n - p)), reference["errors"], rtol=1e-5)
