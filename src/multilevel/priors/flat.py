"""The improper uniform prior: ``flat()``. Its density is one everywhere; it cannot be drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingError
from .base import Prior


@dataclass(frozen=True)
class Flat(Prior):
    """p(x) = 1."""

    @property
    def proper(self) -> bool:
        return False

    def log_density(self, x: Any) -> np.ndarray:
        return np.zeros_like(np.asarray(x, dtype=float))

    def slope(self, x: Any) -> np.ndarray:
        return np.zeros_like(np.asarray(x, dtype=float))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        raise SettingError(
            "a flat prior is no distribution: nothing can be drawn from it",
            hint='Give a proper prior, such as "normal(0, 10)".',
        )

    def below(self, x: float) -> float:
        return float("nan")


MEMBER = Flat
