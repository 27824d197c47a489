"""The inverse-gamma prior: ``inv_gamma(shape, scale)``; that of brms for the size of a negative binomial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior


@dataclass(frozen=True)
class InvGamma(Prior):
    """p(x) ∝ x^(−shape − 1) exp(−scale/x) for x > 0."""

    above_zero = ("shape", "scale")
    shape: float = 1.0
    scale: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        constant = self.shape * math.log(self.scale) - math.lgamma(self.shape)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = constant - (self.shape + 1.0) * np.log(x) - self.scale / x
        return np.where(x > 0.0, inside, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return -(self.shape + 1.0) / x + self.scale / x**2

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.scale / rng.gamma(self.shape, 1.0, n)

    def below(self, x: float) -> float:
        from scipy.special import gammaincc

        return float(gammaincc(self.shape, self.scale / x)) if x > 0.0 else 0.0


MEMBER = InvGamma
