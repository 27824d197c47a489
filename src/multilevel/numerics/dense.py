"""Dense factorisations: NumPy where matrices are small, LAPACK through SciPy (imported then) where they are not."""

from __future__ import annotations

import numpy as np

LARGE = 64


def cholesky(a: np.ndarray) -> np.ndarray | None:
    """Lower Cholesky factor from the lower triangle of `a` (overwritten when large), or None."""
    if len(a) < LARGE:
        try:
            return np.linalg.cholesky(a)
        except np.linalg.LinAlgError:
            return None
    from scipy.linalg.lapack import dpotrf

    # the transpose of a C-ordered matrix is Fortran-ordered: its upper triangle is our lower one
    factor, info = dpotrf(a.T, lower=0, overwrite_a=1, clean=0)
    return factor.T if info == 0 else None


def solve_lower(factor: np.ndarray, b: np.ndarray, transposed: bool = False) -> np.ndarray:
    """L⁻¹ b, or L'⁻¹ b."""
    n = len(factor)
    if n == 0:
        return b.copy()
    if n < LARGE:
        lower = np.tril(factor)
        return np.linalg.solve(lower.T if transposed else lower, b)
    from scipy.linalg.lapack import dtrtrs

    out, _ = dtrtrs(factor.T, b, lower=0, trans=0 if transposed else 1)
    return out.reshape(b.shape)


def inverse_from_cholesky(factor: np.ndarray) -> np.ndarray:
    """(L L')⁻¹, both triangles."""
    n = len(factor)
    if n == 0:
        return np.zeros((0, 0))
    if n < LARGE:
        half = np.linalg.inv(np.tril(factor))
        return half.T @ half
    from scipy.linalg.lapack import dpotri

    from .layout import mirror_triangle

    inv, _ = dpotri(np.asfortranarray(factor.T), lower=0, overwrite_c=0)
    out = inv.T  # C-ordered view: its lower triangle is filled
    mirror_triangle(out)
    return out
