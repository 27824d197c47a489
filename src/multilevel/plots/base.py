"""What plots share: colours, a bare sheet with its heading, quiet axes, names that are safe to draw.

Figures are made without `pyplot`: nothing is kept alive, no window opens, no global setting is changed.
The colours are Okabe and Ito's, told apart by readers of any colour vision, and never carry meaning alone.
A heading says what was found, in words; the grey line under it says how to read the picture.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, listed, nearest, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.base import Finding
    from ..fit.chosen import Chosen
    from ..fit.fit import Fit

INK, GREY, FAINT = "#222222", "#6e6e6e", "#d9d9d9"
BLUE, ORANGE = "#0072B2", "#D55E00"
CHAINS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#56B4E9", "#E69F00", INK)
STROKES = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (5, 1.5, 1.5, 1.5)))
MOST_NAMES = 60  # levels whose names fit beside a plot
ROW = 0.205  # inches that one named level takes
NAME_LENGTH = 24
MOST_POINTS = 4000  # rows drawn as points; more make a picture slow and no clearer
EDGE = 0.09  # inches between the figure's edge and its heading
BOLD, PLAIN = 0.107, 0.0745  # inches that a character of the heading and of its note takes
LINES = (0.205, 0.165)  # inches that a line of the heading and of its note takes


@dataclass(frozen=True)
class Sheet:
    """Axes to draw on: of a figure made for the plot, or one that the caller brought."""

    figure: Figure
    axes: list[Axes]
    guest: bool

    @property
    def ax(self) -> Axes:
        """The first of the axes."""
        return self.axes[0]

    def head(self, title: str, note: str = "") -> Figure:
        """Write what was found, and how to read it; returns the figure.

        The figure grows by what the words need, so that the picture under them keeps its size.
        """
        if self.guest:
            width = self.ax.get_window_extent().width / self.figure.dpi
            self.ax.set_title("\n".join(wrapped(title, width, BOLD)), loc="left", fontsize=11, color=INK, pad=10)
            return self.figure
        fig, (width, height) = self.figure, self.figure.get_size_inches()
        lines, small = wrapped(title, width - 2 * EDGE, BOLD), wrapped(note, width - 2 * EDGE, PLAIN)
        of_title, of_note = LINES[0] * len(lines) + 0.03, LINES[1] * len(small)
        top = EDGE + of_title + of_note + 0.1
        whole = height + top
        fig.set_size_inches(width, whole)
        layout: Any = fig.get_layout_engine()
        layout.set(rect=(0.0, 0.0, 1.0, height / whole))
        place: dict[str, Any] = {"x": EDGE / width, "ha": "left", "va": "top"}
        at = 1.0 - (EDGE + of_title) / whole
        texts = [
            fig.text(y=1.0 - EDGE / whole, s="\n".join(lines), fontsize=12, fontweight="bold", color=INK, **place),
            fig.text(y=at, s="\n".join(small), fontsize=9, color=GREY, linespacing=1.25, **place),
        ]
        for text in texts:
            text.set_in_layout(False)  # its room is set aside
        return fig


def sheet(
    width: float, height: float, rows: int = 1, columns: int = 1, ax: Axes | None = None, **settings: Any
) -> Sheet:
    """Axes in a new figure of that size in inches (its heading comes on top), or the caller's `ax`.

    `settings` go to ``Figure.subplots``: sharex, sharey, width_ratios.
    """
    if ax is not None:
        quiet(ax)
        figure: Any = ax.figure
        return Sheet(figure, [ax], True)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns, squeeze=False, **settings).ravel().tolist()
    for each in axes:
        quiet(each)
        if columns > 1:
            each.locator_params(axis="x", nbins=6)  # narrow panels
    layout: Any = fig.get_layout_engine()
    layout.set(w_pad=0.06, h_pad=0.05)
    return Sheet(fig, axes, False)


def quiet(ax: Axes, lines: str = "x") -> None:
    """No frame, no tick marks, faint lines along the axis that is read: ``"x"``, ``"y"`` or ``"both"``."""
    for side in ("top", "left", "right"):
        ax.spines[side].set_visible(False)
    ax.spines["bottom"].set_color(FAINT)
    ax.tick_params(length=0, colors=GREY, labelsize=9)
    ax.grid(False)
    ax.grid(axis=lines, color=FAINT, linewidth=0.6, alpha=0.7)  # type: ignore[arg-type]
    ax.set_axisbelow(True)


def title(ax: Axes, text: str) -> None:
    """A line at the left over one panel."""
    ax.set_title(text, loc="left", fontsize=9.5, fontweight="bold", color=INK, pad=6)


def axis_names(ax: Axes, x: str = "", y: str = "") -> None:
    """What the axes measure."""
    ax.set_xlabel(x, color=INK, fontsize=9.5)
    ax.set_ylabel(y, color=INK, fontsize=9.5)


def key(ax: Axes, handles: Sequence[Any], texts: Sequence[str]) -> None:
    """What the shapes mean, above the axes and in the shapes' own colours."""
    ax.legend(
        handles, texts, loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(texts), frameon=False, fontsize=9,
        handletextpad=0.3, columnspacing=1.6, handlelength=1.2, borderaxespad=0.2, labelcolor=INK,
    )  # fmt: skip


# --- words and numbers ---------------------------------------------------------------------------------------------
def safe(text: object, limit: int = NAME_LENGTH) -> str:
    """Text from the data: control characters escaped, long ones cut, dollars no mathematics."""
    return printable(text, limit).replace("$", r"\$")


def wrapped(text: str, width: float, character: float) -> list[str]:
    """Lines that fit into `width` inches."""
    import textwrap

    return textwrap.wrap(text, max(int(width / character), 12)) if text else []


def number(value: float, digits: int = 3) -> str:
    """A number with so many significant digits and a true minus."""
    if not math.isfinite(value):
        return "–"
    whole = abs(value) >= 10.0 ** (digits - 1)
    text = f"{value:.0f}" if whole and abs(value) < 1e6 else f"{value:.{digits}g}"
    return text.replace("-", "−")


def between(first: float, second: float, word: str = "to") -> str:
    """Two numbers to the digits that tell them apart: ``61.9 to 77.3``."""
    width, size = abs(second - first), max(abs(first), abs(second))
    if not (math.isfinite(width) and width > 0.0):
        return f"{number(first, 4)} {word} {number(second, 4)}"
    places = 1 - math.floor(math.log10(0.5 * width))
    if places > 6 or size >= 1e7:
        digits = int(min(max(math.log10(size / width) + 3, 3), 8))
        return f"{number(first, digits)} {word} {number(second, digits)}"
    ends = [round(value, max(places, 0)) + 0.0 for value in (first, second)]  # + 0.0: no negative zero
    return f" {word} ".join(f"{end:.{max(places, 0)}f}" for end in ends).replace("-", "−")


def percent(share: float) -> str:
    """A share: ``34%``, ``2.1%``, ``<0.1%``."""
    if not math.isfinite(share):
        return "–"
    if 0.0 < share < 0.001:
        return "<0.1%"
    return f"{100.0 * share:.1f}%" if 0.0 < share < 0.0995 else f"{100.0 * share:.0f}%"


def counted(n: int, one: str, many: str = "") -> str:
    """``1 level``, ``7 levels``."""
    return f"{n} {one if n == 1 else many or one + 's'}"


# --- data frames and rows ------------------------------------------------------------------------------------------
def column(table: Any, name: str) -> np.ndarray:
    """A column of a data frame of any of the supported kinds."""
    return np.asarray(table[name])


def has_column(table: Any, name: str) -> bool:
    """Whether a data frame has a column of that name."""
    names = getattr(table, "column_names", None) or getattr(table, "columns", None)
    return name in list(table if names is None else names)


def thinned(n: int, always: np.ndarray | None = None, most: int = MOST_POINTS) -> np.ndarray:
    """Positions of the rows that are drawn: all, or a fixed sample with those of `always`."""
    if n <= most:
        return np.arange(n)
    chosen = np.random.default_rng(0).choice(n, most, replace=False)
    return np.unique(chosen if always is None else np.concatenate([chosen, always]))


def areas(n: Any, largest: float = 90.0, least: float = 14.0) -> np.ndarray:
    """Marker areas proportional to the rows of each level."""
    n = np.asarray(n, dtype=float)
    return np.maximum(largest * n / max(float(n.max(initial=0.0)), 1.0), least)


def student_density(t: np.ndarray, df: float) -> np.ndarray:
    """Student's t density; normal for infinite degrees of freedom."""
    from scipy.special import gammaln

    if not df < 1e6:
        return np.asarray(np.exp(-0.5 * t * t) / math.sqrt(2.0 * math.pi))
    constant = gammaln((df + 1.0) / 2.0) - gammaln(df / 2.0) - 0.5 * math.log(df * math.pi)
    return np.asarray(np.exp(constant - (df + 1.0) / 2.0 * np.log1p(t * t / df)))


# --- names beside and inside a plot --------------------------------------------------------------------------------
def names_at_left(ax: Axes, names: Sequence[object], what: str) -> None:
    """Level names beside the rows when there is room for them, else one word for all."""
    if len(names) <= MOST_NAMES:
        ax.set_yticks(range(len(names)), [safe(n) for n in names], color=INK, fontsize=8)
    else:
        ax.set_yticks([])
        ax.set_ylabel(f"{len(names)} levels of {safe(what)}", color=GREY, fontsize=9)
    ax.set_ylim(-0.8, len(names) - 0.2)


def rows_height(levels: int) -> float:
    """Height in inches of that many rows."""
    return ROW * max(levels, 2) if levels <= MOST_NAMES else 6.0


def apart(places: Sequence[float], gap: float, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """The nearest places that are `gap` apart, in the same order: blocks of crowded ones are centred on their mean.

    They end between `low` and `high` as far as these leave room.
    """
    blocks: list[tuple[float, int]] = []  # start of each block, places in it
    order = sorted(range(len(places)), key=lambda i: places[i])
    for i in order:
        start, size = min(max(places[i], low), high), 1
        while blocks and blocks[-1][0] + gap * blocks[-1][1] > start:
            before, m = blocks.pop()
            start, size = (m * before + size * (start - gap * m)) / (m + size), m + size
            start = max(min(start, high - gap * (size - 1)), low)
        blocks.append((start, size))
    flat = [start + gap * k for start, size in blocks for k in range(size)]
    out = [0.0] * len(places)
    for i, place in zip(order, flat, strict=True):
        out[i] = place
    return out


def reach(values: np.ndarray, core: np.ndarray) -> tuple[float, float]:
    """Limits that show all of `core`, and of `values` all but a few that lie far beyond the others."""
    values, core = values[np.isfinite(values)], core[np.isfinite(core)]
    if not len(values):
        return -1.0, 1.0
    low, high = np.quantile(values, [0.02, 0.98])
    room = 1.0 * (high - low)
    inner = (min(low - room, core.min(initial=low)), max(high + room, core.max(initial=high)))
    return float(max(inner[0], values.min())), float(min(inner[1], values.max()))


def beyond(ax: Axes, rows: np.ndarray, values: np.ndarray, color: str = ORANGE) -> None:
    """Triangles at the edge of the picture for infinite values."""
    for sign, place, marker in ((1.0, 0.985, ">"), (-1.0, 0.015, "<")):
        here = np.isinf(values) & (np.sign(values) == sign)
        if here.any():
            x = np.full(int(here.sum()), place)
            ax.plot(x, rows[here], marker, color=color, markersize=7, zorder=5, transform=ax.get_yaxis_transform())


def call_out(
    ax: Axes, x: Sequence[float], y: Sequence[float], names: Sequence[str], gap: float, left: bool = False
) -> None:
    """Names beside points, moved up or down until they are `gap` apart, and joined to their points when moved."""
    for u, v, place, name in zip(x, y, apart(list(y), gap, *ax.get_ylim()), names, strict=True):
        moved = abs(place - v) > 0.2 * gap
        ax.annotate(
            name, (u, v), xytext=(-12 if left else 12, place), textcoords=("offset points", "data"), va="center",
            ha="right" if left else "left", fontsize=8, color=INK, zorder=6,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0.0, "pad": 0.8},
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 1, "shrinkB": 2}
            if moved else None,
        )  # fmt: skip


def worst(findings: Iterable[Finding]) -> str:
    """The two severest alarms of the checks as a heading; empty when there is none."""
    alarms = sorted((f for f in findings if f.alarming), key=lambda f: f.severity != "problem")
    text = "; ".join(f.title for f in alarms[:2]).replace("$", r"\$")
    more = f", and {counted(len(alarms) - 2, 'more finding')}" if len(alarms) > 2 else ""
    return f"{text[:1].upper()}{text[1:]}{more}"


def mixing(found: Chosen) -> str:
    """Whether chains agree, by the worst R̂ of the parameters that are shown."""
    if not len(found):
        return "Nothing varies"
    i = found.worst()
    value = float(found.found.rhat[i])
    if not value > 1.01:
        return f"The chains agree: the largest R-hat is {value:.3f}" if value == value else "Too few draws to tell"
    return f"The chains have not mixed: R-hat is {value:.2f} for {safe(found.names[i], 40)}"


# --- what to draw ----------------------------------------------------------------------------------------------------
def grouping_factor(fit: Fit, group: str | None) -> str:
    """The grouping factor to draw: the one named, or the one with the most levels.

    Raises
    ------
    SettingError
        For a model without grouping factors, and for an unknown name.
    """
    known = fit.model.groups
    known_factor(known, group)
    return max(known, key=lambda label: known[label]) if group is None else group


def known_factor(known: Mapping[str, int], group: str | None) -> None:
    """Refuse a model without grouping factors, and a name that is none of them."""
    if not known:
        raise SettingError("this model has no grouping factor to plot", hint="Add a term such as (1 | school).")
    if group is not None and group not in known:
        hint = nearest(str(group), known) or f"It has: {listed(known)}."
        raise SettingError(f'"{printable(group)}" is no grouping factor of this model', hint=hint)


def chosen_term(names: Sequence[str], term: str | None) -> str:
    """The coefficient to draw: the one named, or the first.

    Raises
    ------
    SettingError
        For a name that is no coefficient of the group.
    """
    if term is None:
        return names[0]
    if term not in names:
        hint = nearest(str(term), names) or f"It has: {listed(names)}."
        raise SettingError(f'"{printable(term)}" does not vary by this group', hint=hint)
    return term


def response(fit: Fit) -> str:
    """The response's name, safe to draw."""
    return safe(fit.model.design.response_name, 40)


SCALES = {
    "identity": "", "logit": "log odds", "log": "log", "probit": "probit", "cloglog": "log hazard",
    "cauchit": "cauchit", "inverse": "inverse", "sqrt": "root", "inverse_squared": "inverse square",
}  # fmt: skip
RATIOS = {"logit": "odds ratio", "log": "ratio", "cloglog": "hazard ratio"}  # what exp of a coefficient is


def scale(fit: Fit) -> str:
    """The scale of the location's linear predictor, in words; "" where it is that of the response."""
    family, links = fit.model.distribution.family, fit.model.distribution.links
    logs = "log" not in family.links and family.mean_scale(links) == "log"  # a lognormal's location is that of log y
    return SCALES["log"] if logs else SCALES.get(fit.model.link, fit.model.link)


def on_scale(fit: Fit) -> str:
    """The response on the scale of its coefficients: ``score``, ``log of count``, ``log odds of P(z = yes)``."""
    name = measured(fit)
    return f"{scale(fit)} of {name}" if scale(fit) else name


def measured(fit: Fit) -> str:
    """What a mean of the response is: ``score``, ``P(z = yes)``, ``proportion of k``."""
    name = response(fit)
    if fit.model.is_linear:
        return name
    family, obs = fit.model.distribution.family, fit.model.observations
    words = safe(family.words(obs), 60)
    if words.startswith("P("):
        return words
    if obs.trials is not None:
        return f"proportion of {name}"
    yes = family.discrete and not family.ordered and family.links[0] == "logit" and not obs.levels
    return f"P({name} = 1)" if yes else name


def one_location(fit: Fit, what: str) -> None:
    """Refuse categories without order, which have a linear predictor each.

    Raises
    ------
    SettingError
    """
    if len(fit.model.design.layout.locations) > 1:
        raise SettingError(
            f"{what} of categories without order: each has a linear predictor of its own",
            code="E_NOT_DEFINED",
            hint="See ml.plot.forest, ml.plot.caterpillar and ml.plot.predictive.",
        )
