"""Counts with a variance that grows with the square of the mean.

y_i ~ NB(μ_i, s),   g(μ_i) = η_i,   E y = μ,   Var y = μ + μ²/s
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from .base import Further, Observations
from .counts import draw_negative_binomial, log_negative_binomial, negative_binomial_below
from .limits import Counts

SHAPE = Further("shape", ("log",), "size s: variance μ + μ²/s, Poisson for large ones")


@dataclass(frozen=True)
class NegativeBinomial(Counts):
    """Counts with overdispersion ("NB2"): a Poisson whose mean varies by a gamma factor of variance 1/shape.

    Where counts are no more spread than Poisson's, the likelihood rises towards shape = ∞: use ``"poisson"``.

    Hilbe (2011), *Negative Binomial Regression*, chapter 8.
    """

    links = ("log", "identity", "sqrt")
    further = (SHAPE,)

    def log_probability(self, y: np.ndarray, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return log_negative_binomial(y, link(links[0]).log_mean(eta[0]), eta[1])

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([forward(links[0], obs.y + 0.25), np.full(len(obs), np.log(start_size(obs.y)))])

    def moments(self, eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        mu, size = mean_size(eta, links)
        return mu, mu + mu**2 / size

    def below(self, k: np.ndarray, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return negative_binomial_below(k, *mean_size(eta, links))

    def draw(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        return draw_negative_binomial(*mean_size(eta, links), rng)


def mean_size(eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """μ and s."""
    return inverse(links[0], eta[:, 0]), np.exp(eta[:, 1])


def start_size(y: np.ndarray) -> float:
    """s from the moments of all counts together, within a decade of 1: group effects explain part of the spread."""
    mean, variance = float(np.mean(y)), float(np.var(y))
    return float(np.clip(mean**2 / max(variance - mean, 1e-3 * mean, 1e-300), 0.5, 10.0))


MEMBER = NegativeBinomial()
