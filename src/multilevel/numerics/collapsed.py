"""Models with one grouping factor at many values of their variance parameters at once: kernels.

    C_ℓ = λ'Z_ℓ'Z_ℓλ + I = L_ℓL_ℓ',   W_ℓ = L_ℓ⁻¹ λ'Z_ℓ'[X y],   S = [X y]'[X y] + Σ_j q_j r_j r_j' − Σ_ℓ W_ℓ'W_ℓ

S is X'V⁻¹X bordered by X'V⁻¹y and y'V⁻¹y, normal priors r_j = [a_j, m_j] of coefficients included. All that a point
needs is sums over levels, so thousands of points cost one call.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .elimination import small_cholesky

M3, M2, V = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]"


@kernel(f"float64({M3}, {M3}, {M2}, {M2}, {V}, {M2}, {M3}, {M3}, {M2}, {M2})")
def eliminate(gram, cross, xy, rows, q, lam, C, W, S, work):
    """Fill C (L, k, k) with factors, W (L, k, p + 1), and S with the lower Cholesky factor of its first p columns, the
    last row carried along and the penalised residual sum of squares in the corner. Returns log|C|, NaN on failure.
    """
    levels, k = gram.shape[0], gram.shape[1]
    p1 = xy.shape[0]
    p = p1 - 1
    for i in range(p1):
        for j in range(i + 1):
            s = xy[i, j]
            for r in range(len(q)):
                s += q[r] * rows[r, i] * rows[r, j]
            S[i, j] = s
    product, pivots = 1.0, 0.0
    for level in range(levels):
        for a in range(k):
            for b in range(k):
                s = 0.0
                for c in range(k):
                    s += gram[level, a, c] * lam[c, b]
                work[a, b] = s
        own = C[level]
        for a in range(k):
            for b in range(a + 1):
                s = 1.0 if a == b else 0.0
                for c in range(k):
                    s += lam[c, a] * work[c, b]
                own[a, b] = s
        if not small_cholesky(own, k):
            return np.nan
        for a in range(k):
            product *= own[a, a]
        if not 1e-100 < product < 1e100:
            pivots += np.log(product)
            product = 1.0
        for j in range(p1):
            for a in range(k):
                s = 0.0
                for c in range(k):
                    s += lam[c, a] * cross[level, c, j]
                for c in range(a):
                    s -= own[a, c] * W[level, c, j]
                W[level, a, j] = s / own[a, a]
        for i in range(p1):
            for j in range(i + 1):
                s = 0.0
                for a in range(k):
                    s += W[level, a, i] * W[level, a, j]
                S[i, j] -= s
    if not small_cholesky(S, p):
        return np.nan
    for j in range(p):
        s = S[p, j]
        for t in range(j):
            s -= S[p, t] * S[j, t]
        S[p, j] = s / S[j, j]
    for t in range(p):
        S[p, p] -= S[p, t] * S[p, t]
    return 2.0 * (pivots + np.log(product))


@kernel(f"void({M3}, {M3}, {M2}, {M2}, {M2}, {M3}, {M2})")
def evaluate(gram, cross, xy, rows, q, lam, out):
    """(log|C|, log|X'V⁻¹X|, r²) of every point, NaN where it fails; q (N, J), lam (N, k, k), out (N, 3)."""
    levels, k, p1 = gram.shape[0], gram.shape[1], xy.shape[0]
    C, W = np.empty((levels, k, k)), np.empty((levels, k, p1))
    S, work = np.zeros((p1, p1)), np.empty((k, k))
    for i in range(len(lam)):
        out[i, 0] = eliminate(gram, cross, xy, rows, q[i], lam[i], C, W, S, work)
        s = 0.0
        for j in range(p1 - 1):
            s += np.log(S[j, j])
        out[i, 1] = 2.0 * s
        out[i, 2] = S[p1 - 1, p1 - 1]


@kernel(f"void({M3}, {M3}, {M2}, {M2}, {M2}, {M3}, {V}, {M2}, {M3}, {M2})")
def draw(gram, cross, xy, rows, q, lam, sigma, noise, u, beta):
    """A draw of the standard-normal effects u (N, L, k) and internal coefficients β (N, p) of every point.

    `sigma` (N,) are internal residual standard deviations, `noise` (N, L k + p) standard-normal numbers.
    """
    levels, k, p1 = gram.shape[0], gram.shape[1], xy.shape[0]
    p = p1 - 1
    C, W = np.empty((levels, k, k)), np.empty((levels, k, p1))
    S, work = np.zeros((p1, p1)), np.empty((k, k))
    for i in range(len(lam)):
        log_det = eliminate(gram, cross, xy, rows, q[i], lam[i], C, W, S, work)
        for j in range(p - 1, -1, -1):
            s = S[p, j] + sigma[i] * noise[i, levels * k + j]
            for t in range(j + 1, p):
                s -= S[t, j] * beta[i, t]
            beta[i, j] = s / S[j, j] if log_det == log_det else np.nan
        for level in range(levels):
            for a in range(k - 1, -1, -1):
                s = W[level, a, p]
                for j in range(p):
                    s -= W[level, a, j] * beta[i, j]
                s = s / sigma[i] + noise[i, level * k + a]
                for t in range(a + 1, k):
                    s -= C[level, t, a] * u[i, level, t]
                u[i, level, a] = s / C[level, a, a]
