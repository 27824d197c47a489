"""How the model was estimated, and whether the search ended where it should."""

from __future__ import annotations

import numpy as np

from .. import draws
from ..context import Context, guarded
from ..markup import Html, bullets, code, facts, join, minus, number, paragraph, shown, tag, user

HEADING = "How it was estimated"
WHY = {
    "reml": "Restricted maximum likelihood: variances are estimated from what the fixed effects leave over, which "
    "removes the bias that maximum likelihood has with few groups.",
    "ml": "Maximum likelihood: fits with different fixed effects can be compared, and variances are somewhat too small "
    "when groups are few.",
    "laplace": "Maximum likelihood, the integral over the group effects by Laplace’s approximation; coefficients, "
    "variances and dispersions jointly, by its exact gradient.",
    "agq": "Maximum likelihood, the integral over the group effects by adaptive quadrature with nodes as needed.",
    "moments": "The method of moments: no iteration, and no normal distribution needed for the variances.",
    "james_stein": "James–Stein shrinkage of group means towards their average.",
    "none": "Separate least squares in every level: nothing is pooled, and new groups cannot be predicted.",
    "complete": "One regression over all rows: group effects play no part.",
    "within": "The within transformation: group means are removed, so only variation inside groups counts.",
}


def build(context: Context) -> Html:
    """Method, criteria, the end of the search, and where intervals come from."""
    from ...fit.summary import METHODS

    fit = context.fit
    if fit.sampled:
        return draws.estimation(context)
    name = fit.estimator.name
    return join(
        paragraph(tag("b", f"Method: {METHODS.get(name, name)}. "), WHY.get(name, "")),
        facts(_criteria(context)),
        paragraph(_state(context)),
        paragraph(_intervals(context)),
        guarded(_adequacy, context, "How good the approximation is") if _approximate(context) else None,
        _warnings(context),
    )


def _criteria(context: Context) -> list[tuple[object, object]]:
    from ...fit.numbers import criterion

    fit = context.fit
    restricted = fit.estimates.criterion == "REML criterion"
    given = [
        (fit.estimates.criterion, fit.objective),
        ("restricted log-likelihood" if restricted else "log-likelihood", fit.log_likelihood),
        ("AIC", fit.aic),
        ("BIC", fit.bic),
    ]
    shown: list[tuple[object, object]] = [(n, minus(criterion(v))) for n, v in given if np.isfinite(v)]
    return [*shown, ("parameters", str(fit.n_parameters)), ("rows", f"{fit.n_obs:,}")]


def _state(context: Context) -> Html:
    from ...fit.numbers import elapsed

    e, seconds = context.fit.estimates, elapsed(context.fit.seconds)
    if not e.converged:
        return tag("b", "The search has NOT converged: read nothing from these numbers before it does.", class_="bad")
    if not e.iterations:
        return join(f"Computed directly, without a search ({seconds}).")
    gradient = minus(f"{e.scaled_gradient:.0e}")
    return join(f"The search converged in {e.iterations} iterations (scaled gradient {gradient}, {seconds}).")


def _approximate(context: Context) -> bool:
    return not context.fit.model.is_linear and bool(context.groups) and context.fit.estimator.name in ("laplace", "agq")


def _adequacy(context: Context) -> Html:
    """What the approximation of the likelihood costs."""
    found = context.fit.adequacy()
    if not np.isfinite(found.error):
        return paragraph(found.summary())
    where = ""
    if found.level:
        where = f", the most in {shown(found.group, 30)} {shown(found.level, 30)} ({number(found.worst, digits=2)})"
    error = f"the log-likelihood is off by about {number(found.error, digits=2)}{where}"
    moved = f"no estimate would move by more than {number(found.largest_shift, digits=2)} standard errors"
    if found.verdict == "negligible":
        return paragraph(tag("b", "The approximation serves: "), f"{error}, and {moved}.")
    better = join(" Better: ", code(found.better), ".") if found.better else None
    shift = f"estimates would move by up to {number(found.largest_shift, digits=2)} standard errors"
    return paragraph(tag("b", f"The approximation is {found.verdict}: "), f"{error}, and {shift}.", better)


def _intervals(context: Context) -> str:
    e = context.fit.estimates
    if not context.fit.model.is_linear:
        return _generalized_intervals(context)
    tests = "Satterthwaite’s degrees of freedom" if context.groups else "the residual degrees of freedom"
    words = f"Intervals of coefficients use t quantiles with {tests}"
    if not context.groups:
        return f"{words}."
    sds = "the profile likelihood" if e.certainty.profiles else "normal theory on the log scale"
    return f"{words}; those of standard deviations, {sds}. All have a coverage of {100.0 * context.fit.level:.4g}%."


def _generalized_intervals(context: Context) -> str:
    words = "Intervals of coefficients are normal ones from the observed information of all parameters jointly"
    if context.groups:
        profiles = context.fit.estimates.certainty.profiles
        how = "the profile likelihood" if profiles else "normal theory on the log scale"
        words += f"; those of standard deviations, {how}"
    return f"{words}. All have a coverage of {100.0 * context.fit.level:.4g}%."


def _warnings(context: Context) -> Html | None:
    found = [w for w in context.fit.warnings if w not in context.fit.model.warnings]
    return join(tag("h3", "Noticed while fitting"), bullets(user(w, 400) for w in found)) if found else None
