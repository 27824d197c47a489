"""What pooling did: every level's own estimate, the pooled one, and how much its own data weigh.

For each coefficient that varies: a sentence, a drawing, and a table to sort and search. The first of each grouping
factor is open, the others are folded. Then the comparison with no and complete pooling by predictive scores.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...fit.numbers import decimals
from ..context import BIG, CELLS, Context, guarded
from ..figures.shrinkage import shrinkage as figure
from ..levels import ABOVE, BELOW, Levels
from ..markup import (
    Column,
    Html,
    box,
    bullets,
    coverage,
    embedded,
    folded,
    island,
    join,
    number,
    paragraph,
    percent,
    places,
    row,
    shown,
    signed,
    table,
    tag,
    user,
)  # fmt: skip

CROSSED_ROWS = 20_000  # of several factors: leaving each level out takes minutes beyond
HEADING = "What pooling did"
SHOWN = 200  # rows of a table that are on the page; search finds the others
MOST_BLOCKS = 8
JUDGED = 3  # column with the verdict
VERDICT = {ABOVE: "above", BELOW: "below", 0: ""}


def build(context: Context) -> Html:
    """A block for each coefficient that varies, and the scores."""
    if not context.groups:
        return paragraph("The formula has no grouping term: there is nothing to pool.")
    blocks = [_block(context, pair, pair in context.main) for pair in context.pairs[:MOST_BLOCKS]]
    more = len(context.pairs) - MOST_BLOCKS
    left = f"{more} more varying coefficients are in fit.group_effects()." if more > 0 else ""
    scores = guarded(_scores, context, "The comparison of estimators") if context.groups else None
    return join(paragraph(_idea(context)), *blocks, paragraph(left, class_="note") if left else None, scores)


def _idea(context: Context) -> str:
    if not context.population:
        return f"{context.no_population} Own estimates and those of the model are set side by side."
    return (
        "A level’s own rows give one estimate, the other levels another; partial pooling weighs the two by how much "
        "each can be trusted. Small and noisy levels move most, large ones hardly."
    )


def _block(context: Context, pair: tuple[str, str], first: bool) -> Html:
    group, term = pair
    title = join(user(group, 40), ": ", "intercepts" if term == "Intercept" else user(term, 40))
    if not context.fit.model.is_linear:
        title = join(title, " (on the scale of the link)")

    def content(context: Context) -> Html:
        levels = context.levels(group, term)
        said = bullets(_sentences(context, levels))
        return join(said, figure(levels, context.axis), _table(context, levels))

    made = guarded(content, context, "This comparison")
    return tag("div", tag("h3", title), made, class_="block") if first else folded(title, made)


# --- in words ----------------------------------------------------------------------------------------------------
def _sentences(context: Context, levels: Levels) -> list[Html]:
    said = []
    weight = levels.weight[np.isfinite(levels.weight)]
    if len(weight):
        said.append(_weights(levels, weight))
    moved = np.abs(np.where(np.isfinite(levels.moved), levels.moved, np.nan))
    if np.isfinite(moved).any() and np.nanmax(moved) > 0.0:
        i = int(np.nanargmax(moved))
        said.append(_most_moved(levels, i))
    infinite = int(np.isinf(levels.own).sum())
    if infinite:
        one = infinite == 1
        who = f"{infinite:,} {'level has' if one else 'levels have'} rows that are all alike"
        said.append(join(f"{who}: by {'itself' if one else 'themselves'} at infinity, with the others at a number."))
    missing = int(np.isnan(levels.own).sum())
    if missing and missing < len(levels.own):
        said.append(join(f"{missing:,} levels have too few rows for an estimate of their own; the model has one."))
    return said


def _weights(levels: Levels, weight: np.ndarray) -> Html:
    low, high = float(weight.min()), float(weight.max())
    mean = float(weight.mean())
    if high - low < 0.005:
        return join("Each level’s own data weigh ", tag("b", percent(mean)), f"; it is pulled {percent(1.0 - mean)} of "
                    "the way to what the rest of the model expects.")  # fmt: skip
    return join("Own data weigh ", tag("b", f"{percent(low)} to {percent(high)}"), f" (average {percent(mean)}); the "
                "rest of the way, a level is pulled to what the model expects of it.")  # fmt: skip


def _most_moved(levels: Levels, i: int) -> Html:
    error = levels.error
    n = f"{levels.n[i]:,.10g} {'row' if levels.n[i] == 1 else 'rows'}"
    typical = float(np.median(levels.n))
    size = "small" if levels.n[i] < 0.7 * typical else "large" if levels.n[i] > 1.4 * typical else "of usual size"
    far = "far from the others" if abs(levels.own[i] - levels.centre) > 1.5 * _spread(levels) else "not extreme"
    return join("Moved most: ", tag("b", user(levels.names[i], 40)), f" ({n}), from {number(levels.own[i], error)} to "
                f"{number(levels.pooled[i], error)}: it is {size} and {far}.")  # fmt: skip


def _spread(levels: Levels) -> float:
    own = levels.own[np.isfinite(levels.own)]
    return float(np.std(own)) if len(own) else 0.0


# --- table -------------------------------------------------------------------------------------------------------
def _table(context: Context, levels: Levels) -> Html:
    """The table, with the rows that are not shown as data for the search."""
    columns = _columns(context, levels)
    visible = levels.notable(SHOWN)[::-1]  # largest first, as in the drawing
    cells = _cells(levels)
    rows = [_row(levels, columns, cells, i) for i in visible]
    hidden = [i for i in range(len(levels.names)) if i not in set(visible.tolist())]
    kept, data = _hidden(context, levels, cells, hidden)
    caption = _caption(levels, len(visible), kept)
    heads = tag("tr", *(_head(c) for c in columns))
    made = tag("table", tag("thead", heads), tag("tbody", *rows), class_="levels")
    label = f"Search the {len(visible) + kept:,} levels of {shown(levels.group, 40)}"
    search = tag("input", type="search", placeholder=label, aria_label=label, class_="search", autocomplete="off")
    tools = tag("div", search, tag("span", caption, class_="count", aria_live="polite"), class_="tools")
    return tag("div", tools, box(made, "box tall"), data, class_="grid", data_limit=SHOWN, data_verdict=JUDGED)


def _columns(context: Context, levels: Levels) -> list[Column]:
    interval = f"{coverage(levels.coverage)} interval"
    return [
        Column(user(levels.group, 30), False),
        Column("Partial pooling", help="estimate of the model"),
        Column(interval, help="of the pooled estimate, with the uncertainty of averages and standard deviations"),
        Column("Average", False, "whether the level is clearly above or below: the interval of its deviation"),
        Column("Own estimate", help="from the level's rows alone: no pooling"),
        Column("Moved", help="partial pooling minus own estimate"),
        Column("Own weight", help="λ: 100% is no pooling, 0% is complete pooling"),
        Column("Rows", help="rows of this level"),
    ]


def _head(column: Column) -> Html:
    button = tag("button", column.heading, type="button")
    return tag("th", button, scope="col", class_="n" if column.numeric else None, title=column.help or None)


def _cells(levels: Levels) -> list[list[str]]:
    """Every level as text; digits are those that the typical interval supports."""
    d = decimals(levels.error, 2) if levels.error == levels.error else None
    out = []
    for i in range(len(levels.names)):
        out.append(
            [
                shown(levels.names[i]),
                _or_dash(levels.pooled[i], d),
                f"{_or_dash(levels.lower[i], d)} to {_or_dash(levels.upper[i], d)}",
                VERDICT[int(levels.verdict[i])],
                _or_dash(levels.own[i], d),
                signed(_or_dash(levels.moved[i], d)),
                percent(levels.weight[i]) if levels.weight[i] == levels.weight[i] else "—",
                f"{levels.n[i]:.10g}",
            ]
        )
    return out


def _or_dash(value: float, d: int | None) -> str:
    if np.isinf(value):
        return "−∞" if value < 0.0 else "∞"
    return "—" if value != value else places(value, d)


def _row(levels: Levels, columns: list[Column], cells: list[list[str]], i: int) -> Html:
    first = tag("bdi", cells[i][0])
    return row(columns, [first, *cells[i][1:]], class_=VERDICT[int(levels.verdict[i])] or None)


def _hidden(context: Context, levels: Levels, cells: list[list[str]], places: list[int]) -> tuple[int, Html | None]:
    """Rows for the search, as many as the report's budget allows: the most notable first."""
    if not places:
        return 0, None
    budget = CELLS // max(len(context.pairs[:MOST_BLOCKS]), 1)
    sizes = {i: len(embedded(cells[i]).encode()) + 1 for i in places}
    if sum(sizes.values()) > budget:
        room = int(budget / np.mean(list(sizes.values())))
        notable = set(levels.notable(room + SHOWN).tolist())
        places = [i for i in places if i in notable]
    kept, used = [], 0
    for i in places:
        used += sizes[i]
        if used > budget:
            break
        kept.append(cells[i])
    return len(kept), island(kept)


def _caption(levels: Levels, visible: int, hidden: int) -> str:
    total = len(levels.names)
    if visible == total:
        return f"{total:,} levels"
    missing = total - visible - hidden
    rest = f"; {missing:,} more only in fit.group_effects()" if missing else ""
    return f"the {visible:,} most notable of {total:,} levels; search and sort use {visible + hidden:,}{rest}"


# --- scores ------------------------------------------------------------------------------------------------------
def _scores(context: Context) -> Html | None:
    """Which pooling predicts best, by leave-one-out and leave-one-group-out scores."""
    model = context.fit.model
    if max(model.groups.values()) > BIG or (len(model.groups) > 1 and model.design.n > CROSSED_ROWS):
        return paragraph("ml.pooling(model) compares estimators by predictive scores; the report leaves it out beyond "
                         f"{BIG:,} levels, or {CROSSED_ROWS:,} rows of several factors.", class_="note")  # fmt: skip
    from ...checks.pooling import NAMES, pooling

    found = pooling(context.fit, seed=context.seed)
    scores = found.scores
    heads = [Column("Estimator", False), *(Column(h, help=ELPD) for h in SCORES)]
    rows = _score_rows({name: np.asarray(scores[name]).tolist() for name in COLUMNS}, NAMES)
    return join(tag("h3", "Which pooling predicts best"), paragraph(user(found.sentence, 600)), table(heads, rows),
                bullets(user(note, 400) for note in found.notes))  # fmt: skip


PARTS = ("elpd", "difference", "std_error", "rmse")
COLUMNS = ("estimator", *(f"{kind}_{part}" for kind in ("loo", "logo") for part in PARTS))
ELPD = "expected log predictive density: higher is better; in brackets the standard error of the difference"
SCORES = ("New rows: elpd", "to the best", "rmse", "New groups: elpd", "to the best", "rmse")


def _score_rows(scores: dict[str, list[Any]], names: dict[str, str]) -> list[list[str]]:
    """One row for each estimator, best first."""
    rows = []
    for i, name in enumerate(scores["estimator"]):
        cells = [names.get(name, name)]
        for kind in ("loo", "logo"):
            elpd, behind, error, rmse = (float(scores[f"{kind}_{c}"][i]) for c in PARTS)
            known = [_or_dash(elpd, 1), _behind(behind, error), number(rmse, digits=4)]
            cells += ["—", "", ""] if elpd != elpd else known
        rows.append(cells)
    return rows


def _behind(difference: float, error: float) -> str:
    if difference == 0.0 and error == 0.0:
        return "best"
    if not np.isfinite(difference):
        return "impossible rows"
    return "equal" if abs(difference) < 0.05 and error < 0.05 else f"{places(difference, 1)} ({places(error, 1)})"
