"""The Laplace prior: ``laplace(location, scale)``; its mode is the lasso."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class Laplace(Prior):
    """p(x) ∝ exp(−|x − location|/scale)."""

    above_zero = ("scale",)
    centre = "location"
    location: float = 0.0
    scale: float = 1.0

    def log_density(self, x: Any) -> np.ndarray:
        z = np.abs(np.asarray(x, dtype=float) - self.location) / self.scale
        return -z - math.log(2.0 * self.scale)

    def slope(self, x: Any) -> np.ndarray:
        return -np.sign(np.asarray(x, dtype=float) - self.location) / self.scale

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.laplace(self.location, self.scale, n)

    def below(self, x: float) -> float:
        z = (x - self.location) / self.scale
        return 0.5 * math.exp(z) if z < 0.0 else 1.0 - 0.5 * math.exp(-z)


MEMBER = Laplace
