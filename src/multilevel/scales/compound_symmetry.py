"""Compound symmetry: ``cs(0 + f | g)``.

    Cov(b_ℓ) = σ² diag(s) [(1 − ρ) I + ρ J] diag(s)      k standard deviations and one correlation
    hom=True:  all s equal                                1 standard deviation and one correlation

with −1/(k − 1) ≤ ρ ≤ 1. The square root used is symmetric in the coefficients,

    [(1 − ρ) I + ρ J]^½ = √(1 − ρ) (I − J/k) + √(1 + (k − 1) ρ) J/k,

so that with equal standard deviations the two eigenvalues are the parameters and their zeros the boundary.
Homogeneous compound symmetry with ρ ≥ 0 is the model ``(1 | g) + (1 | g:f)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .base import Kind, Scale


@dataclass(frozen=True)
class CompoundSymmetry(Scale):
    """Equal correlations; `hom` for equal variances too."""

    hom: bool = False

    def kinds(self) -> tuple[Kind, ...]:
        if self.k == 1:
            return ("positive",)
        if self.hom:
            return ("positive", "positive")
        sds: tuple[Kind, ...] = tuple("positive" for _ in range(self.k))
        return (*sds, "bounded")

    def bounds(self) -> tuple[float, float]:
        return -1.0 / (self.k - 1), 1.0

    def start(self) -> np.ndarray:
        if self.k == 1:
            return np.ones(1)
        # ρ = 0 exactly would start on a symmetric ridge for k = 2
        return np.array([0.9, 1.2]) if self.hom else np.append(np.ones(self.k), 0.2)

    def _projections(self) -> tuple[np.ndarray, np.ndarray]:
        mean = np.full((self.k, self.k), 1.0 / self.k)
        return np.eye(self.k) - mean, mean

    def factor(self, theta: np.ndarray) -> np.ndarray:
        if self.k == 1:
            return np.array([[theta[0]]])
        apart, mean = self._projections()
        if self.hom:
            return theta[0] * apart + theta[1] * mean
        return theta[: self.k, None] * self._root(theta[self.k])

    def _root(self, rho: float) -> np.ndarray:
        apart, mean = self._projections()
        return np.sqrt(max(1.0 - rho, 0.0)) * apart + np.sqrt(max(1.0 + (self.k - 1) * rho, 0.0)) * mean

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        if self.k == 1:
            return np.ones((1, 1, 1))
        apart, mean = self._projections()
        if self.hom:
            return np.stack([apart, mean])
        rho = theta[self.k]
        root = self._root(rho)
        out = np.zeros((self.k + 1, self.k, self.k))
        for j in range(self.k):
            out[j, j] = root[j]
        slope = -0.5 / np.sqrt(1.0 - rho) * apart + 0.5 * (self.k - 1) / np.sqrt(1.0 + (self.k - 1) * rho) * mean
        out[self.k] = theta[: self.k, None] * slope
        return out

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        if self.k == 1:
            return np.sqrt(np.maximum(covariance[0], 0.0))
        sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
        scale = np.outer(sd, sd)
        off = ~np.eye(self.k, dtype=bool) & (scale > 0)
        rho = float(np.mean(covariance[off] / scale[off])) if off.any() else 0.0
        if not self.hom:
            return np.append(sd, rho)
        variance = float(np.mean(sd**2))
        return np.sqrt(np.maximum([variance * (1 - rho), variance * (1 + (self.k - 1) * rho)], 0.0))


MEMBER = CompoundSymmetry
