"""Do counts scatter more than their family says?

    χ² = Σ (y_i − μ̂_i)²/Var(y_i | μ̂_i)      against χ²* of data simulated from the fit and fitted again

The ratio χ²/mean χ²* is 1 under the model. χ² over its degrees of freedom is no yardstick: nobody knows those of
shrunken effects, and with small means χ² has no χ² distribution. Rows of a single trial have no scatter of their own.

Reference: McCullagh & Nelder (1989), section 4.5; Harrison (2014), PeerJ 2, for observation-level effects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import ALPHA, Finding, p_text
from .case import Case
from .working import is_count, overdispersion, scatters

if TYPE_CHECKING:
    from ..fit.fit import Fit

LEAST_UNDER = 0.8
SEVERE = 1.5


def overdispersion_findings(case: Case) -> list[Finding]:
    """The Pearson statistic of counts and proportions against replicated ones."""
    if case.model.is_linear:
        return []
    if not case.model.distribution.family.discrete:
        case.skipped.append("overdispersion: does not apply, this family estimates its dispersion")
        return []
    if not scatters(case.fit):
        case.skipped.append("overdispersion: does not apply, a row of a single trial has no scatter of its own")
        return []
    found = overdispersion(case)
    if found is None:
        return []
    ratio, expected, under = found.ratio, found.expected, found.under
    values = {"ratio": ratio, "pearson": ratio * expected, "expected": expected, "p_value": found.over}
    scale = f"Pearson's χ² is {ratio * expected:.4g}, and {expected:.4g} ± {found.spread:.2g} in data like the model's"
    if found.above:
        text = f"{scale} (ratio {ratio:.2f}, {p_text(found.over)}): standard errors are too small."
        severity = "problem" if ratio > SEVERE else "caution"
        return [Finding("N_OVERDISPERSION", severity, "overdispersion", text, _remedy(case.fit), values)]
    if under < ALPHA and ratio < LEAST_UNDER:
        text = f"{scale} (ratio {ratio:.2f}, {p_text(under)}): standard errors are too large."
        remedy = "Rows may be sums or means of something, or bounded; look at how the counts came about."
        return [Finding("N_OVERDISPERSION", "note", "underdispersion", text, remedy, {**values, "p_value": under})]
    text = f"{scale} (ratio {ratio:.2f}, {p_text(min(found.over, under))})."
    return [Finding("N_OVERDISPERSION", "ok", "counts scatter as the family says", text, values=values)]


def _remedy(fit: Fit) -> str:
    extra = "an effect of each row (add a column that numbers the rows, and (1 | row))"
    known = {p.name for p in fit.model.distribution.family.further} - {"zi", "hu"}
    if known:
        name = sorted(known)[0]
        return f"The family has a dispersion already: let it vary ({name} ~ …), add predictors, or {extra}."
    family = fit.model.family
    if not is_count(fit):
        return f'Use family="beta_binomial", or {extra}.'
    other = family.replace("poisson", "negative_binomial") if "poisson" in family else "negative_binomial"
    return f'Use family="{other}", or {extra}; a missing predictor does the same.'
