"""Block elimination of the mixed-model matrix: kernels.

    M = [ Λ'Z'ZΛ + I    Λ'Z'X ]      bordered by [Λ'Z'y; X'y]
        [ X'ZΛ          X'X   ]

in the order (1) the leading factor, level by level; (2) the sparse columns of the other factors; (3) a dense
tail of what is left with X and y. Notation of the arrays, all in the permuted order of `core/pattern.py`:

    A, B        leading blocks Z'Z (L, k, k) and Z'[X y] (L, k, p+1)
    T           border of the leading levels: one row of k numbers per (level, trailing scalar) that meet
    at          CSR start of each level's border;  col: its trailing scalars, ascending
    S           values of the trailing matrix: sparse columns (diagonal first), then the dense tail row by row
    SX, XX      its border [X y], and the corner
    where       position in S of every pair of a level's border, or empty when all of S is dense tail

References: Bates, Mächler, Bolker & Walker (2015), section 3; Takahashi, Fagan & Chin (1973) for the inverse.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

M3, M2, V = "float64[:, :, ::1]", "float64[:, ::1]", "float64[::1]"
I8, I4 = "int64[::1]", "int32[::1]"


@kernel(f"boolean({M2}, int64)")
def small_cholesky(a, n):
    """Lower Cholesky factor of the leading n × n of `a`, in place; False when it is not positive definite."""
    for j in range(n):
        s = a[j, j]
        for t in range(j):
            s -= a[j, t] * a[j, t]
        if not s > 0.0:
            return False
        d = np.sqrt(s)
        a[j, j] = d
        for i in range(j + 1, n):
            s = a[i, j]
            for t in range(j):
                s -= a[i, t] * a[j, t]
            a[i, j] = s / d
    return True


@kernel(f"void({V}, {V}, {I8}, {I4}, {I4}, {I4}, {I4}, {I8}, {I8}, {M2}, {V}, {M2})")
def assemble_trailing(block, lam, begin, high, low, width, shift, target, diagonal, border, S, SX):
    """S = Λ'(Z'Z)Λ + I and SX = Λ'Z'[X y] of the trailing factors.

    `block` holds the raw blocks of meeting trailing levels one after the other from `begin`; `high`, `low` are
    their first scalars; `target` the position in S of every scalar of a block (-1 above the diagonal), `diagonal`
    those of the diagonal.
    `width`, `shift` give each scalar's number of coefficients and the offset of its λ in `lam`.
    """
    for e in range(len(S)):
        S[e] = 0.0
    for e in range(len(diagonal)):
        S[diagonal[e]] = 1.0
    for e in range(len(high)):
        r, c = high[e], low[e]
        kr, kc, lr, lc, at = width[r], width[c], shift[r], shift[c], begin[e]
        for a in range(kr):
            for b in range(kc):
                where = target[at + a * kc + b]
                if where < 0:
                    continue
                s = 0.0
                for i in range(kr):
                    left = lam[lr + i * kr + a]
                    if left != 0.0:
                        for j in range(kc):
                            s += left * block[at + i * kc + j] * lam[lc + j * kc + b]
                S[where] += s
    n2, m = border.shape
    r = 0
    while r < n2:
        kr, lr = width[r], shift[r]
        for a in range(kr):
            for x in range(m):
                s = 0.0
                for i in range(kr):
                    s += lam[lr + i * kr + a] * border[r + i, x]
                SX[r + a, x] = s
        r += kr


@kernel(f"float64({M3}, {M3}, {M2}, {I8}, {I4}, {I4}, {I4}, {V}, {M2}, int64, {M2}, {V}, {M3}, {M2}, {M3})")
def factor_level(A, B, T, at, col, width, shift, lam, lam1, level, D, row, L, W, WX):
    """L = chol(λ'Aλ + I), W = L⁻¹λ'TΛ and WX = L⁻¹λ'B of one leading level; returns |L|, or 0. D, row: workspace."""
    k, m = A.shape[1], B.shape[2]
    for a in range(k):
        for b in range(a + 1):
            s = 1.0 if a == b else 0.0
            for i in range(k):
                left = lam1[i, a]
                if left != 0.0:
                    for j in range(k):
                        s += left * A[level, i, j] * lam1[j, b]
            D[a, b] = s
    if not small_cholesky(D, k):
        return 0.0
    product = 1.0
    for a in range(k):
        product *= D[a, a]
        for b in range(a + 1):
            L[level, a, b] = D[a, b]
        for b in range(a + 1, k):
            L[level, a, b] = 0.0
    for a in range(k):
        for x in range(m):
            s = 0.0
            for i in range(k):
                s += lam1[i, a] * B[level, i, x]
            for t in range(a):
                s -= D[a, t] * WX[level, t, x]
            WX[level, a, x] = s / D[a, a]
    s0 = at[level]
    while s0 < at[level + 1]:
        c = col[s0]
        km, lm = width[c], shift[c]
        for b in range(km):
            for i in range(k):
                s = 0.0
                for d in range(km):
                    s += lam[lm + d * km + b] * T[s0 + d, i]
                row[i] = s
            for a in range(k):
                s = 0.0
                for i in range(k):
                    s += lam1[i, a] * row[i]
                for t in range(a):
                    s -= D[a, t] * W[s0 + b, t]
                W[s0 + b, a] = s / D[a, a]
        s0 += km
    return product


@kernel(
    f"float64({M3}, {M3}, {M2}, {I8}, {I4}, {I4}, {I4}, {V}, {M2}, {I8}, int64, int64, int64, {M3}, {M2}, {M3}, "
    f"{V}, {M2}, {M2})"
)
def eliminate_leading(A, B, T, at, col, width, shift, lam, lam1, where, ns, nt, sbase, L, W, WX, S, SX, XX):
    """Factor every leading level and subtract its part from the trailing matrix; returns Σ 2 log |L|, or NaN."""
    n_levels, k = A.shape[0], A.shape[1]
    m = B.shape[2]
    D = np.empty((k, k))
    row = np.empty(k)
    log_det = 0.0
    product = 1.0
    pair = 0
    for level in range(n_levels):
        product *= factor_level(A, B, T, at, col, width, shift, lam, lam1, level, D, row, L, W, WX)
        if not product > 0.0:
            return np.nan
        if product > 1e150 or product < 1e-150:
            log_det += np.log(product)
            product = 1.0
        begin, end = at[level], at[level + 1]
        together = end > begin and col[end - 1] - col[begin] == end - 1 - begin  # meets neighbours only: a dense row
        for s1 in range(begin, end):
            c1 = col[s1]
            if k == 1:  # the common case, worth its own loops: one multiplication a pair
                v = W[s1, 0]
                if ns == 0 and together:
                    base = sbase + np.int64(c1) * nt + col[begin]
                    for s2 in range(s1 - begin + 1):
                        S[base + s2] -= v * W[begin + s2, 0]
                elif ns == 0:
                    base = sbase + np.int64(c1) * nt
                    for s2 in range(begin, s1 + 1):
                        S[base + col[s2]] -= v * W[s2, 0]
                else:
                    for s2 in range(begin, s1 + 1):
                        S[where[pair]] -= v * W[s2, 0]
                        pair += 1
                for x in range(m):
                    SX[c1, x] -= v * WX[level, 0, x]
                continue
            base = sbase + np.int64(c1 - ns) * nt - ns
            for s2 in range(begin, s1 + 1):
                s = 0.0
                for a in range(k):
                    s += W[s1, a] * W[s2, a]
                if ns == 0:
                    S[base + col[s2]] -= s
                else:
                    S[where[pair]] -= s
                    pair += 1
            for x in range(m):
                s = 0.0
                for a in range(k):
                    s += W[s1, a] * WX[level, a, x]
                SX[c1, x] -= s
        for x in range(m):
            for z in range(x + 1):
                s = 0.0
                for a in range(k):
                    s += WX[level, a, x] * WX[level, a, z]
                XX[x, z] -= s
    return 2.0 * (log_det + np.log(product))


@kernel(f"float64({I8}, {I4}, int64, int64, int64, {V}, {M2}, {M2}, boolean)")
def eliminate_sparse(colptr, rows, ns, nt, sbase, S, SX, XX, update_tail):
    """Right-looking sparse Cholesky of the sparse columns, in place; returns Σ 2 log |L|, or NaN.

    Row i of column j updates column i; rows beyond `ns` update the dense tail only when `update_tail`
    (otherwise the caller does that with one matrix product).
    """
    m = SX.shape[1]
    work = np.zeros(ns + nt)
    log_det = 0.0
    for j in range(ns):
        begin, end = colptr[j], colptr[j + 1]
        if not S[begin] > 0.0:
            return np.nan
        d = np.sqrt(S[begin])
        S[begin] = d
        log_det += np.log(d)
        for e in range(begin + 1, end):
            S[e] /= d
            work[rows[e]] = S[e]
        for x in range(m):
            SX[j, x] /= d
        for e in range(begin + 1, end):
            i = rows[e]
            v = S[e]
            if i < ns:
                for f in range(colptr[i], colptr[i + 1]):
                    S[f] -= v * work[rows[f]]
            elif update_tail:
                base = sbase + np.int64(i - ns) * nt - ns
                for f in range(begin + 1, e + 1):
                    if rows[f] >= ns:
                        S[base + rows[f]] -= v * S[f]
            for x in range(m):
                SX[i, x] -= v * SX[j, x]
        for x in range(m):
            for z in range(x + 1):
                XX[x, z] -= SX[j, x] * SX[j, z]
        for e in range(begin + 1, end):
            work[rows[e]] = 0.0
    return 2.0 * log_det


@kernel(f"void({I8}, {I4}, int64, int64, int64, {V}, {V}, {M2}, {M2}, {M2}, int64)")
def invert_sparse(colptr, rows, ns, nt, sbase, S, P, SX, PX, PXX, p):
    """Takahashi's recursion: the inverse on the pattern of S, last column first.

    On entry P holds the inverse of the dense tail; PX (rows of the tail) and PXX the parts that belong to X when
    the fixed effects are integrated (`p` > 0; 0 for the inverse without them). Fills P's sparse columns and PX.
    """
    value = np.zeros(ns + nt)
    total = np.zeros(ns + nt)
    for j in range(ns - 1, -1, -1):
        begin, end = colptr[j], colptr[j + 1]
        d = S[begin]
        for e in range(begin + 1, end):
            value[rows[e]] = S[e]
        for e in range(begin + 1, end):
            i = rows[e]
            v = S[e]
            if i < ns:
                first = colptr[i]
                s = v * P[first]
                for f in range(first + 1, colptr[i + 1]):
                    r = rows[f]
                    w = value[r]
                    if w != 0.0:
                        total[r] += v * P[f]
                        s += w * P[f]
                total[i] += s
            else:
                base = sbase + np.int64(i - ns) * nt - ns
                s = 0.0
                for f in range(begin + 1, end):
                    if rows[f] >= ns:
                        s += S[f] * P[base + rows[f]]
                total[i] += s
            for x in range(p):
                total[i] += PX[i, x] * SX[j, x]
        for x in range(p):
            s = 0.0
            for e in range(begin + 1, end):
                s += S[e] * PX[rows[e], x]
            for z in range(p):
                s += PXX[x, z] * SX[j, z]
            PX[j, x] = -s / d
        own = 1.0 / d
        for e in range(begin + 1, end):
            i = rows[e]
            P[e] = -total[i] / d
            own -= S[e] * P[e]
        for x in range(p):
            own -= SX[j, x] * PX[j, x]
        P[begin] = own / d
        for e in range(begin + 1, end):
            value[rows[e]] = 0.0
            total[rows[e]] = 0.0


@kernel(
    f"void({M3}, {M3}, {M2}, {I8}, {I4}, {I4}, {I4}, {I4}, {V}, {M2}, {I8}, int64, int64, int64, {M3}, {M2}, {M3}, "
    f"{V}, {M2}, {M2}, int64, {M2}, {V}, {M3}, {M3}, {M2})"
)
def invert_leading(
    A, B, T, at, col, width, shift, group, lam, lam1, where, ns, nt, sbase, L, W, WX, P, PX, PXX, p, G1, G, PL, PLX, PT
):
    """Diagonal blocks of the inverse for the leading levels, and their part of Σ (Z'Z Λ P)_ℓℓ.

    Adds A λ P_ℓℓ + Σ T Λ P_·ℓ (+ B P_Xℓ) to `G1` (k, k), and T' λ P_ℓm to the trailing factors' sums `G`
    (flat, at each factor's offset `group`). Stores P_ℓℓ in `PL`, P_ℓX in `PLX` and P_mℓ, in T's layout, in `PT` when
    they are not empty.
    """
    n_levels, k = A.shape[0], A.shape[1]
    most = 0
    for level in range(n_levels):
        most = max(most, at[level + 1] - at[level])
    acc = np.zeros((most + 1, k))
    accx = np.zeros((p + 1, k))
    inverse = np.zeros((k, k))
    own = np.empty((k, k))
    tmp = np.empty((k, k))
    keep, keepx, keept = PL.shape[0] > 0, PLX.shape[0] > 0, PT.shape[0] > 0
    pair = 0
    for level in range(n_levels):
        begin, end = at[level], at[level + 1]
        w = end - begin
        together = w > 0 and col[end - 1] - col[begin] == w - 1
        for a in range(k):
            inverse[a, a] = 1.0 / L[level, a, a]
            for b in range(a):
                s = 0.0
                for t in range(b, a):
                    s += L[level, a, t] * inverse[t, b]
                inverse[a, b] = -s / L[level, a, a]
        for s1 in range(w):
            for a in range(k):
                acc[s1, a] = 0.0
        for x in range(p):
            for a in range(k):
                s = 0.0
                for z in range(p):
                    s += PXX[x, z] * WX[level, a, z]
                accx[x, a] = s
        for s1 in range(w):
            c1 = col[begin + s1]
            base = sbase + np.int64(c1 - ns) * nt - ns
            if k == 1:
                own_weight = W[begin + s1, 0]
                total = 0.0
                if ns == 0 and together:
                    first = base + col[begin]
                    for s2 in range(s1):
                        v = P[first + s2]
                        total += v * W[begin + s2, 0]
                        acc[s2, 0] += v * own_weight
                    total += P[first + s1] * own_weight
                elif ns == 0:
                    for s2 in range(s1):
                        v = P[base + col[begin + s2]]
                        total += v * W[begin + s2, 0]
                        acc[s2, 0] += v * own_weight
                    total += P[base + c1] * own_weight
                else:
                    for s2 in range(s1):
                        v = P[where[pair + s2]]
                        total += v * W[begin + s2, 0]
                        acc[s2, 0] += v * own_weight
                    total += P[where[pair + s1]] * own_weight
                    pair += s1 + 1
                acc[s1, 0] += total
            else:
                for s2 in range(s1 + 1):
                    if ns == 0:
                        v = P[base + col[begin + s2]]
                    else:
                        v = P[where[pair]]
                        pair += 1
                    for a in range(k):
                        acc[s1, a] += v * W[begin + s2, a]
                    if s2 < s1:
                        for a in range(k):
                            acc[s2, a] += v * W[begin + s1, a]
            for x in range(p):
                v = PX[c1, x]
                for a in range(k):
                    acc[s1, a] += v * WX[level, a, x]
                    accx[x, a] += v * W[begin + s1, a]
        for a in range(k):
            for b in range(k):
                s = 1.0 if a == b else 0.0
                for s1 in range(w):
                    s += W[begin + s1, a] * acc[s1, b]
                for x in range(p):
                    s += WX[level, a, x] * accx[x, b]
                tmp[a, b] = s
        # own = L^-T tmp L^-1
        for a in range(k):
            for b in range(k):
                s = 0.0
                for i in range(a, k):
                    for j in range(b, k):
                        s += inverse[i, a] * tmp[i, j] * inverse[j, b]
                own[a, b] = s
        # P_βℓ = -acc L^-1, in place
        for s1 in range(w):
            for b in range(k):
                s = 0.0
                for j in range(b, k):
                    s += acc[s1, j] * inverse[j, b]
                acc[s1, b] = -s
                if keept:
                    PT[begin + s1, b] = -s
        for x in range(p):
            for b in range(k):
                s = 0.0
                for j in range(b, k):
                    s += accx[x, j] * inverse[j, b]
                accx[x, b] = -s
        if keep:
            for a in range(k):
                for b in range(k):
                    PL[level, a, b] = own[a, b]
        if keepx:
            for a in range(k):
                for x in range(p):
                    PLX[level, a, x] = accx[x, a]
        # λ P_ℓℓ, then A λ P_ℓℓ
        for a in range(k):
            for b in range(k):
                s = 0.0
                for i in range(k):
                    s += lam1[a, i] * own[i, b]
                tmp[a, b] = s
        for a in range(k):
            for b in range(k):
                s = 0.0
                for i in range(k):
                    s += A[level, a, i] * tmp[i, b]
                for x in range(p):
                    s += B[level, a, x] * accx[x, b]
                G1[a, b] += s
        s0 = 0
        while s0 < w:
            c = col[begin + s0]
            km, lm, gm = width[c], shift[c], group[c]
            for d in range(km):
                # (Λ P_mℓ) row d, and T_m' λ P_ℓm
                for b in range(k):
                    s = 0.0
                    for i in range(km):
                        s += lam[lm + d * km + i] * acc[s0 + i, b]
                    for a in range(k):
                        G1[a, b] += T[begin + s0 + d, a] * s
                for b in range(km):
                    s = 0.0
                    for a in range(k):
                        right = 0.0
                        for i in range(k):
                            right += lam1[a, i] * acc[s0 + b, i]
                        s += T[begin + s0 + d, a] * right
                    G[gm + d * km + b] += s
            s0 += km


@kernel(f"void({V}, {V}, {I8}, {I4}, {I4}, {I4}, {I4}, {I4}, {I8}, {M2}, {V}, {M2}, int64, {V})")
def gradient_trailing(block, lam, begin, high, low, width, shift, group, target, border, P, PX, p, G):
    """The trailing blocks' own part of Σ (Z'Z Λ P)_mm, added to `G` at each factor's offset."""
    for e in range(len(high)):
        r, c = high[e], low[e]
        kr, kc, lr, lc, gr, gc, at = width[r], width[c], shift[r], shift[c], group[r], group[c], begin[e]
        for a in range(kr):
            for b in range(kc):
                v = block[at + a * kc + b]
                if v == 0.0:
                    continue
                for d in range(kc):
                    scaled = lam[lc + b * kc + d]
                    if scaled == 0.0:
                        continue
                    for f in range(kr):
                        where = target[at + f * kc + d]
                        if where < 0:
                            where = target[at + d * kc + f]
                        G[gr + a * kr + f] += v * scaled * P[where]
                if r != c:
                    for d in range(kr):
                        scaled = lam[lr + a * kr + d]
                        if scaled == 0.0:
                            continue
                        for f in range(kc):
                            G[gc + b * kc + f] += v * scaled * P[target[at + d * kc + f]]
    if p > 0:
        r = 0
        while r < border.shape[0]:
            kr, gr = width[r], group[r]
            for a in range(kr):
                for f in range(kr):
                    s = 0.0
                    for x in range(p):
                        s += border[r + a, x] * PX[r + f, x]
                    G[gr + a * kr + f] += s
            r += kr


@kernel(f"void({I8}, {I4}, {M3}, {M2}, {M3}, {I8}, {I4}, int64, {V}, {M2}, {V}, {V})")
def back_substitute(at, col, L, W, WX, colptr, rows, ns, S, SX, x, u):
    """û from the factor: on entry x = (β̂, -1) and the tail of u is set; fills the sparse and leading parts of u.

    u holds the leading effects first, then the trailing ones.
    """
    n_levels, k = L.shape[0], L.shape[1]
    m = len(x)
    q1 = n_levels * k
    for j in range(ns - 1, -1, -1):
        s = 0.0
        for z in range(m):
            s -= SX[j, z] * x[z]
        for e in range(colptr[j] + 1, colptr[j + 1]):
            s -= S[e] * u[q1 + rows[e]]
        u[q1 + j] = s / S[colptr[j]]
    part = np.empty(k)
    for level in range(n_levels):
        for a in range(k):
            s = 0.0
            for z in range(m):
                s -= WX[level, a, z] * x[z]
            for e in range(at[level], at[level + 1]):
                s -= W[e, a] * u[q1 + col[e]]
            part[a] = s
        for a in range(k - 1, -1, -1):
            s = part[a]
            for t in range(a + 1, k):
                s -= L[level, t, a] * u[level * k + t]
            u[level * k + a] = s / L[level, a, a]


@kernel(f"void({I8}, {I4}, {M3}, {M2}, {M3}, {I8}, {I4}, int64, {V}, {M2}, int64, {M2}, {M2})")
def forward_substitute(at, col, L, W, WX, colptr, rows, ns, S, SX, p, R, RX):
    """Leading and sparse parts of L⁻¹ R for several right-hand sides, in place.

    R is (q, s): leading effects, then trailing; RX (p, s) the rows of X. The tail rows are left for a dense solve.
    """
    n_levels, k = L.shape[0], L.shape[1]
    q1 = n_levels * k
    n = R.shape[1]
    for level in range(n_levels):
        o = level * k
        for a in range(k):
            for t in range(a):
                v = L[level, a, t]
                for s in range(n):
                    R[o + a, s] -= v * R[o + t, s]
            d = L[level, a, a]
            for s in range(n):
                R[o + a, s] /= d
            for e in range(at[level], at[level + 1]):
                v, c = W[e, a], q1 + col[e]
                for s in range(n):
                    R[c, s] -= v * R[o + a, s]
            for x in range(p):
                v = WX[level, a, x]
                for s in range(n):
                    RX[x, s] -= v * R[o + a, s]
    for j in range(ns):
        d = S[colptr[j]]
        for s in range(n):
            R[q1 + j, s] /= d
        for e in range(colptr[j] + 1, colptr[j + 1]):
            v, i = S[e], q1 + rows[e]
            for s in range(n):
                R[i, s] -= v * R[q1 + j, s]
        for x in range(p):
            v = SX[j, x]
            for s in range(n):
                RX[x, s] -= v * R[q1 + j, s]


@kernel(f"void({I8}, {I4}, {M3}, {M2}, {M3}, {I8}, {I4}, int64, {V}, {M2}, int64, {M2}, {M2})")
def backward_substitute(at, col, L, W, WX, colptr, rows, ns, S, SX, p, R, RX):
    """Sparse and leading parts of L'⁻¹ R in place, for several right-hand sides whose tail rows and RX are solved."""
    n_levels, k = L.shape[0], L.shape[1]
    q1 = n_levels * k
    for s in range(R.shape[1]):
        for j in range(ns - 1, -1, -1):
            v = R[q1 + j, s]
            for e in range(colptr[j] + 1, colptr[j + 1]):
                v -= S[e] * R[q1 + rows[e], s]
            for x in range(p):
                v -= SX[j, x] * RX[x, s]
            R[q1 + j, s] = v / S[colptr[j]]
        for level in range(n_levels):
            for a in range(k - 1, -1, -1):
                v = R[level * k + a, s]
                for t in range(a + 1, k):
                    v -= L[level, t, a] * R[level * k + t, s]
                for e in range(at[level], at[level + 1]):
                    v -= W[e, a] * R[q1 + col[e], s]
                for x in range(p):
                    v -= WX[level, a, x] * RX[x, s]
                R[level * k + a, s] = v / L[level, a, a]


@kernel(f"void({M3}, {M3}, {M2}, {I8}, {I4}, {V}, {I8}, {I4}, {I4}, {I4}, {M2}, {M2}, {M2}, {M2})")
def gram_multiply(A, B, T, at, col, block, begin, high, low, width, border, C, out, outx):
    """out = Z'Z C and outx = [X y]'Z C for q × s matrices C (leading effects, then trailing)."""
    n_levels, k = A.shape[0], A.shape[1]
    m = B.shape[2]
    q1 = n_levels * k
    n = C.shape[1]  # right-hand sides stay innermost: a level's rows of C and out are in cache together
    for i in range(out.shape[0]):
        for s in range(n):
            out[i, s] = 0.0
    for x in range(m):
        for s in range(n):
            outx[x, s] = 0.0
    for level in range(n_levels):
        o = level * k
        for a in range(k):
            for b in range(k):
                v = A[level, a, b]
                for s in range(n):
                    out[o + a, s] += v * C[o + b, s]
            for e in range(at[level], at[level + 1]):
                t, c = T[e, a], q1 + col[e]
                for s in range(n):
                    out[o + a, s] += t * C[c, s]
                    out[c, s] += t * C[o + a, s]
            for x in range(m):
                v = B[level, a, x]
                for s in range(n):
                    outx[x, s] += v * C[o + a, s]
    for e in range(len(high)):
        r, c0 = high[e], low[e]
        kr, kc, at0 = width[r], width[c0], begin[e]
        for a in range(kr):
            for b in range(kc):
                v = block[at0 + a * kc + b]
                for s in range(n):
                    out[q1 + r + a, s] += v * C[q1 + c0 + b, s]
                    if r != c0:
                        out[q1 + c0 + b, s] += v * C[q1 + r + a, s]
    for r in range(border.shape[0]):
        for x in range(m):
            v = border[r, x]
            for s in range(n):
                outx[x, s] += v * C[q1 + r, s]
