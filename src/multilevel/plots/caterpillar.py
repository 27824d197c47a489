"""Group effects with their intervals, sorted: ``ml.plot.caterpillar(fit)``.

    b̂_ℓ ± z_{(1+level)/2} · sd(b_ℓ | y)        one row a level, one panel a coefficient

Intervals that leave zero out are blue, the others grey. They describe each level by itself: whether *two* levels
differ is another question, which overlapping intervals do not answer.
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


def caterpillar(fit: Fit, group: str | None = None, level: float | None = None) -> Figure:
    """Effects of the levels of one grouping factor, in the order of the first coefficient.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        A grouping factor; the one with the most levels otherwise.
    level : float, optional
        Coverage of the intervals; that of the fit otherwise.

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
    from ..fit.tables import check_level, group_effects

    label = base.grouping_factor(fit, group)
    coverage = fit.level if level is None else check_level(level)
    table = group_effects(fit, [label], coverage)
    terms = list(dict.fromkeys(table["term"]))
    shape = (-1, len(terms))
    levels = table["level"][:: len(terms)]
    estimate, lower, upper = (table[name].reshape(shape) for name in ("estimate", "lower", "upper"))
    order = np.argsort(np.nan_to_num(estimate[:, 0]), kind="stable")
    fig, axes = base.figure(3.4 + 2.9 * len(terms), 1.35 + base.rows_height(len(levels)), len(terms))
    for j, (ax, term) in enumerate(zip(axes, terms, strict=True)):
        _panel(ax, estimate[order, j], lower[order, j], upper[order, j])
        base.title(ax, f"{safe(term, 30)} by {safe(label)}")
    base.names_at_left(axes[0], [levels[i] for i in order], label)
    fig.supxlabel(_axis(fit, label, coverage), fontsize=9.5, color=INK)
    return fig


def _panel(ax: Axes, estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    rows = np.arange(len(estimate))
    apart = (lower > 0.0) | (upper < 0.0)
    few = len(rows) <= MOST_NAMES
    ax.axvline(0.0, color=INK, linewidth=1.0, zorder=1)
    for clear, colour in ((False, GREY), (True, BLUE)):
        here = apart == clear
        width = 2.0 if few else 0.8
        ax.hlines(rows[here], lower[here], upper[here], color=colour, linewidth=width, alpha=0.6, zorder=2)
        ax.scatter(estimate[here], rows[here], s=26 if few else 5, color=colour, linewidth=0, zorder=3)


def _axis(fit: Fit, label: str, level: float) -> str:
    response = safe(fit.model.design.response_name, 40)
    return f"effect of each {safe(label)} on {response}, with {100 * level:.3g}% interval (blue: without zero)"


MEMBER = caterpillar
