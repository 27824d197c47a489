"""No pooling, partial pooling and complete pooling, level by level: ``ml.plot.pooling(fit)``.

Each level is a dumbbell from its own estimate (no pooling) to the partially pooled one; complete pooling is the line
that everything is drawn towards (a mark for each level where group-level predictors tell levels apart). The panel at
the right does the same with the standard errors: what a level borrows from the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from . import base
from .base import BLUE, INK, MOST_NAMES, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.pooling import Pooling
    from ..fit.fit import Fit
    from ..model.model import Model

SIMILAR = 4.0  # elpd, as in `checks/score.py`
WORDS = {"none": "no pooling", "complete": "complete pooling"}


def pooling(
    subject: Pooling | Fit | Model, group: str | None = None, term: str | None = None, ax: Axes | None = None
) -> Figure:
    """Every level without pooling, with partial and with complete pooling, and their standard errors.

    Parameters
    ----------
    subject : Pooling, Fit or Model
        What ``ml.pooling`` returned, or what it takes.
    group : str, optional
        A grouping factor; the one that ``ml.pooling`` chooses otherwise.
    term : str, optional
        A coefficient that varies by it; the first otherwise.
    ax : matplotlib Axes, optional
        Where to draw the estimates alone; a figure of its own, with the standard errors, otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a model without group terms, and for an unknown group or term.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [ax.get_xlabel() for ax in ml.plot.pooling(fit).axes]
    ['score', 'standard error']
    """
    found = _compared(subject, group)
    name, rows = _columns(found, term)
    levels = len(rows["level"])
    height = 0.95 + base.rows_height(levels)
    errors = ax is None
    settings: dict[str, Any] = {"sharey": True, "width_ratios": [2.6, 1.0]} if errors else {}
    sheet = base.sheet(8.6, height, 1, 1 + errors, ax, **settings)
    _dumbbells(sheet.ax, rows["none"], rows["partial"], rows["n"])
    _complete(sheet.ax, rows["complete"])
    base.names_at_left(sheet.ax, rows["level"].tolist(), found.group)
    _key(sheet.ax, rows)
    response = base.on_scale(found.fits["partial"])
    base.axis_names(sheet.ax, response if name == "Intercept" else f"{response}: coefficient of {safe(name, 40)}",
                    sheet.ax.get_ylabel())  # fmt: skip
    if errors:
        _dumbbells(sheet.axes[1], rows["none_se"], rows["partial_se"], rows["n"])
        sheet.axes[1].set_xlim(0.0, 1.08 * sheet.axes[1].get_xlim()[1])
        base.axis_names(sheet.axes[1], "standard error")
    return sheet.head(_finding(found, name), _reading(rows, found))


def _compared(subject: Any, group: str | None) -> Pooling:
    from ..checks.pooling import Pooling
    from ..checks.pooling import pooling as compare

    if not isinstance(subject, Pooling):
        model = vars(subject).get("model", subject)  # a fit, or a model itself
        base.known_factor(model.groups, group)
        return compare(subject, group)
    if group is not None and group != subject.group:
        base.known_factor({subject.group: 0}, group)
    return subject


def _columns(found: Pooling, term: str | None) -> tuple[str, dict[str, np.ndarray]]:
    """One coefficient of the table, in the order of no pooling; NaN where an estimator does not apply."""
    table = found.table
    terms = base.column(table, "term")
    name = base.chosen_term(list(dict.fromkeys(terms.tolist())), term)
    mine = np.flatnonzero(terms == name)
    out = {}
    for key in ("level", "n", "complete", "none", "none_se", "partial", "partial_se"):
        known = base.has_column(table, key)
        out[key] = base.column(table, key)[mine] if known else np.full(len(mine), np.nan)
    own = np.where(np.isnan(out["none"]), out["partial"], out["none"])
    order = np.argsort(np.where(np.isnan(own), 0.0, own), kind="stable")
    return name, {key: values[order] for key, values in out.items()}


def _dumbbells(ax: Axes, own: np.ndarray, pooled: np.ndarray, n: np.ndarray) -> None:
    rows = np.arange(len(pooled))
    small = 1.0 if len(rows) <= MOST_NAMES else 0.35
    size = base.areas(n, 78.0 * small, 12.0 * small)
    finite = np.isfinite(own)
    ax.hlines(rows[finite], own[finite], pooled[finite], color=BLUE, linewidth=1.6 * small, alpha=0.55, zorder=2)
    ax.scatter(own[finite], rows[finite], s=size[finite], facecolor="white", edgecolor=ORANGE, linewidth=1.3 * small,
               zorder=3)  # fmt: skip
    ax.scatter(pooled, rows, s=0.8 * size, color=BLUE, linewidth=0, zorder=4)
    low, high = base.reach(np.concatenate([own, pooled]), pooled)
    room = 0.06 * ((high - low) or abs(high) or 1.0)
    ax.set_xlim(low - room, high + room)
    base.beyond(ax, rows, own)


def _complete(ax: Axes, complete: np.ndarray) -> None:
    """One line when all levels share it, a mark for each otherwise."""
    rows, known = np.arange(len(complete)), np.isfinite(complete)
    if not known.any():
        return
    if np.ptp(complete[known]) <= 1e-9 * np.abs(complete[known]).max():
        ax.axvline(float(complete[known][0]), color=INK, linewidth=1.0, zorder=1)
    else:
        ax.vlines(complete[known], rows[known] - 0.4, rows[known] + 0.4, color=INK, linewidth=1.4, zorder=1)


def _key(ax: Axes, rows: dict[str, np.ndarray]) -> None:
    from matplotlib.lines import Line2D

    shared: dict[str, Any] = {"linestyle": "none", "markersize": 7.5, "marker": "o"}
    own = Line2D([], [], markerfacecolor="white", markeredgecolor=ORANGE, markeredgewidth=1.3, **shared)
    known = {"none": own, "partial": Line2D([], [], color=BLUE, **shared), "complete": Line2D([], [], color=INK)}
    shown = [name for name in known if np.isfinite(rows[name]).any()]
    base.key(ax, [known[name] for name in shown], [f"{'no' if n == 'none' else n} pooling" for n in shown])


def _finding(found: Pooling, term: str) -> str:
    """How far no and complete pooling are behind partial pooling on rows left out."""
    table = found.scores
    names, elpd = base.column(table, "estimator").tolist(), base.column(table, "loo_elpd")
    differences, errors = base.column(table, "loo_difference"), base.column(table, "loo_std_error")
    known = {n: (float(differences[i]), float(errors[i])) for i, n in enumerate(names) if np.isfinite(elpd[i])}
    behind = {n: (-known[n][0], known[n][1]) for n in ("none", "complete") if n in known and n != found.best}
    if found.best != "partial" or not behind:
        return found.sentence.split(";")[0].rstrip(".") or f"Pooling of {safe(term, 30)} by {safe(found.group)}"
    if max(d for d, _ in behind.values()) < SIMILAR:
        return "Partial pooling predicts new rows as well as any"
    parts = [f"{base.number(d, 2)} ± {base.number(e, 2)} ({WORDS[n]})" for n, (d, e) in behind.items()]
    return f"Partial pooling predicts new rows best, ahead by {' and '.join(parts)}"


def _reading(rows: dict[str, np.ndarray], found: Pooling) -> str:
    with np.errstate(invalid="ignore", divide="ignore"):
        gain = rows["partial_se"] / rows["none_se"]
    parts = ["Area: number of rows."] if len(set(rows["n"].tolist())) > 1 else []
    if np.isfinite(gain).any():
        less = 1.0 - float(np.median(gain[np.isfinite(gain)]))
        parts.append(f"The median standard error {'falls' if less >= 0 else 'grows'} by {base.percent(abs(less))}.")
    infinite = int(np.sum(np.isinf(rows["none"])))
    parts += [f"Triangles: {base.counted(infinite, 'level')} at infinity by themselves."] if infinite else []
    missing = int(np.sum(np.isnan(rows["none"]) & np.isfinite(rows["partial"])))
    parts += [f"{base.counted(missing, 'level')} without an estimate of its own."] if missing else []
    return " ".join([*parts, "Ahead: log predictive density, leaving rows out.", *map(_unmarked, found.notes)])


def _unmarked(note: str) -> str:
    return note.replace("$", r"\$")  # notes name columns


MEMBER = pooling
