"""Prediction for a level that was not in the data: its mean, and one row in it."""

from __future__ import annotations

import numpy as np

from .. import new_level
from ..context import Context, NewGroup
from ..figures.new_group import new_group as figure
from ..markup import Column, Html, coverage, join, joined, number, paragraph, percent, span, table, tag, user

HEADING = "Prediction for a new group"
COVERAGES = (0.5, 0.8)


def build(context: Context) -> Html:
    """Intervals, their picture, and what taking the estimates for true would have given."""
    if not context.population:
        return paragraph(context.no_population)
    if not context.fit.model.is_linear or context.fit.sampled:
        return join(paragraph(_question(context), class_="lead"), new_level.build(context))
    new = context.new_group
    return join(
        paragraph(_question(context), class_="lead"),
        _table(context, new),
        figure(new, context.fit.model.design.response_name, context.fit.level),
        paragraph(_explained(context)),
        _plug_in(context, new),
    )


def _question(context: Context) -> Html:
    names = joined([tag("b", user(g, 40)) for g in context.groups], last=" and ")
    where = ", at the average of the predictors" if context.covariates else ""
    return join("What can be expected of a new level of ", names, f", of which nothing is known{where}?")


def _table(context: Context, new: NewGroup) -> Html:
    coverages = sorted({*COVERAGES, context.fit.level})
    heads = [Column("", False), Column("Expected"), *(Column(f"{coverage(c)} interval") for c in coverages)]
    error = new.mean_error
    name = "Mean of the new level" if len(context.groups) == 1 else "Mean where all levels are new"
    rows = [_row(name, new.estimate, new.mean_error, new.mean_df, coverages, error)]
    if new.row_error is not None:
        rows.append(_row("One row there", new.estimate, new.row_error, new.row_df, coverages, error))
    return table(heads, rows)


def _row(name: str, value: float, error: float, df: float, coverages: list[float], digits: float) -> tuple[str, ...]:
    ends = (span(*interval_of(value, error, df, c), digits) for c in coverages)
    return (name, number(value, digits), *ends)


def interval_of(estimate: float, error: float, df: float, level: float) -> tuple[float, float]:
    """t interval around an estimate."""
    from ...fit.tables import quantile

    half = float(quantile(np.array([df]), level)[0]) * error
    return estimate - half, estimate + half


def _explained(context: Context) -> str:
    words = "These intervals hold how much levels differ, and that the averages and standard deviations are estimates"
    return f"{words}. One row scatters around its level’s mean besides." if context.common_variance else f"{words}."


def _plug_in(context: Context, new: NewGroup) -> Html:
    """The interval that ignores the uncertainty of the parameters, and by how much it is too short."""
    z, groups = context.average_row[1], context.fit.estimates.covariances
    between = float(sum(v @ covariance @ v for v, covariance in zip(z, groups, strict=True))) ** 0.5
    low, high = interval_of(new.estimate, between, float("inf"), context.fit.level)
    right = interval_of(new.estimate, new.mean_error, new.mean_df, context.fit.level)
    if between == 0.0:
        text = "The variance between levels is estimated as zero: the best guess, not knowledge. Read the upper end of "
        text += "its interval beside this prediction."
        return paragraph(text, class_="note")
    short = 1.0 - (high - low) / (right[1] - right[0])
    return paragraph(f"Taking the estimates for true would give {span(low, high, between)} for the mean: "
                     f"{percent(max(short, 0.0))} too short.", class_="note")  # fmt: skip
