"""What each level's own rows say of its coefficients, the rest of a generalized fit held: no pooling, level by level.

    d̂_ℓ = argmax Σ_{i in ℓ} ℓ_i(x_i'β̂ + other effects + z_i'd)

Infinite where the level's rows are all alike (only zeros, only successes): the direction is told then, and no number.

Found as the mode under a prior ten thousand times wider than the information of a level: where the prior still has a
say in the curvature there, the rows determine nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.latent import Latent
from ..core.mode import conditional_mode
from ..data.latent_rows import LatentRows, RowFactor
from ..predictions.linear import linear_predictors
from .held_out import plain_rows

if TYPE_CHECKING:
    from ..fit.fit import Fit

WIDE = 1e4
OPEN = 1e-3  # of the prior's variance, beyond which a coefficient is not determined
PULLED = 1e-6  # of the prior's standard deviation, a deviation that rows ask for


@dataclass(frozen=True)
class OwnRows:
    """Deviations of the levels of one factor in one predictor, (L, k), by name; ±inf or NaN where not determined."""

    names: tuple[str, ...]
    levels: tuple[str, ...]
    n: np.ndarray
    deviations: np.ndarray
    pooled: np.ndarray


def own_rows(fit: Fit, label: str, predictor: int = 0) -> OwnRows:
    """No pooling beside the conditional modes, for the terms of that factor in that predictor."""
    design = fit.model.design
    members = [t for t, g in enumerate(design.groups) if g.label == label and g.predictor == predictor]
    rows = plain_rows(fit.model)
    factor = next(f for f in rows.factors if any(t in members for t, _, _ in f.terms))
    rows, alone = _alone(rows, factor, members)
    eta = linear_predictors(fit)
    for t in members:
        codes = design.groups[t].codes
        for column, b in zip(design.groups[t].columns, fit.estimates.effects[t].T, strict=True):
            eta[:, predictor] -= b[codes] if column is None else b[codes] * column
    deviations = _mode(fit, rows, alone, eta, predictor)
    first = design.groups[members[0]]
    return OwnRows(
        names=tuple(name for t in members for name in design.groups[t].names),
        levels=first.levels,
        n=np.bincount(first.codes, minlength=len(first.levels)),
        deviations=deviations,
        pooled=np.concatenate([fit.estimates.effects[t] for t in members], axis=1),
    )


def _alone(rows: LatentRows, factor: RowFactor, members: list[int]) -> tuple[LatentRows, RowFactor]:
    """The rows with these terms and nothing else random."""
    kept = [(t, a, b) for t, a, b in factor.terms if t in members]
    columns = [j for _, a, b in kept for j in range(a, b)]
    terms, at = [], 0
    for t, a, b in kept:
        terms.append((t, at, at + b - a))
        at += b - a
    z = np.ascontiguousarray(factor.z[:, columns])
    alone = replace(factor, z=z, owner=np.zeros(len(columns), np.int64), terms=tuple(terms))
    latent = (rows.latent[int(factor.owner[columns[0]])],)
    return replace(rows, latent=latent, factors=(alone,)), alone


def _mode(fit: Fit, rows: LatentRows, factor: RowFactor, fixed: np.ndarray, predictor: int) -> np.ndarray:
    """(L, k) deviations in the columns of the data."""
    distribution = fit.model.distribution
    at = distribution.derivatives(rows.observations, linear_predictors(fit), 2)
    assert at.second is not None
    weight = np.maximum(at.second[:, predictor, predictor], 0.0)
    information = np.einsum("n,nk->k", weight, factor.z**2) / factor.n_levels
    lam = np.diag(WIDE / np.sqrt(np.maximum(information, 1e-12)))
    latent = Latent(rows)
    with np.errstate(all="ignore"):
        mode = conditional_mode(latent, distribution, [lam], fixed, np.zeros(latent.q))
    if mode is None:
        return np.full((factor.n_levels, factor.k), np.nan)
    u = latent.elimination.by_factor(mode.u)[0]
    blocks = latent.elimination.inverse(reml=False, keep=True).PL
    back = np.zeros((factor.k, factor.k))
    for t, a, b in factor.terms:
        back[a:b, a:b] = rows.to_effects[t]
    root = back @ lam
    out, prior = u @ root.T, np.einsum("jk,jk->j", root, root)
    left = np.einsum("jk,lkm,jm->lj", root, blocks, root) / prior
    pulled = np.abs(out) > PULLED * np.sqrt(prior)
    found = np.where(left < OPEN, out, np.where(pulled, np.sign(out) * np.inf, np.nan))
    found[np.isinf(found[:, 0]), 1:] = np.nan  # where the level runs off as a whole, its slopes mean nothing
    return np.asarray(found)
