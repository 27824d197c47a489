"""Few groups: what can be said about the standard deviation of a handful of levels, and what a prior would change.

    penalised estimate: max over τ of  log L(τ) + log τ

The penalty is the limit of a gamma(2, λ → 0) prior on τ: it keeps the estimate off zero by about one standard error
and vanishes as levels are added. Where penalised and plain estimates differ, the data leave the matter open.

Reference: Chung, Rabe-Hesketh, Dorie, Gelman & Liu (2013), Psychometrika 78, 685-709.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...model.describe import FEW, VERY_FEW
from ..base import Finding, quote
from .base import Advice

if TYPE_CHECKING:
    from ...fit.fit import Fit
    from ...model.model import Model
    from ..case import Case


@dataclass(frozen=True)
class FewGroups(Advice):
    """Fewer than ten levels: a note; fewer than five: a caution."""

    def before(self, model: Model) -> list[Finding]:
        few = [(label, levels) for label, levels in model.groups.items() if levels < FEW]
        if not few and model.groups:
            least = min(model.groups, key=lambda label: model.groups[label])
            text = f"the smallest grouping factor, {quote(least)}, has {model.groups[least]} levels."
            return [Finding("N_FEW_GROUPS", "ok", "enough groups", text, values={"levels": model.groups[least]})]
        return [_finding(label, levels, "", {}) for label, levels in few]

    def after(self, case: Case) -> list[Finding]:
        if not any(levels < FEW for levels in case.model.groups.values()):
            return self.before(case.model)
        return [_after(case, label, n) for label, n in case.model.groups.items() if n < FEW]


def _finding(label: str, levels: int, more: str, values: dict[str, Any]) -> Finding:
    very = levels < VERY_FEW
    how = "its standard deviation is hardly identifiable" if very else "its standard deviation is uncertain"
    remedy = "Read the interval, not the estimate; a prior on the sd matters here."
    if very:
        remedy = "Read the interval, not the estimate; a fixed factor may serve as well, or a prior on the sd."
    text = f"{quote(label)} has {levels} levels: {how}{more}."
    values = {"group": label, "levels": levels, **values}
    return Finding("N_FEW_GROUPS", "caution" if very else "note", f"few levels of {quote(label)}", text, remedy, values)


def _after(case: Case, label: str, levels: int) -> Finding:
    """With the interval and the penalised estimate of the first coefficient, where the profile is cheap."""
    t = next(t for t, g in enumerate(case.design.groups) if g.label == label)
    if case.fit.estimates.certainty.sample is not None:
        return _finding(label, levels, *_sampled(case, t))
    if not case.model.is_linear:
        return _finding(label, levels, *_interval(case, t))
    if not case.fit.estimates.certainty.profiles:  # no likelihood, or too large
        return _finding(label, levels, "", {})
    low, high = case.fit.sd_intervals(case.fit.level)[0][t][0]
    sd = float(case.fit.estimates.covariances[t][0, 0]) ** 0.5
    penalised = penalised_sd(case.fit, t)
    more = f" (estimate {sd:.3g}, {100.0 * case.fit.level:.4g}% interval {low:.3g} to {high:.3g}; "
    more += f"{penalised:.3g} under a weak prior that avoids zero)"
    return _finding(label, levels, more, {"sd": sd, "lower": low, "upper": high, "penalised": penalised})


def _sampled(case: Case, term: int) -> tuple[str, dict[str, Any]]:
    """By how much the prior matters: the posterior under a slightly stronger or weaker one."""
    from ..sensitivity import SENSITIVE, prior_sensitivity

    text, values = _interval(case, term)
    found = prior_sensitivity(case.fit)
    group = case.design.groups[term]
    name = f"sd[{group.label}, {group.names[0]}]"
    if name not in found.parameters:
        return text, values
    moved = float(found.prior[found.parameters.index(name)])
    how = "its prior matters" if moved > SENSITIVE else "its prior matters little"
    text = f"{text}; {how} (sensitivity {moved:.2g}, {SENSITIVE:g} and less is little)"
    return text, {**values, "sensitivity": moved}


def _interval(case: Case, term: int) -> tuple[str, dict[str, Any]]:
    """The estimate with its interval, where there is one."""
    sd = float(case.fit.estimates.covariances[term][0, 0]) ** 0.5
    low, high = case.fit.sd_intervals(case.fit.level)[0][term][0]
    if not math.isfinite(low + high):
        return "", {}
    text = f" (estimate {sd:.3g}, {100.0 * case.fit.level:.4g}% interval {low:.3g} to {high:.3g})"
    return text, {"sd": sd, "lower": low, "upper": high}


def penalised_sd(fit: Fit, term: int) -> float:
    """The sd of the term's first coefficient that maximises log L(τ) + log τ, by golden section over log τ.

    Parameters
    ----------
    fit : Fit
        By ``reml`` or ``ml``; its notes hold the optimum.
    term : int
        Position of the group term.
    """
    from ...core.likelihood import Likelihood
    from ...core.profile import SdProfile, anchor

    products, notes = fit.model.products, fit.estimates.notes
    unit = products.y_shift.scale
    known = None if fit.model.design.known_se is None else 1.0 / unit**2
    likelihood = Likelihood(products, fit.model.scales, bool(notes["reml"]), known)
    state = likelihood.evaluate(np.array(notes["theta"], dtype=float))
    profile = SdProfile(likelihood, state, term, products.to_effects[term][0])

    def loss(log_sd: float) -> float:
        return profile.drop(math.exp(log_sd)) - 2.0 * log_sd

    start = math.log(anchor(profile))
    a, b = start - 2.0, start + 1.0
    while b < start + 12.0 and loss(b) < loss(b - 0.5):  # the optimum lies above the plain estimate
        a, b = b - 0.5, b + 1.0
    return math.exp(_golden(loss, a, b)) * unit


def _golden(f: Any, a: float, b: float, tolerance: float = 2e-3) -> float:
    """Minimum of a unimodal function on an interval."""
    ratio = (math.sqrt(5.0) - 1.0) / 2.0
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    fc, fd = f(c), f(d)
    while b - a > tolerance:
        if fc < fd:
            b, d, fd = d, c, fc
            c = b - ratio * (b - a)
            fc = f(c)
        else:
            a, c, fc = c, d, fd
            d = a + ratio * (b - a)
            fd = f(d)
    return 0.5 * (a + b)


MEMBER = FewGroups()
