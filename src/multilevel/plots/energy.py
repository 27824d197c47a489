"""Whether the energy of a Hamiltonian sampler moves freely: ``ml.plot.energy(fit)``.

    E-BFMI = mean (E_t − E_{t−1})² / Var(E)

The energy changes between transitions by what the momentum brings. Where these changes are small beside the spread of
the energy, tails of the posterior are reached in many small steps.

Reference: Betancourt (2016), arXiv:1604.00695.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import base
from .base import BLUE, GREY, INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..fit.fit import Fit

BINS = 40


def energy(fit: Fit, *, ax: Axes | None = None) -> Figure:
    """Distribution of the energy beside that of its changes.

    Parameters
    ----------
    fit : Fit
        By a Hamiltonian sampler (``estimator="nuts"``).
    ax : matplotlib Axes, optional
        Where to draw; a figure of its own otherwise.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    SettingError
        For a fit without draws (E_NOT_SAMPLED), or of a sampler that has no energy.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit = model.fit("nuts", draws=200, tune=200, chains=2)
    >>> ml.plot.energy(fit).axes[0].get_xlabel()
    'energy less its mean; change of energy'
    """
    from ..errors import SettingError
    from ..fit.diagnostics import LEAST_EBFMI, sample_of
    from ..numerics.diagnostics import e_bfmi

    sample = sample_of(fit, "energies")
    if "energy" not in sample.stats:
        raise SettingError("the sampler of this fit has no energy", hint='Fit with estimator="nuts" for this plot.')
    values = np.asarray(sample.stats["energy"], dtype=float)
    centred, steps = (values - values.mean()).ravel(), np.diff(values, axis=1).ravel()
    found = e_bfmi(values)
    sheet = base.sheet(6.4, 2.9, ax=ax)
    least, most = min(centred.min(), steps.min()), max(centred.max(), steps.max())
    edges = np.linspace(float(least), float(most), BINS + 1).tolist() if most > least else [-1.0, 1.0]
    whole = sheet.ax.hist(centred, edges, density=True, color=GREY, alpha=0.35, linewidth=0)[2]
    changes = sheet.ax.hist(steps, edges, density=True, histtype="step", color=BLUE, linewidth=1.8)[2]
    sheet.ax.set_yticks([])
    base.axis_names(sheet.ax, "energy less its mean; change of energy")
    base.key(sheet.ax, [whole[0], changes[0]], ["energy", "its changes"])  # type: ignore[index]
    sheet.ax.axvline(0.0, color=INK, linewidth=0.6)
    listed = ", ".join(base.number(float(v), 2) for v in found)
    low = int(np.sum(found < LEAST_EBFMI))
    if low:
        heading = f"The energy hardly moves in {low} of {base.counted(len(found), 'chain')}: tails are visited rarely"
    else:
        heading = "The energy moves freely"
    return sheet.head(heading, f"E-BFMI of the chains: {listed} (below {LEAST_EBFMI} is low).")


MEMBER = energy
