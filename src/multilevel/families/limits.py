"""Count families whose rows may be truncated: what is outside the bounds is never seen.

    p(y | lb ≤ Y ≤ ub) = p(y)/Σ_{lb ≤ k ≤ ub} p(k)

The sums run over the counts below the bound, so that zero truncation, ``y | trunc(lb=1)``, has a single term. A
family of counts states its probabilities, moments and draws without bounds; this contract adds them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ResponseError, printable
from ..numerics import functions as f
from ..numerics.jets import Number, value, where
from .base import Family, Given, Observations
from .support import counts, observed

MOST = 500  # terms of a sum


@dataclass(frozen=True)
class Counts(Family):
    """Contract of a family of counts without extra zeros."""

    discrete = True
    takes = ("rate", "trunc")

    @abstractmethod
    def log_probability(self, y: np.ndarray, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        """log p(y) without bounds, in jets' arithmetic."""

    @abstractmethod
    def moments(self, eta: np.ndarray, links: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance without bounds."""

    @abstractmethod
    def below(self, k: np.ndarray, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """P(Y ≤ k) without bounds."""

    @abstractmethod
    def draw(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        """Draws without bounds."""

    def observe(self, given: Given) -> Observations:
        obs = observed(self, given, counts(given))
        if obs.bounds is not None:
            _check(given, *whole(obs.bounds))
        return obs

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        out = self.log_probability(obs.y, eta, links)
        return out if obs.bounds is None else out - self._log_inside(obs.bounds, eta, links)

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        if obs.bounds is None:
            return self.moments(eta, links)[0]
        total, first, _ = self._inside(obs.bounds, eta, links)
        return first / total

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        if obs.bounds is None:
            return self.moments(eta, links)[1]
        total, first, second = self._inside(obs.bounds, eta, links)
        return second / total - (first / total) ** 2

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        if obs.bounds is None:
            return self.draw(eta, links, rng)
        lower, upper = whole(obs.bounds)
        start, stop = (self._upto(k, eta, links) for k in (lower - 1.0, upper))
        return self._quantile(start + rng.random(len(eta)) * (stop - start), lower, upper, eta, links)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = obs.y if y is None else y
        under, upto = self.below(at - 1.0, eta, links), self.below(at, eta, links)
        if obs.bounds is None:
            return under, upto
        lower, upper = whole(obs.bounds)
        start, stop = (self._upto(k, eta, links) for k in (lower - 1.0, upper))
        with np.errstate(all="ignore"):
            first, second = (np.clip((p - start) / (stop - start), 0.0, 1.0) for p in (under, upto))
        return first, second

    # --- sums ----------------------------------------------------------------------------------------------------
    def _log_inside(self, bounds: tuple[np.ndarray, np.ndarray], eta: Sequence[Any], links: tuple[str, ...]) -> Number:
        """log Σ_{lb ≤ k ≤ ub} p(k): one minus what is below for rows without an upper bound."""
        lower, upper = whole(bounds)
        ended = np.isfinite(upper)
        last = int(np.max(np.where(ended, upper, lower - 1.0)))
        none = -np.inf * np.ones(len(lower))
        below: Number = none
        within: Number = none
        for k in range(last + 1):
            under, inside = (k < lower) & ~ended, (k >= lower) & (k <= upper) & ended
            one = self.log_probability(np.full(len(lower), float(k)), eta, links)
            below = _added(below, one, under)
            within = _added(within, one, inside)
        some = ~ended & (lower > 0)
        open_ended = f.log1mexp(-where(some, below, -1.0 + 0.0 * one)) if last >= 0 else 0.0
        return where(ended, within, where(some, open_ended, 0.0 * eta[0]))

    def _inside(
        self, bounds: tuple[np.ndarray, np.ndarray], eta: np.ndarray, links: tuple[str, ...]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Σ p(k), Σ k p(k) and Σ k² p(k) within the bounds."""
        lower, upper = whole(bounds)
        ended = np.isfinite(upper)
        mean, variance = self.moments(eta, links)
        sums = np.where(ended, 0.0, np.array([np.ones(len(mean)), mean, variance + mean**2]))
        last = int(np.max(np.where(ended, upper, lower - 1.0)))
        for k in range(last + 1):
            with np.errstate(all="ignore"):
                p = np.exp(self.log_probability(np.full(len(mean), float(k)), list(eta.T), links))
            share = np.where(ended, p * ((k >= lower) & (k <= upper)), -p * (k < lower))
            sums = sums + share * np.array([[1.0], [k], [k * k]])
        return sums[0], sums[1], sums[2]

    def _upto(self, k: np.ndarray, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        finite = np.isfinite(k)
        return np.where(finite, self.below(np.where(finite, k, 0.0), eta, links), 1.0)

    def _quantile(
        self, u: np.ndarray, lower: np.ndarray, upper: np.ndarray, eta: np.ndarray, links: tuple[str, ...]
    ) -> np.ndarray:
        """The smallest count with P(Y ≤ k) ≥ u, between the bounds, by bisection."""
        low, high = lower - 1.0, np.minimum(np.maximum(2.0 * lower, 1.0), upper)
        while np.any(short := (self.below(high, eta, links) < u) & (high < upper) & (high < 1e18)):
            low = np.where(short, high, low)
            high = np.where(short, np.minimum(4.0 * high + 1.0, upper), high)
        while np.any(high - low > 1.0):
            middle = np.floor((low + high) / 2.0)
            enough = self.below(middle, eta, links) >= u
            low, high = np.where(enough, low, middle), np.where(enough, middle, high)
        return high


def whole(bounds: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The bounds as counts."""
    return np.ceil(np.maximum(bounds[0], 0.0)), np.floor(bounds[1])


def _added(total: Number, one: Number, rows: np.ndarray) -> Number:
    """log(e^total + e^one) in some rows."""
    if not rows.any():
        return total
    empty = ~np.isfinite(value(total)) & rows
    more = f.logaddexp(where(empty, one, total), one) if (rows & ~empty).any() else one
    return where(empty, one, where(rows, more, total))


def _check(given: Given, lower: np.ndarray, upper: np.ndarray) -> None:
    """Sums of many terms are refused: such bounds hardly matter, and normal responses have them in closed form."""
    last = np.where(np.isfinite(upper), upper, lower - 1.0)
    rows = np.flatnonzero(last > MOST)
    if len(rows):
        i = int(rows[0])
        raise ResponseError(
            f'trunc() of "{printable(given.name)}" needs {last[i]:g} terms in row {given.row(i)}, more than {MOST}',
            hint='Leave out a bound that no count comes near, or use family="lognormal".',
        )
