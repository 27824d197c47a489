"""Laplace's approximation of a model with one grouping factor and one linear predictor, level by level: kernels.

Given the parameters, levels are independent: each finds its own mode by Newton's method, and the criterion, its
gradient and the information are sums over levels. Rows are sorted by level (`start`). Notation as in
`core/laplace.py`; family codes are those of `CODES`.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .elimination import small_cholesky

CODES = {"binomial_logit": 0, "poisson_log": 1}
M3, M2, V, I8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]"
TOLERANCE = 1e-19  # Newton decrement of a level at its mode, relative to its criterion
MOST_STEPS = 500


@kernel("UniTuple(float64, 4)(int64, float64, float64, float64)")
def row_terms(code, y, n, eta):
    """ℓ without its constant, s = ∂ℓ, W = −∂²ℓ, W' = −∂³ℓ of one row."""
    if code == 0:
        e = np.exp(-abs(eta))
        p = 1.0 / (1.0 + e) if eta >= 0.0 else e / (1.0 + e)
        v = e / ((1.0 + e) * (1.0 + e))
        softplus = max(eta, 0.0) + np.log1p(e)
        return y * eta - n * softplus, y - n * p, n * v, n * v * (1.0 - 2.0 * p)
    mu = np.exp(eta)
    return y * eta - n * mu, y - n * mu, n * mu, n * mu


@kernel(f"float64(int64, {V}, {V}, {V}, {M2}, {V}, {V}, {M2}, {V}, {V}, {V}, {V}, {V}, int64, int64)")
def level_point(code, y, size, fixed, Z, lam_u, pull, H, eta, loglik, s, w, third, first, last):
    """Row terms of one level at b = λu (`lam_u`); fills Z's in `pull`, Z'WZ in `H`; returns Σ ℓ."""
    k = Z.shape[1]
    for a in range(k):
        pull[a] = 0.0
        for b in range(k):
            H[a, b] = 0.0
    total = 0.0
    for i in range(first, last):
        e = fixed[i]
        for a in range(k):
            e += Z[i, a] * lam_u[a]
        value, si, wi, ti = row_terms(code, y[i], size[i], e)
        eta[i], loglik[i], s[i], w[i], third[i] = e, value, si, wi, ti
        total += value
        for a in range(k):
            pull[a] += Z[i, a] * si
            for b in range(a + 1):
                H[a, b] += Z[i, a] * wi * Z[i, b]
    for a in range(k):
        for b in range(a):
            H[b, a] = H[a, b]
    return total


@kernel(
    f"boolean(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {V}, {V}, {V}, {V}, {V}, {M3}, {M3}, {V}, float64, int64, "
    "int64)"
)
def level_modes(code, start, y, size, fixed, Z, lam, U, eta, loglik, s, w, third, C, L, out, tolerance, begin, end):
    """Modes of the levels begin … end, from and into U (levels, k); C = Z'WZ and L = chol(λ'Cλ + I) there.

    `out` gets Σ (−ℓ + ½u'u) and Σ log|H|; `tolerance` is that of a level's Newton decrement. False where a level has
    no finite point.
    """
    k = Z.shape[1]
    b, pull, grad, step, trial = np.empty(k), np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    G, H = np.empty((k, k)), np.empty((k, k))
    total_h, log_det, product = 0.0, 0.0, 1.0
    for level in range(begin, end):
        first, last = start[level], start[level + 1]
        u = U[level]
        for attempt in range(2):
            for a in range(k):
                b[a] = 0.0
                for c in range(k):
                    b[a] += lam[a, c] * u[c]
            ll = level_point(code, y, size, fixed, Z, b, pull, G, eta, loglik, s, w, third, first, last)
            h = -ll
            for a in range(k):
                h += 0.5 * u[a] * u[a]
            if np.isfinite(h):
                break
            if attempt == 1:
                return False
            for a in range(k):
                u[a] = 0.0
        before = np.inf
        for _ in range(MOST_STEPS):
            for a in range(k):
                grad[a] = -u[a]
                for c in range(k):
                    grad[a] += lam[c, a] * pull[c]
                for d in range(a + 1):
                    v = 1.0 if a == d else 0.0
                    for c in range(k):
                        left = lam[c, a]
                        if left != 0.0:
                            for e in range(k):
                                v += left * G[c, e] * lam[e, d]
                    H[a, d] = v
            if not small_cholesky(H, k):
                return False
            for a in range(k):
                v = grad[a]
                for c in range(a):
                    v -= H[a, c] * step[c]
                step[a] = v / H[a, a]
            decrement = 0.0
            for a in range(k):
                decrement += step[a] * step[a]
            for a in range(k - 1, -1, -1):
                v = step[a]
                for c in range(a + 1, k):
                    v -= H[c, a] * step[c]
                step[a] = v / H[a, a]
            if not decrement > tolerance * (1.0 + abs(h)) or (decrement < 1e-10 and decrement > 0.1 * before):
                break
            before = decrement
            slack = 1e-14 * (1.0 + abs(h))
            scale = 1.0
            moved = False
            for _ in range(60):
                for a in range(k):
                    trial[a] = u[a] + scale * step[a]
                for a in range(k):
                    b[a] = 0.0
                    for c in range(k):
                        b[a] += lam[a, c] * trial[c]
                ll = level_point(code, y, size, fixed, Z, b, pull, G, eta, loglik, s, w, third, first, last)
                new = -ll
                for a in range(k):
                    new += 0.5 * trial[a] * trial[a]
                if new <= h - 1e-4 * scale * decrement + slack:
                    moved = True
                    break
                if scale * decrement < slack:
                    break
                scale *= 0.5
            if not moved:  # rounding: back to where it was
                for a in range(k):
                    b[a] = 0.0
                    for c in range(k):
                        b[a] += lam[a, c] * u[c]
                level_point(code, y, size, fixed, Z, b, pull, G, eta, loglik, s, w, third, first, last)
                break
            for a in range(k):
                u[a] = trial[a]
            h = new
        total_h += h
        for a in range(k):
            product *= H[a, a]
            for c in range(k):
                L[level, a, c] = H[a, c] if c <= a else 0.0
                C[level, a, c] = G[a, c]
        if product > 1e150 or product < 1e-150:
            log_det += np.log(product)
            product = 1.0
    out[0] = total_h
    out[1] = 2.0 * (log_det + np.log(product))
    return True


@kernel(
    f"void({I8}, {M2}, {M2}, {M2}, {M2}, {V}, {V}, {V}, {M3}, {M3}, {M3}, {V}, {M2}, {M2}, {M2}, {M3}, "
    "boolean, int64, int64)"
)
def level_slopes(
    start, Z, X, lam, U, s, w, third, C, L, slopes, gradient, score, theta, fixed, tangent, information, begin, end
):
    """Gradient and, on request, information at the modes, added over the levels begin … end.

    gradient (p,) gets X'(g − 2s); score (k, k) ½ ∂d/∂Λ. With `information`: theta (t, t) and fixed (p, p) get the
    models of the Hessian's blocks (halves), tangent (levels, k, t + p) ∂û/∂(θ, c). `slopes` (t, k, k) are ∂λ/∂θ.
    """
    k, p, n_theta = Z.shape[1], X.shape[1], slopes.shape[0]
    inverse, P, LP = np.zeros((k, k)), np.empty((k, k)), np.empty((k, k))
    zs, zt, zg, v, z = np.empty(k), np.empty(k), np.empty(k), np.empty(k), np.empty(k)
    move, weighed = np.empty((k, n_theta)), np.empty((k, n_theta))
    drift, half, border = np.empty((k, n_theta)), np.empty((k, n_theta + p)), np.empty((k, p))
    for level in range(begin, end):
        first, last = start[level], start[level + 1]
        for a in range(k):
            inverse[a, a] = 1.0 / L[level, a, a]
            for b in range(a):
                r = 0.0
                for c in range(b, a):
                    r += L[level, a, c] * inverse[c, b]
                inverse[a, b] = -r / L[level, a, a]
        for a in range(k):
            for b in range(k):
                r = 0.0
                for c in range(max(a, b), k):
                    r += inverse[c, a] * inverse[c, b]
                P[a, b] = r
        for a in range(k):  # λ P
            for b in range(k):
                r = 0.0
                for c in range(k):
                    r += lam[a, c] * P[c, b]
                LP[a, b] = r
        for a in range(k):
            zs[a] = zt[a] = zg[a] = 0.0
        for i in range(first, last):
            lever = 0.0
            for a in range(k):
                z[a] = 0.0
                for c in range(k):
                    z[a] += lam[c, a] * Z[i, c]
            for a in range(k):
                for b in range(k):
                    lever += z[a] * P[a, b] * z[b]
            t = third[i] * lever
            third[i] = t  # from here on: t
            for a in range(k):
                zs[a] += Z[i, a] * s[i]
                zt[a] += Z[i, a] * t
        for a in range(k):  # v = P λ' Z't
            v[a] = 0.0
            for c in range(k):
                v[a] += LP[c, a] * zt[c]
        for i in range(first, last):
            zv = 0.0
            for a in range(k):
                r = 0.0
                for c in range(k):
                    r += lam[a, c] * v[c]
                zv += Z[i, a] * r
            g = third[i] - w[i] * zv
            for a in range(k):
                zg[a] += Z[i, a] * g
            for j in range(p):
                gradient[j] += X[i, j] * (g - 2.0 * s[i])
        for a in range(k):
            for b in range(k):
                r = 0.0
                for c in range(k):
                    r += C[level, a, c] * LP[c, b]
                score[a, b] += r - zs[a] * U[level, b] + 0.5 * (zg[a] * U[level, b] + zs[a] * v[b])
        if not information:
            continue
        for a in range(k):
            for j in range(p):
                border[a, j] = 0.0
        for i in range(first, last):
            for j in range(p):
                wx = w[i] * X[i, j]
                for a in range(k):
                    border[a, j] += Z[i, a] * wx
                for m in range(j + 1):
                    fixed[j, m] += wx * X[i, m]
        for t in range(n_theta):
            for a in range(k):
                drift[a, t] = 0.0
                for c in range(k):
                    drift[a, t] += slopes[t, c, a] * zs[c]
            for a in range(k):
                r = 0.0
                for c in range(k):
                    r += slopes[t, a, c] * U[level, c] + lam[a, c] * drift[c, t]
                move[a, t] = r
            for a in range(k):
                weighed[a, t] = 0.0
                for c in range(k):
                    weighed[a, t] += C[level, a, c] * move[c, t]
        for a in range(k):  # L⁻¹λ' of [Z'WZ c, Z'WX]
            for j in range(n_theta + p):
                r = 0.0
                for c in range(k):
                    r += lam[c, a] * (weighed[c, j] if j < n_theta else border[c, j - n_theta])
                for c in range(a):
                    r -= L[level, a, c] * half[c, j]
                half[a, j] = r / L[level, a, a]
        for t in range(n_theta):
            for q in range(t + 1):
                for a in range(k):
                    theta[t, q] += move[a, t] * weighed[a, q] - half[a, t] * half[a, q]
        for j in range(p):
            for m in range(j + 1):
                for a in range(k):
                    fixed[j, m] -= half[a, n_theta + j] * half[a, n_theta + m]
        for j in range(n_theta + p):
            for a in range(k):
                r = 0.0
                for c in range(a, k):
                    r += inverse[c, a] * half[c, j]
                tangent[level, a, j] = (drift[a, j] if j < n_theta else 0.0) - r


@kernel(f"void(int64, {V}, {V}, {V}, {V}, {V}, {V}, {V})")
def fill_terms(code, y, size, eta, value, first, second, third):
    """ℓ without constants and its derivatives for all rows."""
    for i in range(len(y)):
        value[i], first[i], second[i], third[i] = row_terms(code, y[i], size[i], eta[i])
