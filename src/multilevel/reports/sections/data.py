"""Data and groups: rows used and dropped, sizes of groups, imbalance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..context import Context
from ..figures.sizes import sizes as sizes_figure
from ..markup import Column, Html, bullets, join, joined, number, paragraph, percent, table, tag, user

if TYPE_CHECKING:
    from ...model.describe import Sizes

HEADING = "Data and groups"
MOST_COLUMNS = 30


def build(context: Context) -> Html:
    """Rows, groups, columns, and what was noticed."""
    return join(_rows(context), _groups(context), _columns(context), _noticed(context))


def _rows(context: Context) -> Html:
    design = context.fit.model.design
    dropped = design.n_rows_given - design.n
    if dropped <= 0:
        text = join(f"All {design.n:,} rows were used; none has a missing value in a column that the model needs.")
    else:
        share = 100.0 * dropped / design.n_rows_given
        where = [join(user(name, 40), f" ({count:,})") for name, count in design.missing]
        why = join("missing values in ", joined(where, last=" and ")) if where else join("weight zero")
        gone = tag("b", f"{dropped:,} {'was' if dropped == 1 else 'were'} dropped")
        used = f"{design.n:,} of {design.n_rows_given:,} rows were used; "
        text = join(used, gone, f" ({share:.2g}%): ", why, ".")
    return paragraph(text, _weights(context))


def _weights(context: Context) -> Html | None:
    from ...model.describe import weights_line

    words = weights_line(context.fit.model)
    return join(" Weights: ", words, ".") if words else None


# --- groups ------------------------------------------------------------------------------------------------------
def _groups(context: Context) -> Html | None:
    from ...model.describe import sizes

    found = sizes(context.fit.model)
    if not found:
        return paragraph("The formula has no grouping term.")
    columns = [Column("Grouping factor", False), Column("Levels"), Column("Fewest rows"), Column("Median"),
               Column("Most rows"), Column("Within", False, "factors that contain its levels")]  # fmt: skip
    inside = _nesting(context)
    rows = [
        (user(s.label, 40), f"{s.levels:,}", f"{s.least:,}", f"{s.median:,.4g}", f"{s.most:,}", inside[s.label])
        for s in found
    ]
    figures = [_figure(context, s) for s in found if s.least < s.most]
    return join(tag("h3", "Groups"), table(columns, rows), bullets(_balance(s) for s in found), *figures)


def _nesting(context: Context) -> dict[str, Html]:
    """For each factor those that contain it."""
    from ...variance.icc import _containing

    found = _containing(context.fit.model.design)
    outer = {a: [b for b in around if b != a] for a, around in found.items()}
    return {a: joined([user(b, 30) for b in around]) if around else join("—") for a, around in outer.items()}


def _balance(s: Sizes) -> Html:
    name = tag("b", user(s.label, 40))
    if s.least == s.most:
        return join(name, f" is balanced: every level has {s.most:,} {'row' if s.most == 1 else 'rows'}.")
    ratio = s.most / max(s.least, 1)
    words = "nearly balanced" if ratio < 1.5 else "unbalanced" if s.most <= 10 * s.median else "strongly unbalanced"
    single = " Levels with few rows are pulled to the mean most." if ratio >= 1.5 else ""
    return join(name, f" is {words}: the largest level has {ratio:,.3g} times the rows of the smallest.", single)


def _figure(context: Context, s: Sizes) -> Html:
    group = next(g for g in context.fit.model.design.groups if g.label == s.label)
    return sizes_figure(s.label, np.bincount(group.codes, minlength=len(group.levels)))


# --- columns -----------------------------------------------------------------------------------------------------
def _columns(context: Context) -> Html:
    design = context.fit.model.design
    given: list[tuple[str, Any]] = [] if context.categories else [(design.response_name, design.response)]
    trials = None if context.fit.model.is_linear else context.fit.model.observations.trials
    if trials is not None:
        given = [(f"{design.response_name} (proportion)", design.response), ("trials", trials)]
    given += [(n, c) for n, c in zip(design.fixed_names, design.fixed_columns, strict=True) if c is not None]
    heads = [Column("Column", False), Column("Mean"), Column("Sd"), Column("Least"), Column("Greatest")]
    rows = [_described(name, np.asarray(values)) for name, values in given[:MOST_COLUMNS]]
    more = len(given) - MOST_COLUMNS
    note = paragraph(f"and {more} more columns", class_="note") if more > 0 else None
    offset = paragraph("An offset is added to the linear predictor.") if design.offset is not None else None
    return join(tag("h3", "Response and predictors"), _categories(context), table(heads, rows), note, offset)


def _categories(context: Context) -> Html | None:
    """How many rows each category has."""
    names = context.categories
    if not names:
        return None
    counts = np.bincount(context.fit.model.observations.y.astype(np.int64), minlength=len(names))
    each = zip(names, counts, strict=True)
    items = [join(tag("b", user(name, 40)), f" in {n:,} rows ({percent(n / counts.sum())})") for name, n in each]
    return paragraph(context.response, " has ", f"{len(names)} categories: ", joined(items), ".")


def _described(name: str, values: np.ndarray) -> tuple[object, ...]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
    kept = (float(values.mean()), sd, float(values.min()), float(values.max()))
    return (user(name, 40), *(number(v, sd / 10.0) for v in kept))


def _noticed(context: Context) -> Html | None:
    found = context.fit.model.warnings
    if not found:
        return None
    return join(tag("h3", "Noticed before fitting"), bullets(user(w, 400) for w in found))
