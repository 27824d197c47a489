"""Intraclass correlation along a predictor whose slope varies.

    ICC_g(x) = v_g(x) / (Σ_h v_h(x) + v_ε),    v_g(x) = z(x)'Σ_g z(x)

With varying slopes how alike two rows of a group are depends on where they stand; other columns are at their means. In
generalized models v_ε is the variance of an observation on the link's scale at the population's mean.

Reference: Goldstein, Browne & Rasbash (2002), Understanding Statistics 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, nearest, printable
from .icc import residual_variance
from .intervals import delta_interval, over_covariances
from .scales import check_scale, location

if TYPE_CHECKING:
    from ..fit.fit import Fit

POINTS = 41


def icc_along(
    fit: Fit, term: str | None = None, values: Sequence[float] | None = None, group: str | None = None
) -> dict[str, Any]:
    """Columns ``value, icc, lower, upper`` along a slope's predictor.

    Parameters
    ----------
    fit : Fit
    term : str, optional
        A slope that varies by group; the first one otherwise.
    values : sequence of float, optional
        Where to look; over the predictor's range otherwise.
    group : str, optional
        The grouping factor; the first that has the slope otherwise.

    Raises
    ------
    SettingError
        When no slope of that name varies by that group.
    """
    design = fit.model.design
    label, name = _slope(fit, term, group)
    column = next(
        c for t, g in enumerate(design.groups) if g.label == label and location(fit, t)
        for n, c in zip(g.names, g.columns, strict=True) if n == name and c is not None
    )  # fmt: skip
    at = np.linspace(column.min(), column.max(), POINTS) if values is None else np.asarray(values, dtype=float)
    check_scale(fit, "link")
    rows = [_rows(g.names, g.columns, name, at) * float(location(fit, t)) for t, g in enumerate(design.groups)]
    residual = residual_variance(fit)
    scale = residual / fit.sigma**2 if fit.sigma else 0.0

    def share(covariances: list[np.ndarray], sigma2: float) -> np.ndarray:
        each = [np.einsum("mk,kj,mj->m", z, c, z) for z, c in zip(rows, covariances, strict=True)]
        own = sum(v for v, g in zip(each, design.groups, strict=True) if g.label == label)
        total = sum(each) + (sigma2 * scale if fit.sigma else residual)
        return np.asarray(own / total)

    ends = delta_interval(fit, share, fit.level, "logit")
    if fit.sampled:
        value = over_covariances(fit, share).mean(axis=0)
        return {"value": at, "icc": value, "lower": ends[:, 0], "upper": ends[:, 1]}
    value = share(list(fit.estimates.covariances), fit.sigma**2 if fit.sigma else 0.0)
    return {"value": at, "icc": value, "lower": ends[:, 0], "upper": ends[:, 1]}


def _slope(fit: Fit, term: str | None, group: str | None) -> tuple[str, str]:
    """(group, slope) asked for."""
    found = [
        (g.label, n) for t, g in enumerate(fit.model.design.groups) if location(fit, t)
        for n, c in zip(g.names, g.columns, strict=True)
        if c is not None and (group is None or g.label == group)
    ]  # fmt: skip
    chosen = [pair for pair in found if term is None or pair[1] == term]
    if not chosen:
        what = f'slope "{printable(term)}"' if term is not None else "slope"
        where = f' by "{printable(group)}"' if group is not None else ""
        hint = nearest(str(term), [n for _, n in found]) if found else "With intercepts alone the ICC is one number."
        raise SettingError(f"no {what} varies{where} in this model", hint=hint or "Name one of the varying slopes.")
    return chosen[0]


def _rows(names: tuple[str, ...], columns: tuple[Any, ...], name: str, at: np.ndarray) -> np.ndarray:
    """z at the values, other columns at their means."""
    out = np.empty((len(at), len(names)))
    for j, (n, column) in enumerate(zip(names, columns, strict=True)):
        out[:, j] = 1.0 if column is None else at if n == name else float(np.mean(column))
    return out
