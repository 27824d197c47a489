"""Counts with a variance in proportion to the mean.

y_i ~ NB(μ_i, s_i = μ_i/φ),   g(μ_i) = η_i,   E y = μ,   Var y = μ (1 + φ)
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

PHI = Further("phi", ("log",), "overdispersion φ: variance μ (1 + φ)")


@dataclass(frozen=True)
class NegativeBinomial1(Family):
    """Counts with overdispersion that is the same at every mean ("NB1").

    Where counts are no more spread than Poisson's, the likelihood rises towards φ = 0: use ``"poisson"``.

    Cameron & Trivedi (2013), *Regression Analysis of Count Data*, section 3.3.
    """

    links = ("log", "identity", "sqrt")
    further = (PHI,)
    discrete = True
    takes = ("rate",)

    def observe(self, given: Given) -> Observations:
        return observed(self, given, counts(given))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_mu = link(links[0]).log_mean(eta[0])
        return log_negative_binomial(obs.y, log_mu, log_mu - eta[1])

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        phi = float(np.clip(np.var(obs.y) / np.mean(obs.y) - 1.0, 0.1, 5.0))
        return np.column_stack([forward(links[0], obs.y + 0.25), np.full(len(obs), np.log(phi))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.asarray(inverse(links[0], eta[:, 0]) * (1.0 + np.exp(eta[:, 1])))

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        mu = inverse(links[0], eta[:, 0])
        return draw_negative_binomial(mu, mu * np.exp(-eta[:, 1]), rng)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at, mu = obs.y if y is None else y, inverse(links[0], eta[:, 0])
        size = mu * np.exp(-eta[:, 1])
        return negative_binomial_below(at - 1.0, mu, size), negative_binomial_below(at, mu, size)


MEMBER = NegativeBinomial1()
