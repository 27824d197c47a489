"""Effects of the levels of one factor drawn given everything else, level by level: the kernel.

In each level M proposals u_m = û + L'⁻¹x_m, x_m Student-t with 4 degrees of freedom at shifted lattice points, are
weighted by p(y | u) N(u; 0, I) / q(u); one of them is taken and the mean weight estimates the level's integral. The
plain version is `core/latent_draws.LevelDraws`. Family codes are those of `one_factor.CODES`.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .one_factor import row_terms

M3, M2, V, I8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]"
HALF_LOG_2PI = 0.9189385332046727
LOG_DENSITY_AT_ZERO = -0.9808292530117262  # log(3/8), of t with 4 degrees of freedom


@kernel("float64(float64)")
def student_quantile(p):
    """Quantile of Student's t with 4 degrees of freedom (Shaw 2006)."""
    q = min(max(p, 1e-14), 1.0 - 1e-14)
    root = 2.0 * np.sqrt(q * (1.0 - q))
    size = np.cos(np.arccos(min(root, 1.0)) / 3.0) / root
    x = 2.0 * np.sqrt(max(size - 1.0, 0.0))
    return x if q >= 0.5 else -x


@kernel(f"float64(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {M2}, {M3}, {M2}, {M2}, {V}, {M2}, int64, int64)")
def draw_levels(code, start, y, size, fixed, Z, lam, U, L, lattice, shift, height, chosen, begin, end):
    """Effects of the levels begin … end into `chosen`; returns Σ log Î without the rows' constants.

    U (levels, k) modes, L (levels, k, k) lower roots of H, lattice (M, k) in the unit cube, shift (levels, k) and
    height (levels,) uniform numbers.
    """
    points, k = lattice.shape
    log_w, b = np.empty(points), np.empty(k)
    u = np.empty((points, k))
    total = 0.0
    for level in range(begin, end):
        log_root = 0.0
        for a in range(k):
            log_root += np.log(L[level, a, a])
        top = -np.inf
        for m in range(points):
            value = -log_root - k * (HALF_LOG_2PI + LOG_DENSITY_AT_ZERO)
            for a in range(k):
                p = lattice[m, a] + shift[level, a]
                x = student_quantile(p - np.floor(p))
                value += 2.5 * np.log1p(0.25 * x * x)
                u[m, a] = x
            for a in range(k - 1, -1, -1):
                v = u[m, a]
                for c in range(a + 1, k):
                    v -= L[level, c, a] * u[m, c]
                u[m, a] = v / L[level, a, a]
            for a in range(k):
                u[m, a] += U[level, a]
                value -= 0.5 * u[m, a] * u[m, a]
            for a in range(k):
                b[a] = 0.0
                for c in range(k):
                    b[a] += lam[a, c] * u[m, c]
            for i in range(start[level], start[level + 1]):
                e = fixed[i]
                for a in range(k):
                    e += Z[i, a] * b[a]
                value += row_terms(code, y[i], size[i], e)[0]
            log_w[m] = value
            top = max(top, value)
        if not np.isfinite(top):
            return -np.inf
        mass = 0.0
        for m in range(points):
            log_w[m] = np.exp(log_w[m] - top)
            mass += log_w[m]
        total += top + np.log(mass / points)
        left = height[level] * mass
        pick = points - 1
        for m in range(points):
            left -= log_w[m]
            if left <= 0.0:
                pick = m
                break
        for a in range(k):
            chosen[level, a] = u[pick, a]
    return total
