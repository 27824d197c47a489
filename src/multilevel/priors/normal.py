"""The normal prior: ``normal(mean, sd)``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class Normal(Prior):
    """x ~ N(mean, sd²)."""

    above_zero = ("sd",)
    centre = "mean"
    mean: float = 0.0
    sd: float = 1.0

    def log_density(self, x: Any) -> np.ndarray:
        z = (np.asarray(x, dtype=float) - self.mean) / self.sd
        return -0.5 * z * z - math.log(self.sd * math.sqrt(2.0 * math.pi))

    def slope(self, x: Any) -> np.ndarray:
        return -(np.asarray(x, dtype=float) - self.mean) / self.sd**2

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(self.mean, self.sd, n)

    def below(self, x: float) -> float:
        return 0.5 * math.erfc(-(x - self.mean) / (self.sd * math.sqrt(2.0)))


MEMBER = Normal
