"""The whole likelihood search as one compiled call, for models whose dense tail is small.

A model of 180 rows needs microseconds of arithmetic per evaluation; going through Python for each would cost a
hundred times that. `search` runs the Newton iterations of `numerics/newton.py` for the regular case (interior
optimum, unstructured or diagonal covariances) on the same kernels, and hands over to that driver, from the point
it reached, as soon as a variance heads for the boundary or a step fails. The plain path (`core/likelihood.py`
with `numerics/newton.py`) is its test.
"""

from __future__ import annotations

from collections import namedtuple

import numpy as np

from . import elimination as plain
from . import pairs
from .compiled import kernel

# data and index arrays of one model; scalars last
Static = namedtuple(
    "Static",
    "A B T at col where width shift group block begin high low target diagonal border colptr rows xy "
    "entry_place entry_factor entry_row entry_col positive weight factor_k factor_offset level_first level_factor "
    "ns nt sbase p n_lead nu known_sigma2 reml",
)
# arrays overwritten by every evaluation (shared with core/gaussian.Elimination)
Work = namedtuple("Work", "L W WX S SX XX tail u beta P PX ze c zz r zx rx")

INTERIOR, HANDED_OVER = 0, 1


@kernel()
def fill_lambda(entry_place, lam, theta):
    """λ of all factors, one after the other (leading first), from θ."""
    for e in range(len(theta)):
        lam[entry_place[e]] = theta[e]


@kernel()
def square(lam, k):
    """The first k·k numbers as a matrix."""
    out = np.empty((k, k))
    for a in range(k):
        for b in range(k):
            out[a, b] = lam[a * k + b]
    return out


@kernel(inline="always")  # compiled once, inside `search`
def value_at(static, work, lam):
    """d at λ and σ²; fills the factor in `work` and (û, β̂). Infinite when not positive definite."""
    p, nt, ns = static.p, static.nt, static.ns
    k1 = static.A.shape[1]
    lam1 = square(lam, k1)
    trailing = lam[k1 * k1 :]
    for a in range(p + 1):
        for b in range(p + 1):
            work.XX[a, b] = static.xy[a, b]
    log_det = 0.0
    if ns + nt > 0:
        plain.assemble_trailing(
            static.block, trailing, static.begin, static.high, static.low, static.width, static.shift, static.target,
            static.diagonal, static.border, work.S, work.SX,
        )  # fmt: skip
    if k1 == 2 and ns + nt == 0:
        log_det += pairs.eliminate(static.A, static.B, lam1, work.L, work.WX, work.XX)
    else:
        log_det += plain.eliminate_leading(
            static.A, static.B, static.T, static.at, static.col, static.width, static.shift, trailing, lam1,
            static.where, ns, nt, static.sbase, work.L, work.W, work.WX, work.S, work.SX, work.XX,
        )  # fmt: skip
    if ns > 0:
        log_det += plain.eliminate_sparse(
            static.colptr, static.rows, ns, nt, static.sbase, work.S, work.SX, work.XX, True
        )
    size = nt + p
    tail = work.tail
    for i in range(nt):
        for j in range(i + 1):
            tail[i, j] = work.S[static.sbase + i * nt + j]
    for i in range(p):
        for j in range(nt):
            tail[nt + i, j] = work.SX[ns + j, i]
        for j in range(i + 1):
            tail[nt + i, nt + j] = work.XX[i, j]
    if np.isnan(log_det) or not plain.small_cholesky(tail, size):
        return np.inf, np.nan
    half = np.empty(size)
    r2 = work.XX[p, p]
    for i in range(size):
        s = work.SX[ns + i, p] if i < nt else work.XX[p, i - nt]
        for j in range(i):
            s -= tail[i, j] * half[j]
        half[i] = s / tail[i, i]
        r2 -= half[i] * half[i]
    x = half
    for i in range(size - 1, -1, -1):
        s = x[i]
        for j in range(i + 1, size):
            s -= tail[j, i] * x[j]
        x[i] = s / tail[i, i]
    q1 = static.n_lead * k1
    for i in range(nt):
        work.u[q1 + ns + i] = x[i]
        log_det += 2.0 * np.log(tail[i, i])
    z = np.empty(p + 1)
    for i in range(p):
        work.beta[i] = x[nt + i]
        z[i] = x[nt + i]
    z[p] = -1.0
    plain.back_substitute(
        static.at, static.col, work.L, work.W, work.WX, static.colptr, static.rows, ns, work.S, work.SX, z, work.u
    )
    if not r2 > 0.0:
        return np.inf, np.nan
    if static.reml:
        for i in range(nt, size):
            log_det += 2.0 * np.log(tail[i, i])
    if static.known_sigma2 > 0.0:
        sigma2 = static.known_sigma2
        return log_det + static.nu * np.log(2.0 * np.pi * sigma2) + r2 / sigma2, sigma2
    sigma2 = r2 / static.nu
    return log_det + static.nu * (1.0 + np.log(2.0 * np.pi * sigma2)), sigma2


@kernel()
def invert_tail(tail, size):
    """(L L')⁻¹ of the leading size × size."""
    half = np.zeros((size, size))
    for a in range(size):
        half[a, a] = 1.0 / tail[a, a]
        for b in range(a):
            s = 0.0
            for t in range(b, a):
                s += tail[a, t] * half[t, b]
            half[a, b] = -s / tail[a, a]
    out = np.zeros((size, size))
    for a in range(size):
        for b in range(a + 1):
            s = 0.0
            for t in range(a, size):
                s += half[t, a] * half[t, b]
            out[a, b] = s
            out[b, a] = s
    return out


@kernel(inline="always")  # compiled once, inside `search`
def trace_sums(static, work, lam):
    """Σ (Z'ZΛP)_ℓℓ of all factors, flat as λ."""
    k1, ns, nt = static.A.shape[1], static.ns, static.nt
    p = static.p if static.reml else 0
    inverse = invert_tail(work.tail, nt + p)
    P, PX = work.P, work.PX
    for i in range(nt):
        for j in range(nt):
            P[static.sbase + i * nt + j] = inverse[i, j]
        for x in range(p):
            PX[ns + i, x] = inverse[i, nt + x]
    PXX = np.empty((p, p))
    for a in range(p):
        for b in range(p):
            PXX[a, b] = inverse[nt + a, nt + b]
    if ns > 0:
        plain.invert_sparse(static.colptr, static.rows, ns, nt, static.sbase, work.S, P, work.SX, PX, PXX, p)
    G = np.zeros(len(lam))
    G1 = np.zeros((k1, k1))
    none = np.zeros((0, k1, k1))
    trailing = G[k1 * k1 :]
    if k1 == 2 and ns + nt == 0:
        pairs.trace_sums(static.A, static.B, square(lam, k1), work.L, work.WX, PXX, p, G1)
    else:
        plain.invert_leading(
            static.A, static.B, static.T, static.at, static.col, static.width, static.shift, static.group,
            lam[k1 * k1 :], square(lam, k1), static.where, ns, nt, static.sbase, work.L, work.W, work.WX,
            P, PX, PXX, p, G1, trailing, none, none, np.zeros((0, k1)),
        )  # fmt: skip
    if ns + nt > 0:
        plain.gradient_trailing(
            static.block, lam[k1 * k1 :], static.begin, static.high, static.low, static.width, static.shift,
            static.group, static.target, static.border, P, PX, p, trailing,
        )  # fmt: skip
    for a in range(k1):
        for b in range(k1):
            G[a * k1 + b] = G1[a, b]
    return G


@kernel()
def level_products(level_first, level_factor, factor_k, factor_offset, lam, u, out):
    """out = Λ u."""
    for level in range(len(level_first)):
        first, f = level_first[level], level_factor[level]
        k, off = factor_k[f], factor_offset[f]
        for a in range(k):
            s = 0.0
            for b in range(k):
                s += lam[off + a * k + b] * u[first + b]
            out[first + a, 0] = s


@kernel()
def level_solves(level_first, level_factor, factor_k, factor_offset, regular, lam, u, out):
    """out = Λ'⁻¹ u for the factors whose λ is well conditioned."""
    for level in range(len(level_first)):
        first, f = level_first[level], level_factor[level]
        k, off = factor_k[f], factor_offset[f]
        if regular[f]:
            for a in range(k - 1, -1, -1):
                s = u[first + a]
                for b in range(a + 1, k):
                    s -= lam[off + b * k + a] * out[first + b]
                out[first + a] = s / lam[off + a * k + a]


@kernel()
def residual_products(cross, border, zz, beta, out):
    """Z'y − Z'Xβ̂ − Z'ZΛû, leading effects first."""
    n_lead, k, m = cross.shape
    for level in range(n_lead):
        for a in range(k):
            s = cross[level, a, m - 1]
            for x in range(m - 1):
                s -= cross[level, a, x] * beta[x]
            out[level * k + a] = s - zz[level * k + a, 0]
    for c in range(border.shape[0]):
        s = border[c, m - 1]
        for x in range(m - 1):
            s -= border[c, x] * beta[x]
        out[n_lead * k + c] = s - zz[n_lead * k + c, 0]


@kernel(inline="always")  # compiled once, inside `search`
def fill_scores(static, work, lam):
    """Z'ê into work.ze: λ'⁻¹û where λ is well conditioned, from the cross-products otherwise."""
    factor_k, factor_offset = static.factor_k, static.factor_offset
    regular = np.ones(len(factor_k), np.bool_)
    every = True
    for f in range(len(regular)):
        for a in range(factor_k[f]):
            if abs(lam[factor_offset[f] + a * factor_k[f] + a]) <= 1e-2:
                regular[f] = False
                every = False
    if not every:
        q = len(work.u)
        c = np.zeros((q, 1))
        zz = np.empty((q, 1))
        zx = np.empty((static.p + 1, 1))
        level_products(static.level_first, static.level_factor, factor_k, factor_offset, lam, work.u, c)
        plain.gram_multiply(
            static.A, static.B, static.T, static.at, static.col, static.block, static.begin, static.high, static.low,
            static.width, static.border, c, zz, zx,
        )  # fmt: skip
        residual_products(static.B, static.border, zz, work.beta, work.ze)
    level_solves(static.level_first, static.level_factor, factor_k, factor_offset, regular, lam, work.u, work.ze)


@kernel()
def outer_products(level_first, level_factor, factor_k, factor_offset, ze, u, out):
    """out += Σ (Z'ê)_ℓ û_ℓ' by factor, flat as λ."""
    for level in range(len(level_first)):
        first, f = level_first[level], level_factor[level]
        k, off = factor_k[f], factor_offset[f]
        for r in range(k):
            for c in range(k):
                out[off + r * k + c] += ze[first + r] * u[first + c]


@kernel(inline="always")  # compiled once, inside `search`
def gradient_at(static, work, lam, sigma2):
    """∂d/∂θ after `value_at`."""
    G = trace_sums(static, work, lam)
    fill_scores(static, work, lam)
    outer = np.zeros(len(lam))
    outer_products(
        static.level_first, static.level_factor, static.factor_k, static.factor_offset, work.ze, work.u, outer
    )
    entry_place = static.entry_place
    gradient = np.empty(len(entry_place))
    for e in range(len(entry_place)):
        at = entry_place[e]
        gradient[e] = 2.0 * (G[at] - outer[at] / sigma2)
    return gradient


@kernel()
def fill_directions(
    level_first, level_factor, factor_k, factor_offset, entry_factor, entry_row, entry_col, lam, u, ze, c
):
    """c_e = Λ̇_e û + Λ Λ̇_e' Z'ê, one column an entry."""
    for level in range(len(level_first)):
        first, f = level_first[level], level_factor[level]
        k, off = factor_k[f], factor_offset[f]
        for e in range(len(entry_row)):
            for b in range(k):
                c[first + b, e] = 0.0
            if entry_factor[e] == f:
                r, s = entry_row[e], entry_col[e]
                c[first + r, e] += u[first + s]
                for b in range(k):
                    c[first + b, e] += lam[off + b * k + s] * ze[first + r]


@kernel()
def fill_right_sides(level_first, level_factor, factor_k, factor_offset, lam, zz, r):
    """r = Λ' zz."""
    for level in range(len(level_first)):
        first, f = level_first[level], level_factor[level]
        k, off = factor_k[f], factor_offset[f]
        for e in range(r.shape[1]):
            for b in range(k):
                s = 0.0
                for a in range(k):
                    s += lam[off + a * k + b] * zz[first + a, e]
                r[first + b, e] = s


@kernel()
def solve_tail(tail, nt, p, end, r, rx):
    """Forward substitution of the dense tail, in place."""
    for e in range(r.shape[1]):
        for a in range(nt + p):
            s = r[end + a, e] if a < nt else rx[a - nt, e]
            for b in range(a):
                s -= tail[a, b] * (r[end + b, e] if b < nt else rx[b - nt, e])
            s /= tail[a, a]
            if a < nt:
                r[end + a, e] = s
            else:
                rx[a - nt, e] = s


@kernel()
def sum_directions(c, zz, r, ze, out, cross):
    """out = c'Z'Zc − r'r (lower triangle), cross = c'Z'ê."""
    q, n = c.shape
    for a in range(n):
        cross[a] = 0.0
        for b in range(n):
            out[a, b] = 0.0
    for j in range(q):
        for a in range(n):
            cross[a] += c[j, a] * ze[j]
            for b in range(a + 1):
                out[a, b] += c[j, a] * zz[j, b] - r[j, a] * r[j, b]


@kernel()
def reduce_information(out, cross, rx, sigma2, nu, profiled):
    """(out − rx'rx)/σ², less σ's part when it is profiled out; mirrored."""
    n = len(cross)
    for x in range(rx.shape[0]):
        for a in range(n):
            for b in range(a + 1):
                out[a, b] -= rx[x, a] * rx[x, b]
    for a in range(n):
        for b in range(a + 1):
            v = out[a, b] / sigma2
            if profiled:
                v -= cross[a] * cross[b] / (sigma2 * sigma2 * nu)
            out[a, b] = v
            out[b, a] = v
    return out


@kernel(inline="always")  # compiled once, inside `search`
def information_at(static, work, lam, sigma2):
    """2 · average information after `gradient_at`, σ profiled out unless known."""
    level_first, level_factor = static.level_first, static.level_factor
    factor_k, factor_offset = static.factor_k, static.factor_offset
    c, zz, zx, r, rx, p = work.c, work.zz, work.zx, work.r, work.rx, static.p
    profiled = not static.known_sigma2 > 0.0
    n = len(static.entry_row)
    out, cross = np.empty((n, n)), np.empty(n)
    if static.A.shape[1] == 2 and static.ns + static.nt == 0:
        pairs.directions(
            static.A, static.B, square(lam, 2), work.L, work.WX, static.entry_row, static.entry_col, work.u, work.ze,
            p, out, rx, cross,
        )  # fmt: skip
        solve_tail(work.tail, 0, p, 0, r, rx)
        return reduce_information(out, cross, rx, sigma2, static.nu, profiled)
    fill_directions(
        level_first, level_factor, factor_k, factor_offset, static.entry_factor, static.entry_row, static.entry_col,
        lam, work.u, work.ze, c,
    )  # fmt: skip
    plain.gram_multiply(
        static.A, static.B, static.T, static.at, static.col, static.block, static.begin, static.high, static.low,
        static.width, static.border, c, zz, zx,
    )  # fmt: skip
    fill_right_sides(level_first, level_factor, factor_k, factor_offset, lam, zz, r)
    for x in range(p):
        for e in range(rx.shape[1]):
            rx[x, e] = zx[x, e]
    plain.forward_substitute(
        static.at, static.col, work.L, work.W, work.WX, static.colptr, static.rows, static.ns, work.S, work.SX, p,
        r, rx,
    )  # fmt: skip
    solve_tail(work.tail, static.nt, p, static.n_lead * static.A.shape[1] + static.ns, r, rx)
    sum_directions(c, zz, r, work.ze, out, cross)
    return reduce_information(out, cross, rx, sigma2, static.nu, profiled)


@kernel()
def newton_step(hessian, gradient):
    """−H⁻¹ g of a scaled, slightly ridged H; False when that is not positive definite."""
    n = len(gradient)
    scale = np.empty(n)
    for a in range(n):
        scale[a] = np.sqrt(hessian[a, a]) if hessian[a, a] > 0.0 else 1.0
    h = np.empty((n, n))
    for a in range(n):
        for b in range(n):
            h[a, b] = hessian[a, b] / (scale[a] * scale[b])
        h[a, a] += 1e-10
    step = np.zeros(n)
    if not plain.small_cholesky(h, n):
        return False, step
    for a in range(n):
        s = -gradient[a] / scale[a]
        for b in range(a):
            s -= h[a, b] * step[b]
        step[a] = s / h[a, a]
    for a in range(n - 1, -1, -1):
        s = step[a]
        for b in range(a + 1, n):
            s -= h[b, a] * step[b]
        step[a] = s / h[a, a]
    for a in range(n):
        step[a] /= scale[a]
    return True, step


@kernel()
def moved(positive, theta, step):
    """θ after a step in the working coordinates: log where positive."""
    out = np.empty(len(theta))
    for e in range(len(theta)):
        if positive[e]:
            out[e] = theta[e] * np.exp(step[e])
        else:
            out[e] = theta[e] + step[e]
    return out


@kernel()
def limited(positive, weight, theta, step):
    """Shrink a step so that no coordinate moves too far; True when a small variance heads for zero."""
    ratio = 1.0
    for a in range(len(theta)):
        limit = 1.5 if positive[a] else 2.0 + abs(theta[a])
        ratio = max(ratio, abs(step[a]) / limit)
    boundary = False
    for a in range(len(theta)):
        step[a] /= ratio
        if positive[a] and step[a] < 0.0 and theta[a] ** 2 * weight[a] < 1e-3:
            boundary = True
    return boundary


# phases of the search: what the evaluation just made was for
FIRST, NEWTON, UP, DOWN, CENTRE, CHORD, FINAL = 0, 1, 2, 3, 4, 5, 6
KEEP, LAST = 1e-2, 1e-9  # decrements below which the information is kept, and after which the last step is taken
CLOSE = 1e-5  # decrement from which exact Newton steps take over
DIFFERENCE = 1e-4


@kernel()
def search(static, work, theta, maxiter, exact):
    """Minimise d from θ.

    Average-information steps until the decrement is below `CLOSE`; then a Hessian by central differences of the
    gradient, and Newton steps with it to rounding level. With many levels the information is the curvature almost
    exactly: then (not `exact`) its steps go on to the end. Written as a loop over phases so that the evaluation
    stands once in the compiled code (it is large).

    Returns (status, θ, d, σ², iterations, evaluations, decrement, scaled gradient, Hessian over the working
    coordinates). `HANDED_OVER` means that the general driver has to go on from θ.
    """
    n = len(theta)
    positive, weight, entry_place = static.positive, static.weight, static.entry_place
    last = len(static.factor_k) - 1
    lam = np.zeros(static.factor_offset[last] + static.factor_k[last] ** 2)
    theta = theta.copy()
    trial = theta.copy()
    value, sigma2, decrement, scaled = np.inf, 1.0, np.inf, np.inf
    hessian = np.zeros((n, n))
    g = np.zeros(n)
    step = np.zeros(n)
    up = np.zeros(n)
    iterations, evaluations, halvings, column, chords = 0, 0, 0, 0, 0
    phase = FIRST
    status = HANDED_OVER
    while True:
        fill_lambda(entry_place, lam, trial)
        new, s2 = value_at(static, work, lam)
        evaluations += 1
        if phase == FINAL:
            value, sigma2 = new, s2
            break
        if phase == FIRST and not np.isfinite(new):
            break
        if phase == NEWTON and not new <= value + (1e-11 * (1.0 + abs(value)) if decrement < CLOSE else 0.0):
            halvings += 1
            if halvings > 4:
                break
            for a in range(n):
                step[a] *= 0.3
            trial = moved(positive, theta, step)
            continue
        if phase == CHORD and not new <= value + 1e-11 * (1.0 + abs(value)):
            break
        slope = gradient_at(static, work, lam, s2)
        for a in range(n):
            if positive[a]:
                slope[a] *= trial[a]
        if phase in (FIRST, NEWTON):
            for a in range(n):
                theta[a] = trial[a]
                g[a] = slope[a]
            value, sigma2, halvings = new, s2, 0
            iterations += 1
            if iterations > maxiter:
                iterations -= 1
                break
            if exact or decrement > KEEP:  # many levels: the information hardly moves over the last steps
                information = information_at(static, work, lam, s2)
                for a in range(n):
                    for b in range(n):
                        v = information[a, b]
                        if positive[a]:
                            v *= theta[a]
                        if positive[b]:
                            v *= theta[b]
                        hessian[a, b] = v
        elif phase == UP:
            for a in range(n):
                up[a] = slope[a]
            step[column] = -step[column]
            trial = moved(positive, theta, step)
            phase = DOWN
            continue
        elif phase == DOWN:
            for b in range(n):
                hessian[column, b] = (slope[b] - up[b]) / (2.0 * step[column])
            column += 1
            phase = UP
            if column == n:
                phase = CENTRE
                for a in range(n):
                    for b in range(a):
                        v = 0.5 * (hessian[a, b] + hessian[b, a])
                        hessian[a, b] = v
                        hessian[b, a] = v
        good = True
        if phase in (CENTRE, UP):
            # between differences: set out for the next column, or for the first exact step with the kept gradient
            if phase == CENTRE:
                good, move = newton_step(hessian, g)
                if not good:
                    break
                decrement = 0.0
                for a in range(n):
                    step[a] = move[a]
                    decrement -= g[a] * step[a]
                if limited(positive, weight, theta, step):
                    break
                phase = CHORD
            else:
                for a in range(n):
                    step[a] = 0.0
                step[column] = DIFFERENCE if positive[column] else DIFFERENCE * max(1.0, abs(theta[column]))
            trial = moved(positive, theta, step)
            continue
        good, move = newton_step(hessian, slope)
        if not good:
            break
        after = 0.0
        for a in range(n):
            after -= slope[a] * move[a]
        if phase == CHORD:
            chords += 1
            finished = chords >= 8 or after >= decrement
            if after < decrement:
                for a in range(n):
                    theta[a] = trial[a]
                    g[a] = slope[a]
                value, sigma2, decrement = new, s2, after
            if finished or decrement < 1e-22:
                scaled = 0.0
                for a in range(n):
                    scaled = max(scaled, abs(g[a]) / np.sqrt(max(hessian[a, a], 1e-12)))
                status = INTERIOR if decrement < 1e-12 else HANDED_OVER
                phase = FINAL
                for a in range(n):
                    trial[a] = theta[a]
                continue
            for a in range(n):
                step[a] = move[a]
            trial = moved(positive, theta, step)
            continue
        if not exact and after < LAST:
            # small enough to stop; one more step without a gradient only adds digits
            scaled = 0.0
            for a in range(n):
                scaled = max(scaled, abs(g[a]) / np.sqrt(max(hessian[a, a], 1e-12)))
            decrement = after
            status = INTERIOR
            phase = FINAL
            trial = moved(positive, theta, move)
            for a in range(n):
                theta[a] = trial[a]
            continue
        decrement = after
        for a in range(n):
            step[a] = move[a]
        if exact and decrement < CLOSE:
            phase = UP
            for a in range(n):
                step[a] = 0.0
            step[0] = DIFFERENCE if positive[0] else DIFFERENCE * max(1.0, abs(theta[0]))
        else:
            if limited(positive, weight, theta, step):
                break
            phase = NEWTON
        trial = moved(positive, theta, step)
    return status, theta, value, sigma2, iterations, evaluations, decrement, scaled, hessian
