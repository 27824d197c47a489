"""The Cauchy prior: ``cauchy(location, scale)``; for standard deviations cut at zero (Gelman 2006)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class Cauchy(Prior):
    """p(x) ∝ 1/(1 + ((x − location)/scale)²)."""

    above_zero = ("scale",)
    centre = "location"
    location: float = 0.0
    scale: float = 1.0

    def log_density(self, x: Any) -> np.ndarray:
        z = (np.asarray(x, dtype=float) - self.location) / self.scale
        return -np.log1p(z * z) - math.log(math.pi * self.scale)

    def slope(self, x: Any) -> np.ndarray:
        z = np.asarray(x, dtype=float) - self.location
        return -2.0 * z / (self.scale**2 + z * z)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.location + self.scale * rng.standard_cauchy(n)

    def below(self, x: float) -> float:
        z = (x - self.location) / self.scale
        return math.atan2(1.0, -z) / math.pi  # keeps the digits of small probabilities


MEMBER = Cauchy
