"""``scale(x)``: (x - mean) / sd of the training rows; the sd has the divisor n - 1, as in R.

    scale(x, center=True, scale=True)

`center` and `scale` are True or False. As in R, the divisor without centring is the root mean square
sqrt(sum(x²) / (n - 1)).
``standardize(x)`` is the same function (patsy's divides by n).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import NonFiniteError, printable
from .base import Memory, Transform


class Scale(Transform):
    """Centre and divide by the standard deviation."""

    settings = {"center": True, "scale": True}  # noqa: RUF012  # a constant of the contract

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        centre = float(np.mean(x)) if settings["center"] else 0.0
        divisor = root_mean_square(x - centre) if settings["scale"] else 1.0
        if not (np.isfinite(divisor) and divisor > 0):
            raise NonFiniteError(
                f"{printable(label)} is not finite: the standard deviation is {divisor:g} in {len(x)} rows",
                hint="A constant column cannot be scaled; use center() or leave it out.",
            )
        return {"fields": [], "center": centre, "scale": divisor}

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        return ((x - memory["center"]) / memory["scale"],)


def root_mean_square(x: np.ndarray) -> float:
    """sqrt(sum(x²) / (n - 1))"""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.sum(x**2) / np.float64(len(x) - 1)))


MEMBER = Scale()
