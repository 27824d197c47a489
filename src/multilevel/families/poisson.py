"""Counts.

y_i ~ Poisson(μ_i),   g(μ_i) = η_i,   log p(y) = y log μ - μ - log y!
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from .base import Derivatives, Family, Given, Observations, single
from .counts import draw_poisson, log_poisson, poisson_below
from .support import counts, observed, plain


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

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        if links[0] != "log":
            return None
        from ..numerics.rows import log_rows

        out = np.empty((order + 1, len(obs)))
        log_rows(plain(obs.y), plain(eta[:, 0]), order, out)
        return single(out)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return forward(links[0], obs.y + 0.25)[:, None]

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return draw_poisson(inverse(links[0], eta[:, 0]), rng)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at, mu = obs.y if y is None else y, inverse(links[0], eta[:, 0])
        return poisson_below(at - 1.0, mu), poisson_below(at, mu)


MEMBER = Poisson()
