"""Diagonal covariance: ``(x || g)``, ``diag(x | g)``, and every term with a single coefficient.

    λ = diag(θ),  θ ≥ 0      k parameters

For a factor in the term, each level's coefficient gets its own variance and none covary (as brms and glmmTMB;
lme4's old splitting of ``||`` kept such columns correlated).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .base import Kind, Scale


@dataclass(frozen=True)
class Diagonal(Scale):
    """Independent coefficients."""

    def kinds(self) -> tuple[Kind, ...]:
        return tuple("positive" for _ in range(self.k))

    def start(self) -> np.ndarray:
        return np.ones(self.k)

    @property
    def triangular(self) -> bool:
        return True

    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        return np.arange(self.k), np.arange(self.k)

    def factor(self, theta: np.ndarray) -> np.ndarray:
        return np.diag(theta)

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        out = np.zeros((self.k, self.k, self.k))
        index = np.arange(self.k)
        out[index, index, index] = 1.0
        return out

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        return np.sqrt(np.maximum(np.diag(covariance), 0.0))


MEMBER = Diagonal
