"""How far apart groups are, as an odds ratio or a rate ratio.

    median ratio = exp(√(2 v) Φ⁻¹(¾)),    v = variance of the group's intercept

the median, over pairs of groups, of the larger odds (logit link) or mean (log link) over the smaller one, for rows
with the same predictors. 1 where groups do not differ.

References: Larsen & Merlo (2005), Am. J. Epidemiol. 161; Austin, Stryhn, Leckie & Merlo (2018), Statistics in
Medicine 37.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from .from_draws import median_ratios
from .scales import location

if TYPE_CHECKING:
    from ..fit.fit import Fit

LINKS = {"logit": "odds", "log": "mean"}


def median_ratio(fit: Fit) -> dict[str, Any]:
    """Columns ``group, kind, estimate, lower, upper``: one row for each intercept of the location that varies.

    Parameters
    ----------
    fit : Fit
        With the logit or the log link.

    Returns
    -------
    dict
        `kind` is ``"odds"`` or ``"mean"``; intervals are those of the standard deviations.

    Raises
    ------
    SettingError
        For other links (E_NOT_DEFINED).
    """
    from scipy.special import ndtri

    link = fit.model.link
    if link not in LINKS:
        raise SettingError(
            f'a median ratio is for the logit and the log link, and this model has "{link}"',
            code="E_NOT_DEFINED",
            hint="Standard deviations themselves are in variance_components.",
        )
    terms, _ = fit.sd_intervals(fit.level)
    factor = float(np.sqrt(2.0) * ndtri(0.75))
    rows = []
    for t, (g, c) in enumerate(zip(fit.model.design.groups, fit.estimates.covariances, strict=True)):
        if location(fit, t) and "Intercept" in g.names:
            j = g.names.index("Intercept")
            if fit.sampled:
                found = median_ratios(fit, t, j, factor, fit.level)
            else:
                sd, low, high = (float(np.exp(factor * sd)) for sd in (np.sqrt(c[j, j]), *terms[t][j]))
                found = sd, low, high
            rows.append((g.label, *found))
    names = ("estimate", "lower", "upper")
    columns = {name: np.array([row[i + 1] for row in rows], dtype=float) for i, name in enumerate(names)}
    return {"group": [row[0] for row in rows], "kind": [LINKS[link]] * len(rows), **columns}
