"""Which groups decide the estimates: ``ml.plot.influence(fit)``.

Cook's distance     (β̂ − β̂₍ⱼ₎)' Cov(β̂)⁻¹ (β̂ − β̂₍ⱼ₎) / p,    one row a group, the most influential on top
change              of each coefficient, in standard errors, when the group is left out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.influence import Influence
    from ..fit.fit import Fit

SHOWN = 25  # groups drawn, the most influential ones
PANELS = 4  # coefficients whose change is drawn


def influence(subject: Influence | Fit, group: str | None = None, most: int = SHOWN, ax: Axes | None = None) -> Figure:
    """Cook's distances of the groups, and what leaving each out does to the coefficients.

    Parameters
    ----------
    subject : Influence or Fit
        What ``ml.influence`` returned (also of rows), or a fit.
    group : str, optional
        A grouping factor; the one that ``ml.influence`` chooses otherwise.
    most : int
        How many groups to draw; the most influential ones.
    ax : matplotlib Axes, optional
        Where to draw Cook's distances alone; a figure of its own, with the changes, otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group, and for estimators without a model of the rows.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes"))
    >>> [ax.get_xlabel() for ax in ml.plot.influence(fit).axes]
    ["Cook's distance", 'Intercept', 'ses']
    """
    found = _computed(subject, group)
    cooks = np.nan_to_num(np.asarray(found.cooks, dtype=float))
    order = np.argsort(-cooks, kind="stable")[: max(int(most), 1)][::-1]
    moved = _largest(found, order) if ax is None else []
    settings: dict[str, Any] = {"sharey": True, "width_ratios": [1.8, *[1.0] * len(moved)]} if ax is None else {}
    height = 0.7 + base.rows_height(len(order))
    sheet = base.sheet(4.6 + 1.6 * len(moved), height, 1, 1 + len(moved), ax, **settings)
    _distances(sheet.ax, cooks[order], found.threshold)
    base.names_at_left(sheet.ax, [found.units[i] for i in order], found.unit)
    base.axis_names(sheet.ax, "Cook's distance", sheet.ax.get_ylabel())
    names = found.fit.model.design.fixed_names
    widest = float(np.nanmax(np.abs(found.beta[order][:, moved]), initial=0.1)) if moved else 1.0
    for panel, j in zip(sheet.axes[1:], moved, strict=True):
        _changes(panel, np.asarray(found.beta[order, j], dtype=float), 1.15 * widest)
        base.axis_names(panel, safe(names[j], 20))
    return sheet.head(_finding(found, cooks), _reading(found, len(order), bool(moved)))


def _computed(subject: Any, group: str | None) -> Influence:
    from ..checks.influence import Influence
    from ..checks.influence import influence as compute

    if isinstance(subject, Influence):
        if group is not None and group != subject.unit:
            base.known_factor({subject.unit: 0}, group)
        return subject
    base.grouping_factor(subject, group)
    return compute(subject, group)


def _largest(found: Influence, rows: np.ndarray) -> list[int]:
    """The coefficients that move most, in the order of the formula."""
    change = np.nan_to_num(np.abs(np.asarray(found.beta, dtype=float)[rows]))
    order = np.argsort(-change.max(axis=0, initial=0.0), kind="stable")[:PANELS]
    known = np.isfinite(found.fit.estimates.beta)
    return sorted(int(j) for j in order if known[j])


def _distances(ax: Axes, cooks: np.ndarray, threshold: float) -> None:
    rows = np.arange(len(cooks))
    colours = np.where(cooks > threshold, ORANGE, BLUE)
    ax.hlines(rows, 0.0, cooks, color=colours, linewidth=2.0, alpha=0.6)
    ax.scatter(cooks, rows, c=colours, s=30, linewidth=0, zorder=3)
    ax.axvline(threshold, color=GREY, linewidth=0.9, linestyle=(0, (4, 3)))
    ax.set_xlim(0.0, 1.12 * max(float(cooks.max(initial=0.0)), threshold))


def _changes(ax: Axes, change: np.ndarray, widest: float) -> None:
    rows = np.arange(len(change))
    ax.axvline(0.0, color=INK, linewidth=0.8)
    ax.hlines(rows, 0.0, change, color=GREY, linewidth=1.6, alpha=0.6)
    ax.scatter(change, rows, color=GREY, s=18, linewidth=0, zorder=3)
    ax.set_xlim(-widest, widest)


def _finding(found: Influence, cooks: np.ndarray) -> str:
    beyond, worst = int(np.sum(cooks > found.threshold)), int(np.argmax(cooks))
    unit = "rows" if found.unit == "row" else f"levels of {safe(found.unit)}"
    if beyond == 0:
        return f"None of {len(cooks)} {unit} decides the estimates"
    change = np.nan_to_num(found.beta[worst])
    j = int(np.argmax(np.abs(change)))
    name = safe(found.fit.model.design.fixed_names[j], 30)
    effect = f"without {safe(found.units[worst])}, {name} moves by {base.number(float(change[j]), 2)} standard errors"
    return f"{beyond} of {len(cooks)} {unit} {'stands' if beyond == 1 else 'stand'} out: {effect}"


def _reading(found: Influence, shown: int, changes: bool) -> str:
    parts = [f"Dashed: 4 / {len(found.units)}, beyond which a look is worth while."]
    parts += ["Right: change of each coefficient without the group, in standard errors."] if changes else []
    parts += [f"The {shown} most influential are shown."] if shown < len(found.units) else []
    return " ".join(parts)


MEMBER = influence
