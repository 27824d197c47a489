"""Rows left out of separate fits: what the other rows of a group, and nothing else, say about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cavity import Taken
from ..core.own_groups import OwnGroups, own_groups
from ..core.panels import Panels
from ..predictions.linear import linear_predictors

if TYPE_CHECKING:
    from ..fit.fit import Fit

PAIRS = 4_000_000  # rows of all groups, each without one of its own, up to which separation is looked for
IMPOSSIBLE = -10.0  # log density in the limit of infinite coefficients from which a row contradicts them


def rows_out(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Log density and expected response of every row given the others, by a generalized fit without pooling.

    Coefficients are uncertain as the information of the group's rows has it. Where the rest of a group has no finite
    estimate, it predicts with certainty: a row that agrees has density one, a row that does not has zero (log −∞). NaN
    where the rest does not determine its coefficients.
    """
    linear: Any = fit.estimates.certainty
    linear = getattr(linear, "_certainty", linear).linear
    found = linear.fit
    obs, distribution = fit.model.observations, fit.model.distribution
    codes, z, owner, x, x_owner = _columns(fit)
    gamma = found.groups.gamma
    fixed = _fixed(fit, z, owner, codes)
    eta = _added(fixed, z, owner, gamma[codes])
    with np.errstate(all="ignore"):
        at = distribution.derivatives(obs, eta, 2)
        taken = Taken(distribution, obs, eta, at, _covariance(linear, codes, z, owner, x, x_owner, eta.shape[1]))
        density, mean = taken.log_density.copy(), taken.mean.copy()
        members = np.bincount(codes)
        if float((members.astype(float) ** 2).sum()) <= PAIRS:
            rest, alone = _without_each(fit, codes, z, owner, fixed, gamma)
            unknown = alone | ~rest.fits
            density[unknown], mean[unknown] = np.nan, np.nan
            sure = ~unknown & ~rest.finite
            limit = _added(fixed, z, owner, rest.gamma)[sure]
            value = distribution.log_density(obs.take(sure), limit)
            density[sure] = np.where(value < IMPOSSIBLE, -np.inf, value)
            mean[sure] = distribution.mean(obs.take(sure), limit)
    return density, mean


def _columns(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Codes, group columns with their predictors, and fixed columns with theirs."""
    design = fit.model.design
    ones = np.ones(design.n)
    z = np.stack([ones if c is None else c for g in design.groups for c in g.columns], axis=1)
    owner = np.array([g.predictor for g in design.groups for _ in g.names], dtype=np.int64)
    x = np.stack([ones if c is None else c for c in design.fixed_columns], axis=1) if design.fixed_names else z[:, :0]
    return design.groups[0].codes.astype(np.int64), z, owner, x, design.fixed_predictor


def _fixed(fit: Fit, z: np.ndarray, owner: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """η less z'γ̂ of the search: what is common."""
    linear: Any = fit.estimates.certainty
    linear = getattr(linear, "_certainty", linear).linear
    finite = np.where(np.isfinite(linear.effects), linear.effects, 0.0)
    at_mean = linear_predictors(fit, groups=False)
    own = linear.centred @ linear.mean  # b + this is γ
    out = at_mean.copy()
    for a in range(z.shape[1]):
        out[:, owner[a]] -= z[:, a] * own[a]
    del finite
    return out


def _added(fixed: np.ndarray, z: np.ndarray, owner: np.ndarray, gamma: np.ndarray) -> np.ndarray:
    out = fixed.copy()
    for a in range(z.shape[1]):
        out[:, owner[a]] += z[:, a] * gamma[:, a]
    return out
