"""The conditional normal distribution of group effects and coefficients under a quadratic log-likelihood: kernels.

    −½ Σ b'A b − Σ b'C c − ½ c'G c + Σ t'b + r'c,    b = λu, u ~ N(0, I)

Level by level, with RR' = I + λ'Aλ and [B a] = R⁻¹λ'[C t]; then for the coefficients KK' = F = G − Σ B'B,
f = r − Σ B'a:

    c = K'⁻¹(K⁻¹f + ξ_c),    u = R'⁻¹(a − Bc + ξ)

is a draw where ξ are standard normal: `forth`. `back` goes from derivatives by u and c to those by λ and ξ. T = [C t]
is (levels, k, p + 1).

Reference of derivatives of a Cholesky factor: Murray (2016), arXiv:1602.07527.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

M3, M2, V = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]"


@kernel(f"float64({M2}, {M3}, {M3}, {M3}, {M3}, {M2}, {V})")
def eliminate(lam, A, T, R, Y, F, f):
    """R and Y = [B a] of every level; F −= Σ B'B, f −= Σ B'a. Returns Σ log|R|."""
    L, k, p = A.shape[0], A.shape[1], T.shape[2] - 1
    log_det = 0.0
    for level in range(L):
        r, y = R[level], Y[level]
        for i in range(k):
            for j in range(i + 1):
                s = 1.0 if i == j else 0.0
                for a in range(k):
                    if lam[a, i] != 0.0:
                        for b in range(k):
                            s += lam[a, i] * A[level, a, b] * lam[b, j]
                for m in range(j):
                    s -= r[i, m] * r[j, m]
                if i == j:
                    r[i, i] = s**0.5
                    log_det += 0.5 * np.log(s)
                else:
                    r[i, j] = s / r[j, j]
            for x in range(p + 1):
                s = 0.0
                for a in range(k):
                    s += lam[a, i] * T[level, a, x]
                for m in range(i):
                    s -= r[i, m] * y[m, x]
                y[i, x] = s / r[i, i]
        for i in range(k):
            for x in range(p):
                v = y[i, x]
                f[x] -= v * y[i, p]
                for z in range(x + 1):
                    F[x, z] -= v * y[i, z]
    return log_det


@kernel(f"void({M3}, {M3}, {V}, {M2}, {M2})")
def effects(R, Y, c, xi, u):
    """u = R'⁻¹(a − Bc + ξ) of every level."""
    L, k, p = Y.shape[0], Y.shape[1], Y.shape[2] - 1
    for level in range(L):
        for i in range(k - 1, -1, -1):
            s = Y[level, i, p] + xi[level, i]
            for x in range(p):
                s -= Y[level, i, x] * c[x]
            for m in range(i + 1, k):
                s -= R[level, m, i] * u[level, m]
            u[level, i] = s / R[level, i, i]


@kernel(f"void({M3}, {M3}, {M2}, {M2}, {V})")
def effects_back(R, Y, by_u, by_xi, by_c):
    """∂/∂ξ = R⁻¹ ∂/∂u of every level; ∂/∂c −= Σ B'∂/∂ξ."""
    L, k, p = Y.shape[0], Y.shape[1], Y.shape[2] - 1
    for level in range(L):
        for i in range(k):
            s = by_u[level, i]
            for m in range(i):
                s -= R[level, i, m] * by_xi[level, m]
            by_xi[level, i] = s / R[level, i, i]
            for x in range(p):
                by_c[x] -= Y[level, i, x] * by_xi[level, i]


@kernel(f"void({M2}, {M2})")
def cholesky_back(r, by):
    """In place: from ∂/∂R (lower) to the symmetric ∂/∂H, H = RR'."""
    k = r.shape[0]
    for i in range(k):  # the lower triangle of R'∂R, its diagonal halved
        for j in range(i + 1):
            s = 0.0
            for m in range(i, k):
                s += r[m, i] * by[m, j]
            by[i, j] = 0.5 * s if i == j else s
        for j in range(i + 1, k):
            by[i, j] = 0.0
    for i in range(k - 1, -1, -1):  # R'⁻¹ of it
        for j in range(k):
            s = by[i, j]
            for m in range(i + 1, k):
                s -= r[m, i] * by[m, j]
            by[i, j] = s / r[i, i]
    for i in range(k):  # and R⁻¹ from the right
        for j in range(k - 1, -1, -1):
            s = by[i, j]
            for m in range(j + 1, k):
                s -= by[i, m] * r[m, j]
            by[i, j] = s / r[j, j]
    for i in range(k):
        for j in range(i):
            s = 0.5 * (by[i, j] + by[j, i])
            by[i, j], by[j, i] = s, s


@kernel(f"void({M2}, {M3}, {M3}, {M3}, {M3}, {M2}, {M2}, {V}, {M2}, {V}, {M2}, {M3})")
def eliminate_back(lam, A, T, R, Y, u, by_xi, c, by_F, by_f, by_lam, by_T):
    """∂/∂λ += what u, F, f and −Σ log|R| pass on, and ∂/∂T where `by_T` is not empty; `by_F` symmetric."""
    L, k, p = A.shape[0], A.shape[1], T.shape[2] - 1
    by_y, by_r = np.zeros((k, p + 1)), np.zeros((k, k))
    for level in range(L):
        r, y = R[level], Y[level]
        for i in range(k):
            s = by_xi[level, i]
            for x in range(p):
                s -= y[i, x] * by_f[x]
                v = -by_xi[level, i] * c[x] - y[i, p] * by_f[x]
                for z in range(p):
                    v -= 2.0 * y[i, z] * by_F[z, x]
                by_y[i, x] = v
            by_y[i, p] = s
        for i in range(k - 1, -1, -1):  # ∂/∂(λ'T) = R'⁻¹ ∂/∂Y
            for x in range(p + 1):
                s = by_y[i, x]
                for m in range(i + 1, k):
                    s -= r[m, i] * by_y[m, x]
                by_y[i, x] = s / r[i, i]
        for i in range(k):
            for j in range(i + 1):
                s = -u[level, i] * by_xi[level, j]
                for x in range(p + 1):
                    s -= by_y[i, x] * y[j, x]
                if i == j:
                    s -= 1.0 / r[i, i]
                by_r[i, j] = s
        cholesky_back(r, by_r)
        for a in range(k):
            for i in range(k):
                s = 0.0
                for x in range(p + 1):
                    s += T[level, a, x] * by_y[i, x]
                for b in range(k):
                    for j in range(k):
                        s += 2.0 * A[level, a, b] * lam[b, j] * by_r[j, i]
                by_lam[a, i] += s
        if len(by_T) > 0:
            for a in range(k):
                for x in range(p + 1):
                    s = 0.0
                    for i in range(k):
                        s += lam[a, i] * by_y[i, x]
                    by_T[level, a, x] = s


@kernel(f"float64({M2}, {M3}, {M3}, {M2}, {V}, {V}, {M2}, {M3}, {M3}, {M2}, {V}, {V}, {M2})")
def forth(lam, A, T, G, r, noise, xi, R, Y, K, h, c, u):
    """From λ and ξ to c and u, with what the way back needs. Returns −Σ log|R| − log|K|; NaN: F is not definite."""
    p = len(r)
    for i in range(p):  # (the same as assignments of slices takes seconds to compile)
        h[i] = r[i]
        for j in range(p):
            K[i, j] = G[i, j]
    log_jacobian = -eliminate(lam, A, T, R, Y, K, h)
    for i in range(p):
        for j in range(i + 1):
            s = K[i, j]
            for m in range(j):
                s -= K[i, m] * K[j, m]
            if i == j:
                if not s > 0.0:
                    return np.nan
                K[i, i] = s**0.5
                log_jacobian -= 0.5 * np.log(s)
            else:
                K[i, j] = s / K[j, j]
        for j in range(i + 1, p):
            K[i, j] = 0.0
    for i in range(p):
        s = h[i]
        for m in range(i):
            s -= K[i, m] * h[m]
        h[i] = s / K[i, i]
    for i in range(p - 1, -1, -1):
        s = h[i] + noise[i]
        for m in range(i + 1, p):
            s -= K[m, i] * c[m]
        c[i] = s / K[i, i]
    effects(R, Y, c, xi, u)
    return log_jacobian


@kernel(f"void({M2}, {M3}, {M3}, {M3}, {M3}, {M2}, {V}, {V}, {M2}, {M2}, {V}, {V}, {M2}, {M2}, {M3}, {M2}, {V})")
def back(lam, A, T, R, Y, K, h, c, u, by_b, by_c, by_noise, by_xi, by_lam, by_T, by_F, by_f):
    """From derivatives by b = λu and c to those by ξ_c, ξ, λ, T, G and r, of u'u/2 and the Jacobian too.

    `by_c` is used up; `by_T` may be empty.
    """
    L, k, p = A.shape[0], A.shape[1], len(c)
    by_u = np.zeros((L, k))
    for level in range(L):
        for i in range(k):
            s = -u[level, i]
            for a in range(k):
                s += by_b[level, a] * lam[a, i]
                by_lam[a, i] += by_b[level, a] * u[level, i]
            by_u[level, i] = s
    effects_back(R, Y, by_u, by_xi, by_c)
    for i in range(p):
        for j in range(p):
            by_F[i, j] = 0.0
        s = by_c[i]
        for m in range(i):
            s -= K[i, m] * by_noise[m]
        by_noise[i] = s / K[i, i]
    for i in range(p - 1, -1, -1):
        s = by_noise[i]
        for m in range(i + 1, p):
            s -= K[m, i] * by_f[m]
        by_f[i] = s / K[i, i]
    for i in range(p):
        for j in range(i + 1):
            by_F[i, j] = -c[i] * by_noise[j] - by_f[i] * h[j]
        by_F[i, i] -= 1.0 / K[i, i]
    cholesky_back(K, by_F)
    eliminate_back(lam, A, T, R, Y, u, by_xi, c, by_F, by_f, by_lam, by_T)
