"""Counts with more, or fewer, zeros than their distribution has: what zero inflation and hurdles share.

    inflated   P(0) = π + (1 - π) f(0)      P(y) = (1 - π) f(y)
    hurdle     P(0) = π                     P(y) = (1 - π) f(y)/(1 - f(0))        y > 0

f is the distribution of another family, whose linear predictors come first; the last one is logit π.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ResponseError, printable
from ..numerics import functions as f
from ..numerics.jets import where
from .base import Family, Given, Observations
from .support import counts, observed


@dataclass(frozen=True)
class WithZeros(Family):
    """Contract of the two kinds: the family of the counts, and what the zeros do to its moments."""

    discrete = True
    takes = ("rate",)

    @property
    @abstractmethod
    def counted(self) -> Family:
        """The family of the counts."""

    def observe(self, given: Given) -> Observations:
        y = counts(given)
        if np.all(y > 0):
            raise ResponseError(
                f'response "{printable(given.name)}" has no zero in {len(y)} rows: nothing to model by '
                f'"{self.further[-1].name}"',
                code="E_CONSTANT_RESPONSE",
                hint=f'Use family="{self.counted.name}".',
                column=given.name,
            )
        return observed(self, given, y)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        share = float(np.clip(self.start_share * np.mean(obs.y == 0), 0.01, 0.99))
        level = np.full(len(obs), np.log(share / (1.0 - share)))
        return np.column_stack([self.counted.start(obs, links[:-1]), level])

    start_share = 0.5  # of the zeros that are extra at the start


def parts(eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """η of the counts, π and 1 - π."""
    return eta[:, :-1], f.expit(eta[:, -1]), f.expit(-eta[:, -1])


@dataclass(frozen=True)
class Inflated(WithZeros):
    """Some rows are zero for a reason of their own, with probability "zi"; the others are counts, zero or not."""

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        count = f.log_expit(-eta[-1]) + self.counted.log_density(obs, eta[:-1], links[:-1])
        zero = obs.y == 0
        return where(zero, f.logaddexp(f.log_expit(eta[-1]), count), count) if zero.any() else count

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        inner, _, rest = parts(eta)
        return rest * self.counted.mean(obs, inner, links[:-1])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        inner, pi, rest = parts(eta)
        mean = self.counted.mean(obs, inner, links[:-1])
        return rest * (self.counted.variance(obs, inner, links[:-1]) + pi * mean**2)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        inner, pi, _ = parts(eta)
        return np.where(rng.random(len(eta)) < pi, 0.0, self.counted.simulate(obs, inner, links[:-1], rng))

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = obs.y if y is None else y
        inner, pi, rest = parts(eta)
        below, upto = self.counted.cdf(obs, inner, links[:-1], at)
        return np.where(at > 0, pi + rest * below, 0.0), np.where(at >= 0, pi + rest * upto, 0.0)


@dataclass(frozen=True)
class Hurdle(WithZeros):
    """Zero or not is one question, with probability "hu" of a zero; how many if not is another."""

    start_share = 1.0

    @abstractmethod
    def log_zero(self, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        """log(-log f(0))."""

    @abstractmethod
    def draw_positive(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        """Counts above zero."""

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        some = obs.with_y(np.maximum(obs.y, 1.0))
        count = self.counted.log_density(some, eta[:-1], links[:-1])
        positive = f.log_expit(-eta[-1]) + count - f.log_loglog(self.log_zero(eta[:-1], links[:-1]))
        return where(obs.y > 0, positive, f.log_expit(eta[-1]))

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        inner, _, rest = parts(eta)
        return rest * self.counted.mean(obs, inner, links[:-1]) / self._positive(inner, links)

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        inner, _, rest = parts(eta)
        mean = self.counted.mean(obs, inner, links[:-1])
        square = (self.counted.variance(obs, inner, links[:-1]) + mean**2) / self._positive(inner, links)
        return rest * square - self.mean(obs, eta, links) ** 2

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        inner, pi, _ = parts(eta)
        return np.where(rng.random(len(eta)) < pi, 0.0, self.draw_positive(inner, links[:-1], rng))

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = obs.y if y is None else y
        inner, pi, rest = parts(eta)
        none = self.counted.cdf(obs, inner, links[:-1], np.zeros(len(at)))[1]
        below, upto = (
            pi + rest * np.clip((p - none) / self._positive(inner, links), 0.0, 1.0)
            for p in self.counted.cdf(obs, inner, links[:-1], at)
        )
        return np.where(at > 0, below, 0.0), np.where(at >= 0, upto, 0.0)

    def _positive(self, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """1 - f(0)."""
        return np.asarray(-np.expm1(-np.exp(self.log_zero(list(eta.T), links[:-1]))))
