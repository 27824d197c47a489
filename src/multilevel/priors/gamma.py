"""The gamma prior: ``gamma(shape, rate)``."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior


@dataclass(frozen=True)
class Gamma(Prior):
    """p(x) ∝ x^(shape − 1) exp(−rate x) for x > 0."""

    above_zero = ("shape", "rate")
    shape: float = 1.0
    rate: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        constant = self.shape * math.log(self.rate) - math.lgamma(self.shape)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(x > 0.0, constant + (self.shape - 1.0) * np.log(x) - self.rate * x, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        return (self.shape - 1.0) / np.asarray(x, dtype=float) - self.rate

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.gamma(self.shape, 1.0 / self.rate, n)

    def below(self, x: float) -> float:
        from scipy.special import gammainc

        return float(gammainc(self.shape, self.rate * max(x, 0.0)))


MEMBER = Gamma
