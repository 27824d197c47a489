"""The logistic prior: ``logistic(location, scale)``; uniform on a probability when put on its logit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior


@dataclass(frozen=True)
class Logistic(Prior):
    """P(X ≤ x) = 1/(1 + exp(−(x − location)/scale))."""

    above_zero = ("scale",)
    centre = "location"
    location: float = 0.0
    scale: float = 1.0

    def log_density(self, x: Any) -> np.ndarray:
        z = np.abs(np.asarray(x, dtype=float) - self.location) / self.scale
        return -z - 2.0 * np.log1p(np.exp(-z)) - math.log(self.scale)

    def slope(self, x: Any) -> np.ndarray:
        return -np.tanh(0.5 * (np.asarray(x, dtype=float) - self.location) / self.scale) / self.scale

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.logistic(self.location, self.scale, n)

    def below(self, x: float) -> float:
        return 0.5 * (1.0 + math.tanh(0.5 * (x - self.location) / self.scale))


MEMBER = Logistic
