"""The Schur complement of the leading factor as an operator: never formed, never factored.

    S = Λ'(Z'Z)₂₂Λ + I − Σ_ℓ W_ℓ'W_ℓ,    W_ℓ = L_ℓ⁻¹ λ'Z_ℓ'Z₂Λ

One product is one pass over the leading levels: gather the entries of a level's border, weigh them, scatter them
back. Arrays are named as in `numerics/elimination.py`; vectors over the trailing scalars come as (n, s) matrices.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .elimination import I4, I8, M2, M3, V, factor_level


@kernel(
    f"boolean({M3}, {M3}, {M2}, {I8}, {I4}, {I4}, {I4}, {V}, {M2}, {M3}, {M2}, {M3}, {V}, {M2}, {M2})"
)
def eliminate(A, B, T, at, col, width, shift, lam, lam1, L, W, WX, D, SX, XX):
    """Factor every leading level; subtract its part from the diagonal D of S, from SX and from XX."""
    k, m = A.shape[1], B.shape[2]
    block, row = np.empty((k, k)), np.empty(k)
    for level in range(A.shape[0]):
        if not factor_level(A, B, T, at, col, width, shift, lam, lam1, level, block, row, L, W, WX) > 0.0:
            return False
        for s in range(at[level], at[level + 1]):
            c = col[s]
            for a in range(k):
                D[c] -= W[s, a] * W[s, a]
                for x in range(m):
                    SX[c, x] -= W[s, a] * WX[level, a, x]
        for x in range(m):
            for z in range(x + 1):
                for a in range(k):
                    XX[x, z] -= WX[level, a, x] * WX[level, a, z]
    return True


@kernel(f"void({V}, {V}, {I8}, {I4}, {I4}, {I4}, {I4}, {V}, {V})")
def scale_blocks(block, lam, begin, high, low, width, shift, out, D):
    """out = Λ'(Z'Z)₂₂Λ block by block; D = its diagonal + 1."""
    for i in range(len(D)):
        D[i] = 1.0
    for e in range(len(high)):
        r, c = high[e], low[e]
        kr, kc, lr, lc, at = width[r], width[c], shift[r], shift[c], begin[e]
        for a in range(kr):
            for b in range(kc):
                s = 0.0
                for i in range(kr):
                    for j in range(kc):
                        s += lam[lr + i * kr + a] * block[at + i * kc + j] * lam[lc + j * kc + b]
                out[at + a * kc + b] = s
                if r == c and a == b:
                    D[r + a] += s


@kernel(f"void({V}, {I8}, {I4}, {I4}, {I4}, {I8}, {I4}, {M2}, {M2}, {M2})")
def multiply(scaled, begin, high, low, width, at, col, W, X, out):
    """out = S X."""
    n, k = X.shape[1], W.shape[1]
    for i in range(X.shape[0]):
        for s in range(n):
            out[i, s] = X[i, s]
    for e in range(len(high)):
        r, c = high[e], low[e]
        kc = width[c]
        for a in range(width[r]):
            for b in range(kc):
                v = scaled[begin[e] + a * kc + b]
                for s in range(n):
                    out[r + a, s] += v * X[c + b, s]
                    if r != c:
                        out[c + b, s] += v * X[r + a, s]
    total = np.empty(n)
    for level in range(len(at) - 1):
        for a in range(k):
            for s in range(n):
                total[s] = 0.0
            for e in range(at[level], at[level + 1]):
                v, c = W[e, a], col[e]
                for s in range(n):
                    total[s] += v * X[c, s]
            for e in range(at[level], at[level + 1]):
                v, c = W[e, a], col[e]
                for s in range(n):
                    out[c, s] -= v * total[s]


@kernel(f"void({I8}, {I4}, {M3}, {M2}, {V}, {M2}, {M2}, {M2}, {M3})")
def leading_sums(at, col, L, W, D, Z, E, exact, noisy):
    """Σ (M⁻¹)_ℓℓ over the leading levels, M⁻¹_ℓℓ = L⁻ᵀ(I + W S⁻¹W')L⁻¹ with S⁻¹ estimated by probes.

    `exact` (k, k) gets the part with D⁻¹ for S⁻¹; `noisy` (s, k, k), for every probe z in Z and its E = S⁻¹z − D⁻¹z,
    the rest, whose mean over probes is right.
    """
    n, k = Z.shape[1], L.shape[1]
    own = np.empty((k, k))
    inverse = np.zeros((k, k))
    a_z = np.empty((k, n))
    a_e = np.empty((k, n))
    for level in range(L.shape[0]):
        for a in range(k):
            inverse[a, a] = 1.0 / L[level, a, a]
            for b in range(a):
                s = 0.0
                for t in range(b, a):
                    s += L[level, a, t] * inverse[t, b]
                inverse[a, b] = -s / L[level, a, a]
        for a in range(k):
            for b in range(k):
                own[a, b] = 1.0 if a == b else 0.0
        for a in range(k):
            for s in range(n):
                a_z[a, s] = 0.0
                a_e[a, s] = 0.0
        for e in range(at[level], at[level + 1]):
            c = col[e]
            for a in range(k):
                v = W[e, a]
                for b in range(k):
                    own[a, b] += v * W[e, b] / D[c]
                for s in range(n):
                    a_z[a, s] += v * Z[c, s]
                    a_e[a, s] += v * E[c, s]
        for a in range(k):  # L⁻ᵀ times the vectors, in place: row a needs rows below it
            for s in range(n):
                z, w = 0.0, 0.0
                for i in range(a, k):
                    z += inverse[i, a] * a_z[i, s]
                    w += inverse[i, a] * a_e[i, s]
                a_z[a, s] = z
                a_e[a, s] = w
        for a in range(k):
            for b in range(k):
                for i in range(a, k):
                    for j in range(b, k):
                        exact[a, b] += inverse[i, a] * own[i, j] * inverse[j, b]
                for s in range(n):
                    noisy[s, a, b] += 0.5 * (a_z[a, s] * a_e[b, s] + a_e[a, s] * a_z[b, s])
