"""Draws of parameters against each other, divergent transitions marked: ``ml.plot.pair(fit)``.

Standard deviations are drawn on a logarithmic scale, on which the funnel of a badly identified one shows: its narrow
end is where divergences gather.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.chosen import Chosen
    from ..fit.fit import Fit

MOST = 4
POINTS = 2000  # draws that are drawn; divergent ones always


def pair(fit: Fit, parameters: str | Sequence[str] | None = None, most: int = MOST) -> Figure:
    """Scatter plots of pairs of parameters.

    Parameters
    ----------
    fit : Fit
        By a sampler.
    parameters : str or list of str, optional
        Addresses (``"sd[school, ses]"``, ``"r_school[a, Intercept]"``) or kinds (``"beta"``, ``"sd"``); without, those
        in which divergent transitions differ most from the others, or the most correlated ones.
    most : int
        At most so many parameters, two or more.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a fit without draws (E_NOT_SAMPLED), unknown parameters, or fewer than two of them.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("collapsed", draws=500)
    >>> ml.plot.pair(fit, ["beta[Intercept]", "sigma"]).axes[0].get_ylabel()
    'log10 sigma'
    """
    from ..errors import SettingError
    from ..fit.chosen import chosen

    found = chosen(fit, parameters, 10_000 if parameters is None else max(most, 2), "pairs")
    if len(found) < 2:
        raise SettingError("a pair needs two parameters", hint='Such as parameters=["sd[g, Intercept]", "sigma"].')
    divergent = np.asarray(found.sample.stats.get("divergent", np.zeros(found.chains.draws.shape[:2]))).ravel() > 0
    values = np.column_stack([_scaled(found, i) for i in range(len(found))])
    shown = _telling(values, divergent, max(most, 2)) if len(found) > most else list(range(len(found)))
    k = len(shown) - 1
    sheet = base.sheet(2.3 * k + 1.2, 2.1 * k + 0.4, k, k, sharex="col", sharey="row")
    for row, i in enumerate(shown[1:]):
        for column, j in enumerate(shown[:-1]):
            ax = sheet.axes[row * k + column]
            ax.set_visible(column <= row)
            if column <= row:
                _panel(ax, values[:, j], values[:, i], divergent)
                below = _label(found, j) if row == k - 1 else ""
                base.axis_names(ax, below, _label(found, i) if column == 0 else "")
    return sheet.head(_finding(found, values, divergent, shown), _note(divergent))


def _scaled(found: Chosen, i: int) -> np.ndarray:
    """Draws of a parameter; logarithms of positive ones."""
    draws = found.draws(i).ravel()
    return np.log10(draws) if _logarithmic(found, i) else draws


def _logarithmic(found: Chosen, i: int) -> bool:
    return found.chains.keys[i][0] not in ("beta", "cor", "r") and float(found.draws(i).min()) > 0.0


def _label(found: Chosen, i: int) -> str:
    name = safe(found.names[i], 30)
    return f"log10 {name}" if _logarithmic(found, i) else name


def _telling(values: np.ndarray, divergent: np.ndarray, most: int) -> list[int]:
    """Parameters in which divergent draws lie apart; without such draws, the most correlated ones."""
    spread = values.std(axis=0)
    if divergent.any() and not divergent.all():
        score = np.abs(values[divergent].mean(axis=0) - values[~divergent].mean(axis=0)) / spread
    else:
        correlation = np.abs(np.corrcoef(values, rowvar=False))
        np.fill_diagonal(correlation, 0.0)
        score = np.nan_to_num(correlation).max(axis=0)
    return sorted(int(i) for i in np.argsort(-np.nan_to_num(score), kind="stable")[:most])


def _panel(ax: Axes, x: np.ndarray, y: np.ndarray, divergent: np.ndarray) -> None:
    base.quiet(ax, "both")
    usual = np.flatnonzero(~divergent)
    usual = usual[base.thinned(len(usual), most=POINTS)]
    ax.scatter(x[usual], y[usual], s=5, color=BLUE, alpha=0.25, linewidth=0)
    ax.scatter(x[divergent], y[divergent], s=22, color=ORANGE, marker="x", linewidth=1.1, zorder=4)
    ax.locator_params(nbins=5)
    ax.tick_params(labelsize=8, colors=GREY)
    ax.xaxis.label.set_color(INK)


def _finding(found: Chosen, values: np.ndarray, divergent: np.ndarray, shown: list[int]) -> str:
    if divergent.any():
        scores = [_apart(values[:, i], divergent) for i in shown]
        i = int(np.argmax(np.abs(scores)))
        if abs(scores[i]) > 0.5:
            side = "low" if scores[i] < 0 else "high"
            return f"Divergent transitions gather at {side} {safe(found.names[shown[i]], 40)}"
        return f"{base.counted(int(divergent.sum()), 'divergent transition')}, in no particular place"
    correlation = np.corrcoef(values[:, shown], rowvar=False)
    np.fill_diagonal(correlation, 0.0)
    first, second = divmod(int(np.argmax(np.abs(correlation))), len(shown))
    a, b = (safe(found.names[shown[at]], 30) for at in (first, second))
    if abs(correlation[first, second]) < 0.3:
        return "No two of these parameters depend on each other much"
    return f"{a} and {b} go together: their correlation is {base.number(float(correlation[first, second]), 2)}"


def _apart(values: np.ndarray, divergent: np.ndarray) -> float:
    """How far divergent draws lie from the others, in standard deviations."""
    if divergent.all():
        return 0.0
    return float((values[divergent].mean() - values[~divergent].mean()) / (values.std() or 1.0))


def _note(divergent: np.ndarray) -> str:
    marked = f"Crosses: {base.counted(int(divergent.sum()), 'divergent transition')}. " if divergent.any() else ""
    return f"{marked}One point a draw; standard deviations and other positive parameters as logarithms."


MEMBER = pair
