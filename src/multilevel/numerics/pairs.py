"""Elimination and inverse where every group has an intercept and one slope, and there is one grouping factor.

The most common model, and the one with most groups: the 2 × 2 blocks written out keep the numbers in registers,
which the loops over k in `numerics/elimination.py` cannot. Those loops are its test.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

M3, M2, V, I8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]"


@kernel(f"float64({M3}, {M3}, {M2}, {M3}, {M3}, {M2})")
def eliminate(A, B, lam, L, WX, XX):
    """As `elimination.eliminate_leading` without a border: factor M_j = I + λ'A_jλ, W_j = L⁻¹λ'B_j, XX − Σ W'W."""
    m = B.shape[2]
    l00, l01, l10, l11 = lam[0, 0], lam[0, 1], lam[1, 0], lam[1, 1]
    total = np.zeros((m, m))
    row0, row1 = np.empty(m), np.empty(m)
    log_det, product = 0.0, 1.0
    for level in range(A.shape[0]):
        a00, a10, a11 = A[level, 0, 0], A[level, 1, 0], A[level, 1, 1]
        left0, left1 = a00 * l00 + a10 * l10, a10 * l00 + a11 * l10
        d00 = 1.0 + l00 * left0 + l10 * left1
        d10 = l01 * left0 + l11 * left1
        d11 = 1.0 + l01 * (a00 * l01 + a10 * l11) + l11 * (a10 * l01 + a11 * l11)
        c00 = np.sqrt(d00)
        r00 = 1.0 / c00
        c10 = d10 * r00
        rest = d11 - c10 * c10
        if not rest > 0.0:
            return np.nan
        c11 = np.sqrt(rest)
        r11 = 1.0 / c11
        product *= c00 * c11
        if product > 1e150 or product < 1e-150:
            log_det += np.log(product)
            product = 1.0
        L[level, 0, 0], L[level, 0, 1], L[level, 1, 0], L[level, 1, 1] = c00, 0.0, c10, c11
        for x in range(m):
            b0, b1 = B[level, 0, x], B[level, 1, x]
            w0 = (l00 * b0 + l10 * b1) * r00
            w1 = (l01 * b0 + l11 * b1 - c10 * w0) * r11
            WX[level, 0, x], WX[level, 1, x] = w0, w1
            row0[x], row1[x] = w0, w1
        for x in range(m):
            for z in range(x + 1):
                total[x, z] += row0[x] * row0[z] + row1[x] * row1[z]
    for x in range(m):
        for z in range(x + 1):
            XX[x, z] -= total[x, z]
    return 2.0 * (log_det + np.log(product))


@kernel(f"void({M3}, {M3}, {M2}, {M3}, {M3}, {M2}, int64, {M2})")
def trace_sums(A, B, lam, L, WX, PXX, p, G1):
    """As `elimination.invert_leading` without a border, the sums alone: G1 + Σ A_jλP_jj + B_jP_Xj."""
    l00, l01, l10, l11 = lam[0, 0], lam[0, 1], lam[1, 0], lam[1, 1]
    g00 = g01 = g10 = g11 = 0.0
    half0, half1 = np.empty(p + 1), np.empty(p + 1)
    for level in range(A.shape[0]):
        i00, i11 = 1.0 / L[level, 0, 0], 1.0 / L[level, 1, 1]
        i10 = -L[level, 1, 0] * i00 * i11
        t00, t10, t11 = 1.0, 0.0, 1.0  # I + W P_XX W'
        s00 = s01 = s10 = s11 = 0.0  # B P_XX W'
        for x in range(p):
            h0 = h1 = 0.0
            for z in range(p):
                h0 += PXX[x, z] * WX[level, 0, z]
                h1 += PXX[x, z] * WX[level, 1, z]
            half0[x], half1[x] = h0, h1
        for x in range(p):
            h0, h1 = half0[x], half1[x]
            t00 += WX[level, 0, x] * h0
            t10 += WX[level, 1, x] * h0
            t11 += WX[level, 1, x] * h1
            b0, b1 = B[level, 0, x], B[level, 1, x]
            s00 += b0 * h0
            s01 += b0 * h1
            s10 += b1 * h0
            s11 += b1 * h1
        # P_jj = L⁻ᵀ t L⁻¹
        v0, v1 = t00 * i00 + t10 * i10, t10 * i00 + t11 * i10
        p00, p10, p11 = i00 * v0 + i10 * v1, i11 * v1, i11 * i11 * t11
        q00, q01 = l00 * p00 + l01 * p10, l00 * p10 + l01 * p11
        q10, q11 = l10 * p00 + l11 * p10, l10 * p10 + l11 * p11
        a00, a10, a11 = A[level, 0, 0], A[level, 1, 0], A[level, 1, 1]
        # P_Xj = −P_XX W' L⁻¹
        g00 += a00 * q00 + a10 * q10 - (s00 * i00 + s01 * i10)
        g01 += a00 * q01 + a10 * q11 - s01 * i11
        g10 += a10 * q00 + a11 * q10 - (s10 * i00 + s11 * i10)
        g11 += a10 * q01 + a11 * q11 - s11 * i11
    G1[0, 0] += g00
    G1[0, 1] += g01
    G1[1, 0] += g10
    G1[1, 1] += g11


@kernel(f"void({M3}, {M3}, {M2}, {M3}, {M3}, {I8}, {I8}, {V}, {V}, int64, {M2}, {M2}, {V})")
def directions(A, B, lam, L, WX, entry_row, entry_col, u, ze, p, out, rx, cross):
    """The sums over groups of the average information, for the directions c = Λ̇û + ΛΛ̇'Z'ê of θ's entries.

    Fills out = c'Z'Zc − r'r (lower triangle) with r = L⁻¹λ'Z'Zc, rx = X'Zc − W'r before its own solve, cross = c'Z'ê.
    """
    n, m = len(entry_row), B.shape[2]
    zx = np.zeros((m, n))
    c, zz, r = np.empty((2, n)), np.empty((2, n)), np.empty((2, n))
    for e in range(n):
        cross[e] = 0.0
        for a in range(n):
            out[e, a] = 0.0
        for x in range(p):
            rx[x, e] = 0.0
    l00, l01, l10, l11 = lam[0, 0], lam[0, 1], lam[1, 0], lam[1, 1]
    for level in range(A.shape[0]):
        a00, a10, a11 = A[level, 0, 0], A[level, 1, 0], A[level, 1, 1]
        d10, i00, i11 = L[level, 1, 0], 1.0 / L[level, 0, 0], 1.0 / L[level, 1, 1]
        z0, z1 = ze[2 * level], ze[2 * level + 1]
        for e in range(n):
            row, col = entry_row[e], entry_col[e]
            score, effect = ze[2 * level + row], u[2 * level + col]
            c0, c1 = lam[0, col] * score, lam[1, col] * score
            if row == 0:
                c0 += effect
            else:
                c1 += effect
            v0, v1 = a00 * c0 + a10 * c1, a10 * c0 + a11 * c1
            r0 = (l00 * v0 + l10 * v1) * i00
            c[0, e], c[1, e], zz[0, e], zz[1, e] = c0, c1, v0, v1
            r[0, e], r[1, e] = r0, (l01 * v0 + l11 * v1 - d10 * r0) * i11
            cross[e] += c0 * z0 + c1 * z1
        for x in range(p):
            b0, b1, w0, w1 = B[level, 0, x], B[level, 1, x], WX[level, 0, x], WX[level, 1, x]
            for e in range(n):
                zx[x, e] += b0 * c[0, e] + b1 * c[1, e]
                rx[x, e] -= w0 * r[0, e] + w1 * r[1, e]
        for a in range(n):
            for b in range(a + 1):
                out[a, b] += c[0, a] * zz[0, b] + c[1, a] * zz[1, b] - r[0, a] * r[0, b] - r[1, a] * r[1, b]
    for x in range(p):
        for e in range(n):
            rx[x, e] += zx[x, e]
