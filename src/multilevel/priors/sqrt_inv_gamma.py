"""A standard deviation whose square has an inverse-gamma prior: ``sqrt_inv_gamma(shape, scale)``.

The conjugate prior of normal hierarchies, and what Gibbs samplers need. Small values of both parameters are no way to
say nothing: the posterior then depends on how small they are (Gelman 2006, Bayesian Analysis 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior
from .inv_gamma import InvGamma


@dataclass(frozen=True)
class SqrtInvGamma(Prior):
    """x² ~ inv_gamma(shape, scale): p(x) ∝ x^(−2 shape − 1) exp(−scale/x²) for x > 0."""

    above_zero = ("shape", "scale")
    shape: float = 1.0
    scale: float = 1.0

    @property
    def square(self) -> InvGamma:
        """The prior of x²."""
        return InvGamma(self.shape, self.scale)

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = self.square.log_density(x**2) + np.log(2.0 * x)
        return np.where(x > 0.0, inside, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return self.square.slope(x**2) * 2.0 * x + 1.0 / x

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.sqrt(self.square.draw(n, rng))

    def below(self, x: float) -> float:
        return self.square.below(x * x) if x > 0.0 else 0.0


MEMBER = SqrtInvGamma
