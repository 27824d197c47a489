"""Influence in a sampled fit: what its posterior would be without each group, or each row, by importance weights.

    E[θ | y₋ᵤ] = Σ_s w_s θ_s,    w_s ∝ 1 / p(y_u | φ_s)

with the effects of levels that occur in u alone integrated out (`psis_logo.py`). Shifts and Cook's distances are in
posterior standard deviations; k̂ says where the weights are not reliable, and a fit without the unit should answer.

References: Cook (1977), Technometrics 19; Peruggia (1997), JASA 92; Vehtari, Gelman & Gabry (2017), Stat. Comput. 27.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..numerics.psis import psis
from ..predictions.integrated import Densities, Own
from ..predictions.posterior import Posterior, posterior
from .deletion import whole
from .influence import Influence, _sd_names
from .logo import observations
from .posterior_refits import own_levels, refitted

if TYPE_CHECKING:
    from ..fit.fit import Fit

WORK, FEWEST = 40_000_000, 1000  # draws × rows that densities may cost; draws kept whatever they cost


def influence_by_weights(fit: Fit, label: str | None, refit: bool) -> Influence:
    """Influence of the levels of a factor, or of rows where `label` is None; see `influence.influence`."""
    design = fit.model.design
    draws = posterior(fit).thinned(max(FEWEST, WORK // max(design.n, 1)))
    densities = Densities.of_training(draws)
    if label is None:
        units = tuple(map(str, range(design.n) if design.kept is None else design.kept.tolist()))
        codes, sizes = np.arange(design.n), whole(observations(design))
    else:
        mine = next(g for g in design.groups if g.label == label)
        units, codes = tuple(mine.levels), mine.codes
        sizes = whole(np.bincount(codes, observations(design), len(units)))
    parameters, p = _parameters(draws), draws.beta.shape[1]
    base, moved, khat = parameters.mean(axis=0), np.empty((len(units), parameters.shape[1])), np.zeros(len(units))
    for unit in range(len(units)):
        rows = np.flatnonzero(codes == unit)
        own: Own = {} if label is None else own_levels(fit, rows)
        again = refitted(fit, rows) if refit else None
        if again is not None:
            moved[unit] = _parameters(again).mean(axis=0)
            continue
        smoothed = psis(-densities.joint(rows, own))
        moved[unit], khat[unit] = np.exp(smoothed.log_weights) @ parameters, smoothed.khat[0]
    scaled, cooks = _scaled(fit, draws, moved[:, :p] - base[:p])
    with np.errstate(invalid="ignore", divide="ignore"):
        sds = moved[:, p:] / base[p:]
    extra = {"pareto_k": khat}
    if label is None:
        return Influence(fit, "row", units, sizes, scaled, cooks, np.zeros((len(units), 0)), (), extra)
    return Influence(fit, label, units, sizes, scaled, cooks, sds, _sd_names(fit), extra)


def _parameters(draws: Posterior) -> np.ndarray:
    """β and all standard deviations, draw by draw; the residual one last."""
    sds = [np.sqrt(np.einsum("skk->sk", c)) for c in draws.covariances]
    sigma = [] if draws.fit.sigma is None else [np.exp(draws.constants[1])[:, None]]
    return np.concatenate([draws.beta, *sds, *sigma], axis=1)


def _scaled(fit: Fit, draws: Posterior, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shifts in posterior standard deviations, and Cook's distances."""
    kept = ~np.isnan(fit.estimates.beta)
    covariance = np.atleast_2d(np.cov(draws.beta[:, kept], rowvar=False)) if kept.any() else np.zeros((0, 0))
    inverse = np.linalg.pinv(covariance, hermitian=True, rcond=1e-14)
    cooks = np.einsum("up,pq,uq->u", shift[:, kept], inverse, shift[:, kept]) / max(int(kept.sum()), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = np.where(kept, shift / draws.beta.std(axis=0, ddof=1), np.nan)
    return scaled, np.asarray(cooks)
