"""Contract of a scale: how the coefficients of one level covary.

    Cov(b_ℓ) = σ² λ λ',    λ = factor(θ)  (k × k)

θ are the relative parameters of one term. Each has a kind: ``"positive"`` (zero is allowed and means a variance
on the boundary), ``"free"``, or ``"bounded"`` (an open interval, its ends the boundary).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np

Kind = Literal["positive", "free", "bounded"]


@dataclass(frozen=True)
class Scale(ABC):
    """Covariance among the `k` coefficients of a level."""

    k: int

    @abstractmethod
    def kinds(self) -> tuple[Kind, ...]:
        """The kind of each parameter; its length is their number."""

    @abstractmethod
    def start(self) -> np.ndarray:
        """Parameters of the unit covariance λ = I."""

    @abstractmethod
    def factor(self, theta: np.ndarray) -> np.ndarray:
        """λ(θ), (k, k)."""

    @abstractmethod
    def derivative(self, theta: np.ndarray) -> np.ndarray:
        """∂λ/∂θ, (parameters, k, k)."""

    @abstractmethod
    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        """θ of a covariance of this family (relative to σ²): the inverse of θ ↦ λλ'."""

    @property
    def triangular(self) -> bool:
        """Whether every parameter is one entry of a lower triangular λ (then `entries` says which)."""
        return False

    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Row and column in λ of each parameter, where `triangular`."""
        raise TypeError("this scale's parameters are not entries of a triangle")

    def bounds(self) -> tuple[float, float]:
        """The interval of the ``"bounded"`` parameter."""
        return -1.0, 1.0

    def tied(self, j: int) -> tuple[int, ...]:
        """Parameters that are zero too when the positive parameter `j` is zero."""
        return ()

    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray:
        """θ with the positive parameter `j` (and those tied to it) exactly zero, the rest adjusted to stay close."""
        out = theta.copy()
        out[[j, *self.tied(j)]] = 0.0
        return out

    def release(
        self, theta: np.ndarray, score: np.ndarray, weight: np.ndarray, zeros: list[int]
    ) -> np.ndarray | None:
        """A direction in θ along which the criterion falls from the boundary, or None when the boundary is optimal.

        Parameters
        ----------
        theta : the point on the boundary
        score : derivative of the criterion by θ_j divided by 2 θ_j, at a tiny θ_j: the score of the variance. Where
            `triangular`, the entries of the symmetric matrix ∂d/∂(λλ') at every parameter's place instead
        weight : information a level holds about each parameter (makes scores comparable)
        zeros : parameters that are zero
        """
        worst = min(zeros, key=lambda j: score[j] / weight[j])
        if score[worst] >= -RELEASE * weight[worst]:
            return None
        out = np.zeros(len(score))
        out[worst] = 1.0 / np.sqrt(weight[worst])
        return out


RELEASE = 1e-6  # a variance is released when the criterion falls faster than this per unit of its information
