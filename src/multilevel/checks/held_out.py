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
from ..data.latent_rows import LatentRows, latent_rows
from ..errors import SettingError
from .deletion import Deleted, whole

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model


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
        self.curvature: Curvature = certainty.curvature

    @cached_property
    def rows(self) -> LatentRows:
        """The rows in internal coordinates, neither merged nor sorted; without groups where the fit has none."""
        return plain_rows(self.fit.model, bool(self.curvature.criterion.scales))

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

    def groups_out(self, codes: np.ndarray, levels: int) -> GroupsWithout:
        """The rows of every level left out alone; `codes` are those of a grouping factor, or any without groups."""
        factors = self.rows.factors
        with np.errstate(all="ignore"):
            if len(factors) > 1 or (factors and not np.array_equal(factors[0].codes, codes)):
                sets = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=levels))[:-1])
                return SetsOut(self.curvature, self.rows, sets).groups_out()
            return LevelsOut(self.curvature, self.rows, codes, levels).groups_out()

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
