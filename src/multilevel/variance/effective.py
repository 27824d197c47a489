"""How many parameters a fit really uses, and how strongly each level is pooled.

    effective parameters  ρ = tr ∂ŷ/∂y = p + Σ_g tr(λ_g' Σ_ℓ (Z'ZΛP)_ℓℓ)       between p and p + all effects
    pooling factor        1 − Var_ℓ(b̂_ℓ) / (Var_ℓ(b̂_ℓ) + mean Var(b_ℓ | y))        1 is complete pooling

ρ is the penalty of the conditional AIC for known variance components (Vaida & Blanchard).

References: Hodges & Sargent (2001), Biometrika 88; Vaida & Blanchard (2005), ibid. 92; Gelman & Pardoe (2006),
Technometrics 48.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..fit.fit import Fit


def effective_parameters(fit: Fit) -> float:
    """ρ of a fit, fixed effects included; σ and the variance components are not counted."""
    from ..checks.adjusted import Adjusted

    return float(Adjusted(fit).products.p + sum(effects_used(fit).values()))


def effects_used(fit: Fit) -> dict[str, float]:
    """The part of ρ that each grouping factor's effects use."""
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


def pooling_factor(fit: Fit) -> dict[tuple[str, str], float]:
    """Gelman and Pardoe's pooling factor of each coefficient, by (group, term); NaN for a single level."""
    out = {}
    for group, effects, own in zip(
        fit.model.design.groups, fit.estimates.effects, fit.effect_covariances, strict=True
    ):
        for j, name in enumerate(group.names):
            between = float(np.var(effects[:, j], ddof=1)) if len(effects) > 1 else float("nan")
            total = between + float(np.mean(own[:, j, j]))
            out[group.label, name] = 1.0 - between / total if total > 0.0 else 1.0
    return out
