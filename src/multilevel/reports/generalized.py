"""Estimates of generalized models in a report: ratios beside coefficients, and sentences on the response's scale."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import draws
from .context import Context
from .markup import Column, Html, bullets, coverage, join, number, probability, signed, span, table, tag, user
from .scale import factor, intercept, scale_of, scales, term_scale, threshold

MOST_SENTENCES = 12


def fixed(context: Context) -> Html | None:
    """The table of coefficients, with odds ratios or ratios of means where the link has them, and what they say."""
    from ..fit.tables import fixed_effects

    fit = context.fit
    columns = fixed_effects(fit, fit.level)
    if not columns["term"]:
        return None
    ratios = any(s.ratio for s in scales(fit))
    heads = [Column("Coefficient", False), Column("Estimate"), Column("Std. error"),
             Column(f"{coverage(fit.level)} interval")]  # fmt: skip
    if fit.sampled:
        heads += draws.heads()
    else:
        heads += [Column("z"), Column("p", help="of the hypothesis that the coefficient is zero")]
    if ratios:
        heads += [Column(_ratio_heading(context)), Column(f"{coverage(fit.level)} interval")]
    count = len(columns["term"])
    rows = [_row(context, columns, i, ratios) for i in range(count)]
    said = [words for i in range(count) if (words := _words(context, columns, i)) is not None]
    return join(tag("h3", "What all rows share (fixed effects)"), table(heads, rows), bullets(said[:MOST_SENTENCES]))


def _ratio_heading(context: Context) -> str:
    found = list(dict.fromkeys(s.ratio for s in scales(context.fit) if s.ratio))
    return found[0].capitalize() if len(found) == 1 else "Ratio"


def _row(context: Context, columns: Any, i: int, ratios: bool) -> tuple[object, ...]:
    term = columns["term"][i]
    name, value, error = user(term, 60), float(columns["estimate"][i]), float(columns["std_error"][i])
    if np.isnan(value):
        return (name, "dropped", *[""] * (4 + 2 * ratios))
    if np.isinf(value):
        return (name, "−∞" if value < 0.0 else "∞", "—", "—", *[""] * (2 + 2 * ratios))
    low, high = float(columns["lower"][i]), float(columns["upper"][i])
    z, p = float(columns["statistic"][i]), float(columns["p_value"][i])
    cells = [name, number(value, error), number(error, error), span(low, high, error)]
    cells += draws.cells(columns, i) if context.fit.sampled else (number(z, 0.1, 2), probability(p))
    if ratios:
        known = scale_of(context.fit, i).ratio and not intercept(term) and not threshold(term)
        cells += _ratio(value, low, high) if known else ["", ""]
    return tuple(cells)


def _ratio(value: float, low: float, high: float) -> list[str]:
    """e^β with its interval."""
    centre, first, last = factor(value, low, high)
    return [number(centre), span(first, last, (last - first) / 4.0)]


def _words(context: Context, columns: Any, i: int) -> Html | None:
    """One coefficient in words."""
    term = columns["term"][i]
    value, error, low, high = (float(columns[c][i]) for c in ("estimate", "std_error", "lower", "upper"))
    if threshold(term) or intercept(term):
        return None
    if np.isnan(value):
        return join(user(term), " repeats other columns and was dropped.")
    if np.isinf(value):
        side = "certain" if value > 0.0 else "impossible"
        words = f": with it the event is {side} in these rows, and its coefficient is infinite."
        return join("The data hold no bound for ", tag("b", user(term)), words)
    scale = scale_of(context.fit, i)
    unclear = _unclear(low, high, bool(scale.ratio))
    if scale.ratio:
        centre, first, last = factor(value, low, high)
        change = f" by {number(centre)} ({span(first, last, (last - first) / 4.0)})"
        return join(_subject(context, term, i), " multiplies ", scale.multiplied, change, _held(context), ".", unclear)
    change = f" {signed(number(value, error))} ({span(low, high, error)}) in "
    return join(_subject(context, term, i), " goes with", change, scale.added, _held(context), ".", unclear)


def _unclear(low: float, high: float, ratio: bool) -> str:
    if not low <= 0.0 <= high:
        return ""
    return f" The interval holds {'one' if ratio else 'zero'}: the direction is not certain."


def _subject(context: Context, term: str, i: int) -> Html:
    column = context.fit.model.design.fixed_columns[i]
    yes = column is not None and bool(np.all((column == 0.0) | (column == 1.0)))
    return join("Being ", tag("b", user(term))) if yes else join("One unit more of ", tag("b", user(term)))


def _held(context: Context) -> str:
    held = ["the other columns"] if sum(c is not None for c in context.fit.model.design.fixed_columns) > 1 else []
    held += ["the group"] if context.population else []
    return f", {' and '.join(held)} held fixed" if held else ""


def dispersion(context: Context) -> Html | None:
    """Constants of the family."""
    from ..fit.tables import dispersion as constants

    columns = constants(context.fit, context.fit.level)
    if not len(columns["parameter"]):
        return None
    heads = [Column("Parameter", False), Column("Estimate"), Column("Std. error"),
             Column(f"{coverage(context.fit.level)} interval"), Column("Meaning", False)]  # fmt: skip
    family, obs = context.fit.model.distribution.family, context.fit.model.observations
    meanings = {p.name: p.meaning for p in family.parameters(obs)}
    rows = []
    for i, name in enumerate(columns["parameter"]):
        value, error, low, high = (float(columns[c][i]) for c in ("estimate", "std_error", "lower", "upper"))
        sure = error == error and low == low
        cells = (number(error, error), span(low, high, error)) if sure else ("—", "—")
        rows.append((user(name, 30), number(value, error), *cells, meanings.get(name, "")))
    return join(tag("h3", "The distribution of a row"), table(heads, rows))


def sd_words(context: Context, group: str, term: str, sd: float) -> Html:
    """What a standard deviation on the link's scale means."""
    scale = term_scale(context.fit, group, term)
    name = tag("b", user(group, 40))
    if not intercept(term):
        return join("The coefficient of ", tag("b", user(term, 40)), " differs between levels of ", name,
                    f" with sd {number(sd)}", _slopes(context, term, sd), ".")  # fmt: skip
    on = join(" on the scale of ", scale.added) if scale.added else ""
    if not scale.ratio:
        return join("Levels of ", name, f" differ with sd {number(sd)}", on, ".")
    low, high = number(float(np.exp(-sd))), number(float(np.exp(sd)))
    return join("Levels of ", name, f" differ with sd {number(sd)}", on, f": about two thirds have between {low} and "
                f"{high} times ", scale.multiplied, " of the average level.")  # fmt: skip


def _slopes(context: Context, term: str, sd: float) -> str:
    """Where the slopes of most levels lie."""
    centre = context.fit.coefficients.get(term)
    if centre is None or not np.isfinite(centre):
        return ""
    ends = span(centre - 1.96 * sd, centre + 1.96 * sd, sd).replace(" to ", " and ")
    crossing = ", so its sign differs between them" if abs(centre) < 1.96 * sd else ""
    return f": 95% of levels are expected between {ends}{crossing}"
