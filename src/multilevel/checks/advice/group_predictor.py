"""A group-level predictor that was left out: an unused number, constant within groups, explains the spread of them.

Groups are exchangeable given what the model knows of them. The score test of the column has the groups' degrees of
freedom; its share R² is the part of the variance between groups that it would explain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import listed, printable
from ..base import ALPHA, Finding, holm, p_text, percent, quote
from ..refit import with_fixed
from ..score_tests import ColumnScore, column_scores, constant_within
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

LEAST_SHARE = 0.03
LEAST_LEVELS = 6
MOST = 3


@dataclass(frozen=True)
class GroupPredictor(Advice):
    """Asks every unused numeric column that is constant within groups."""

    def after(self, case: Case) -> list[Finding]:
        if not case.solvable or case.fit.estimator.name == "complete":
            return []
        asked = _asked(case)
        if not asked:
            return []
        scores = column_scores(case, np.column_stack([x for _, _, x in asked]))
        pairs = [(a, s) for a, s in zip(asked, scores, strict=True) if s is not None]
        if not pairs:
            return []
        p = holm([s.p_value for _, s in pairs])
        order = [int(i) for i in np.argsort(p, kind="stable")]
        hits = [i for i in order if p[i] < ALPHA and pairs[i][1].share > LEAST_SHARE][:MOST]
        found = [_finding(case, pairs[i][0][0], pairs[i][0][1], float(p[i]), pairs[i][1]) for i in hits]
        if found:
            return found
        names = listed((name for (_, name, _), _ in pairs), 4)
        text = f"{names} would explain nothing of the spread between groups (smallest {p_text(float(p.min()))})."
        values = {"p_value": float(p.min())}
        return [Finding("N_GROUP_PREDICTOR", "ok", "no group-level predictor left out", text, values=values)]


def _asked(case: Case) -> list[tuple[str, str, np.ndarray]]:
    """(the coarsest group within which it is constant, column, its centred values); missing values do not qualify."""
    groups = sorted(case.model.groups.items(), key=lambda item: item[1])
    out = []
    for column in case.unused:
        if column.numbers is None or np.isnan(column.numbers).any() or np.ptp(column.numbers) == 0.0:
            continue
        x = column.numbers - column.numbers.mean()
        x = x / x.std()
        labels = [label for label, n in groups if n >= LEAST_LEVELS and constant_within(x, case.sums[label])]
        if labels:
            out.append((labels[0], column.name, x))
    return out


def _finding(case: Case, label: str, name: str, p: float, score: ColumnScore) -> Finding:
    text = (
        f"{quote(name)} differs between levels of {quote(label)} only, is not in the model, and would explain "
        f"{percent(score.share)} of what varies between them (t = {score.estimate / score.std_error:.1f}, {p_text(p)})."
    )
    remedy = f"Add it: {printable(with_fixed(case.model.formula, name), 300)}"
    values = {"group": label, "column": name, "p_value": p, "share": score.share}
    title = f"a group-level predictor was left out: {quote(name)}"
    return Finding("N_GROUP_PREDICTOR", "problem" if score.share > 0.3 else "caution", title, text, remedy, values)


MEMBER = GroupPredictor()
