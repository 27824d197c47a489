"""Rows left out of separate fits: what the other rows of a group, and nothing else, say about one of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cavity import Taken
from ..core.own_groups import OwnGroups, own_groups
from ..core.panels import Panels
from ..core.separate_likelihood import Separate, SeparateLikelihood

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
    certainty: Any = fit.estimates.certainty
    linear: SeparateLikelihood = getattr(certainty, "_certainty", certainty).linear
    found = linear.fit
    panels, distribution = found.panels, found.panels.distribution
    obs, eta = panels.observations, panels.eta(found.fixed, found.groups.gamma)
    with np.errstate(all="ignore"):
        taken = Taken(distribution, obs, eta, found.groups.at, _covariance(linear, eta.shape[1]))
        density, mean = taken.log_density.copy(), taken.mean.copy()
        sizes = np.bincount(panels.codes).astype(float)
        if panels.k and float(sizes @ sizes) <= PAIRS:
            rest = _without_each(found)
            unknown = ~rest.fits
            density[unknown], mean[unknown] = np.nan, np.nan
            sure = np.flatnonzero(rest.fits & ~rest.finite)
            own = replace(panels, codes=np.arange(len(eta)), groups=len(eta))
            limit = own.eta(found.fixed, rest.gamma)[sure]
            value = distribution.log_density(obs.take(sure), limit)
            density[sure] = np.where(value < IMPOSSIBLE, -np.inf, value)
            mean[sure] = distribution.mean(obs.take(sure), limit)
    return density, mean


def _covariance(linear: SeparateLikelihood, m: int) -> np.ndarray:
    """Cov(η_i) = z_i'A⁻¹z_i + (x_i − h'z_i)'Cov(ĉ)(x_i − h'z_i), (n, m, m)."""
    found = linear.fit
    panels, n = found.panels, len(found.fixed)
    placed, net = np.zeros((n, m, panels.k)), np.zeros((n, m, len(found.c)))
    placed[:, panels.owner, np.arange(panels.k)] = panels.z
    net[:, found.owner, np.arange(len(found.c))] = found.x
    net -= placed @ found.h[panels.codes]
    own = np.einsum("nda,nab,neb->nde", placed, found.groups.inverse[panels.codes], placed)
    return np.asarray(own + np.einsum("ndp,pq,neq->nde", net, linear.inverse, net))


def _without_each(found: Separate) -> OwnGroups:
    """Every row's group fitted without that row, common coefficients held."""
    panels = found.panels
    order = np.argsort(panels.codes, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(panels.codes, minlength=panels.groups))[:-1])
    left = [np.tile(rows, len(rows)).reshape(len(rows), -1)[~np.eye(len(rows), dtype=bool)] for rows in members]
    gone = [np.repeat(rows, max(len(rows) - 1, 0)) for rows in members]
    rows = np.concatenate(left)
    several = Panels(
        panels.distribution, panels.observations.take(rows), panels.z[rows], panels.owner, np.concatenate(gone),
        len(found.fixed), prior=False,
    )  # fmt: skip
    return own_groups(several, found.fixed[rows], found.groups.gamma[panels.codes])
