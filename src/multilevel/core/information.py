"""Observed information of the variance parameters, and derivatives of anything with respect to them.

Working parameters ψ = (η, log σ): η are log, logit or plain values of the free θ (those on the boundary are held),
log σ only when the residual variance is estimated. The Hessian of d = −2 log-likelihood over ψ is taken by central
differences of the exact gradient; Cov(ψ̂) = 2 H⁻¹.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from ..numerics.newton import _free, _move, _stretch
from ..numerics.threads import threads_for
from .likelihood import Likelihood, State
from .objective import GaussianObjective

STEP = 1e-4


class Information:
    """Around one optimum.

    Parameters
    ----------
    likelihood, state : the criterion and its optimum
    zeros : positions of θ on the boundary
    """

    def __init__(self, likelihood: Likelihood, state: State, zeros: set[int]) -> None:
        self.likelihood = likelihood
        # the compiled search rounds differently from `evaluate`; differences divide that by a small step
        likelihood.current = None
        self.state = likelihood.evaluate(state.theta)
        self.objective = GaussianObjective(likelihood)
        self.objective.additive[:] = False  # log of the diagonal: its estimates are nearer to normal there
        self.free = _free(self.objective, zeros)
        self.with_sigma = likelihood.known_sigma2 is None

    @property
    def n_psi(self) -> int:
        return len(self.free) + int(self.with_sigma)

    def near(self, psi_step: np.ndarray) -> State:
        """The criterion's state at η̂ + step."""
        theta = _move(self.objective, self.state.theta, self.free, psi_step)
        return self.likelihood.evaluate(theta)

    def restore(self) -> State:
        """Put the workspace back to the optimum."""
        return self.likelihood.evaluate(self.state.theta)

    def differences(self, f: Callable[[State], np.ndarray]) -> np.ndarray:
        """∂f/∂η for each free η, by central differences; f is called right after its state was evaluated."""
        rows = []
        for i in range(len(self.free)):
            step = np.zeros(len(self.free))
            j = self.free[i]
            free = self.objective.kinds[j] == "free"
            step[i] = STEP * (max(self.objective.reach[j], abs(self.state.theta[j])) if free else 1.0)
            up = f(self.near(step))
            down = f(self.near(-step))
            rows.append((up - down) / (2.0 * step[i]))
        self.restore()
        return np.array(rows)

    def _gradient_and_beta(self, state: State) -> np.ndarray:
        """Gradient over ψ at the fixed σ̂, and (X'V⁻¹X)⁻¹, in one vector."""
        s2 = self.state.sigma2
        slope = self.likelihood.slope(state, sigma2=s2, information=False)
        gradient = slope.gradient[self.free] * _stretch(self.objective, state.theta)[self.free]
        assert state.solution is not None
        by_sigma = [2.0 * self.likelihood.nu - 2.0 * state.solution.r2 / s2] if self.with_sigma else []
        return np.concatenate([gradient, by_sigma, unscaled_beta_covariance(self.likelihood).ravel()])

    @cached_property
    def _table(self) -> np.ndarray:
        with threads_for(self.likelihood.elimination.pattern.nt):
            return self.differences(self._gradient_and_beta)

    @cached_property
    def hessian(self) -> np.ndarray:
        """∂²d/∂ψ∂ψ'."""
        m = self.n_psi
        h = np.zeros((m, m))
        if len(self.free):
            h[: len(self.free)] = self._table[:, :m]
        if self.with_sigma:
            h[-1, :-1] = h[:-1, -1]
            h[-1, -1] = 4.0 * self.likelihood.nu
        return 0.5 * (h + h.T)

    @cached_property
    def covariance(self) -> np.ndarray:
        """Cov(ψ̂); directions in which the criterion is not curved are left out (infinite variance is no use)."""
        return covariance_of(self.hessian)

    @cached_property
    def definite(self) -> bool:
        """Whether the Hessian is positive semidefinite (up to rounding)."""
        return semidefinite(self.hessian)

    @cached_property
    def beta_differences(self) -> np.ndarray:
        """∂Cov(β̂)/∂ψ over σ̂², internal columns, (ψ, p, p)."""
        p = self.likelihood.products.p
        out = np.zeros((self.n_psi, p, p))
        if len(self.free):
            out[: len(self.free)] = self._table[:, self.n_psi :].reshape(-1, p, p)
        if self.with_sigma:
            self.restore()
            out[-1] = 2.0 * unscaled_beta_covariance(self.likelihood)
        return out

    def satterthwaite(self, variance: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """Degrees of freedom 2 v² / (∂v' Cov(ψ̂) ∂v) for variances v (m,) with slopes (ψ, m)."""
        spread = np.einsum("sm,st,tm->m", slopes, self.covariance, slopes)
        with np.errstate(divide="ignore", invalid="ignore"):
            df = 2.0 * variance**2 / spread
        return np.where(np.isfinite(df) & (spread > 0.0), df, np.inf)


def covariance_of(hessian: np.ndarray) -> np.ndarray:
    """2 H⁻¹ for the Hessian of −2 log-likelihood; directions in which it is not curved are left out."""
    if len(hessian) == 0:
        return np.zeros((0, 0))
    root = np.sqrt(np.maximum(np.abs(np.diag(hessian)), 1e-300))
    values, vectors = np.linalg.eigh(hessian / np.outer(root, root))
    keep = values > 1e-8
    inverse = (vectors[:, keep] / values[keep]) @ vectors[:, keep].T
    return np.asarray(2.0 * inverse / np.outer(root, root))


def semidefinite(hessian: np.ndarray) -> bool:
    """Whether no direction falls away (up to rounding)."""
    return len(hessian) == 0 or bool(np.linalg.eigvalsh(hessian)[0] > -1e-6 * np.abs(hessian).max())


def unscaled_beta_covariance(likelihood: Likelihood) -> np.ndarray:
    """Cov(β̂) / σ² = (X'V⁻¹X)⁻¹ / σ² at the last evaluated θ, internal columns."""
    corner = likelihood.elimination.tail.R
    root = np.linalg.inv(np.tril(corner)) if len(corner) else corner
    return np.asarray(root.T @ root)
