"""Autocorrelation of residuals within groups: ``ml.plot.acf(fit)``.

    r_k = mean over pairs of rows k apart in one group of s_i s_j / mean s²

The band is where independent errors would put r_k; it is not around zero, since taking out each group's mean makes
residuals of short series negatively correlated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.autocorrelation import Autocorrelation
    from ..fit.fit import Fit


def acf(
    fit: Fit,
    group: str | None = None,
    order: str | None = None,
    lags: int = 10,
    *,
    data: Any = None,
    seed: int = 0,
    ax: Axes | None = None,
) -> Figure:
    """Autocorrelations of the residuals at lags 1, 2, …, with what independence would give.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor whose levels are series; the one with the most levels otherwise.
    order : str, optional
        A column that orders the rows of a group, such as a time; row order otherwise.
    lags : int
        Largest lag; fewer when groups are short.
    data : table, optional
        Holds `order` when it is no column of the model.
    seed : int
        Of the replicates behind the band.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown grouping factor or column, or when groups are too short for any lag.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> ml.plot.acf(fit, lags=5).axes[0].get_xlabel()
    'lag: rows apart within school'
    """
    from ..checks.autocorrelation import acf as autocorrelation

    label = base.grouping_factor(fit, group)
    found = autocorrelation(fit, label, order, lags, data=data, seed=seed)
    lower, upper = found.bounds
    outside = (found.correlation < lower) | (found.correlation > upper)
    colours = np.where(outside, ORANGE, BLUE)
    sheet = base.sheet(6.4, 2.9, ax=ax)
    base.quiet(sheet.ax, "y")
    for lag, low, high in zip(found.lag, lower, upper, strict=True):
        sheet.ax.fill_between([lag - 0.32, lag + 0.32], low, high, color=GREY, alpha=0.22, linewidth=0)
    sheet.ax.axhline(0.0, color=INK, linewidth=0.8)
    sheet.ax.vlines(found.lag, 0.0, found.correlation, color=colours, linewidth=2.0)
    sheet.ax.scatter(found.lag, found.correlation, c=colours, s=34, linewidth=0, zorder=3)
    sheet.ax.set_xlim(0.4, float(found.lag[-1]) + 0.6)
    most = float(np.max(np.abs(np.concatenate([found.correlation, lower, upper]))))
    sheet.ax.set_ylim(-1.15 * most, 1.15 * most)
    sheet.ax.set_xticks(found.lag)
    along = f"along {safe(order)}" if order is not None else "rows apart"
    base.axis_names(sheet.ax, f"lag: {along} within {safe(label)}", "autocorrelation of residuals")
    return sheet.head(_finding(found), "Grey: 95% range of each lag if errors were independent.")


def _finding(found: Autocorrelation) -> str:
    """Whether the clearest lag is one too many for independent errors, of all lags together (Holm)."""
    from ..checks.base import holm

    inside = f"within levels of {safe(found.group)}"
    adjusted = holm(found.p_values)
    k = int(np.argmin(adjusted))
    if adjusted[k] > 0.05:
        return f"No clear autocorrelation {inside}"
    values = f"{base.number(float(found.correlation[k]), 2)} ({base.number(float(found.expected[k]), 2)} expected)"
    return f"Rows {inside} are not independent: at lag {found.lag[k]} they correlate {values}"


MEMBER = acf
