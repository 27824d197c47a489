"""Effects of levels with one coefficient drawn exactly given everything else, by rejection: kernels.

    f(b) = Σ_i ℓ_i(x_i'c + z_i b) − ½ τ b²,   b = λu,   τ = 1/λ²,   ℓ_i concave

Planes that touch Σ ℓ_i from above at (ĉ, b_j), for three points b_j a level, stay above it for every c and τ:

    f(b) ≤ V_j + G_j (b − b_j),   V_j = Σℓ_i(j) + (c − ĉ)'Σ x_i s_i(j) − ½ τ b_j²,   G_j = Σ z_i s_i(j) − τ b_j

so that one set of them serves many draws of (c, τ), and no draw has to look for its mode. The envelope is exponential
outside the lines of b_1 < b̂ and b_2 > b̂, and between them flat, at V_0 + ½ G_0²/τ ≥ max f (curvature is at least τ).
With b_1, b_2 = b̂ ∓ √2 sd a normal density accepts 89 of 100 proposals: √(2π) / (2√2).

Draws of a level stand side by side, so that loops over them become vector instructions; those that were refused move up
and try again. Random numbers are functions of (draw, level, attempt): threads and blocks do not matter.

Reference: Gilks & Wild (1992), Applied Statistics 41 (tangents as envelopes of log-concave densities).
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .one_factor import row_terms
from .vectors import FUSED, STEP, exp, log, uniform

M3, M2, V, I8, U8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]", "uint64[::1]"
TOUCH = 1.4142135623730951  # distance of the outer points from the mode, in standard deviations
STRIP, TILE = 256, 16  # draws, and levels, at once
PATIENCE = 100_000  # attempts of a draw
TWO = np.uint64(2)


@kernel(f"void(int64, {I8}, {V}, {V}, {V}, {M2}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {M3}, int64, int64)")
def tangents(code, start, y, size, fixed, X, Z, mode, sd, at, height, slope, plane, begin, end):
    """Planes of the levels begin … end: b_j `at`, Σ ℓ_i, Σ z_i s_i (levels, 3) and Σ x_i s_i (levels, 3, p) there."""
    for level in range(begin, end):
        for j in range(3):
            b = mode[level] + TOUCH * sd[level] * (0.0 if j == 0 else 2.0 * j - 3.0)
            at[level, j] = b
            height[level, j], slope[level, j] = 0.0, 0.0
            for m in range(X.shape[1]):
                plane[level, j, m] = 0.0
            for i in range(start[level], start[level + 1]):
                value, s, _, _ = row_terms(code, y[i], size[i], fixed[i] + Z[i] * b)
                height[level, j] += value
                slope[level, j] += Z[i] * s
                for m in range(X.shape[1]):
                    plane[level, j, m] += X[i, m] * s


@kernel(f"void({V}, {V}, {V}, {M2}, {M2}, {V}, int64, int64, {M2})", fastmath=FUSED)
def envelopes(at, height, slope, plane, away, tau, first, n, hull):
    """Envelopes of one level for n draws from `first` on, into the rows of `hull`.

    They are: the flat part's height, its ends, its width, the lengths 1/|G| of the two tails, τ.
    """
    top, left, right, width, lower, upper, tt = hull[0], hull[1], hull[2], hull[3], hull[4], hull[5], hull[6]
    b0, b1, b2 = at[0], at[1], at[2]
    for t in range(n):  # `left` and `right` hold V_1 and V_2 first
        top[t], left[t], right[t], tt[t] = height[0], height[1], height[2], tau[first + t]
    for m in range(plane.shape[1]):
        p0, p1, p2 = plane[0, m], plane[1, m], plane[2, m]
        for t in range(n):
            d = away[m, first + t]
            top[t] += p0 * d
            left[t] += p1 * d
            right[t] += p2 * d
    for t in range(n):
        q = tt[t]
        g0, g1, g2 = slope[0] - q * b0, slope[1] - q * b1, slope[2] - q * b2
        v1, v2 = left[t] - 0.5 * q * b1 * b1, right[t] - 0.5 * q * b2 * b2
        f = top[t] - 0.5 * q * b0 * b0 + 0.5 * g0 * g0 / q
        i1, i2 = 1.0 / g1, -1.0 / g2
        a, b = b1 + (f - v1) * i1, b2 - (f - v2) * i2
        meet = (v2 - v1 + g1 * b1 - g2 * b2) / (g1 - g2)
        below = a > b  # the two lines meet below the flat part
        top[t] = v1 + g1 * (meet - b1) if below else f
        a, b = meet if below else a, meet if below else b
        lost = (g1 <= 0.0) | (g2 >= 0.0)  # the mode is not between b_1 and b_2: N(b_0 + G_0/τ, 1/τ) is above f, too
        half = np.sqrt(0.5 / q)
        peak = b0 + g0 / q
        top[t] = f if lost else top[t]
        a, b = peak - half if lost else a, peak + half if lost else b
        i1, i2 = half if lost else i1, half if lost else i2
        left[t], right[t], width[t], lower[t], upper[t] = a, b, b - a, i1, i2


@kernel(f"void({M2}, {U8}, int64, uint64, uint64, {V}, {V}, {V})", fastmath=FUSED)
def propose(hull, counter, n, key, offset, x, limit, value):
    """Points `x` of the first n envelopes; −½τx² in `value`, and in `limit` what f has to reach there."""
    top, left, right, width, lower, upper, tau = hull[0], hull[1], hull[2], hull[3], hull[4], hull[5], hull[6]
    for t in range(n):
        at = key + (offset + counter[t]) * STEP
        i1, i2 = lower[t], upper[t]
        along = uniform(at) * (width[t] + i1 + i2) - width[t]
        inside, first = along < 0.0, along < i1
        share = along / i1 if first else (along - i1) / i2  # of a tail: how far the envelope has fallen
        share = 1.0 if inside else share
        fallen = log(share)
        e = left[t] + fallen * i1 if first else right[t] - fallen * i2
        e = right[t] + along if inside else e
        x[t] = e
        limit[t] = top[t] + log(share * uniform(at + STEP))
        value[t] = -0.5 * tau[t] * e * e


@kernel(f"void(int64, float64, float64, float64, {V}, {V}, {V}, int64)", fastmath=FUSED)
def add_row(code, y, size, z, fixed, x, value, n):
    """value += ℓ_i(fixed + z x) of one row, without its constant."""
    if code == 1:
        for t in range(n):
            e = fixed[t] + z * x[t]
            value[t] += y * e - size * exp(e)
    else:
        for t in range(n):
            e = fixed[t] + z * x[t]
            value[t] += y * e - size * (max(e, 0.0) + log(1.0 + exp(-abs(e))))


@kernel(
    f"int64(int64, {I8}, {V}, {V}, {V}, {M2}, {V}, {M2}, {M2}, {M2}, {M3}, {M2}, {V}, {U8}, uint64, float64, {M2}, "
    "int64, int64)",
    fastmath=FUSED,
)
def draw_levels(
    code, start, y, size, fixed, X, Z, at, height, slope, plane, away, tau, draws, key, unit, out, begin, end
):
    """b · `unit` of the levels begin … end into the rows `draws` of `out` (S, levels); returns attempts, −1 on failure.

    away (p, m) is c − ĉ and tau (m,) is 1/λ² of m draws; `fixed` are x_i'ĉ with offsets.
    """
    m, p, levels = len(tau), X.shape[1], np.uint64(out.shape[1])
    turn = np.uint64(out.shape[0]) * levels * TWO  # numbers that one attempt of all draws takes
    hull = np.empty((7, STRIP))
    x, limit, value, predictor = np.empty(STRIP), np.empty(STRIP), np.empty(STRIP), np.empty(STRIP)
    counter, lane, tile = np.empty(STRIP, np.uint64), np.empty(STRIP, np.int64), np.empty((STRIP, TILE))
    tried = 0
    for block in range(begin, end, TILE):
        last = min(block + TILE, end)
        for first in range(0, m, STRIP):
            whole = min(STRIP, m - first)
            for level in range(block, last):
                envelopes(at[level], height[level], slope[level], plane[level], away, tau, first, whole, hull)
                for t in range(whole):
                    counter[t], lane[t] = (draws[first + t] * levels + np.uint64(level)) * TWO, t
                n, attempt = whole, 0
                while n > 0:
                    tried += n
                    if attempt > PATIENCE:
                        return -1
                    propose(hull, counter, n, key, np.uint64(attempt) * turn, x, limit, value)
                    for i in range(start[level], start[level + 1]):
                        for t in range(n):
                            predictor[t] = fixed[i]
                        for j in range(p):
                            if attempt == 0:
                                for t in range(n):
                                    predictor[t] += X[i, j] * away[j, first + t]
                            else:
                                for t in range(n):
                                    predictor[t] += X[i, j] * away[j, first + lane[t]]
                        add_row(code, y[i], size[i], Z[i], predictor, x, value, n)
                    k = 0
                    for t in range(n):
                        if value[t] >= limit[t]:
                            tile[lane[t], level - block] = x[t] * unit
                        else:
                            lane[k], counter[k] = lane[t], counter[t]
                            for a in range(7):
                                hull[a, k] = hull[a, t]
                            k += 1
                    n = k
                    attempt += 1
            for t in range(whole):
                row = np.int64(draws[first + t])
                for level in range(block, last):
                    out[row, level] = tile[t, level - block]
    return tried
