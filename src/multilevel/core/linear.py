"""Least squares from cross-products, and the contract of every fit that is linear in the data.

    β̂ = (X'WX)⁻¹ X'Wy,    Cov(β̂) = σ² (X'WX)⁻¹

A linear fit answers with *unscaled* covariances (those for σ² = 1), so that one `Certainty` serves complete
pooling, no pooling and the within estimator.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.cross_products import CrossProducts

PERFECT = 16.0 * float(np.finfo(float).eps)  # residuals this small, relative to the response, are rounding


class LinearFit(ABC):
    """Fixed effects and group effects that are linear in the response."""

    @abstractmethod
    def beta_covariance(self) -> np.ndarray:
        """Cov(β̂)/σ², (p, p), NaN in the rows and columns of dropped columns."""

    @abstractmethod
    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        """Cov(b̂_ℓ)/σ² per term, (L, k, k)."""

    @abstractmethod
    def variance(self, x: np.ndarray, codes: Sequence[np.ndarray], z: Sequence[np.ndarray]) -> np.ndarray:
        """Var(x'β̂ + Σ z'b̂[level])/σ² for each row; inf for new levels, NaN where a level could not be fitted."""

    @abstractmethod
    def noise(self, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """One draw of (β̂ − β, b̂ − b) for σ = 1."""


@dataclass(frozen=True)
class CommonFit(LinearFit):
    """Regression without group effects, in the coordinates of `products`; effects are zero by assumption.

    inverse : (X'WX)⁻¹ of the internal columns;  sizes : (levels, coefficients) of each group term
    """

    products: CrossProducts
    inverse: np.ndarray
    sizes: tuple[tuple[int, int], ...]

    def beta_covariance(self) -> np.ndarray:
        to = self.products.to_beta
        out = np.asarray(to @ self.inverse @ to.T)
        gone = [j for j, _ in self.products.dropped]
        out[gone, :] = np.nan
        out[:, gone] = np.nan
        return out

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        return tuple(np.zeros((n, k, k)) for n, k in self.sizes)

    def variance(self, x: np.ndarray, codes: Sequence[np.ndarray], z: Sequence[np.ndarray]) -> np.ndarray:
        c = x @ self.products.to_beta
        return np.asarray(np.einsum("mp,pq,mq->m", c, self.inverse, c))

    def noise(self, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        beta = self.products.to_beta @ (root(self.inverse) @ rng.standard_normal(len(self.inverse)))
        return beta, tuple(np.zeros(size) for size in self.sizes)


@dataclass(frozen=True)
class Regression:
    """Solution of the normal equations, internal coordinates; `rss` is exactly 0 for a perfect fit."""

    beta: np.ndarray
    inverse: np.ndarray
    rss: float


def regression(products: CrossProducts) -> Regression:
    """OLS of the fixed part alone (columns that are nearly collinear come orthogonalised, see `data/orthogonal.py`)."""
    p = products.p
    xx, xy, yy = products.xy[:p, :p], products.xy[:p, p], float(products.xy[p, p])
    factor = np.linalg.cholesky(xx) if p else np.zeros((0, 0))
    half = np.linalg.solve(factor, np.eye(p))
    inverse = half.T @ half
    beta = half.T @ (half @ xy)
    # one step of refinement: the residual of the normal equations costs nothing and returns a digit
    beta = beta + half.T @ (half @ (xy - xx @ beta))
    rss = yy - float(np.sum((half @ xy) ** 2))
    shift = products.y_shift
    weight = float(np.exp(products.log_weights / max(products.n_rows, 1)))
    floor = products.n * weight * (PERFECT * (abs(shift.centre) / shift.scale + 1.0)) ** 2
    return Regression(beta, inverse, rss if rss > floor else 0.0)


def gaussian_log_likelihood(rss: float, n: float, log_weights: float, known: bool) -> float:
    """Maximum of the Gaussian log-likelihood (σ² = RSS/n, as R's ``logLik(lm)``), or its value at known variances.

    Infinite for a perfect fit: the density has no maximum as σ → 0.
    """
    if known:
        return -0.5 * (n * float(np.log(2.0 * np.pi)) + rss - log_weights)
    if not rss > 0.0:
        return float("inf")
    return -0.5 * (n * (1.0 + float(np.log(2.0 * np.pi * rss / n))) - log_weights)


def root(covariance: np.ndarray) -> np.ndarray:
    """A with AA' = covariance, for positive semidefinite matrices (also stacked)."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :])


def independent(unit: np.ndarray, tolerance: float) -> np.ndarray:
    """Positions of independent columns of a Gram matrix of columns that had length one (pivoted Cholesky), sorted."""
    from scipy.linalg import lapack

    # LAPACK takes the first pivot whatever its size
    if len(unit) == 0 or float(np.diag(unit).max()) <= tolerance:
        return np.zeros(0, dtype=int)
    _, pivots, rank, _ = lapack.dpstrf(unit, tol=tolerance, lower=1)
    return np.sort(pivots[:rank] - 1)
