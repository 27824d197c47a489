"""Proportions between 0 and 1.

y_i ~ Beta(μ_i φ, (1 - μ_i) φ),   g(μ_i) = η_i,   Var y = μ (1 - μ)/(1 + φ)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse
from ..numerics import functions as f
from .base import Family, Further, Given, Observations
from .binomial import log_pair, odds_variance
from .support import numbers, observed, refuse, refuse_constant

PHI = Further("phi", ("log",), "precision φ: variance μ (1 - μ)/(1 + φ)")
LINKS = ("logit", "probit", "cloglog", "cauchit")


@dataclass(frozen=True)
class Beta(Family):
    """Shares, rates and other numbers within (0, 1); exact zeros and ones have no density.

    Ferrari & Cribari-Neto (2004), *Beta Regression for Modelling Rates and Proportions*, J. Appl. Statistics 31.
    """

    links = LINKS
    further = (PHI,)

    def observe(self, given: Given) -> Observations:
        y = numbers(given)
        hint = 'For k of n use family="binomial" with trials; a zero or one that is only rounded can be moved inwards.'
        refuse(given, ~((y > 0) & (y < 1)), "within (0, 1), the ends excluded", hint)
        refuse_constant(given, y)
        return observed(self, given, y)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_p, log_q = log_pair(links[0], eta[0])
        log_y, log_rest = np.log(obs.y), np.log1p(-obs.y)
        log_a, log_b = log_p + eta[1], log_q + eta[1]
        distance = f.exp(log_a) * (log_p - log_y) + f.exp(log_b) * (log_q - log_rest)
        errors = f.stirling_error(eta[1]) - f.stirling_error(log_a) - f.stirling_error(log_b)
        return errors - distance + 0.5 * (log_a + log_b - eta[1]) - (log_y + log_rest + f.HALF_LOG_2PI)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        y = 0.02 + 0.96 * obs.y
        mean, variance = float(np.mean(obs.y)), float(np.var(obs.y))
        phi = np.clip(mean * (1.0 - mean) / variance - 1.0, 0.5, 1e6)
        return np.column_stack([forward(links[0], y), np.full(len(obs), np.log(phi))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.asarray(odds_variance(links[0], eta[:, 0]) / (1.0 + np.exp(eta[:, 1])))

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return np.clip(rng.beta(*shapes(eta, links)), 1e-300, 1.0 - 1e-16)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy.special import betainc

        at = np.clip(obs.y if y is None else y, 0.0, 1.0)
        below = betainc(*shapes(eta, links), at)
        return below, below


def shapes(eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """μφ and (1 - μ)φ."""
    with np.errstate(all="ignore"):
        log_p, log_q = log_pair(links[0], eta[:, 0])
        return np.exp(log_p + eta[:, 1]), np.exp(log_q + eta[:, 1])


MEMBER = Beta()
