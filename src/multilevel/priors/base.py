"""Contract of a prior: a density on one number.

    log_density   log p(x), normalised, vectorised; -inf outside the support
    slope         d log p(x) / dx
    draw          random numbers
    below         P(X ≤ x), for priors that are cut to an interval

A prior's file is its name for users: ``"exponential(1)"`` is `priors/exponential.py`. `Cut` restricts one to an
interval, which is how a Student-t becomes the half-Student-t of a standard deviation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

INFINITY = float("inf")


@dataclass(frozen=True)
class Prior(ABC):
    """A density on one number; its fields are its parameters, in the order users write them."""

    @property
    def name(self) -> str:
        """The name users know: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def support(self) -> tuple[float, float]:
        """The interval that it lives on."""
        return -INFINITY, INFINITY

    @property
    def proper(self) -> bool:
        """Whether it integrates to one."""
        return True

    @abstractmethod
    def log_density(self, x: Any) -> np.ndarray:
        """log p(x), normalised."""

    @abstractmethod
    def slope(self, x: Any) -> np.ndarray:
        """d log p / dx."""

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` independent draws."""

    @abstractmethod
    def below(self, x: float) -> float:
        """P(X ≤ x)."""

    def __str__(self) -> str:
        values = ", ".join(f"{getattr(self, f.name):.4g}" for f in fields(self))
        return f"{self.name}({values})"


@dataclass(frozen=True)
class Cut(Prior):
    """A prior restricted to an interval and normalised again: the half-normal is ``Cut(normal, 0, inf)``."""

    whole: Prior
    lower: float = 0.0
    upper: float = INFINITY

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.whole.support
        return max(low, self.lower), min(high, self.upper)

    @property
    def proper(self) -> bool:
        return self.whole.proper

    @property
    def mass(self) -> float:
        """P(lower < X ≤ upper) of the whole prior."""
        low = self.whole.below(self.lower) if np.isfinite(self.lower) else 0.0
        high = self.whole.below(self.upper) if np.isfinite(self.upper) else 1.0
        return high - low

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lower) & (x <= self.upper)
        constant = np.log(self.mass) if self.whole.proper else 0.0
        return np.where(inside, self.whole.log_density(np.where(inside, x, 1.0)) - constant, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        return self.whole.slope(x)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        out = np.empty(0)
        while len(out) < n:  # rejection: what is cut away is half of it at most in all that we use
            more = self.whole.draw(2 * n, rng)
            out = np.concatenate([out, more[(more >= self.lower) & (more <= self.upper)]])
        return out[:n]

    def below(self, x: float) -> float:
        low = self.whole.below(self.lower) if np.isfinite(self.lower) else 0.0
        return float(np.clip((self.whole.below(min(max(x, self.lower), self.upper)) - low) / self.mass, 0.0, 1.0))

    def __str__(self) -> str:
        low, high = self.whole.support
        half = self.lower == 0.0 and self.upper == INFINITY and low < 0.0
        return f"half-{self.whole}" if half else str(self.whole)


def positive(prior: Prior) -> Prior:
    """The prior of a positive parameter: cut at zero where its support goes below."""
    return Cut(prior) if prior.support[0] < 0.0 and prior.name != "flat" else prior
