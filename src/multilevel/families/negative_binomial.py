"""Counts with a variance that grows with the square of the mean.

y_i ~ NB(μ_i, s),   g(μ_i) = η_i,   E y = μ,   Var y = μ + μ²/s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from .base import Family, Further, Given, Observations
from .counts import draw_negative_binomial, log_negative_binomial, negative_binomial_below
from .support import counts, observed

SHAPE = Further("shape", ("log",), "size s: variance μ + μ²/s, Poisson for large ones")


@dataclass(frozen=True)
class NegativeBinomial(Family):
    """Counts with overdispersion ("NB2"): a Poisson whose mean varies by a gamma factor of variance 1/shape.

    Where counts are no more spread than Poisson's, the likelihood rises towards shape = ∞: use ``"poisson"``.

    Hilbe (2011), *Negative Binomial Regression*, chapter 8.
    """

    links = ("log", "identity", "sqrt")
    further = (SHAPE,)
    discrete = True
    takes = ("rate",)

    def observe(self, given: Given) -> Observations:
        return observed(self, given, counts(given))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return log_negative_binomial(obs.y, link(links[0]).log_mean(eta[0]), eta[1])

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([forward(links[0], obs.y + 0.25), np.full(len(obs), np.log(start_size(obs.y)))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        mu, size = mean_size(eta, links)
        return mu + mu**2 / size

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return draw_negative_binomial(*mean_size(eta, links), rng)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = obs.y if y is None else y
        mu, size = mean_size(eta, links)
        return negative_binomial_below(at - 1.0, mu, size), negative_binomial_below(at, mu, size)


def mean_size(eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """μ and s."""
    return inverse(links[0], eta[:, 0]), np.exp(eta[:, 1])


def start_size(y: np.ndarray) -> float:
    """s from the moments of all counts together, within a decade of 1: group effects explain part of the spread."""
    mean, variance = float(np.mean(y)), float(np.var(y))
    return float(np.clip(mean**2 / max(variance - mean, 1e-3 * mean), 0.5, 10.0))


MEMBER = NegativeBinomial()
