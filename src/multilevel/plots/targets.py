"""What each prediction target means, for one model: ``ml.plot.targets(fit)``.

At the average of all predictors, one line a target: the interval of the expected response (thick), and of a single new
observation (thin). Lines differ in which uncertainty they hold:

    conditional   β̂ and b̂ of a group that was in the data        new_group   β̂ and the spread of groups, z'Σz
    reference, marginal   β̂ alone: the population's centre

Under a link that bends, the centre and the average over groups are two things, and get a line each. Ordered categories
are drawn on the scale of their linear predictor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

Intervals = list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # of the mean, and of an observation where it has one


def targets(fit: Fit, group: str | None = None, ax: Axes | None = None) -> Figure:
    """Predictions under every target, for a group at either end and for none of those seen.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor whose levels serve as examples; the one with the most levels otherwise.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group, or a model without group terms.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> len(ml.plot.targets(fit).axes)
    1
    """
    base.one_location(fit, "predictions on one axis")
    label = base.grouping_factor(fit, group)
    names, codes = _examples(fit, label)
    intervals = (_predictions if fit.model.is_linear else _generalized)(fit, label, codes)
    rows = [f'"conditional"\n{safe(label)} {safe(name)}, in the data' for name in names]
    rows.append(f'"new_group"\nanother {safe(label)} of the same kind')
    if fit.model.is_linear:
        rows.append('"reference", "marginal"\nthe centre of the groups')
    else:
        rows += ['"reference"\na group with effects zero', '"marginal"\nthe average over groups']
    sheet = base.sheet(8.6, 0.75 + 0.62 * len(rows), ax=ax)
    ax = sheet.ax
    at = np.arange(len(rows))[::-1]
    colours = [BLUE] * len(names) + [ORANGE, GREY, GREY][: len(rows) - len(names)]
    estimate, lower, upper = intervals[0]
    for y, colour, centre, low, high in zip(at, colours, estimate, lower, upper, strict=True):
        ax.hlines(y, low, high, color=colour, linewidth=6.0, alpha=0.75)
        ax.plot(centre, y, "o", color="white", markeredgecolor=colour, markersize=6.5, zorder=3)
        ax.text(high, y + 0.17, f"{low:.4g} … {high:.4g}", ha="right", va="bottom", fontsize=8, color=INK)
    for _, low, high in intervals[1:]:
        ax.hlines(at, low, high, color=colours, linewidth=1.2)
    ax.set_yticks(at, rows, color=INK, fontsize=9)
    ax.set_ylim(-0.6, len(rows) - 0.4)
    also = "; thin: of one new observation" if len(intervals) > 1 else ""
    latent = fit.model.distribution.family.ordered
    base.axis_names(ax, f"linear predictor of {base.response(fit)}" if latent else base.measured(fit))
    value = "linear predictor" if latent else "expected value"
    note = f"{100 * fit.level:.4g}% intervals of the {value}{also}, at the average of all predictors."
    return sheet.head("One prediction, four questions", note)


def _generalized(fit: Fit, label: str, codes: list[int]) -> Intervals:
    """(estimate, lower, upper) for the example levels, a new one, none, and on average; also of a new observation."""
    from ..predictions.typical import typical, typical_rows

    known = typical_rows(fit, label, np.array(codes, np.int32))
    one = typical_rows(fit)
    mixed = {name: "conditional" if name == label else "reference" for name in fit.model.groups}
    asked: list[tuple[Any, str | dict[str, str]]] = [
        (known, mixed), (one, "new_group"), (one, "reference"), (one, "marginal")
    ]  # fmt: skip
    out: Intervals = []
    for kind in _kinds(fit):
        found = [typical(fit, rows, target, kind) for rows, target in asked]
        out.append(tuple(np.concatenate([f[name] for f in found]) for name in ("estimate", "lower", "upper")))  # type: ignore[arg-type]
    return out


def _kinds(fit: Fit) -> list[str]:
    """The mean and a new observation; the linear predictor alone where there is no mean, or a yes or no."""
    from ..checks.working import scatters

    family = fit.model.distribution.family
    if family.ordered:
        return ["linear"]
    obs = fit.model.observations
    one_scale = obs.trials is None  # observations of trials are counts, their means proportions
    return ["mean", "response"] if one_scale and (not family.discrete or scatters(fit)) else ["mean"]


def _examples(fit: Fit, label: str) -> tuple[list[str], list[int]]:
    """The levels with the lowest and the highest first coefficient."""
    first = next(t for t, g in enumerate(fit.model.design.groups) if g.label == label)
    effects = np.nan_to_num(fit.estimates.effects[first][:, 0])
    codes = list(dict.fromkeys([int(np.argmin(effects)), int(np.argmax(effects))]))
    return [fit.model.design.groups[first].levels[c] for c in codes], codes


def _predictions(fit: Fit, label: str, codes: list[int]) -> Intervals:
    """(estimate, lower, upper) for the example levels, a new one and none, at the average of every column."""
    from ..fit.estimates import Combination
    from ..formula.records import Rows
    from ..predictions.targets import NEW, OUT, _estimate, _interval

    design = fit.model.design
    of_label = np.array([*codes, NEW, OUT], np.int32)
    m = len(of_label)

    def average(columns: tuple[np.ndarray | None, ...]) -> np.ndarray:
        return np.tile([1.0 if c is None else float(np.mean(c)) for c in columns], (m, 1)).reshape(m, len(columns))

    others = np.full(m, OUT, np.int32)
    chosen = tuple(of_label if g.label == label else others for g in design.groups)
    x, z = average(design.fixed_columns), tuple(average(g.columns) for g in design.groups)
    combination = Combination(x, chosen, z)
    offset = None if design.offset is None else np.full(m, float(np.mean(design.offset)))
    weights = None if design.weights is None else np.full(m, float(np.median(design.weights)))
    rows = Rows(m, tuple(x.T), (), offset, weights)
    estimate = _estimate(fit, rows, combination)
    kinds = ["mean"] if fit.sigma is None else ["mean", "response"]
    out: Intervals = []
    for kind in kinds:
        ends = _interval(fit, rows, combination, estimate, kind, fit.level, True)
        out.append((estimate, ends["lower"], ends["upper"]))
    return out


MEMBER = targets
