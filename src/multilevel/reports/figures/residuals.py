"""Residuals as pictures: against fitted values, and both levels against the normal distribution."""

from __future__ import annotations

import numpy as np

from ..context import Context
from ..markup import Html, join, shown, tag
from ..svg import axis_below, axis_left, circle, drawing, line, path, scale

MOST = 700  # points of a drawing
BINS = 12
LEFT, RIGHT, TOP, BOTTOM = 46.0, 352.0, 30.0, 230.0
WIDTH = 360.0


def residuals(context: Context) -> Html:
    """A row of small drawings."""
    fit = context.fit
    if fit.model.is_linear:
        scaled, fitted, name, across = (
            fit.residuals("standardized"),
            fit.fitted_values,
            "scaled residual",
            "fitted value",
        )
    else:
        scaled, fitted, name = fit.residuals("quantile", seed=context.seed), _predictors(context), "quantile residual"
        across = "mean category" if _several(context) else "linear predictor"
    pictures = [_against(fitted, scaled, name, across), _normal(scaled, f"QQ plot of {name}s", f"{name}s")]
    if context.population:
        pictures += [_effects(context, *pair) for pair in context.main[:4]]
    return tag("div", *pictures, class_="pictures")


def _several(context: Context) -> bool:
    return len(context.fit.model.design.layout.locations) > 1


def _predictors(context: Context) -> np.ndarray:
    """What residuals of generalized models are drawn against."""
    from ...plots.residuals import _fitted

    return _fitted(context.fit)


def _against(fitted: np.ndarray, scaled: np.ndarray, name: str, across: str) -> Html:
    """Residuals over fitted values, with the mean in bins and its band of two standard errors."""
    places = _some(len(fitted))
    x, y = scale(fitted, LEFT, RIGHT), scale(np.append(scaled, [-3.0, 3.0]), BOTTOM, TOP)
    marks = [circle(x(fitted[i]), y(scaled[i]), 1.7, "point") for i in places]
    parts = [*axis_below(x, BOTTOM, across, TOP, 5), *axis_left(y, LEFT, RIGHT, name)]
    parts += [line(LEFT, y(0.0), RIGHT, y(0.0), "middle"), *marks]
    centres, means = _binned(fitted, scaled)
    if len(centres) > 2:
        parts.append(path([(x(a), y(b)) for a, b in zip(centres, means, strict=True)], "curve b"))
    some = f" ({len(places):,} of {len(fitted):,} drawn)" if len(places) < len(fitted) else ""
    caption = f"Residuals should scatter evenly around zero; the line is their mean{some}."
    return _figure("Residuals against fitted values", caption, parts)


def _binned(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of y in bins with equally many rows."""
    order = np.argsort(x, kind="stable")
    parts = [part for part in np.array_split(order, min(BINS, max(len(x) // 8, 1))) if len(part)]
    return np.array([x[p].mean() for p in parts]), np.array([y[p].mean() for p in parts])


def _effects(context: Context, group: str, term: str) -> Html:
    levels = context.levels(group, term)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = levels.effect / np.nanstd(levels.effect)
    name = f"effects of {shown(group, 24)}"
    return _normal(scaled[np.isfinite(scaled)], f"QQ plot of the {name}", name)


def _normal(values: np.ndarray, title: str, name: str) -> Html:
    """Ordered values against normal quantiles."""
    from scipy.special import ndtri

    if len(values) < 3:
        return Html("")
    ordered = np.sort(values)
    n = len(ordered)
    expected = ndtri((np.arange(1, n + 1) - 0.375) / (n + 0.25))
    places = _tails(n)
    x, y = scale(expected, LEFT, RIGHT), scale(np.append(ordered, expected), BOTTOM, TOP)
    parts = [*axis_below(x, BOTTOM, "expected under a normal distribution", TOP, 5)]
    parts += axis_left(y, LEFT, RIGHT, name)
    ends = (max(x.low, y.low), min(x.high, y.high))
    parts += [line(x(ends[0]), y(ends[0]), x(ends[1]), y(ends[1]), "same")]
    parts += [circle(x(expected[i]), y(ordered[i]), 2.0, "point") for i in places]
    return _figure(title, "Normal values lie on the dashed line.", parts)


def _figure(title: str, caption: str, parts: list[Html]) -> Html:
    picture = drawing(BOTTOM + 44.0, title, *parts, width=WIDTH)
    return tag("figure", picture, tag("figcaption", join(tag("b", f"{title}. "), caption)))


def _some(n: int) -> np.ndarray:
    """Places of at most `MOST` rows, evenly spread."""
    return np.arange(n) if n <= MOST else np.unique(np.linspace(0, n - 1, MOST).astype(int))


def _tails(n: int) -> np.ndarray:
    """Places of ordered values: all in the tails, some in the middle."""
    if n <= MOST:
        return np.arange(n)
    tail = MOST // 4
    middle = np.linspace(tail, n - tail - 1, MOST - 2 * tail).astype(int)
    return np.unique(np.concatenate([np.arange(tail), middle, np.arange(n - tail, n)]))
