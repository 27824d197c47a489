"""Linear predictors of rows with all that is uncertain about them, part by part.

    η = η̂ + J (ψ̂ − ψ) + z'(b − b̂) + z'b_new

The parameters through their slopes J, the effects of known groups given the parameters, and what groups that are new,
or averaged over, add: their covariance z'Σz, which moves with the parameters too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..fit.estimates import Combination
from ..formula.design import Column, GroupColumns, Rows
from .linear import linear_predictors, owners, sums

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..fit.sensitivity import Sensitivity

NEW, OUT = -2, -1  # codes of terms: a level drawn from the population, none at all


@dataclass(frozen=True)
class Groups:
    """Covariance of group effects that are drawn anew, (n, m, m), and its slopes by the parameters (s, n, m, m)."""

    covariance: np.ndarray
    slopes: np.ndarray

    @property
    def any(self) -> bool:
        return bool(np.any(self.covariance > 0.0))


@dataclass(frozen=True)
class Uncertain:
    """Rows of one target.

    Parameters
    ----------
    eta : (n, m)
    slopes : (s, n, m) by the parameters, whose covariance is `parameters` (s, s)
    effects : (n, m, m) of known groups, given the parameters
    new, averaged : groups of the targets new_group and marginal
    """

    eta: np.ndarray
    slopes: np.ndarray
    parameters: np.ndarray
    effects: np.ndarray
    new: Groups
    averaged: Groups

    def quadratic(self, slopes: np.ndarray) -> np.ndarray:
        """Σ slopes_s Cov_st slopes_t for slopes (s, …)."""
        if len(slopes) == 0:
            return np.zeros(slopes.shape[1:])
        return np.asarray(np.einsum("s...,s...->...", slopes, np.einsum("st,t...->s...", self.parameters, slopes)))

    @property
    def covariance(self) -> np.ndarray:
        """Of η around η̂, without new groups, (n, m, m)."""
        carried = np.einsum("st,tnd->snd", self.parameters, self.slopes)
        return np.asarray(self.effects + np.einsum("snd,sne->nde", self.slopes, carried))


def uncertain(fit: Fit, rows: Rows, targets: dict[str, str], parameters: bool, interval: bool) -> Uncertain:
    """The linear predictors of rows, one target for each grouping factor; without `interval` nothing but averages."""
    n, m = rows.n, len(fit.model.distribution.links)
    known = _with(rows, targets, "conditional")
    eta = linear_predictors(fit, known)
    sens = fit.estimates.certainty.sensitivity if interval else None
    s = 0 if sens is None else len(sens)
    slopes = np.empty((s, n, m))
    for i in range(s):
        assert sens is not None
        constants = {name: float(sens.constants[name][i]) for name in sens.constants}
        slopes[i] = sums(fit, known, sens.beta[i], [e[i] for e in sens.effects], constants)
    covariance = np.zeros((s, s)) if sens is None else sens.covariance if parameters else sens.given
    new, averaged = (
        _groups(fit, _with(rows, targets, target), m, sens if parameters else None, s)
        for target in ("new_group", "marginal")
    )
    effects = np.zeros((n, m, m))
    if interval and sens is not None:
        effects = _effects(fit, known, m)
    elif interval:
        effects[:, 0, 0] = _location_variance(fit, known, parameters)
    return Uncertain(eta, slopes, covariance, effects, new, averaged)


def part(rows: Rows, index: slice | np.ndarray) -> Rows:
    """Some of the rows."""

    def of(column: Column) -> Column:
        return None if column is None else column[index]

    return Rows(
        len(np.arange(rows.n)[index]),
        tuple(of(c) for c in rows.fixed_columns),
        tuple(replace(g, columns=tuple(of(c) for c in g.columns), codes=g.codes[index]) for g in rows.groups),
        of(rows.offset), of(rows.weights), of(rows.trials), tuple(of(o) for o in rows.offsets),
    )  # fmt: skip


def _with(rows: Rows, targets: dict[str, str], wanted: str) -> Rows:
    """Rows with the terms of one target; the others are left out."""
    groups = []
    for g in rows.groups:
        mine = targets[g.label] == wanted
        codes = g.codes if mine and wanted == "conditional" else np.full(rows.n, NEW if mine else OUT, np.int32)
        groups.append(replace(g, codes=codes))
    return replace(rows, groups=tuple(groups))


def complete(fit: Fit, rows: Rows) -> Rows:
    """Rows with all terms: those that were not read are left out."""
    if rows.groups or not fit.model.design.groups:
        return rows
    out = np.full(rows.n, OUT, np.int32)
    groups = (replace(g, columns=(None,) * len(g.names), codes=out) for g in fit.model.design.groups)
    return replace(rows, groups=tuple(groups))


def _groups(fit: Fit, rows: Rows, m: int, sens: Sensitivity | None, s: int) -> Groups:
    """z'Σz of the terms of new levels."""
    out, slopes = np.zeros((rows.n, m, m)), np.zeros((s, rows.n, m, m))
    for t, group in enumerate(rows.groups):
        if rows.n == 0 or group.codes[0] != NEW:
            continue
        d = group.predictor
        out[:, d, d] += _quadratic(group, fit.estimates.covariances[t])
        if sens is not None:
            for i in range(s):
                slopes[i, :, d, d] += _quadratic(group, sens.covariances[t][i])
    return Groups(out, slopes)


def _quadratic(group: GroupColumns, covariance: np.ndarray) -> np.ndarray:
    """z'Σz of each row."""
    out = np.zeros(len(group.codes))
    for i, a in enumerate(group.columns):
        for j, b in enumerate(group.columns):
            if covariance[i, j] != 0.0:
                both = 1.0 if a is None and b is None else b if a is None else a if b is None else a * b
                out += covariance[i, j] * both
    return out


def combination(fit: Fit, rows: Rows, predictors: tuple[int, ...]) -> Combination:
    """z'b of the terms of some predictors, x'β left out."""
    z = []
    for group in rows.groups:
        columns = np.zeros((rows.n, len(group.names)))
        if group.predictor in predictors:
            for j, column in enumerate(group.columns):
                columns[:, j] = 1.0 if column is None else column
        z.append(columns)
    x = np.zeros((rows.n, len(fit.estimates.beta)))
    return Combination(x, tuple(g.codes for g in rows.groups), tuple(z))


def _effects(fit: Fit, rows: Rows, m: int) -> np.ndarray:
    """Cov of z'b of known groups over the predictors; covariances from the variances of sums."""
    out = np.zeros((rows.n, m, m))
    which = sorted({g.predictor for g in rows.groups if np.any(g.codes >= 0)})
    certainty = fit.estimates.certainty
    for d in which:
        out[:, d, d] = certainty.effect_variance(combination(fit, rows, (d,)))
    for i, d in enumerate(which):
        for e in which[:i]:
            both = certainty.effect_variance(combination(fit, rows, (d, e)))
            out[:, d, e] = out[:, e, d] = 0.5 * (both - out[:, d, d] - out[:, e, e])
    return out


def _location_variance(fit: Fit, rows: Rows, parameters: bool) -> np.ndarray:
    """Variance of the first predictor where that is all an estimator knows."""
    x = np.zeros((rows.n, len(fit.estimates.beta)))
    for j, (column, d) in enumerate(zip(rows.fixed_columns, owners(fit), strict=True)):
        if d == 0:
            x[:, j] = 1.0 if column is None else column
    effects = combination(fit, rows, (0,))
    return fit.estimates.certainty.spread(Combination(x, effects.codes, effects.z), parameters).variance
