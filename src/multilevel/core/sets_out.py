"""Sets of rows of a generalized model left out, whatever groups they share with others.

    log p(y_s | y₍₋s₎) = log p(y) − log p(y₍₋s₎)

Both by Laplace's approximation, the second with weights of zero for the rows left out, so that the first's errors in
all other groups cancel. φ₍₋s₎ is one Newton step from φ̂ on the criterion without the set; there both criteria are
evaluated, and the uncertainty of the coefficients is integrated out as in `core/levels_out.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Observations
from ..numerics.newton import _move, _stretch
from .cavity import Cavity, informed
from .cubature import expected_mean
from .curvature import Curvature
from .laplace import Laplace, LaplaceState
from .levels_out import GroupsWithout, integrated, limited, loses_rank, one_step
from .row_terms import RowTerms


def with_observations(criterion: Laplace, observations: Observations) -> Laplace:
    """The criterion of another response (or other weights) of the same rows, in the same workspace."""
    out = copy.copy(criterion)
    out.rows = replace(criterion.rows, observations=observations)
    out.latent = copy.copy(criterion.latent)
    out.latent.rows = out.rows
    out.terms = RowTerms(criterion.distribution, observations, out.rows.start)
    out.current, out._tangent = None, None
    return out


class SetsOut:
    """Sets of rows, one after the other.

    Parameters
    ----------
    curvature : of the fit's criterion at its optimum
    rows : the rows, neither merged nor sorted
    sets : the rows of each set
    """

    def __init__(self, curvature: Curvature, rows: LatentRows, sets: Sequence[np.ndarray]) -> None:
        self.curvature, self.rows, self.sets = curvature, rows, sets
        fitted = curvature.criterion
        self.phi, self.n_theta = curvature.state.theta, fitted.n_theta
        self.whole = Laplace(rows, fitted.distribution, fitted.scales)
        obs = rows.observations
        self.weights = np.ones(rows.n) if obs.weights is None else obs.weights
        self.base = self._at(self.whole, self.phi)
        self.information = self._information(self.whole, self.base)
        self._own = np.full((len(sets), *self.information.shape), np.nan)

    def groups_out(self, phi: np.ndarray | None = None) -> GroupsWithout:
        """Every set left out alone; at one φ a set (J, φ) where these were estimated, NaN where they were not."""
        n_sets, n = len(self.sets), self.rows.n
        density, log_det = np.full(n_sets, np.nan), np.full(n_sets, np.nan)
        shift = np.full((n_sets, self.curvature.n_psi), np.nan) if phi is not None else self.steps
        mean: np.ndarray | None = None
        with np.errstate(all="ignore"):
            for j, rows in enumerate(self.sets):
                at = self._moved(shift[j]) if phi is None else phi[j]
                if np.isnan(at).any() or loses_rank(self.rows, rows):
                    continue
                density[j], log_det[j], own = self._density(self._without(rows), at, rows)
                if mean is None:
                    mean = np.full((n, *own.shape[1:]), np.nan)
                mean[rows] = own
        return GroupsWithout(density, np.full(n, np.nan) if mean is None else mean, shift, log_det)

    @cached_property
    def steps(self) -> np.ndarray:
        """ψ₍₋s₎ − ψ̂ of every set, (J, ψ); NaN where a coefficient hangs on it."""
        out = np.full((len(self.sets), self.curvature.n_psi), np.nan)
        with np.errstate(all="ignore"):
            for j, rows in enumerate(self.sets):
                if not loses_rank(self.rows, rows):
                    out[j], self._own[j] = self._step(self._without(rows))
        return out

    @property
    def own(self) -> np.ndarray:
        """S − S₋ of every set at the estimates, (J, p, p); NaN where a coefficient hangs on it."""
        _ = self.steps
        return self._own

    def _moved(self, step: np.ndarray) -> np.ndarray:
        c = self.curvature
        return np.full_like(self.phi, np.nan) if np.isnan(step).any() else _move(c.objective, self.phi, c.free, step)

    def _without(self, rows: np.ndarray) -> Laplace:
        weights = self.weights.copy()
        weights[rows] = 0.0
        return with_observations(self.whole, replace(self.rows.observations, weights=weights))

    def _density(self, less: Laplace, phi: np.ndarray, rows: np.ndarray) -> tuple[float, float, np.ndarray]:
        """Density, log |S|/|S₋| and expected responses of one set at φ₍₋s₎."""
        without = self._at(less, phi)
        if without.mode is None:
            return np.nan, np.nan, self._missing(rows)
        below = less.slope(without)
        rest = 0.5 * below.hessian[self.n_theta :, self.n_theta :]
        mean = self._mean(less, without, rows)
        with_all = self._at(self.whole, phi)
        if with_all.mode is None:
            return -np.inf, np.nan, mean
        slope = self.whole.slope(with_all)
        score = -0.5 * slope.gradient[self.n_theta :]
        every = 0.5 * slope.hessian[self.n_theta :, self.n_theta :]
        axes = informed(self.information)
        log_det, gain = integrated(every, rest, score, axes)
        left = -0.5 * below.gradient[self.n_theta :]  # zero where φ₍₋s₎ is the optimum without the set
        gain -= integrated(rest, rest, left, axes)[1]
        return 0.5 * (without.value - with_all.value) + gain - 0.5 * log_det, log_det, mean

    def _at(self, criterion: Laplace, phi: np.ndarray) -> LaplaceState:
        """A state, factored in the workspace that all share."""
        self.whole.current = criterion.current = None
        criterion.latent.factored = False
        return criterion.evaluate(phi)

    def _information(self, criterion: Laplace, state: LaplaceState) -> np.ndarray:
        """S of the coefficients given the variances."""
        hessian = criterion.slope(state).hessian
        return np.asarray(0.5 * hessian[self.n_theta :, self.n_theta :])

    def _step(self, less: Laplace) -> tuple[np.ndarray, np.ndarray]:
        """ψ₍₋s₎ − ψ̂ and S − S₋; NaN where the criterion without the set is infinite."""
        c = self.curvature
        state = self._at(less, self.phi)
        if state.mode is None:
            return np.full(c.n_psi, np.nan), np.full_like(self.information, np.nan)
        slope = less.slope(state)
        rest = 0.5 * slope.hessian[self.n_theta :, self.n_theta :]
        gradient = slope.gradient[c.free] * _stretch(c.objective, self.phi)[c.free]
        removed = np.zeros_like(c.hessian)
        own = self.information - rest
        removed[np.ix_(c.coefficients, c.coefficients)] = 2.0 * own
        step = one_step(c.hessian, removed, -gradient, informed(c.hessian))
        return limited(step, np.setdiff1d(np.arange(c.n_psi), c.coefficients)), own

    def _mean(self, less: Laplace, state: LaplaceState, rows: np.ndarray) -> np.ndarray:
        """E y of the set's rows given all others: without weight, a row is in its own cavity."""
        cavity = Cavity(less, state)
        covariance = cavity.covariance[rows]
        obs = self.rows.observations.take(rows)
        return expected_mean(less.distribution, obs, cavity.eta[rows], covariance)

    def _missing(self, rows: np.ndarray) -> np.ndarray:
        shape = self.whole.distribution.mean(self.rows.observations.take(rows), self.rows.start[rows]).shape
        return np.full(shape, np.nan)
