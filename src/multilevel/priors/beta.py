"""The beta prior of a probability: ``beta(a, b)``; ``beta(1, 1)`` is uniform."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class Beta(Prior):
    """p(x) ∝ x^(a − 1) (1 − x)^(b − 1) on (0, 1)."""

    above_zero = ("a", "b")
    a: float = 1.0
    b: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, 1.0

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        constant = math.lgamma(self.a + self.b) - math.lgamma(self.a) - math.lgamma(self.b)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = (self.a - 1.0) * np.log(x) + (self.b - 1.0) * np.log1p(-x)
        flat = self.a == self.b == 1.0
        return np.where((x >= 0.0) & (x <= 1.0), constant + (0.0 if flat else inside), -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return (self.a - 1.0) / x - (self.b - 1.0) / (1.0 - x)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.beta(self.a, self.b, n)

    def below(self, x: float) -> float:
        from scipy.special import betainc

        return float(betainc(self.a, self.b, min(max(x, 0.0), 1.0)))


MEMBER = Beta
