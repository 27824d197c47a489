"""Priors of a group term's covariance Σ.

    Σ = diag(sd) R diag(sd),    sd ~ p(sd | σ),    p(R) ∝ |R|^(η − 1)

η = 1 is uniform over correlation matrices, larger η favour weak correlations. `Separate` is independent priors, one a
standard deviation. Members of `covariance/` are priors of all of Σ: those that are still of this form (``decov``)
answer `evaluate`; a density of Σ itself (``inv_wishart``) is `whole` and answers `of_factor`.

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

    @property
    def whole(self) -> bool:
        """Whether it is a density of Σ, by `of_factor`, and not of standard deviations and correlations."""
        return False

    @property
    def proper(self) -> bool:
        """Whether it integrates to one."""
        return True

    @abstractmethod
    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """log p(sd | σ) of sd (N, k) and σ (N,); its derivatives by sd (N, k) and by log σ (N,)."""

    def of_factor(self, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where `whole`: log p(Σ) by the entries of Σ's triangle, Σ = LL', L (N, k, k), and its derivative by L."""
        raise NotImplementedError

    @abstractmethod
    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Standard deviations (n, k) given σ (n,)."""

    def draw_covariances(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Where `whole`: Σ (n, k, k)."""
        raise NotImplementedError


@dataclass(frozen=True)
class Separate(TermPrior):
    """Independent priors, one a standard deviation (cut at zero by whoever made them)."""

    sds: tuple[Prior, ...]

    @property
    def proper(self) -> bool:
        return all(prior.proper for prior in self.sds)

    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        value = np.zeros(len(sd))
        slopes = np.empty_like(sd)
        for j, prior in enumerate(self.sds):
            value = value + prior.log_density(sd[:, j])
            slopes[:, j] = prior.slope(sd[:, j])
        return value, slopes, np.zeros(len(sd))

    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.column_stack([prior.draw(n, rng) for prior in self.sds])
