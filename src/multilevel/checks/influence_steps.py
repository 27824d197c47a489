"""Influence in generalized models: what one Newton step without each group, or each row, changes.

    ψ₍₋ⱼ₎ − ψ̂ = (H − H_j)⁻¹ ∇d_j        β, variances and dispersions together

Reference: Pregibon (1981), Annals of Statistics 9, 705-724; Xiang, Tse & Lee (2002), Comput. Statist. & Data Analysis
40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..numerics.newton import _move
from .deletion import whole
from .held_out import HeldOut
from .influence import FAR, Influence, _scaled, _sd_names, _sds
from .logo import observations
from .refits import estimates_without

if TYPE_CHECKING:
    from ..fit.estimates import Estimates
    from ..fit.fit import Fit

LIKELIHOODS = ("laplace", "agq")


def influence_by_steps(fit: Fit, label: str | None, refit: bool) -> Influence:
    """Influence of the levels of a grouping factor, or of the rows (`label` None)."""
    held = HeldOut(fit)
    if label is None:
        return _of_rows(fit, held)
    mine = next(g for g in fit.model.design.groups if g.label == label)
    levels, names = len(mine.levels), _sd_names(fit)
    if refit:
        every = dict(enumerate(estimates_without(fit, mine.codes, levels)))
        shift = np.full((levels, len(fit.estimates.beta)), np.nan)
        ratios = np.full((levels, len(names)), np.nan)
        _take(fit, every, shift, ratios)
        sizes = whole(np.bincount(mine.codes, observations(fit.model.design), levels))
    else:
        deleted = held.groups(mine.codes, levels)
        shift, sizes = deleted.shift, deleted.sizes
        ratios = _ratios(held, mine.codes, levels, len(names))
        _correct(fit, mine.codes, shift, ratios)
    scaled, cooks = _scaled(fit, shift)
    return Influence(fit, label, tuple(mine.levels), sizes, scaled, cooks, ratios, names, {})


def _of_rows(fit: Fit, held: HeldOut) -> Influence:
    design, found = fit.model.design, held.rows_out()
    scaled, cooks = _scaled(fit, -(found.shift @ held.rows.to_beta.T))
    extra = {"leverage": found.leverage, "studentized": found.studentized}
    units = tuple(map(str, range(design.n) if design.kept is None else design.kept.tolist()))
    return Influence(fit, "row", units, whole(observations(design)), scaled, cooks, np.zeros((design.n, 0)), (), extra)


def _ratios(held: HeldOut, codes: np.ndarray, levels: int, m: int) -> np.ndarray:
    """Standard deviations without each level over those with it, at one step."""
    out = np.full((levels, m), np.nan)
    c, fit = held.curvature, held.fit
    if fit.estimator.name not in LIKELIHOODS:
        return out
    base = _sds(fit)
    for level, step in enumerate(held.steps(codes, levels)):
        if np.isfinite(step).all():
            phi = _move(c.objective, c.state.theta, c.free, step)
            parts = []
            for t, (scale, part) in enumerate(zip(c.criterion.scales, c.criterion.slices, strict=True)):
                lam = c.criterion.rows.to_effects[t] @ scale.factor(phi[part])
                parts.append(np.sqrt((lam**2).sum(axis=1)))
            with np.errstate(invalid="ignore", divide="ignore"):
                out[level] = np.where(base > 0.0, np.concatenate(parts) / base, np.nan)
    return out


def _correct(fit: Fit, codes: np.ndarray, shift: np.ndarray, ratios: np.ndarray) -> None:
    """Levels that move a standard deviation far are left out by a refit instead."""
    with np.errstate(divide="ignore", invalid="ignore"):
        far = np.flatnonzero((np.abs(np.log(ratios)) > FAR).any(axis=1))
    if len(far):
        some = np.full(len(codes), -1)
        for place, level in enumerate(far):
            some[codes == level] = place
        _take(fit, dict(zip(far.tolist(), estimates_without(fit, some, len(far)), strict=True)), shift, ratios)


def _take(fit: Fit, found: dict[int, Estimates | None], shift: np.ndarray, ratios: np.ndarray) -> None:
    """Changes by refits into the arrays; of those that failed nothing."""
    base = _sds(fit)
    for level, estimates in found.items():
        if estimates is None:
            continue
        shift[level] = fit.estimates.beta - estimates.beta
        sds = [np.sqrt(np.maximum(np.diag(c), 0.0)) for c in estimates.covariances]
        with np.errstate(invalid="ignore", divide="ignore"):
            ratios[level] = np.where(base > 0.0, np.concatenate(sds) / base, np.nan)
