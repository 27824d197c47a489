"""Unordered categories.

P(y_i = k) = exp(η_ik)/Σ_j exp(η_ij),   η_i0 = 0 for the first category, one linear predictor for each other one
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics import functions as f
from ..numerics.jets import value, where
from .base import Derivatives, Family, Given, Observations, impossible
from .ordinal import observe_categories


@dataclass(frozen=True)
class Categorical(Family):
    """Choices among categories: log odds of each against the first (names of coefficients: ``muB_x``).

    Every category has group effects of its own: few rows of a category in a group say little about them.

    McFadden (1973), *Conditional Logit Analysis of Qualitative Choice Behavior*.
    """

    links = ("logit",)
    discrete = True

    def observe(self, given: Given) -> Observations:
        return observe_categories(self, given, ordered=False)

    def locations(self, obs: Observations) -> tuple[str, ...]:
        return tuple(f"mu{level}" for level in obs.levels[1:])

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        top = np.maximum(0.0, np.max([value(e) for e in eta], axis=0))
        total = f.exp(0.0 * eta[0] - top)
        chosen = 0.0 * eta[0]
        for k, e in enumerate(eta, start=1):
            total = total + f.exp(e - top)
            chosen = where(obs.y == k, e, chosen)
        return chosen - f.log(total) - top

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        if order > 3:
            return None
        y = obs.y.astype(np.int64)
        p = probabilities(eta)
        chosen = y[:, None] == np.arange(len(p.T))
        value = np.take_along_axis(_log_probabilities(eta), y[:, None], 1)[:, 0]
        parts: list[np.ndarray] = []
        if order >= 1:
            parts.append((chosen - p)[:, 1:])
        p = p[:, 1:]
        one = np.eye(p.shape[1])
        if order >= 2:
            second = one * p[:, None] - p[:, :, None] * p[:, None]
            parts.append(second)
        if order >= 3:
            # third cumulants: the derivative of the covariance by each η
            third = np.einsum("ij,ik,nk->nijk", one, one, p) - np.einsum("ij,ni,nk->nijk", one, p, p)
            third -= np.einsum("nik,nj->nijk", second, p) + np.einsum("ni,njk->nijk", p, second)
            parts.append(third)
        return impossible(value, *parts)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        chosen = obs.y[:, None] == np.arange(len(obs.levels))
        logs = np.log(0.5 * chosen + 0.5 * chosen.mean(axis=0))
        return np.asarray(logs[:, 1:] - logs[:, :1])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """Probabilities of the categories (n, K)."""
        return probabilities(eta)

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """p (1 - p) of each category (n, K)."""
        p = probabilities(eta)
        return p * (1.0 - p)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        below = np.cumsum(probabilities(eta), axis=1)[:, :-1]
        return (rng.random(len(eta))[:, None] > below).sum(axis=1).astype(float)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sums over the categories in their order, which for these means nothing in itself."""
        at = np.asarray(obs.y if y is None else y).astype(np.int64)
        p = probabilities(eta)
        steps = np.column_stack([np.zeros(len(p)), np.cumsum(p, axis=1)])
        steps[:, -1] = 1.0
        rows, top = np.arange(len(at)), steps.shape[1] - 1
        return steps[rows, np.clip(at, 0, top)], steps[rows, np.clip(at + 1, 0, top)]

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return np.full(len(obs), np.pi**2 / 3.0)

    def words(self, obs: Observations) -> str:
        others = ", ".join(obs.levels[1:])
        return f"{obs.name}: {others} against {obs.levels[0]}"


def _log_probabilities(eta: np.ndarray) -> np.ndarray:
    full = np.column_stack([np.zeros(len(eta)), eta])
    top = full.max(axis=1, keepdims=True)
    return np.asarray(full - top - np.log(np.exp(full - top).sum(axis=1, keepdims=True)))


def probabilities(eta: np.ndarray) -> np.ndarray:
    """(n, K), the first category first."""
    return np.asarray(np.exp(_log_probabilities(eta)))


MEMBER = Categorical()
