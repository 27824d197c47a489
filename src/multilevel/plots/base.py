"""What plots share: colours, a bare figure, quiet axes, names that are safe to draw.

Figures are made without `pyplot`: nothing is kept alive, no window opens, no global setting is read or changed.
The colours are Okabe and Ito's, told apart by readers of any colour vision, and never carry meaning alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, listed, nearest, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

INK, GREY, FAINT = "#222222", "#7a7a7a", "#d9d9d9"
BLUE, ORANGE = "#0072B2", "#D55E00"
MOST_NAMES = 60  # levels whose names fit beside a plot
ROW = 0.205  # inches that one named level takes
NAME_LENGTH = 24


def figure(width: float, height: float, panels: int = 1) -> tuple[Figure, list[Axes]]:
    """A figure of that size in inches with `panels` axes side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    axes = fig.subplots(1, panels, sharey=True, squeeze=False)[0]
    for ax in axes:
        quiet(ax)
    return fig, list(axes)


def quiet(ax: Axes) -> None:
    """Only the axis that is read: no frame, no tick marks, faint vertical lines."""
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    ax.tick_params(length=0, colors=GREY, labelsize=9)
    ax.grid(axis="x", color=FAINT, linewidth=0.6, alpha=0.7)
    ax.set_axisbelow(True)


def title(ax: Axes, text: str, above: float = 8.0) -> None:
    """A bold line at the left, `above` points over the axes."""
    ax.set_title(text, loc="left", fontsize=11.5, fontweight="bold", color=INK, pad=above)


def safe(text: object, limit: int = NAME_LENGTH) -> str:
    """Text from the data: control characters escaped, long ones cut, dollars no mathematics."""
    return printable(text, limit).replace("$", r"\$")


def names_at_left(ax: Axes, names: list[str], what: str) -> None:
    """Level names beside the rows when there is room for them, else one word for all."""
    if len(names) <= MOST_NAMES:
        ax.set_yticks(range(len(names)), [safe(n) for n in names], color=INK, fontsize=8)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(names)} levels of {safe(what)}", color=GREY, fontsize=9)
    ax.set_ylim(-0.8, len(names) - 0.2)


def rows_height(levels: int) -> float:
    """Height in inches of that many rows."""
    return ROW * levels if levels <= MOST_NAMES else 6.0


def grouping_factor(fit: Fit, group: str | None) -> str:
    """The grouping factor to draw: the one named, or the one with the most levels.

    Raises
    ------
    SettingError
        For a model without grouping factors, and for an unknown name.
    """
    known = fit.model.groups
    if not known:
        raise SettingError("this model has no grouping factor to plot", hint="Add a term such as (1 | school).")
    if group is None:
        return max(known, key=lambda label: known[label])
    if group not in known:
        hint = nearest(group, known) or f"It has: {listed(known)}."
        raise SettingError(f'"{printable(group)}" is no grouping factor of this model', hint=hint)
    return group


def chosen_term(names: list[str], term: str | None) -> str:
    """The coefficient to draw: the one named, or the first.

    Raises
    ------
    SettingError
        For a name that is no coefficient of the group.
    """
    if term is None:
        return names[0]
    if term not in names:
        hint = nearest(term, names) or f"It has: {listed(names)}."
        raise SettingError(f'"{printable(term)}" does not vary by this group', hint=hint)
    return term


def areas(n: Any, largest: float = 90.0, least: float = 14.0) -> np.ndarray:
    """Marker areas proportional to the rows of each level."""
    n = np.asarray(n, dtype=float)
    return np.maximum(largest * n / max(float(n.max()), 1.0), least)
