"""Weighted cross-products, row effects and leverages of rows whose predictors hold group effects: kernels.

A row has K columns z for the effects of its levels, factor by factor (the leading one first, `start` says where each
begins); `owner` gives the predictor of each column, `base` the first effect of each factor's level. W (n, L, L) is the
curvature of each row over its L predictors. Other names as in `elimination.py`:

    site     place in T of the row's pair (leading level, trailing level), one a trailing factor
    own      begin of the trailing level's own block in `block`
    pair     begin of the block of two trailing levels; `turned` when it is stored the other way round
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

M3, M2, V = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]"
I8, I4, J8 = "int64[::1]", "int32[::1]", "int64[:, ::1]"


@kernel(f"void({M2}, {J8}, {I8}, {I8}, {J8}, {J8}, {J8}, boolean[:, ::1], {M3}, {M2}, {M3}, {M3}, {M2}, {V}, {M2})")
def weigh(Z, base, start, owner, site, own, pair, turned, W, R, A, B, T, block, border):
    """Z'WZ and Z'R of all rows into the arrays of an elimination (which are cleared first)."""
    n, n_factors = Z.shape[0], base.shape[1]
    A[:], B[:], T[:], block[:], border[:] = 0.0, 0.0, 0.0, 0.0, 0.0
    k1 = start[1]
    q1 = A.shape[0] * k1
    for i in range(n):
        level = base[i, 0] // k1
        for a in range(k1):
            za, oa = Z[i, a], owner[a]
            B[level, a, 0] += za * R[i, oa]
            for b in range(k1):
                A[level, a, b] += za * W[i, oa, owner[b]] * Z[i, b]
        for f in range(1, n_factors):
            first, kf = start[f], start[f + 1] - start[f]
            row, at = base[i, f] - q1, own[i, f - 1]
            for b in range(kf):
                zb, ob = Z[i, first + b], owner[first + b]
                border[row + b, 0] += zb * R[i, ob]
                for a in range(k1):
                    T[site[i, f - 1] + b, a] += Z[i, a] * W[i, owner[a], ob] * zb
                for c in range(kf):
                    block[at + b * kf + c] += zb * W[i, ob, owner[first + c]] * Z[i, first + c]
        p = 0
        for f in range(1, n_factors):
            kf = start[f + 1] - start[f]
            for g in range(f + 1, n_factors):
                kg = start[g + 1] - start[g]
                at = pair[i, p]
                for a in range(kf):
                    za, oa = Z[i, start[f] + a], owner[start[f] + a]
                    for b in range(kg):
                        v = za * W[i, oa, owner[start[g] + b]] * Z[i, start[g] + b]
                        if turned[i, p]:
                            block[at + b * kf + a] += v
                        else:
                            block[at + a * kg + b] += v
                p += 1


@kernel(f"void({M2}, {J8}, {I8}, {I8}, {M3}, {M2}, {I8}, {M3}, {M2})")
def weigh_fixed(Z, base, start, owner, W, X, predictor, B, border):
    """Z'WX into the borders B (L, k, p + 1) and `border` (trailing scalars, p + 1); W (n, L, m).

    X holds the columns of all predictors side by side, `predictor` whose each is. The last border column is left.
    """
    n, n_factors, p = Z.shape[0], base.shape[1], X.shape[1]
    k1 = start[1]
    q1 = B.shape[0] * k1
    B[:, :, :p], border[:, :p] = 0.0, 0.0
    for i in range(n):
        level = base[i, 0] // k1
        for x in range(p):
            v = X[i, x]
            if v == 0.0:
                continue
            d = predictor[x]
            for a in range(k1):
                B[level, a, x] += Z[i, a] * W[i, owner[a], d] * v
            for f in range(1, n_factors):
                for b in range(start[f], start[f + 1]):
                    border[base[i, f] - q1 + b - start[f], x] += Z[i, b] * W[i, owner[b], d] * v


@kernel(f"void({M2}, {J8}, {I8}, {I8}, {V}, {M2})")
def row_effects(Z, base, start, owner, b, out):
    """Z b by row and predictor, (n, L)."""
    for i in range(Z.shape[0]):
        for d in range(out.shape[1]):
            out[i, d] = 0.0
        for f in range(base.shape[1]):
            at = base[i, f] - start[f]
            for a in range(start[f], start[f + 1]):
                out[i, owner[a]] += Z[i, a] * b[at + a]


@kernel(f"void({M2}, {J8}, {I8}, {I8}, {M2}, {V})")
def level_sums(Z, base, start, owner, R, out):
    """Z'R: for every effect the sum over its rows."""
    for j in range(len(out)):
        out[j] = 0.0
    for i in range(Z.shape[0]):
        for f in range(base.shape[1]):
            at = base[i, f] - start[f]
            for a in range(start[f], start[f + 1]):
                out[at + a] += Z[i, a] * R[i, owner[a]]


@kernel(f"void({M2}, {J8}, {I8}, {I8}, {J8}, {J8}, {J8}, boolean[:, ::1], {V}, {M3}, {M2}, {V}, {I8}, {M3})")
def leverages(Z, base, start, owner, site, own, pair, turned, lam, PL, PT, P, target, out):
    """z̃'H⁻¹z̃ by row, (n, L, L), z̃ = Λ'z; `lam` holds λ of each factor one after the other."""
    n, n_factors, K = Z.shape[0], base.shape[1], Z.shape[1]
    k1 = start[1]
    zt = np.empty(K)
    for i in range(n):
        shift = 0
        for f in range(n_factors):
            kf = start[f + 1] - start[f]
            for a in range(kf):
                s = 0.0
                for b in range(kf):
                    s += lam[shift + b * kf + a] * Z[i, start[f] + b]
                zt[start[f] + a] = s
            shift += kf * kf
        for d in range(out.shape[1]):
            for e in range(out.shape[1]):
                out[i, d, e] = 0.0
        level = base[i, 0] // k1
        for a in range(k1):
            for b in range(k1):
                out[i, owner[a], owner[b]] += zt[a] * PL[level, a, b] * zt[b]
        for f in range(1, n_factors):
            first, kf = start[f], start[f + 1] - start[f]
            at, here = own[i, f - 1], site[i, f - 1]
            for b in range(kf):
                zb, ob = zt[first + b], owner[first + b]
                for a in range(k1):
                    v = zt[a] * PT[here + b, a] * zb
                    out[i, owner[a], ob] += v
                    out[i, ob, owner[a]] += v
                for c in range(b + 1):
                    v = zb * P[target[at + b * kf + c]] * zt[first + c]
                    out[i, ob, owner[first + c]] += v
                    if c < b:
                        out[i, owner[first + c], ob] += v
        p = 0
        for f in range(1, n_factors):
            kf = start[f + 1] - start[f]
            for g in range(f + 1, n_factors):
                kg = start[g + 1] - start[g]
                at = pair[i, p]
                for a in range(kf):
                    za, oa = zt[start[f] + a], owner[start[f] + a]
                    for b in range(kg):
                        where = target[at + b * kf + a] if turned[i, p] else target[at + a * kg + b]
                        v = za * P[where] * zt[start[g] + b]
                        ob = owner[start[g] + b]
                        out[i, oa, ob] += v
                        out[i, ob, oa] += v
                p += 1
