"""Where the variance sits: the part of each level, with intervals.

    v_g = mean over rows of z'Σ_g z,   share_g = v_g / (Σ_h v_h + v_ε)

For intercepts alone v_g is the variance of g. Intervals combine the profile intervals of the standard deviations
(`variance/intervals.py`); with varying slopes they come from the observed information. In generalized models
variances are those of the link's scale, and that of an observation is held at its estimate (`variance/scales.py`). Of
sampled fits everything is computed in each draw (`variance/from_draws.py`).

References: Goldstein, Browne & Rasbash (2002), Understanding Statistics 1; Johnson (2014), Methods Ecol. Evol. 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..glossary import RESIDUAL
from .icc import _containing, group_variances, mean_variance, residual_variance
from .intervals import Ends, delta_interval, share_interval, sum_interval
from .scales import check_scale, location

if TYPE_CHECKING:
    from ..fit.fit import Fit


def shares(fit: Fit, level: float | None = None) -> dict[str, Any]:
    """Columns ``component, variance, share, lower, upper``: one row for each grouping factor, the residual last.

    Parameters
    ----------
    fit : Fit
    level : float, optional
        Coverage of the intervals of the shares; that of the fit otherwise.
    """
    if fit.sampled:
        from .from_draws import shares as of_draws

        check_scale(fit, "link")
        return of_draws(fit, fit.level if level is None else level)
    parts = components(fit, fit.level if level is None else level)
    total = sum(value for value, _ in parts.values())
    rows = [_share(parts, [label]) for label in parts]
    return {
        "component": list(parts),
        "variance": np.array([value for value, _ in parts.values()]),
        "share": np.array([v / total if total > 0.0 else np.nan for v, _ in parts.values()]),
        "lower": np.array([low for low, _ in rows]),
        "upper": np.array([high for _, high in rows]),
    }


def icc_table(fit: Fit, level: float | None = None) -> dict[str, Any]:
    """Columns ``group, kind, estimate, lower, upper``: both intraclass correlations of every grouping factor."""
    if fit.sampled:
        from .from_draws import icc_table as of_draws

        check_scale(fit, "link")
        return of_draws(fit, fit.level if level is None else level)
    parts = components(fit, fit.level if level is None else level)
    total = sum(value for value, _ in parts.values())
    containing = {label: own for label, own in _containing(fit.model.design).items() if label in parts}
    out: dict[str, list[Any]] = {name: [] for name in ("group", "kind", "estimate", "lower", "upper")}
    for label in containing:
        for kind, members in (("share", [label]), ("correlation", containing[label])):
            value = sum(parts[m][0] for m in members if m in parts) / total if total > 0.0 else np.nan
            for name, cell in zip(
                out, (label, kind, value, *_share(parts, [m for m in members if m in parts])), strict=True
            ):
                out[name].append(cell)
    return {name: cells if name in ("group", "kind") else np.array(cells) for name, cells in out.items()}


def components(fit: Fit, level: float) -> dict[str, tuple[float, Ends]]:
    """Variance of each grouping factor and of the residual, with its interval."""
    check_scale(fit, "link")
    terms, residual = fit.sd_intervals(level) if fit.model.design.groups else ([], _residual_ends(fit, level))
    values = group_variances(fit)
    out = {label: (value, _ends(fit, label, terms, level)) for label, value in values.items()}
    of_residual = residual_variance(fit)
    factor = of_residual / fit.sigma**2 if fit.sigma else 1.0
    ends = (residual[0] ** 2 * factor, residual[1] ** 2 * factor) if fit.sigma else (of_residual, of_residual)
    return {**out, RESIDUAL: (of_residual, ends)}


def _residual_ends(fit: Fit, level: float) -> Ends:
    return fit.sd_intervals(level)[1]


def _ends(fit: Fit, label: str, terms: list[list[tuple[float, float]]], level: float) -> Ends:
    """Interval of v_g."""
    design = fit.model.design
    mine = [t for t, g in enumerate(design.groups) if g.label == label and location(fit, t)]
    squares = []  # sd by sd: right for intercepts, and the only way at a zero
    for t in mine:
        group = design.groups[t]
        for j, column in enumerate(group.columns):
            weight = 1.0 if column is None else mean_variance(design, (column,), np.ones((1, 1)))
            value = float(fit.estimates.covariances[t][j, j]) * weight
            low, high = terms[t][j]
            squares.append((value, (low**2 * weight, high**2 * weight)))
    if len(squares) == 1:
        return squares[0][1]

    def of_group(covariances: list[np.ndarray], _: float) -> np.ndarray:
        return np.array([sum(mean_variance(design, design.groups[t].columns, covariances[t]) for t in mine)])

    low, high = delta_interval(fit, of_group, level, "log")[0]
    return (float(low), float(high)) if np.isfinite(high) else sum_interval(squares)[1]


def _share(parts: dict[str, tuple[float, Ends]], members: list[str]) -> Ends:
    a, a_ends = sum_interval([parts[m] for m in members]) if len(members) > 1 else parts[members[0]]
    others = [part for label, part in parts.items() if label not in members]
    if not others:
        return float("nan"), float("nan")
    b, b_ends = sum_interval(others) if len(others) > 1 else others[0]
    return share_interval(a, a_ends, b, b_ends)
