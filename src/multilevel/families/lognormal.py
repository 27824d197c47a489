"""Positive amounts whose logarithm is normal.

log y_i ~ N(η_i, σ_i²/w_i),   log σ_i = η_σi,   median y = exp(η),   E y = exp(η + σ²/2)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .base import Family, Given, Observations
from .gaussian import SIGMA, deviation, log_sd, spread
from .support import observed, positive


@dataclass(frozen=True)
class Lognormal(Family):
    """A normal model of log y, on the scale of y: the likelihood includes the Jacobian 1/y.

    η is the mean of log y (as in brms). Censoring and truncation are on the scale of y.

    Crow & Shimizu (1988), *Lognormal Distributions*.
    """

    links = ("identity",)
    further = (SIGMA,)
    precision = True
    takes = ("cens", "trunc")

    def observe(self, given: Given) -> Observations:
        return observed(self, given, positive(given, "lognormal"))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        from .censoring import log_normal

        logs = logarithm(obs)
        jacobian = logs.y if obs.censored is None else np.where(obs.censored == 0, logs.y, 0.0)
        return log_normal(logs, eta[0], log_sd(obs, eta[1])) - jacobian

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        log_y = np.log(obs.y)
        return np.column_stack([log_y, np.full(len(obs), np.log(spread(log_y)))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return _moment(obs, eta, 1.0)

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        if obs.bounds is None:
            return np.asarray(np.expm1(deviation(obs, eta) ** 2) * _moment(obs, eta, 1.0) ** 2)
        return np.asarray(_moment(obs, eta, 2.0) - _moment(obs, eta, 1.0) ** 2)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        from .censoring import truncated_normal

        return np.asarray(np.exp(truncated_normal(logarithm(obs).bounds, eta[:, 0], deviation(obs, eta), rng)))

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from .censoring import normal_cdf

        at = None if y is None else _log(y)
        return normal_cdf(logarithm(obs), eta[:, 0], deviation(obs, eta), at)

    def mean_scale(self, links: tuple[str, ...]) -> str:
        return "log"

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return deviation(obs, eta) ** 2


def logarithm(obs: Observations) -> Observations:
    """The observations on the scale of log y."""
    upper = None if obs.upper is None else _log(obs.upper)
    bounds = None if obs.bounds is None else (_log(obs.bounds[0]), _log(obs.bounds[1]))
    return replace(obs, y=_log(obs.y), upper=upper, bounds=bounds)


def _log(y: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(y, 0.0))


def _moment(obs: Observations, eta: np.ndarray, k: float) -> np.ndarray:
    """E yᵏ = exp(kμ + k²σ²/2), times the share of N(μ + kσ², σ²) within the bounds."""
    mu, sd = eta[:, 0], deviation(obs, eta)
    log_moment = k * mu + 0.5 * (k * sd) ** 2
    bounds = logarithm(obs).bounds
    if bounds is not None:
        from .censoring import log_inside

        log_moment = log_moment + log_inside(bounds, mu + k * sd**2, 1.0 / sd) - log_inside(bounds, mu, 1.0 / sd)
    return np.asarray(np.exp(log_moment))


MEMBER = Lognormal()
