"""Where the variance sits: the share of every grouping factor and of the rows, ``ml.plot.variance_shares(fit)``.

    share_g = v_g / (Σ_h v_h + v_ε),    v_g = mean over rows of z'Σ_g z

One bar a level of the hierarchy, with its interval. Shares add up to one; intervals are of each share by itself. Of
generalized models they are on the scale of the link, where a row has its family's own variance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import base
from .base import BLUE, GREY, INK, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit


def variance_shares(fit: Fit, level: float | None = None, ax: Axes | None = None) -> Figure:
    """The share of the variance at each level, with intervals.

    Parameters
    ----------
    fit : Fit
    level : float, optional
        Coverage of the intervals; that of the fit otherwise.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a model without grouping factors, or a level that is no probability.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [t.get_text() for t in ml.plot.variance_shares(fit).axes[0].get_yticklabels()]
    ['school', 'within all groups']
    """
    from ..fit.tables import check_level
    from ..glossary import RESIDUAL
    from ..variance.shares import shares

    base.grouping_factor(fit, None)
    coverage = fit.level if level is None else check_level(level)
    table = shares(fit, coverage)
    names, share = list(table["component"]), np.asarray(table["share"], dtype=float)
    sheet = base.sheet(7.2, 0.62 + 0.42 * len(names), ax=ax)
    rows = np.arange(len(names))[::-1]
    colours = [GREY if name == RESIDUAL else BLUE for name in names]
    sheet.ax.barh(rows, np.nan_to_num(share), height=0.58, color=colours, alpha=0.8, linewidth=0)
    _intervals(sheet.ax, rows, share, np.asarray(table["lower"]), np.asarray(table["upper"]))
    words = ["within all groups" if name == RESIDUAL else safe(name) for name in names]
    sheet.ax.set_yticks(rows, words, color=INK, fontsize=9.5)
    sheet.ax.set_xlim(0.0, 1.3)
    sheet.ax.set_xticks(np.linspace(0.0, 1.0, 6), [f"{k}%" for k in range(0, 101, 20)])
    sheet.ax.set_ylim(-0.6, len(names) - 0.4)
    base.axis_names(sheet.ax, f"share of the variance of {base.on_scale(fit)}")
    return sheet.head(_finding(names, share), f"Lines: {100 * coverage:.4g}% intervals, of each share by itself.")


def _intervals(ax: Axes, rows: np.ndarray, share: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> None:
    """Whiskers, and the numbers beyond them."""
    for y, value, low, high in zip(rows, share, lower, upper, strict=True):
        known = np.isfinite(low) and np.isfinite(high)
        if known:
            ax.plot([low, high], [y, y], color=INK, linewidth=1.4, solid_capstyle="butt")
        text = base.percent(float(value))
        text += f"  ({100 * low:.0f} to {100 * high:.0f}%)" if known else ""
        end = max([v for v in (value, high) if np.isfinite(v)], default=0.0)
        ax.text(float(end) + 0.015, y, text, va="center", fontsize=9, color=INK)


def _finding(names: list[str], share: np.ndarray) -> str:
    """The largest share between groups."""
    groups = share[:-1]
    if not np.isfinite(groups).any():
        return "There is no variance to share"
    largest = int(np.nanargmax(groups))
    if groups[largest] <= 0.0:
        return "None of the variance lies between groups"
    return f"{base.percent(float(groups[largest]))} of the variance lies between levels of {safe(names[largest], 40)}"


MEMBER = variance_shares
