"""A sampled fit made again without some of its rows, and what its draws say about them.

    log p(y_R | y₋R) = log (1/S) Σ_s p(y_R | φ_s),    φ_s from the posterior without R

Levels that occur in R alone have no draws there: their effects are integrated over their distribution in each draw.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.cubature import log_mean_exp
from ..errors import ConvergenceError, MultilevelError, MultilevelWarning
from ..predictions.integrated import Densities, Own
from ..predictions.posterior import Posterior, posterior
from .subsets import check_levels, without

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model


MEANS = 200  # draws from which expected responses of new groups are averaged


@dataclass(frozen=True)
class LeftOut:
    """What the others say about some rows: log density, E y (rows, K), and how much log p varies between draws."""

    log_density: float
    mean: np.ndarray
    spread: float


def left_out(fit: Fit, rows: np.ndarray) -> LeftOut | None:
    """These rows by a fit without them; None where the rest does not determine the model."""
    again = refitted(fit, rows)
    if again is None:
        return None
    densities = Densities.of_training(again)
    own = own_levels(fit, rows)
    log_p = densities.joint(rows, own)
    mean = mean_of_rows(fit, again, rows, own)
    return LeftOut(float(log_mean_exp(log_p, np.full(len(log_p), -np.log(len(log_p))))), mean, float(log_p.std()))


def refitted(fit: Fit, rows: np.ndarray) -> Posterior | None:
    """Draws without some rows, with the levels of the whole fit; those that vanished have effects of zero."""
    gone = np.zeros(fit.model.design.n, dtype=bool)
    gone[rows] = True
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        try:
            model = without(fit.model, gone)
            model.__dict__["priors"] = fit.model.priors  # scales of default priors are those of the whole data
            check_levels(model)
            estimates = fit.estimator.estimate(model)
        except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
            return None
    from ..fit.fit import Fit as Fitted

    return _widened(posterior(Fitted(model, fit.estimator, estimates)), fit, model)


def _widened(draws: Posterior, fit: Fit, model: Model) -> Posterior:
    effects = []
    for b, old, new in zip(draws.effects, fit.model.design.groups, model.design.groups, strict=True):
        place = {level: i for i, level in enumerate(old.levels)}
        whole = np.zeros((len(b), len(old.levels), b.shape[2]))
        whole[:, [place[level] for level in new.levels]] = b
        effects.append(whole)
    return replace(draws, fit=fit, effects=tuple(effects))


def own_levels(fit: Fit, rows: np.ndarray) -> Own:
    """Levels that occur in these rows alone, by term."""
    out = {}
    for t, group in enumerate(fit.model.design.groups):
        inside = np.bincount(group.codes[rows], minlength=len(group.levels))
        alone = np.flatnonzero((inside > 0) & (inside == np.bincount(group.codes, minlength=len(group.levels))))
        if len(alone):
            out[t] = alone
    return out


def mean_of_rows(
    fit: Fit, draws: Posterior, rows: np.ndarray, own: Own, weights: np.ndarray | None = None
) -> np.ndarray:
    """E y of rows over the draws (rows, K): vanished levels are averaged over their distribution."""
    from ..predictions.from_draws import _means, _straight, chunks
    from ..predictions.linear import training_rows
    from ..predictions.posterior import training_observations
    from ..predictions.uncertain import OUT, part

    whole, obs = training_rows(fit), training_observations(fit)
    groups = list(whole.groups)
    for t, levels in own.items():
        codes = np.where(np.isin(groups[t].codes, levels), OUT, groups[t].codes).astype(np.int32)
        groups[t] = replace(groups[t], codes=codes)
    apart = replace(whole, groups=tuple(groups))
    bent = [t for t in own if not _straight(fit, groups[t].predictor)]
    w = np.full(len(draws), 1.0 / len(draws)) if weights is None else weights
    if bent and len(draws) > MEANS:  # each asks for an integral: some hundreds tell a mean well enough
        index = np.searchsorted(np.cumsum(w / w.sum()), (0.5 + np.arange(MEANS)) / MEANS)
        draws, w = draws.take(np.minimum(index, len(w) - 1)), np.full(MEANS, 1.0 / MEANS)
    out = []
    for portion in chunks(len(rows), max(1, draws.chunk() // 4)):
        some = rows[portion]
        spread = draws.spread(part(whole, some), bent) if bent else None
        with np.errstate(all="ignore"):
            means, _ = _means(fit, obs.take(some), draws.eta(part(apart, some)), spread, rough=True)
        out.append(np.einsum("s,snk->nk", w, means))
    return np.concatenate(out)
