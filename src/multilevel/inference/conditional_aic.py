"""Conditional AIC: how well the fit predicts new rows of the same groups, penalised for what it used.

    cAIC = −2 log f(y | β̂, b̂, σ̂) + 2 (Φ + 1),    Φ = tr(∂ŷ/∂y) = ρ + c        (the 1 for σ where it is estimated)

ρ = tr(H) counts fixed and group effects with the variance components held (Vaida & Blanchard); c adds that they are
estimated from the same rows (Greven & Kneib), without which cAIC prefers any variance above zero:

    c = (2/σ̂²) Σ_st B⁻¹_st [a_s'W a_t − (q_t/r²) a_s'W e],    a_s = ∂ŷ/∂θ_s,   q_t = −∂r²/∂θ_t,   B = ∂²d/∂θ∂θ'

with d profiled over σ and boundary parameters held at their zeros. Marginal AIC (`fit.aic`) asks about new groups.

In generalized models f is the family's density at the modes, ρ the trace of the working responses'
(`variance/effective.py`), constants of the family count one each, and c is left out: variances are taken as known, so
that small ones look better than they are (Donohue et al.).

References: Donohue, Overholser, Xu & Vaida (2011), Biometrika 98, 685-700; Vaida & Blanchard (2005), Biometrika 92,
351-370; Greven & Kneib (2010), Biometrika 97, 773-789.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..fit.estimates import Combination
from ..fit.mixed import MixedCertainty
from ..predictions.targets import matrix
from .criterion import criterion, is_reml

if TYPE_CHECKING:
    from ..fit.fit import Fit


@dataclass(frozen=True)
class ConditionalAic:
    """Conditional AIC and its parts.

    Parameters
    ----------
    value : float
    log_likelihood : float
        log f(y | β̂, b̂, σ̂).
    effective : float
        ρ, variance components held.
    correction : float
        What estimating the variance components adds.
    """

    value: float
    log_likelihood: float
    effective: float
    correction: float


def conditional_aic(fit: Fit) -> ConditionalAic:
    """Conditional AIC of a fit by a likelihood, exact or approximate, or by ``"complete"``; NaN for a perfect fit.

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.conditional_aic import conditional_aic
    >>> found = conditional_aic(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> 20 < found.effective < 31
    True
    """
    from ..variance.effective import effective_parameters

    if not fit.model.is_linear:
        return _generalized(fit, effective_parameters(fit))
    log_likelihood = _conditional(fit)
    effective = effective_parameters(fit)
    correction = _correction(fit) if "theta" in fit.estimates.notes else 0.0
    known = fit.sigma is None
    value = -2.0 * log_likelihood + 2.0 * (effective + correction + (0.0 if known else 1.0))
    return ConditionalAic(value, log_likelihood, effective, correction)


def _generalized(fit: Fit, effective: float) -> ConditionalAic:
    from ..predictions.linear import linear_predictors

    eta = linear_predictors(fit, groups=fit.estimator.name != "complete")
    with np.errstate(all="ignore"):
        log_likelihood = float(fit.model.distribution.log_density(fit.model.observations, eta).sum())
    value = -2.0 * log_likelihood + 2.0 * (effective + len(fit.estimates.notes["constants"]))
    return ConditionalAic(value, log_likelihood, effective, 0.0)


def _precisions(fit: Fit) -> np.ndarray:
    """w of each row: Var ε = σ²/w (counts of equal rows serve as well)."""
    design = fit.model.design
    weights = np.ones(design.n) if design.weights is None else design.weights
    return np.asarray(weights if design.known_se is None else weights / design.known_se**2)


def _conditional(fit: Fit) -> float:
    w, residuals = _precisions(fit), fit.residuals()
    sigma2 = 1.0 if fit.sigma is None else fit.sigma**2
    if sigma2 == 0.0:
        return math.nan
    counts = fit.model.design.weights_kind == "frequency" and fit.model.design.weights is not None
    logs = 0.0 if counts else float(np.log(w).sum())
    return float(-0.5 * (fit.n_obs * math.log(2.0 * math.pi * sigma2) - logs + (w * residuals**2).sum() / sigma2))


def _correction(fit: Fit) -> float:
    """c above; 0 when every variance component is on the boundary."""
    likelihood = criterion(fit.model, is_reml(fit))
    state = likelihood.evaluate(np.array(fit.estimates.notes["theta"], dtype=float))
    certainty = MixedCertainty(likelihood, state, set(fit.estimates.notes["zeros"]))
    info = certainty.information
    m = len(info.free)
    if m == 0 or not state.sigma2 > 0.0:
        return 0.0
    assert state.solution is not None
    r2, sigma2, unit = state.solution.r2, state.sigma2, likelihood.products.y_shift.scale
    rows = _all_rows(fit)
    moves = info.differences(lambda near: certainty._value(near, rows)) / unit
    inner, hessian = moves @ (_precisions(fit)[:, None] * moves.T), info.hessian[:m, :m]
    if info.with_sigma:
        falls = -info.differences(lambda near: np.array([near.solution.r2]))[:, 0]  # type: ignore[union-attr]
        residuals = fit.residuals() / unit
        along = moves @ (_precisions(fit) * residuals)
        inner = inner - np.outer(along, falls) / r2
        cross = info.hessian[:m, m]
        hessian = hessian - np.outer(cross, cross) / info.hessian[m, m]
    return float(2.0 / sigma2 * np.sum(np.linalg.pinv(hessian, rcond=1e-10, hermitian=True) * inner))


def _all_rows(fit: Fit) -> Combination:
    design = fit.model.design
    return Combination(
        matrix(design.fixed_columns, design.n),
        tuple(group.codes for group in design.groups),
        tuple(matrix(group.columns, design.n) for group in design.groups),
    )
