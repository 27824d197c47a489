"""The exponential prior of a standard deviation: ``exponential(rate)``; its mean is 1/rate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior


@dataclass(frozen=True)
class Exponential(Prior):
    """p(x) = rate exp(−rate x) for x ≥ 0. For a standard deviation it is the PC prior of Simpson et al. (2017)."""

    above_zero = ("rate",)
    rate: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return np.where(x >= 0.0, math.log(self.rate) - self.rate * x, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        return np.full_like(np.asarray(x, dtype=float), -self.rate)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.exponential(1.0 / self.rate, n)

    def below(self, x: float) -> float:
        return -math.expm1(-self.rate * max(x, 0.0))


MEMBER = Exponential
