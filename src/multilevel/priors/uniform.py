"""The uniform prior of an interval: ``uniform(lower, upper)``. Outside is impossible, whatever the data say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior, refused


@dataclass(frozen=True)
class Uniform(Prior):
    """p(x) = 1/(upper − lower) between the two."""

    lower: float = 0.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.lower < self.upper:
            raise refused(self.name, "upper", self.upper, f"above lower = {self.lower:g}")

    @property
    def support(self) -> tuple[float, float]:
        return self.lower, self.upper

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return np.where((x >= self.lower) & (x <= self.upper), -np.log(self.upper - self.lower), -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        return np.zeros_like(np.asarray(x, dtype=float))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return rng.uniform(self.lower, self.upper, n)

    def below(self, x: float) -> float:
        return float(np.clip((x - self.lower) / (self.upper - self.lower), 0.0, 1.0))


MEMBER = Uniform
