"""A level that hardly matters: an ICC below 0.05 that the likelihood would not miss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...fit.remarks import LOW_ICC
from ..base import Finding, p_text, percent, quote
from ..refit import boundary_p, extended, likelihood_ratio, refitted
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

KEPT = 0.05  # p-value of dropping the level below which it is worth having, however small


@dataclass(frozen=True)
class LowIcc(Advice):
    """The level may be unnecessary: its share, and what the likelihood loses without it."""

    def after(self, case: Case) -> list[Finding]:
        if not case.design.groups or case.fit.estimator.name == "complete":
            return []
        shares = {g: v for g, v in case.fit.icc().items() if np.isfinite(v) and g not in case.fit.boundary}
        low = {g: v for g, v in shares.items() if 0.0 < v < LOW_ICC}
        found = [_finding(case, label, share) for label, share in low.items()]
        if found or not shares:
            return found
        least = min(shares, key=lambda g: shares[g])
        text = f"{quote(least)} holds {percent(shares[least])} of the variance, the least of all."
        return [Finding("N_LOW_ICC", "ok", "every level matters", text, values={"group": least, "icc": shares[least]})]


def _finding(case: Case, label: str, share: float) -> Finding:
    values = {"group": label, "icc": share}
    text = f"{quote(label)} holds {percent(share)} of the variance (ICC {share:.3f})"
    kept = [g for g in case.design.groups if g.label != label]
    without = refitted(case.fit, extended(case.model, kept))
    ratio = float("nan") if without is None else likelihood_ratio(case.fit, without, more=False)
    if not np.isfinite(ratio):
        remedy = "The level may be unnecessary; keep it if the design has it."
        return Finding("N_LOW_ICC", "note", f"{quote(label)} hardly matters", f"{text}.", remedy, values)
    k = sum(len(g.names) for g in case.design.groups if g.label == label)
    p = boundary_p(ratio, k * (k + 1) // 2 - 1)
    cost = 0.5 * ratio
    values |= {"log_likelihood": cost, "p_value": p}
    if p < KEPT:
        text += f", and leaving it out costs {cost:.1f} log-likelihood units ({p_text(p)}): small but real."
        return Finding("N_LOW_ICC", "ok", f"{quote(label)} is small but needed", text, values=values)
    text += f"; leaving it out costs {cost:.2f} log-likelihood units ({p_text(p)})."
    remedy = "The level can go; keep it if the design has it (standard errors then stay honest)."
    return Finding("N_LOW_ICC", "note", f"{quote(label)} hardly matters", text, remedy, values)


MEMBER = LowIcc()
