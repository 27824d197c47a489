"""Positive amounts with a constant coefficient of variation.

y_i ~ Gamma(shape a, mean μ_i),   g(μ_i) = η_i,   Var y = μ²/a

log p(y) = -a (e^δ - 1 - δ) + ½ log a - log y - ½ log 2π - stirling(a),   δ = log y - log μ
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from ..numerics import functions as f
from .base import Family, Further, Given, Observations
from .support import observed, positive

SHAPE = Further("shape", ("log",), "shape a: the coefficient of variation is 1/√a")


@dataclass(frozen=True)
class Gamma(Family):
    """Waiting times, costs, amounts. The default link is the log (R's is the inverse, which allows negative means).

    `weights` are precisions: Var y_i = μ_i²/(a w_i).

    McCullagh & Nelder (1989), *Generalized Linear Models*, chapter 8.
    """

    links = ("log", "inverse", "identity")
    further = (SHAPE,)
    precision = True

    def observe(self, given: Given) -> Observations:
        return observed(self, given, positive(given, "gamma"))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_y = np.log(obs.y)
        log_a = log_shape(obs, eta[1])
        delta = log_y - link(links[0]).log_mean(eta[0])
        distance = f.exp(log_a) * (f.expm1(delta) - delta)
        return 0.5 * log_a - distance - log_y - f.HALF_LOG_2PI - f.stirling_error(log_a)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return np.column_stack([forward(links[0], obs.y), np.full(len(obs), -np.log(start_log_variance(obs.y)))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.asarray(inverse(links[0], eta[:, 0]) ** 2 / np.exp(log_shape(obs, eta[:, 1])))

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        shape = np.exp(log_shape(obs, eta[:, 1]))
        return np.asarray(np.maximum(rng.gamma(shape), 1e-300) * (inverse(links[0], eta[:, 0]) / shape))

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy.special import gammainc

        at, shape = obs.y if y is None else y, np.exp(log_shape(obs, eta[:, 1]))
        below = gammainc(shape, shape * np.maximum(at, 0.0) / inverse(links[0], eta[:, 0]))
        return below, below


def log_shape(obs: Observations, log_a: Any) -> Any:
    """log(a w)."""
    return log_a if obs.precision is None else log_a + np.log(obs.precision)


def start_log_variance(y: np.ndarray) -> float:
    """The variance of log y, never zero."""
    return float(np.clip(np.var(np.log(y)), 1e-6, 10.0))


MEMBER = Gamma()
