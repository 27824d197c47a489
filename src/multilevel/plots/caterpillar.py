"""Group effects with their intervals, sorted: ``ml.plot.caterpillar(fit)``.

    b̂_ℓ ± t · sd(b̂_ℓ − b_ℓ)        one row a level, one panel a coefficient

The intervals hold the uncertainty of the average and of the variances (`predictions/deviations.py`), as those of the
report do; `fit.group_effects()` is conditional on both. Those that leave zero out are blue, the others grey. They
describe each level by itself: whether *two* levels differ is another question, which overlapping intervals do not
answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import base
from .base import BLUE, GREY, INK, MOST_NAMES, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

EXTREMES = 3  # levels named at either end when there is no room for all


def caterpillar(
    fit: Fit, group: str | None = None, level: float | None = None, term: str | None = None, ax: Axes | None = None
) -> Figure:
    """Effects of the levels of one grouping factor, in the order of the first coefficient shown.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        A grouping factor; the one with the most levels otherwise.
    level : float, optional
        Coverage of the intervals; that of the fit otherwise.
    term : str, optional
        A coefficient that varies by it; all of them otherwise, side by side.
    ax : matplotlib Axes, optional
        Where to draw `term` (the first coefficient when it is not given); a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group, or a level that is no probability.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> len(ml.plot.caterpillar(fit).axes)
    1
    """
    from ..fit.tables import check_level

    label = base.grouping_factor(fit, group)
    coverage = fit.level if level is None else check_level(level)
    levels, terms, estimate, half = _deviations(fit, label, coverage)
    lower, upper = estimate - half, estimate + half
    chosen = [terms.index(base.chosen_term(terms, term))] if term or ax else list(range(len(terms)))
    sheet = base.sheet(3.4 + 2.9 * len(chosen), 0.75 + base.rows_height(len(levels)), 1, len(chosen), ax, sharey=True)
    first = _order(estimate[:, chosen[0]])
    base.names_at_left(sheet.ax, [levels[i] for i in first], label)
    for panel, j in zip(sheet.axes, chosen, strict=True):
        order = first if len(levels) <= MOST_NAMES else _order(estimate[:, j])  # rows without names need not agree
        _panel(panel, estimate[order, j], lower[order, j], upper[order, j], [levels[i] for i in order])
        base.title(panel, f"{safe(terms[j], 30)} by {safe(label)}")
    axis = f"effect of each {safe(label)} on {base.on_scale(fit)}"
    if ax is None:
        sheet.figure.supxlabel(axis, fontsize=9.5, color=INK)
    else:
        base.axis_names(sheet.ax, axis)
    what = f"{safe(terms[chosen[0]], 30)} by {safe(label)}"
    finding = _finding(estimate[:, chosen[0]], lower[:, chosen[0]], upper[:, chosen[0]])
    return sheet.head(f"{what}: {finding}", _reading(coverage))


def _deviations(fit: Fit, label: str, level: float) -> tuple[tuple[str, ...], list[str], np.ndarray, np.ndarray]:
    """Levels, coefficients, effects and the half-widths of their intervals, (L, terms)."""
    from ..predictions.deviations import half_widths

    mine = [(t, g) for t, g in enumerate(fit.model.design.groups) if g.label == label]
    places = [(t, k, name) for t, g in mine for k, name in enumerate(g.names)]
    effects = np.stack([fit.estimates.effects[t][:, k] for t, k, _ in places], axis=1)
    half = np.stack([half_widths(fit, t, k, level=level) for t, k, _ in places], axis=1)
    return mine[0][1].levels, [name for _, _, name in places], effects, half


def _order(estimate: np.ndarray) -> np.ndarray:
    return np.argsort(np.nan_to_num(estimate), kind="stable")


def _panel(ax: Axes, estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray, names: list[str]) -> None:
    rows = np.arange(len(estimate))
    apart = (lower > 0.0) | (upper < 0.0)
    few = len(rows) <= MOST_NAMES
    ax.axvline(0.0, color=INK, linewidth=1.0, zorder=1)
    for clear, colour in ((False, GREY), (True, BLUE)):
        here = apart == clear
        width = 2.0 if few else 0.8
        ax.hlines(rows[here], lower[here], upper[here], color=colour, linewidth=width, alpha=0.6, zorder=2)
        ax.scatter(estimate[here], rows[here], s=26 if few else 5, color=colour, linewidth=0, zorder=3)
    if not few:
        _name_extremes(ax, estimate, lower, upper, names)


def _name_extremes(ax: Axes, estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray, names: list[str]) -> None:
    """The levels furthest below and above, written beside their intervals."""
    n = len(estimate)
    gap = n / MOST_NAMES * 1.5
    near = int(EXTREMES * gap) + 1  # rows that the names stand beside
    for rows, ends, left in ((range(EXTREMES), upper[:near], False), (range(n - EXTREMES, n), lower[-near:], True)):
        ends = ends[np.isfinite(ends)]
        if len(ends):
            x = float(ends.min() if left else ends.max())
            base.call_out(ax, [x] * EXTREMES, list(rows), [safe(names[i]) for i in rows], gap, left)


def _finding(estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> str:
    levels, apart = len(estimate), int(np.sum((lower > 0.0) | (upper < 0.0)))
    if not np.nan_to_num(estimate).any():
        return f"no variance between the {levels} levels"
    verb = "is" if apart == 1 else "are"
    return f"{apart or 'none'} of {levels} levels {verb} clearly above or below the average"


def _reading(coverage: float) -> str:
    shown = f"{100 * coverage:.4g}% intervals; blue ones leave zero out."
    return f"{shown} They are of each level by itself: differences of two levels have other intervals."


MEMBER = caterpillar
