"""Counts.

    y_i ~ Poisson(μ_i),   g(μ_i) = η_i,   log p(y) = y log μ - μ - log y!
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from .base import Family, Given, Observations
from .counts import log_poisson
from .support import counts, observed


@dataclass(frozen=True)
class Poisson(Family):
    """Counts whose variance is their mean; with exposure d, ``y | rate(d)`` or ``offset(log(d))``.

    McCullagh & Nelder (1989), *Generalized Linear Models*, chapter 6.
    """

    links = ("log", "identity", "sqrt")
    discrete = True
    mergeable = True
    takes = ("rate",)

    def observe(self, given: Given) -> Observations:
        return observed(self, given, counts(given))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return log_poisson(obs.y, link(links[0]).log_mean(eta[0]))

    def kernel(self, links: tuple[str, ...]) -> str | None:
        return "poisson_log" if links[0] == "log" else None

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return forward(links[0], obs.y + 0.25)[:, None]

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return draw(inverse(links[0], eta[:, 0]), rng)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at, mu = obs.y if y is None else y, inverse(links[0], eta[:, 0])
        return below(at - 1.0, mu), below(at, mu)


MOST = 1e18  # NumPy draws Poisson numbers up to 2⁶³


def draw(mu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers; means too large for integers get the normal approximation, exact to their rounding."""
    small = rng.poisson(np.minimum(mu, MOST)).astype(float)
    return np.where(mu < MOST, small, mu + np.sqrt(mu) * rng.standard_normal(mu.shape))


def below(k: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """P(Y ≤ k)."""
    from scipy.special import pdtr

    return np.where(k < 0, 0.0, pdtr(np.maximum(k, 0.0), mu))


MEMBER = Poisson()
