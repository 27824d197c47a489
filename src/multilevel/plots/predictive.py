"""Would the fitted model produce groups like these? ``ml.plot.predictive(fit)``.

    y* ~ the fitted model with new group effects,    statistics of each level's rows against those of y*

Mean, sd, min and max; of counts the share of zeros, of yes or no the mean, of categories their shares. Grey bars hold
the statistic of every level at once in 95% of the simulated data sets; points outside them are orange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, FAINT, MOST_NAMES, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.predictive import Predictive, PredictiveChecks
    from ..fit.fit import Fit

MOST = 6  # panels
NAMED = 3  # levels outside that are named when there is no room for all names


def predictive(subject: Fit | PredictiveChecks, group: str | None = None, n: int = 200, seed: int = 0) -> Figure:
    """Statistics of each level's rows, against data simulated from the fit.

    Parameters
    ----------
    subject : Fit or PredictiveChecks
        A fit, or what ``predictive_checks`` returned.
    group : str, optional
        A grouping factor; the one with the most levels otherwise.
    n : int
        Simulated data sets, 20 or more.
    seed : int

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For an unknown group, a model without any, and too few simulations.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [ax.get_title(loc="left") for ax in ml.plot.predictive(fit, n=50).axes]
    ['mean', 'sd', 'min', 'max']
    """
    from ..checks.predictive import PredictiveChecks, predictive_checks

    if isinstance(subject, PredictiveChecks):
        sizes = {part.group: len(part.levels) for part in subject.groups}
        base.known_factor(sizes, group)
        label, found = group or max(sizes, key=lambda g: sizes[g]), subject
    else:
        label = base.grouping_factor(subject, group)
        found = predictive_checks(subject, n, seed)
    part = next(p for p in found.groups if p.group == label)
    shown = [name for name in part.observed if np.isfinite(part.observed[name]).any()][:MOST]
    if not shown:
        raise SettingError("the categories are too many to compare", hint="Look at ml.plot.distribution(fit).")
    if np.all(part.n <= 1):  # the mean, the least and the largest of one row are that row
        shown = shown[:1]
    order = np.argsort(part.observed[shown[0]], kind="stable")
    height = 0.75 + base.rows_height(len(order))
    sheet = base.sheet(1.6 + 2.1 * max(len(shown), 2), height, 1, len(shown), sharey=True)
    base.names_at_left(sheet.ax, [part.levels[i] for i in order], label)
    for panel, name in zip(sheet.axes, shown, strict=True):
        _panel(panel, part, name, order)
        base.title(panel, safe(name, 24))
    return sheet.head(_finding(part, shown), f"Grey: 95% of {found.draws} simulated data sets, all levels at once.")


def _panel(ax: Axes, part: Predictive, name: str, order: np.ndarray) -> None:
    rows = np.arange(len(order))
    lower, upper = (end[order] for end in part.band(name))
    observed = part.observed[name][order]
    outside = np.isin(order, part.outside(name))
    few = len(rows) <= MOST_NAMES
    ax.hlines(rows, lower, upper, color=FAINT, linewidth=5.5 if few else 1.0, zorder=1)
    for here, colour, size in ((~outside, BLUE, 1.0), (outside, ORANGE, 1.6)):
        ax.scatter(observed[here], rows[here], color=colour, s=size * (18 if few else 5), linewidth=0, zorder=3)
    if not few:
        worst = [int(np.flatnonzero(order == i)[0]) for i in part.outside(name)[:NAMED]]
        names = [safe(part.levels[order[i]]) for i in worst]
        base.call_out(ax, [float(observed[i]) for i in worst], worst, names, 1.5 * len(rows) / MOST_NAMES)


def _finding(part: Predictive, shown: list[str]) -> str:
    counts = {name: len(part.outside(name)) for name in shown}
    levels = f"levels of {safe(part.group)}"
    if not any(counts.values()):
        return f"All {len(part.levels)} {levels} look like simulated ones"
    most = max(counts, key=lambda name: counts[name])
    worst = safe(part.levels[int(part.outside(most)[0])])
    others = f" ({worst} most of all)" if counts[most] > 1 else f" ({worst})"
    verb = "is" if counts[most] == 1 else "are"
    return f"{counts[most]} of {len(part.levels)} {levels} {verb} unlike simulated ones in the {most}{others}"


MEMBER = predictive
