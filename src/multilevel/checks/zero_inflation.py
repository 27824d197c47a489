"""Are there more zeros than the model expects?

    T = #{y_i = 0} − Σ P(y_i = 0 | η̂_i)      against T* of data simulated from the fit and fitted again

Many zeros are no inflation: a small mean has many. Zeros beyond it, with all predictors and groups accounted for, are.

References: Lambert (1992), Technometrics 34; Warton (2005), Environmetrics 16, on zeros that need no inflation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .base import ALPHA, Finding, holm, p_text
from .case import Case
from .replicates import upper_p
from .working import is_count

if TYPE_CHECKING:
    from ..fit.fit import Fit

LEAST_SHARE = 0.01  # of the rows
LEAST_RATIO = 1.1
SEVERE = 1.5


def zero_inflation_findings(case: Case) -> list[Finding]:
    """Observed zeros of counts against the expected ones."""
    if case.model.is_linear:
        return []
    if not is_count(case.fit):
        case.skipped.append("zero inflation: does not apply, the response is no count")
        return []
    if case.model.observations.bounds is not None and bool(np.all(case.model.observations.bounds[0] > 0.0)):
        case.skipped.append("zero inflation: does not apply, the counts are truncated above zero")
        return []
    if not case.by_row or case.null is None or case.look is None:
        return []
    zeros, n = float(np.sum(case.model.observations.y == 0.0)), case.design.n
    more, null = float(case.look.zeros), case.null.zeros
    expected = zeros - more + float(null.mean())
    over, under = holm([upper_p(more, null), upper_p(-more, -null)])
    ratio = zeros / max(expected, 0.5)
    values = {"zeros": zeros, "expected": expected, "ratio": ratio, "p_value": float(min(over, under))}
    text = f"{zeros:.0f} of {n} counts are zero, and {expected:.1f} ± {null.std(ddof=1):.2g} are expected"
    if over < ALPHA and ratio > LEAST_RATIO and zeros - expected > LEAST_SHARE * n:
        severity = "problem" if ratio > SEVERE else "caution"
        return [_finding(severity, "more zeros than expected", text, float(over), _remedy(case.fit), values)]
    if under < ALPHA and ratio < 1.0 / LEAST_RATIO and expected - zeros > LEAST_SHARE * n:
        remedy = "Zeros may be of another kind (a hurdle model), or not counted at all: y | trunc(lb = 1)."
        return [_finding("caution", "fewer zeros than expected", text, float(under), remedy, values)]
    return [_finding("ok", "zeros as expected", text, float(min(over, under)), "", values)]


def _finding(severity: str, title: str, text: str, p: float, remedy: str, values: dict[str, float]) -> Finding:
    return Finding("N_ZERO_INFLATION", severity, title, f"{text} ({p_text(p)}).", remedy, values)


def _remedy(fit: Fit) -> str:
    family = fit.model.family
    if any(p.name in ("zi", "hu") for p in fit.model.distribution.family.further):
        return "The zeros differ between rows: let their probability depend on predictors (zi ~ …, hu ~ …)."
    kind = "negative_binomial" if "negative_binomial" in family else "poisson"
    more = "" if kind == "negative_binomial" else ', or family="negative_binomial" if counts scatter widely as well'
    return f'Use family="zero_inflated_{kind}" or "hurdle_{kind}"{more}.'
