"""The printed summary of a sampled fit, in the layout that users of brms know.

    equation, family, formula, data, draws, sampler, priors
    multilevel hyperparameters by group      regression coefficients      further distributional parameters
    warnings and notes, how to read it
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ..errors import printable
from ..glossary import DIAGNOSTICS, SAMPLED, interval_headings
from ..model.describe import data_line, equation, family_text, formula_text, title, weights_line
from . import numbers, tables
from .blocks import Block, Grid, Lines

if TYPE_CHECKING:
    from .fit import Fit

MOST_LABEL = 40
DIGITS = 3  # of the posterior sd: draws do not support more
Row = tuple[str, ...]


def blocks(fit: Fit, level: float) -> list[Block]:
    """Everything but warnings and notes."""
    out: list[Block] = [_head(fit), *_groups(fit, level), *_coefficients(fit, level)]
    return [*out, *_dispersion(fit, level)]


# --- head --------------------------------------------------------------------------------------------------------
def _head(fit: Fit) -> Lines:
    model, sample = fit.model, _sample(fit)
    first, *where = equation(model)
    lines = [f"  {first}", *(f"    {line}" for line in where), f"Formula: {formula_text(model)}"]
    lines += [f" Family: {family_text(model)}", f"  Links: {_links(fit)}", f"   Data: {data_line(model)}{_levels(fit)}"]
    weights = weights_line(model)
    lines += [f"Weights: {weights}"] if weights else []
    lines += [f"  Draws: {draws_line(fit)}", f"Sampler: {sampler_line(fit)}", f" Priors: {priors_line(fit)}"]
    kind = title(model).removesuffix(" (no grouping term)")
    start = kind[0].lower() + kind[1:]
    partial = ", PARTIAL: it was interrupted" if fit.partial else ""
    how = "approximated" if sample.info.get("exact") is False else "sampled"
    return Lines(f"Bayesian {start}, {how}{partial}", tuple(lines))


def _links(fit: Fit) -> str:
    from .record import links

    return "; ".join(f"{printable(name)} = {link}" for name, link in links(fit).items())


def _levels(fit: Fit) -> str:
    groups = ", ".join(f"{printable(label, MOST_LABEL)} {n}" for label, n in fit.model.groups.items())
    return f"; levels: {groups}" if groups else ""


def draws_line(fit: Fit) -> str:
    """``4 chains of 1000 after 1000 for tuning: 4000 in all``."""
    sample = _sample(fit)
    chains = "1 chain" if sample.chains == 1 else f"{sample.chains} chains"
    asked, tune = getattr(fit.estimator, "draws", sample.draws), sample.info.get("tune")
    of_asked = f" (of {asked})" if fit.partial and asked > sample.draws else ""
    tuned = f" after {tune} for tuning" if tune else ""
    stopped = " (PARTIAL: sampling was interrupted)" if fit.partial else ""
    return f"{chains} of {sample.draws}{of_asked}{tuned}: {sample.chains * sample.draws} in all{stopped}"


def sampler_line(fit: Fit) -> str:
    """The sampler, with the k̂ of its weights and its divergences where it has any."""
    sample = _sample(fit)
    parts = [printable(sample.info.get("sampler") or fit.estimator.name, 80)]
    if sample.info.get("exact") is False:
        parts.append("approximate")
    khat, ess = sample.info.get("khat"), sample.info.get("ess")
    if isinstance(khat, int | float) and khat == khat:
        parts.append(f"Pareto k-hat {khat:.2f}")
    if isinstance(ess, int | float) and ess == ess:
        parts.append(f"weights worth {ess:.0f} draws")
    if "divergent" in sample.stats:
        parts.append(f"{int(sample.stats['divergent'].sum())} divergent transitions")
    return "; ".join([*parts, numbers.elapsed(fit.seconds)])


def priors_line(fit: Fit) -> str:
    """The name of the set, and what was given in place of its members."""
    priors = fit.model.priors
    given = [f"{printable(c.parameter, 40)} {printable(c.prior, 60)}" for c in priors.chosen if c.given]
    shown = ", ".join(given[:3]) + (f" (+{len(given) - 3} more)" if len(given) > 3 else "")
    return f"{printable(priors.name)}{f', with {shown}' if given else ''} (model.priors lists them)"


# --- parameters --------------------------------------------------------------------------------------------------
def _groups(fit: Fit, level: float) -> list[Grid]:
    """One grid a grouping factor: standard deviations, then correlations."""
    sds, correlations = tables.variance_components(fit, level), tables.correlations(fit, level)
    out = []
    for label, levels in fit.model.groups.items():
        rows = [_row(f"sd({_short(sds, 'term', i)})", sds, i, "sd") for i in _where(sds["group"], label)]
        for i in _where(correlations["group"], label):
            pair = f"cor({_short(correlations, 'term_1', i)},{_short(correlations, 'term_2', i)})"
            rows.append(_row(pair, correlations, i, "correlation"))
        heading = f"Multilevel hyperparameters, ~{printable(label, MOST_LABEL)} (number of levels: {levels}):"
        out.append(Grid(heading, _header(level), tuple(rows)))
    return out


def _coefficients(fit: Fit, level: float) -> list[Grid]:
    """One grid for the locations, one for thresholds, one for each further linear predictor."""
    from .summary import heading, thresholds_last

    columns = tables.fixed_effects(fit, level)
    found: dict[str, list[Row]] = {}
    for i, term in enumerate(columns["term"]):
        found.setdefault(heading(fit, i), []).append(_row(printable(term, MOST_LABEL), columns, i, "estimate"))
    ordered = sorted(found.items(), key=thresholds_last)
    return [Grid(title, _header(level), tuple(rows)) for title, rows in ordered]


def _dispersion(fit: Fit, level: float) -> list[Grid]:
    """σ or the constants of the family."""
    columns = tables.dispersion(fit, level)
    rows = [_row(printable(n, MOST_LABEL), columns, i, "estimate") for i, n in enumerate(columns["parameter"])]
    further = fit.model.distribution.family.further
    meanings = "; ".join(f"{p.name}: {p.meaning}" for p in further if p.name in columns["parameter"])
    heading = "Further distributional parameters:"
    return [Grid(heading, _header(level), tuple(rows), footer=meanings)] if rows else []


def _header(level: float) -> Row:
    return ("", "Estimate", "Est.Error", *interval_headings(level), *(SAMPLED[name] for name in DIAGNOSTICS))


def _row(name: str, columns: tables.Columns, i: int, estimate: str) -> Row:
    value, error, low, high = (float(columns[c][i]) for c in (estimate, "std_error", "lower", "upper"))
    if value != value:
        return (name, numbers.MISSING, *[""] * 6)
    shown = numbers.measured([value, error, low, high], error, DIGITS)
    rhat, bulk, tail = (float(columns[c][i]) for c in DIAGNOSTICS)
    return (name, *shown, numbers.fixed(rhat, 3), numbers.fixed(bulk, 0), numbers.fixed(tail, 0))


def _where(column: Sequence[str], label: str) -> list[int]:
    return [i for i, value in enumerate(column) if value == label]


def _short(columns: tables.Columns, name: str, i: int) -> str:
    return printable(columns[name][i], MOST_LABEL)


# --- end -----------------------------------------------------------------------------------------------------------
def how(fit: Fit) -> tuple[str, ...]:
    """What the columns are."""
    state = "" if fit.converged else "NOT CONVERGED: see the warnings"
    if fit.partial:
        state = "PARTIAL: sampling was interrupted, and these are the draws made until then"
    words = (
        "Est.Error: posterior sd; intervals: equal-tailed quantiles. Rhat should be below 1.01, ESS (effective",
        "draws for centre and tails) above 100 for each chain.",
    )
    return (*((state,) if state else ()), *words)


def _sample(fit: Fit) -> Any:
    return fit.estimates.certainty.sample
