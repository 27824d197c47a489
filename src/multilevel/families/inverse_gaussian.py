"""Positive amounts with heavy right tails.

y_i ~ IG(μ_i, λ),   g(μ_i) = η_i,   log p(y) = ½ log λ/(2π y³) - λ (y - μ)²/(2 μ² y),   Var y = μ³/λ
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse, link
from ..numerics import functions as f
from .base import Family, Further, Given, Observations
from .gamma import log_shape
from .support import observed, positive

SHAPE = Further("shape", ("log",), "shape λ: variance μ³/λ")


@dataclass(frozen=True)
class InverseGaussian(Family):
    """First-passage times. The default link is the log (R's is 1/μ², here ``"inverse_squared"``).

    `weights` are precisions: Var y_i = μ_i³/(λ w_i).

    Chhikara & Folks (1989), *The Inverse Gaussian Distribution*.
    """

    links = ("log", "inverse_squared", "inverse", "identity")
    further = (SHAPE,)
    precision = True

    def observe(self, given: Given) -> Observations:
        return observed(self, given, positive(given, "inverse Gaussian"))

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_y = np.log(obs.y)
        log_a = log_shape(obs, eta[1])
        distance = f.expm1(log_y - link(links[0]).log_mean(eta[0]))  # y/μ - 1
        return 0.5 * (log_a - 3.0 * log_y) - f.HALF_LOG_2PI - 0.5 * (f.exp(log_a - log_y) * distance) * distance

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        shape = 1.0 / max(float(np.mean(1.0 / obs.y) - 1.0 / np.mean(obs.y)), 1e-12 / float(np.mean(obs.y)))
        return np.column_stack([forward(links[0], obs.y), np.full(len(obs), np.log(shape))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.asarray(inverse(links[0], eta[:, 0]) ** 3 / np.exp(log_shape(obs, eta[:, 1])))

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return rng.wald(inverse(links[0], eta[:, 0]), np.exp(log_shape(obs, eta[:, 1])))

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from scipy.special import log_ndtr, ndtr

        at = np.maximum(obs.y if y is None else y, 1e-300)
        mu, shape = inverse(links[0], eta[:, 0]), np.exp(log_shape(obs, eta[:, 1]))
        root = np.sqrt(shape / at)
        below = ndtr(root * (at / mu - 1.0)) + np.exp(2.0 * shape / mu + log_ndtr(-root * (at / mu + 1.0)))
        return below, below


MEMBER = InverseGaussian()
