"""Predictions for one typical row: the average of every column, in a level of a group that is chosen.

    E y or a new observation:   in a known level, in a new one, where effects are zero, and on average over levels
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..families.base import Observations
from ..formula.design import Column, Rows
from .generalized import _columns
from .uncertain import OUT, uncertain

if TYPE_CHECKING:
    from ..fit.fit import Fit


def typical_rows(fit: Fit, group: str | None = None, codes: np.ndarray | None = None) -> Rows:
    """One row for each of the codes of that grouping factor (one without), in no level of the others."""
    design = fit.model.design
    m = 1 if codes is None else len(codes)

    def average(column: Column) -> Column:
        return None if column is None else np.full(m, float(np.mean(column)))

    out = np.full(m, OUT, np.int32)
    groups = tuple(
        replace(
            g, columns=tuple(map(average, g.columns)), codes=out if codes is None or g.label != group else codes
        )
        for g in design.groups
    )
    return Rows(
        m, tuple(map(average, design.fixed_columns)), groups, average_or_none(design.offset, m),
        None, None, tuple(average_or_none(o, m) for o in design.offsets),
    )  # fmt: skip


def average_or_none(values: np.ndarray | None, m: int) -> np.ndarray | None:
    """The mean of a column, m times; None where there is none."""
    return None if values is None else np.full(m, float(np.mean(values)))


def typical_observations(fit: Fit, m: int) -> Observations:
    """What else of a row a response depends on: median trials and weights."""
    known = fit.model.observations
    if known.bounds is None:
        bounds = None
    else:
        bounds = (np.full(m, float(np.median(known.bounds[0]))), np.full(m, float(np.median(known.bounds[1]))))

    def middle(values: np.ndarray | None) -> np.ndarray | None:
        return None if values is None else np.full(m, float(np.median(values)))

    return Observations(
        np.zeros(m), trials=middle(known.trials), precision=middle(known.precision), bounds=bounds,
        levels=known.levels, name=known.name,
    )  # fmt: skip


def typical(
    fit: Fit, rows: Rows, target: str | dict[str, str], kind: str = "mean", level: float | None = None
) -> dict[str, Any]:
    """Predictions of a generalized fit for such rows; columns as of `Fit.predict`.

    Parameters
    ----------
    target : one for all grouping factors, or one for each
    kind : {"linear", "mean", "response"}
    """
    targets = dict.fromkeys(fit.model.groups, target) if isinstance(target, str) else target
    chosen = fit.level if level is None else level
    if fit.sampled:
        from .from_draws import of_rows

        return of_rows(fit, rows, typical_observations(fit, rows.n), targets, kind, chosen)
    some = uncertain(fit, rows, targets, True, True)
    return _columns(fit, typical_observations(fit, rows.n), some, kind, chosen)
