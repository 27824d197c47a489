"""What would the model say before it has seen the data? ``ml.plot.prior_predictive(model)``.

    θ ~ p(θ),  y* ~ p(y | θ),    statistics of y* beside those of y

A histogram for each statistic of the simulated data sets, the middle 95% of them; the vertical line is the response as
it was observed. The prior is right to be wider than the data; it is to be mended where it never reaches them, or goes
where no response can be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import listed
from . import base
from .base import BLUE, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..checks.prior_predictive import PriorPredictive
    from ..model.model import Model

MOST, SLICES = 6, 24  # panels, bars of each
ENDS = (0.025, 0.975)


def prior_predictive(subject: Model | PriorPredictive, draws: int = 500, seed: int = 0) -> Figure:
    """Statistics of data simulated from the priors, and of the data.

    Parameters
    ----------
    subject : Model or PriorPredictive
        A model with proper priors, or what ``ml.prior_predictive`` returned.
    draws : int
    seed : int

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For flat priors, and too few draws.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> [ax.get_title(loc="left") for ax in ml.plot.prior_predictive(model, draws=50).axes]
    ['mean', 'sd', 'min', 'max']
    """
    from ..checks.prior_predictive import PriorPredictive, prior_predictive

    found = subject if isinstance(subject, PriorPredictive) else prior_predictive(subject, draws, seed)
    names = list(found.statistics)[:MOST]
    columns = min(len(names), 4)
    sheet = base.sheet(2.1 * columns + 0.6, 2.2 * -(-len(names) // columns), -(-len(names) // columns), columns)
    for ax, name in zip(sheet.axes, names, strict=False):
        _panel(ax, name, *found.statistics[name])
    for ax in sheet.axes[len(names) :]:
        ax.set_visible(False)
    note = f"Bars: {found.draws} data sets simulated from the priors, the middle 95%. Lines: the data."
    return sheet.head(_finding(found, names), note)


def _panel(ax: Axes, name: str, draws: np.ndarray, observed: float) -> None:
    low, high = np.quantile(draws, ENDS)
    inside = draws[(draws >= low) & (draws <= high)]
    spread = high - low if high > low else max(abs(high), 1.0)
    ax.hist(inside, np.linspace(low, low + spread, SLICES + 1).tolist(), color=BLUE, alpha=0.55, linewidth=0)
    ax.axvline(observed, color=INK if low <= observed <= high else ORANGE, linewidth=1.8)
    ax.set_yticks([])
    ax.locator_params(axis="x", nbins=4)
    base.title(ax, safe(name))


def _finding(found: PriorPredictive, names: list[str]) -> str:
    """Which observed statistics the prior hardly reaches."""
    beyond = []
    for name in names:
        draws, observed = found.statistics[name]
        low, high = np.quantile(draws, ENDS)
        if not low <= observed <= high:
            beyond.append(name)
    if found.clipped > ENDS[0]:
        return f"{100.0 * found.clipped:.0f}% of the prior's data sets are beyond any number: the priors are too wide"
    if beyond:
        return f"The priors hardly reach the data: {listed(beyond, 4)}"
    return "The data are among what the priors expect"


MEMBER = prior_predictive
