"""Own estimate against partial pooling: rows with names for few levels, a cloud for many. Every mark has a tooltip."""

from __future__ import annotations

import numpy as np

from ..levels import Levels
from ..markup import Html, coverage, join, number, shown, span, tag
from ..svg import Scale, axis_below, axis_left, circle, drawing, line, path, rect, scale, text

MOST_ROWS = 60
MOST_POINTS = 500
FAR = 1.0  # of the central spread: own estimates beyond are drawn as arrows at the edge
ROW = 18.0
NAME = 14  # characters of a name beside its row
TOP = 30.0
RIGHT = 548.0


def shrinkage(levels: Levels, response: str) -> Html:
    """The drawing with its key and explanation."""
    drawn = np.flatnonzero(np.isfinite(levels.pooled))
    if not len(drawn):
        return Html("")
    few = len(drawn) <= MOST_ROWS
    picture = _rows(levels, drawn, response) if few else _cloud(levels, drawn, response)
    note = _note(levels, drawn)
    return tag("figure", picture, tag("figcaption", _key(levels, few), note))


def _key(levels: Levels, few: bool) -> Html:
    own, pooled = tag("span", class_="dot hollow"), tag("span", class_="dot")
    if few:
        interval = f" partial pooling with its {coverage(levels.coverage)} interval"
        dark = ", dark where the level is clearly apart from the average (which is uncertain itself)."
        return join(own, " own rows only, ", pooled, interval, dark)
    return join("On the dashed line nothing moved; at the full line (the average) everything was pooled. Larger points "
                "have more rows.")  # fmt: skip


def _note(levels: Levels, drawn: np.ndarray) -> str | None:
    """What the drawing leaves out."""
    usable = drawn[~np.isnan(levels.own[drawn])]
    said = [f"Drawn: {MOST_POINTS} of {len(usable):,} levels."] if len(usable) > MOST_POINTS else []
    infinite = int(np.isinf(levels.own[usable]).sum())
    outside = len(usable) - len(_within(levels, usable)) - infinite
    if infinite:
        said.append(f"Arrows: {infinite:,} with rows that are all alike, at infinity by themselves.")
    if outside:
        said.append(f"Arrows: {outside:,} own estimates lie beyond the drawing.")
    return "".join(f" {text}" for text in said) or None


# --- few levels: one row each ------------------------------------------------------------------------------------
def _rows(levels: Levels, drawn: np.ndarray, response: str) -> Html:
    names = [shown(levels.names[i], NAME) for i in drawn]
    left = 26.0 + 8.6 * max(len(name) for name in names)
    bottom = TOP + ROW * len(drawn) + 6.0
    values = np.concatenate([_within(levels, drawn), levels.lower[drawn], levels.upper[drawn], [levels.centre]])
    x = scale(values, left, RIGHT)
    marks = [_row(levels, int(i), names[place], x, bottom - 6.0 - ROW * (place + 0.5)) for place, i in enumerate(drawn)]
    centre = x(levels.centre)
    middle = [line(centre, TOP - 6, centre, bottom, "middle"), text(centre, TOP - 12, "average", "middle", "tick")]
    parts = [*axis_below(x, bottom, _quantity(levels, response), TOP), *middle, *marks]
    label = f"Own and pooled estimates of {len(drawn)} levels of {shown(levels.group)}"
    return drawing(bottom + 46.0, label, *parts)


def _row(levels: Levels, i: int, name: str, x: Scale, y: float) -> Html:
    own, pooled = levels.own[i], levels.pooled[i]
    marks = [rect(0, y - ROW / 2, RIGHT, ROW, "hit")]
    marks += [text(x.start - 10, y + 4, name, "end", "label")]
    marks += [line(x(levels.lower[i]), y, x(levels.upper[i]), y, "ci")]
    if not np.isnan(own):
        at = x(min(max(own, x.low), x.high))
        marks += [line(at, y, x(pooled), y, "move")]
        marks += [circle(at, y, 4.2, "own") if x.low <= own <= x.high else _arrow(at, y, own > x.high)]
    marks += [circle(x(pooled), y, 4.2, "pooled")]
    return tag("g", *marks, class_=_class(levels, i), data_tip=_tip(levels, i), data_level=_key_of(levels, i))


def _class(levels: Levels, i: int) -> str:
    return "mark clear" if levels.verdict[i] else "mark"


# --- many levels: a cloud ----------------------------------------------------------------------------------------
def _cloud(levels: Levels, drawn: np.ndarray, response: str) -> Html:
    usable = drawn[~np.isnan(levels.own[drawn])]
    chosen = _chosen(levels, usable)
    left, top, bottom = 62.0, 34.0, 390.0
    x, y = scale(_within(levels, usable), left, RIGHT), scale(levels.pooled[usable], bottom, top)
    largest = float(levels.n[usable].max()) if len(usable) else 1.0
    ends = (max(x.low, y.low), min(x.high, y.high))
    parts = [*axis_below(x, bottom, _quantity(levels, response, "own estimate"), top)]
    parts += axis_left(y, left, RIGHT, "partial pooling")
    parts += [line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "same")]
    parts += [line(left, y(levels.centre), RIGHT, y(levels.centre), "middle")]
    parts += [_point(levels, int(i), x, y, largest) for i in chosen]
    return drawing(bottom + 46.0, f"Own against pooled estimates of {len(chosen)} levels", *parts)


def _point(levels: Levels, i: int, x: Scale, y: Scale, largest: float) -> Html:
    r = max(1.8, 6.0 * (levels.n[i] / largest) ** 0.5)
    own, height = levels.own[i], y(levels.pooled[i])
    outside = not x.low <= own <= x.high
    mark = _arrow(x.end if own > x.high else x.start, height, own > x.high) if outside else None
    mark = mark or circle(x(own), height, r, "pooled")
    return tag("g", mark, class_=_class(levels, i), data_tip=_tip(levels, i), data_level=_key_of(levels, i))


# --- what fits in ------------------------------------------------------------------------------------------------
def _within(levels: Levels, drawn: np.ndarray) -> np.ndarray:
    """Own estimates near the others: those of a few rows may be anywhere, and would flatten the drawing."""
    own = levels.own[drawn]
    own = own[np.isfinite(own)]
    if not len(own):
        return own
    low, high = np.quantile(own, [0.1, 0.9])
    ends = (float(np.nanmin(levels.lower[drawn])), float(np.nanmax(levels.upper[drawn])))
    least, most = min(low - FAR * (high - low), ends[0]), max(high + FAR * (high - low), ends[1])
    return own[(own >= least) & (own <= most)]


def _chosen(levels: Levels, usable: np.ndarray) -> np.ndarray:
    """Levels to draw when there are too many: half of them notable, half evenly through all."""
    if len(usable) <= MOST_POINTS:
        return usable
    notable = np.intersect1d(levels.notable(MOST_POINTS // 2), usable)
    evenly = usable[np.linspace(0, len(usable) - 1, MOST_POINTS - len(notable)).astype(int)]
    return np.union1d(notable, evenly)


def _arrow(x: float, y: float, right: bool) -> Html:
    """An own estimate beyond the drawing."""
    tip, back = (x + 5.0, x - 3.0) if right else (x - 5.0, x + 3.0)
    return path([(tip, y), (back, y - 4.5), (back, y + 4.5)], "own", closed=True)


# --- words -------------------------------------------------------------------------------------------------------
def _quantity(levels: Levels, response: str, what: str = "") -> Html:
    name = "" if levels.term == "Intercept" else f", coefficient of {shown(levels.term, 24)}"
    return join(user_text(response), name, f", {what}" if what else "")


def user_text(name: str) -> str:
    """A name for a drawing, where there is no `bdi`."""
    return shown(name, 30)


def _key_of(levels: Levels, i: int) -> str:
    return shown(levels.names[i]).lower()


def _finite(value: float, error: float) -> str:
    return number(value, error) if np.isfinite(value) else "−∞" if value < 0.0 else "∞"


def _tip(levels: Levels, i: int) -> str:
    """What the tooltip says, line by line."""
    error = levels.error
    own = "—" if levels.own[i] != levels.own[i] else _finite(levels.own[i], error)
    return "\n".join(
        [
            shown(levels.names[i], 40),
            f"own estimate {own} ({levels.n[i]:,.10g} rows)",
            f"partial pooling {number(levels.pooled[i], error)}",
            f"interval {span(levels.lower[i], levels.upper[i], error)}",
            f"weight of its own data {100 * levels.weight[i]:.0f}%" if np.isfinite(levels.weight[i]) else "",
        ]
    )
