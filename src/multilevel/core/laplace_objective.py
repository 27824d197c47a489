"""Laplace's criterion as the Newton driver wants it: covariance parameters with their boundaries, then coefficients."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .laplace import Laplace, LaplaceState
from .likelihood import bend
from .objective import GaussianObjective

LONG_WAY, FLAT, NEVER = 5.0, 0.02, 20.0  # of a constant, on its link's scale: suspicious, no information, the limit
SAME = 0.05  # standard errors within which the Hessian is taken to be what it was
FAR = 3.0  # how far a coefficient of a standardised column may move at once


class ConstantAtLimit(Exception):
    """A constant of the family wanders off to where it says nothing: no overdispersion, no extra zeros."""

    def __init__(self, name: str, sign: float, value: float) -> None:
        super().__init__(name)
        self.name, self.sign, self.value = name, sign, value


class LaplaceObjective(GaussianObjective):
    """Adapter of `Laplace` to `numerics.newton.Objective`: φ = (θ, c)."""

    likelihood: Laplace  # type: ignore[assignment]
    learns = True  # the curvature of log|H| is not in the Hessian

    def __init__(self, laplace: Laplace) -> None:
        n = laplace.n_coefficients
        self.likelihood = laplace  # type: ignore[assignment]
        self.kinds = [kind for s in laplace.scales for kind in s.kinds()] + ["free"] * n
        self.bounds = [s.bounds() if s.k > 1 else (-1.0, 1.0) for s in laplace.scales for _ in s.kinds()]
        self.bounds += [(-1.0, 1.0)] * n
        self.weight = np.concatenate([laplace.level_weights, np.ones(n)])
        self.additive = np.array([s.triangular for s in laplace.scales for _ in s.kinds()] + [False] * n, dtype=bool)
        self._term = [t for t, s in enumerate(laplace.scales) for _ in s.kinds()] + [-1] * n
        self._model: tuple[np.ndarray, np.ndarray] | None = None  # where, and what
        self._last: tuple[LaplaceState, np.ndarray] | None = None  # a gradient may be asked for again

    @property
    def seconds(self) -> float:  # type: ignore[override]
        """Rough time of a gradient with its evaluation, from sizes alone: the same path on every run."""
        laplace = self.likelihood
        return laplace.seconds + 2e-7 * laplace.rows.n * laplace.rows.m**2

    @cached_property
    def reach(self) -> np.ndarray:
        laplace = self.likelihood
        out = np.full(len(self.kinds), FAR)
        out[: laplace.n_theta] = 1.0
        for t, scale in enumerate(laplace.scales):
            if scale.triangular:
                rows, cols = scale.entries()
                weight = np.ones(scale.k)
                weight[rows[rows == cols]] = self.weight[laplace.slices[t]][rows == cols]
                out[laplace.slices[t]] = 2.0 / np.sqrt(weight[rows])
        return out

    def evaluate(self, theta: np.ndarray) -> LaplaceState:  # type: ignore[override]
        return self.likelihood.evaluate(theta)

    def slope(self, state: LaplaceState) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[override]
        known = self._model_near(state)
        slope = self.likelihood.slope(state, information=known is None)
        self._last = state, slope.gradient
        if known is None:
            known = slope.hessian
            n = self.likelihood.n_theta
            if n:
                known[:n, :n] += self._bends_of(state, slope.scores)
            self._model = state.theta, known
        self._refuse_flat(state.theta, slope.gradient, known)
        return slope.gradient, known

    def _refuse_flat(self, theta: np.ndarray, gradient: np.ndarray, hessian: np.ndarray) -> None:
        """Leave the search where a constant is far from its start, still on its way out, and flat."""
        laplace = self.likelihood
        for name, _, place in laplace.rows.constants:
            j = laplace.n_theta + place
            gone = theta[j] - laplace.start_coefficients[place]
            if abs(gone) > LONG_WAY and gradient[j] * gone < 0.0 and max(abs(gradient[j]), abs(hessian[j, j])) < FLAT:
                sign = float(np.sign(gone))
                raise ConstantAtLimit(name, sign, float(laplace.start_coefficients[place] + sign * NEVER))

    def _model_near(self, state: LaplaceState) -> np.ndarray | None:
        """The last model of the Hessian, where it is from a point less than `SAME` standard errors away."""
        if self._model is None:
            return None
        at, hessian = self._model
        apart = np.abs(state.theta - at) * np.sqrt(np.maximum(np.diag(hessian), 0.0))
        return hessian if np.max(apart, initial=0.0) < SAME else None

    def _bends_of(self, state: LaplaceState, scores: Sequence[np.ndarray]) -> np.ndarray:
        """Curvature of Λ ↦ ΛΛ' for the triangular terms; columns at zero are probed just off it."""
        laplace = self.likelihood
        n = laplace.n_theta
        theta = state.theta
        if any(self._partly_zero(t, theta) for t in range(len(laplace.scales))):
            theta = theta.copy()
            for j in np.flatnonzero((state.theta[:n] == 0.0) & (np.array(self.kinds[:n]) == "positive")):
                theta[j] = np.sqrt(1e-6 / self.weight[j])
            near = self.evaluate(theta)
            if near.mode is None:
                return np.zeros((n, n))
            scores = laplace.slope(near, information=False).scores
        out = np.zeros((n, n))
        for t, (part, scale) in enumerate(zip(laplace.slices, laplace.scales, strict=True)):
            if scale.triangular:
                out[part, part] = bend(scale, theta[part], scores[t])
        return out

    def gradient(self, state: LaplaceState) -> np.ndarray:  # type: ignore[override]
        if self._last is None or self._last[0] is not state:
            self._last = state, self.likelihood.slope(state, information=False).gradient
        return self._last[1]
