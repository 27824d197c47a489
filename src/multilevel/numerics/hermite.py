"""Gauss–Hermite rules for the standard normal density, and their products in several dimensions.

    E f(X) ≈ Σ_r w_r f(x_r),    X ~ N(0, I_k),    Σ w_r = 1

A rule of R nodes is exact for polynomials of degree 2R − 1 in each direction. In products, points whose weight is below
`PRUNED` of the largest are left out: they are the corners of the cube, where nothing is left of the density.

References: Golub & Welsch (1969), Math. Comp. 23; Jäckel (2005), A note on multivariate Gauss–Hermite quadrature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

PRUNED = 1e-13  # of the largest weight


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes (R, k) and the logarithms of their weights (R,)."""

    nodes: np.ndarray
    log_weights: np.ndarray

    def __len__(self) -> int:
        return len(self.nodes)


@lru_cache(maxsize=64)
def hermite(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of the rule with `count` nodes, symmetric to the last digit."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    nodes, weights = 0.5 * (nodes - nodes[::-1]), 0.5 * (weights + weights[::-1])
    return nodes, weights / weights.sum()


@lru_cache(maxsize=64)
def product_rule(count: int, k: int, pruned: float = PRUNED) -> Rule:
    """`count` nodes along each of k axes, without the corners."""
    nodes, weights = hermite(count)
    points, masses = np.zeros((1, 0)), np.ones(1)
    for _ in range(k):
        points = np.concatenate([np.repeat(points, count, axis=0), np.tile(nodes, len(points))[:, None]], axis=1)
        masses = np.outer(masses, weights).ravel()
    keep = masses >= pruned * masses.max() if k > 1 else np.ones(len(masses), dtype=bool)
    kept = masses[keep]
    return Rule(np.ascontiguousarray(points[keep]), np.log(kept / kept.sum()))
