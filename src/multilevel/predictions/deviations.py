"""How far the levels are from the average, with everything that is uncertain about it.

    b_ℓk  around b̂_ℓk:  Var(b̂ − b), which holds the uncertainty of β̂, and that of the variance components as extra
    variance and as degrees of freedom. The standard errors of `Fit.group_effects` are conditional on all of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..fit.estimates import Combination
from ..fit.tables import quantile

if TYPE_CHECKING:
    from ..fit.fit import Fit


def half_widths(fit: Fit, t: int, k: int, term: str | None = None, level: float | None = None) -> np.ndarray:
    """Half-widths of the intervals of b_ℓk of every level, or of β + b_ℓk.

    Parameters
    ----------
    fit : Fit
    t, k : int
        The group term and the coefficient in it.
    term : str, optional
        The fixed effect to add; the deviation alone without one.
    level : float, optional
        Coverage; that of the fit otherwise.
    """
    groups, fixed = fit.model.design.groups, fit.model.design.fixed_names
    count = len(groups[t].levels)
    x = np.zeros((count, len(fixed)))
    if term in fixed:
        x[:, fixed.index(str(term))] = 1.0
    codes = [np.full(count, -1, np.int32) for _ in groups]
    z = [np.zeros((count, len(g.names))) for g in groups]
    codes[t], z[t][:, k] = np.arange(count, dtype=np.int32), 1.0
    spread = fit.estimates.certainty.spread(Combination(x, tuple(codes), tuple(z)))
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.maximum(spread.variance, 0.0))
        return np.asarray(quantile(spread.df, fit.level if level is None else level) * error)
