"""Counts with a variance in proportion to the mean.

y_i ~ NB(μ_i, s_i = μ_i/φ),   g(μ_i) = η_i,   E y = μ,   Var y = μ (1 + φ)
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

PHI = Further("phi", ("log",), "overdispersion φ: variance μ (1 + φ)")


@dataclass(frozen=True)
class NegativeBinomial1(Counts):
    """Counts with overdispersion that is the same at every mean ("NB1").

    Where counts are no more spread than Poisson's, the likelihood rises towards φ = 0: use ``"poisson"``.

    Cameron & Trivedi (2013), *Regression Analysis of Count Data*, section 3.3.
    """

    links = ("log", "identity", "sqrt")
    further = (PHI,)

    def log_probability(self, y: np.ndarray, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_mu = link(links[0]).log_mean(eta[0])
        return log_negative_binomial(y, log_mu, log_mu - eta[1])

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        phi = float(np.clip(np.var(obs.y) / np.mean(obs.y) - 1.0, 0.1, 5.0))
        return np.column_stack([forward(links[0], obs.y + 0.25), np.full(len(obs), np.log(phi))])

    def moments(self, eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        mu = inverse(links[0], eta[:, 0])
        return mu, mu * (1.0 + np.exp(eta[:, 1]))

    def below(self, k: np.ndarray, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return negative_binomial_below(k, *_mean_size(eta, links))

    def draw(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        return draw_negative_binomial(*_mean_size(eta, links), rng)


def _mean_size(eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """μ and s = μ/φ."""
    mu = inverse(links[0], eta[:, 0])
    return mu, mu * np.exp(-eta[:, 1])


MEMBER = NegativeBinomial1()
