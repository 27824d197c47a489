"""Sampled fits in a report: sampler, diagnostics, priors, and the columns that tables have instead of tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from .context import Context, guarded
from .markup import (
    Column,
    Html,
    bullets,
    code,
    coverage,
    facts,
    folded,
    join,
    number,
    paragraph,
    shown,
    span,
    table,
    tag,
    user,
)

MOST_PICTURES, MOST_ROWS = 4, 40
RHAT = Column("R\u0302", help="below 1.01 when the chains have mixed")
ESS = Column("ESS", help="effective draws, the smaller of centre and tails; 100 for each chain are enough")


def heads() -> list[Column]:
    """Columns of a table of parameters that say how good its draws are."""
    return [RHAT, ESS]


def cells(columns: Any, i: int) -> tuple[str, str]:
    """Their cells."""
    rhat, bulk, tail = (float(columns[name][i]) for name in ("rhat", "ess_bulk", "ess_tail"))
    return ("—", "—") if rhat != rhat else (f"{rhat:.3f}", f"{np.fmin(bulk, tail):,.0f}")


# --- how it was estimated --------------------------------------------------------------------------------------------
def estimation(context: Context) -> Html:
    """Sampler, facts, state, diagnostics with the traces of the worst parameters, priors, warnings."""
    from ..fit.posterior_summary import draws_line, sampler_line

    text = (
        "The posterior distribution of all parameters, given the data and the priors below, as draws. Estimates are "
        f"their means, standard errors their standard deviations, and intervals hold {coverage(context.fit.level)} "
        "of them, with as many beyond on either side."
    )
    return join(
        paragraph(tag("b", "Method: Bayesian, by sampling. "), text),
        paragraph(f"Sampler: {shown(sampler_line(context.fit), 200)}. {draws_line(context.fit)}."),
        facts(_facts(context)),
        _state(context),
        guarded(_diagnostics, context, "The diagnostics of the draws"),
        guarded(_priors, context, "The table of priors"),
    )


def _facts(context: Context) -> list[tuple[object, object]]:
    certainty: Any = context.fit.estimates.certainty
    found, sample = certainty.diagnosis, certainty.sample
    out: list[tuple[object, object]] = [("draws", f"{sample.chains * sample.draws:,}")]
    if np.isfinite(found.rhat).any():
        out += [("largest R\u0302", f"{np.nanmax(found.rhat):.3f}")]
        out += [("fewest effective draws", f"{np.nanmin(np.fmin(found.ess_bulk, found.ess_tail)):,.0f}")]
    if "divergent" in sample.stats:
        out.append(("divergent transitions", f"{int(sample.stats['divergent'].sum()):,}"))
    khat = sample.info.get("khat")
    if isinstance(khat, int | float) and khat == khat:
        out.append(("Pareto k\u0302", f"{khat:.2f}"))
    return [*out, ("rows", f"{context.fit.n_obs:,}")]


def _state(context: Context) -> Html:
    fit = context.fit
    if fit.partial:
        words = "PARTIAL: sampling was interrupted; these are the draws made until then."
        return paragraph(tag("b", words, class_="bad"))
    if not fit.converged:
        words = "The draws failed their diagnostics: read what was noticed below before any number."
        return paragraph(tag("b", words, class_="bad"))
    sample = fit.sample
    independent = sample is not None and sample.info.get("ess") is not None and not sample.stats  # weighted points
    how = "The draws are independent" if independent else "The chains have mixed"
    return paragraph(f"{how}, and there are enough effective draws for means and intervals.")


def _diagnostics(context: Context) -> Html:
    from ..fit.chosen import chosen
    from .figures.chains import traces

    worst = chosen(context.fit, None, MOST_PICTURES, "diagnostics")
    return join(tag("h3", "How good the draws are"), traces(worst), _table(context), _warnings(context))


def _table(context: Context) -> Html:
    columns = context.fit.diagnostics(effects=False).columns
    head = [Column("Parameter", False), Column("Mean"), Column("Sd"),
            Column("MC error", help="Monte Carlo standard error of the mean"), RHAT, Column("Bulk ESS"),
            Column("Tail ESS")]  # fmt: skip
    order = np.argsort(np.nan_to_num(np.fmin(columns["ess_bulk"], columns["ess_tail"]), nan=np.inf), kind="stable")
    rows = [_row(columns, int(i)) for i in order[:MOST_ROWS]]
    more = f" (the {MOST_ROWS} with the fewest effective draws)" if len(order) > MOST_ROWS else ""
    return folded(f"Diagnostics of every parameter{more}", table(head, rows))


def _row(columns: Any, i: int) -> tuple[object, ...]:
    value, sd, error, rhat, bulk, tail = (
        float(columns[name][i]) for name in ("estimate", "std_error", "mcse_mean", "rhat", "ess_bulk", "ess_tail")
    )
    shown_rhat = "—" if rhat != rhat else f"{rhat:.3f}"
    counts = ("—" if ess != ess else f"{ess:,.0f}" for ess in (bulk, tail))
    numbers = (number(value, sd), number(sd, sd), number(error, error))
    return (user(columns["parameter"][i], 60), *numbers, shown_rhat, *counts)


def _warnings(context: Context) -> Html | None:
    found = [w for w in context.fit.warnings if w not in context.fit.model.warnings]
    return join(tag("h3", "Noticed while fitting"), bullets(user(w, 400) for w in found)) if found else None


def _priors(context: Context) -> Html:
    priors = context.fit.model.priors
    head = [Column("Parameter", False), Column("Prior", False), Column("Why", False)]
    rows = [
        (user(c.parameter, 60), code(c.prior, 120), join(user(c.why, 200), " (given)" if c.given else ""))
        for c in priors.chosen[:MOST_ROWS]
    ]
    title = join(tag("h3", "Priors"), paragraph("The set ", code(priors.name), ":"))
    return join(title, table(head, rows)) if rows else title


# --- estimates -------------------------------------------------------------------------------------------------------
def fixed(context: Context, said: Any) -> Html | None:
    """The table of coefficients of a linear model; `said` puts one of them in words."""
    from ..fit.tables import fixed_effects

    fit = context.fit
    columns = fixed_effects(fit, fit.level)
    if not columns["term"]:
        return None
    head = [Column("Coefficient", False), Column("Estimate"), Column("Posterior sd"),
            Column(f"{coverage(fit.level)} interval"), *heads()]  # fmt: skip
    rows = [_fixed_row(columns, i) for i in range(len(columns["term"]))]
    words = [said(context, columns, i) for i in range(min(len(rows), 12))]
    return join(tag("h3", "What all rows share (fixed effects)"), table(head, rows), bullets(words))


def _fixed_row(columns: Any, i: int) -> tuple[object, ...]:
    name, value, error = user(columns["term"][i], 60), float(columns["estimate"][i]), float(columns["std_error"][i])
    if value != value:
        return (name, "dropped", "", "", "", "")
    ends = span(float(columns["lower"][i]), float(columns["upper"][i]), error)
    return (name, number(value, error), number(error, error), ends, *cells(columns, i))
