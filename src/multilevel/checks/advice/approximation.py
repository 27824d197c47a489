"""Laplace's approximation too coarse for these groups: by how much, and the estimator that is better.

Few rows a group that tell little each (yes/no answers) with a large variance between groups make it so. What it costs
is estimated from the next term of its expansion (`checks/adequacy.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import printable
from ..adequacy import COLUMNS, Adequacy, adequacy
from ..base import Finding, quote
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case


@dataclass(frozen=True)
class Approximation(Advice):
    """The adequacy of a fit by ``"laplace"``: noticeable is a note, coarse a caution."""

    def after(self, case: Case) -> list[Finding]:
        fit = case.fit
        first = fit.estimator.name == "laplace" and getattr(fit.estimator, "order", 1) == 1
        if not first or not case.design.groups or fit.model.is_linear:
            return []
        return [_finding(adequacy(fit))]


def _finding(found: Adequacy) -> Finding:
    values = {k: v for k, v in found.to_dict().items() if k != "parameters"}
    error = f"its log-likelihood is off by about {found.error:+.2g}"
    if found.verdict == "negligible":
        text = f"{error}, and no estimate by more than {found.largest_shift:.1g} standard errors."
        return Finding("N_APPROXIMATION", "ok", "Laplace's approximation serves", text, values=values)
    i = int(np.argmax(np.nan_to_num(np.abs(found.columns["shift_se"]))))
    parameter, group, term, estimate, _, shift, in_se = (found.columns[c][i] for c in COLUMNS)
    name = " ".join(printable(part, 30) for part in (term, f"by {quote(group)}" if group else "") if part)
    what = f"the {parameter} of {name}" if name else printable(parameter, 30)
    text = f"{error}; {what}, {estimate:.3g}, would move by {shift:+.2g} ({in_se:+.2g} standard errors)."
    severity = "caution" if found.verdict == "coarse" else "note"
    remedy = f"Fit again with {found.better}."
    return Finding("N_APPROXIMATION", severity, f"Laplace's approximation is {found.verdict}", text, remedy, values)


MEMBER = Approximation()
