"""The box on top: which groups differ, how sure are we, what will a new group look like."""

from __future__ import annotations

import numpy as np

from ...glossary import RESIDUAL
from ..context import Context, guarded
from ..levels import ABOVE, BELOW, Levels
from ..markup import Html, bullets, coverage, join, joined, number, paragraph, percent, signed, span, tag, user
from ..scale import intercept

HEADING = "The answers"
MOST = 8  # levels named on each side, fewer with several grouping factors


def build(context: Context) -> Html:
    """Three cards, and what the checks say."""
    if not context.groups:
        cards = [_card("How sure are we?", guarded(_sure, context, "This answer"))]
    else:
        cards = [
            _card(_which(context), guarded(_differ, context, "This answer")),
            _card("How sure are we?", guarded(_sure, context, "This answer")),
            _card(f"What will a new {_noun(context)} look like?", guarded(_new, context, "This answer")),
        ]
    verdict = guarded(_verdict, context, "The verdict of the checks")
    return tag("section", tag("h2", HEADING), tag("div", *cards, class_="cards"), verdict, id="answers")


def _card(heading: object, content: Html) -> Html:
    return tag("div", tag("h3", heading), content, class_="card")


def _noun(context: Context) -> str:
    from ..markup import shown

    return shown(context.groups[0], 30) if len(context.groups) == 1 else "group"


def _which(context: Context) -> Html:
    if len(context.groups) > 1:
        return join("Which groups differ?")
    return join("Which levels of ", user(context.groups[0], 30), " differ?")


# --- which differ ------------------------------------------------------------------------------------------------
def _differ(context: Context) -> Html:
    if context.fit.estimator.name == "complete":
        return paragraph("Complete pooling gives all of them the same value: it cannot tell.")
    parts = [_one(context, context.levels(*pair), len(context.main) > 1) for pair in context.main]
    given = ", beyond what the predictors explain" if context.covariates else ""
    if not context.fit.model.is_linear:
        given += f", on the scale of {context.axis}"
    note = (
        f"Deviations from the average{given}. “Clearly”: the {coverage(context.fit.level)} interval, which carries the "
        "average’s own uncertainty too, leaves zero out. Whether two levels differ is another question."
    )
    return join(*parts, paragraph(note, class_="note"))


def _one(context: Context, levels: Levels, named: bool) -> Html:
    verdict, count = levels.verdict, len(levels.names)
    above, below = np.flatnonzero(verdict == ABOVE)[::-1], np.flatnonzero(verdict == BELOW)
    head = tag("p", tag("b", user(levels.group)), _term(levels)) if named else _term_line(levels)
    if not len(above) and not len(below):
        text = f"None of the {count:,} can be told from the average with {coverage(context.fit.level)} confidence."
        return join(head, paragraph(text))
    unclear = count - len(above) - len(below)
    line = paragraph(
        tag("b", f"{len(above):,}"), " clearly above average, ", tag("b", f"{len(below):,}"), " clearly below; ",
        tag("b", f"{unclear:,}"), f" of {count:,} cannot be told from it.",
    )  # fmt: skip
    most = MOST // 2 if named else MOST
    sides = ((above, "above"), (below, "below"))
    return join(head, line, *(_named(levels, places[:most], len(places), kind) for places, kind in sides))


def _term(levels: Levels) -> Html:
    return Html("") if levels.term == "Intercept" else join(" (", user(levels.term), ")")


def _term_line(levels: Levels) -> Html | None:
    if intercept(levels.term):
        return None
    return paragraph("In their coefficient of ", user(levels.term), ":")


def _named(levels: Levels, places: np.ndarray, count: int, kind: str) -> Html | None:
    """The furthest levels on one side, with their intervals."""
    if not len(places):
        return None
    items = [_line(levels, i) for i in places]
    if count > len(places):
        items.append(join(f"and {count - len(places):,} more (", tag("a", "table", href="#pooling"), ")"))
    return bullets(items, class_=f"named {kind}")


def _line(levels: Levels, i: int) -> Html:
    error = levels.error
    effect = signed(number(levels.effect[i], error))
    ends = " to ".join(_apart(end, error) for end in (levels.effect_lower[i], levels.effect_upper[i]))
    return join(tag("b", user(levels.names[i], 40)), f" {effect} ", tag("span", f"({ends})", class_="ci"))


def _apart(end: float, error: float) -> str:
    """The end of an interval that leaves zero out is not rounded to zero."""
    text = number(end, error)
    return number(end, digits=1) if text.strip("−0.") == "" and end != 0.0 else text


# --- how sure ----------------------------------------------------------------------------------------------------
def _sure(context: Context) -> Html:
    items: list[Html] = []
    columns = context.components
    for i, (group, term) in enumerate(zip(columns["group"], columns["term"], strict=True)):
        if group == RESIDUAL or (group, term) in context.main:
            items.append(_sd(context, group, i))
    several = len(context.fit.model.design.layout.locations) > 1
    if context.population and not several:
        items.append(guarded(_icc, context, "The intraclass correlation"))
    first = _mean(context)
    level = coverage(context.fit.level)
    note = paragraph(f"In brackets: {level} intervals. ", _quality(context), class_="note")
    return join(bullets([first, *items] if first else items, class_="values"), note)


def _mean(context: Context) -> Html | None:
    """The intercept, when it is a mean that a reader recognises."""
    fit = context.fit
    if list(fit.coefficients) != ["Intercept"] or not fit.model.is_linear:
        return None
    from ...fit.tables import fixed_effects

    columns = fixed_effects(fit, fit.level)
    value, error, low, high = (float(columns[c][0]) for c in ("estimate", "std_error", "lower", "upper"))
    return _value("Overall mean", number(value, error), span(low, high, error))


def _sd(context: Context, group: str, i: int) -> Html:
    columns = context.components
    sd, error, low, high = (float(columns[c][i]) for c in ("sd", "std_error", "lower", "upper"))
    error = max(error, 1e-3 * sd) if error == error else error
    between = join("sd between levels of ", user(group, 30))
    name = join("sd within" if context.groups else "Residual sd") if group == RESIDUAL else between
    if group != RESIDUAL and columns["term"][i] != "Intercept":
        name = join(name, " (", user(columns["term"][i], 30), ")")
    return _value(name, number(sd, error), span(low, high, error) if low == low else None)


def _icc(context: Context) -> Html:
    from .variance import icc_rows

    found = icc_rows(context)
    lines = []
    for row in found:
        ends = None if row.lower != row.lower else row.interval
        lines.append(_value(join("Share of variance (ICC) of ", user(row.group, 30)), percent(row.share), ends))
    return joined(lines, separator=Html("</li><li>"))


def _value(name: object, value: str, ends: str | None) -> Html:
    interval = tag("span", f"({ends})", class_="ci") if ends else None
    return join(name, ": ", tag("b", value), " ", interval)


def _quality(context: Context) -> str:
    """What few groups mean for these intervals."""
    few = {label: count for label, count in context.fit.model.groups.items() if count < 10}
    if not few or not context.population:
        return ""
    count = min(few.values())
    return f"With {count} levels, the spread between them is known only roughly: read its interval."


# --- a new group -------------------------------------------------------------------------------------------------
def _new(context: Context) -> Html:
    from .prediction import interval_of

    if not context.population:
        return paragraph(context.no_population)
    if not context.fit.model.is_linear or context.fit.sampled:
        return _new_generalized(context)
    new, level = context.new_group, context.fit.level
    low, high = interval_of(new.estimate, new.mean_error, new.mean_df, level)
    error = new.mean_error
    items = [_value(join("Its mean ", context.response), number(new.estimate, error), span(low, high, error))]
    if new.row_error is not None:
        ends = interval_of(new.estimate, new.row_error, new.row_df, level)
        items.append(_value("One row in it", number(new.estimate, error), span(*ends, error)))
    where = " At the average of the predictors." if context.covariates else ""
    text = f"{coverage(level)} intervals, which carry the uncertainty of the averages and of the standard deviations."
    return join(bullets(items, class_="values"), paragraph(text + where, class_="note"))


def _new_generalized(context: Context) -> Html:
    """Its mean and one row in it, or the probabilities of the categories."""
    from ..new_level import expected

    level = context.fit.level
    where = " At the average of the predictors." if context.covariates else ""
    note = f"{coverage(level)} intervals; those of a new level hold how much levels differ.{where}"
    if context.categories:
        found = expected(context, "new_group")
        items = [
            _value(user(name, 30), percent(float(found[f"estimate[{name}]"][0])),
                   f"{percent(float(found[f'lower[{name}]'][0]))} to {percent(float(found[f'upper[{name}]'][0]))}")
            for name in context.categories[:MOST]
        ]  # fmt: skip
        return join(bullets(items, class_="values"), paragraph(note, class_="note"))
    items = []
    for words, kind in (("Its mean ", "mean"), ("One row in it: ", "response")):
        found = expected(context, "new_group", kind)
        value, low, high = (float(found[name][0]) for name in ("estimate", "lower", "upper"))
        what = user(context.axis_of_means if kind == "mean" else context.fit.model.design.response_name, 40)
        items.append(_value(join(words, what), number(value, (high - low) / 8.0), span(low, high, (high - low) / 8.0)))
    return join(bullets(items, class_="values"), paragraph(note, class_="note"))


# --- checks ------------------------------------------------------------------------------------------------------
def _verdict(context: Context) -> Html:
    """One line: what the checks found."""
    if context.unchecked:
        return paragraph(tag("b", "Can it be believed? "), context.unchecked, class_="verdict")
    findings = list(context.checks)
    counts = context.checks.counts
    problems, cautions = counts["problem"], counts["caution"]
    if problems:
        words, kind = f"{_count(problems, 'problem')} and {_count(cautions, 'caution')}", "problem"
    elif cautions:
        words, kind = f"no problem, {_count(cautions, 'caution')}", "caution"
    else:
        words, kind = "nothing that speaks against the model", "ok"
    worst = [f.title for f in findings if f.severity in ("problem", "caution")][:3]
    more = join(": ", joined([user(title, 80) for title in worst], "; ")) if worst else None
    return tag("p", tag("b", "Can it be believed? "), "The checks found ", words, more, ". ",
               tag("a", "Details", href="#checks"), class_=f"verdict {kind}")  # fmt: skip


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"
