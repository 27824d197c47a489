"""Variance partitions of a sampled fit: every share, R² and shrinkage is computed in each draw.

    estimate = mean over draws,    lower, upper = quantiles

The variance between levels and that of normal errors come from all draws; what has to be integrated over rows (an
observation of a generalized model, the response's scale, shrinkage of crossed factors) from some hundreds of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..glossary import RESIDUAL
from ..predictions.linear import training_rows
from ..predictions.posterior import Posterior, posterior, roots
from ..predictions.single_draw import over_draws, single

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.records import GroupColumns

MOST = 400  # draws where each asks for a pass over the rows
FEW = 100  # where each asks for a factorisation
Ends = tuple[np.ndarray, np.ndarray]


def quantiles(values: np.ndarray, level: float) -> Ends:
    """Ends of equal-tailed intervals over the first axis."""
    low, high = np.quantile(values, [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return np.asarray(low), np.asarray(high)


def components(fit: Fit, scale: str = "link", most: int = MOST) -> dict[str, np.ndarray]:
    """v_g of every grouping factor and v_ε (``"Residual"``), draw by draw; at most `most` where each takes a pass."""
    from .icc import group_variances, residual_variance
    from .scales import location

    draws, design = posterior(fit, effects=False), fit.model.design
    if not fit.model.is_linear:  # the variance of an observation depends on the draw of everything else
        draws = draws.thinned(min(most, MOST))
    out: dict[str, np.ndarray] = dict.fromkeys(group_variances(fit), np.zeros(len(draws)))
    for t, group in enumerate(design.groups):
        if location(fit, t):
            out[group.label] = out[group.label] + np.einsum("sij,ij->s", draws.covariances[t], _moments(fit, group))
    if fit.model.is_linear:
        unit = residual_variance(fit) / (fit.sigma or 1.0) ** 2
        out[RESIDUAL] = unit * np.exp(2.0 * draws.constants[1])
    else:
        out[RESIDUAL] = np.array([residual_variance(single(draws, s), scale) for s in range(len(draws))])
    return out


def _moments(fit: Fit, group: GroupColumns) -> np.ndarray:
    """mean zz' over rows, (k, k)."""
    from .icc import mean_variance

    k = len(group.columns)
    out = np.empty((k, k))
    for i in range(k):
        for j in range(k):
            unit = np.zeros((k, k))
            unit[i, j] = unit[j, i] = 1.0
            out[i, j] = mean_variance(fit.model.design, group.columns, unit) / (1.0 if i == j else 2.0)
    return out


def share_draws(fit: Fit, kind: str, scale: str = "link", most: int = MOST) -> dict[str, np.ndarray]:
    """Intraclass correlation of each grouping factor in every draw."""
    from .icc import _containing, icc

    if scale == "response":
        labels = list(components(fit))[:-1]
        values = over_draws(fit, lambda one: np.array(list(icc(one, kind, scale).values())), MOST // 2)
        return dict(zip(labels, values.T, strict=True))
    parts = components(fit, scale, most)
    total = np.sum(list(parts.values()), axis=0)
    groups = {label: v for label, v in parts.items() if label != RESIDUAL}
    containing = _containing(fit.model.design) if kind == "correlation" else {label: [label] for label in groups}
    with np.errstate(invalid="ignore", divide="ignore"):
        return {g: np.sum([groups[h] for h in containing[g] if h in groups], axis=0) / total for g in groups}


def icc(fit: Fit, kind: str, scale: str, most: int = MOST) -> dict[str, float]:
    """Posterior means."""
    return {label: float(v.mean()) for label, v in share_draws(fit, kind, scale, most).items()}


def shares(fit: Fit, level: float) -> dict[str, Any]:
    """The columns of `shares.shares`."""
    parts = components(fit)
    total = np.sum(list(parts.values()), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.stack([v / total for v in parts.values()], axis=1)
    low, high = quantiles(values, level)
    variance = np.array([float(v.mean()) for v in parts.values()])
    return {"component": list(parts), "variance": variance, "share": values.mean(axis=0), "lower": low, "upper": high}


def icc_table(fit: Fit, level: float) -> dict[str, Any]:
    """The columns of `shares.icc_table`."""
    found = {kind: share_draws(fit, kind) for kind in ("share", "correlation")}
    pairs = [(label, kind) for label in found["share"] for kind in found]
    values = np.stack([found[kind][label] for label, kind in pairs], axis=1) if pairs else np.zeros((1, 0))
    low, high = quantiles(values, level)
    return {
        "group": [label for label, _ in pairs], "kind": [kind for _, kind in pairs],
        "estimate": values.mean(axis=0), "lower": low, "upper": high,
    }  # fmt: skip


def r2_draws(fit: Fit, scale: str = "link") -> np.ndarray:
    """Marginal and conditional R² in every draw, (draws, 2)."""
    from .r2 import _quadratic, observation_level

    parts = components(fit, scale)
    beta = posterior(fit).thinned(len(parts[RESIDUAL])).beta
    fixed, apart = _quadratic(fit, beta), observation_level(fit)
    groups = np.sum([v for label, v in parts.items() if label not in (*apart, RESIDUAL)], axis=0)
    total = fixed + np.sum(list(parts.values()), axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([fixed / total, (fixed + groups) / total], axis=1)


def median_ratios(fit: Fit, t: int, j: int, factor: float, level: float) -> tuple[float, float, float]:
    """exp(factor · sd) of one coefficient: mean and interval."""
    values = np.exp(factor * np.sqrt(posterior(fit).covariances[t][:, j, j]))
    low, high = quantiles(values, level)
    return float(values.mean()), float(low), float(high)


# --- how much each level's own data weigh ------------------------------------------------------------------------
def shrinkages(fit: Fit) -> list[np.ndarray]:
    """k λ_ℓ of every term's levels, averaged over draws."""
    draws = posterior(fit).thinned(FEW)
    found = _linear_shrinkage(draws) if fit.model.is_linear else _own_shrinkage(draws)
    return [total / len(draws) for total in found]


def _linear_shrinkage(draws: Posterior) -> list[np.ndarray]:
    """rank(Σ) − tr (H⁻¹)_ℓℓ, H the equations of spherical effects: all other effects are integrated over."""
    from ..checks.adjusted import Adjusted
    from ..fit.mixed import _diagonal_blocks

    totals = [np.zeros(len(g.levels)) for g in draws.fit.model.design.groups]
    for s in range(len(draws)):
        adjusted = Adjusted(single(draws, s))
        elimination = adjusted.elimination
        inverse = elimination.inverse(reml=False, keep=True)
        pt = elimination.pattern
        for t, (f, a, b) in adjusted.places.items():
            blocks = inverse.PL
            if f != pt.lead:
                blocks = _diagonal_blocks(inverse.P, pt, pt.place[pt.trail.index(f)], adjusted.products.factors[f].k)
            totals[t] += np.clip((b - a) - np.einsum("lkk->l", blocks[:, a:b, a:b]), 0.0, b - a)
    return totals


def _own_shrinkage(draws: Posterior) -> list[np.ndarray]:
    """tr (I + L'Z'WZL)⁻¹L'Z'WZL with the curvature at each draw's η, the effects of other factors held."""
    fit, rows = draws.fit, training_rows(draws.fit)
    distribution, obs = fit.model.distribution, fit.model.observations
    factors = [roots(c) for c in draws.covariances]
    totals = [np.zeros(len(g.levels)) for g in rows.groups]
    for s in range(len(draws)):
        eta = draws.take(np.array([s])).eta(rows)[0]
        with np.errstate(all="ignore"):
            second = np.asarray(distribution.derivatives(obs, eta, 2).second)
        for t, group in enumerate(rows.groups):
            weight, k = second[:, group.predictor, group.predictor], len(group.columns)
            z = np.stack([np.ones(rows.n) if c is None else c for c in group.columns], axis=1) @ factors[t][s]
            gram = np.empty((len(group.levels), k, k))
            for i in range(k):
                for j in range(k):
                    gram[:, i, j] = np.bincount(group.codes, weight * z[:, i] * z[:, j], len(group.levels))
            inverse = np.linalg.inv(gram + np.eye(k))
            totals[t] += np.clip(k - np.einsum("lkk->l", inverse), 0.0, k)
    return totals


def effective_parameters(fit: Fit) -> float:
    """ρ averaged over draws."""
    if not fit.model.is_linear:
        return float(np.sum(~np.isnan(fit.estimates.beta))) + sum(float(v.sum()) for v in shrinkages(fit))
    from .effective import effective_parameters as of_one

    return float(over_draws(fit, lambda one: np.array(of_one(one)), FEW).mean())
