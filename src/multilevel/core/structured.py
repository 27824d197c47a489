"""The identity plus or minus blocks of low rank by level, plus or minus one low-rank matrix for all rows.

    B = I + s (⊕_ℓ U_ℓU_ℓ' + TT'),    s = ±1

    E = I + s ⊕ U_ℓU_ℓ'       E⁻¹ = I − s U_ℓ D_ℓ⁻¹ U_ℓ',       D_ℓ = I + s U_ℓ'U_ℓ           (k × k)
    B⁻¹ = E⁻¹ − s E⁻¹T C⁻¹ T'E⁻¹,    C = I + s T'E⁻¹T                                      (c × c)

Rows left out have such a covariance: effects of the leading factor make the blocks, everything else is T. With n rows
it costs O(n (k² + c²)), and O(n² c) for n < c; an n × n matrix is never factored beyond that.

Reference: Woodbury's identity and the determinant lemma; Golub & Van Loan (2013), section 2.1.4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Structured:
    """B above.

    Parameters
    ----------
    sign : s
    u : (n, k)
    codes : (n,), the level of each row, 0 … m − 1
    t : (n, c)
    within : (m, k, k), optional
        D_ℓ where it is known more precisely than by subtraction.
    """

    sign: float
    u: np.ndarray
    codes: np.ndarray
    t: np.ndarray
    within: np.ndarray | None = None

    @cached_property
    def _levels(self) -> int:
        return int(self.codes.max(initial=-1)) + 1

    def _sums(self, rows: np.ndarray) -> np.ndarray:
        """Σ over the rows of each level, (m, …)."""
        out = np.zeros((self._levels, *rows.shape[1:]))
        np.add.at(out, self.codes, rows)
        return out

    @cached_property
    def _d(self) -> np.ndarray:
        if self.within is not None:
            return self.within
        own = self._sums(np.einsum("ni,nj->nij", self.u, self.u))
        return np.asarray(np.eye(self.u.shape[1]) + self.sign * own)

    @cached_property
    def _d_root(self) -> np.ndarray:
        return np.linalg.cholesky(self._d)

    @cached_property
    def _reduced(self) -> np.ndarray:
        """T with at most n columns and the same TT'."""
        n, c = self.t.shape
        return np.asarray(np.linalg.qr(self.t.T, mode="r")).T if c > n else self.t

    def _within(self, rows: np.ndarray) -> np.ndarray:
        """E⁻¹ times (n, m)."""
        if not self.u.shape[1]:
            return rows
        moved = np.linalg.solve(self._d, self._sums(self.u[:, :, None] * rows[:, None, :]))
        return np.asarray(rows - self.sign * np.einsum("nk,nkm->nm", self.u, moved[self.codes]))

    @cached_property
    def _et(self) -> np.ndarray:
        return self._within(self._reduced)

    @cached_property
    def _c_root(self) -> np.ndarray:
        c = self._reduced.T @ self._et
        return np.linalg.cholesky(np.eye(len(c)) + self.sign * 0.5 * (c + c.T))

    @property
    def definite(self) -> bool:
        """Whether B is positive definite."""
        try:
            return bool(np.isfinite(self.log_det))
        except np.linalg.LinAlgError:
            return False

    @cached_property
    def log_det(self) -> float:
        """log|B|."""
        of_levels = float(np.log(np.diagonal(self._d_root, axis1=1, axis2=2)).sum()) if self.u.shape[1] else 0.0
        return 2.0 * (of_levels + float(np.log(np.diagonal(self._c_root)).sum()))

    def solve(self, rows: np.ndarray) -> np.ndarray:
        """B⁻¹ times the columns (n, m)."""
        inner = np.linalg.solve(self._c_root.T, np.linalg.solve(self._c_root, self._et.T @ rows))
        return np.asarray(self._within(rows) - self.sign * (self._et @ inner))

    @cached_property
    def inverse(self) -> Structured:
        """B⁻¹, which has the same form with the other sign."""
        k = self.u.shape[1]
        u = np.linalg.solve(self._d_root[self.codes], self.u[:, :, None])[:, :, 0] if k else self.u
        t = np.linalg.solve(self._c_root, self._et.T).T
        return Structured(-self.sign, u, self.codes, t)

    def part(self, rows: np.ndarray) -> Structured:
        """The block of some of the rows."""
        _, codes = np.unique(self.codes[rows], return_inverse=True)
        return Structured(self.sign, self.u[rows], codes, self.t[rows])

    @property
    def diagonal(self) -> np.ndarray:
        return 1.0 + self.sign * ((self.u**2).sum(axis=1) + (self.t**2).sum(axis=1))

    def dense(self) -> np.ndarray:
        """B itself (n, n)."""
        same = self.codes[:, None] == self.codes[None, :]
        return np.asarray(np.eye(len(self.u)) + self.sign * (same * (self.u @ self.u.T) + self.t @ self.t.T))
