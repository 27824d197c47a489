"""Estimates: fixed effects, standard deviations, correlations; each with a sentence that says what it means."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...glossary import RESIDUAL
from .. import draws, generalized
from ..context import Context
from ..markup import Column, Html, bullets, coverage, join, number, probability, signed, span, table, tag, user

HEADING = "Estimates"
MOST_SENTENCES = 12


def build(context: Context) -> Html:
    """Tables, and what they say."""
    if not context.fit.model.is_linear:
        fixed, further = generalized.fixed(context), generalized.dispersion(context)
        return join(fixed, further, _deviations(context) if context.groups else None, _correlations(context))
    return join(_fixed(context), _deviations(context), _correlations(context))


# --- fixed effects -----------------------------------------------------------------------------------------------
def _fixed(context: Context) -> Html | None:
    from ...fit.tables import fixed_effects

    fit = context.fit
    if fit.sampled:
        return draws.fixed(context, _fixed_words)
    columns = fixed_effects(fit, fit.level)
    if not columns["term"]:
        return None
    interval = f"{coverage(fit.level)} interval"
    heads = [Column("Coefficient", False), Column("Estimate"), Column("Std. error"), Column(interval), Column("df"),
             Column("t"), Column("p", help="of the hypothesis that the coefficient is zero")]  # fmt: skip
    rows = [_fixed_row(columns, i) for i in range(len(columns["term"]))]
    said = [_fixed_words(context, columns, i) for i in range(min(len(rows), MOST_SENTENCES))]
    return join(tag("h3", "What all rows share (fixed effects)"), table(heads, rows), bullets(said))


def _fixed_row(columns: Any, i: int) -> tuple[object, ...]:
    from ...fit.numbers import degrees

    name, value, error = user(columns["term"][i], 60), float(columns["estimate"][i]), float(columns["std_error"][i])
    if value != value:
        return (name, "dropped", "", "", "", "", "")
    ends = span(columns["lower"][i], columns["upper"][i], error)
    t, p = float(columns["statistic"][i]), float(columns["p_value"][i])
    df = degrees(float(columns["df"][i])).replace("Inf", "∞")
    return (name, number(value, error), number(error, error), ends, df, number(t, 0.1, 2), probability(p))


def _fixed_words(context: Context, columns: Any, i: int) -> Html:
    """One coefficient in words."""
    term = columns["term"][i]
    value, error, low, high = (float(columns[c][i]) for c in ("estimate", "std_error", "lower", "upper"))
    if value != value:
        return join(user(term), " repeats other columns and was dropped.")
    ends = span(low, high, error)
    others = sum(c is not None for c in context.fit.model.design.fixed_columns)
    if term == "Intercept":
        where = ", where every predictor column is zero" if others else ""
        return join("The expected ", context.response, f" is {number(value, error)} ({ends}){where}.")
    held = ", the other columns held fixed" if others > 1 else ""
    change = f"{signed(number(value, error))} ({ends})"
    unclear = " The interval holds zero: the direction is not certain." if low <= 0.0 <= high else ""
    if _indicator(context, i):
        return join("Rows with ", tag("b", user(term)), " differ from those without by ", change, " in ",
                    context.response, held, ".", unclear)  # fmt: skip
    return join("One unit more of ", tag("b", user(term)), " goes with ", change, " in ", context.response, held, ".",
                unclear)  # fmt: skip


def _indicator(context: Context, i: int) -> bool:
    """Whether the column only says yes or no."""
    column = context.fit.model.design.fixed_columns[i]
    return column is not None and bool(np.all((column == 0.0) | (column == 1.0)))


# --- standard deviations -----------------------------------------------------------------------------------------
def _deviations(context: Context) -> Html:
    columns, level = context.components, context.fit.level
    heads = [Column("Group", False), Column("Coefficient", False), Column("Sd"), Column("Std. error"),
             Column(f"{coverage(level)} interval"), Column("Variance")]  # fmt: skip
    rows = [_sd_row(columns, i) for i in range(len(columns["group"]))]
    if context.fit.sampled:
        heads += draws.heads()
        rows = [(*row, *draws.cells(columns, i)) for i, row in enumerate(rows)]
    said = [words for i in range(len(rows)) if (words := _sd_words(context, columns, i)) is not None]
    return join(tag("h3", "How much differs (standard deviations)"), table(heads, rows), bullets(said[:MOST_SENTENCES]))


def _sd_row(columns: Any, i: int) -> tuple[object, ...]:
    sd, error, low, high = (float(columns[c][i]) for c in ("sd", "std_error", "lower", "upper"))
    least = max(error, 1e-3 * sd) if error == error else error
    ends = span(low, high, least) if low == low else "—"
    group, term = columns["group"][i], columns["term"][i]
    own = user("within (residual)" if group == RESIDUAL else group, 40)
    shown_error = "—" if error != error else number(error, least, 2)
    return (own, user(term, 40), number(sd, least), shown_error, ends, number(sd * sd))


def _sd_words(context: Context, columns: Any, i: int) -> Html | None:
    """One standard deviation in words."""
    group, term, sd = columns["group"][i], columns["term"][i], float(columns["sd"][i])
    high = float(columns["upper"][i])
    if sd != sd:
        return None
    value = number(sd)
    if group == RESIDUAL:
        inside = "Within all groups, single rows" if context.groups else "Single rows"
        return join(f"{inside} scatter around their expectation with sd {value}: about 95% of them within "
                    f"±{number(2.0 * sd)}.")  # fmt: skip
    name = tag("b", user(group, 40))
    if sd > 0.0 and not context.fit.model.is_linear:
        return generalized.sd_words(context, group, term, sd)
    if sd == 0.0:
        upper = f" (its interval reaches to {number(high)})" if high == high else ""
        return join("Levels of ", name, " show no differences in ", _what(context, term), f" beyond chance{upper}.")
    if term == "Intercept":
        most = number(1.96 * sd)
        text = f" differ with sd {value}: about two thirds lie within ±{value} of the average, 95% within ±{most}."
        return join("Levels of ", name, text)
    return join("The coefficient of ", tag("b", user(term, 40)), " differs between levels of ", name,
                f" with sd {value}", _range(context, term, sd), ".")  # fmt: skip


def _what(context: Context, term: str) -> Html:
    return join("level") if term == "Intercept" else join("the coefficient of ", user(term, 40))


def _range(context: Context, term: str, sd: float) -> str:
    """Where the slopes of most levels lie."""
    centre = context.fit.coefficients.get(term)
    if centre is None or centre != centre:
        return ""
    ends = span(centre - 1.96 * sd, centre + 1.96 * sd, sd)
    crossing = ", so its sign differs between them" if abs(centre) < 1.96 * sd else ""
    return f": 95% of levels are expected between {ends}{crossing}".replace(" to ", " and ")


# --- correlations ------------------------------------------------------------------------------------------------
def _correlations(context: Context) -> Html | None:
    from ...fit.tables import correlations

    columns = correlations(context.fit, context.fit.level)
    if not columns["group"]:
        return None
    heads = [Column("Group", False), Column("Between", False), Column("Correlation"),
             Column(f"{coverage(context.fit.level)} interval")]  # fmt: skip
    rows, said = [], []
    for i, group in enumerate(columns["group"]):
        pair = join(user(columns["term_1"][i], 30), " and ", user(columns["term_2"][i], 30))
        value, low, high = (float(columns[c][i]) for c in ("correlation", "lower", "upper"))
        rows.append((user(group, 40), pair, number(value, 0.1, 2), span(low, high, 0.1, 2) if low == low else "—"))
        said.append(_correlation_words(group, pair, value, low, high))
    return join(tag("h3", "What goes together (correlations)"), table(heads, rows), bullets(said[:MOST_SENTENCES]))


def _correlation_words(group: str, pair: Html, value: float, low: float, high: float) -> Html:
    name = tag("b", user(group, 40))
    if value != value:
        return join("In ", name, ", the correlation of ", pair, " is undefined: one of them does not vary.")
    if not (low > 0.0 or high < 0.0):
        return join("In ", name, ", whether ", pair, " go together is not certain.")
    direction = "rise together" if value > 0 else "move in opposite directions"
    return join("Across levels of ", name, ", ", pair, f" {direction}.")
