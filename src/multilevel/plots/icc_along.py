"""The intraclass correlation along a predictor whose slope varies: ``ml.plot.icc_along(fit)``.

    ICC_g(x) = z(x)'Σ_g z(x) / (Σ_h z(x)'Σ_h z(x) + v_ε)

With varying slopes groups differ more at some places of the predictor than at others. The ticks below are the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit


def icc_along(
    fit: Fit,
    term: str | None = None,
    values: Sequence[float] | None = None,
    group: str | None = None,
    ax: Axes | None = None,
) -> Figure:
    """How much of the variance lies between groups, along a slope's predictor.

    Parameters
    ----------
    fit : Fit
    term : str, optional
        A slope that varies by group; the first one otherwise.
    values : sequence of float, optional
        Where to look; over the predictor's range otherwise.
    group : str, optional
        The grouping factor; the first that has the slope otherwise.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        When no slope (of that name) varies by group: the ICC is then one number, see ``ml.plot.variance_shares``.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    >>> ml.plot.icc_along(fit).axes[0].get_xlabel()
    'ses'
    """
    from ..variance.along import icc_along as along

    label, name, column = _slope(fit, term, group)
    table = along(fit, name, values, label)
    x, icc, lower, upper = (np.asarray(table[key], dtype=float) for key in ("value", "icc", "lower", "upper"))
    sheet = base.sheet(6.4, 3.3, ax=ax)
    base.quiet(sheet.ax, "y")
    if np.isfinite(lower).any():
        sheet.ax.fill_between(x, lower, upper, color=BLUE, alpha=0.15, linewidth=0)
    sheet.ax.plot(x, icc, color=BLUE, linewidth=2.2)
    ticks = column[base.thinned(len(column), most=400)]
    sheet.ax.plot(ticks, np.zeros(len(ticks)), "|", color=GREY, markersize=7, markeredgewidth=0.6, alpha=0.6)
    top = min(1.0, 1.15 * max(float(np.nanmax(np.append(upper, icc), initial=0.0)), 0.05))
    sheet.ax.set_ylim(0.0, top)
    _name_extremes(sheet.ax, x, icc, top)
    sheet.ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.3g}%")
    base.axis_names(sheet.ax, safe(name, 40), f"share between levels of {safe(label)}")
    band = f"Band: {100 * fit.level:.4g}% interval at each value. " if np.isfinite(lower).any() else ""
    return sheet.head(_finding(icc, label, name), f"{band}Ticks: the rows. Other columns at their means.")


def _slope(fit: Fit, term: str | None, group: str | None) -> tuple[str, str, np.ndarray]:
    """Group, name and column of the slope that is asked for."""
    from ..errors import listed, nearest, printable

    if group is not None or not fit.model.groups:
        base.grouping_factor(fit, group)
    found = [
        (g.label, name, column)
        for g in fit.model.design.groups
        for name, column in zip(g.names, g.columns, strict=True)
        if column is not None and group in (None, g.label)
    ]
    if not found:
        hint = "With intercepts alone the ICC is one number: see ml.plot.variance_shares."
        raise SettingError("no slope varies by group in this model", hint=hint)
    chosen = [entry for entry in found if term in (None, entry[1])]
    if not chosen:
        names = [name for _, name, _ in found]
        hint = nearest(str(term), names) or f"It has: {listed(names)}."
        raise SettingError(f'no slope "{printable(term)}" varies by group in this model', hint=hint)
    return chosen[0]


def _name_extremes(ax: Axes, x: np.ndarray, icc: np.ndarray, top: float) -> None:
    """The lowest and the highest value, written at the curve."""
    if not np.isfinite(icc).any():
        return
    for i, above in {int(np.nanargmax(icc)): True, int(np.nanargmin(icc)): bool(np.nanmin(icc) < 0.1 * top)}.items():
        ax.plot(x[i], icc[i], "o", color=BLUE, markersize=6)
        side = "left" if x[i] < x.mean() else "right"
        ax.annotate(
            base.percent(float(icc[i])), (x[i], icc[i]), xytext=(0, 8 if above else -8), textcoords="offset points",
            ha=side, va="bottom" if above else "top", fontsize=9, color=INK,
        )  # fmt: skip


def _finding(icc: np.ndarray, label: str, name: str) -> str:
    known = icc[np.isfinite(icc)]
    if not len(known) or known.max() <= 0.0:
        return f"No variance lies between levels of {safe(label)}, wherever {safe(name)} is"
    first, last, low = float(known[0]), float(known[-1]), float(known.min())
    where = f"the share between levels of {safe(label)}"
    if known.max() - low < 0.01:
        return f"{where[0].upper()}{where[1:]} stays at {base.percent(float(known.mean()))} along {safe(name)}"
    if low < min(first, last) - 0.02:
        return f"Along {safe(name)} {where} falls from {base.percent(first)} to {base.percent(low)} and rises again"
    verb = "rises" if last > first else "falls"
    return f"Along {safe(name)} {where} {verb} from {base.percent(first)} to {base.percent(last)}"


MEMBER = icc_along
