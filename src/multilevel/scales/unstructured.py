"""Unstructured covariance: ``(x | g)``, ``us(x | g)``.

    λ lower triangular, θ its entries column by column, diagonal ≥ 0      k(k+1)/2 parameters

A zero on the diagonal makes its column zero: the covariance has lost a rank (a variance of zero, or a
correlation of ±1), which is an ordinary result.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from .base import RELEASE, Kind, Scale


@cache
def _entries(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the lower triangle, column by column (lme4's order of θ)."""
    cols, rows = np.triu_indices(k)
    return rows, cols


@cache
def _basis(k: int) -> np.ndarray:
    rows, cols = _entries(k)
    out = np.zeros((len(rows), k, k))
    out[np.arange(len(rows)), rows, cols] = 1.0
    return out


@dataclass(frozen=True)
class Unstructured(Scale):
    """All variances and correlations free."""

    def kinds(self) -> tuple[Kind, ...]:
        rows, cols = _entries(self.k)
        return tuple("positive" if i == j else "free" for i, j in zip(rows, cols, strict=True))

    def start(self) -> np.ndarray:
        rows, cols = _entries(self.k)
        return (rows == cols).astype(float)

    @property
    def triangular(self) -> bool:
        return True

    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        return _entries(self.k)

    def factor(self, theta: np.ndarray) -> np.ndarray:
        out = np.zeros((self.k, self.k))
        out[_entries(self.k)] = theta
        return out

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        return _basis(self.k)

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        return semidefinite_cholesky(covariance)[_entries(self.k)]

    def tied(self, j: int) -> tuple[int, ...]:
        rows, cols = _entries(self.k)
        return tuple(int(e) for e in np.flatnonzero((cols == cols[j]) & (rows > cols[j])))

    def release(
        self, theta: np.ndarray, score: np.ndarray, weight: np.ndarray, zeros: list[int]
    ) -> np.ndarray | None:
        """The whole score matrix has to be semidefinite: a coefficient without variance also has no covariances.

        A descent direction vv' of λλ' is entered as a column v of λ that was zero. What v has in common with the
        columns before it is left out first: the criterion is stationary there.
        """
        rows, cols = _entries(self.k)
        matrix = np.zeros((self.k, self.k))
        matrix[rows, cols] = score
        matrix = matrix + np.tril(matrix, -1).T
        root = np.zeros(self.k)
        root[cols[rows == cols]] = np.sqrt(weight[rows == cols])
        values, vectors = np.linalg.eigh(matrix / np.outer(root, root))
        if values[0] >= -RELEASE:
            return None
        column = vectors[:, 0]  # in units of the roots
        lam = self.factor(theta) * root[:, None]
        empty = {int(cols[j]) for j in zeros}
        for c in range(self.k):
            if c in empty and abs(column[c]) > 1e-6:
                out = np.zeros((self.k, self.k))
                out[c:, c] = column[c:] / root[c:] * np.sign(column[c])
                return out[rows, cols]
            if c not in empty and lam[c, c] != 0.0:
                column = column - lam[:, c] * (column[c] / lam[c, c])
        return None

    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray:
        """Drop column c of λ; what it gave to later coefficients goes to their own columns."""
        c = int(_entries(self.k)[1][j])
        lam = self.factor(theta)
        rest = lam[c + 1 :, c:] @ lam[c + 1 :, c:].T
        lam[c:, c] = 0.0
        lam[c + 1 :, c + 1 :] = semidefinite_cholesky(rest)
        return lam[_entries(self.k)]


def semidefinite_cholesky(a: np.ndarray, tolerance: float = 1e-12) -> np.ndarray:
    """Lower λ with λλ' = a for a positive semidefinite matrix; a vanishing pivot gives an exactly zero column."""
    k = len(a)
    work = np.array(a, dtype=float)
    out = np.zeros((k, k))
    for j in range(k):
        if work[j, j] > tolerance * max(a[j, j], 0.0) and work[j, j] > 0.0:
            out[j:, j] = work[j:, j] / np.sqrt(work[j, j])
            work[j:, j:] -= np.outer(out[j:, j], out[j:, j])
    return out


MEMBER = Unstructured
