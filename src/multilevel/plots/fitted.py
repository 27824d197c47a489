"""Fitted lines of the groups along one predictor, and the population's: ``ml.plot.fitted(fit)``.

    group ℓ       ŷ(x) = mean of its rows' fitted values, moved along x:  x'β̂ + z'b̂_ℓ
    population    x'β̂ with everything else at its average

Other predictors stay at each group's average, so that a line runs through the middle of its group's rows. Where `x`
interacts with one of them, its slope is that at the other's overall mean, or at the first level of a factor. Sixteen
groups or fewer get a panel each.

Lines of generalized models are drawn on the scale of the response (curves, then: the mean at these linear predictors),
others of its predictors at each level's average. Yes or no, and categories, are drawn with a little jitter; of ordered
categories the line is the mean of their numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MultilevelError, SettingError, listed, nearest, printable
from . import base
from .base import BLUE, GREY, INK, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

GRID = 61
FACETS = 16  # groups that get a panel each
MOST_FACETS = 64  # when asked for
COLUMNS = 4
EXTREMES = 2  # lines named at either end of a single panel


@dataclass(frozen=True)
class Lines:
    """Fitted lines over a grid of one predictor.

    Attributes
    ----------
    x, y, codes : (n,) the rows
    grid : (m,)
    population : (m,), or None where the estimator has no population
    groups : (L, m), NaN for levels without an estimate
    low, high : (L,) the predictor's range within each level
    straight : (L, m) the same on the link's scale, whose name is `scale`
    labels : names of the categories on the y axis, () for numbers
    jitter : how far points of few values are moved to be seen
    """

    name: str
    label: str
    levels: tuple[str, ...]
    x: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    grid: np.ndarray
    population: np.ndarray | None
    groups: np.ndarray
    low: np.ndarray
    high: np.ndarray
    straight: np.ndarray | None = None
    scale: str = ""
    labels: tuple[str, ...] = ()
    jitter: float = 0.0


def fitted(
    fit: Fit,
    x: str | None = None,
    group: str | None = None,
    facets: bool | None = None,
    data: Any = None,
    ax: Axes | None = None,
) -> Figure:
    """Each group's fitted line over one predictor, its rows, and the population's line.

    Parameters
    ----------
    fit : Fit
    x : str, optional
        A numeric predictor; the first whose slope varies by group otherwise, or the first of the fixed part.
    group : str, optional
        A grouping factor; the one with the most slopes, and of those the one with the fewest levels otherwise.
    facets : bool, optional
        A panel for each level (true for 16 or fewer), or all lines in one.
    data : table, optional
        The data of the fit, when the formula holds `x` only inside a function such as ``poly(x, 2)``.
    ax : matplotlib Axes, optional
        Where to draw all lines in one panel; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group or predictor, a model without numeric predictors, or too many levels for panels.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    >>> len(ml.plot.fitted(fit).axes), len(ml.plot.fitted(fit, facets=False).axes)
    (16, 1)
    """
    base.one_location(fit, "fitted lines")
    lines = fitted_lines(fit, x, group, vars(fit.model).get("table") if data is None else data)
    each = len(lines.levels) <= FACETS if facets is None else facets
    if each and len(lines.levels) > MOST_FACETS:
        raise SettingError(f"{len(lines.levels)} levels are too many for a panel each", hint="Use facets=False.")
    if each and ax is None:
        return _facets(fit, lines)
    sheet = base.sheet(7.2, 4.4, ax=ax)
    base.quiet(sheet.ax, "both")
    _together(sheet.ax, lines)
    _categories(sheet.ax, lines)
    base.axis_names(sheet.ax, safe(lines.name, 40), _vertical(fit))
    return sheet.head(_finding(lines), "Blue: fitted line of each level over its own range; points: the rows.")


# --- numbers -----------------------------------------------------------------------------------------------------
def fitted_lines(fit: Fit, x: str | None = None, group: str | None = None, data: Any = None) -> Lines:
    """The lines that the plot shows."""
    label = _label(fit, group)
    name = _predictor(fit, label, x)
    values = _column(fit, name, data)
    design = fit.model.design
    first = next(g for g in design.groups if g.label == label)
    grid = np.linspace(float(values.min()), float(values.max()), GRID)
    others = _others(fit, name, data)
    fixed, z = _moved(fit, label, {**others, name: values})
    on_grid, z_grid = _moved(fit, label, {**others, name: grid})
    own = [effects for g, effects in zip(design.groups, fit.estimates.effects, strict=True) if g.label == label]
    own = [b for b, part in zip(own, z, strict=True) if part is not None]
    at_z, at_grid = ([part for part in parts if part is not None] for parts in (z, z_grid))
    at_rows = fixed + sum(np.einsum("nk,nk->n", part, b[first.codes]) for part, b in zip(at_z, own, strict=True))
    eta = _eta(fit)
    count = np.bincount(first.codes, minlength=len(first.levels))

    def averaged(values: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.bincount(first.codes, weights=values, minlength=len(first.levels)) / count

    groups = averaged(eta[:, 0] - at_rows)[:, None] + on_grid + sum(b @ p.T for p, b in zip(at_grid, own, strict=True))
    rest = np.stack([averaged(eta[:, d]) for d in range(1, eta.shape[1])], axis=1) if eta.shape[1] > 1 else None
    population = _population(fit, fixed, on_grid)
    low, high = np.full(len(first.levels), np.inf), np.full(len(first.levels), -np.inf)
    np.minimum.at(low, first.codes, values)
    np.maximum.at(high, first.codes, values)
    shown = _shown(fit)
    return Lines(
        name, label, first.levels, values, shown[0], first.codes, grid,
        None if population is None else _mean(fit, population, eta[:, 1:].mean(axis=0)),
        np.stack([_mean(fit, row, rest[i] if rest is not None else None) for i, row in enumerate(groups)]),
        low, high, groups, base.scale(fit), *shown[1:],
    )  # fmt: skip


def _eta(fit: Fit) -> np.ndarray:
    """Linear predictors of the rows; of linear models the fitted values."""
    from ..predictions.linear import linear_predictors

    return fit.fitted_values[:, None] if fit.model.is_linear else linear_predictors(fit)


def _mean(fit: Fit, eta: np.ndarray, others: np.ndarray | None) -> np.ndarray:
    """The response's mean along a grid of the location's linear predictor."""
    if fit.model.is_linear:
        return eta
    from ..predictions.typical import typical_observations

    full = np.column_stack([eta, *(np.full(len(eta), v) for v in (() if others is None else others))])
    with np.errstate(all="ignore"):
        mean = fit.model.distribution.mean(typical_observations(fit, len(eta)), full)
    return mean if mean.ndim == 1 else np.asarray(mean @ np.arange(mean.shape[1]))


def _shown(fit: Fit) -> tuple[np.ndarray, tuple[str, ...], float]:
    """The response as it is drawn, labels of categories, and how far points are moved."""
    y = fit.model.design.response
    if fit.model.is_linear or not fit.model.distribution.family.discrete:
        return y, (), 0.0
    ordered = fit.model.distribution.family.ordered
    few = len(np.unique(y[:2000])) <= 12
    return y, fit.model.observations.levels if ordered else (), (0.12 if ordered else 0.04) if few else 0.0


def _vertical(fit: Fit) -> str:
    ordered = not fit.model.is_linear and fit.model.distribution.family.ordered
    return base.response(fit) if ordered else base.measured(fit)


def _population(fit: Fit, at_rows: np.ndarray, on_grid: np.ndarray) -> np.ndarray | None:
    if fit.estimator.name in ("none", "within"):
        return None
    kind = "mean" if fit.model.is_linear else "linear"
    try:
        reference = np.asarray(fit.predict(target="reference", kind=kind, interval=None)["estimate"], dtype=float)
    except MultilevelError:  # no fixed part to speak of
        return None
    return np.asarray(on_grid + float(np.mean(reference - at_rows)))


def _label(fit: Fit, group: str | None) -> str:
    if group is not None or not fit.model.groups:
        return base.grouping_factor(fit, group)
    slopes = {label: 0 for label in fit.model.groups}
    for g in fit.model.design.groups:
        slopes[g.label] += sum(column is not None for column in g.columns)
    return min(slopes, key=lambda label: (-slopes[label], fit.model.groups[label]))


def _predictor(fit: Fit, label: str, x: str | None) -> str:
    """The predictor asked for, or the first numeric one of the group's slopes and then of the fixed part."""
    known = list(dict.fromkeys(_numeric(fit, label)))
    if not known:
        raise SettingError("this model has no numeric predictor to draw lines along", hint="See ml.plot.shrinkage.")
    if x is None:
        return known[0]
    if x not in known:
        hint = nearest(str(x), known) or f"It has: {listed(known)}."
        raise SettingError(f'"{printable(x)}" is no numeric predictor of this model', hint=hint)
    return x


def _numeric(fit: Fit, label: str) -> Iterator[str]:
    from ..formula.columns import CATEGORICAL
    from ..formula.evaluate import column_names

    memory = fit.model.design.memory
    terms = [g.coefficients for g in memory.formula.groups if g.label == label]
    terms += [memory.formula.fixed, *(g.coefficients for g in memory.formula.groups)]
    for part in terms:
        for factor in (factor for term in part.terms for factor in term.factors):
            for name in column_names(factor):
                numeric = memory.kinds[name] not in CATEGORICAL if name in memory.kinds else name not in memory.levels
                if numeric:
                    yield name


def _column(fit: Fit, name: str, data: Any) -> np.ndarray:
    """A numeric predictor for the rows used: from the design where it stands there as it is, else from the data."""
    from ..data.tables import as_table

    design = fit.model.design
    pairs = list(zip(design.fixed_names, design.fixed_columns, strict=True))
    for g in design.groups:
        pairs += zip(g.names, g.columns, strict=True)
    for known, column in pairs:
        if known == name and column is not None:
            return np.asarray(column, dtype=float)
    if data is None:
        raise SettingError(f'the fit does not hold the column "{printable(name)}"', hint="Give data=… as well.")
    table = as_table(data)
    if table.n_rows != design.n_rows_given:
        raise SettingError(
            f"data has {table.n_rows} rows and the model was given {design.n_rows_given}",
            hint="Give the table that the model was made of.",
        )
    values = table.numbers(name)
    return values if design.kept is None else values[design.kept]


def _others(fit: Fit, name: str, data: Any) -> dict[str, Any]:
    """A value for every other predictor: what it is cancels unless `x` interacts with it."""
    from ..formula.variables import predictors

    memory = fit.model.design.memory
    levels = {column for g in memory.formula.groups for column in g.levels}
    numeric = set(_numeric(fit, ""))
    out: dict[str, Any] = {}
    for other in predictors(memory.formula, True):
        if other in numeric and other != name:
            out[other] = float(np.mean(_column(fit, other, data)))
        elif other in memory.levels and (other not in levels or other in memory.kinds):
            out[other] = memory.levels[other][0]
    return out


def _moved(fit: Fit, label: str, values: dict[str, Any]) -> tuple[np.ndarray, list[np.ndarray | None]]:
    """x'β̂ of the location, and the columns of the group's terms (None for those of another predictor)."""
    from ..data.tables import as_table
    from ..formula.coding import model_columns
    from ..formula.columns import NewColumns
    from ..formula.rebuild import coefficient_columns
    from ..predictions.targets import matrix

    design = fit.model.design
    n = max(np.size(value) for value in values.values())
    table = as_table({k: np.full(n, v, dtype=object if isinstance(v, str) else float) for k, v in values.items()})
    names, columns = model_columns(design.memory.formula.fixed, NewColumns(table, design.memory))
    beta = np.nan_to_num(fit.estimates.beta, posinf=0.0, neginf=0.0)
    known = {name: float(b) for name, b in zip(design.fixed_names, beta, strict=True)}
    fixed = matrix(columns, n) @ np.array([known.get(name, 0.0) for name in names])
    terms = zip(design.groups, coefficient_columns(design.memory, table), strict=True)
    return fixed, [matrix(part, n) if g.predictor == 0 else None for g, part in terms if g.label == label]


# --- pictures ----------------------------------------------------------------------------------------------------
def _facets(fit: Fit, lines: Lines) -> Figure:
    """A panel for each level: its rows, its line, and the population's."""
    columns = min(COLUMNS, len(lines.levels))
    rows = -(-len(lines.levels) // columns)
    sheet = base.sheet(max(2.0 * columns, 4.0), 1.65 * rows, rows, columns, sharex=True, sharey=True)
    for code, ax in enumerate(sheet.axes):
        if code >= len(lines.levels):
            ax.set_visible(False)
            continue
        base.quiet(ax, "both")
        mine = np.flatnonzero(lines.codes == code)
        mine = mine[base.thinned(len(mine), most=400)]
        ax.scatter(lines.x[mine], _jittered(lines, mine), s=9, color=GREY, alpha=0.5, linewidth=0)
        if lines.population is not None:
            ax.plot(lines.grid, lines.population, color=INK, linewidth=1.0, linestyle=(0, (4, 2)))
        ax.plot(lines.grid, lines.groups[code], color=BLUE, linewidth=1.9)
        _categories(ax, lines)
        base.title(ax, safe(lines.levels[code], 15))
        ax.tick_params(labelbottom=code + columns >= len(lines.levels))
    sheet.figure.supxlabel(safe(lines.name, 40), fontsize=9.5, color=INK)
    sheet.figure.supylabel(_vertical(fit), fontsize=9.5, color=INK)
    dashed = "; dashed: population" if lines.population is not None else ""
    dashed += " (effects zero)" if dashed and not fit.model.is_linear else ""
    return sheet.head(_finding(lines), f"One panel for each {safe(lines.label)}. Blue: its line{dashed}; points: rows.")


def _jittered(lines: Lines, rows: np.ndarray) -> np.ndarray:
    if lines.jitter == 0.0:
        return np.asarray(lines.y[rows])
    return np.asarray(lines.y[rows] + np.random.default_rng(0).uniform(-lines.jitter, lines.jitter, len(rows)))


def _categories(ax: Axes, lines: Lines) -> None:
    """The labels of ordered categories in place of their numbers."""
    if lines.labels:
        ax.set_yticks(range(len(lines.labels)), [safe(name, 14) for name in lines.labels], fontsize=8)


def _together(ax: Axes, lines: Lines) -> None:
    from matplotlib.collections import LineCollection

    shown = base.thinned(len(lines.x))
    ax.scatter(lines.x[shown], _jittered(lines, shown), s=6, color=GREY, alpha=0.3, linewidth=0)
    known = np.flatnonzero(np.isfinite(lines.groups).all(axis=1))
    segments = []
    for code in known:
        at = np.clip(lines.grid, lines.low[code], lines.high[code])
        segments.append(np.column_stack([at, np.interp(at, lines.grid, lines.groups[code])]))
    faint = float(np.clip(12.0 / max(len(known), 1), 0.18, 0.75))
    ax.add_collection(LineCollection(segments, colors=BLUE, linewidths=1.2, alpha=faint, zorder=3))
    ax.autoscale_view()
    ends = np.array([segment[-1] for segment in segments]).reshape(-1, 2)
    reach = ends[:, 0] >= np.quantile(ends[:, 0], 0.7) if len(ends) else np.zeros(0, dtype=bool)
    order = np.flatnonzero(reach)[np.argsort(ends[reach, 1], kind="stable")]  # names belong at the right end
    chosen = list(dict.fromkeys([*order[:EXTREMES].tolist(), *order[-EXTREMES:].tolist()]))
    points = [(*ends[i], safe(lines.levels[known[i]], 20)) for i in chosen]
    if lines.population is not None:
        ax.plot(lines.grid, lines.population, color=INK, linewidth=2.6, zorder=5)
        points.append((lines.grid[-1], lines.population[-1], "population"))
    low, high = ax.get_ylim()
    base.call_out(ax, [p[0] for p in points], [p[1] for p in points], [p[2] for p in points], 0.05 * (high - low))
    first, last = ax.get_xlim()
    ax.set_xlim(first, last + 0.16 * (last - first))


def _finding(lines: Lines) -> str:
    """How much the slopes differ, when the lines are straight."""
    drawn = lines.groups if lines.straight is None else lines.straight
    known = drawn[np.isfinite(drawn).all(axis=1)]
    on = f" ({lines.scale})" if lines.scale else ""
    x, label = safe(lines.name, 30), safe(lines.label)
    width = float(lines.grid[-1] - lines.grid[0])
    bend = float(np.max(np.abs(np.diff(known, 2, axis=1)), initial=0.0))
    size = float(np.max(np.abs(np.diff(known, axis=1)), initial=0.0))
    if not len(known) or not width > 0.0 or bend > 1e-6 * max(size, 1e-300):
        return f"Curves of {len(known)} levels of {label} along {x}"
    slopes = (known[:, -1] - known[:, 0]) / width
    if np.ptp(slopes) <= 1e-8 * max(float(np.abs(slopes).max()), 1e-300):
        return f"Levels of {label} share one slope of {x}, {base.number(float(slopes[0]))}{on}"
    ends = base.between(float(slopes.min()), float(slopes.max()))
    return f"Slopes of {x} go from {ends}{on} between levels of {label}"


MEMBER = fitted
