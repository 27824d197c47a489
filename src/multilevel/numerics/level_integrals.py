"""Integrals over the effects of every level of one factor by adaptive quadrature, with their gradient: the kernel.

    I_ℓ ≈ |L|⁻¹ Σ_r w_r exp(½ x_r'x_r − ½ u_r'u_r + Σ_i ℓ_i(η_ir)),   u_r = û + L'⁻¹x_r,   η_ir = x_i'c + z_i'λu_r

around points û near the modes, LL' the information there. The gradient is Fisher's identity, exact as far as the
integrals are: with p_r the shares of the nodes, ∂ log I/∂η_i = Σ_r p_r s_ir and ∂ log I/∂λ = Σ_r p_r (Z's_r) u_r'.
Nodes stand side by side, so that loops over them become vector instructions. The plain version is `core/quadrature.py`.

References: Naylor & Smith (1982), Applied Statistics 31; Fisher (1925), Proc. Cambridge Phil. Soc. 22 (the identity).
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .vectors import FUSED, exp, log

M3, M2, V, I8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]"


@kernel(f"void(int64, float64, float64, {V}, {V}, {V})", fastmath=FUSED)
def terms_at(code, y, size, eta, value, slope):
    """value += ℓ of one row without its constant, and slope = ∂ℓ, at every node."""
    if code == 1:
        for r in range(len(eta)):
            mu = size * exp(eta[r])
            value[r] += y * eta[r] - mu
            slope[r] = y - mu
    else:
        for r in range(len(eta)):
            e = eta[r]
            q = exp(-abs(e))
            value[r] += y * e - size * (max(e, 0.0) + log(1.0 + q))
            slope[r] = y - size * ((1.0 if e >= 0.0 else q) / (1.0 + q))


@kernel(
    f"float64(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {M3}, {M2}, {V}, {V}, {M2}, {M2}, int64, int64)",
    fastmath=FUSED,
)
def integrate_levels(code, start, y, size, fixed, Z, lam, U, L, nodes, log_weights, by_row, means, score, begin, end):
    """Σ log I of the levels begin … end, without the rows' constants; −∞ where one is not finite.

    nodes (k, R) and log_weights (R,), the ½ x'x in them, of the standard normal density; U (levels, k) and L (levels,
    k, k) lower. `by_row` (n,) gets Σ p_r s_ir, `means` (levels, k) Σ p_r u_r, and to `score` (k, k) is added
    Σ_ℓ Σ_r p_r (Z's_r) u_r'.
    """
    k, count = nodes.shape
    longest = 1
    for level in range(begin, end):
        longest = max(longest, start[level + 1] - start[level])
    slopes = np.empty((longest, count))
    u, b, value, eta = np.empty((k, count)), np.empty((k, count)), np.empty(count), np.empty(count)
    total = 0.0
    for level in range(begin, end):
        first, last = start[level], start[level + 1]
        log_root = 0.0
        for a in range(k - 1, -1, -1):  # L'⁻¹x, from below
            log_root += np.log(L[level, a, a])
            for r in range(count):
                u[a, r] = nodes[a, r]
            for c in range(a + 1, k):
                for r in range(count):
                    u[a, r] -= L[level, c, a] * u[c, r]
            for r in range(count):
                u[a, r] /= L[level, a, a]
        for r in range(count):
            value[r] = log_weights[r]
        for a in range(k):
            for r in range(count):
                u[a, r] += U[level, a]
                value[r] -= 0.5 * u[a, r] * u[a, r]
        for a in range(k):
            for r in range(count):
                b[a, r] = 0.0
            for c in range(k):
                for r in range(count):
                    b[a, r] += lam[a, c] * u[c, r]
        for i in range(first, last):
            for r in range(count):
                eta[r] = fixed[i]
            for a in range(k):
                for r in range(count):
                    eta[r] += Z[i, a] * b[a, r]
            terms_at(code, y[i], size[i], eta, value, slopes[i - first])
        top = -np.inf
        for r in range(count):
            top = max(top, value[r])
        if not np.isfinite(top):
            return -np.inf
        mass = 0.0
        for r in range(count):
            value[r] = exp(value[r] - top)
        for r in range(count):
            mass += value[r]
        total += top + np.log(mass) - log_root
        for r in range(count):
            value[r] /= mass
        for a in range(k):
            mean = 0.0
            for r in range(count):
                mean += value[r] * u[a, r]
            means[level, a] = mean
        for i in range(first, last):
            mean = 0.0
            for r in range(count):
                mean += value[r] * slopes[i - first, r]
            by_row[i] = mean
        for a in range(k):  # Z's by node, then with u
            for r in range(count):
                eta[r] = 0.0
            for i in range(first, last):
                for r in range(count):
                    eta[r] += Z[i, a] * slopes[i - first, r]
            for c in range(k):
                mean = 0.0
                for r in range(count):
                    mean += value[r] * eta[r] * u[c, r]
                score[a, c] += mean
    return total
