"""The whole search for one random coefficient, compiled: Laplace's criterion over (θ, c) with θ > 0 scalar.

Newton's method with the information model of `core/laplace.py`, corrected by the steps themselves (BFGS), as the
general driver does it; what the general driver does besides (boundaries, saddles) is left to it: the search stops when
θ comes near zero or something fails, wherever it is then.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .elimination import small_cholesky
from .one_factor import TOLERANCE, level_modes, level_slopes

M3, M2, V, I8 = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]", "int64[::1]"
MOST_STEPS, PAIRS = 60, 8
FAR = 3.0  # how far a coefficient may move at once, beside twice its size
NEAR_ZERO = 1e-2  # share of a level's information below which θ is left to the general driver
LOOSE = 1e-10  # decrement of a level's mode far from the optimum
STEP = 2e-5  # of one-sided differences


@kernel(
    f"float64(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, {V}, {M2}, {M2}, {M3}, {M3}, {V}, {V}, {V}, {V}, {V}, {V}, "
    "float64)"
)
def criterion(code, start, y, size, offset, Z, X, phi, U, lam, C, L, fixed, eta, loglik, s, w, third, fine):
    """d without constants at φ = (θ, c), modes from and into U to the decrement `fine`; inf where it fails."""
    n, p = X.shape
    lam[0, 0] = phi[0]
    for i in range(n):
        v = offset[i]
        for j in range(p):
            v += X[i, j] * phi[1 + j]
        fixed[i] = v
    out = np.empty(2)
    if not level_modes(
        code, start, y, size, fixed, Z, lam, U, eta, loglik, s, w, third, C, L, out, fine, 0, len(start) - 1
    ):
        return np.inf
    value = 2.0 * out[0] + out[1]
    return value if np.isfinite(value) else np.inf


@kernel(f"void({I8}, {M2}, {M2}, {M2}, {M2}, {V}, {V}, {V}, {M3}, {M3}, {V}, {M2}, {M2}, {V}, {M2}, boolean)")
def slopes_at(start, Z, X, lam, U, s, w, third, C, L, g, H, score, theta_info, tangent, information):
    """Gradient g and, on request, the model H of the Hessian and the tangent of the modes (levels, 1 + p)."""
    p = X.shape[1]
    unit = np.ones((1, 1, 1))
    by_c = np.zeros(p)
    fixed = np.zeros((p, p))
    theta = np.zeros((1, 1))
    score[0, 0] = 0.0
    moves = np.empty((tangent.shape[0], 1, p + 1))
    level_slopes(
        start, Z, X, lam, U, s, w, third, C, L, unit, by_c, score, theta, fixed, moves, information, 0, len(start) - 1
    )
    g[0] = 2.0 * score[0, 0]
    for j in range(p):
        g[1 + j] = by_c[j]
    if not information:
        return
    theta_info[0] = theta[0, 0]
    for j in range(p + 1):
        for m in range(p + 1):
            H[j, m] = 0.0
    H[0, 0] = theta[0, 0] + max(2.0 * score[0, 0] / lam[0, 0], 0.0)
    for j in range(p):
        for m in range(j + 1):
            H[1 + j, 1 + m] = 2.0 * fixed[j, m]
            H[1 + m, 1 + j] = 2.0 * fixed[j, m]
    for level in range(tangent.shape[0]):
        for j in range(p + 1):
            tangent[level, j] = moves[level, 0, j]


@kernel(f"boolean({M2}, {V}, float64, {V}, {M2})")
def damped_step(H, g, damping, step, work):
    """step = −(H + damping · diag H)⁻¹ g; False when that is not positive definite."""
    d = len(g)
    for a in range(d):
        for b in range(a + 1):
            work[a, b] = H[a, b]
        work[a, a] += damping * abs(H[a, a])
    if not small_cholesky(work, d):
        return False
    for a in range(d):
        v = -g[a]
        for b in range(a):
            v -= work[a, b] * step[b]
        step[a] = v / work[a, a]
    for a in range(d - 1, -1, -1):
        v = step[a]
        for b in range(a + 1, d):
            v -= work[b, a] * step[b]
        step[a] = v / work[a, a]
    return True


@kernel(f"void({M2}, {M2}, {M2}, int64)")
def learn(H, S, Y, pairs):
    """BFGS updates of H by the steps S and differences of gradients Y, oldest first."""
    d = H.shape[0]
    hs = np.empty(d)
    for r in range(pairs):
        curvature, model, length = 0.0, 0.0, 0.0
        for a in range(d):
            v = 0.0
            for b in range(d):
                v += H[a, b] * S[r, b]
            hs[a] = v
            curvature += S[r, a] * Y[r, a]
            model += S[r, a] * v
            length += S[r, a] * S[r, a]
        if curvature > 1e-12 * length and model > 0.0:
            for a in range(d):
                for b in range(d):
                    H[a, b] += Y[r, a] * Y[r, b] / curvature - hs[a] * hs[b] / model


@kernel(f"int64(int64, {I8}, {V}, {V}, {V}, {M2}, {M2}, float64, float64, {V}, {M2}, {M2}, {V})")
def search(code, start, y, size, offset, Z, X, weight, tolerance, phi, U, hessian, counts):
    """Minimise over φ from `phi`, in place; then the Hessian over (log θ, c) by one-sided differences.

    Returns 1 when the decrement fell below `tolerance` (then `hessian` is filled), 0 when it stopped before. `counts`
    gets the numbers of evaluations and of iterations.
    """
    n, p = X.shape
    d, levels = p + 1, len(start) - 1
    lam = np.empty((1, 1))
    C, L = np.empty((levels, 1, 1)), np.empty((levels, 1, 1))
    fixed, eta, loglik, s, w, third = np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    g, before, trial, step = np.empty(d), np.empty(d), np.empty(d), np.empty(d)
    H, work, score, info = np.empty((d, d)), np.empty((d, d)), np.empty((1, 1)), np.empty(1)
    tangent, U_trial = np.empty((levels, d)), np.empty((levels, 1))
    S, Y = np.empty((PAIRS, d)), np.empty((PAIRS, d))
    pairs, taught = 0, False
    reach = 2.0 / np.sqrt(weight)
    value = criterion(code, start, y, size, offset, Z, X, phi, U, lam, C, L, fixed, eta, loglik, s, w, third, LOOSE)
    counts[0], counts[1] = 1.0, 0.0
    if not np.isfinite(value):
        return 0
    damping = 0.0
    for _ in range(MOST_STEPS):
        counts[1] += 1.0
        slopes_at(start, Z, X, lam, U, s, w, third, C, L, g, H, score, info, tangent, True)
        if taught:
            if pairs == PAIRS:
                for r in range(PAIRS - 1):
                    for a in range(d):
                        S[r, a], Y[r, a] = S[r + 1, a], Y[r + 1, a]
                pairs -= 1
            for a in range(d):
                S[pairs, a] = step[a]
                Y[pairs, a] = g[a] - before[a]
            pairs += 1
        learn(H, S, Y, pairs)
        if not damped_step(H, g, 0.0, step, work):
            return 0
        decrement = 0.0
        for a in range(d):
            decrement -= g[a] * step[a]
        if decrement < tolerance:
            break
        moved = False
        fine = max(TOLERANCE, min(LOOSE, 1e-6 * decrement))  # the mode as exact as the next gradient has to be
        for attempt in range(20):
            if (attempt > 0 or damping > 0.0) and not damped_step(H, g, damping, step, work):
                return 0
            ratio = max(1.0, abs(step[0]) / (reach + 2.0 * abs(phi[0])))
            for a in range(1, d):
                ratio = max(ratio, abs(step[a]) / (FAR + 2.0 * abs(phi[a])))
            for a in range(d):
                step[a] /= ratio
                trial[a] = phi[a] + step[a]
            if trial[0] * trial[0] * weight < NEAR_ZERO or trial[0] <= 0.0:
                return 0
            for level in range(levels):
                v = U[level, 0]
                for a in range(d):
                    v += tangent[level, a] * step[a]
                U_trial[level, 0] = v
            new = criterion(
                code, start, y, size, offset, Z, X, trial, U_trial, lam, C, L, fixed, eta, loglik, s, w, third, fine
            )
            counts[0] += 1.0
            if new <= value + (1e-11 * (1.0 + abs(value)) if decrement < 1e-6 else 0.0):
                moved = True
                if attempt == 0:
                    damping = damping * 0.1 if damping > 1e-6 else 0.0
                break
            damping = max(4.0 * damping, 1e-3)
        if not moved:
            return 0
        taught = decrement < 1.0
        for a in range(d):
            before[a], phi[a] = g[a], trial[a]
        value = new
        for level in range(levels):
            U[level, 0] = U_trial[level, 0]
    else:
        return 0
    at = g.copy()
    at[0] *= phi[0]
    moved_g = np.empty(d)
    for a in range(d):
        for b in range(d):
            trial[b] = phi[b]
        h = STEP if a == 0 else STEP * max(FAR, abs(phi[a]))
        trial[a] = phi[a] * np.exp(h) if a == 0 else phi[a] + h
        for level in range(levels):
            U_trial[level, 0] = U[level, 0] + tangent[level, a] * (trial[a] - phi[a])
        value = criterion(
            code, start, y, size, offset, Z, X, trial, U_trial, lam, C, L, fixed, eta, loglik, s, w, third, 1e-14
        )
        counts[0] += 1.0
        if not np.isfinite(value):
            return 0
        slopes_at(start, Z, X, lam, U_trial, s, w, third, C, L, moved_g, H, score, info, tangent, False)
        for b in range(d):
            hessian[a, b] = (moved_g[b] * (trial[0] if b == 0 else 1.0) - at[b]) / h
    for a in range(d):
        for b in range(a):
            v = 0.5 * (hessian[a, b] + hessian[b, a])
            hessian[a, b] = v
            hessian[b, a] = v
    return 1
