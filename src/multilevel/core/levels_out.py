"""Groups of a generalized model left out, from its fit alone: one factor, or none, where groups are independent.

    d(φ) = −2 Σ_g ℓ_g(φ),    φ₍₋g₎ ≈ φ̂ − 2 (H − H_g)⁻¹ ∇ℓ_g        one Newton step of the criterion without the group

At φ₍₋g₎ the group's integral ℓ_g is computed anew, by quadrature, and the uncertainty of the coefficients c is
integrated out given the variances, on the quadratic expansions of both likelihoods (a = ∂ℓ_g/∂c, S and S₋ the
information of c with and without the group):

    log p(y_g | y₍₋g₎) ≈ ℓ_g + ½ a'S⁻¹a − ½ log |S|/|S₋|

which is exact for normal responses.

References: Pregibon (1981), Annals of Statistics 9, for one-step deletion; Vehtari et al. (2016), JMLR 17(103).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Derivatives
from ..numerics.newton import _move
from .cavity import informed
from .cubature import expected_mean
from .curvature import Curvature
from .panels import Panels, solve

STEP = 1e-3  # of the working parameters, for the groups' gradients
FARTHEST = 1.5  # move of the log of a standard deviation that one step is believed
FARTHEST_OF_ALL = 10.0  # the same of coefficients, whose columns have size one
RANK = 1e-10  # eigenvalue of a scaled Gram matrix below which a column is lost


@dataclass(frozen=True, eq=False)
class GroupsWithout:
    """Every group left out alone; NaN where a coefficient hangs on it.

    log_density (J,);  mean (n,) or (n, K): expected response of every row, its group left out
    shift (J, ψ): change of the working parameters;  log_det (J,): log |S|/|S₋|
    """

    log_density: np.ndarray
    mean: np.ndarray
    shift: np.ndarray
    log_det: np.ndarray


class LevelsOut:
    """Groups of independent rows.

    Parameters
    ----------
    curvature : of the fit's criterion at its optimum
    rows : the rows, neither merged nor sorted, with one grouping factor at most
    codes, groups : group of every row, which contains whole levels of the factor only
    """

    def __init__(self, curvature: Curvature, rows: LatentRows, codes: np.ndarray, groups: int) -> None:
        self.curvature, self.rows, self.codes, self.groups = curvature, rows, codes, groups
        self.criterion = curvature.criterion
        self.phi = curvature.state.theta
        self.n_theta = self.criterion.n_theta
        self.factor = rows.factors[0] if rows.factors else None
        self.x, self.owner = _side_by_side(rows)
        self._modes: np.ndarray | None = None  # of the last evaluation, where the next one starts

    # --- the groups' likelihoods ---------------------------------------------------------------------------------
    def _panels(self, lam: np.ndarray | None) -> Panels:
        """At one λ, or one a group (J, k, k)."""
        rows = self.rows
        if self.factor is None or lam is None:
            z, owner = np.zeros((rows.n, 0)), np.zeros(0, np.int64)
        else:
            z = self.factor.z @ lam if lam.ndim == 2 else np.einsum("nk,nkj->nj", self.factor.z, lam[self.codes])
            owner = np.array(rows.latent, np.int64)[self.factor.owner]
        return Panels(self.criterion.distribution, rows.observations, z, owner, self.codes, self.groups)

    def _lam(self, phi: np.ndarray) -> np.ndarray | None:
        return None if self.factor is None else self.criterion.factors(phi[: self.n_theta])[0]

    def _values(self, phi: np.ndarray) -> np.ndarray:
        """−2 ℓ_g by Laplace's approximation at one φ."""
        panels = self._panels(self._lam(phi))
        fixed = self.rows.fixed(phi[self.n_theta :])
        u, at = panels.modes(fixed, self._modes)
        self._modes = u
        return -2.0 * panels.log_integrals(fixed, u, at, exact=False)

    @cached_property
    def _stencil(self) -> tuple[np.ndarray, np.ndarray]:
        """∇ of every −2 ℓ_g by the working parameters (J, ψ), and its second derivatives along each (J, ψ)."""
        c = self.curvature
        centre = self._values(self.phi)
        gradient, bend = np.empty((self.groups, c.n_psi)), np.empty((self.groups, c.n_psi))
        for i, j in enumerate(c.free):
            step = np.zeros(c.n_psi)
            plain = c.objective.kinds[j] == "free"
            step[i] = STEP * (max(c.objective.reach[j], abs(self.phi[j])) if plain else 1.0)
            up, down = (self._values(_move(c.objective, self.phi, c.free, s * step)) for s in (1.0, -1.0))
            gradient[:, i] = (up - down) / (2.0 * step[i])
            bend[:, i] = (up - 2.0 * centre + down) / step[i] ** 2
        return gradient, bend

    @cached_property
    def own(self) -> np.ndarray:
        """S_g at the estimates, (J, p, p)."""
        panels, fixed = self._panels(self._lam(self.phi)), self.rows.fixed(self.phi[self.n_theta :])
        _, at = panels.modes(fixed, self._modes)
        return self._coefficient_information(panels, at)

    def _coefficient_information(self, panels: Panels, at: Derivatives) -> np.ndarray:
        """X_g'WX_g less what the group's effects take of it."""
        assert at.second is not None
        p = self.x.shape[1]
        out = np.zeros((self.groups, p, p))
        for i in range(p):
            for j in range(i + 1):
                part = panels.total(self.x[:, i] * at.second[:, self.owner[i], self.owner[j]] * self.x[:, j])
                out[:, i, j] = out[:, j, i] = part
        if panels.k:
            crossed = panels.crossed(at.second, self.x, self.owner)
            out -= crossed.transpose(0, 2, 1) @ solve(panels.information(at.second), crossed)
        return out

    @cached_property
    def lost(self) -> np.ndarray:
        """Groups without which the fixed columns lose rank."""
        out = np.zeros(self.groups, dtype=bool)
        for x in self.rows.x:
            p = x.shape[1]
            if not p:
                continue
            unit = x / np.linalg.norm(x, axis=0)
            whole, own = unit.T @ unit, np.empty((self.groups, p, p))
            for i in range(p):
                for j in range(p):
                    own[:, i, j] = np.bincount(self.codes, unit[:, i] * unit[:, j], self.groups)
            out |= np.linalg.eigvalsh(whole - own)[:, 0] <= RANK * np.linalg.eigvalsh(whole)[-1]
        return out

    # --- steps ---------------------------------------------------------------------------------------------------
    @cached_property
    def steps(self) -> np.ndarray:
        """ψ₍₋g₎ − ψ̂ of every group, (J, ψ); NaN for lost ones."""
        hessian, place = self.curvature.hessian, self.curvature.coefficients
        gradient, bend = self._stencil
        variances = np.setdiff1d(np.arange(len(hessian)), place)
        axes = informed(hessian)
        out = np.full(gradient.shape, np.nan)
        for g in np.flatnonzero(~self.lost):
            less = np.zeros_like(hessian)
            less[np.ix_(place, place)] = 2.0 * self.own[g]
            less[variances, variances] = bend[g, variances]
            out[g] = limited(one_step(hessian, less, gradient[g], axes), variances)
        return out

    @cached_property
    def _information(self) -> tuple[np.ndarray, np.ndarray]:
        """S and S₋ (J, p, p) of the coefficients at the estimates."""
        place = self.curvature.coefficients
        whole = 0.5 * self.curvature.hessian[np.ix_(place, place)]
        return whole, whole - self.own

    def groups_out(self, phi: np.ndarray | None = None) -> GroupsWithout:
        """Every group left out alone; at one φ a group (J, φ) where these were estimated, NaN where they were not."""
        moved = np.array([self._moved(step) for step in self.steps]) if phi is None else phi
        failed = self.lost | np.isnan(moved).any(axis=1)
        moved = np.where(failed[:, None], self.phi, moved)
        lam = self._own_lam(moved)
        panels = self._panels(lam)
        fixed = self._fixed(moved[:, self.n_theta :])
        u, at = panels.modes(fixed)
        value = panels.log_integrals(fixed, u, at)
        score = self._scores(panels, fixed, u)
        whole, rest = self._information
        kept = ~failed
        axes = informed(whole)
        correction, log_det = np.full(self.groups, np.nan), np.full(self.groups, np.nan)
        own = self._coefficient_information(panels, at)
        for g in np.flatnonzero(kept):
            log_det[g], gain = integrated(rest[g] + own[g], rest[g], score[g], axes)
            correction[g] = gain - 0.5 * log_det[g]
        shift = np.where(kept[:, None], self.steps, np.nan)
        mean = self._mean(panels, fixed)
        mean[failed[self.codes]] = np.nan
        return GroupsWithout(np.where(kept, value + correction, np.nan), mean, shift, log_det)

    def _moved(self, step: np.ndarray) -> np.ndarray:
        c = self.curvature
        return _move(c.objective, self.phi, c.free, np.nan_to_num(step))

    def _own_lam(self, moved: np.ndarray) -> np.ndarray | None:
        if self.factor is None:
            return None
        if not self.n_theta:
            return self._lam(self.phi)
        return np.array([self.criterion.factors(phi[: self.n_theta])[0] for phi in moved])

    def _fixed(self, c: np.ndarray) -> np.ndarray:
        """η without group effects at one c a group, (J, p)."""
        out = self.rows.offsets.copy()
        for d, (x, place) in enumerate(zip(self.rows.x, self.rows.places, strict=True)):
            out[:, d] += np.einsum("np,np->n", x, c[self.codes, place])
        return out

    def _scores(self, panels: Panels, fixed: np.ndarray, u: np.ndarray) -> np.ndarray:
        """∂ℓ_g/∂c (J, p), the mode's and the determinant's own dependence in it (see `core/laplace.py`)."""
        distribution, order = self.criterion.distribution, 3 if panels.k else 1
        with np.errstate(all="ignore"):
            at = distribution.derivatives(self.rows.observations, panels.eta(fixed, u), order)
        assert at.first is not None
        by_row = at.first.copy()
        if panels.k:
            assert at.second is not None
            assert at.third is not None
            information = panels.information(at.second)
            placed = np.zeros((*at.first.shape, panels.k))
            placed[:, panels.owner, np.arange(panels.k)] = panels.z
            leverage = np.einsum("nda,nab,neb->nde", placed, np.linalg.inv(information)[self.codes], placed)
            t = np.einsum("nabd,nab->nd", at.third, leverage)
            v = solve(information, panels.scores(t))
            zv = np.einsum("nda,na->nd", placed, v[self.codes])
            by_row -= 0.5 * (t - np.einsum("nde,ne->nd", at.second, zv))
        parts = [panels.total(self.x[:, j] * by_row[:, self.owner[j]]) for j in range(self.x.shape[1])]
        return np.stack(parts, axis=1) if parts else np.zeros((self.groups, 0))

    def _mean(self, panels: Panels, fixed: np.ndarray) -> np.ndarray:
        """E y of every row given the other groups."""
        n, m = fixed.shape
        placed = np.zeros((n, m, panels.k))
        placed[:, panels.owner, np.arange(panels.k)] = panels.z
        covariance = placed @ placed.transpose(0, 2, 1)
        x = np.zeros((n, m, self.x.shape[1]))
        x[:, self.owner, np.arange(self.x.shape[1])] = self.x
        whole, rest = self._information
        axes = informed(whole)
        inverse = np.zeros_like(rest)
        for g in np.flatnonzero(~self.lost):
            inverse[g] = axes @ np.linalg.pinv(axes.T @ rest[g] @ axes, hermitian=True) @ axes.T
        covariance += np.einsum("ndp,npq,neq->nde", x, inverse[self.codes], x)
        return expected_mean(self.criterion.distribution, self.rows.observations, fixed, covariance)


def loses_rank(rows: LatentRows, s: np.ndarray) -> bool:
    """Whether the fixed columns of any predictor lose rank without the rows s."""
    for x in rows.x:
        if not x.shape[1]:
            continue
        unit = x / np.linalg.norm(x, axis=0)
        whole = unit.T @ unit
        values = np.linalg.eigvalsh(whole - unit[s].T @ unit[s])
        if values[0] <= RANK * np.linalg.eigvalsh(whole)[-1]:
            return True
    return False


def _side_by_side(rows: LatentRows) -> tuple[np.ndarray, np.ndarray]:
    owner = [np.full(x.shape[1], d, np.int64) for d, x in enumerate(rows.x)]
    return np.concatenate(rows.x, axis=1), np.concatenate(owner)


def one_step(hessian: np.ndarray, less: np.ndarray, gradient: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Newton's step of d − d_g along the axes: (H − H_g)⁻¹∇d_g; with H alone where that is not positive definite."""
    pull = axes.T @ gradient
    for candidate in (hessian - less, hessian):
        inner = axes.T @ candidate @ axes
        try:
            root = np.linalg.cholesky(inner)
        except np.linalg.LinAlgError:
            continue
        return np.asarray(axes @ np.linalg.solve(root.T, np.linalg.solve(root, pull)))
    return np.zeros(len(gradient))


def limited(step: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """The step, shortened to what one step is believed."""
    far = float(np.abs(step[variances]).max(initial=0.0)) / FARTHEST
    return np.asarray(step / max(1.0, far, float(np.abs(step).max(initial=0.0)) / FARTHEST_OF_ALL))


def integrated(whole: np.ndarray, rest: np.ndarray, score: np.ndarray, axes: np.ndarray) -> tuple[float, float]:
    """log |S|/|S₋| and ½a'S⁻¹a along the axes."""
    s, less, a = axes.T @ whole @ axes, axes.T @ rest @ axes, axes.T @ score
    gain = 0.5 * float(a @ np.linalg.lstsq(s, a, rcond=None)[0]) if len(a) else 0.0
    return _log_det(s) - _log_det(less), gain


def _log_det(matrix: np.ndarray) -> float:
    return float(np.linalg.slogdet(matrix)[1]) if len(matrix) else 0.0
