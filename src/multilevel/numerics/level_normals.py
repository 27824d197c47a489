"""Effects of levels with several coefficients drawn exactly given everything else, by rejection: kernels.

    f(u) = Σ_i ℓ_i(x_i'c + z_i'λu) − ½ u'u,   ℓ_i concave
         ≤ V + S'(λu − b̂) − ½ u'u,   S = Σ z_i s_i,   V = Σ ℓ_i + (c − ĉ)'Σ x_i s_i    at (ĉ, b̂)

One plane a level touches Σ ℓ_i from above, for every c and λ; under it lies N(λ'S, I). Of its draws a share of about
|H|^(−½) is kept, H the information of u: one in three with ten rows a level, fewer with more. For one coefficient
`level_rejection.py` does better. Draws of a level stand side by side, as there.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .level_rejection import PATIENCE, STRIP, TILE, add_row
from .one_factor import row_terms
from .vectors import FUSED, STEP, log, normal, uniform

M3, M2, V, I8, U8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]", "uint64[::1]"
NUMBERS = np.uint64(16)  # random numbers set apart for an attempt: two for each effect, and one
TWO = np.uint64(2)


@kernel(f"void(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {V}, {M2}, {M2}, int64, int64)")
def tangents(code, start, y, size, fixed, X, Z, at, height, slope, plane, begin, end):
    """Σ ℓ_i (levels,), Σ z_i s_i (levels, k) and Σ x_i s_i (levels, p) at effects `at` (levels, k)."""
    for level in range(begin, end):
        height[level] = 0.0
        for a in range(Z.shape[1]):
            slope[level, a] = 0.0
        for m in range(X.shape[1]):
            plane[level, m] = 0.0
        for i in range(start[level], start[level + 1]):
            e = fixed[i]
            for a in range(Z.shape[1]):
                e += Z[i, a] * at[level, a]
            value, s, _, _ = row_terms(code, y[i], size[i], e)
            height[level] += value
            for a in range(Z.shape[1]):
                slope[level, a] += Z[i, a] * s
            for m in range(X.shape[1]):
                plane[level, m] += X[i, m] * s


@kernel(f"void({M2}, {V}, {V}, float64, {U8}, int64, uint64, uint64, {M2}, {V}, {V})", fastmath=FUSED)
def propose(lam, slope, at, height, counter, n, key, offset, b, limit, value):
    """n points b = λu (k, ·) with −½u'u set apart: `limit` is what Σℓ has to reach, `value` zero.

    lam (k·k, ·) row by row.
    """
    k = len(slope)
    for t in range(n):
        limit[t] = height + log(uniform(key + (offset + counter[t]) * STEP))
        value[t] = 0.0
    for a in range(k):
        for t in range(n):
            b[a, t] = -slope[a] * at[a]
        for t in range(n):
            limit[t] += b[a, t]
            b[a, t] = 0.0
    for c in range(k):
        turn, quarter = np.uint64(1) + np.uint64(c // 2) * TWO, 0.25 * (c % 2)
        for t in range(n):
            value[t] = normal(key + (offset + counter[t] + turn) * STEP, quarter)
        for a in range(k):
            for t in range(n):
                value[t] += lam[a * k + c, t] * slope[a]
        for a in range(k):
            for t in range(n):
                b[a, t] += lam[a * k + c, t] * value[t]
    for a in range(k):
        for t in range(n):
            limit[t] += slope[a] * b[a, t]
    for t in range(n):
        value[t] = 0.0


@kernel(
    f"int64(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {V}, {M2}, {M2}, {M2}, {M2}, {U8}, uint64, {M2}, {M3}, "
    "int64, int64)",
    fastmath=FUSED,
)
def draw_levels(
    code, start, y, size, fixed, X, Z, at, height, slope, plane, away, lam, draws, key, unit, out, begin, end
):
    """unit · b of the levels begin … end into the rows `draws` of `out` (S, levels, k); attempts, −1 on failure.

    away (p, m) is c − ĉ and lam (k·k, m) λ of m draws; `fixed` are x_i'ĉ with offsets; at, slope (levels, k), height
    (levels,) and plane (levels, p) are the planes.
    """
    m, p, k, levels = lam.shape[1], X.shape[1], Z.shape[1], np.uint64(out.shape[1])
    turn = np.uint64(out.shape[0]) * levels * NUMBERS
    shift, root, b = np.empty((p, STRIP)), np.empty((k * k, STRIP)), np.empty((k, STRIP))
    limit, value, predictor, one = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP), np.ones(STRIP)
    counter, lane, tile = np.empty(STRIP, np.uint64), np.empty(STRIP, np.int64), np.empty((STRIP, TILE, k))
    tried = 0
    for block in range(begin, end, TILE):
        last = min(block + TILE, end)
        for first in range(0, m, STRIP):
            whole = min(STRIP, m - first)
            for level in range(block, last):
                for j in range(p):
                    for t in range(whole):
                        shift[j, t] = away[j, first + t]
                for j in range(k * k):
                    for t in range(whole):
                        root[j, t] = lam[j, first + t]
                for t in range(whole):
                    counter[t], lane[t] = (draws[first + t] * levels + np.uint64(level)) * NUMBERS, t
                n, attempt = whole, 0
                while n > 0:
                    tried += n
                    if attempt > PATIENCE:
                        return -1
                    offset = np.uint64(attempt) * turn
                    propose(root, slope[level], at[level], height[level], counter, n, key, offset, b, limit, value)
                    for j in range(p):
                        for t in range(n):
                            limit[t] += plane[level, j] * shift[j, t]
                    for i in range(start[level], start[level + 1]):
                        for t in range(n):
                            predictor[t] = fixed[i]
                        for j in range(p):
                            for t in range(n):
                                predictor[t] += X[i, j] * shift[j, t]
                        for a in range(k):
                            for t in range(n):
                                predictor[t] += Z[i, a] * b[a, t]
                        add_row(code, y[i], size[i], 0.0, predictor, one, value, n)
                    kept = 0
                    for t in range(n):
                        if value[t] >= limit[t]:
                            for a in range(k):
                                v = 0.0
                                for c in range(k):
                                    v += unit[a, c] * b[c, t]
                                tile[lane[t], level - block, a] = v
                        else:
                            lane[kept], counter[kept] = lane[t], counter[t]
                            for j in range(p):
                                shift[j, kept] = shift[j, t]
                            for j in range(k * k):
                                root[j, kept] = root[j, t]
                            kept += 1
                    n = kept
                    attempt += 1
            for t in range(whole):
                row = np.int64(draws[first + t])
                for level in range(block, last):
                    for a in range(k):
                        out[row, level, a] = tile[t, level - block, a]
    return tried
