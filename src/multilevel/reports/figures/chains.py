"""The course of the draws as pictures, chain by chain."""

from __future__ import annotations

import numpy as np

from ...fit.chosen import Chosen
from ..markup import Html, join, shown, tag
from ..svg import axis_below, axis_left, drawing, path, scale, text

MOST = 220  # points of a line
LEFT, RIGHT, TOP, BOTTOM, WIDTH = 46.0, 352.0, 30.0, 150.0, 360.0


def traces(found: Chosen) -> Html:
    """One small drawing a parameter."""
    return tag("div", *(_trace(found, i) for i in range(len(found))), class_="pictures")


def _trace(found: Chosen, i: int) -> Html:
    draws = found.draws(i)
    places = np.unique(np.linspace(0, draws.shape[1] - 1, MOST).astype(int))
    x, y = scale([0.0, draws.shape[1]], LEFT, RIGHT, 0.0), scale(draws, BOTTOM, TOP)
    name = shown(found.names[i], 40)
    parts = [*axis_below(x, BOTTOM, "draw", TOP, 5), *axis_left(y, LEFT, RIGHT, name, 4)]
    for c, values in enumerate(draws):
        points = [(x(float(at)), y(float(values[at]))) for at in places]
        parts.append(path(points, f"chain c{c % 4}"))
    rhat = float(found.found.rhat[i])
    ess = float(np.fmin(found.found.ess_bulk[i], found.found.ess_tail[i]))
    parts.append(text(RIGHT, TOP - 8, f"R\u0302 {rhat:.3f}, ESS {ess:.0f}", "end", "name"))
    picture = drawing(BOTTOM + 44.0, f"Trace of {name}", *parts, width=WIDTH)
    caption = join(tag("b", name), ": chains that agree lie on top of each other.")
    return tag("figure", picture, tag("figcaption", caption))
