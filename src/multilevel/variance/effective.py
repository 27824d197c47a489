"""How many parameters a fit really uses, and how strongly each level is pooled.

    effective parameters  ρ = tr ∂ŷ/∂y = p + Σ_g tr(λ_g' Σ_ℓ (Z'ZΛP)_ℓℓ)       between p and p + all effects
    pooling factor        1 − Var_ℓ(b̂_ℓ) / (Var_ℓ(b̂_ℓ) + mean Var(b_ℓ | y))        1 is complete pooling

ρ is the penalty of the conditional AIC for known variance components (Vaida & Blanchard). In generalized models ŷ and
y are the working ones of the last Newton step: ρ = p + Σ_g tr(I − (M⁻¹)_gg), M the joint information of coefficients
and spherical effects at the mode; constants of the family are not counted.

References: Hodges & Sargent (2001), Biometrika 88; Vaida & Blanchard (2005), ibid. 92; Gelman & Pardoe (2006),
Technometrics 48.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..fit.mixed import _diagonal_blocks
from .intervals import generalized_certainty

if TYPE_CHECKING:
    from ..fit.fit import Fit


def effective_parameters(fit: Fit) -> float:
    """ρ of a fit, fixed effects included; σ, constants and the variance components are not counted."""
    if fit.sampled:
        from .from_draws import effective_parameters as of_draws

        return of_draws(fit)
    if not fit.model.is_linear:
        if fit.estimator.name == "none":
            return float(fit.n_parameters - len(fit.estimates.notes["constants"]))
        return float(_coefficients(fit) + sum(effects_used(fit).values()))
    from ..checks.adjusted import Adjusted

    return float(Adjusted(fit).products.p + sum(effects_used(fit).values()))


def effects_used(fit: Fit) -> dict[str, float]:
    """The part of ρ that each grouping factor's effects use."""
    if not fit.model.is_linear:
        return _used_by_steps(fit)
    from ..checks.adjusted import Adjusted

    adjusted = Adjusted(fit)
    if not adjusted.products.factors:
        return {}
    elimination = adjusted.elimination
    sums = elimination.inverse(reml=True).sums
    out: dict[str, float] = {}
    for t, (f, a, b) in adjusted.places.items():
        label = fit.model.design.groups[t].label
        out[label] = out.get(label, 0.0) + float(np.sum(elimination.lam[f][:, a:b] * sums[f][:, a:b]))
    return out


def _coefficients(fit: Fit) -> int:
    return int(np.sum(~np.isnan(fit.estimates.beta)))


def _used_by_steps(fit: Fit) -> dict[str, float]:
    """q_g − tr(M⁻¹)_gg of each factor, M⁻¹ = H⁻¹ + F S⁻¹F', F = H⁻¹Λ'Z'WX."""
    certainty = generalized_certainty(fit)
    if certainty is None or not certainty.criterion.scales:
        return {}
    criterion, state = certainty.criterion, certainty.curvature.restore()
    latent = criterion.latent
    at = criterion.distribution.derivatives(criterion.rows.observations, state.mode.eta, 2)
    pulled = latent.transposed_columns(latent.borders(at.second))
    solved = latent.solve(pulled)
    information = latent.fixed_information(at.second) - pulled.T @ solved
    spread = latent.elimination.by_factor(solved @ np.linalg.pinv(information, hermitian=True))
    own = latent.elimination.by_factor(solved)
    inverse = latent.inverse()
    out = {}
    for f, factor in enumerate(criterion.rows.factors):
        blocks = diagonal_blocks(latent, inverse, f)
        trace = float(np.einsum("lkk->", blocks)) + float(np.sum(spread[f] * own[f]))
        out[factor.label] = float(factor.n_levels * factor.k) - trace
    return out


def diagonal_blocks(latent: Any, inverse: Any, f: int) -> np.ndarray:
    """(H⁻¹)_ℓℓ of every level of a factor, (L, k, k)."""
    pt = latent.pattern
    if f == pt.lead:
        return np.asarray(inverse.PL)
    return _diagonal_blocks(inverse.P, pt, pt.place[pt.trail.index(f)], latent.rows.factors[f].k)


def pooling_factor(fit: Fit) -> dict[tuple[str, str], float]:
    """Gelman and Pardoe's pooling factor of each coefficient, by (group, term); NaN for a single level."""
    out = {}
    for group, effects, own in zip(fit.model.design.groups, fit.estimates.effects, fit.effect_covariances, strict=True):
        for j, name in enumerate(group.names):
            known = np.isfinite(effects[:, j]) & np.isfinite(own[:, j, j])
            between = float(np.var(effects[known, j], ddof=1)) if known.sum() > 1 else float("nan")
            total = between + float(np.mean(own[known, j, j])) if known.any() else float("nan")
            out[group.label, name] = 1.0 if total == 0.0 else 1.0 - between / total
    return out
