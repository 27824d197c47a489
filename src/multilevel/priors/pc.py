"""The penalised-complexity prior of a standard deviation: ``pc(u, alpha)`` says P(sd > u) = alpha.

It decays at a constant rate from the simpler model without the variation: an exponential with rate −log(alpha)/u.

Reference: Simpson, Rue, Riebler, Martins & Sørbye (2017), Statistical Science 32, section 3.3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import INFINITY, Prior, refused
from .exponential import Exponential


@dataclass(frozen=True)
class PC(Prior):
    """P(X > u) = alpha: p(x) = rate exp(−rate x), rate = −log(alpha)/u."""

    above_zero = ("u", "alpha")
    u: float = 1.0
    alpha: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alpha < 1.0:
            raise refused(self.name, "alpha", self.alpha, "a probability below 1")

    @property
    def rate(self) -> float:
        """Of the exponential that it is."""
        return -math.log(self.alpha) / self.u

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        return Exponential(self.rate).log_density(x)

    def slope(self, x: Any) -> np.ndarray:
        return Exponential(self.rate).slope(x)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return Exponential(self.rate).draw(n, rng)

    def below(self, x: float) -> float:
        return Exponential(self.rate).below(x)


MEMBER = PC
