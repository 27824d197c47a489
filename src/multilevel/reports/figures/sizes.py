"""How many rows the levels of a grouping factor have: a histogram."""

from __future__ import annotations

import numpy as np

from ..markup import Html, shown, tag
from ..svg import Scale, axis_below, drawing, rect, scale, text

LEFT, RIGHT, TOP, BOTTOM = 30.0, 548.0, 38.0, 130.0
MOST_BARS = 40
MOST_NAMED = 16  # bars that have their count above them


def sizes(label: str, n: np.ndarray) -> Html:
    """Bars of equal width from the smallest to the largest level."""
    bars = int(min(MOST_BARS, max(n.max() - n.min() + 1, 2), max(6, 2 * np.sqrt(len(n)))))
    counts, edges = np.histogram(n, bins=bars, range=(float(n.min()) - 0.5, float(n.max()) + 0.5))
    x = scale(edges, LEFT, RIGHT, margin=0.0)
    height = (BOTTOM - TOP) / counts.max()
    places = zip(counts.tolist(), edges[:-1], edges[1:], strict=True)
    marks = [_bar(x, a, b, count, height * count, bars <= MOST_NAMED) for count, a, b in places if count]
    parts = [*axis_below(x, BOTTOM, "rows in a level", BOTTOM), text(LEFT, 12, f"levels of {shown(label, 30)}"), *marks]
    return tag("figure", drawing(BOTTOM + 46.0, f"Histogram of the sizes of {len(n)} levels", *parts))


def _bar(x: Scale, low: float, high: float, count: int, height: float, named: bool) -> Html:
    left, right = x(low), x(high)
    first, last = int(np.ceil(low)), int(np.floor(high))
    sizes = f"{first} rows" if first == last else f"{first} to {last} rows"
    hint = tag("title", f"{count} {'level' if count == 1 else 'levels'} with {sizes}")
    bar = rect(left, BOTTOM - height, max(right - left - 1.0, 0.8), height, "bar", hint)
    label = text((left + right) / 2.0, BOTTOM - height - 4, str(count), "middle", "tick") if named else None
    return tag("g", bar, label)
