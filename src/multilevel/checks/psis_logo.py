"""Leave-one-group-out and K-fold scores of a sampled fit.

    p(y_g | y₋g) = 1 / E[1 / p(y_g | φ) | y],    p(y_g | φ) = ∫ Π_{i∈g} p(y_i | φ, b) N(b; 0, Σ) db

φ are coefficients, variances, constants and the effects of levels that other groups share; b are the effects of levels
that occur in g alone. With b integrated the weights 1/p(y_g | φ_s) vary little, unless the group holds a coefficient or
a variance in place: k̂ says so, and a fit without the group answers.

Reference: Merkle, Furr & Rabe-Hesketh (2019), Psychometrika 84; Liu & Rue (2022), arXiv 2210.04482.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..core.cubature import log_mean_exp
from ..numerics.psis import psis, threshold
from ..predictions.integrated import Densities
from ..predictions.posterior import posterior
from .held_out import errors, squares
from .posterior_refits import left_out, mean_of_rows, own_levels
from .psis_loo import counted
from .score import Score, named

if TYPE_CHECKING:
    from ..fit.fit import Fit

WORK = 40_000_000  # draws × rows that densities may cost
FEWEST = 1000  # draws that are kept whatever they cost
UNSTEADY = 3.0  # standard deviation of log p(y_R | φ) beyond which its mean over draws rests on few of them


def logo_of_draws(fit: Fit, label: str, codes: np.ndarray, levels: tuple[str, ...], refit: bool = False) -> Score:
    """Leave-one-group-out score of a sampled fit; see `logo.logo`.

    `refit` fits again without the groups whose k̂ is too large; the others have no need of it.
    """
    draws = posterior(fit).thinned(max(FEWEST, WORK // max(fit.model.design.n, 1)))
    densities, limit = Densities.of_training(draws), threshold(len(draws))
    elpd, khat = np.empty(len(levels)), np.empty(len(levels))
    mean: np.ndarray | None = None
    again = 0
    for g in range(len(levels)):
        rows = np.flatnonzero(codes == g)
        own = own_levels(fit, rows)
        log_p = densities.joint(rows, own)
        smoothed = psis(-log_p)
        elpd[g], khat[g] = float(log_mean_exp((smoothed.log_weights + log_p), np.zeros(len(log_p)))), smoothed.khat[0]
        if refit and khat[g] > limit and (found := left_out(fit, rows)) is not None:
            own_mean, elpd[g], khat[g], again = found.mean, found.log_density, 0.0, again + 1
        else:
            own_mean = mean_of_rows(fit, draws, rows, own, np.exp(smoothed.log_weights))
        mean = np.empty((len(codes), own_mean.shape[1])) if mean is None else mean
        mean[rows] = own_mean
    assert mean is not None
    notes = [f"{counted(again, 'group')} left out by fits without them"] * bool(again)
    if np.any(khat > limit) and not refit:
        notes.append("logo(fit, refit=True) fits again without each group with large k̂")
    return _scored(fit, "logo", label, levels, codes, elpd, mean, "; ".join(notes), khat, limit)


def kfold_of_draws(fit: Fit, unit: str, codes: np.ndarray, k: int) -> Score:
    """K-fold score of a sampled fit: fits without each fold."""
    elpd, mean, unsteady = np.full(k, np.nan), None, 0
    for fold in range(k):
        rows = np.flatnonzero(codes == fold)
        found = left_out(fit, rows)
        if found is None:
            continue
        elpd[fold] = found.log_density
        unsteady += int(found.spread > UNSTEADY)
        mean = np.full((len(codes), found.mean.shape[1]), np.nan) if mean is None else mean
        mean[rows] = found.mean
    lost = int(np.isnan(elpd).sum())
    notes = [f"{lost} folds could not be left out: the rest does not determine the model"] * bool(lost)
    if unsteady:
        notes.append(f"the joint density of {unsteady} folds rests on few draws: use more folds, or more draws")
    mean = np.full((len(codes), 1), np.nan) if mean is None else mean
    units = tuple(f"fold {i + 1}" for i in range(k))
    return _scored(fit, "kfold", unit, units, codes, elpd, mean, "; ".join(notes), None, 0.7)


def _scored(
    fit: Fit, method: str, unit: str, units: tuple[str, ...], codes: np.ndarray, elpd: np.ndarray, mean: np.ndarray,
    reason: str, khat: np.ndarray | None, limit: float,
) -> Score:  # fmt: skip
    from .logo import observations

    count = observations(fit.model.design)
    mean = mean if mean.shape[1] > 1 else mean[:, 0]
    error, square = errors(fit, mean), squares(fit, mean)
    sizes = np.bincount(codes, count, len(units))
    return Score(
        method, named(fit), unit, units, sizes, elpd, np.bincount(codes, count * error, len(units)) / sizes,
        np.bincount(codes, count * square, len(units)), reason, khat, None, limit, fit.model.native,
    )  # fmt: skip
