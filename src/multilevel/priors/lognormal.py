"""The lognormal prior of a positive parameter: ``lognormal(mean, sd)`` of its logarithm."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior


@dataclass(frozen=True)
class Lognormal(Prior):
    """log x ~ N(mean, sd²)."""

    above_zero = ("sd",)
    mean: float = 0.0
    sd: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            log_x = np.log(x)
            z = (log_x - self.mean) / self.sd
            inside = -0.5 * z * z - log_x - math.log(self.sd * math.sqrt(2.0 * math.pi))
        return np.where(x > 0.0, inside, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return -(1.0 + (np.log(x) - self.mean) / self.sd**2) / x

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.lognormal(self.mean, self.sd, n)

    def below(self, x: float) -> float:
        if x <= 0.0:
            return 0.0
        return 0.5 * math.erfc(-(math.log(x) - self.mean) / (self.sd * math.sqrt(2.0)))


MEMBER = Lognormal
