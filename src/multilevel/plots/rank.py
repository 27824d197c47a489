"""Whether every chain visits every part of a posterior equally often: ``ml.plot.rank(fit)``.

    F_c(r) − r,    F_c the distribution of the ranks of chain c among the draws of all chains, scaled to (0, 1)

Chains that explore the same distribution have uniform ranks: lines within the band. A chain below zero at the left and
above it at the right has draws in the middle only; one that stays above zero lies too low. The band holds all lines at
once with probability 95%, were the draws as many independent ones as they are worth (their ESS).

Reference: Säilynoja, Bürkner & Vehtari (2022), Statistics and Computing 32 (with independent draws).
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

MOST, COLUMNS = 6, 3
GRID = np.linspace(0.0, 1.0, 101)
INNER = slice(2, -2)  # at the very ends single ranks decide
REPLICATES = 300  # of the dealing behind the band


def rank(fit: Fit, parameters: str | Sequence[str] | None = None, most: int = MOST) -> Figure:
    """Distribution of the ranks of each chain's draws, less the uniform one.

    Parameters
    ----------
    fit : Fit
        By a sampler with two chains or more.
    parameters : str or list of str, optional
        Addresses (``"sd[school, ses]"``) or kinds (``"beta"``, ``"sd"``, ``"r_school"``); without, all but the group
        effects.
    most : int
        At most so many, those with the worst diagnostics.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a fit without draws (E_NOT_SAMPLED) or with a single chain, and unknown parameters.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("collapsed", draws=500)
    >>> ml.plot.rank(fit, "sd").axes[0].get_title(loc="left")
    'sd[school, Intercept]'
    """
    from ..errors import SettingError
    from ..fit.chosen import chosen

    found = chosen(fit, parameters, max(most, 1), "ranks")
    if found.sample.chains < 2:
        raise SettingError("ranks compare chains, and this fit has one", hint="Sample with chains=4.")
    columns = min(COLUMNS, len(found))
    rows = -(-len(found) // columns)
    sheet = base.sheet(max(3.0 * columns, 5.0), 2.3 * rows, rows, columns, sharey=True)
    for i, ax in enumerate(sheet.axes):
        ax.set_visible(i < len(found))
        if i < len(found):
            _panel(ax, found, i)
    sheet.axes[0].set_ylabel("chain's share below − rank", color=INK, fontsize=9.0)
    return sheet.head(base.mixing(found), _note(found))


def _note(found: Chosen) -> str:
    hidden = f" {base.counted(found.hidden, 'parameter')} with better diagnostics not shown." if found.hidden else ""
    return (
        f"One line a chain ({found.sample.chains}); grey: where all lie with probability 95% if the chains explore the "
        f"same distribution. Above zero: too many low draws.{hidden}"
    )


def _panel(ax: Axes, found: Chosen, i: int) -> None:
    ecdf = differences(found.draws(i))
    ess = found.found.ess_bulk[i]
    each = int(np.clip(np.nan_to_num(ess, nan=found.sample.draws) / found.sample.chains, 10, found.sample.draws))
    half = band(found.sample.chains, each)
    ax.fill_between(GRID, -half, half, color=GREY, alpha=0.22, linewidth=0)
    ax.axhline(0.0, color=INK, linewidth=0.8)
    outside = np.any((np.abs(ecdf) > half)[:, INNER], axis=1)
    for c, line in enumerate(ecdf):
        ax.plot(GRID, line, color=CHAINS[c % len(CHAINS)], linewidth=2.0 if outside[c] else 1.1,
                linestyle=base.STROKES[c % len(base.STROKES)])  # fmt: skip
    ax.set_title(safe(found.names[i], 30), loc="left", fontsize=9.5, fontweight="bold", pad=6,
                 color=ORANGE if outside.any() else INK)  # fmt: skip
    ax.set_xlim(0.0, 1.0)
    base.axis_names(ax, "rank (scaled)")


def differences(draws: np.ndarray) -> np.ndarray:
    """F_c − r of each chain (chains, grid) from draws (chains, draws)."""
    chains, n = draws.shape
    order = np.argsort(draws, axis=None, kind="stable")
    scaled = np.empty(chains * n)
    scaled[order] = (np.arange(chains * n) + 0.5) / (chains * n)
    ranks = np.sort(scaled.reshape(chains, n), axis=1)
    return np.stack([np.searchsorted(row, GRID, side="right") / n for row in ranks]) - GRID


def band(chains: int, n: int) -> np.ndarray:
    """Half-width at each point of the grid that holds all chains of `n` independent draws at once in 95% of cases."""
    rng = np.random.default_rng(0)
    n = min(n, 500)
    scale = np.sqrt(GRID * (1.0 - GRID) * (1.0 - 1.0 / chains) / n)
    most = np.empty(REPLICATES)
    for r in range(REPLICATES):
        dealt = differences(rng.permutation(chains * n).reshape(chains, n))
        most[r] = np.max(np.abs(dealt[:, INNER]) / scale[INNER])
    return np.asarray(np.quantile(most, 0.95) * scale)


MEMBER = rank
