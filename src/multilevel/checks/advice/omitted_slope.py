"""An omitted random slope: the effect of a predictor differs between groups, and the formula gives all the same.

    T = Σ_ℓ (Σ_{i in ℓ} (x_i − x̄_ℓ) (P̃y)_i)²  against its moments in replicated data, Holm over predictors and groups

Columns are centred within levels, so that the answer does not depend on where x has its zero. A slope that is left out
makes the standard error of the predictor's coefficient too small.

Reference: Barr, Levy, Scheepers & Tily (2013), J. Mem. Lang. 68, 255-278, for what leaving slopes out does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import printable
from ...formula.design import GroupColumns
from ...variance.icc import residual_variance
from ..base import ALPHA, Finding, holm, p_text, percent, quote
from ..refit import LIKELIHOODS, extended, refitted, with_slope
from ..score_tests import TermScore, term_score
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

LEAST_SHARE = 0.02  # of the residual variance
MOST = 3


@dataclass(frozen=True)
class OmittedSlope(Advice):
    """Asks every numeric predictor that varies within groups whether its slope does too."""

    def after(self, case: Case) -> list[Finding]:
        if not case.solvable or case.fit.estimator.name == "complete":
            return []
        asked = list(_asked(case))
        if not asked:
            return []
        scores = [term_score(case, case.sums[label], within) for label, _, within in asked]
        p = holm([score.p_value for score in scores])
        order = np.argsort(p, kind="stable")
        shares = [_share(case, within, score.variance) for (_, _, within), score in zip(asked, scores, strict=True)]
        hits = [int(i) for i in order if p[i] < ALPHA and shares[i] > 0.25 * LEAST_SHARE][:MOST]
        found = [_finding(case, *asked[i], float(p[i]), scores[i]) for i in hits]
        alarms = [finding for finding in found if finding is not None]
        if alarms:
            return alarms
        label, name, _ = asked[int(order[0])]
        size = f"{percent(max(shares[int(order[0])], 0.0))} of the residual variance, {p_text(float(p.min()))}"
        text = f"the likeliest is that of {quote(name)} by {quote(label)} ({size})."
        return [Finding("N_OMITTED_SLOPE", "ok", "no slope left out", text, values={"p_value": float(p.min())})]


def _asked(case: Case) -> list[tuple[str, str, np.ndarray]]:
    """(group, predictor, its values centred within levels) where the slope is fixed and could vary."""
    out = []
    for label, sums in case.sums.items():
        varying = {name for g in case.design.groups if g.label == label for name in g.names}
        many = sums.counts >= 2
        for name, x in case.predictors.items():
            within = x - sums.means(x)[sums.codes]
            spread = float(np.sum(within**2))
            # levels enough in which x has a slope at all
            moving = np.sum(sums(within**2)[many] > 1e-12 * spread)
            if name not in varying and spread > 1e-10 * float(np.sum((x - x.mean()) ** 2)) and moving >= 3:
                out.append((label, name, within))
    return out


def _share(case: Case, within: np.ndarray, variance: float) -> float:
    """What slopes of that variance add to a row, over the residual variance."""
    return float(variance * np.mean(within**2)) / residual_variance(case.fit)


def _finding(case: Case, label: str, name: str, within: np.ndarray, p: float, score: TermScore) -> Finding | None:
    sd, gain = _refit(case, label, name)
    if sd is None:
        sd = max(score.variance, 0.0) ** 0.5
    share = _share(case, within, sd**2)
    if share < LEAST_SHARE:
        return None
    j = case.design.fixed_names.index(name)
    slope = float(case.fit.estimates.beta[j])
    extra = "" if gain is None else f"; the log-likelihood would rise by {gain:.1f}"
    text = (
        f"slopes on {quote(name)} differ between levels of {quote(label)} with sd {sd:.3g} around {slope:.3g} "
        f"({p_text(p)}), {percent(share)} of the residual variance{extra}."
    )
    remedy = f"Let it vary: {printable(with_slope(case.model.formula, label, name), 300)}"
    values = {"group": label, "term": name, "p_value": p, "sd": sd, "share": share}
    title = f"the slope on {quote(name)} varies by {quote(label)}"
    return Finding("N_OMITTED_SLOPE", "problem" if share > 0.1 else "caution", title, text, remedy, values)


def _refit(case: Case, label: str, name: str) -> tuple[float | None, float | None]:
    """Standard deviation of the slope and the gain in log-likelihood, by a refit with a slope beside the terms.

    Uncorrelated with the intercepts, at the column's mean: the score test asks for nothing more.
    """
    group = next(g for g in case.design.groups if g.label == label)
    column = case.predictors[name] - case.predictors[name].mean()
    term = GroupColumns(label, (name,), (column,), group.codes, group.levels, "diagonal")
    other = refitted(case.fit, extended(case.model, (*case.design.groups, term)))
    if other is None:
        return None, None
    gain = other.log_likelihood - case.fit.log_likelihood
    return float(other.covariances[-1][0, 0]) ** 0.5, gain if case.fit.estimator.name in LIKELIHOODS else None


MEMBER = OmittedSlope()
