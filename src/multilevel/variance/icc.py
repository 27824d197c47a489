"""Intraclass correlations (variance partition coefficients) of a fit.

    v_g = mean over rows of z'Σ_g z        variance that group g adds to a row, averaged over the data's rows
    share_g       = v_g / (Σ_h v_h + v_ε)
    correlation_g = Σ_{h contains g} v_h / (Σ_h v_h + v_ε)

With intercepts alone v_g is the variance of g. `share` is the part of the variance that sits at a level;
`correlation` is the correlation of two rows that share their level of g, and hence of everything g is nested in:
for classes within schools, rows of one class share the school too. The two agree unless groups are nested.
v_ε is σ², or its average over rows when these have weights or known standard errors; in generalized models the variance
of an observation on the link's scale (`scales.py`), or everything is taken on the response's:

    share_g = mean Var E(y | b_g) / mean (Var E(y | b) + E Var(y | b))        scale="response", by quadrature

The parts of several factors do not add up there: E(y | b) is not a sum.

References: Goldstein, Browne & Rasbash (2002), Understanding Statistics 1; Johnson (2014), Methods Ecol. Evol. 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, nearest, printable
from .scales import check_scale, location, observation_variance, response_variances

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Design, GroupColumns

KINDS = ("share", "correlation")


def icc(fit: Fit, kind: str = "share", scale: str = "link") -> dict[str, float]:
    """Intraclass correlation of each grouping factor.

    Parameters
    ----------
    kind : {"share", "correlation"}
        Part of the variance at that level, or correlation of two rows in the same level of it (see above).
    scale : {"link", "delta", "trigamma", "response"}
        Of generalized models (see `variance/scales.py`); the link's scale with the family's own variance by default.

    Returns
    -------
    dict
        Grouping factor → value between 0 and 1; NaN when the total variance is zero. Posterior means of sampled fits.
    """
    if kind not in KINDS:
        hint = nearest(str(kind), KINDS) or "Use share or correlation."
        raise SettingError(f'unknown kind "{printable(kind)}"', hint=hint)
    scale = check_scale(fit, scale)
    if fit.sampled:
        from .from_draws import icc as of_draws

        return of_draws(fit, kind, scale)
    if scale == "response":
        return _on_response(fit, kind)
    added = group_variances(fit)
    total = sum(added.values()) + residual_variance(fit, scale)
    if kind == "correlation":
        containing = _containing(fit.model.design)
        added = {g: sum(added[h] for h in containing[g]) for g in added}
    return {g: v / total if total > 0.0 else float("nan") for g, v in added.items()}


def _on_response(fit: Fit, kind: str) -> dict[str, float]:
    """Shares of the variance of y itself."""
    from ..glossary import RESIDUAL

    found = response_variances(fit, None if kind == "share" else _containing(fit.model.design))
    total = found[""] + found[RESIDUAL]
    parts = {g: v for g, v in found.items() if g not in ("", RESIDUAL)}
    return {g: v / total if total > 0.0 else float("nan") for g, v in parts.items()}


def group_variances(fit: Fit) -> dict[str, float]:
    """v_g of each grouping factor; of the location's terms alone."""
    design = fit.model.design
    out: dict[str, float] = {}
    for t, (group, covariance) in enumerate(zip(design.groups, fit.estimates.covariances, strict=True)):
        if not location(fit, t):
            continue
        out[group.label] = out.get(group.label, 0.0) + mean_variance(design, group.columns, covariance)
    return out


def mean_variance(design: Design, columns: tuple[np.ndarray | None, ...], covariance: np.ndarray) -> float:
    """mean z'Σz = tr(Σ · mean zz'), without an (n, k) matrix."""
    if len(columns) == 1 and columns[0] is None:
        return float(covariance[0, 0])
    total = 0.0
    for i, a in enumerate(columns):
        for j, b in enumerate(columns[: i + 1]):
            product = b if a is None else a if b is None else a * b
            total += (1.0 if i == j else 2.0) * float(covariance[i, j]) * _mean(design, product)
    return total


def _mean(design: Design, values: np.ndarray | None) -> float:
    """Mean over rows; None is the column of ones."""
    counts = design.weights if design.weights_kind == "frequency" else None
    return float(np.average(values, weights=counts)) if values is not None else 1.0


def residual_variance(fit: Fit, scale: str = "link") -> float:
    """v_ε: variance of a row given its groups, averaged over rows; of generalized models on the link's scale."""
    design = fit.model.design
    if not fit.model.is_linear:
        return observation_variance(fit, scale)
    if design.known_se is not None:
        return _mean(design, design.known_se**2 * (1.0 if fit.sigma is None else fit.sigma**2))
    assert fit.sigma is not None
    if design.weights is None or design.weights_kind == "frequency":
        return fit.sigma**2
    return fit.sigma**2 * float(np.mean(1.0 / design.weights))


def _containing(design: Design) -> dict[str, list[str]]:
    """For each grouping factor, itself and those it is nested in."""
    groups = {g.label: g for g in design.groups}
    return {a: [b for b in groups if a == b or _nested(groups[a], groups[b])] for a in groups}


def _nested(inner: GroupColumns, outer: GroupColumns) -> bool:
    """Whether every level of `inner` lies within one level of `outer`."""
    if len(inner.levels) <= len(outer.levels):
        return False
    place = np.zeros(len(inner.levels), dtype=np.int64)
    place[inner.codes] = outer.codes
    return bool(np.array_equal(place[inner.codes], outer.codes))
