"""The covariance prior of rstanarm: ``decov(regularization, concentration, shape, scale)``.

    sd_j = σ τ (k π_j)^½,    τ ~ Gamma(shape, 1/scale),    π ~ Dirichlet(concentration),    R ~ LKJ(regularization)

τ² is the mean variance over σ², π its shares. σ is the residual standard deviation of a linear model, and 1 in others.

Reference: Goodrich, Gabry, Ali & Brilleman (2024), rstanarm, "Prior distributions and options" (decov).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..terms import TermPrior
from .base import CovariancePrior


@dataclass(frozen=True)
class Decov(CovariancePrior):
    """Decomposition of a covariance into correlations, shares of the trace, and a scale."""

    regularization: float = 1.0
    concentration: float = 1.0
    shape: float = 1.0
    scale: float = 1.0

    def of(self, k: int, eta: float) -> TermPrior:
        return DecovTerm(self.regularization, k, self.concentration, self.shape, self.scale)


@dataclass(frozen=True)
class DecovTerm(TermPrior):
    """The prior of k standard deviations given σ."""

    k: int
    concentration: float
    shape: float
    scale: float

    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k, a = self.k, self.concentration
        trace = (sd * sd).sum(axis=1)
        tau = np.sqrt(trace / k) / sigma
        # sd → (τ, π): Π 2 sd_j dsd = trace^(k − 1) 2σ²kτ dτ dπ
        constant = math.lgamma(a * k) - k * math.lgamma(a) - math.lgamma(self.shape) - self.shape * math.log(self.scale)
        value = constant + (self.shape - 1.0) * np.log(tau) - tau / self.scale
        value = value + (2.0 * a - 1.0) * np.log(sd).sum(axis=1) - k * (a - 1.0) * np.log(trace)
        value = value + k * math.log(2.0) - (k - 1.0) * np.log(trace) - np.log(2.0 * k * sigma**2 * tau)
        by_tau = (self.shape - 2.0) - tau / self.scale  # τ ∂/∂τ
        shares = sd / trace[:, None]
        by_sd = (2.0 * a - 1.0) / sd + (by_tau - 2.0 * (k * a - 1.0))[:, None] * shares
        return value, by_sd, -by_tau - 2.0

    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        tau = rng.gamma(self.shape, self.scale, n)
        shares = rng.dirichlet(np.full(self.k, self.concentration), n)
        return np.asarray((sigma * tau)[:, None] * np.sqrt(self.k * shares))


MEMBER = Decov
