"""What a new group will look like: ``ml.plot.new_group(fit)``.

    mean of a new group      x'β̂,  variance  x'Cov(β̂)x + z'Σ̂z  and that of the variance components
    one observation in it    σ̂² more

At the average of all predictors, or at a row that is given. The ticks are the groups that are known, at the same
predictors: the density should look like what they were drawn from. Of generalized models the density is that of the
linear predictor, moved to the scale of the response (ordered categories stay on their own).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

POINTS = 241


@dataclass(frozen=True)
class Outlook:
    """A t distribution: centre, scale, degrees of freedom, and its interval."""

    centre: float
    error: float
    df: float
    lower: float
    upper: float


def new_group(
    fit: Fit, group: str | None = None, new_data: Any = None, level: float | None = None, ax: Axes | None = None
) -> Figure:
    """Predictive densities of the mean of a new group, and of one observation in it.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor whose levels are the ticks; the one with the most levels otherwise. The new group is new in
        every factor.
    new_data : table, optional
        One row with the predictors; the average of each column otherwise.
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
        For an unknown group, a model without any, an estimator that does not describe new groups, several rows, or a
        level that is no probability.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> ml.plot.new_group(fit).axes[0].get_xlabel()
    'score'
    """
    from ..fit.tables import check_level

    base.one_location(fit, "a new group")
    label = base.grouping_factor(fit, group)
    coverage = fit.level if level is None else check_level(level)
    mean, row, known = predicted(fit, label, new_data, coverage)
    if not np.isfinite(mean.error):
        message = f'the estimator "{fit.estimator.name}" does not say how new groups vary'
        raise SettingError(message, hint='Fit with "reml".')
    sheet = base.sheet(7.2, 3.3, ax=ax)
    moved = _moved(fit)
    _draw(sheet.ax, mean, row, moved)
    _ticks(sheet.ax, fit, label, moved(known))
    base.axis_names(sheet.ax, _measured(fit))
    where = "at the average of all predictors" if new_data is None else "at the predictors given"
    fixed = "" if len(fit.model.design.fixed_columns) < 2 and new_data is None else f" {where}"
    note = f"Filled: {100 * coverage:.4g}% intervals. Ticks: the {fit.model.groups[label]} known levels{fixed}."
    return sheet.head(_finding(mean, label, coverage, moved), note)


Function = Callable[[np.ndarray], np.ndarray]


def _moved(fit: Fit) -> Function:
    """From the linear predictor to the scale that is drawn, other predictors at their averages."""
    if fit.model.is_linear or fit.model.distribution.family.ordered:
        return np.asarray
    from ..predictions.linear import linear_predictors
    from ..predictions.typical import typical_observations

    others = linear_predictors(fit, groups=False)[:, 1:].mean(axis=0)

    def mean(eta: np.ndarray) -> np.ndarray:
        full = np.column_stack([eta, np.tile(others, (len(eta), 1))])
        with np.errstate(all="ignore"):
            return np.asarray(fit.model.distribution.mean(typical_observations(fit, len(eta)), full))

    return mean


def _measured(fit: Fit) -> str:
    if fit.model.is_linear:
        return base.response(fit)
    if fit.model.distribution.family.ordered:
        return f"linear predictor of {base.response(fit)}"
    words = base.measured(fit)
    return words if words != base.response(fit) else f"mean of {words}"


def predicted(fit: Fit, label: str, new_data: Any, level: float) -> tuple[Outlook, Outlook | None, np.ndarray]:
    """The mean of a new group, an observation in it (None without residual variance), and the known groups' means."""
    from ..fit.estimates import Combination
    from ..predictions.targets import NEW, matrix

    rows, z = _row(fit, new_data)
    design = fit.model.design
    if not fit.model.is_linear:
        return _generalized(fit, label, rows, z, level)
    x = matrix(rows.fixed_columns, 1)
    combination = Combination(x, tuple(np.full(1, NEW, np.int32) for _ in design.groups), z)
    centre = _centre(fit, rows, combination)
    with np.errstate(invalid="ignore"):
        spread = fit.estimates.certainty.spread(combination, True)
    mean = _outlook(centre, spread.variance, spread.df, level)
    known = np.full(fit.model.groups[label], centre)
    for group, effects, row in zip(design.groups, fit.estimates.effects, z, strict=True):
        if group.label == label:
            known = known + effects @ row[0]
    if fit.sigma is None:
        return mean, None, known
    from ..predictions.targets import _with_residual

    return mean, _outlook(centre, *_with_residual(fit, rows, spread.variance, spread.df), level), known


def _generalized(
    fit: Fit, label: str, rows: Any, z: tuple[np.ndarray, ...], level: float
) -> tuple[Outlook, None, np.ndarray]:
    """The linear predictor of a new group, with its interval, and those of the known groups."""
    from ..predictions.linear import linear_predictors
    from ..predictions.typical import typical
    from ..predictions.uncertain import OUT

    groups = tuple(
        replace(g, columns=tuple(part.T.copy()), codes=np.full(1, OUT, np.int32))
        for g, part in zip(fit.model.design.groups, z, strict=True)
    )
    rows = replace(rows, groups=groups)
    found = typical(fit, rows, "new_group", "linear", level)
    centre, error, low, high = (float(found[name][0]) for name in ("estimate", "std_error", "lower", "upper"))
    known = np.full(fit.model.groups[label], float(linear_predictors(fit, rows, groups=False)[0, 0]))
    for group, effects, part in zip(fit.model.design.groups, fit.estimates.effects, z, strict=True):
        if group.label == label and group.predictor == 0:
            known = known + effects @ part[0]
    return Outlook(centre, error, np.inf, low, high), None, known


def _row(fit: Fit, new_data: Any) -> tuple[Any, tuple[np.ndarray, ...]]:
    """One row of columns, and of the coefficients of every group term: given, or the average."""
    from ..data.tables import as_table
    from ..formula.rebuild import coefficient_columns
    from ..formula.records import Rows
    from ..predictions.targets import matrix

    design = fit.model.design
    if new_data is not None:
        table = as_table(new_data)
        if table.n_rows != 1:
            raise SettingError(f"new_data has {table.n_rows} rows", hint="Give the one row of predictors to show.")
        rows = design.rebuild(table, groups=False)
        return rows, tuple(matrix(c, 1) for c in coefficient_columns(design.memory, table))

    def average(columns: Any) -> tuple[np.ndarray | None, ...]:
        return tuple(None if c is None else np.array([float(np.mean(c))]) for c in columns)

    offset = None if design.offset is None else np.array([float(np.mean(design.offset))])
    weights = None if design.weights is None else np.array([float(np.median(design.weights))])
    rows = Rows(1, average(design.fixed_columns), (), offset, weights)
    return rows, tuple(matrix(average(g.columns), 1) for g in design.groups)


def _centre(fit: Fit, rows: Any, combination: Any) -> float:
    from ..predictions.targets import _estimate

    return float(_estimate(fit, rows, combination)[0])


def _outlook(centre: float, variance: np.ndarray, df: np.ndarray, level: float) -> Outlook:
    from ..fit.tables import quantile

    error, freedom = float(np.sqrt(variance[0])), float(df[0]) if np.isfinite(df[0]) else np.inf
    half = float(quantile(np.array([freedom]), level)[0]) * error
    return Outlook(centre, error, freedom, centre - half, centre + half)


def _draw(ax: Axes, mean: Outlook, row: Outlook | None, moved: Function) -> None:
    """Densities over one axis, the wider one behind; each with its words at its height."""
    shown = [(o, c, w) for o, c, w in ((row, GREY, "one observation in it"), (mean, BLUE, "mean of a new group")) if o]
    peaks = []
    for outlook, colour, words in shown:
        if not outlook.error > 0.0 or not np.isfinite(outlook.error):
            continue
        t = np.linspace(-3.6, 3.6, POINTS)
        eta = outlook.centre + outlook.error * t
        height = base.student_density(t, outlook.df) / outlook.error
        inside = (eta >= outlook.lower) & (eta <= outlook.upper)
        x, ends = moved(eta), moved(np.array([outlook.lower, outlook.upper]))
        height = height / np.maximum(np.abs(np.gradient(x, eta)), 1e-12)
        peaks.append(float(height.max()))
        ax.fill_between(x, 0.0, height, where=inside, color=colour, alpha=0.3, linewidth=0)
        ax.plot(x, height, color=colour, linewidth=1.8)
        at = int(np.argmin(np.abs(t - (0.85 if colour == BLUE else 1.35))))
        ax.annotate(
            f"{words}\n{base.between(float(ends.min()), float(ends.max()))}", (x[at], height[at]), xytext=(9, 3),
            textcoords="offset points", fontsize=9, color=BLUE if colour == BLUE else INK, va="bottom",
        )  # fmt: skip
    ax.set_yticks([])
    top = max(peaks, default=1.0)
    ax.set_ylim(-0.16 * top, 1.08 * top)
    ax.axhline(0.0, color=GREY, linewidth=0.8)


def _ticks(ax: Axes, fit: Fit, label: str, known: np.ndarray) -> None:
    """The known groups below the axis; the lowest and the highest by name."""
    bottom = ax.get_ylim()[0]
    known = np.where(np.isfinite(known), known, np.nan)
    shown = base.thinned(len(known), most=600)
    ax.vlines(known[shown], 0.85 * bottom, 0.35 * bottom, color=INK, linewidth=1.0 if len(known) < 100 else 0.5)
    if not np.isfinite(known).any() or np.nanmax(known) == np.nanmin(known):
        return
    levels = next(g.levels for g in fit.model.design.groups if g.label == label)
    for i, left in ((int(np.nanargmin(known)), True), (int(np.nanargmax(known)), False)):
        ax.annotate(
            safe(levels[i]), (known[i], 0.6 * bottom), xytext=(-5 if left else 5, 0), textcoords="offset points",
            ha="right" if left else "left", va="center", fontsize=8.5, color=INK,
        )  # fmt: skip


def _finding(mean: Outlook, label: str, level: float, moved: Function) -> str:
    what = f"The mean of a new {safe(label)} is expected"
    low, high = sorted(float(v) for v in moved(np.array([mean.lower, mean.upper])))
    return f"{what} between {base.between(low, high, 'and')} ({100 * level:.4g}%)"


MEMBER = new_group
