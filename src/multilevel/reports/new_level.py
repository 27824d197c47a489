"""Prediction for a level that was not in the data, in generalized models: on the scale of the response."""

from __future__ import annotations

from typing import Any

import numpy as np

from .context import Context
from .figures.new_group import density as figure
from .markup import Column, Html, coverage, join, number, paragraph, percent, span, table, user

COVERAGES = (0.5, 0.8)
POINTS = 241


def build(context: Context) -> Html:
    """Intervals and their picture; of categories, the probability of each."""
    return _probabilities(context) if context.categories else _means(context)


def expected(context: Context, target: str, kind: str = "mean", level: float | None = None) -> dict[str, Any]:
    """The prediction for a typical row: the average of every column."""
    from ..predictions.typical import typical, typical_rows

    return typical(context.fit, typical_rows(context.fit), target, kind, level)


def _means(context: Context) -> Html:
    coverages = sorted({*COVERAGES, context.fit.level})
    heads = [Column("", False), Column("Expected"), *(Column(f"{coverage(c)} interval") for c in coverages)]
    one = "a new level" if len(context.groups) == 1 else "new levels"
    asked = [(f"Mean in {one}", "new_group", "mean"), ("Average over levels", "marginal", "mean")]
    asked += [("Level with effects zero", "reference", "mean"), (f"One row in {one}", "new_group", "response")]
    rows = [_row(context, *each, coverages) for each in asked]
    note = (
        "Under a link that bends, the average over levels is not the value of the average level. Intervals hold what "
        "is uncertain about the parameters; those of new levels, how much levels differ; those of one row, its own "
        "scatter."
    )
    return join(table(heads, rows), _picture(context), paragraph(note, class_="note"))


def _row(context: Context, name: str, target: str, kind: str, coverages: list[float]) -> tuple[str, ...]:
    found = [expected(context, target, kind, c) for c in coverages]
    value = float(found[0]["estimate"][0])
    widest = found[-1]
    error = float(widest["upper"][0] - widest["lower"][0]) / 8.0
    return (name, number(value, error), *(span(float(f["lower"][0]), float(f["upper"][0]), error) for f in found))


def _picture(context: Context) -> Html:
    """The density of a new level's mean."""
    from ..plots.new_group import _moved

    found = expected(context, "new_group", "linear")
    centre, error = float(found["estimate"][0]), float(found["std_error"][0])
    eta = np.linspace(centre - 3.3 * error, centre + 3.3 * error, POINTS)
    moved = _moved(context.fit)
    mean = moved(eta)
    height = np.exp(-0.5 * ((eta - centre) / error) ** 2) / np.maximum(np.abs(np.gradient(mean, eta)), 1e-12)
    ends = np.sort(moved(np.array([float(found["lower"][0]), float(found["upper"][0])])))
    return figure(mean, height, (float(ends[0]), float(ends[1])), context.axis_of_means, context.fit.level)


def _probabilities(context: Context) -> Html:
    """A row for each category: the average over levels, and what one new level may be like."""
    level = coverage(context.fit.level)
    heads = [Column("Category", False), Column("On average"), Column(f"{level} interval"), Column("In a new level"),
             Column(f"{level} interval")]  # fmt: skip
    average, new = expected(context, "marginal"), expected(context, "new_group")

    def cells(found: dict[str, Any], name: str) -> tuple[str, str]:
        low, value, high = (float(found[f"{part}[{name}]"][0]) for part in ("lower", "estimate", "upper"))
        return percent(value), f"{percent(low)} to {percent(high)}"

    rows = [(user(name, 40), *cells(average, name), *cells(new, name)) for name in context.categories]
    note = "Probabilities of the categories; intervals of a new level hold how much levels differ."
    return join(table(heads, rows), paragraph(note, class_="note"))
