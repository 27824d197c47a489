"""Cross-products by level: Σ z z', Σ z [x y]' per level, Σ z₁ z₂' per meeting pair of two factors."""

from __future__ import annotations

import numpy as np

from .compiled import kernel


@kernel("void(float64[:, ::1], int32[::1], int64[::1], int64[::1], float64[:, :, ::1], float64[:, :, ::1])")
def add_levels(panel, codes, z, x, gram, cross):
    """Add a panel's rows to the Gram blocks of one factor.

    Parameters
    ----------
    panel : (rows, columns), centred and scaled columns times the root of the weight
    codes : level of each row
    z, x : panel columns of the coefficients (k) and of [X y] (p + 1)
    gram : (L, k, k), lower triangles are filled
    cross : (L, k, p + 1)
    """
    k, m = len(z), len(x)
    for i in range(panel.shape[0]):
        level = codes[i]
        for a in range(k):
            za = panel[i, z[a]]
            for b in range(a + 1):
                gram[level, a, b] += za * panel[i, z[b]]
            for b in range(m):
                cross[level, a, b] += za * panel[i, x[b]]


@kernel("void(float64[:, ::1], int32[::1], int64[::1], int64[::1], float64[:, :, ::1])")
def add_pairs(panel, pair, z, others, block):
    """Add a panel's rows to the blocks of meeting pairs: block (pairs, k, k_other)."""
    for i in range(panel.shape[0]):
        at = pair[i]
        for a in range(len(z)):
            za = panel[i, z[a]]
            for b in range(len(others)):
                block[at, a, b] += za * panel[i, others[b]]


@kernel("void(float64[:, :, ::1])")
def mirror(gram):
    """Copy lower triangles to the upper ones."""
    k = gram.shape[1]
    for level in range(gram.shape[0]):
        for a in range(k):
            for b in range(a):
                gram[level, b, a] = gram[level, a, b]


@kernel("UniTuple(float64[::1], 3)(float64[:, :, ::1], float64[:, :, ::1], float64[::1])")
def between_levels(gram, cross, beta):
    """Σ (z'r)²/z'z, the number of levels with z'z > 0, and Σ z'z, for each coefficient; r = y − Xβ."""
    n_levels, k = gram.shape[0], gram.shape[1]
    p = len(beta)
    between, levels, total = np.zeros(k), np.zeros(k), np.zeros(k)
    for level in range(n_levels):
        for a in range(k):
            z = gram[level, a, a]
            if z > 0.0:
                score = cross[level, a, p]
                for x in range(p):
                    score -= cross[level, a, x] * beta[x]
                between[a] += score * score / z
                levels[a] += 1.0
                total[a] += z
    return between, levels, total
