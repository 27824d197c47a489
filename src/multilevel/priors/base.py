"""Contract of a prior: a density on one number.

    log_density   log p(x), normalised, vectorised; -inf outside the support
    slope         d log p(x) / dx
    draw          random numbers
    below         P(X ≤ x), for priors that are cut to an interval

A prior's file is its name for users: ``"exponential(1)"`` is `priors/exponential.py`. `Cut` restricts one to an
interval, which is how a Student-t becomes the half-Student-t of a standard deviation. Priors that several coefficients
share (`horseshoe`, `r2d2`) bring a positive scale of their own: `shared` is its prior, and the density then is of the
coefficient divided by that scale.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from ..errors import SettingError

INFINITY = float("inf")


@dataclass(frozen=True)
class Prior(ABC):
    """A density on one number; its fields are its parameters, in the order users write them."""

    above_zero: ClassVar[tuple[str, ...]] = ()  # fields that have to be above zero
    centre: ClassVar[str] = ""  # the field that moves the density along the line

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            if not (isinstance(value, int | float) and np.isfinite(value)):
                raise refused(self.name, name, value, "a finite number")
            if name in self.above_zero and not value > 0.0:
                raise refused(self.name, name, value, "above zero")

    @property
    def name(self) -> str:
        """The name users know: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def parameters(self) -> dict[str, float]:
        """Its parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("count", "unit")}

    @property
    def support(self) -> tuple[float, float]:
        """The interval that it lives on."""
        return -INFINITY, INFINITY

    @property
    def proper(self) -> bool:
        """Whether it integrates to one."""
        return True

    @property
    def shared(self) -> Prior | None:
        """The prior of a positive scale that divides all numbers it was given to; None where there is none."""
        return None

    @property
    def mixing(self) -> tuple[Prior, Prior] | None:
        """A normal prior and that of the positive number by which it is multiplied, for priors that are such products
        and whose own density is nothing that a gradient could follow; else None."""
        return None

    def among(self, count: int, unit: float) -> Prior:
        """The prior of one of `count` coefficients that were given it together.

        unit : spread of the coefficient's predictor over that of the response
        """
        return self

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
        return f"{self.name}({', '.join(short(v) for v in self.parameters.values())})" if self.parameters else self.name

    @property
    def text(self) -> str:
        """What reads back as the same prior: all digits."""
        values = ", ".join(repr(float(v)) for v in self.parameters.values())
        return f"{self.name}({values})" if values else self.name


@dataclass(frozen=True)
class Cut(Prior):
    """A prior restricted to an interval and normalised again: the half-normal is ``Cut(normal, 0, inf)``."""

    whole: Prior
    lower: float = 0.0
    upper: float = INFINITY

    def __post_init__(self) -> None:
        low, high = self.support
        if not low < high:
            raise SettingError(
                f"the prior {self.whole} has nothing between {self.lower:g} and {self.upper:g}",
                code="E_PRIOR",
                hint="Use one whose support reaches there.",
            )

    @property
    def name(self) -> str:
        return self.whole.name

    @property
    def parameters(self) -> dict[str, float]:
        return self.whole.parameters

    @property
    def support(self) -> tuple[float, float]:
        low, high = self.whole.support
        return max(low, self.lower), min(high, self.upper)

    @property
    def proper(self) -> bool:
        return self.whole.proper

    @cached_property
    def mass(self) -> float:
        """P(lower < X ≤ upper) of the whole prior."""
        low = self.whole.below(self.lower) if np.isfinite(self.lower) else 0.0
        high = self.whole.below(self.upper) if np.isfinite(self.upper) else 1.0
        return high - low

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        inside = (x >= self.lower) & (x <= self.upper)
        constant = math.log(self.mass) if self.whole.proper else 0.0
        if inside.all():
            return self.whole.log_density(x) - constant
        return np.where(inside, self.whole.log_density(np.where(inside, x, 1.0)) - constant, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        return self.whole.slope(x)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        if not self.proper:
            return self.whole.draw(n, rng)
        if self.mass < 1e-3:
            return self._by_bisection(n, rng)
        out = np.empty(0)
        while len(out) < n:  # rejection
            more = self.whole.draw(2 * n, rng)
            out = np.concatenate([out, more[(more >= self.lower) & (more <= self.upper)]])
        return out[:n]

    def _by_bisection(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Where almost everything is cut away."""
        return np.array([quantile(self, float(u)) for u in rng.uniform(size=n)])

    def below(self, x: float) -> float:
        low = self.whole.below(self.lower) if np.isfinite(self.lower) else 0.0
        return float(np.clip((self.whole.below(min(max(x, self.lower), self.upper)) - low) / self.mass, 0.0, 1.0))

    @property
    def half(self) -> bool:
        """Whether it is the upper half of a symmetric prior around zero."""
        low, _ = self.whole.support
        around = self.parameters.get(self.whole.centre, 1.0) == 0.0
        return self.lower == 0.0 and self.upper == INFINITY and low < 0.0 and around

    def __str__(self) -> str:
        return f"half_{self.whole}" if self.half else str(self.whole)

    @property
    def text(self) -> str:
        return f"half_{self.whole.text}" if self.half else self.whole.text


def positive(prior: Prior) -> Prior:
    """The prior of a positive parameter: cut at zero where its support goes below."""
    return Cut(prior) if prior.support[0] < 0.0 and prior.name != "flat" else prior


def quantile(prior: Prior, p: float) -> float:
    """The value below which a share `p` of a proper prior lies, by bisection."""
    low, high = prior.support
    low = low if np.isfinite(low) else -1.0
    high = high if np.isfinite(high) else low + 2.0
    while prior.below(low) > p:
        low -= high - low
    while prior.below(high) < p and high < 1e300:
        high += high - low
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if prior.below(middle) < p else (low, middle)
    return 0.5 * (low + high)


def refused(prior: str, field: str, value: Any, wanted: str) -> SettingError:
    """A parameter of a prior that is not what it has to be."""
    from ..errors import printable

    return SettingError(
        f"{prior}: {field} = {printable(str(value), 30)} is not {wanted}",
        code="E_PRIOR",
        hint=f"Give a {field} that is; docs/priors.md has the parameters of every prior.",
    )


def short(value: float) -> str:
    """A parameter as it is printed: five digits."""
    return f"{value:.5g}"
