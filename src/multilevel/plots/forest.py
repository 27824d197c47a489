"""Fixed effects with their intervals: ``ml.plot.forest(fit)``.

    β̂_j ± t_{df} · se(β̂_j)        one row a coefficient, Satterthwaite's degrees of freedom

Intervals that leave zero out are blue, the others grey; `standardize` multiplies each by the sd of its column, so that
coefficients of columns in different units can share an axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, listed, nearest, printable
from . import base
from .base import BLUE, GREY, INK, MOST_NAMES, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit


def forest(
    fit: Fit,
    terms: str | Sequence[str] | None = None,
    level: float | None = None,
    standardize: bool = False,
    ax: Axes | None = None,
) -> Figure:
    """The coefficients of the fixed part, in the order of the formula.

    Parameters
    ----------
    fit : Fit
    terms : str or sequence of str, optional
        Coefficients to draw; all but the intercept otherwise (and that one when it is alone).
    level : float, optional
        Coverage of the intervals; that of the fit otherwise.
    standardize : bool
        Show the effect of one standard deviation of each column.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For unknown terms, a model without fixed effects, or a level that is no probability.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + funding + (ses | school)", ml.datasets.load("classes"))
    >>> [t.get_text() for t in ml.plot.forest(fit).axes[0].get_yticklabels()]
    ['funding', 'ses']
    """
    from ..fit.tables import check_level, fixed_effects

    coverage = fit.level if level is None else check_level(level)
    table = fixed_effects(fit, coverage)
    places = _chosen(table["term"], np.asarray(table["estimate"]), terms)[::-1]  # the first on top
    factor = _sds(fit, places) if standardize else np.ones(len(places))
    estimate, lower, upper = (np.asarray(table[name])[places] * factor for name in ("estimate", "lower", "upper"))
    names = [table["term"][j] for j in places]
    sheet = base.sheet(7.2, 0.62 + 1.25 * base.rows_height(len(names)), ax=ax)
    _draw(sheet.ax, estimate, lower, upper, len(names) <= MOST_NAMES)
    base.names_at_left(sheet.ax, names, "the fixed part")
    unit = "for one standard deviation of each" if standardize else "for one unit of each"
    base.axis_names(sheet.ax, f"change of {base.response(fit)} {unit}", sheet.ax.get_ylabel())
    return sheet.head(_finding(names, lower, upper), _reading(coverage))


def _chosen(known: list[str], estimate: np.ndarray, terms: str | Sequence[str] | None) -> list[int]:
    """Positions of the coefficients to draw."""
    if terms is None:
        present = [j for j in range(len(known)) if np.isfinite(estimate[j])]
        slopes = [j for j in present if known[j] != "Intercept"]
        if not present:
            raise SettingError("this model has no fixed effects to plot", hint="Add a predictor to the formula.")
        return slopes or present
    asked = [terms] if isinstance(terms, str) else list(terms)
    for name in asked:
        if name not in known:
            hint = nearest(str(name), known) or f"It has: {listed(known, 8)}."
            raise SettingError(f'"{printable(name)}" is no fixed effect of this model', hint=hint)
    if not asked:
        raise SettingError("terms names no coefficient", hint="Leave it out for all of them.")
    return [known.index(name) for name in asked]


def _sds(fit: Fit, places: list[int]) -> np.ndarray:
    columns = [fit.model.design.fixed_columns[j] for j in places]
    return np.array([1.0 if column is None else float(np.std(column)) for column in columns])


def _draw(ax: Axes, estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray, few: bool) -> None:
    rows = np.arange(len(estimate))
    apart = (lower > 0.0) | (upper < 0.0)
    colours = np.where(apart, BLUE, GREY)
    ax.axvline(0.0, color=INK, linewidth=1.0, zorder=1)
    ax.hlines(rows, lower, upper, color=colours, linewidth=2.4 if few else 0.8, alpha=0.6, zorder=2)
    ax.scatter(estimate, rows, s=42 if few else 6, c=colours, linewidth=0, zorder=3)
    if not few:
        return
    for y, value, low, high in zip(rows, estimate, lower, upper, strict=True):
        text = base.number(float(value))
        text += f"  ({base.between(float(low), float(high))})" if np.isfinite(low) and np.isfinite(high) else ""
        ax.annotate(text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                    va="center", fontsize=8.5, color=INK)  # fmt: skip


def _finding(names: list[str], lower: np.ndarray, upper: np.ndarray) -> str:
    apart = (lower > 0.0) | (upper < 0.0)
    if len(names) == 1:
        verb = "is clearly not zero" if apart[0] else "may well be zero"
        return f"{safe(names[0], 40)} {verb}: {base.between(float(lower[0]), float(upper[0]))}"
    if apart.all():
        return f"{'Both' if len(names) == 2 else f'All {len(names)}'} coefficients are clearly not zero"
    n = int(apart.sum())
    return f"{n or 'None'} of {len(names)} coefficients {'is' if n == 1 else 'are'} clearly not zero"


def _reading(coverage: float) -> str:
    return f"{100 * coverage:.4g}% intervals with Satterthwaite's degrees of freedom; blue ones leave zero out."


MEMBER = forest
