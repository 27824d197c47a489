"""The draws of every chain in their order: ``ml.plot.trace(fit)``.

Left the distribution that each chain found, right its way. Chains that agree lie on top of each other; ticks under the
right panel are divergent transitions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import base
from .base import CHAINS, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.chosen import Chosen
    from ..fit.fit import Fit

MOST = 6
POINTS = 200  # of a density curve
LONGEST = 2000  # draws of a chain that are drawn


def trace(fit: Fit, parameters: str | Sequence[str] | None = None, most: int = MOST) -> Figure:
    """Distribution and course of the draws, chain by chain.

    Parameters
    ----------
    fit : Fit
        By a sampler.
    parameters : str or list of str, optional
        Addresses (``"sd[school, ses]"``, ``"r_school[a, Intercept]"``) or kinds (``"beta"``, ``"sd"``); without, all
        but the group effects.
    most : int
        At most so many, those with the worst diagnostics.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a fit without draws (E_NOT_SAMPLED), and unknown parameters.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("collapsed", draws=500)
    >>> len(ml.plot.trace(fit, "beta").axes)
    2
    """
    from ..fit.chosen import chosen

    found = chosen(fit, parameters, max(most, 1), "traces")
    rows = len(found)
    sheet = base.sheet(8.4, 1.45 * rows + 0.2, rows, 2, width_ratios=[1.0, 2.4])
    for i in range(rows):
        _density(sheet.axes[2 * i], found, i)
        _course(sheet.axes[2 * i + 1], found, i)
    base.axis_names(sheet.axes[-1], "draw")
    return sheet.head(base.mixing(found), _note(found))


def _note(found: Chosen) -> str:
    chains = base.counted(found.sample.chains, "chain")
    ticks = "; ticks: divergent transitions" if np.any(found.sample.stats.get("divergent", False)) else ""
    hidden = f"; {base.counted(found.hidden, 'parameter')} with better diagnostics not shown" if found.hidden else ""
    return f"One line a chain ({chains}): left its distribution, right its course{ticks}{hidden}."


def _density(ax: Axes, found: Chosen, i: int) -> None:
    for c, draws in enumerate(found.draws(i)):
        x, height = _smooth(draws)
        ax.plot(x, height, color=CHAINS[c % len(CHAINS)], linewidth=1.2, linestyle=base.STROKES[c % len(base.STROKES)])
    ax.set_yticks([])
    ax.set_ylim(0.0, None)
    base.title(ax, safe(found.names[i], 34))


def _smooth(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel density with Silverman's width, from a fine histogram."""
    low, high = float(draws.min()), float(draws.max())
    spread = min(float(draws.std()), float(np.subtract(*np.quantile(draws, [0.75, 0.25]))) / 1.34) or float(draws.std())
    width = 0.9 * spread * len(draws) ** -0.2
    if not width > 0.0:
        return np.array([low - 1.0, low + 1.0]), np.zeros(2)
    x = np.linspace(low - 2.0 * width, high + 2.0 * width, POINTS)
    counts, edges = np.histogram(draws, 400, (low, high))
    centres = 0.5 * (edges[1:] + edges[:-1])
    kernel = np.exp(-0.5 * ((x[:, None] - centres) / width) ** 2)
    return x, kernel @ counts / (len(draws) * width * np.sqrt(2.0 * np.pi))


def _course(ax: Axes, found: Chosen, i: int) -> None:
    draws = found.draws(i)
    step = max(1, -(-draws.shape[1] // LONGEST))
    at = np.arange(0, draws.shape[1], step)
    for c, values in enumerate(draws):
        ax.plot(at, values[at], color=CHAINS[c % len(CHAINS)], linewidth=0.5, alpha=0.8)
    divergent = np.asarray(found.sample.stats.get("divergent", np.zeros(draws.shape)))
    places = np.flatnonzero(divergent.any(axis=0))
    if len(places):
        ax.plot(places, np.full(len(places), 0.02), "|", color=INK, markersize=7, mew=1.2, clip_on=False,
                transform=ax.get_xaxis_transform())  # fmt: skip
    ax.set_xlim(0, draws.shape[1])
    ax.tick_params(labelleft=True)
    ax.locator_params(axis="y", nbins=4)
    rhat, ess = float(found.found.rhat[i]), float(np.fmin(found.found.ess_bulk[i], found.found.ess_tail[i]))
    text = f"R\u0302 {rhat:.3f}   ESS {ess:.0f}" if rhat == rhat else ""
    ax.set_title(text, loc="right", fontsize=8.5, color=ORANGE if rhat > 1.01 else GREY, pad=3)
    ax.yaxis.label.set_color(INK)


MEMBER = trace
