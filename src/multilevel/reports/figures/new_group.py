"""What a new group is expected to be: the density of its mean, and of one row in it."""

from __future__ import annotations

import numpy as np

from ..context import NewGroup
from ..markup import Html, join, shown, tag
from ..svg import Scale, axis_below, drawing, line, path, scale, text

LEFT, RIGHT, TOP, BOTTOM = 12.0, 548.0, 30.0, 190.0
POINTS = 121


def new_group(new: NewGroup, response: str, level: float) -> Html:
    """Two densities over one axis; the part inside each interval is filled."""
    if not new.mean_error > 0.0:
        return Html("")
    widest = max(new.mean_error, new.row_error or 0.0)
    x = scale([new.estimate - 3.3 * widest, new.estimate + 3.3 * widest], LEFT, RIGHT, margin=0.0)
    peak = _density(np.zeros(1), new.mean_error, new.mean_df)[0]
    y = Scale(0.0, float(peak), BOTTOM, TOP)
    parts = [*axis_below(x, BOTTOM, shown(response, 40), TOP)]
    if new.row_error is not None:
        parts += _curve(x, y, new.estimate, new.row_error, new.row_df, level, "b")
    parts += _curve(x, y, new.estimate, new.mean_error, new.mean_df, level, "a")
    parts += [line(x(new.estimate), TOP, x(new.estimate), BOTTOM, "middle")]
    parts += [text(x(new.estimate), TOP - 8, "expected", "middle", "tick")]
    swatches = [tag("span", class_="swatch a"), " mean of the new group"]
    swatches += [tag("span", class_="swatch b"), " one row in it"] if new.row_error is not None else []
    caption = tag("figcaption", join(*swatches), f"; filled: {100 * level:.4g}% interval.")
    return tag("figure", drawing(BOTTOM + 46.0, "Predictive densities for a new group", *parts), caption)


def density(values: np.ndarray, height: np.ndarray, ends: tuple[float, float], response: str, level: float) -> Html:
    """A density given by its points, the part inside the interval filled."""
    order = np.argsort(values, kind="stable")
    values, height = values[order], height[order]
    known = np.isfinite(values) & np.isfinite(height)
    if known.sum() < 3 or not np.ptp(values[known]) > 0.0:
        return Html("")
    values, height = values[known], height[known]
    mass = np.cumsum(0.5 * (height[1:] + height[:-1]) * np.diff(values))
    last = values[1:][mass <= 0.995 * mass[-1]]  # a long tail is cut where hardly anything is left
    x = scale([values[0], last[-1] if len(last) else values[-1]], LEFT, RIGHT, margin=0.0)
    y = Scale(0.0, float(height.max()), BOTTOM, TOP)
    points = [(x(v), y(h)) for v, h in zip(values, height, strict=True) if x.low <= v <= x.high]
    low, high = max(ends[0], x.low), min(ends[1], x.high)
    inside = [(x(v), y(h)) for v, h in zip(values, height, strict=True) if low <= v <= high]
    parts = [*axis_below(x, BOTTOM, shown(response, 40), TOP)]
    if inside:
        parts.append(path([(inside[0][0], y(0.0)), *inside, (inside[-1][0], y(0.0))], "fill a", closed=True))
    parts.append(path(points, "curve a"))
    words = f" mean of a new level; filled: {100 * level:.4g}% interval."
    caption = tag("figcaption", tag("span", class_="swatch a"), words)
    return tag("figure", drawing(BOTTOM + 46.0, "Predictive density of the mean of a new level", *parts), caption)


def _curve(x: Scale, y: Scale, centre: float, error: float, df: float, level: float, kind: str) -> list[Html]:
    from ...fit.tables import quantile

    half = float(quantile(np.array([df]), level)[0]) * error
    inside = np.linspace(centre - half, centre + half, POINTS)
    whole = np.linspace(x.low, x.high, 2 * POINTS)
    fill = [(x(inside[0]), y(0.0)), *_points(x, y, inside, centre, error, df), (x(inside[-1]), y(0.0))]
    outline = _points(x, y, whole, centre, error, df)
    return [path(fill, f"fill {kind}", closed=True), path(outline, f"curve {kind}")]


def _points(
    x: Scale, y: Scale, values: np.ndarray, centre: float, error: float, df: float
) -> list[tuple[float, float]]:
    heights = _density((values - centre) / error, error, df)
    return [(x(v), y(h)) for v, h in zip(values, heights, strict=True) if x.low <= v <= x.high]


def _density(t: np.ndarray, error: float, df: float) -> np.ndarray:
    """Student's t density with that scale; normal for infinite degrees of freedom."""
    from scipy.special import gammaln

    if not df < 1e6:
        return np.asarray(np.exp(-0.5 * t * t) / np.sqrt(2.0 * np.pi) / error)
    constant = gammaln((df + 1.0) / 2.0) - gammaln(df / 2.0) - 0.5 * np.log(df * np.pi)
    return np.asarray(np.exp(constant - (df + 1.0) / 2.0 * np.log1p(t * t / df)) / error)
