"""Student's t: ``student_t(df, location, scale)``, the default of brms for intercepts and standard deviations."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class StudentT(Prior):
    """(x − location)/scale ~ t with `df` degrees of freedom."""

    above_zero = ("df", "scale")
    centre = "location"
    df: float = 3.0
    location: float = 0.0
    scale: float = 1.0

    def log_density(self, x: Any) -> np.ndarray:
        z = (np.asarray(x, dtype=float) - self.location) / self.scale
        half = 0.5 * (self.df + 1.0)
        constant = math.lgamma(half) - math.lgamma(0.5 * self.df) - 0.5 * math.log(self.df * math.pi)
        return constant - math.log(self.scale) - half * np.log1p(z * z / self.df)

    def slope(self, x: Any) -> np.ndarray:
        z = np.asarray(x, dtype=float) - self.location
        return -(self.df + 1.0) * z / (self.df * self.scale**2 + z * z)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return self.location + self.scale * rng.standard_t(self.df, n)

    def below(self, x: float) -> float:
        from scipy.special import stdtr

        return float(stdtr(self.df, (x - self.location) / self.scale))


MEMBER = StudentT
