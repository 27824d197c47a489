"""Are the ranks of simulated truths uniform? ``ml.plot.calibration(ml.calibrate(model, …))``.

    F̂(r) − F(r) of the ranks of each quantity, with the band that holds all of a uniform set with probability 95 %

A line above the band at its left end: truths below their posteriors too often (posteriors too high); first above, then
below: posteriors too narrow; the other way round: too wide.

Reference: Säilynoja, Bürkner & Vehtari (2022), Statistics & Computing 32:32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, listed, nearest, printable
from . import base
from .base import BLUE, GREY, INK, ORANGE, safe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from ..checks.calibration import Calibration

MOST = 12  # panels


def calibration(result: Calibration, quantities: Sequence[str] | None = None) -> Figure:
    """Deviation of the ranks from uniform, one panel a quantity.

    Parameters
    ----------
    result : Calibration
        What ``ml.calibrate`` returned.
    quantities : sequence of str, optional
        Their names; the twelve with the smallest p-values otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a name that was not ranked.

    Examples
    --------
    >>> import numpy as np
    >>> from multilevel.checks.calibration import Calibration
    >>> ranks = np.random.default_rng(1).integers(0, 100, (200, 2))
    >>> figure = calibration(Calibration(("sigma", "sd[g]"), ranks, 99, "nuts"))
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['sigma', 'sd[g]']
    """
    from ..checks.ranks import band

    adjusted = result.adjusted
    places = _places(result, quantities)
    columns = min(4, len(places))
    sheet = base.sheet(max(2.4 * columns, 4.2), 2.0 * -(-len(places) // columns), -(-len(places) // columns), columns)
    limits = band(result.n, result.largest)
    at = np.arange(1, result.largest + 2) / (result.largest + 1)
    for ax, j in zip(sheet.axes, places, strict=False):
        counts = np.bincount(result.ranks[:, j], minlength=result.largest + 1).cumsum() / result.n
        fails = adjusted[j] <= 0.01
        ax.fill_between(at, limits.low - at, limits.high - at, color=GREY, alpha=0.22, linewidth=0, step="post")
        ax.axhline(0.0, color=INK, linewidth=0.8)
        ax.step(at, counts - at, where="post", color=ORANGE if fails else BLUE, linewidth=1.4)
        base.quiet(ax, "y")
        base.title(ax, safe(result.names[j], 26) + (" !" if fails else ""))
    for ax in sheet.axes[len(places) :]:
        ax.set_visible(False)
    failed = [result.names[j] for j in range(len(result.names)) if adjusted[j] <= 0.01]
    head = f"{safe(result.estimator)} is calibrated" if result.passed else f"Not calibrated: {listed(failed, 3)}"
    note = (
        f"Share of ranks up to each place minus the uniform one; {result.n} simulations. "
        "Band: all of a uniform set with probability 95%."
    )
    return sheet.head(head.replace("$", r"\$"), note)


def _places(result: Calibration, quantities: Sequence[str] | None) -> list[int]:
    if quantities is None:
        worst = np.argsort(result.adjusted, kind="stable")[:MOST]
        return sorted(int(j) for j in worst)
    for name in quantities:
        if name not in result.names:
            hint = nearest(name, result.names) or f"There are: {listed(result.names, 12)}."
            raise SettingError(f'"{printable(name)}" was not ranked', hint=hint)
    return [result.names.index(name) for name in quantities]


MEMBER = calibration
