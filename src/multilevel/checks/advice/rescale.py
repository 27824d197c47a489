"""Scales of predictors: sizes that differ a thousandfold, and zeros far outside the data where slopes vary.

The estimates do not suffer (columns are centred and scaled internally), their reading does: coefficients of 1e-6, and a
standard deviation of intercepts at a place where there are no data, with a correlation near ±1 to the slopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import printable
from ..base import Finding, quote
from .base import Advice

if TYPE_CHECKING:
    from ...formula.design import GroupColumns
    from ...model.model import Model

APART = 1e3  # ratio of the standard deviations of two predictors
FAR = 5.0  # distance of zero from the mean, in standard deviations


@dataclass(frozen=True)
class Rescale(Advice):
    """Centre and rescale, for the reader's sake."""

    def before(self, model: Model) -> list[Finding]:
        found = [f for f in (_apart(model), *(_far(g) for g in model.design.groups)) if f is not None]
        if found or not _spreads(model):
            return found
        spreads = list(_spreads(model).values())
        text = f"standard deviations of predictors from {min(spreads):.3g} to {max(spreads):.3g}."
        return [Finding("N_SCALES", "ok", "predictors are of like size", text)]


def _spreads(model: Model) -> dict[str, float]:
    """Standard deviations of the numeric columns that vary."""
    pairs = zip(model.design.fixed_names, model.design.fixed_columns, strict=True)
    out = {name: float(column.std()) for name, column in pairs if column is not None}
    return {name: sd for name, sd in out.items() if sd > 0.0}


def _apart(model: Model) -> Finding | None:
    spreads = _spreads(model)
    if not spreads or max(spreads.values()) <= APART * min(spreads.values()):
        return None
    large, small = max(spreads, key=lambda n: spreads[n]), min(spreads, key=lambda n: spreads[n])
    text = f"{quote(large)} has sd {spreads[large]:.3g}, {quote(small)} {spreads[small]:.3g}."
    remedy = f"Use other units, or scale({printable(large, 30)}): the coefficients become comparable."
    values = {"largest": large, "smallest": small, "ratio": spreads[large] / spreads[small]}
    return Finding("N_SCALES", "note", "predictors of very different size", text, remedy, values)


def _far(group: GroupColumns) -> Finding | None:
    """Zero far from a column whose slope varies together with the intercept."""
    if all(column is not None for column in group.columns):
        return None
    for name, column in zip(group.names, group.columns, strict=True):
        if column is None:
            continue
        mean, sd = float(np.mean(column)), float(np.std(column))
        if sd > 0.0 and abs(mean) > FAR * sd:
            text = (
                f"the mean of {quote(name)} is {mean:.4g} and its sd {sd:.3g}: intercepts by {quote(group.label)} are "
                f"those at zero, {abs(mean) / sd:.0f} sd away from the data."
            )
            remedy = f"Use center({printable(name, 30)}) in both parts: intercepts then vary at the mean."
            values = {"group": group.label, "term": name, "mean": mean, "sd": sd}
            return Finding("N_SCALES", "note", f"{quote(name)} is far from zero", text, remedy, values)
    return None


MEMBER = Rescale()
