"""The exact null distribution of the (restricted) likelihood ratio of one variance, for any sample size.

    y = Xβ + Zb + ε,   b ~ N(0, λσ² I),   H₀: λ = 0

    RLRT = sup_λ { ν log(1 + N(λ)/D(λ)) − Σ_s log(1 + λ μ_s) },   ν = n − p
    LRT  = sup_λ { n log(1 + N(λ)/D(λ)) − Σ_s log(1 + λ ξ_s) } + n log(1 + Σ_q u²/ Σ_ν w²)
    N = Σ_s λμ_s/(1 + λμ_s) w_s²,   D = Σ_s w_s²/(1 + λμ_s) + Σ_{s > K} w_s²,   w, u standard normal

with μ the eigenvalues of Z'(I − X(X'X)⁻¹X')Z, ξ those of Z'Z, and q fixed effects tested along. For few groups the
usual mixture of chi-squares gives too little weight to zero; this needs eigenvalues and normal numbers only.

Reference: Crainiceanu & Ruppert (2004), J. R. Statist. Soc. B 66, 165-185, theorem 1 and equation (9).
"""

from __future__ import annotations

import numpy as np

from ..data.cross_products import CrossProducts

MOST_LEVELS = 2000  # the eigenvalues of a matrix of that size take some seconds
GRID = 160
BLOCK = 4_000_000


def serves(products: CrossProducts) -> bool:
    """Whether the model has the one variance that this distribution is about."""
    return len(products.factors) == 1 and products.factors[0].k == 1 and products.factors[0].n_levels <= MOST_LEVELS


def null_draws(products: CrossProducts, reml: bool, extra: int, n: int, rng: np.random.Generator) -> np.ndarray:
    """Draws of the statistic when the variance (and `extra` fixed effects) are zero.

    Parameters
    ----------
    products : of the larger model, with one term of one coefficient
    reml : bool
        Of the restricted likelihoods (then `extra` is 0).
    n : int
        Number of draws.
    """
    mu, xi, nu = _eigenvalues(products)
    values, counts = _merged(mu)
    lam = np.geomspace(1e-4, 1e8, GRID) / max(float(values.max()), 1e-300)
    drop = np.log1p(np.multiply.outer(lam, mu if reml else xi)).sum(axis=1)
    size = nu if reml else products.n
    out = np.empty(n)
    for first in range(0, n, max(1, BLOCK // GRID)):
        part = slice(first, min(first + max(1, BLOCK // GRID), n))
        squares = rng.chisquare(counts, size=(part.stop - part.start, len(counts)))
        total = squares.sum(axis=1) + _rest(nu - counts.sum(), len(squares), rng)
        out[part] = _supremum(squares, total, values, lam, size, drop)
        if extra:
            out[part] += products.n * np.log1p(rng.chisquare(extra, len(squares)) / total)
    return out


def _eigenvalues(products: CrossProducts) -> tuple[np.ndarray, np.ndarray, float]:
    """μ and ξ that are not zero, and n − p."""
    factor, p = products.factors[0], products.p
    counts, cross = factor.gram[:, 0, 0], factor.cross[:, 0, :p]
    inner = np.diag(counts)
    if p:
        half = np.linalg.solve(np.linalg.cholesky(products.xy[:p, :p]), cross.T)
        inner = inner - half.T @ half
    mu = np.linalg.eigvalsh(inner)
    return mu[mu > 1e-10 * mu[-1]], counts[counts > 0.0], float(products.n - p)


def _merged(mu: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct eigenvalues with their multiplicities: balanced designs have few."""
    order = np.sort(mu)
    first = np.concatenate([[True], np.diff(order) > 1e-9 * order[-1]])
    group = np.cumsum(first) - 1
    counts = np.bincount(group)
    return np.bincount(group, weights=order) / counts, counts


def _rest(df: float, n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.chisquare(df, n) if df > 0.0 else np.zeros(n)


def _supremum(
    squares: np.ndarray, total: np.ndarray, mu: np.ndarray, lam: np.ndarray, size: float, drop: np.ndarray
) -> np.ndarray:
    """sup over λ for each draw: the best point of a grid, and the parabola through it and its neighbours."""
    share = np.multiply.outer(mu, lam)
    explained = squares @ (share / (1.0 + share))
    values = -size * np.log1p(-explained / total[:, None]) - drop
    best = np.argmax(values, axis=1)
    middle = np.clip(best, 1, len(lam) - 2)
    rows = np.arange(len(values))
    a, b, c = values[rows, middle - 1], values[rows, middle], values[rows, middle + 1]
    bend = a - 2.0 * b + c
    with np.errstate(divide="ignore", invalid="ignore"):
        top = np.where(bend < 0.0, b - 0.125 * (a - c) ** 2 / bend, b)
    inner = best == middle
    return np.maximum(np.where(inner, top, values[rows, best]), 0.0)
