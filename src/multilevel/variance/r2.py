"""R² of a hierarchical model.

    marginal      v_f / (v_f + Σ_g v_g + v_ε)             what the predictors explain
    conditional   (v_f + Σ_g v_g) / (v_f + Σ_g v_g + v_ε) what predictors and groups explain together
    by level      1 − v_g(model) / v_g(without predictors)  how much smaller a level's variance is with them

v_f is the sample variance of Xβ̂ over the rows, v_g the mean of z'Σ_g z over them. Explained variance by level can be
negative: a predictor that varies within groups can reveal variance between them.

References: Nakagawa & Schielzeth (2013), Methods Ecol. Evol. 4; Johnson (2014), ibid. 5; Nakagawa, Johnson & Schielzeth
(2017), J. R. Soc. Interface 14; Raudenbush & Bryk (2002), chapter 4; Snijders & Bosker (2012), chapter 7.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceError, MultilevelError, MultilevelWarning
from ..glossary import RESIDUAL
from .icc import group_variances, mean_variance, residual_variance
from .intervals import mixed_certainty

if TYPE_CHECKING:
    from ..fit.fit import Fit

DRAWS = 400
SECONDS = 2.0  # that draws may take


def r2(fit: Fit) -> dict[str, float]:
    """Marginal and conditional R² (Nakagawa).

    Returns
    -------
    dict
        ``{"marginal": …, "conditional": …}``, between 0 and 1; NaN when there is no variance at all.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    >>> {k: round(v, 2) for k, v in fit.r2().items()}
    {'marginal': 0.16, 'conditional': 0.41}
    """
    fixed, groups, residual = _fixed_variance(fit, fit.estimates.beta), group_variances(fit), residual_variance(fit)
    return _both(fixed, sum(groups.values()), residual)


def r2_table(fit: Fit, level: float | None = None) -> dict[str, Any]:
    """Columns ``kind, estimate, lower, upper``; intervals from draws of the approximate joint distribution.

    They are missing for estimators without such draws, and for models whose draws would take long.
    """
    coverage = fit.level if level is None else level
    found = r2(fit)
    ends = _ends(fit, coverage)
    kinds = list(found)
    return {
        "kind": kinds,
        "estimate": np.array([found[k] for k in kinds]),
        "lower": ends[:, 0],
        "upper": ends[:, 1],
    }


def r2_levels(fit: Fit) -> dict[str, float]:
    """Explained variance by level: against the same groups without predictors and slopes.

    Returns
    -------
    dict
        Grouping factor → 1 − v_g / v_g of the null model, ``"Residual"`` last; NaN where the null variance is zero.
    """
    design = fit.model.design
    seen: dict[str, Any] = {}
    for g in design.groups:
        seen.setdefault(g.label, replace(g, names=("Intercept",), columns=(None,), scale="diagonal", options=()))
    bare = replace(design, fixed_names=("Intercept",), fixed_columns=(None,), groups=tuple(seen.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        try:
            null = fit.model.with_design(bare).fit(fit.estimator.name if fit.estimator.name in ("reml", "ml") else None)
        except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
            return {label: float("nan") for label in (*seen, RESIDUAL)}
    own = {**group_variances(fit), RESIDUAL: residual_variance(fit)}
    without = {**group_variances(null), RESIDUAL: residual_variance(null)}
    return {k: 1.0 - own[k] / without[k] if without[k] > 0.0 else float("nan") for k in own}


def _both(fixed: float, groups: float, residual: float) -> dict[str, float]:
    total = fixed + groups + residual
    if not total > 0.0:
        return {"marginal": float("nan"), "conditional": float("nan")}
    return {"marginal": fixed / total, "conditional": (fixed + groups) / total}


def _fixed_variance(fit: Fit, beta: np.ndarray) -> float:
    """Sample variance of Xβ over the rows."""
    design = fit.model.design
    out = np.zeros(design.n)
    for b, column in zip(np.nan_to_num(beta), design.fixed_columns, strict=True):
        if column is not None:
            out += b * (column - column.mean())
    if design.weights_kind == "frequency" and design.weights is not None:
        mean = np.average(out, weights=design.weights)
        return float(design.weights @ (out - mean) ** 2 / (design.weights.sum() - 1.0))
    return float(np.var(out, ddof=1)) if design.n > 1 else 0.0


def _ends(fit: Fit, level: float) -> np.ndarray:
    """(2, 2) ends for the marginal and the conditional one."""
    missing = np.full((2, 2), np.nan)
    certainty = mixed_certainty(fit)
    if certainty is None or certainty.likelihood.elimination.seconds * DRAWS > SECONDS:
        return missing
    drawn = certainty.draw(DRAWS, np.random.default_rng(0))
    fixed = _quadratic(fit, np.nan_to_num(drawn["beta"]))
    design, values = fit.model.design, np.empty((DRAWS, 2))
    residual = residual_variance(fit)
    for i in range(DRAWS):
        groups = sum(
            mean_variance(design, g.columns, c[i]) for g, c in zip(design.groups, drawn["covariances"], strict=True)
        )
        own = residual * (drawn["sigma"][i] / fit.sigma) ** 2 if fit.sigma else residual
        found = _both(fixed[i], groups, own)
        values[i] = found["marginal"], found["conditional"]
    tail = 0.5 - level / 2.0
    return np.asarray(np.quantile(values, [tail, 1.0 - tail], axis=0).T)


def _quadratic(fit: Fit, betas: np.ndarray) -> np.ndarray:
    """v_f of many β at once, through the covariance matrix of the columns."""
    design = fit.model.design
    real = [j for j, c in enumerate(design.fixed_columns) if c is not None]
    if not real:
        return np.zeros(len(betas))
    columns = np.stack([design.fixed_columns[j] for j in real], axis=1)  # type: ignore[arg-type, misc]
    weights = design.weights if design.weights_kind == "frequency" else None
    counts = None if weights is None else np.asarray(weights, dtype=np.int64)
    covariance = np.atleast_2d(np.cov(columns, rowvar=False, fweights=counts))
    return np.asarray(np.einsum("dp,pq,dq->d", betas[:, real], covariance, betas[:, real]))
