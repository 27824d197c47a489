"""What a generalized fit would predict for rows that it had not seen: `core/cavity.py`, `levels_out.py`, `sets_out.py`.

The counterpart of `deletion.py` for families other than the normal one. Rows are those of the data, in their order.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cavity import Cavity, CavityRows
from ..core.curvature import Curvature
from ..core.laplace import Laplace
from ..core.levels_out import GroupsWithout, LevelsOut
from ..core.sets_out import SetsOut
from ..data.latent_rows import LatentRows, held, latent_rows
from ..errors import SettingError
from ..numerics.newton import _move
from .deletion import Deleted, whole

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model

STEP = 0.02  # of the log of a standard deviation
FAR = 0.5  # change of a row's log density beyond which it is left out by a step of the whole criterion
MOST_FAR, WORK = 100, 4_000_000  # such rows, and passes over all rows that they may cost


class HeldOut:
    """Leave-out predictions of a generalized fit.

    Parameters
    ----------
    fit : Fit
        By ``"laplace"``, ``"agq"`` or ``"complete"``.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        certainty: Any = fit.estimates.certainty
        certainty = getattr(certainty, "_certainty", certainty)  # of a loaded fit
        if not hasattr(certainty, "curvature"):
            raise SettingError(
                f'"{fit.estimator.name}" has no distribution of the rows to leave some out of',
                hint='Fit with "laplace" or "complete".',
            )
        if np.isinf(fit.estimates.beta).any():
            raise SettingError(
                "coefficients at infinity predict with certainty: rows cannot be left out of this fit",
                hint="Drop or pool what separates the rows.",
            )
        self.curvature: Curvature = certainty.curvature
        self._known: tuple[np.ndarray, LevelsOut | SetsOut] | None = None

    @cached_property
    def rows(self) -> LatentRows:
        """The rows in internal coordinates, neither merged nor sorted; without groups where the fit has none."""
        rows = plain_rows(self.fit.model, bool(self.curvature.criterion.scales))
        for name, value in self.fit.estimates.notes.get("held", {}).items():
            rows = held(rows, name, value)  # constants at their limit
        return rows

    @cached_property
    def cavity(self) -> Cavity:
        """Single rows left out."""
        fitted = self.curvature.criterion
        criterion = Laplace(self.rows, fitted.distribution, fitted.scales)
        with np.errstate(all="ignore"):
            return Cavity(criterion, criterion.evaluate(self.curvature.state.theta))

    def rows_out(self) -> CavityRows:
        """Every row left out alone, its group's other rows kept."""
        with np.errstate(all="ignore"):
            return self.cavity.rows_out()

    def rows_predicted(self) -> tuple[np.ndarray, np.ndarray]:
        """Log density and expected response of every row given all others, at variances moved without it."""
        found = self.rows_out()
        density, mean = self.variances_moved(found.log_density), found.mean.copy()
        own = self.cavity.at.value
        with np.errstate(invalid="ignore"):
            change = np.nan_to_num(np.abs(found.log_density - own))
        far = np.argsort(-change, kind="stable")[: min(MOST_FAR, WORK // len(own))]
        far = far[change[far] > FAR]
        if len(far):
            out = SetsOut(self.curvature, self.rows, [np.array([i]) for i in far]).groups_out()
            good = np.isfinite(out.log_density)
            density[far[good]], mean[far[good]] = out.log_density[good], out.mean[far[good]]
        return density, mean

    def variances_moved(self, log_density: np.ndarray) -> np.ndarray:
        """The densities of single rows at variances estimated without each: f_i − 2 f_i''H⁻¹f_i' to first order.

        The criterion without row i is d + 2f_i, with f_i(θ) the log density of the row given the others and c
        re-estimated along with θ; f_i' by differences.
        """
        c = self.curvature
        moving = np.setdiff1d(np.arange(c.n_psi), c.coefficients)
        if not len(moving):
            return log_density
        h, place = c.hessian, c.coefficients
        drift = -np.linalg.pinv(h[np.ix_(place, place)], hermitian=True) @ h[np.ix_(place, moving)]
        profile = h[np.ix_(moving, moving)] + h[np.ix_(moving, place)] @ drift
        slopes = np.empty((len(log_density), len(moving)))
        for i, j in enumerate(moving):
            step = np.zeros(c.n_psi)
            step[j], step[place] = STEP, STEP * drift[:, i]
            up, down = (self._at(_move(c.objective, c.state.theta, c.free, sign * step)) for sign in (1.0, -1.0))
            slopes[:, i] = (up - down) / (2.0 * STEP)
        inverse = np.linalg.pinv(profile, hermitian=True, rcond=1e-8)
        return np.asarray(log_density - 2.0 * np.einsum("na,ab,nb->n", slopes, inverse, slopes))

    def _at(self, phi: np.ndarray) -> np.ndarray:
        criterion = self.cavity.criterion
        return Cavity(criterion, criterion.evaluate(phi)).log_densities()

    def _engine(self, codes: np.ndarray, levels: int) -> LevelsOut | SetsOut:
        """What leaves the rows of every level out."""
        if self._known is not None and np.array_equal(self._known[0], codes):
            return self._known[1]
        factors = self.rows.factors
        found: LevelsOut | SetsOut
        if len(factors) > 1 or (factors and not np.array_equal(factors[0].codes, codes)):
            sets = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=levels))[:-1])
            found = SetsOut(self.curvature, self.rows, sets)
        else:
            found = LevelsOut(self.curvature, self.rows, codes, levels)
        self._known = codes, found
        return found

    def groups_out(self, codes: np.ndarray, levels: int) -> GroupsWithout:
        """The rows of every level left out alone; `codes` are those of a grouping factor, or any without groups."""
        with np.errstate(all="ignore"):
            return self._engine(codes, levels).groups_out()

    def steps(self, codes: np.ndarray, levels: int) -> np.ndarray:
        """ψ₍₋ⱼ₎ − ψ̂ of every level, (J, ψ)."""
        return self._engine(codes, levels).steps

    def expected_cooks(self, codes: np.ndarray, levels: int) -> np.ndarray:
        """What Cook's distances are on average when the model holds, (J,): the level's score has its information."""
        place = self.curvature.coefficients
        whole = 0.5 * self.curvature.hessian[np.ix_(place, place)]
        to = self.rows.to_beta
        kept = ~np.isnan(self.fit.estimates.beta)
        inverse = np.linalg.pinv(self.fit.vcov[np.ix_(kept, kept)], hermitian=True)
        out = np.full(levels, np.nan)
        for level, own in enumerate(self._engine(codes, levels).own):
            if np.isfinite(own).all():
                moves = to[kept] @ np.linalg.pinv(whole - own, hermitian=True)
                out[level] = float(np.einsum("pi,ij,qj,pq->", moves, own, moves, inverse)) / float(kept.sum())
        return out

    def groups(self, codes: np.ndarray, levels: int) -> Deleted:
        """The same in the terms of `Deletion.groups`: errors on the scale of the mean, shifts of β."""
        found = self.groups_out(codes, levels)
        weights = self.rows.observations.weights
        sizes = np.bincount(codes, weights, levels)
        beta = found.shift[:, self.curvature.coefficients] @ self.rows.to_beta.T
        return Deleted(whole(sizes), found.log_density, errors(self.fit, found.mean), -beta, found.log_det)


def plain_rows(model: Model, groups: bool = True) -> LatentRows:
    """The rows of a model, neither merged nor sorted."""
    from dataclasses import replace

    design = model.design if groups else replace(model.design, groups=())
    return latent_rows(design, model.distribution, model.rank, merge=False, sort=False)


def errors(fit: Fit, mean: np.ndarray) -> np.ndarray:
    """y − E y on the scale of the mean; for categories 1 − P(the one observed)."""
    if mean.ndim == 1:
        return np.asarray(fit.model.design.response - mean)
    own = fit.model.observations.y.astype(np.int64)
    return np.asarray(1.0 - mean[np.arange(len(own)), own])


def squares(fit: Fit, mean: np.ndarray) -> np.ndarray:
    """Squared errors of the rows; for categories the sum over them (Brier's score)."""
    if mean.ndim == 1:
        return errors(fit, mean) ** 2
    indicator = np.zeros_like(mean)
    indicator[np.arange(len(mean)), fit.model.observations.y.astype(np.int64)] = 1.0
    return np.asarray(((indicator - mean) ** 2).sum(axis=1))
