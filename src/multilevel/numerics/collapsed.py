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


@kernel(f"void({M2}, {M2}, {M2}, {M2})")
def subtract_trace(own, product, out, work):
    """out −= G λ C⁻¹ of one level: `own` the factor of C, `product` = G λ; `work` is scratch."""
    k = own.shape[0]
    for a in range(k):
        v = work[a]
        for b in range(k):
            s = product[a, b]
            for t in range(b):
                s -= own[b, t] * v[t]
            v[b] = s / own[b, b]
        for b in range(k - 1, -1, -1):
            s = v[b]
            for t in range(b + 1, k):
                s -= own[t, b] * v[t]
            v[b] = s / own[b, b]
            out[a, b] -= v[b]


@kernel(f"void({M3}, {M3}, {M2}, {M2}, {M2}, {M3}, {V}, {M2}, {M3}, {M2})")
def slopes(gram, cross, xy, rows, q, lam, sigma2, out, by_lam, by_rows):
    """`evaluate` with derivatives: −½ ∂d/∂λ in `by_lam` (N, k, k), and h_j = q_j (a_j'M⁻¹a_j + (a_j'β̂ − m_j)²/σ²).

    With R the factor of X'V⁻¹X:   Y = Z_ℓ'X R⁻ᵀ,   K = C⁻¹λ'Y,   −½ ∂d/∂λ = Σ_ℓ Z_ℓ'ê û'/σ² − GλC⁻¹ − (GλK − Y) K'
    """
    levels, k, p1 = gram.shape[0], gram.shape[1], xy.shape[0]
    p = p1 - 1
    C, W = np.empty((levels, k, k)), np.empty((levels, k, p1))
    S, work, product = np.zeros((p1, p1)), np.empty((k, k)), np.empty((k, k))
    beta, u, e, solved = np.empty(p), np.empty(k), np.empty(k), np.empty(p)
    Y, K = np.empty((k, p)), np.empty((k, p))
    for i in range(len(lam)):
        out[i, 0] = eliminate(gram, cross, xy, rows, q[i], lam[i], C, W, S, work)
        s = 0.0
        for j in range(p):
            s += np.log(S[j, j])
        out[i, 1], out[i, 2] = 2.0 * s, S[p, p]
        by_lam[i] = 0.0
        for j in range(p - 1, -1, -1):
            s = S[p, j]
            for t in range(j + 1, p):
                s -= S[t, j] * beta[t]
            beta[j] = s / S[j, j]
        for r in range(len(rows)):
            away, spread = -rows[r, p], 0.0
            for j in range(p):
                away += rows[r, j] * beta[j]
                s = rows[r, j]
                for t in range(j):
                    s -= S[j, t] * solved[t]
                solved[j] = s / S[j, j]
                spread += solved[j] * solved[j]
            by_rows[i, r] = q[i, r] * (spread + away * away / sigma2[i])
        for level in range(levels):
            own = C[level]
            for a in range(k - 1, -1, -1):
                s = W[level, a, p]
                for j in range(p):
                    s -= W[level, a, j] * beta[j]
                for t in range(a + 1, k):
                    s -= own[t, a] * u[t]
                u[a] = s / own[a, a]
            for a in range(k):
                s = cross[level, a, p]
                for j in range(p):
                    s -= cross[level, a, j] * beta[j]
                for b in range(k):
                    product[a, b] = 0.0
                    for c in range(k):
                        product[a, b] += gram[level, a, c] * lam[i, c, b]
                    s -= product[a, b] * u[b]
                e[a] = s
            for a in range(k):
                for b in range(k):
                    by_lam[i, a, b] += e[a] * u[b] / sigma2[i]
            subtract_trace(own, product, by_lam[i], work)
            for a in range(k):
                for j in range(p):
                    s = cross[level, a, j]
                    for t in range(j):
                        s -= S[j, t] * Y[a, t]
                    Y[a, j] = s / S[j, j]
            for j in range(p):
                for a in range(k):
                    s = 0.0
                    for c in range(k):
                        s += lam[i, c, a] * Y[c, j]
                    for t in range(a):
                        s -= own[a, t] * K[t, j]
                    K[a, j] = s / own[a, a]
                for a in range(k - 1, -1, -1):
                    s = K[a, j]
                    for t in range(a + 1, k):
                        s -= own[t, a] * K[t, j]
                    K[a, j] = s / own[a, a]
                for a in range(k):
                    s = -Y[a, j]
                    for c in range(k):
                        s += product[a, c] * K[c, j]
                    for b in range(k):
                        by_lam[i, a, b] -= s * K[b, j]


@kernel(f"void({M3}, {M3}, {M2}, {M2}, {M3}, {V}, {M2}, {M3}, {M2})")
def slopes_given(gram, cross, xy, weights, lam, sigma2, out, by_lam, by_beta):
    """(log|C|, r²) of y − Xβ in `out` (N, 2), −½ ∂d/∂λ, and X'W(y − Xβ − Zλû); `weights` (N, p + 1) are (−β, 1)."""
    levels, k, p1 = gram.shape[0], gram.shape[1], xy.shape[0]
    own, product, work = np.empty((k, k)), np.empty((k, k)), np.empty((k, k))
    z, u, b_hat = np.empty(k), np.empty(k), np.empty(k)
    for i in range(len(lam)):
        log_det, r2 = 0.0, 0.0
        for j in range(p1):
            s = 0.0
            for t in range(p1):
                s += xy[j, t] * weights[i, t]
            r2 += s * weights[i, j]
            if j < p1 - 1:
                by_beta[i, j] = s
        by_lam[i] = 0.0
        for level in range(levels):
            for a in range(k):
                z[a] = 0.0
                for j in range(p1):
                    z[a] += cross[level, a, j] * weights[i, j]
                for b in range(k):
                    product[a, b] = 0.0
                    for c in range(k):
                        product[a, b] += gram[level, a, c] * lam[i, c, b]
            for a in range(k):
                for b in range(a + 1):
                    own[a, b] = 1.0 if a == b else 0.0
                    for c in range(k):
                        own[a, b] += lam[i, c, a] * product[c, b]
            if not small_cholesky(own, k):
                log_det = np.nan
                break
            for a in range(k):
                log_det += 2.0 * np.log(own[a, a])
                s = 0.0
                for c in range(k):
                    s += lam[i, c, a] * z[c]
                for t in range(a):
                    s -= own[a, t] * u[t]
                u[a] = s / own[a, a]
                r2 -= u[a] * u[a]
            for a in range(k - 1, -1, -1):
                for t in range(a + 1, k):
                    u[a] -= own[t, a] * u[t]
                u[a] /= own[a, a]
            for a in range(k):
                e = z[a]
                b_hat[a] = 0.0
                for b in range(k):
                    e -= product[a, b] * u[b]
                    b_hat[a] += lam[i, a, b] * u[b]
                for b in range(k):
                    by_lam[i, a, b] += e * u[b] / sigma2[i]
                for j in range(p1 - 1):
                    by_beta[i, j] -= cross[level, a, j] * b_hat[a]
            subtract_trace(own, product, by_lam[i], work)
        out[i, 0], out[i, 1] = log_det, r2


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
