"""A predictor that mixes two effects: within groups and between them.

    y = … + β x + γ x̄_g + …,    γ = β_between − β_within,    H₀: γ = 0        (Mundlak's form of Hausman's test)

With γ ≠ 0 the model's one coefficient is a weighted mean of the two, and the group effects are correlated with x. The
test is the score of the group means x̄_g; under the model it is the Wald test of a refit with them.

References: Mundlak (1978), Econometrica 46; Hausman (1978), Econometrica 46; Bell & Jones (2015), PSRM 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import printable
from ..base import ALPHA, Finding, holm, p_text, quote
from ..score_tests import ColumnScore, column_scores
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

LEAST_SHARE = 0.02  # of the variance between levels
LEAST_VARIATION = 1e-4  # share of the predictor's variance that lies between levels


@dataclass(frozen=True)
class WithinBetween(Advice):
    """Asks every numeric predictor whether its group means have an effect of their own."""

    def after(self, case: Case) -> list[Finding]:
        if not case.solvable or case.fit.estimator.name == "complete":
            return []
        asked = _asked(case)
        if not asked:
            return []
        scores = column_scores(case, np.column_stack([means for _, _, means in asked]))
        pairs = [(a, s) for a, s in zip(asked, scores, strict=True) if s is not None and s.df >= 3.0]
        if not pairs:
            return []
        p = holm([s.p_value for _, s in pairs])
        order = np.argsort(p, kind="stable")
        found = [
            _finding(case, *pairs[i][0], p=float(p[i]), score=pairs[i][1])
            for i in map(int, order)
            if p[i] < ALPHA and pairs[i][1].share > LEAST_SHARE
        ]
        if found:
            return found
        label, name, _ = pairs[int(order[0])][0]
        least = f"least for {quote(name)} by {quote(label)} ({p_text(float(p.min()))})"
        text = f"slopes within and between levels agree; {least}."
        values = {"p_value": float(p.min())}
        return [Finding("N_WITHIN_BETWEEN", "ok", "no predictor mixes two effects", text, values=values)]


def _asked(case: Case) -> list[tuple[str, str, np.ndarray]]:
    """(group, predictor, its group means) for predictors that vary within and between levels."""
    out = []
    for label, sums in case.sums.items():
        for name, x in case.predictors.items():
            centred = x - x.mean()
            means = sums.means(centred)[sums.codes]
            total, between = float(np.sum(centred**2)), float(np.sum(means**2))
            if total > 0.0 and LEAST_VARIATION < between / total < 1.0 - LEAST_VARIATION:
                out.append((label, name, means))
    return out


def _finding(case: Case, label: str, name: str, means: np.ndarray, p: float, score: ColumnScore) -> Finding:
    """The two slopes: adding x̄ moves the coefficient of x by −γ̂ times that of x in the regression of x̄ on X."""
    gamma, _ = case.adjusted.solve(means[:, None])
    j = case.design.fixed_names.index(name)
    moved = float(case.adjusted.external(gamma)[case.adjusted.design.fixed_names.index(name), 0])
    within = float(case.fit.estimates.beta[j]) - score.estimate * moved
    between = within + score.estimate
    text = (
        f"the slope on {quote(name)} is {within:.3g} within levels of {quote(label)} and {between:.3g} between them "
        f"(difference {score.estimate:.3g} ± {score.std_error:.2g}, {p_text(p)}); the model's "
        f"{case.fit.estimates.beta[j]:.3g} mixes them."
    )
    short, by = printable(name, 30), printable(label, 30)
    remedy = (
        f"Split it: x_mean = mean of {short} by {by}, x_within = {short} − x_mean, and x_within + x_mean instead of "
        f"{short} in the formula."
    )
    values = {"group": label, "term": name, "within": within, "between": between, "p_value": p, "share": score.share}
    title = f"{quote(name)} mixes effects within and between levels of {quote(label)}"
    severity = "problem" if within * between < 0.0 or score.share > 0.2 else "caution"
    return Finding("N_WITHIN_BETWEEN", severity, title, text, remedy, values)


MEMBER = WithinBetween()
