"""Linear predictors of rows at a fit's estimates, all columns of η: (n, m)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..formula.design import Column, Rows

if TYPE_CHECKING:
    from ..fit.fit import Fit

ROUNDING, MOST = 1e-9, 480.0  # of a linear predictor with infinite coefficients


def training_rows(fit: Fit) -> Rows:
    """The rows that were fitted."""
    design = fit.model.design
    trials = None if design.observations is None else design.observations.trials
    return Rows(design.n, design.fixed_columns, design.groups, design.offset, design.weights, trials, design.offsets)


def linear_predictors(
    fit: Fit,
    rows: Rows | None = None,
    *,
    groups: bool = True,
    beta: np.ndarray | None = None,
    effects: Sequence[np.ndarray] | None = None,
    constants: dict[str, float] | None = None,
) -> np.ndarray:
    """η of rows, one column for each predictor of the model's distribution.

    Parameters
    ----------
    rows : Rows, optional
        The training rows unless given; a level coded below zero has no effect.
    groups : bool
        Whether group effects enter; without them η is that of a group whose effects are zero.
    beta, effects, constants :
        Instead of the estimates (a draw, say); constants on their links' scales.

    Returns
    -------
    (n, m) array
    """
    estimates = fit.estimates
    rows = rows or training_rows(fit)
    separated = estimates.notes.get("separation")
    given = estimates.beta if beta is None else beta
    if separated is not None and beta is None:
        given = np.array(separated["finite"])
    held = constants_of(fit) if constants is None else constants
    b = (estimates.effects if effects is None else effects) if groups else None
    out = sums(fit, rows, given, b, held)
    for d, offset in enumerate(rows.offsets or (rows.offset,)):
        if offset is not None:
            out[:, d] += offset
    return out if separated is None else out + _certain(fit, rows)


def sums(
    fit: Fit, rows: Rows, beta: np.ndarray, effects: Sequence[np.ndarray] | None, constants: Mapping[str, float]
) -> np.ndarray:
    """Xβ + Zb + constants of every predictor, (n, m): linear in its arguments."""
    design = fit.model.design
    layout, m = design.layout, len(fit.model.distribution.links)
    out = np.zeros((rows.n, m))
    values = np.nan_to_num(beta, posinf=0.0, neginf=0.0)  # dropped columns add nothing
    for j, (column, d) in enumerate(zip(rows.fixed_columns, owners(fit), strict=True)):
        _add(out[:, d], column, values[j])
    names = layout.names if len(layout.names) == m else ("mu", *(p.name for p in fit.model.distribution.family.further))
    for name, value in constants.items():
        out[:, names.index(name)] += value
    for group, b in zip(rows.groups, effects, strict=True) if effects is not None else ():
        known = group.codes >= 0
        for k, column in enumerate(group.columns):
            part = np.where(known, b[group.codes, k], 0.0)
            with np.errstate(invalid="ignore"):  # infinite effects of groups whose rows are all alike
                out[:, group.predictor] += part if column is None else part * column
    return out


def owners(fit: Fit) -> np.ndarray:
    """The predictor of every fixed column."""
    design = fit.model.design
    return design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)


def certain_rows(fit: Fit, rows: Rows) -> np.ndarray | None:
    """Rows whose response separation makes certain: nothing tells how sure that is. None without separation."""
    if fit.estimates.notes.get("separation") is None:
        return None
    return np.asarray(np.any(_certain(fit, rows) != 0.0, axis=1))


def _certain(fit: Fit, rows: Rows) -> np.ndarray:
    """What infinite coefficients add, (n, m): enough to make a row certain, nothing where they cancel."""
    direction = np.array(fit.estimates.notes["separation"]["direction"])
    out = np.zeros((rows.n, len(fit.model.distribution.links)))
    for j, (column, d) in enumerate(zip(rows.fixed_columns, owners(fit), strict=True)):
        _add(out[:, d], column, direction[j])
    out[np.abs(out) < ROUNDING * np.abs(direction).max(initial=1.0)] = 0.0
    return np.clip(out, -MOST, MOST)


def constants_of(fit: Fit) -> dict[str, float]:
    """Constants of the family on their links' scales."""
    known = fit.estimates.notes.get("constants")
    if known is not None:
        return dict(known)
    if fit.sampled and not fit.model.is_linear:
        return _mean_constants(fit)
    if fit.model.is_linear and fit.sigma is not None:
        return {"sigma": float(np.log(fit.sigma))}
    return {}


def _mean_constants(fit: Fit) -> dict[str, float]:
    """Posterior means of the constants on their links' scales."""
    from .posterior import posterior

    names = fit.model.design.layout.names
    if len(names) != len(fit.model.distribution.links):
        names = ("mu", *(p.name for p in fit.model.distribution.family.further))
    return {names[d]: float(values.mean()) for d, values in posterior(fit).constants.items()}


def _add(target: np.ndarray, column: Column, value: float) -> None:
    if value != 0.0:
        target += value if column is None else value * column
