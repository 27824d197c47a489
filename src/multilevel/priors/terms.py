"""Priors of a group term's covariance: on its standard deviations, and LKJ on its correlations.

    Σ = diag(sd) R diag(sd),    sd ~ p(sd | σ),    p(R) ∝ |R|^(η − 1)

η = 1 is uniform over correlation matrices, larger η favour weak correlations.

Reference: Lewandowski, Kurowicka & Joe (2009), J. Multivariate Analysis 100.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class TermPrior(ABC):
    """A density of the standard deviations of one term; `eta` is LKJ's parameter for its correlations."""

    eta: float

    @abstractmethod
    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """log p(sd | σ) of sd (N, k) and σ (N,); its derivatives by sd (N, k) and by log σ (N,)."""

    @abstractmethod
    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Standard deviations (n, k) given σ (n,)."""


@dataclass(frozen=True)
class Separate(TermPrior):
    """Independent priors, one a standard deviation (cut at zero by whoever made them)."""

    sds: tuple[Prior, ...]

    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value = np.zeros(len(sd))
        slopes = np.empty_like(sd)
        for j, prior in enumerate(self.sds):
            value = value + prior.log_density(sd[:, j])
            slopes[:, j] = prior.slope(sd[:, j])
        return value, slopes, np.zeros(len(sd))

    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.column_stack([prior.draw(n, rng) for prior in self.sds])
