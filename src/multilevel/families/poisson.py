"""Counts.

y_i ~ Poisson(μ_i),   g(μ_i) = η_i,   log p(y) = y log μ - μ - log y!
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from .base import Derivatives, Observations, plain, single
from .counts import draw_poisson, log_poisson, poisson_below
from .limits import Counts


@dataclass(frozen=True)
class Poisson(Counts):
    """Counts whose variance is their mean; with exposure d, ``y | rate(d)`` or ``offset(log(d))``.

    ``y | trunc(lb=1)`` is the zero-truncated distribution, μ the mean before zeros are cut off.

    McCullagh & Nelder (1989), *Generalized Linear Models*, chapter 6.
    """

    links = ("log", "identity", "sqrt")
    mergeable = True

    def log_probability(self, y: np.ndarray, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return log_poisson(y, link(links[0]).log_mean(eta[0]))

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        if links[0] != "log" or obs.bounds is not None:
            return None
        from ..numerics.rows import log_rows

        out = np.empty((order + 1, len(obs)))
        log_rows(plain(obs.y), plain(eta[:, 0]), order, out)
        return single(out)

    def kernel(self, links: tuple[str, ...]) -> str | None:
        return "poisson_log" if links[0] == "log" else None

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return forward(links[0], obs.y + 0.25)[:, None]

    def moments(self, eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        mu = inverse(links[0], eta[:, 0])
        return mu, mu

    def below(self, k: np.ndarray, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return poisson_below(k, inverse(links[0], eta[:, 0]))

    def draw(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        return draw_poisson(inverse(links[0], eta[:, 0]), rng)


MEMBER = Poisson()
