"""Extreme imbalance: one level holds far more rows than the others, or most levels hold a single one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...model.describe import ALMOST_ROWS, UNEQUAL, Sizes, sizes
from ..base import Finding, quote
from .base import Advice

if TYPE_CHECKING:
    from ...model.model import Model


@dataclass(frozen=True)
class Imbalance(Advice):
    """The largest level has more than fifty times the rows of the median one, or levels are nearly rows."""

    def before(self, model: Model) -> list[Finding]:
        found = [f for s in sizes(model) for f in (_unequal(s), _single(model, s)) if f is not None]
        if found or not model.groups:
            return found
        worst = max(sizes(model), key=lambda s: s.most / max(s.median, 1.0))
        text = f"levels of {quote(worst.label)} have {worst.least} to {worst.most} rows (median {worst.median:g})."
        return [Finding("N_UNBALANCED", "ok", "no extreme imbalance", text, values=_values(worst))]


def _values(s: Sizes) -> dict[str, float | str]:
    return {"group": s.label, "levels": s.levels, "least": s.least, "median": s.median, "most": s.most}


def _unequal(s: Sizes) -> Finding | None:
    if s.most <= UNEQUAL * s.median:
        return None
    text = f"levels have {s.least} to {s.most} rows (median {s.median:g})."
    remedy = "Small levels are pulled to the mean and the large ones speak for it; see fit.shrinkage()."
    return Finding("N_UNBALANCED", "note", f"{quote(s.label)} is strongly unbalanced", text, remedy, _values(s))


def _single(model: Model, s: Sizes) -> Finding | None:
    if model.design.known_se is not None or s.levels <= ALMOST_ROWS * model.n_obs:
        return None
    text = f"{s.levels} levels for {model.n_obs} rows: the variance is told from the residual by few levels only."
    remedy = "Look at the interval of the standard deviation, or group by a coarser column."
    title = f"most levels of {quote(s.label)} hold a single row"
    return Finding("N_LEVELS_NEAR_ROWS", "note", title, text, remedy, _values(s))


MEMBER = Imbalance()
