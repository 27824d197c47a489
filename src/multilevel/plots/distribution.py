"""Would the fitted model produce a response like this? ``ml.plot.distribution(fit)``.

    n_k = rows with y in k,    against n*_k of data simulated with new group effects

Bars are the rows, one bar a count or a category (a slice of the range for numbers); lines hold 95% of the simulated
data sets at each place, the point is their mean. Counts are on a root scale, where the scatter of a bar is the same at
every height and the tail can be seen (a rootogram). Bars beyond their line are orange.

Reference: Kleiber & Zeileis (2016), *Visualizing Count Data Regressions Using Rootograms*, Am. Stat. 70.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

NUMBERS = 8_000_000  # simulated responses
SLICES, SINGLE = 30, 40  # bars of numbers; counts up to which each has a bar of its own
NAMES = 12


@dataclass(frozen=True)
class Bars:
    """Rows in each bar, observed and simulated.

    Attributes
    ----------
    edges : (k + 1,) ends of the bars;  names : of categories, () for numbers
    observed : (k,);  simulated : (k, draws)
    """

    edges: np.ndarray
    names: tuple[str, ...]
    observed: np.ndarray
    simulated: np.ndarray
    counts: bool

    @property
    def outside(self) -> np.ndarray:
        """Bars beyond what 95% of the simulations give at that place."""
        low, high = np.quantile(self.simulated, [0.025, 0.975], axis=1)
        return np.asarray((self.observed < low) | (self.observed > high))


def distribution(fit: Fit, n: int = 200, seed: int = 0, ax: Axes | None = None) -> Figure:
    """The response as it is, and as the fitted model makes it.

    Parameters
    ----------
    fit : Fit
    n : int
        Simulated data sets, 20 or more; fewer are made of many rows.
    seed : int
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For too few simulations, and for estimators without a model of the groups.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> ml.plot.distribution(fit, n=20).axes[0].get_xlabel()
    'score'
    """
    if n < 20:
        raise SettingError(f"n={n} simulations are too few", hint="Use 200.")
    bars = counted(fit, n, seed)
    sheet = base.sheet(7.2, 3.4, ax=ax)
    base.quiet(sheet.ax, "y")
    _draw(sheet.ax, bars)
    base.axis_names(sheet.ax, _measured(fit), "rows" + (" (root scale)" if bars.counts else ""))
    note = f"Bars: the rows. Lines and points: 95% and mean of {bars.simulated.shape[1]} simulated data sets."
    return sheet.head(_finding(bars), note)


def counted(fit: Fit, n: int = 200, seed: int = 0) -> Bars:
    """The numbers that the plot shows."""
    model, y = fit.model, fit.model.design.response
    draws = int(np.clip(NUMBERS // max(len(y), 1), 20, n))
    star = fit.simulate(draws, seed=seed, target="new_group")
    obs = None if model.is_linear else model.observations
    if obs is not None and obs.trials is not None:
        star = star / obs.trials
    family = model.distribution.family
    discrete = not model.is_linear and family.discrete
    names = obs.levels if obs is not None and len(obs.levels) > 2 else ()
    counts = discrete and family.links[0] == "log"
    edges = _edges(y, discrete and (obs is None or obs.trials is None))

    def heights(values: np.ndarray) -> np.ndarray:
        inside = np.clip(values, edges[0], edges[-1])  # what lies beyond joins the last bar
        return np.asarray(np.histogram(inside, edges)[0])

    return Bars(edges, names, heights(y), np.stack([heights(row) for row in star], axis=1), counts)


def _edges(y: np.ndarray, whole: bool) -> np.ndarray:
    """One bar for each whole number while they are few; slices of equal width otherwise."""
    low, high = float(y.min()), float(y.max())
    if whole:
        step = max(1.0, np.ceil((high + 1.0) / SINGLE))
        return np.arange(0.0, high + step + 1.0, step) - 0.5
    return np.linspace(low, high, int(np.clip(np.sqrt(len(y)), 8, SLICES)) + 1)


def _draw(ax: Axes, bars: Bars) -> None:
    width = np.diff(bars.edges)
    centre = bars.edges[:-1] + 0.5 * width
    low, high = np.quantile(bars.simulated, [0.025, 0.975], axis=1)
    ax.bar(centre, bars.observed, 0.84 * width, color=np.where(bars.outside, ORANGE, BLUE), alpha=0.55, linewidth=0)
    ax.vlines(centre, low, high, color=INK, linewidth=2.4 if len(centre) <= SINGLE else 1.2, alpha=0.75)
    ax.plot(centre, bars.simulated.mean(axis=1), "o", color=INK, markersize=3.4)
    if bars.counts:
        ax.set_yscale("function", functions=(lambda v: np.sqrt(np.maximum(v, 0.0)), lambda v: v**2))
    ax.set_ylim(0.0, 1.06 * float(max(high.max(), bars.observed.max())))
    if bars.names:
        few = len(bars.names) <= NAMES
        ax.set_xticks(centre[: len(bars.names)], [safe(v, 14) for v in bars.names], rotation=0 if few else 90)
    ax.tick_params(colors=GREY)


def _measured(fit: Fit) -> str:
    trials = not fit.model.is_linear and fit.model.observations.trials is not None
    return base.measured(fit) if trials else base.response(fit)


def _finding(bars: Bars) -> str:
    """How many bars the model misses; one in twenty is chance."""
    missed, all_bars = int(bars.outside.sum()), len(bars.observed)
    if missed <= max(1, round(0.1 * all_bars)):
        return "The response looks like one that the model makes"
    excess = bars.observed - bars.simulated.mean(axis=1)
    worst = int(np.argmax(np.where(bars.outside, np.abs(excess) / np.sqrt(bars.simulated.mean(axis=1) + 1.0), -1.0)))
    what = "more" if excess[worst] > 0 else "fewer"
    if bars.names:
        place = safe(bars.names[worst])
    elif bars.counts and bars.edges[1] - bars.edges[0] == 1.0:
        place = base.number(float(bars.edges[worst] + 0.5))
    else:
        place = base.between(float(bars.edges[worst]), float(bars.edges[worst + 1]))
    return f"The model misses {missed} of {all_bars} bars, most of all {place}: {what} rows than it makes"


MEMBER = distribution
