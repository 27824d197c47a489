"""Profiles of an approximate likelihood: its minimum with one parameter held at a value.

    D(v) = min { d(φ) : this parameter = v } − min d

coefficients, constants   a'c = v: c = v a/a'a + N γ, N spanning what is orthogonal to a; γ is searched
sds, correlations         the term's covariance is pinned (`pinned.py`), all else is searched

Every search starts from the nearest value already known, for any criterion that evaluates like `core.laplace.Laplace`.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..numerics.newton import minimise
from ..scales.base import Scale
from .laplace import Laplace, LaplaceState
from .laplace_objective import LaplaceObjective
from .pinned import pinned_correlation, pinned_sd, pinned_start

MOST_STEPS = 60
Row = np.ndarray


@dataclass(frozen=True)
class HeldState:
    """A point of the reduced parameters with the full state behind it."""

    theta: np.ndarray
    value: float
    full: LaplaceState


class HeldObjective:
    """The criterion over φ with a'c = `value`, as `numerics.newton.Objective`.

    Parameters
    ----------
    criterion : Laplace
    a : (p,) the combination of coefficients that is held
    """

    def __init__(self, criterion: Laplace, a: Row) -> None:
        self.inner = LaplaceObjective(criterion)
        self.n_theta = criterion.n_theta
        self.along = a / float(a @ a)
        self.rest = np.linalg.svd(a[None, :])[2][1:].T
        self.value = 0.0
        keep = len(self.inner.kinds) - 1
        self.kinds, self.bounds = list(self.inner.kinds)[:keep], list(self.inner.bounds)[:keep]
        self.additive, self.reach, self.weight = (
            np.asarray(v)[:keep] for v in (self.inner.additive, self.inner.reach, self.inner.weight)
        )
        self.learns = True

    @property
    def seconds(self) -> float:
        return float(self.inner.seconds)

    def full(self, theta: np.ndarray) -> np.ndarray:
        """φ of reduced parameters."""
        c = self.along * self.value + self.rest @ theta[self.n_theta :]
        return np.concatenate([theta[: self.n_theta], c])

    def reduced(self, phi: np.ndarray) -> np.ndarray:
        """Reduced parameters of φ (whatever value a'c has there)."""
        return np.concatenate([phi[: self.n_theta], self.rest.T @ phi[self.n_theta :]])

    def evaluate(self, theta: np.ndarray) -> HeldState:
        found = self.inner.evaluate(self.full(theta))
        return HeldState(theta, found.value, found)

    def _projected(self, gradient: np.ndarray) -> np.ndarray:
        return np.concatenate([gradient[: self.n_theta], self.rest.T @ gradient[self.n_theta :]])

    def slope(self, state: HeldState) -> tuple[np.ndarray, np.ndarray]:
        gradient, hessian = self.inner.slope(state.full)
        half = np.array([self._projected(row) for row in hessian])
        return self._projected(gradient), np.array([self._projected(row) for row in half.T])

    def gradient(self, state: HeldState) -> np.ndarray:
        return self._projected(self.inner.gradient(state.full))

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        return self.reduced(self.inner.canonical(self.full(theta)))

    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray:
        return self.reduced(self.inner.zeroed(self.full(theta), j))

    def tied(self, j: int) -> tuple[int, ...]:
        return self.inner.tied(j)

    def release(self, state: HeldState, zeros: set[int]) -> np.ndarray | None:
        found = self.inner.release(state.full, zeros)  # type: ignore[arg-type]
        return None if found is None else self.reduced(found)


def with_scales(criterion: Laplace, scales: Sequence[Scale]) -> Laplace:
    """The criterion with other covariances of its terms, in the same workspace."""
    out = copy.copy(criterion)
    out.scales = tuple(scales)
    ends = np.concatenate([[0], np.cumsum([len(s.kinds()) for s in scales])]).astype(int)
    out.slices = [slice(ends[t], ends[t + 1]) for t in range(len(scales))]
    out.n_theta = int(ends[-1])
    out._tangent = None
    out.__dict__.pop("level_weights", None)
    forget(out)
    return out


def forget(criterion: Laplace) -> None:
    """The workspace holds something else now: the next question factors anew."""
    criterion.current = None
    if "_factored_at" in criterion.__dict__:
        criterion.__dict__["_factored_at"] = None


class _Profiled(ABC):
    """D(v), with the φ found at every value."""

    range = (-math.inf, math.inf)

    def __init__(self, criterion: Laplace, state: LaplaceState, estimate: float, step: float) -> None:
        self.criterion, self.least, self.estimate, self.step = criterion, state.value, estimate, step
        self.known: list[tuple[float, np.ndarray]] = []

    def near(self, v: float) -> np.ndarray:
        return min(self.known, key=lambda item: abs(item[0] - v))[1]

    def drop(self, v: float) -> float:
        """D(v)."""
        with np.errstate(all="ignore"):
            state = self.minimum(v)
        forget(self.criterion)  # the workspace is shared
        if np.isfinite(state.value):
            self.known.append((v, np.array(state.theta)))
        return float(state.value - self.least)

    @abstractmethod
    def minimum(self, v: float) -> Any:
        """The state of least d with the parameter at v."""


class HeldCoefficient(_Profiled):
    """A coefficient, or a constant of the family on its link's scale: a'c."""

    def __init__(self, criterion: Laplace, state: LaplaceState, a: Row, step: float) -> None:
        super().__init__(criterion, state, float(a @ state.theta[criterion.n_theta :]), step)
        self.objective = HeldObjective(criterion, a)
        self.known.append((self.estimate, self.objective.reduced(state.theta)))

    def minimum(self, v: float) -> HeldState:
        self.objective.value = v
        start = self.near(v)
        if not len(start):
            return self.objective.evaluate(start)
        found: HeldState = minimise(self.objective, start, maxiter=MOST_STEPS, polish=False)[0]
        return found


class _HeldTerm(_Profiled):
    """Something of one term's covariance."""

    def __init__(
        self, criterion: Laplace, state: LaplaceState, term: int, places: tuple[int, ...], estimate: float, step: float
    ) -> None:
        super().__init__(criterion, state, estimate, step)
        self.term, self.places = term, places
        self.scale, self.to = criterion.scales[term], criterion.rows.to_effects[term]
        self.state = state
        self.known.append((estimate, self._start()))

    def _start(self, zero: bool = False) -> np.ndarray:
        part = self.criterion.slices[self.term]
        lam = self.to @ self.scale.factor(self.state.theta[part])
        own = pinned_start(self.scale, self.to, lam @ lam.T, self.places, zero)
        return np.concatenate([self.state.theta[: part.start], own, self.state.theta[part.stop :]])

    def _at(self, pinned: Scale, start: np.ndarray) -> LaplaceState:
        scales = list(self.criterion.scales)
        scales[self.term] = pinned
        held = with_scales(self.criterion, scales)
        if not len(start):
            return held.evaluate(start)
        found: LaplaceState = minimise(LaplaceObjective(held), start, maxiter=MOST_STEPS, polish=False)[0]
        return found


class HeldSd(_HeldTerm):
    """The standard deviation of coefficient `i` of a term."""

    range = (0.0, math.inf)

    def minimum(self, v: float) -> LaplaceState:
        pinned = pinned_sd(self.scale, self.to, self.places[0], v)
        near = self.near(v)
        start = self._start(zero=True) if v == 0.0 else near if len(near) == self._size(pinned) else self._start()
        return self._at(pinned, start)

    def _size(self, pinned: Scale) -> int:
        part = self.criterion.slices[self.term]
        return len(self.state.theta) - (part.stop - part.start) + len(pinned.kinds())


class HeldCorrelation(_HeldTerm):
    """The correlation of two coefficients of a term; where one has no variance, every correlation is the same."""

    range = (-1.0, 1.0)

    def minimum(self, v: float) -> LaplaceState:
        i, j = self.places
        found = self._at(pinned_correlation(self.scale, self.to, i, j, v), self.near(v))
        return found

    def drop(self, v: float) -> float:
        return min(super().drop(v), self._most)

    @property
    def _most(self) -> float:
        if "most" not in self.__dict__:
            least = []
            for place in self.places:
                alone = HeldSd(self.criterion, self.state, self.term, (place,), 1.0, 1.0)
                least.append(alone.drop(0.0))
            self.__dict__["most"] = min(least)
        return float(self.__dict__["most"])


def sd_interval(profile: HeldSd, half: float) -> tuple[float, float]:
    """Ends at which D of a standard deviation has risen by half²; 0 where it does not rise that far on the way down."""
    drop = half**2
    lower = 0.0
    if profile.estimate > 0.0 and profile.drop(0.0) > drop:
        lower = _crossing(profile, half, profile.estimate, -1)
    return lower, _crossing(profile, half, profile.estimate, 1)


def _crossing(profile: HeldSd, half: float, start: float, side: int) -> float:
    """Where √D is `half`, by regula falsi (Illinois) inside a bracket found by growing steps."""
    step = min(max(profile.step, 1e-3 * max(start, 1e-3)), 10.0 * max(start, profile.step)) * half
    a, fa = start, -half
    for _ in range(40):
        b = max(a + side * step, 0.0)
        fb = _root_of(profile, b) - half
        if fb > 0.0:
            break
        if b == 0.0:
            return 0.0
        a, fa, step = b, fb, 1.6 * step
    else:
        return math.inf
    for _ in range(40):
        c = (a * fb - b * fa) / (fb - fa)
        fc = _root_of(profile, c) - half
        if abs(fc) < 1e-5 or abs(b - a) < 1e-7 * max(abs(b), 1e-300):
            return c
        if fc * fb < 0.0:
            a, fa = b, fb
        else:
            fa *= 0.5
        b, fb = c, fc
    return b


def _root_of(profile: HeldSd, v: float) -> float:
    drop = profile.drop(v)
    return math.sqrt(max(drop, 0.0)) if drop == drop and math.isfinite(drop) else 1e3
