"""A generalized model fitted again without some of its rows, and what that fit says about them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.levels_out import GroupsWithout, LevelsOut
from ..core.sets_out import SetsOut
from ..errors import ConvergenceError, MultilevelError, MultilevelWarning
from .held_out import HeldOut
from .subsets import check_levels, without

if TYPE_CHECKING:
    from ..data.latent_rows import LatentRows
    from ..fit.estimates import Estimates
    from ..fit.fit import Fit


def estimates_without(fit: Fit, codes: np.ndarray, sets: int) -> list[Estimates | None]:
    """Estimates without each set of rows; None where the rest does not determine the model."""
    out: list[Estimates | None] = []
    for j in range(sets):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            try:
                model = without(fit.model, codes == j)
                if fit.estimator.name != "complete":
                    check_levels(model)  # a variance between one level and nothing is no estimate
                found = fit.estimator.estimate(model)
            except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
                out.append(None)
                continue
        lost = np.isnan(found.beta).any() and not np.isnan(fit.estimates.beta).any()
        out.append(None if lost else found)
    return out


def refitted_out(fit: Fit, codes: np.ndarray, sets: int, whole_groups: bool) -> GroupsWithout:
    """Every set of rows left out by a fit without it.

    Parameters
    ----------
    whole_groups : bool
        Whether the sets are levels of the only grouping factor.
    """
    held = HeldOut(fit)
    criterion: Any = held.curvature.criterion
    found = estimates_without(fit, codes, sets)
    missing = np.full(len(held.curvature.state.theta), np.nan)
    phi = np.array([missing if e is None else internal(fit, held.rows, criterion, e) for e in found])
    if whole_groups:
        return LevelsOut(held.curvature, held.rows, codes, sets).groups_out(phi)
    rows = np.split(np.argsort(codes, kind="stable"), np.cumsum(np.bincount(codes, minlength=sets))[:-1])
    return SetsOut(held.curvature, held.rows, rows).groups_out(phi)


def internal(fit: Fit, rows: LatentRows, criterion: Any, estimates: Estimates) -> np.ndarray:
    """φ of other estimates of the model, in the internal coordinates of `rows`."""
    theta = np.zeros(criterion.n_theta)
    for t, (scale, part) in enumerate(zip(criterion.scales, criterion.slices, strict=True)):
        back = np.linalg.inv(rows.to_effects[t])
        theta[part] = scale.from_covariance(back @ estimates.covariances[t] @ back.T)
    c = np.linalg.lstsq(rows.to_beta, np.nan_to_num(estimates.beta), rcond=None)[0]
    for name, _, place in rows.constants:
        c[place] = estimates.notes["constants"][name]
    return np.concatenate([theta, c])
