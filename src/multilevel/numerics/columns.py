"""Products of columns with coefficients and effects, column by column, and their transposes: kernels.

Columns are contiguous, so that most of it becomes vector instructions. A table of predictors is (n, m); where m is one
the compiler has to be told.
"""

from __future__ import annotations

from .compiled import kernel
from .packed import INSIDE

I8, V, M2 = "int64[::1]", "float64[::1]", "float64[:, ::1]"
SUMS = {"reassoc", "contract"}  # sums may be taken in any order


@kernel(f"void({V}, float64, {M2}, int64)", fastmath=SUMS, **INSIDE)
def add_column(x, c, eta, d):
    """η_d += x c."""
    n, m = eta.shape
    if m == 1:
        alone = eta.reshape(n)
        for i in range(n):
            alone[i] += x[i] * c
        return
    for i in range(n):
        eta[i, d] += x[i] * c


@kernel(f"float64({V}, {M2}, int64)", fastmath=SUMS, **INSIDE)
def sum_column(x, slopes, d):
    """x's_d."""
    n, m = slopes.shape
    total = 0.0
    if m == 1:
        alone = slopes.reshape(n)
        for i in range(n):
            total += x[i] * alone[i]
        return total
    for i in range(n):
        total += x[i] * slopes[i, d]
    return total


@kernel(f"void({V}, {I8}, {V}, {M2}, int64)", fastmath=SUMS, **INSIDE)
def add_effects(z, base, b, eta, d):
    """η_d += z b[base]."""
    n, m = eta.shape
    if m == 1:
        alone = eta.reshape(n)
        for i in range(n):
            alone[i] += z[i] * b[base[i]]
        return
    for i in range(n):
        eta[i, d] += z[i] * b[base[i]]


@kernel(f"void({V}, {I8}, {M2}, int64, {V})", fastmath=SUMS, **INSIDE)
def sum_effects(z, base, slopes, d, out):
    """out[base] += z s_d; rows of one level that follow each other are added up first."""
    if len(base) == 0:
        return
    level, total = base[0], 0.0
    for i in range(len(base)):
        if base[i] != level:
            out[level] += total
            level, total = base[i], 0.0
        total += z[i] * slopes[i, d]
    out[level] += total
