"""A Gaussian criterion as the Newton driver wants it: kinds, weights, boundary moves."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from ..scales.base import Scale
from .likelihood import Likelihood, Slope, State

PROBE = 1e-6  # share of information at which the score of a zero variance is measured


class GaussianObjective:
    """Adapter of `Likelihood` to `numerics.newton.Objective`."""

    learns = False

    def __init__(self, likelihood: Likelihood) -> None:
        self.likelihood = likelihood
        self.kinds = [kind for s in likelihood.scales for kind in s.kinds()]
        self.bounds = [s.bounds() if s.k > 1 else (-1.0, 1.0) for s in likelihood.scales for _ in s.kinds()]
        self.weight = self._weights()
        self.additive = np.array([s.triangular for s in likelihood.scales for _ in s.kinds()], dtype=bool)
        self._term = [t for t, s in enumerate(likelihood.scales) for _ in s.kinds()]

    def _weights(self) -> np.ndarray:
        """Mean Z'WZ of a level for each parameter, from the size of the derivative of λ."""
        out = np.empty(self.likelihood.n_theta)
        known = self.likelihood.known_sigma2 or 1.0
        for factor in self.likelihood.products.factors:
            mean = np.mean(np.diagonal(factor.gram, axis1=1, axis2=2), axis=0) / known
            for t, first, last in factor.terms:
                scale = self.likelihood.scales[t]
                slopes = scale.derivative(scale.start())
                out[self.likelihood.slices[t]] = np.einsum("jab,a->j", slopes**2, mean[first:last])
        return np.maximum(out * known if self.likelihood.known_sigma2 is None else out, 1e-300)

    @cached_property
    def seconds(self) -> float:
        """Rough time of one gradient."""
        return self.likelihood.elimination.seconds

    @cached_property
    def reach(self) -> np.ndarray:
        """How far an entry of λ may move at once from zero: twice the value at which a level's data weigh as much."""
        out = np.ones(self.likelihood.n_theta)
        for t, scale in enumerate(self.likelihood.scales):
            if scale.triangular:
                rows, cols = scale.entries()
                weight = np.ones(scale.k)
                weight[rows[rows == cols]] = self.weight[self.likelihood.slices[t]][rows == cols]
                out[self.likelihood.slices[t]] = 2.0 / np.sqrt(weight[rows])
        return out

    def evaluate(self, theta: np.ndarray) -> State:
        return self.likelihood.evaluate(theta)

    def canonical(self, theta: np.ndarray) -> np.ndarray:
        """The same covariance with diagonal entries ≥ 0: a column's sign is free."""
        out = theta
        for part, scale in zip(self.likelihood.slices, self.likelihood.scales, strict=True):
            if scale.triangular and np.any(self._diagonal(scale, theta[part]) < 0.0):
                lam = scale.factor(theta[part])
                out = out.copy()
                rows, cols = scale.entries()
                out[part] = (lam * np.where(np.diagonal(lam) < 0.0, -1.0, 1.0))[rows, cols]
        return out

    @staticmethod
    def _diagonal(scale: Scale, theta: np.ndarray) -> np.ndarray:
        rows, cols = scale.entries()
        return theta[rows == cols]

    def slope(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        slope = self.likelihood.slope(state)
        return slope.gradient, slope.hessian + self._bends(state, slope)

    def _bends(self, state: State, slope: Slope) -> np.ndarray:
        """Curvature of Λ ↦ ΛΛ' for the triangular terms; columns at zero are probed just off it."""
        likelihood = self.likelihood
        theta, scores = state.theta, slope.scores
        if any(self._partly_zero(t, theta) for t in range(len(likelihood.scales))):
            theta = theta.copy()
            for j in np.flatnonzero((state.theta == 0.0) & (np.array(self.kinds) == "positive")):
                theta[j] = np.sqrt(PROBE / self.weight[j])
            near = self.evaluate(theta)
            if near.solution is None:
                return np.zeros_like(slope.hessian)
            scores = likelihood.slope(near, sigma2=state.sigma2, information=False).scores
        out = np.zeros_like(slope.hessian)
        for t, (part, scale) in enumerate(zip(likelihood.slices, likelihood.scales, strict=True)):
            if scale.triangular:
                out[part, part] = likelihood.bend(t, theta, scores[t])
        return out

    def _partly_zero(self, term: int, theta: np.ndarray) -> bool:
        """Whether a triangular term has a zero column beside others that are not."""
        scale = self.likelihood.scales[term]
        if not scale.triangular or scale.k == 1:
            return False
        diagonal = self._diagonal(scale, theta[self.likelihood.slices[term]])
        return bool(np.any(diagonal == 0.0) and np.any(diagonal != 0.0))

    def gradient(self, state: State) -> np.ndarray:
        return self.likelihood.slope(state, information=False).gradient

    def _local(self, j: int) -> tuple[int, int]:
        t = self._term[j]
        return t, j - self.likelihood.slices[t].start

    def tied(self, j: int) -> tuple[int, ...]:
        t, local = self._local(j)
        return tuple(self.likelihood.slices[t].start + e for e in self.likelihood.scales[t].tied(local))

    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray:
        t, local = self._local(j)
        out = theta.copy()
        out[self.likelihood.slices[t]] = self.likelihood.scales[t].zeroed(theta[self.likelihood.slices[t]], local)
        return out

    def release(self, state: State, zeros: set[int]) -> np.ndarray | None:
        """θ with a zero variance moved off the boundary where its score says so, or None (the boundary is optimal)."""
        theta = state.theta.copy()
        for j in zeros:
            theta[j] = np.sqrt(PROBE / self.weight[j])
        near = self.evaluate(theta)
        if near.solution is None:
            self.evaluate(state.theta)
            return None
        slope = self.likelihood.slope(near, information=False)
        gradient = slope.gradient
        self.evaluate(state.theta)
        out, moved = state.theta.copy(), False
        for t, part in enumerate(self.likelihood.slices):
            local = sorted(j - part.start for j in zeros if self._term[j] == t)
            if not local:
                continue
            scale = self.likelihood.scales[t]
            if scale.triangular:  # ∂d/∂Λ = 2 Q Λ
                q = slope.scores[t] @ np.linalg.inv(scale.factor(theta[part]))
                score = (0.5 * (q + q.T))[scale.entries()]
            else:
                score = np.zeros(part.stop - part.start)
                for j in local:
                    score[j] = gradient[part.start + j] / (2.0 * theta[part.start + j])
            direction = scale.release(state.theta[part], score, self.weight[part], local)
            if direction is not None:
                out[part] += direction
                moved = True
        return out if moved else None
