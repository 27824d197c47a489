"""Method of moments for unbalanced designs: ``model.fit("moments")``.

    variance components from sums of squares;  β by generalised least squares and b by BLUP at those components

    one factor, one coefficient      Henderson's method III: τ² = (MSB − MSW)/n_0 for (1 | g), unbalanced or not
    the same with ``se()``           DerSimonian–Laird
    several factors, one coefficient Henderson III, coarse to fine: nested, crossed
    slopes by one factor             Swamy's random coefficients, projected to a semidefinite covariance

No iteration, no distribution needed for the components: unbiased before truncation, and equal to REML in balanced
designs when no component is negative. A negative one is exactly zero (`boundary`).

What is reported
----------------
log_likelihood
    The Gaussian ML log-likelihood at the moment estimates: not maximised, so at most that of ``ml``.
notes
    ``method``; ``untruncated``, the components before truncation; ``df_residual``.
Intervals for levels of one factor carry the uncertainty of β and of the components (Morris 1983).

Errors: `IdentifiabilityError` for slopes with several factors, for structured covariances, and for a component that
cannot be told from the rest.

References: Henderson (1953); Swamy (1970); DerSimonian & Laird (1986); Morris (1983).
Searle, Casella & McCulloch (1992), *Variance Components*, chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.absorb import absorb
from ..core.henderson import Components, Stage, crossed_components, from_stages
from ..core.likelihood import Likelihood
from ..core.linear import regression
from ..core.projection import LevelProjector, coefficients_of, n_observations, response, row_weights
from ..core.swamy import LevelCoefficients, semidefinite, swamy
from ..errors import IdentifiabilityError, printable
from ..fit.estimates import Estimates
from ..fit.mixed import MixedCertainty
from ..fit.moments import MomentsCertainty, with_sigma2
from ..numerics.newton import Progress
from .base import Estimator, require_groups
from .maximise import _estimates
from .none import nothing_fits

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass(frozen=True)
class Moments(Estimator):
    """No settings."""

    def check(self, model: Model) -> None:
        require_groups(model, "moments")
        for g in model.design.groups:
            if len(g.names) > 1 and g.scale == "compound_symmetry":
                raise IdentifiabilityError(
                    f'the estimator "moments" has no equations for the {g.scale.replace("_", " ")} covariance by '
                    f'"{printable(g.label)}"',
                    code="E_STRUCTURE",
                    hint="Use reml, or an unstructured or diagonal covariance.",
                )
        if len(model.groups) > 1 and _most_coefficients(model) > 1:
            raise IdentifiabilityError(
                'the estimator "moments" takes slopes by one grouping factor only, and the formula has '
                f"{len(model.groups)} factors",
                code="E_ONE_FACTOR",
                hint="Use reml or ml.",
            )

    def estimate(self, model: Model) -> Estimates:
        solved = _swamy(model) if _most_coefficients(model) > 1 else _henderson(model)
        if not solved.sigma2 > 0.0:
            raise IdentifiabilityError(
                "the groups fit every row perfectly: with a residual variance of zero the components have no ratio",
                code="E_NO_RESIDUAL",
                hint='Use "none", or check whether the response repeats the groups.',
            )
        return _at_components(model, solved)


@dataclass(frozen=True)
class _Solved:
    """θ in internal coordinates; sigma2 in internal units; notes for the user."""

    theta: np.ndarray
    sigma2: float
    df: float
    notes: Mapping[str, Any]


def _most_coefficients(model: Model) -> int:
    """Coefficients of the factor that has most."""
    counts: dict[str, int] = {}
    for g in model.design.groups:
        counts[g.label] = counts.get(g.label, 0) + len(g.names)
    return max(counts.values())


def _known_sigma2(model: Model) -> float | None:
    return None if model.design.known_se is None else 1.0 / model.products.y_shift.scale**2


# --- scalar effects ----------------------------------------------------------------------------------------------
def _henderson(model: Model) -> _Solved:
    products = model.products
    one = len(products.factors) == 1
    found = _one_factor(model) if one else crossed_components(products, _known_sigma2(model))
    terms = [f.terms[0][0] for f in products.factors]
    theta, raw = np.zeros(len(terms)), {}
    for f, t in enumerate(terms):
        theta[t] = np.sqrt(found.tau2[f] / found.sigma2) if found.sigma2 > 0.0 else 0.0
        to = products.y_shift.scale * float(products.to_effects[t][0, 0])
        raw[model.design.groups[t].label] = float(found.raw[f]) * to**2
    known = model.design.known_se is not None
    method = "DerSimonian–Laird" if one and known else "Henderson III (fitting constants)"
    return _Solved(theta, found.sigma2, found.df, {"method": method, "untruncated": raw})


def _one_factor(model: Model) -> Components:
    """Both sums of squares from the rows: the one within groups keeps its digits however much the groups differ."""
    design, products = model.design, model.products
    unit2 = products.y_shift.scale**2
    projector = LevelProjector(coefficients_of(design.groups), row_weights(design))
    within = absorb(design.fixed_columns, range(len(design.fixed_names)), response(design), projector.w, projector)
    pooled = regression(products)
    factor, p = products.factors[0], products.p
    cross = factor.cross[:, 0, :p]
    trace = float(factor.gram[:, 0, 0].sum() - np.sum(pooled.inverse * (cross.T @ cross)))
    stages = [
        Stage(pooled.rss, p, np.array([trace])),
        Stage(within.rss / unit2, projector.rank + len(within.kept), np.zeros(1)),
    ]
    return from_stages(stages, [0], n_observations(design), _known_sigma2(model), [factor.label])


# --- slopes by one factor ----------------------------------------------------------------------------------------
def _swamy(model: Model) -> _Solved:
    design, products = model.design, model.products
    coefficients = coefficients_of(design.groups)
    projector = LevelProjector(coefficients, row_weights(design))
    common = absorb(design.fixed_columns, range(len(design.fixed_names)), response(design), projector.w, projector)
    df = n_observations(design) - projector.rank - len(common.kept)
    known = design.known_se is not None
    if not known and not df > 0:
        raise IdentifiabilityError(
            "separate regressions by level leave no degrees of freedom for the residual variance",
            code="E_NO_RESIDUAL_DF",
            hint="Use reml, or fewer coefficients by group.",
        )
    sigma2 = 1.0 if known else common.rss / df
    inverse = np.linalg.inv(_to_effects(model))
    fits = projector.fits
    if not fits.any():
        raise nothing_fits(design, coefficients)
    absorbed = [projector.coefficients(_values(design.fixed_columns[j], design.n))[0] for j in common.absorbed]
    u = np.stack(absorbed, axis=2) if absorbed else np.zeros((len(fits), coefficients.k, 0))
    h = np.stack(common.columns, axis=2) if common.columns else np.zeros((len(fits), coefficients.k, 0))
    gamma = common.response - h @ common.beta
    levels = LevelCoefficients(
        gamma=gamma[fits] @ inverse.T,
        u=inverse @ u[fits],
        unscaled=inverse @ projector.unscaled[fits] @ inverse.T,
        h=inverse @ h[fits],
        common=common.inverse,
    )
    covariance = swamy(levels, sigma2)
    theta, negative = _theta(model, covariance / sigma2 if sigma2 > 0.0 else covariance, levels.unscaled.mean(axis=0))
    notes = {
        "method": "Swamy (random coefficients)",
        "untruncated": covariance_note(model, covariance),
        "projected": negative,
        "levels_used": int(fits.sum()),
    }
    return _Solved(theta, sigma2 / products.y_shift.scale**2, np.inf if known else df, notes)


def _values(column: np.ndarray | None, n: int) -> np.ndarray:
    return np.ones(n) if column is None else column


def _to_effects(model: Model) -> np.ndarray:
    """Internal to external coefficients of all terms side by side."""
    factor = model.products.factors[0]
    out = np.zeros((factor.k, factor.k))
    for t, a, b in factor.terms:
        out[a:b, a:b] = model.products.to_effects[t]
    return out


def covariance_note(model: Model, internal: np.ndarray) -> list[list[float]]:
    to = _to_effects(model)
    return [[float(v) for v in row] for row in to @ internal @ to.T]


def _theta(model: Model, relative: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, bool]:
    """Each term's block as its scale's parameters; whether anything negative was set to zero."""
    theta, negative = [], False
    for t, a, b in sorted(model.products.factors[0].terms):
        block, errors = relative[a:b, a:b], noise[a:b, a:b]
        if model.design.groups[t].scale == "unstructured":
            block, clipped = semidefinite(block, errors)
        else:
            clipped = bool((np.diag(block) < 0.0).any())
            block = np.diag(np.maximum(np.diag(block), 0.0))
        negative |= clipped
        theta.append(model.scales[t].from_covariance(block))
    return np.concatenate(theta), negative


# --- the fit at those components ---------------------------------------------------------------------------------
def _at_components(model: Model, solved: _Solved) -> Estimates:
    known = _known_sigma2(model)
    restricted = Likelihood(model.products, model.scales, True, known)
    marginal = Likelihood(model.products, model.scales, False, solved.sigma2)
    value = marginal.external_value(marginal.evaluate(solved.theta).value)
    kinds = [kind for scale in model.scales for kind in scale.kinds()]
    zeros = {j for j, kind in enumerate(kinds) if kind == "positive" and solved.theta[j] == 0.0}
    state = with_sigma2(restricted.evaluate(solved.theta), solved.sigma2)
    progress = Progress(converged=True, decrement=0.0, scaled_gradient=0.0, zeros=zeros)
    estimates = _estimates(model, restricted, state, progress)
    return replace(
        estimates,
        criterion="deviance at the moments",
        log_likelihood=-0.5 * value,
        objective=value,
        evaluations=2,
        certainty=MomentsCertainty(MixedCertainty(restricted, state, zeros), solved.df),
        notes={
            **solved.notes,
            "df_residual": float(solved.df),
            "log_likelihood": "Gaussian ML log-likelihood at the moment estimates, not maximised",
        },
    )


MEMBER = Moments
