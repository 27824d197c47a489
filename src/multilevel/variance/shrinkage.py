"""How much each level's own data weigh in its estimate.

    λ_ℓ = 1 − tr(Σ⁻¹ C_ℓ) / k,    C_ℓ = Cov(b_ℓ | y) given the variance parameters and β

For one varying intercept λ_ℓ = n_ℓ τ² / (n_ℓ τ² + σ²): 1 leaves the level's own mean alone (no pooling), 0 replaces it
by the population's (complete pooling). With several coefficients it is the average over them. Estimators that do not
pool have λ = 1, whatever Σ they describe. Of sampled fits λ is averaged over draws; in generalized models the effects
of other factors are held there.

Reference: Gelman & Pardoe (2006), Technometrics 48 (their pooling factor is 1 − λ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .from_draws import shrinkages

if TYPE_CHECKING:
    from ..fit.fit import Fit

UNPOOLED = ("none", "within")


def shrinkage(fit: Fit) -> dict[str, Any]:
    """Columns ``group, level, n, lambda``, one row for each level of each grouping factor."""
    found = _by_group(fit)
    return {
        "group": [label for label, (_, _, levels) in found.items() for _ in levels],
        "level": [level for _, _, levels in found.values() for level in levels],
        "n": np.concatenate([n for _, n, _ in found.values()] or [np.zeros(0)]),
        "lambda": np.concatenate([weight for weight, _, _ in found.values()] or [np.zeros(0)]),
    }


def _by_group(fit: Fit) -> dict[str, tuple[np.ndarray, np.ndarray, tuple[str, ...]]]:
    """Label → λ, rows and labels of its levels; terms of one label are averaged over their coefficients."""
    design = fit.model.design
    frequency = design.weights if design.weights_kind == "frequency" else None
    sums: dict[str, np.ndarray] = {}
    sizes: dict[str, int] = {}
    out = {}
    averaged = shrinkages(fit) if fit.sampled else []
    for t, g in enumerate(design.groups):
        if fit.sampled:
            share = averaged[t]
        elif fit.estimator.name in UNPOOLED:
            share = np.where(np.isnan(fit.estimates.effects[t]).any(axis=1), np.nan, float(len(g.names)))
        else:
            share = _share(fit.estimates.covariances[t], fit.effect_covariances[t])
        sums[g.label] = sums.get(g.label, 0.0) + share
        sizes[g.label] = sizes.get(g.label, 0) + len(g.names)
        n = np.bincount(g.codes, weights=frequency, minlength=len(g.levels))
        out[g.label] = (sums[g.label] / sizes[g.label], n, g.levels)
    return out


def _share(prior: np.ndarray, conditional: np.ndarray) -> np.ndarray:
    """rank(Σ) − tr(Σ⁺ C_ℓ) for each level (k λ_ℓ); a direction without variance is pooled completely."""
    values, vectors = np.linalg.eigh(0.5 * (prior + prior.T))
    keep = values > 1e-12 * max(float(values[-1]), 0.0)
    basis = vectors[:, keep]
    along = np.einsum("ki,lkj,ji->li", basis, conditional, basis) / values[keep]
    return np.asarray(np.clip(1.0 - along, 0.0, 1.0).sum(axis=1))
