"""Fixed effects with their intervals: ``ml.plot.forest(fit)``.

    β̂_j ± t_{df} · se(β̂_j)        one row a coefficient, Satterthwaite's degrees of freedom

Intervals that leave zero out are blue, the others grey; `standardize` multiplies each by the sd of its column, so that
coefficients of columns in different units can share an axis. With a log or logit link `exponentiate` shows e^β: ratios
of rates or odds, on a logarithmic axis. Infinite coefficients are triangles at the edge.
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

MOST_TICKS = 8  # of a logarithmic axis


def forest(
    fit: Fit,
    terms: str | Sequence[str] | None = None,
    level: float | None = None,
    standardize: bool = False,
    exponentiate: bool = False,
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
    exponentiate : bool
        Show odds ratios (logit), ratios of means (log) or hazards (cloglog) in place of coefficients.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For unknown terms, a model without fixed effects, a level that is no probability, or ratios under another link.

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
    ratio = _ratio(fit, places) if exponentiate else ""
    sheet = base.sheet(7.2, 0.62 + 1.25 * base.rows_height(len(names)), ax=ax)
    _draw(sheet.ax, estimate, lower, upper, len(names) <= MOST_NAMES, bool(ratio))
    base.names_at_left(sheet.ax, names, "the fixed part")
    unit = "for one standard deviation of each" if standardize else "for one unit of each"
    what = f"{ratio} of {base.response(fit)}" if ratio else f"change of {base.on_scale(fit)}"
    base.axis_names(sheet.ax, f"{what} {unit}", sheet.ax.get_ylabel())
    return sheet.head(_finding(names, lower, upper, estimate, bool(ratio)), _reading(fit, coverage, bool(ratio)))


def _ratio(fit: Fit, places: list[int]) -> str:
    """What e^β is, for these coefficients.

    Raises
    ------
    SettingError
        Where their links differ or do not multiply.
    """
    design, links = fit.model.design, fit.model.distribution.links
    owner = design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)
    used = sorted({links[int(owner[j])] for j in places})
    if len(used) > 1 or used[0] not in base.RATIOS or fit.model.is_linear:
        raise SettingError(
            f"exponentiate is for log and logit links, and these coefficients have {listed(used)}",
            hint="Leave it out, or choose coefficients of one predictor with terms=….",
        )
    return base.RATIOS[used[0]]


def _chosen(known: list[str], estimate: np.ndarray, terms: str | Sequence[str] | None) -> list[int]:
    """Positions of the coefficients to draw."""
    if terms is None:
        present = [j for j in range(len(known)) if not np.isnan(estimate[j])]
        slopes = [j for j in present if not _intercept(known[j])]
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


def _intercept(name: str) -> bool:
    """Also that of a further predictor, and a threshold."""
    return name == "Intercept" or name.endswith("_Intercept") or name.startswith("Intercept[")


def _sds(fit: Fit, places: list[int]) -> np.ndarray:
    columns = [fit.model.design.fixed_columns[j] for j in places]
    return np.array([1.0 if column is None else float(np.std(column)) for column in columns])


def _draw(ax: Axes, estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray, few: bool, ratio: bool) -> None:
    rows = np.arange(len(estimate))
    apart = _apart(estimate, lower, upper)
    colours = np.where(apart, BLUE, GREY)
    with np.errstate(over="ignore"):
        shown = [np.exp(v) if ratio else v for v in (estimate, lower, upper)]
    if ratio:
        ax.set_xscale("log")
    ax.axvline(1.0 if ratio else 0.0, color=INK, linewidth=1.0, zorder=1)
    known = np.isfinite(estimate)
    drawn = known & np.isfinite(lower) & np.isfinite(upper)
    ax.hlines(rows[drawn], shown[1][drawn], shown[2][drawn], color=colours[drawn], linewidth=2.4 if few else 0.8,
              alpha=0.6, zorder=2)  # fmt: skip
    ax.scatter(shown[0][known], rows[known], s=42 if few else 6, c=colours[known], linewidth=0, zorder=3)
    base.beyond(ax, rows, estimate)
    if ratio:
        _ticks(ax)
    if not few:
        return
    for y, value, low, high in zip(rows, *shown, strict=True):
        text = base.number(float(value)) if np.isfinite(value) and (value or not ratio) else "infinite"
        text += f"  ({base.between(float(low), float(high))})" if np.isfinite(low) and np.isfinite(high) else ""
        ax.annotate(text, (1.0, y), xycoords=("axes fraction", "data"), xytext=(6, 0), textcoords="offset points",
                    va="center", fontsize=8.5, color=INK)  # fmt: skip


def _ticks(ax: Axes) -> None:
    """Round ratios, as many as there is room for."""
    low, high = ax.get_xlim()
    decades = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    for steps in ((1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0), (1.0, 1.5, 2.0, 3.0, 5.0), (1.0, 2.0, 5.0), (1.0,)):
        found = [step * 10.0**k for k in decades for step in steps if low <= step * 10.0**k <= high]
        if len(found) <= MOST_TICKS:
            break
    ax.set_xticks(found, [f"{v:.3g}" for v in found])
    ax.set_xticks([], minor=True)


def _apart(estimate: np.ndarray, lower: np.ndarray, upper: np.ndarray) -> np.ndarray:
    return np.asarray((lower > 0.0) | (upper < 0.0))


def _finding(names: list[str], lower: np.ndarray, upper: np.ndarray, estimate: np.ndarray, ratio: bool) -> str:
    apart = _apart(estimate, lower, upper)
    infinite = int(np.isinf(estimate).sum())
    if infinite:
        verb = "is" if infinite == 1 else "are"
        return f"{infinite} of {base.counted(len(names), 'coefficient')} {verb} infinite: separation"
    if len(names) == 1:
        verb = "is clearly not zero" if apart[0] else "may well be zero"
        ends = np.exp([lower[0], upper[0]]) if ratio else [lower[0], upper[0]]
        verb = verb.replace("zero", "one") if ratio else verb
        return f"{safe(names[0], 40)} {verb}: {base.between(float(ends[0]), float(ends[1]))}"
    none = "one" if ratio else "zero"
    what = "ratios" if ratio else "coefficients"
    if apart.all():
        return f"{'Both' if len(names) == 2 else f'All {len(names)}'} {what} are clearly not {none}"
    n = int(apart.sum())
    return f"{n or 'None'} of {len(names)} {what} {'is' if n == 1 else 'are'} clearly not {none}"


def _reading(fit: Fit, coverage: float, ratio: bool) -> str:
    how = "with Satterthwaite's degrees of freedom" if fit.model.is_linear else "from the observed information"
    return f"{100 * coverage:.4g}% intervals {how}; blue ones leave {'one' if ratio else 'zero'} out."


MEMBER = forest
