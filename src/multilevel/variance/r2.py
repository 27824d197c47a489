"""R² of a hierarchical model.

    marginal      v_f / (v_f + Σ_g v_g + v_ε)             what the predictors explain
    conditional   (v_f + Σ_g v_g) / (v_f + Σ_g v_g + v_ε) what predictors and groups explain together
    by level      1 − v_g(model) / v_g(without predictors)  how much smaller a level's variance is with them

v_f is the sample variance of Xβ̂ over the rows, v_g the mean of z'Σ_g z over them, v_ε the residual variance or, in
generalized models, that of an observation on the link's scale at the population's mean (`scales.py`). Explained
variance by level can be negative: a predictor that varies within groups can reveal variance between them.

References: Nakagawa & Schielzeth (2013), Methods Ecol. Evol. 4; Johnson (2014), ibid. 5; Nakagawa, Johnson & Schielzeth
(2017), J. R. Soc. Interface 14; Raudenbush & Bryk (2002), chapter 4; Snijders & Bosker (2012), chapter 7.
"""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConvergenceError, MultilevelError, MultilevelWarning, SettingError
from ..glossary import RESIDUAL
from .icc import group_variances, mean_variance, residual_variance
from .intervals import generalized_certainty, mixed_certainty
from .scales import check_scale, location

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Design

LIKELIHOODS = ("reml", "ml", "laplace", "agq")
DRAWS = 400
SECONDS = 2.0  # that draws may take


def r2(fit: Fit, scale: str = "link") -> dict[str, float]:
    """Marginal and conditional R² (Nakagawa).

    Parameters
    ----------
    scale : {"link", "delta", "trigamma"}
        Which variance of an observation generalized models take (`variance/scales.py`).

    Returns
    -------
    dict
        ``{"marginal": …, "conditional": …}``, between 0 and 1; NaN when there is no variance at all.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    >>> {k: round(v, 2) for k, v in fit.r2().items()}
    {'marginal': 0.14, 'conditional': 0.38}
    """
    if check_scale(fit, scale) == "response":
        raise SettingError("R² is a partition of the linear predictor's variance", hint='Use scale="link" or "delta".')
    if fit.sampled:
        from .from_draws import r2_draws

        marginal, conditional = r2_draws(fit, scale).mean(axis=0).tolist()
        return {"marginal": marginal, "conditional": conditional}
    fixed, groups, residual = (
        _fixed_variance(fit, fit.estimates.beta),
        group_variances(fit),
        residual_variance(fit, scale),
    )
    within = sum(groups[label] for label in observation_level(fit))
    return _both(fixed, sum(groups.values()) - within, residual + within)


def observation_level(fit: Fit) -> list[str]:
    """Factors with a level for every row, in generalized models: overdispersion rather than groups."""
    if fit.model.is_linear:
        return []
    return [label for label in group_variances(fit) if fit.model.groups[label] == fit.model.design.n]


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
    for t, g in enumerate(design.groups):
        if location(fit, t):
            seen.setdefault(g.label, replace(g, names=("Intercept",), columns=(None,), scale="diagonal", options=()))
    bare = _bare(fit, tuple(seen.values()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        try:
            null = _null(fit, bare)
        except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
            return {label: float("nan") for label in (*seen, RESIDUAL)}
    own = {**group_variances(fit), RESIDUAL: residual_variance(fit)}
    without = {**group_variances(null), RESIDUAL: residual_variance(null)}
    return {k: 1.0 - own[k] / without[k] if without[k] > 0.0 else float("nan") for k in own}


def _null(fit: Fit, bare: Design) -> Fit:
    """The model without predictors by the same estimator; by the default one where that has no likelihood."""
    model = fit.model.with_design(bare)
    if fit.sampled:
        return fit.estimator.fit(model.with_priors(None))  # priors of predictors would have nothing to stand on
    return model.fit(fit.estimator.name if fit.estimator.name in LIKELIHOODS else None)


def _bare(fit: Fit, groups: tuple[Any, ...]) -> Design:
    """The design without predictors of the location; thresholds and further predictors stay."""
    design = fit.model.design
    if fit.model.is_linear:
        owner = design.fixed_predictor[:1]
        return replace(
            design, fixed_names=("Intercept",), fixed_columns=(None,), fixed_predictor=owner, groups=groups
        )  # fmt: skip
    at = design.fixed_predictor
    keep = [j for j, c in enumerate(design.fixed_columns) if at[j] > 0 or c is None]
    further = tuple(g for t, g in enumerate(design.groups) if not location(fit, t))
    return replace(
        design, fixed_names=tuple(design.fixed_names[j] for j in keep), groups=(*groups, *further),
        fixed_columns=tuple(design.fixed_columns[j] for j in keep), fixed_predictor=at[keep],
    )  # fmt: skip


def _both(fixed: float, groups: float, residual: float) -> dict[str, float]:
    total = fixed + groups + residual
    if not total > 0.0:
        return {"marginal": float("nan"), "conditional": float("nan")}
    return {"marginal": fixed / total, "conditional": (fixed + groups) / total}


def _fixed_variance(fit: Fit, beta: np.ndarray) -> float:
    """Sample variance of Xβ over the rows."""
    design = fit.model.design
    out = np.zeros(design.n)
    for j, (b, column) in enumerate(zip(np.nan_to_num(beta), design.fixed_columns, strict=True)):
        if column is not None and _of_location(design, j):
            out += b * (column - column.mean())
    if design.weights_kind == "frequency" and design.weights is not None:
        mean = np.average(out, weights=design.weights)
        return float(design.weights @ (out - mean) ** 2 / (design.weights.sum() - 1.0))
    return float(np.var(out, ddof=1)) if design.n > 1 else 0.0


def _of_location(design: Design, j: int) -> bool:
    return not len(design.fixed_predictor) or bool(design.fixed_predictor[j] == 0)


def _ends(fit: Fit, level: float) -> np.ndarray:
    """(2, 2) ends for the marginal and the conditional one."""
    if fit.sampled:
        from .from_draws import quantiles, r2_draws

        return np.stack(quantiles(r2_draws(fit), level), axis=1)
    missing = np.full((2, 2), np.nan)
    certainty = mixed_certainty(fit) or generalized_certainty(fit)
    if certainty is None or _seconds(certainty) * DRAWS > SECONDS:
        return missing
    drawn = certainty.draw(DRAWS, np.random.default_rng(0))
    fixed = _quadratic(fit, np.nan_to_num(drawn["beta"]))
    design, values = fit.model.design, np.empty((DRAWS, 2))
    residual, apart = residual_variance(fit), observation_level(fit)
    for i in range(DRAWS):
        groups, within = 0.0, 0.0
        for t, (g, c) in enumerate(zip(design.groups, drawn["covariances"], strict=True)):
            own = mean_variance(design, g.columns, c[i]) if location(fit, t) else 0.0
            groups, within = groups + own * (g.label not in apart), within + own * (g.label in apart)
        left = residual * (drawn["sigma"][i] / fit.sigma) ** 2 if fit.sigma else residual
        found = _both(fixed[i], groups, left + within)
        values[i] = found["marginal"], found["conditional"]
    tail = 0.5 - level / 2.0
    return np.asarray(np.quantile(values, [tail, 1.0 - tail], axis=0).T)


def _seconds(certainty: Any) -> float:
    """Rough time of one draw."""
    if hasattr(certainty, "likelihood"):
        return float(certainty.likelihood.elimination.seconds)
    return float(certainty.criterion.latent.elimination.seconds)


def _quadratic(fit: Fit, betas: np.ndarray) -> np.ndarray:
    """v_f of many β at once, through the covariance matrix of the columns."""
    design = fit.model.design
    real = [j for j, c in enumerate(design.fixed_columns) if c is not None and _of_location(design, j)]
    if not real:
        return np.zeros(len(betas))
    columns = np.stack([design.fixed_columns[j] for j in real], axis=1)  # type: ignore[arg-type, misc]
    weights = design.weights if design.weights_kind == "frequency" else None
    counts = None if weights is None else np.asarray(weights, dtype=np.int64)
    covariance = np.atleast_2d(np.cov(columns, rowvar=False, fweights=counts))
    return np.asarray(np.einsum("dp,pq,dq->d", betas[:, real], covariance, betas[:, real]))
