"""Leave-one-out of a sampled fit, from its draws alone.

    p(y_i | y₋ᵢ) = 1 / E[1 / p(y_i | φ) | y],    weights w_s ∝ 1 / p(y_i | φ_s), smoothed (`numerics/psis.py`)

Where k̂ says that these weights are not reliable, because the row alone holds an effect of its group in place, that
effect is integrated out: with R the rows of the group, φ without its effects,

    p(y_i | y₋ᵢ) = 1 / E[1 / p(y_i | y_R∖i, φ) | y],    p(y_i | y_R∖i, φ) = p(y_R | φ) / p(y_R∖i | φ)

the same number with weights that hardly vary. Rows that still resist are left out by fits without them, on request.

References: Vehtari, Gelman & Gabry (2017), Statistics and Computing 27; Vehtari, Simpson, Gelman, Yao & Gabry (2024),
JMLR 25(72); Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), JMLR 17(103), section 3.6.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.cubature import log_mean_exp
from ..numerics.psis import psis, threshold
from ..predictions.from_draws import _means, chunks
from ..predictions.integrated import Densities, Own
from ..predictions.posterior import posterior, tiled
from ..predictions.uncertain import part
from .held_out import errors, squares
from .score import Score, named

if TYPE_CHECKING:
    from ..fit.fit import Fit

MOST_ROWS = 2000  # of a group whose effects are integrated for one of its rows
MOST_EFFECTS = 5


@dataclass(eq=False)
class Found:
    """What is found row by row: log densities without and with the row's own data, E y without it, k̂."""

    elpd: np.ndarray
    fitted: np.ndarray
    mean: np.ndarray
    khat: np.ndarray
    limit: float


def loo_of_draws(fit: Fit, refit: bool = False) -> Score:
    """Leave-one-out score of a sampled fit; see `loo.loo`."""
    densities = Densities.of_training(posterior(fit))
    found = _by_weights(densities)
    first = np.flatnonzero(found.khat > found.limit)
    for own in (_narrowest, _all_levels):
        for i in np.flatnonzero(found.khat > found.limit):
            _integrated(densities, found, int(i), own(fit, int(i)))
    helped = len(first) - int(np.sum(found.khat > found.limit))
    again = np.flatnonzero(found.khat > found.limit) if refit else np.zeros(0, np.int64)
    lost = _again(fit, found, again) if len(again) else 0
    notes = [f"{counted(helped, 'row')} with large k̂ left out with the effects of the group integrated"] * bool(helped)
    notes += [f"{counted(len(again) - lost, 'row')} left out by fits without them"] * bool(len(again) - lost)
    if np.any(found.khat > found.limit) and not refit:
        notes.append("loo(fit, refit=True) fits again without each row whose k̂ is large")
    units = tuple(map(str, range(len(found.elpd)) if fit.model.design.kept is None else fit.model.design.kept.tolist()))
    mean = found.mean if found.mean.shape[1] > 1 else found.mean[:, 0]
    return Score(
        "loo", named(fit), "row", units, np.ones(len(units)), found.elpd, errors(fit, mean), squares(fit, mean),
        "; ".join(notes), found.khat, found.fitted, found.limit, fit.model.native,
    )  # fmt: skip


def counted(n: int, noun: str) -> str:
    """``1 row``, ``2 rows``."""
    return f"{n} {noun}" + "s" * (n != 1)


def _by_weights(densities: Densities) -> Found:
    """Every row by importance weights, a portion of the rows at a time; effects of single rows are integrated out."""
    draws, rows, obs = densities.draws, densities.rows, densities.obs
    distribution = densities.draws.fit.model.distribution
    s, alone = len(draws), of_single_rows(draws.fit)
    parts: list[tuple[np.ndarray, ...]] = []
    for index in chunks(rows.n, max(1, draws.chunk() // 4)):
        eta = draws.eta(part(rows, index), skip=alone)
        flat, many = eta.reshape(-1, eta.shape[2]), tiled(obs.take(index), s)
        with np.errstate(all="ignore"):
            if alone:
                spread = draws.spread(part(rows, index), list(alone))
                log_p = densities.single_rows(many, flat, spread.reshape(flat.shape)).reshape(s, -1)
                means = _means(draws.fit, obs.take(index), eta, spread, rough=True)[0]
            else:
                log_p = distribution.log_density(many, flat).reshape(s, -1)
                means = distribution.mean(many, flat).reshape(s, log_p.shape[1], -1)
        smoothed = psis(-log_p)
        weights = np.exp(smoothed.log_weights)
        mean = np.einsum("sn,snk->nk", weights, means)
        elpd = _log_sum_exp(smoothed.log_weights + log_p)
        parts.append((elpd, _log_sum_exp(log_p) - np.log(s), mean, smoothed.khat))
    elpd, fitted, mean, khat = (np.concatenate([p[j] for p in parts]) for j in range(4))
    return Found(elpd, fitted, mean, khat, threshold(s))


def _integrated(densities: Densities, found: Found, i: int, own: Own | None) -> None:
    """Row i with the effects of its groups integrated, where that makes its weights better."""
    if own is None:
        return
    groups = densities.draws.fit.model.design.groups
    near = np.zeros(densities.rows.n, dtype=bool)
    for t, levels in own.items():
        near |= groups[t].codes == levels[0]
    near[i] = False
    alone = {t: np.setdiff1d(groups[t].codes[near], own[t]) for t in of_single_rows(densities.draws.fit) if t in own}
    given, row = np.flatnonzero(near), np.array([i])
    if alone and len(given) + 1 > MOST_EFFECTS and not densities.draws.fit.model.is_linear:
        return  # every row of the group would bring its own effect into the integral
    whole = {t: np.concatenate([levels, alone[t]]) if t in alone else levels for t, levels in own.items()}
    without = densities.joint(given, whole) if len(given) else np.zeros(len(densities.draws))
    log_p = densities.joint(np.append(given, i), whole) - without
    smoothed = psis(-log_p)
    if not smoothed.khat[0] < found.khat[i]:
        return
    weights = np.exp(smoothed.log_weights)
    found.elpd[i] = float(_log_sum_exp((smoothed.log_weights + log_p)[:, None])[0])
    found.mean[i] = np.einsum("s,sk->k", weights, densities.expected(row, given, own)[:, 0])
    found.khat[i] = smoothed.khat[0]


def of_single_rows(fit: Fit) -> tuple[int, ...]:
    """Terms whose levels have one row each, of one predictor."""
    groups = fit.model.design.groups
    found = [t for t, g in enumerate(groups) if len(g.levels) == fit.model.design.n]
    return tuple(t for t in found if groups[t].predictor == groups[found[0]].predictor)


def _narrowest(fit: Fit, i: int) -> Own | None:
    """The level of row i in the factor with the fewest rows a level, beside those of that row alone."""
    groups, alone = fit.model.design.groups, of_single_rows(fit)
    sizes = {g.label: int(np.sum(g.codes == g.codes[i])) for t, g in enumerate(groups) if t not in alone}
    if not sizes:
        return None
    return _own(fit, i, [min(sizes, key=lambda label: sizes[label]), *(groups[t].label for t in alone)])


def _all_levels(fit: Fit, i: int) -> Own | None:
    """The levels of row i in all factors."""
    labels = list(fit.model.groups)
    return _own(fit, i, labels) if len(labels) - bool(of_single_rows(fit)) > 1 else None


def _own(fit: Fit, i: int, labels: list[str]) -> Own | None:
    groups = fit.model.design.groups
    terms = [t for t, g in enumerate(groups) if g.label in labels]
    rows = sum(int(np.sum(groups[t].codes == groups[t].codes[i])) for t in terms)
    effects = sum(len(groups[t].names) for t in terms)
    if rows > MOST_ROWS or (effects > MOST_EFFECTS and not fit.model.is_linear):
        return None
    return {t: groups[t].codes[i : i + 1] for t in terms}


def _again(fit: Fit, found: Found, rows: np.ndarray) -> int:
    """These rows by fits without them; how many could not be fitted."""
    from .posterior_refits import left_out

    lost = 0
    for i in rows:
        out = left_out(fit, np.array([i]))
        if out is None:
            lost += 1
            continue
        found.elpd[i], found.mean[i], found.khat[i] = out.log_density, out.mean[0], 0.0
    return lost


def _log_sum_exp(parts: np.ndarray) -> np.ndarray:
    return log_mean_exp(parts, np.zeros(len(parts)))
