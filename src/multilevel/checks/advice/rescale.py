"""Scales of predictors: sizes that differ a thousandfold, and zeros far outside the data where slopes vary.

On a log or logit scale also: coefficients beyond ±10, where one unit multiplies odds or rates by more than 20,000.

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
    from ..case import Case

APART = 1e3  # ratio of the standard deviations of two predictors
FAR = 5.0  # distance of zero from the mean, in standard deviations


LARGE = 10.0  # coefficient on a log or logit scale
MULTIPLY = ("log", "logit", "cloglog")


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

    def after(self, case: Case) -> list[Finding]:
        found, steep = self.before(case.model), _steep(case)
        return found if steep is None else [f for f in found if f.severity != "ok"] + [steep]


def _steep(case: Case) -> Finding | None:
    """A coefficient that is finite and large where it multiplies."""
    design, distribution = case.design, case.model.distribution
    if case.model.is_linear:
        return None
    beta = case.fit.estimates.beta
    large = [
        (abs(float(b)), name)
        for name, column, b, d in zip(
            design.fixed_names, design.fixed_columns, beta, design.fixed_predictor, strict=True
        )
        if column is not None and np.isfinite(b) and abs(b) > LARGE and distribution.links[int(d)] in MULTIPLY
    ]
    if not large:
        return None
    size, name = max(large)
    j = design.fixed_names.index(name)
    column = np.asarray(design.fixed_columns[j])
    values = {"term": name, "estimate": float(beta[j]), "sd": float(column.std())}
    title = f"a large coefficient of {quote(name)}"
    if size * float(column.std()) > LARGE:
        text = f"it is {beta[j]:.3g}: one standard deviation of the column moves rows from certain to impossible."
        remedy = (
            "Look for rows that it nearly separates: few of them decide the estimate; pool categories, or use a prior."
        )
        return Finding("N_SCALES", "caution", title, text, remedy, values)
    text = (
        f"it is {beta[j]:.3g} and the column has sd {column.std():.3g}: one unit is far more than the data differ by."
    )
    remedy = f"Use other units, or scale({printable(name, 30)}): the coefficient becomes readable."
    return Finding("N_SCALES", "note", title, text, remedy, values)


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
