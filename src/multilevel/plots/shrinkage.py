"""No pooling against partial pooling, level by level: ``ml.plot.shrinkage(fit)``.

    d̂_ℓ = (Z_ℓ'W_ℓZ_ℓ)⁻¹ Z_ℓ'W_ℓ (y − Xβ̂ − Σ_other Zb̂)        what the level's own rows say (no pooling)
    b̂_ℓ                                                       the conditional mode (partial pooling)

Both are drawn at β̂ + deviation, with the rest of the model held at its estimates, so that the distance between the
two is shrinkage and nothing else. For ``y ~ 1 + (1 | g)`` the hollow points are the groups' means. Generalized models
are drawn on the scale of their link, where a level whose rows are all alike has an own estimate at infinity: a triangle
at the edge (`checks/own_rows.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from . import base
from .base import BLUE, INK, MOST_NAMES, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

MOST_LABELS = 3  # levels whose movement is written out
LARGE = 400  # levels beyond which points are smaller


@dataclass(frozen=True)
class Pooling:
    """One coefficient of every level, in the order of its own estimate.

    Attributes
    ----------
    levels, n : labels and numbers of rows
    own, pooled : (L,) estimates without and with partial pooling
    centre : the population's value
    left_out : levels whose rows do not determine the coefficient
    """

    group: str
    term: str
    levels: list[str]
    n: np.ndarray
    own: np.ndarray
    pooled: np.ndarray
    centre: float
    left_out: int


def shrinkage(fit: Fit, group: str | None = None, term: str | None = None, ax: Axes | None = None) -> Figure:
    """Every level's own estimate, and where partial pooling moves it.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        A grouping factor; the one with the most levels otherwise.
    term : str, optional
        A coefficient that varies by it; the first otherwise.
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure
        ``figure.savefig("shrinkage.png")`` writes it.

    Raises
    ------
    SettingError
        For an unknown group or term.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> ml.plot.shrinkage(fit).axes[0].get_xlabel()
    'score: mean of each school'
    """
    pooling = compare(fit, group, term)
    sheet = base.sheet(7.2, 0.95 + base.rows_height(len(pooling.levels)), ax=ax)
    _draw(sheet.ax, pooling)
    base.names_at_left(sheet.ax, pooling.levels, pooling.group)
    _key(sheet.ax, pooling)
    base.axis_names(sheet.ax, _quantity(fit, pooling), sheet.ax.get_ylabel())
    return sheet.head(_finding(pooling), _reading(pooling))


def compare(fit: Fit, group: str | None = None, term: str | None = None) -> Pooling:
    """The numbers that the plot shows."""
    label = base.grouping_factor(fit, group)
    names, levels, n, own, effects = (_linear if fit.model.is_linear else _generalized)(fit, label, term)
    name = base.chosen_term(list(names), term)
    place = list(names).index(name)
    centre = fit.coefficients.get(name, 0.0)
    centre = centre if np.isfinite(centre) else 0.0
    keep = np.flatnonzero(~np.isnan(own[:, place]) & np.isfinite(effects[:, place]))
    order = keep[np.argsort(own[keep, place], kind="stable")]
    return Pooling(
        group=label,
        term=name,
        levels=[levels[i] for i in order],
        n=n[order],
        own=centre + own[order, place],
        pooled=centre + effects[order, place],
        centre=centre,
        left_out=len(levels) - len(order),
    )


Found = tuple[Sequence[str], Sequence[str], np.ndarray, np.ndarray, np.ndarray]


def _linear(fit: Fit, label: str, term: str | None) -> Found:
    """Coefficients, levels, their rows, and deviations (L, k) without and with pooling; NaN where not determined."""
    from ..core.projection import LevelProjector, coefficients_of, row_weights

    design = fit.model.design
    members = [t for t, g in enumerate(design.groups) if g.label == label]
    own_columns = coefficients_of([design.groups[t] for t in members])
    effects = np.concatenate([fit.estimates.effects[t] for t in members], axis=1)
    projector = LevelProjector(own_columns, row_weights(design))
    own, _ = projector.coefficients(_without_others(fit, members))
    n = np.bincount(own_columns.codes, minlength=len(projector.fits))
    own = np.where(projector.fits[:, None], own, np.nan)
    return own_columns.names, design.groups[members[0]].levels, n, own, effects


def _generalized(fit: Fit, label: str, term: str | None) -> Found:
    """The same of the predictor that the coefficient belongs to."""
    from ..checks.own_rows import own_rows

    mine = [g for g in fit.model.design.groups if g.label == label]
    base.chosen_term([name for g in mine for name in g.names], term)
    predictor = next((g.predictor for g in mine if term in g.names), mine[0].predictor)
    found = own_rows(fit, label, predictor)
    return found.names, found.levels, found.n, found.deviations, found.pooled


def _without_others(fit: Fit, members: list[int]) -> np.ndarray:
    """The response minus everything in the model but these group terms."""
    design = fit.model.design
    out = fit.residuals()
    for t in members:
        codes, effects = design.groups[t].codes, fit.estimates.effects[t]
        for column, b in zip(design.groups[t].columns, effects.T, strict=True):
            out = out + (b[codes] if column is None else b[codes] * column)
    return np.asarray(out)


def _draw(ax: Axes, p: Pooling) -> None:
    rows = np.arange(len(p.levels))
    shrink = 1.0 if len(rows) <= LARGE else 0.35
    finite = np.isfinite(p.own)
    size = base.areas(p.n, 78.0 * shrink, 12.0 * shrink)
    ax.axvline(p.centre, color=INK, linewidth=1.0, zorder=1)
    ax.hlines(rows[finite], p.own[finite], p.pooled[finite], color=BLUE, linewidth=1.6 * shrink, alpha=0.55, zorder=2)
    ax.scatter(p.own[finite], rows[finite], s=size[finite], facecolor="white", edgecolor=ORANGE,
               linewidth=1.3 * shrink, zorder=3)  # fmt: skip
    ax.scatter(p.pooled, rows, s=size * 0.8, color=BLUE, linewidth=0, zorder=4)
    low, high = base.reach(np.concatenate([p.own, p.pooled]), np.append(p.pooled, p.centre))
    room = (0.13 if len(rows) <= MOST_NAMES else 0.2) * ((high - low) or abs(high) or 1.0)
    ax.set_xlim(low - room, high + room)
    base.beyond(ax, rows, p.own)
    _label_moves(ax, p, low, high)


def _label_moves(ax: Axes, p: Pooling, low: float, high: float) -> None:
    """How far the levels that move most have moved; those beyond the picture are named at its edge."""
    for i in _most_moved(p):
        left = p.own[i] < p.pooled[i]
        name = "" if len(p.levels) <= MOST_NAMES else f"{safe(p.levels[i])}  "
        ax.annotate(
            f"{name}{_move(p.pooled[i] - p.own[i])}", (min(max(p.own[i], low), high), i), xytext=(-9 if left else 9, 0),
            textcoords="offset points", ha="right" if left else "left", va="center", fontsize=8.5, color=INK,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0.0, "pad": 0.8},
        )  # fmt: skip


def _move(by: float) -> str:
    return ("+" if by > 0.0 else "") + base.number(by, 2)


def _most_moved(p: Pooling) -> list[int]:
    """A few levels, no two of them so close that their labels would touch."""
    move = np.where(np.isfinite(p.own), np.abs(p.pooled - p.own), 0.0)
    apart = len(p.levels) / MOST_NAMES  # rows that a line of text covers
    chosen: list[int] = []
    for i in np.argsort(-move, kind="stable").tolist():
        if len(chosen) == MOST_LABELS or move[i] == 0.0:
            break
        if all(abs(i - j) > 2.0 * apart or apart <= 1.0 for j in chosen):
            chosen.append(i)
    return chosen


def _finding(p: Pooling) -> str:
    """What pooling did, in words: the spread of the levels before and after."""
    what = f"{safe(p.term, 30)} by {safe(p.group)}"
    if len(p.levels) < 2:
        return f"{what}: too few levels have rows enough to stand by themselves"
    finite = np.isfinite(p.own)
    infinite = int((~finite).sum())
    if infinite and finite.sum() < 2:
        return f"{what}: all levels stand at infinity by themselves, and pooling brings them back"
    before, after = float(np.std(p.own[finite], ddof=1)), float(np.std(p.pooled[finite], ddof=1))
    if infinite and after > 1e-8 * before:
        spread = base.between(before, after)
        return f"{what}: pooling brings {base.counted(infinite, 'level')} back from infinity, spread {spread}"
    if not after > 1e-8 * before:
        return f"{what}: all {len(p.levels)} levels are pooled completely"
    if abs(after - before) < 0.005 * before:
        return f"{what}: hardly any pooling, the levels keep their spread of {base.number(after)}"
    verb = "narrows" if after < before else "changes"
    return f"{what}: pooling {verb} the spread of {len(p.levels)} levels from {base.between(before, after)}"


def _reading(p: Pooling) -> str:
    """How to read the picture."""
    even = len(set(p.n.tolist())) == 1
    size = f"{base.counted(int(p.n[0]), 'row')} each" if even else "Area: number of rows" if len(p.n) else ""
    remarks = [f"Written out: the {MOST_LABELS} largest moves"] if np.any(p.own != p.pooled) else []
    remarks += [size] if size else []
    low, high = base.reach(np.concatenate([p.own, p.pooled]), np.append(p.pooled, p.centre))
    infinite = int(np.isinf(p.own).sum())
    remarks += ["Triangles: levels whose rows are all alike"] if infinite else []
    beyond = int(np.sum((p.own < low) | (p.own > high))) - infinite
    remarks += [f"Beyond the picture: own estimates of {base.counted(beyond, 'level')}"] if beyond else []
    remarks += [f"{base.counted(p.left_out, 'level')} left out: too few rows"] if p.left_out else []
    return ". ".join(remarks) + "." * bool(remarks)


def _key(ax: Axes, p: Pooling) -> None:
    """The key, in place of a legend: above the plot, in the points' own shapes."""
    from matplotlib.lines import Line2D

    shared: dict[str, Any] = {"linestyle": "none", "markersize": 7.5, "marker": "o"}
    handles = [
        Line2D([], [], markerfacecolor="white", markeredgecolor=ORANGE, markeredgewidth=1.3, **shared),
        Line2D([], [], color=BLUE, **shared),
        Line2D([], [], color=INK, linewidth=1.0),
    ]
    base.key(ax, handles, ["own rows only (no pooling)", "partial pooling", f"population {base.number(p.centre, 4)}"])


def _quantity(fit: Fit, p: Pooling) -> str:
    """What the horizontal axis measures."""
    response, group = base.on_scale(fit), safe(p.group)
    if p.term != "Intercept":
        return f"{response}: coefficient of {safe(p.term, 40)} in each {group}"
    alone = len(fit.estimates.beta) == 1 and fit.model.is_linear
    return f"{response}: mean of each {group}" if alone else f"{response}: intercept of each {group}"


MEMBER = shrinkage
