"""The residuals in four pictures: ``ml.plot.residuals(fit)``.

    against fitted values   the mean of each of twenty slices with its 95% interval: no bend, no slope
    quantiles               against normal ones, with the band of simulated data
    spread                  the root of |s| against fitted values: level
    by group                quartiles of each level: alike

Residuals are studentised: over their own standard deviation, which leverage makes smaller than σ̂. Those of generalized
models are randomised quantile residuals, against the linear predictor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, MOST_NAMES, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.case import Case
    from ..fit.fit import Fit

SLICES = 20
FEWEST = 8  # rows in a slice
NAMES = 24  # levels whose names fit beside one panel


def residuals(fit: Fit, group: str | None = None, seed: int = 0) -> Figure:
    """Residuals against fitted values, against normal quantiles, their spread, and by group.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor of the last panel; the one with the fewest levels otherwise.
    seed : int
        Of the simulated band.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes"))
    >>> [ax.get_title(loc="left") for ax in ml.plot.residuals(fit).axes]
    ['against fitted values', 'normal quantiles', 'spread', 'by school']
    """
    label = _label(fit, group)
    case = _examined(fit, seed)
    values = case.studentized if case is not None else _plain(fit)
    fitted = _fitted(fit)
    sheet = base.sheet(8.4, 6.3, 2, 2)
    ax, normal, spread, by_group = sheet.axes
    shown = base.thinned(len(values), np.argsort(-np.abs(values))[:50])
    _against(ax, fitted, values, shown)
    _quantiles(normal, values, case, seed)
    _spread(spread, fitted, values, shown)
    if not fit.model.is_linear:
        for panel in (ax, spread):
            several = len(fit.model.design.layout.locations) > 1
            panel.set_xlabel("mean category" if several else "linear predictor", color=INK, fontsize=9.5)
    if label is None:
        by_group.set_visible(False)
    else:
        _by_group(by_group, fit, values, label)
    return sheet.head(_finding(case, values), _reading(values))


def _fitted(fit: Fit) -> np.ndarray:
    """What residuals are drawn against; of categories without order, the mean of their numbers."""
    from ..predictions.linear import linear_predictors

    if fit.model.is_linear:
        return fit.fitted_values
    if len(fit.model.design.layout.locations) > 1:
        p = np.asarray(fit.fitted_values)
        return np.asarray(p @ np.arange(p.shape[1]))
    return np.asarray(linear_predictors(fit)[:, 0])


def _label(fit: Fit, group: str | None) -> str | None:
    known = fit.model.groups
    if group is not None:
        base.known_factor(known, group)
        return group
    return min(known, key=lambda g: known[g]) if known else None


def _examined(fit: Fit, seed: int) -> Case | None:
    """The fit under examination, where its residuals can be studentised."""
    from ..checks.working import case_of

    try:
        case = case_of(fit, seed)
    except SettingError:  # no model of the groups: residuals as they are
        return None
    return case if case.by_row else None


def _plain(fit: Fit) -> np.ndarray:
    """Residuals over their root mean square, as far as there is one."""
    values = np.nan_to_num(fit.residuals("pearson" if fit.model.is_linear else "quantile"))
    size = float(np.sqrt(np.mean(values**2)))
    return np.asarray(values / size if size > 0.0 else values)


def _against(ax: Axes, fitted: np.ndarray, values: np.ndarray, shown: np.ndarray) -> None:
    base.quiet(ax, "y")
    ax.scatter(fitted[shown], values[shown], s=9, color=GREY, alpha=0.45, linewidth=0)
    ax.axhline(0.0, color=INK, linewidth=0.8)
    at, mean, half = _slices(fitted, values)
    colours = np.where(np.abs(mean) > half, ORANGE, BLUE)
    ax.vlines(at, mean - half, mean + half, color=colours, linewidth=2.0, zorder=3)
    ax.scatter(at, mean, c=colours, s=22, linewidth=0, zorder=4)
    base.title(ax, "against fitted values")
    base.axis_names(ax, "fitted", "residual")


def _spread(ax: Axes, fitted: np.ndarray, values: np.ndarray, shown: np.ndarray) -> None:
    base.quiet(ax, "y")
    root = np.sqrt(np.abs(values))
    ax.scatter(fitted[shown], root[shown], s=9, color=GREY, alpha=0.45, linewidth=0)
    ax.axhline(float(root.mean()), color=INK, linewidth=0.8)
    at, mean, half = _slices(fitted, root)
    colours = np.where(np.abs(mean - root.mean()) > half, ORANGE, BLUE)
    ax.vlines(at, mean - half, mean + half, color=colours, linewidth=2.0, zorder=3)
    ax.scatter(at, mean, c=colours, s=22, linewidth=0, zorder=4)
    base.title(ax, "spread")
    base.axis_names(ax, "fitted", "root of |residual|")


def _slices(x: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Middle, mean and half-width of a 95% interval in slices of equally many rows."""
    count = int(min(SLICES, len(x) // FEWEST))
    if count < 2 or not np.ptp(x) > 0.0:
        return np.zeros(0), np.zeros(0), np.zeros(0)
    order = np.argsort(x, kind="stable")
    parts = np.array_split(order, count)
    mean = np.array([values[part].mean() for part in parts])
    half = np.array([1.96 * values[part].std(ddof=1) / np.sqrt(len(part)) for part in parts])
    return np.array([float(np.median(x[part])) for part in parts]), mean, half


def _quantiles(ax: Axes, values: np.ndarray, case: Case | None, seed: int) -> None:
    from .qq import points

    if case is not None:
        null = case.replicated
    else:
        draws = int(np.clip(4_000_000 // max(len(values), 1), 20, 200))
        null = np.random.default_rng(seed).standard_normal((len(values), draws))
    points(ax, values, null, None)
    base.title(ax, "normal quantiles")
    base.axis_names(ax, "normal", "residual")


def _by_group(ax: Axes, fit: Fit, values: np.ndarray, label: str) -> None:
    """Quartiles of each level, the widest on top."""
    group = next(g for g in fit.model.design.groups if g.label == label)
    order = np.argsort(group.codes, kind="stable")
    parts = np.split(values[order], np.cumsum(np.bincount(group.codes, minlength=len(group.levels)))[:-1])
    ends = np.array([np.quantile(part, [0.0, 0.25, 0.5, 0.75, 1.0]) if len(part) else [np.nan] * 5 for part in parts])
    ranked = np.argsort(np.nan_to_num(ends[:, 3] - ends[:, 1]), kind="stable")
    low, first, middle, third, high = ends[ranked].T
    rows = np.arange(len(ranked))
    few = len(rows) <= MOST_NAMES
    ax.hlines(rows, low, high, color=GREY, linewidth=0.9 if few else 0.3, alpha=0.6)
    ax.hlines(rows, first, third, color=BLUE, linewidth=4.5 if len(rows) <= NAMES else 2.0 if few else 0.6, alpha=0.7)
    ax.scatter(middle, rows, s=12 if few else 2, color=INK, linewidth=0, zorder=3)
    ax.axvline(0.0, color=INK, linewidth=0.8)
    if len(rows) <= NAMES:
        ax.set_yticks(rows, [safe(group.levels[i], 14) for i in ranked], color=INK, fontsize=7)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(rows)} levels of {safe(label)}", color=INK, fontsize=9.5)
    ax.set_ylim(-0.8, len(rows) - 0.2)
    base.title(ax, f"by {safe(label)}")
    ax.set_xlabel("residual: range, quartiles, median", color=INK, fontsize=9.5)


def _finding(case: Case | None, values: np.ndarray) -> str:
    """The severest finding of the checks of residuals; how many are large when nothing was found."""
    found: list[Any] = []
    if case is not None:
        from ..checks.normality import normality_findings
        from ..checks.residuals import residual_findings

        found = [*residual_findings(case), *(f for f in normality_findings(case) if "residual" in f.title)]
    return base.worst(found) or ("The residuals look as they should" if found else "The residuals")


def _reading(values: np.ndarray) -> str:
    n, large = len(values), int(np.sum(np.abs(values) > 3.0))
    expected = 0.0027 * n
    return (
        f"{large} of {base.counted(n, 'residual')} beyond 3 sd, {base.number(expected, 2)} expected. "
        "Bars: means of slices with 95% intervals, orange where they miss the line."
    )


MEMBER = residuals
