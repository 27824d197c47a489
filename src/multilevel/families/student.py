"""Responses with heavy tails.

y_i = μ_i + σ_i t_i,   t_i ~ Student(ν),   g(μ_i) = η_i,   log σ_i = η_σi,   ν = 1 + exp(η_ν)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from ..numerics import functions as f
from ..numerics.jets import value, where
from .base import Family, Further, Given, Observations
from .gaussian import SIGMA, deviation, log_sd
from .support import numbers, observed, refuse_constant

NU = Further("nu", ("logm1", "log"), "degrees of freedom: small ones mean heavy tails")
LOG_2 = math.log(2.0)


@dataclass(frozen=True)
class Student(Family):
    """Normal-like errors among which outliers are expected; both σ and ν are estimated.

    σ is the scale, not the standard deviation σ √(ν/(ν-2)). ν is above 1, so that the mean exists. ν of a few
    degrees is told from larger ones by the tails alone: few rows leave it open, and ν → ∞ is the Gaussian.
    A known ν is an offset: ``nu ~ 0 + offset(c)`` with c = log(ν - 1) in every row.

    Lange, Little & Taylor (1989), *Robust Statistical Modeling Using the t Distribution*, JASA 84.
    """

    links = ("identity", "log", "inverse")
    further = (SIGMA, NU)
    precision = True

    def observe(self, given: Given) -> Observations:
        y = numbers(given)
        refuse_constant(given, y)
        return observed(self, given, y)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_scale = log_sd(obs, eta[1])
        log_nu = link(links[2]).log_mean(eta[2])
        tail = _log_tail(obs.y - link(links[0]).mean(eta[0]), log_scale, log_nu)
        log_half = log_nu - LOG_2
        # log Γ(h + ½) - log Γ(h) - ½ log h for h = ν/2, in Stirling's form
        ratio = f.exp(log_half) * f.log1pexp(-LOG_2 - log_half) - 0.5
        ratio = ratio + f.stirling_error(f.logaddexp(log_half, np.full(len(obs), -LOG_2))) - f.stirling_error(log_half)
        return ratio - log_scale - f.HALF_LOG_2PI - (f.exp(log_half) + 0.5) * tail

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        y = obs.y if links[0] == "identity" else np.maximum(obs.y, 0.1 * np.mean(np.abs(obs.y)))
        scale = 1.4826 * float(np.median(np.abs(obs.y - np.median(obs.y)))) or float(np.std(obs.y))
        n = len(obs)
        return np.column_stack([forward(links[0], y), np.full(n, np.log(scale)), forward(links[2], np.full(n, 6.0))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.where(inverse(links[2], eta[:, 2]) > 1.0, inverse(links[0], eta[:, 0]), np.nan)

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        nu = inverse(links[2], eta[:, 2])
        with np.errstate(all="ignore"):
            return np.where(nu > 2.0, deviation(obs, eta) ** 2 / (1.0 - 2.0 / nu), np.inf)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        noise = rng.standard_t(inverse(links[2], eta[:, 2]))
        return inverse(links[0], eta[:, 0]) + deviation(obs, eta) * noise

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy.special import stdtr

        at = obs.y if y is None else y
        below = stdtr(inverse(links[2], eta[:, 2]), (at - inverse(links[0], eta[:, 0])) / deviation(obs, eta))
        return below, below


def _log_tail(residual: Any, log_scale: Any, log_nu: Any) -> Any:
    """log(1 + z²/ν), through logarithms where z² might overflow."""
    z = residual * f.exp(-log_scale)
    far = np.abs(value(z)) > 1.0
    near = f.log1p(where(far, 0.0 * z, z) * where(far, 0.0 * z, z) * f.exp(-log_nu))
    if not far.any():
        return near
    size = where(value(residual) >= 0, residual, -residual)
    log_z = f.log(where(far, size, 0.0 * size + 1.0)) - log_scale
    return where(far, f.log1pexp(2.0 * log_z - log_nu), near)


MEMBER = Student()
