"""``poly(x, 2)``: orthogonal polynomials of the training column, as R's ``poly``.

    P_0 = 1,   P_k = (x - α_{k-1}) P_{k-1} - (‖P_{k-1}‖² / ‖P_{k-2}‖²) P_{k-2},   column k = P_k / ‖P_k‖

    poly(x, degree=1, raw=False)

On the training rows the columns are orthonormal and orthogonal to the intercept; on other rows they are the same
polynomials. ``raw=True`` gives x, x², … instead (named from 0, as formulaic names them).
The memory holds α and ‖P‖², R's ``coefs``. The degree must be less than the number of distinct values.

Reference: Kennedy & Gentle (1980), Statistical Computing, 343-344.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import IdentifiabilityError, printable
from .base import Memory, Transform, whole


class Poly(Transform):
    """Polynomials."""

    settings = {"degree": 1, "raw": False}  # noqa: RUF012

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        degree = whole(settings["degree"], label, "degree", 1)
        distinct = len(np.unique(x))
        if degree >= distinct:
            raise IdentifiabilityError(
                f"{printable(label)}: degree {degree} needs more than {degree} distinct values; there are {distinct}",
                hint="Lower the degree.",
            )
        if settings["raw"]:
            return {"fields": [str(k) for k in range(degree)], "raw": True}
        alpha, norm2 = recurrence(x, degree)
        return {"fields": [str(k + 1) for k in range(degree)], "raw": False, "alpha": alpha, "norm2": norm2}

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        x = np.ascontiguousarray(x)
        if memory["raw"]:
            return tuple(np.power(x, k + 1) for k in range(len(memory["fields"])))
        return evaluate(x, memory["alpha"], memory["norm2"])


def recurrence(x: np.ndarray, degree: int) -> tuple[list[float], list[float]]:
    """α_0 … α_{d-1} and ‖P_0‖² … ‖P_d‖² of the monic polynomials on the points x."""
    alpha: list[float] = []
    norm2 = [float(len(x))]
    before, current = np.zeros(len(x)), np.ones(len(x))
    for k in range(degree):
        square = current**2
        alpha.append(float(np.sum(x * square) / np.sum(square)))
        beta = norm2[k] / norm2[k - 1] if k else 0.0
        before, current = current, (x - alpha[k]) * current - beta * before
        norm2.append(float(np.sum(current**2)))
    return alpha, norm2


def evaluate(x: np.ndarray, alpha: list[float], norm2: list[float]) -> tuple[np.ndarray, ...]:
    """The normalised polynomials of degree 1 … d at x."""
    columns = []
    before, current = np.zeros(len(x)), np.ones(len(x))
    for k, centre in enumerate(alpha):
        beta = norm2[k] / norm2[k - 1] if k else 0.0
        before, current = current, (x - centre) * current - beta * before
        columns.append(current / np.sqrt(norm2[k + 1]))
    return tuple(columns)


MEMBER = Poly()
