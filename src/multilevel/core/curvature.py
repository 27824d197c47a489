"""Observed information of all parameters of a generalized model, and derivatives of anything with respect to them.

Working parameters ψ: logs of the positive θ, logits of bounded ones, everything else as it is; parameters on the
boundary are held there. Cov(ψ̂) = 2 H⁻¹, H the Hessian of d = −2 log-likelihood by differences of its exact gradient:
standard errors of coefficients carry the uncertainty of the variances.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from ..numerics.newton import _free, _move, _stretch
from .information import covariance_of, semidefinite
from .laplace import Laplace, LaplaceState
from .laplace_objective import LaplaceObjective
from .mode import TOLERANCE

STEP = 1e-4
ROUGH = 1e-12  # decrement of a mode that differences need: close to its tangent it has hardly to move
SHORT = 2e-5  # a step of one-sided differences
FINE = 1e-2  # the largest step that only adds digits
CHEAP = 0.0007  # seconds of a gradient up to which both sides are looked at


class Curvature:
    """Around one optimum of a criterion.

    Parameters
    ----------
    criterion, state : the criterion and its optimum
    zeros : positions of φ on the boundary
    objective : that of the search, if there was one: it remembers the last gradient
    """

    def __init__(
        self, criterion: Laplace, state: LaplaceState, zeros: set[int], objective: LaplaceObjective | None = None
    ) -> None:
        self.criterion, self.state, self.zeros = criterion, state, zeros
        self.objective = objective or LaplaceObjective(criterion)
        self.objective.additive[:] = False  # the log of a standard deviation is nearer to normal than itself
        self.free = _free(self.objective, zeros)

    @property
    def n_psi(self) -> int:
        return len(self.free)

    def near(self, step: np.ndarray) -> LaplaceState:
        """The criterion's state at ψ̂ + step."""
        return self.criterion.evaluate(_move(self.objective, self.state.theta, self.free, step))

    def restore(self) -> LaplaceState:
        """Put the workspace back to the optimum."""
        self.criterion.restore(self.state)
        return self.state

    def differences(self, f: Callable[[LaplaceState], np.ndarray]) -> np.ndarray:
        """∂f/∂ψ by central differences, one row a parameter; f is called right after its state was evaluated."""
        rows = []
        for i, j in enumerate(self.free):
            step = np.zeros(len(self.free))
            step[i] = STEP * (max(self.objective.reach[j], abs(self.state.theta[j])) if self._plain(j) else 1.0)
            up, down = f(self.near(step)), f(self.near(-step))
            rows.append((up - down) / (2.0 * step[i]))
        self.restore()
        return np.array(rows)

    def _plain(self, j: int) -> bool:
        return self.objective.kinds[j] == "free"

    @cached_property
    def hessian(self) -> np.ndarray:
        """∂²d/∂ψ∂ψ'; by central differences where a gradient is cheap, one-sided ones otherwise."""
        out = np.empty((self.n_psi, self.n_psi))
        self.criterion.touch(self.state)
        sides = (1.0, -1.0) if self.objective.seconds < CHEAP else (1.0,)
        here = self.here
        for i, j in enumerate(self.free):
            size = STEP if len(sides) == 2 else SHORT
            size *= max(self.objective.reach[j], abs(self.state.theta[j])) if self._plain(j) else 1.0
            step = np.zeros(self.n_psi)
            step[i] = size
            found = [self._gradient_near(side * step) for side in sides]
            out[i] = (found[0] - (found[1] if len(found) == 2 else here)) / (size * len(found))
        return 0.5 * (out + out.T)

    def _gradient_near(self, step: np.ndarray) -> np.ndarray:
        """The gradient at ψ̂ + step, from a mode that is only as exact as differences need."""
        self.criterion.fine = ROUGH
        try:
            return self.gradient(self.near(step))
        finally:
            self.criterion.fine = TOLERANCE

    @cached_property
    def here(self) -> np.ndarray:
        """The gradient at the optimum."""
        return self.gradient(self.state)

    def gradient(self, state: LaplaceState) -> np.ndarray:
        """∂d/∂ψ."""
        stretch = _stretch(self.objective, state.theta)[self.free]
        return np.asarray(self.objective.gradient(state)[self.free] * stretch)

    def polished(self) -> Curvature:
        """One step of Newton's method with this Hessian, if it does not worsen the criterion: the last digits."""
        if self.n_psi == 0 or not self.definite:
            return self
        step = -np.linalg.lstsq(self.hessian, self.here, rcond=1e-10)[0]
        if np.max(np.abs(step)) > FINE:
            return self
        state = self.near(step)
        if not state.value <= self.state.value + 1e-11 * (1.0 + abs(self.state.value)):
            self.restore()
            return self
        out = Curvature(self.criterion, state, self.zeros, self.objective)
        out.__dict__["hessian"] = self.hessian
        return out

    @cached_property
    def covariance(self) -> np.ndarray:
        """Cov(ψ̂); directions in which the criterion is not curved have no finite variance and are left out."""
        return covariance_of(self.hessian)

    @cached_property
    def definite(self) -> bool:
        """Whether the Hessian is positive semidefinite (up to rounding)."""
        return semidefinite(self.hessian)

    @cached_property
    def coefficients(self) -> np.ndarray:
        """Position in ψ of every coefficient c (they are never on a boundary)."""
        return np.flatnonzero(self.free >= self.criterion.n_theta)

    @property
    def coefficient_covariance(self) -> np.ndarray:
        """Cov(ĉ) with the uncertainty of the variances in it."""
        return np.asarray(self.covariance[np.ix_(self.coefficients, self.coefficients)])
