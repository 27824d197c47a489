"""Regression of the response on the fixed columns, both with the group coefficients taken out.

    β̂ = (X'WMX)⁻¹ X'WM y,    RSS = ‖W^½ M (y − Xβ̂)‖²

by Householder QR of the weighted columns MX. Columns of which nothing is left (constant within every level, for
group intercepts) are absorbed: their coefficients cannot be told from the group coefficients.

References: Frisch & Waugh (1933), Lovell (1963).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..formula.design import Column
from .projection import Projector

NOISE = 1e3 * float(np.finfo(float).eps)
DEPENDENT = 1e-11


@dataclass(frozen=True)
class Absorbed:
    """The within regression.

    kept : positions of the columns with a coefficient of their own;  absorbed, redundant : positions of the others
    beta, inverse : of the kept columns;  rss, tss : residual and total sum of squares of My
    response, columns : group coefficients of y and of each kept column, as the projector gives them
    """

    kept: tuple[int, ...]
    absorbed: tuple[int, ...]
    redundant: tuple[int, ...]
    beta: np.ndarray
    inverse: np.ndarray
    rss: float
    tss: float
    response: np.ndarray
    columns: tuple[np.ndarray, ...]


def absorb(
    columns: Sequence[Column], candidates: Sequence[int], y: np.ndarray, w: np.ndarray, m: Projector
) -> Absorbed:
    """The regression of y on `columns[candidates]` given the group coefficients of `m`."""
    root = np.sqrt(w)
    kept: list[int] = []
    absorbed, redundant = [], []
    parts: list[np.ndarray] = []
    coefficients: list[np.ndarray] = []
    basis = np.empty((len(y), 0))
    for j in candidates:
        column = columns[j]
        values = np.ones(len(y)) if column is None else np.asarray(column, dtype=float)
        group, left = m.coefficients(values)
        left = left * root
        size = float(np.linalg.norm(left))
        if size <= NOISE * float(np.linalg.norm(values * root)):
            absorbed.append(j)
            continue
        fresh = left / size
        for _ in range(2):  # twice is enough (Kahan, Parlett)
            fresh = fresh - basis @ (basis.T @ fresh)
        rest = float(np.linalg.norm(fresh))
        if rest <= max(DEPENDENT, NOISE * float(np.linalg.norm(values * root)) / size):
            redundant.append(j)
            continue
        basis = np.column_stack([basis, fresh / rest])
        kept.append(j)
        parts.append(left)
        coefficients.append(group)
    own, left = m.coefficients(y)
    target = left * root
    beta, inverse, residual = _solve(parts, target)
    residual_size = float(np.linalg.norm(residual))
    rounding = NOISE / 64.0 * float(np.linalg.norm(y * root))  # a perfect fit is a residual of exactly zero
    return Absorbed(
        kept=tuple(kept),
        absorbed=tuple(absorbed),
        redundant=tuple(redundant),
        beta=beta,
        inverse=inverse,
        rss=residual_size**2 if residual_size > rounding else 0.0,
        tss=float(target @ target),
        response=own,
        columns=tuple(coefficients),
    )


def _solve(columns: Sequence[np.ndarray], target: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """β̂, (X'X)⁻¹ and the residual by QR with one refinement."""
    if not columns:
        return np.zeros(0), np.zeros((0, 0)), target
    q, r = np.linalg.qr(np.column_stack(columns))
    residual, beta = target, np.zeros(len(columns))
    for _ in range(2):
        along = q.T @ residual
        beta = beta + np.linalg.solve(r, along)
        residual = residual - q @ along
    inverse = np.linalg.inv(r)
    return beta, inverse @ inverse.T, residual
