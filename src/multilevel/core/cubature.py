"""Integrals over the linear predictors of single rows: Gauss–Hermite rules along their principal axes.

    ∫ f(η) N(η; m, RR') dη ≈ Σ_k w_k f(m + R t_k)

A row has as many axes as its family has predictors. The widest axis gets the most nodes; beyond the third, one: there
the integral is Laplace's, which is exact where an axis is as narrow as those of well-known coefficients.

Reference: Liu & Pierce (1994), Biometrika 81; Naylor & Smith (1982), Appl. Statist. 31.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from ..families.base import Distribution, Observations

NODES = {1: (21,), 2: (15, 9), 3: (15, 7, 5)}
MANY = (11, 5, 3)  # of the first axes where there are more than three


@lru_cache(maxsize=64)
def hermite(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights for the standard normal distribution; the weights add up to one."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return nodes, weights / weights.sum()


@lru_cache(maxsize=64)
def product_rule(counts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Nodes (K, axes) and weights (K,) of the product of one rule an axis."""
    nodes, weights = np.zeros((1, 0)), np.ones(1)
    for count in counts:
        t, w = hermite(count)
        nodes = np.concatenate([np.repeat(nodes, count, axis=0), np.tile(t, len(nodes))[:, None]], axis=1)
        weights = np.outer(weights, w).ravel()
    return nodes, weights


def rule(m: int) -> tuple[np.ndarray, np.ndarray]:
    """The rule for a row with m predictors, the widest axis first."""
    return product_rule(NODES.get(m, MANY + (1,) * max(m - len(MANY), 0)))


def principal(covariance: np.ndarray) -> np.ndarray:
    """R (…, m, m) with RR' = covariance, the widest axis first; directions without variance are columns of zeros."""
    values, vectors = np.linalg.eigh(covariance)
    floor = 1e-14 * np.maximum(values[..., -1:], 0.0)
    root = np.sqrt(np.where(values > floor, values, 0.0))
    return np.asarray((vectors * root[..., None, :])[..., ::-1])


def expected_mean(distribution: Distribution, obs: Observations, eta: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """E over η ~ N(eta, covariance) of the response's mean: (n,), or (n, K) for categories.

    Parameters
    ----------
    eta : (n, m);  covariance : (n, m, m)
    """
    root = principal(covariance)
    nodes, weights = rule(eta.shape[1])
    out: np.ndarray | None = None
    for t, w in zip(nodes, weights, strict=True):
        part = w * distribution.mean(obs, eta + root @ t)
        out = part if out is None else out + part
    assert out is not None
    return out


def log_mean_exp(parts: np.ndarray, log_weights: np.ndarray) -> np.ndarray:
    """log Σ_k w_k exp(parts_k) along the first axis, without overflow; −inf where all parts are."""
    shifted = parts + log_weights.reshape(-1, *[1] * (parts.ndim - 1))
    top = shifted.max(axis=0)
    safe = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(safe + np.log(np.exp(shifted - safe).sum(axis=0)))
