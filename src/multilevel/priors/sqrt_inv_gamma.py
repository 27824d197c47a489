"""A standard deviation whose square has an inverse-gamma prior: ``sqrt_inv_gamma(shape, scale)``.

The conjugate prior of normal hierarchies, and what Gibbs samplers need. Small values of both parameters are no way to
say nothing: the posterior then depends on how small they are (Gelman 2006, Bayesian Analysis 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior


@dataclass(frozen=True)
class SqrtInvGamma(Prior):
    """x² ~ inv_gamma(shape, scale): p(x) ∝ x^(−2 shape − 1) exp(−scale/x²) for x > 0."""

    above_zero = ("shape", "scale")
    shape: float = 1.0
    scale: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        constant = math.log(2.0) + self.shape * math.log(self.scale) - math.lgamma(self.shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = constant - (2.0 * self.shape + 1.0) * np.log(x) - self.scale / x**2
        return np.where(x > 0.0, inside, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return -(2.0 * self.shape + 1.0) / x + 2.0 * self.scale / x**3

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.sqrt(self.scale / rng.gamma(self.shape, 1.0, n))

    def below(self, x: float) -> float:
        from scipy.special import gammaincc

        return float(gammaincc(self.shape, self.scale / x / x)) if x > 0.0 else 0.0


MEMBER = SqrtInvGamma
