"""The dense tail: a symmetric matrix bordered by the fixed effects, factored in place.

    [ T  B' ]   [ L        ] [ L'  H' ]
    [ B  C  ] = [ H  R     ] [     R' ]       H = B L'⁻¹,  R R' = C − H H'

NumPy where matrices are small; LAPACK through SciPy (imported then) where they are not, on the caller's memory:
at five thousand levels each copy would cost a fifth of a second.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGE = 64


@dataclass(frozen=True)
class Bordered:
    """The factor (lower triangles of C-ordered arrays): `L` (t, t), `H` (p, t), `R` (p, p)."""

    L: np.ndarray
    H: np.ndarray
    R: np.ndarray

    @property
    def size(self) -> int:
        return len(self.L) + len(self.R)

    def log_dets(self) -> tuple[float, float]:
        """log|T| and log|C − BT⁻¹B'|."""
        return 2.0 * float(np.log(np.diagonal(self.L)).sum()), 2.0 * float(np.log(np.diagonal(self.R)).sum())

    def forward(self, b: np.ndarray) -> np.ndarray:
        """Factor⁻¹ b."""
        t = len(self.L)
        top = triangular(self.L, b[:t])
        return np.concatenate([top, triangular(self.R, b[t:] - self.H @ top)])

    def backward(self, b: np.ndarray) -> np.ndarray:
        """Factor'⁻¹ b."""
        t = len(self.L)
        bottom = triangular(self.R, b[t:], transposed=True)
        return np.concatenate([triangular(self.L, b[:t] - self.H.T @ bottom, transposed=True), bottom])

    def inverse(self, out: np.ndarray, bordered: bool) -> tuple[np.ndarray, np.ndarray]:
        """The inverse's t × t block into `out`, and its (t, p), (p, p) blocks.

        `bordered` inverts the whole matrix; otherwise T alone, and the other blocks are empty.
        """
        invert_spd(self.L, out)
        if not bordered:
            return np.zeros((len(self.L), 0)), np.zeros((0, 0))
        half = triangular(self.R, np.eye(len(self.R)))
        corner = half.T @ half
        side = triangular(self.L, np.ascontiguousarray(self.H.T), transposed=True)
        if len(self.L):
            out += side @ corner @ side.T
        return -side @ corner, corner


def factor_bordered(T: np.ndarray, B: np.ndarray, C: np.ndarray) -> Bordered | None:
    """Factor; `T` (lower triangle) is overwritten. None when not positive definite."""
    L = cholesky(T)
    if L is None:
        return None
    H = triangular(L, np.ascontiguousarray(B.T)).T
    R = cholesky(C - H @ H.T)
    return None if R is None else Bordered(L, np.ascontiguousarray(H), R)


def cholesky(a: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor from the lower triangle of `a` (in place when large), or None."""
    if len(a) == 0:
        return a
    if len(a) < LARGE:
        try:
            return np.linalg.cholesky(a)
        except np.linalg.LinAlgError:
            return None
    from scipy.linalg.lapack import dpotrf

    # the transpose of a C-ordered matrix is Fortran-ordered: its upper triangle is our lower one
    factor, info = dpotrf(a.T, lower=0, overwrite_a=1, clean=0)
    return factor.T if info == 0 else None


def triangular(factor: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """L⁻¹ b, or L'⁻¹ b, reading the lower triangle only."""
    n = len(factor)
    if n == 0:
        return b.copy()
    if n < LARGE:
        from .layout import solve_triangle

        small = np.array(b, dtype=float, order="C").reshape(n, -1)
        solve_triangle(np.ascontiguousarray(factor), small, transposed)
        return small.reshape(b.shape)
    from scipy.linalg.lapack import dtrtrs

    out, _ = dtrtrs(factor.T, b, lower=0, trans=0 if transposed else 1)
    return np.ascontiguousarray(out.reshape(b.shape))


def invert_spd(factor: np.ndarray, out: np.ndarray) -> None:
    """(L L')⁻¹ into `out`, both triangles."""
    n = len(factor)
    if n == 0:
        return
    if n < LARGE:
        half = np.linalg.inv(np.tril(factor))
        out[:] = half.T @ half
        return
    from scipy.linalg.lapack import dpotri

    from .layout import mirror_triangle

    np.copyto(out, factor)
    inverse, _ = dpotri(out.T, lower=0, overwrite_c=1)
    if inverse.T is not out and not np.shares_memory(inverse, out):
        np.copyto(out, inverse.T)
    mirror_triangle(out)
