"""The joint log density of a hierarchical model and its gradient at one point, from end to end: kernels.

    log p(θ, c, u | y) = Σ ℓ_i(η_i) − ½ u'u + log p(θ, c) − Σ log|R| − log|K| + constant,    η = Xc + Zλu + offset

in the white coordinates of `core/joint.py`, which is the plain version, and the test: the same steps in the same order,
for several points at once and any family. All arrays are fields of two (`packed.py`), in the order of `FIELDS`; those
of priors and terms stand in `prior_fields.py`, and further there are

    counts : further, the code of the family, and whether there is a tail
    mode, outer, inner, mixed, root, centre, spread : as in `core/joint.py` and `core/anchor.py`
    factors : levels, k, place in u, whether treated level by level, places in A, in [C⁺ t], in λ
    A : of all factors;  E, D, B, linear : of the tail (`core/joint_tail.py`);  beside : factors beside the leading one
    X, X_owner, offsets, Z, base, start, owner, y, size : rows, sorted by the leading level; X (p, n), Z (K, n), base
        (factors, n), offsets (n · m,)

and what every point overwrites: T is [C⁺ t] of all factors; G, r are G⁺ and r⁺, of which the part that depends on no λ
is there before; the others are named as in `whitened.py`, and `by_…` are derivatives.
"""

from __future__ import annotations

import numpy as np

from .columns import add_column, add_effects, sum_column, sum_effects
from .compiled import kernel
from .packed import INSIDE, line, place_table, places, stack, table
from .prior_fields import BY_Z, CONSTANT, COUNTS, POINT, SHARED, TERMS, prior, root, root_back
from .scores import log_likelihood
from .whitened import back, forth

FIELDS = (
    *SHARED, "mode", "outer", "inner", "mixed", "root", "centre", "spread", "factors", "A", "E", "D", "B", "linear",
    "beside", "X", "X_owner", "offsets", "Z", "base", "start", "owner", "y", "size", "lam", "by_lam", "T", "by_T", "R",
    "Y", "G", "r", "K", "h", "c", "noise", "by_c", "by_noise", "by_G", "by_r", "BL", "u", "b", "by_b", "eta", "value",
    "first",
)  # fmt: skip
(
    MODE, OUTER, INNER, MIXED, ROOT, CENTRE, SPREAD, FACTORS, A_, E_, D_, B_, LINEAR,
    BESIDE, X_, X_OWNER, OFFSETS, Z_, BASE, START, OWNER, Y_OBSERVED, SIZE, LAM, BY_LAM, T_, BY_T, R_,
    Y_, G_, R_PLUS, K_, H_, C_, NOISE, BY_C, BY_NOISE, BY_G, BY_R, BL_, U_, B_EFFECTS, BY_B, ETA, VALUE,
    FIRST,
) = range(len(SHARED), len(FIELDS))  # fmt: skip
I8, V = "int64[::1]", "float64[::1]"


# --- from noise to parameters --------------------------------------------------------------------------------------
@kernel(f"void({I8}, {V})", **INSIDE)
def scale(at, reals):
    """λ of every factor from z, its columns from the last effect to the first."""
    terms, factors, all_lam = place_table(at, TERMS), place_table(at, FACTORS), line(reals, at, LAM)
    for i in range(len(all_lam)):
        all_lam[i] = 0.0
    for t in range(len(terms)):
        k, first, wide, begin = terms[t, 1], terms[t, 4], factors[terms[t, 3], 1], factors[terms[t, 3], 6]
        lam, own = all_lam[begin : begin + wide * wide].reshape(wide, wide), np.empty((k, k))
        root(at, reals, t, own)
        for a in range(k):
            for b in range(k):
                lam[first + a, wide - 1 - first - b] = own[a, b]


@kernel(f"void({I8}, {V})", **INSIDE)
def scale_back(at, reals):
    """From derivatives by λ to those by z."""
    terms, factors, of_all = place_table(at, TERMS), place_table(at, FACTORS), line(reals, at, BY_LAM)
    for t in range(len(terms)):
        k, first, wide, begin = terms[t, 1], terms[t, 4], factors[terms[t, 3], 1], factors[terms[t, 3], 6]
        by_lam, own = of_all[begin : begin + wide * wide].reshape(wide, wide), np.empty((k, k))
        for a in range(k):
            for b in range(k):
                own[a, b] = by_lam[first + a, wide - 1 - first - b]
        root_back(at, reals, t, own)


@kernel(f"void({I8}, {V})", **INSIDE)
def tail(at, reals):
    """[C⁺ t], G⁺ and r⁺ for the λ of the factors beside the leading one (`core/joint_tail.py`)."""
    factors, beside = place_table(at, FACTORS), places(at, BESIDE)
    E, D, B, linear = stack(reals, at, E_), table(reals, at, D_), table(reals, at, B_), line(reals, at, LINEAR)
    G, r, BL, all_lam = table(reals, at, G_), line(reals, at, R_PLUS), table(reals, at, BL_), line(reals, at, LAM)
    L, k, q, p = E.shape[0], E.shape[1], E.shape[2], D.shape[1]
    T = line(reals, at, T_).reshape(L, k, p + q + 1)
    first = 0
    for j in beside:
        levels, wide, begin = factors[j, 0], factors[j, 1], factors[j, 6]
        lam = all_lam[begin : begin + wide * wide].reshape(wide, wide)
        for s in range(first, first + levels * wide, wide):
            for a in range(wide):
                r[p + s + a] = 0.0
                for b in range(wide):
                    r[p + s + a] += linear[s + b] * lam[b, a]
                for x in range(p):
                    v = 0.0
                    for b in range(wide):
                        v += D[s + b, x] * lam[b, a]
                    G[p + s + a, x] = v
                    G[x, p + s + a] = v
                for i in range(q):
                    v = 0.0
                    for b in range(wide):
                        v += B[i, s + b] * lam[b, a]
                    BL[i, s + a] = v
                for level in range(L):
                    for i in range(k):
                        v = 0.0
                        for b in range(wide):
                            v += E[level, i, s + b] * lam[b, a]
                        T[level, i, p + s + a] = v
        first += levels * wide
    first = 0
    for j in beside:
        levels, wide, begin = factors[j, 0], factors[j, 1], factors[j, 6]
        lam = all_lam[begin : begin + wide * wide].reshape(wide, wide)
        for s in range(first, first + levels * wide, wide):
            for a in range(wide):
                for i in range(q):
                    v = 1.0 if i == s + a else 0.0
                    for b in range(wide):
                        v += BL[s + b, i] * lam[b, a]
                    G[p + s + a, p + i] = v
        first += levels * wide


@kernel(f"void({I8}, {V})", **INSIDE)
def tail_back(at, reals):
    """∂/∂λ of the factors beside the leading one from ∂/∂[C⁺ t], ∂/∂G⁺ and ∂/∂r⁺."""
    factors, beside = place_table(at, FACTORS), places(at, BESIDE)
    E, D, BL, linear = stack(reals, at, E_), table(reals, at, D_), table(reals, at, BL_), line(reals, at, LINEAR)
    by_G, by_r, by_lam = table(reals, at, BY_G), line(reals, at, BY_R), line(reals, at, BY_LAM)
    L, k, q, p = E.shape[0], E.shape[1], E.shape[2], D.shape[1]
    by_T = line(reals, at, BY_T).reshape(L, k, p + q + 1)
    first = 0
    for j in beside:
        levels, wide, own = factors[j, 0], factors[j, 1], factors[j, 6]
        for s in range(first, first + levels * wide, wide):
            for a in range(wide):
                for m in range(wide):
                    one, two = s + a, p + s + m
                    v = linear[one] * by_r[two]
                    for i in range(q):
                        v += 2.0 * BL[one, i] * by_G[two, p + i]
                    for x in range(p):
                        v += 2.0 * D[one, x] * by_G[two, x]
                    for level in range(L):
                        for i in range(k):
                            v += E[level, i, one] * by_T[level, i, two]
                    by_lam[own + a * wide + m] += v
        first += levels * wide


@kernel(f"void({I8}, {V})", **INSIDE)
def effects_of(at, reals):
    """b = λu."""
    factors = place_table(at, FACTORS)
    lam, u, b = line(reals, at, LAM), line(reals, at, U_), line(reals, at, B_EFFECTS)
    for j in range(len(factors)):
        k, here, own = factors[j, 1], factors[j, 2], factors[j, 6]
        for _ in range(factors[j, 0]):
            for a in range(k):
                s = 0.0
                for m in range(k):
                    s += lam[own + a * k + m] * u[here + m]
                b[here + a] = s
            here += k


@kernel(f"float64({I8}, {V}, {V})", **INSIDE)
def place(at, reals, x):
    """z, λ, u and b of a point x (d,). Returns the log Jacobian."""
    counts, outer, inner, mixed = places(at, COUNTS), places(at, OUTER), places(at, INNER), places(at, MIXED)
    factors = place_table(at, FACTORS)
    z, u, mode, root = line(reals, at, POINT), line(reals, at, U_), line(reals, at, MODE), table(reals, at, ROOT)
    d, lead, with_tail = len(z), len(mixed), counts[2] == 1
    for i in range(len(outer)):
        s = mode[outer[i]]
        for j in range(i + 1):
            s += root[i, j] * x[outer[j]]
        z[outer[i]] = s
    scale(at, reals)
    noise, c = line(reals, at, NOISE), line(reals, at, C_)
    for j in range(lead):
        noise[j] = x[mixed[j]]
    if with_tail and len(places(at, BESIDE)) > 0:
        tail(at, reals)
    if not with_tail:
        centre, spread = line(reals, at, CENTRE), table(reals, at, SPREAD)
        for j in range(len(inner)):
            s = centre[j]
            for i in range(len(inner)):
                s += x[inner[i]] * spread[i, j]
            z[inner[j]] = s
    lam, A, T = line(reals, at, LAM), line(reals, at, A_), line(reals, at, T_)
    R, Y = line(reals, at, R_), line(reals, at, Y_)
    log_jacobian = 0.0
    for j in range(len(factors)):
        if factors[j, 3] == 0:
            continue
        L, k, here = factors[j, 0], factors[j, 1], factors[j, 2]
        to, side, own = factors[j, 4], factors[j, 5], factors[j, 6]
        end, square, wide = here + L * k, to + L * k * k, side + L * k * (lead + 1)
        log_jacobian += forth(
            lam[own : own + k * k].reshape(k, k), A[to:square].reshape(L, k, k), T[side:wide].reshape(L, k, lead + 1),
            table(reals, at, G_), line(reals, at, R_PLUS), noise, x[d + here : d + end].reshape(L, k),
            R[to:square].reshape(L, k, k), Y[side:wide].reshape(L, k, lead + 1), table(reals, at, K_),
            line(reals, at, H_), c, u[here:end].reshape(L, k),
        )  # fmt: skip
    for j in range(lead):
        if j < len(inner):
            z[inner[j]] = c[j]
        else:
            u[mixed[j] - d] = c[j]
    effects_of(at, reals)
    return log_jacobian


# --- densities -----------------------------------------------------------------------------------------------------
@kernel(f"float64({I8}, {V})", **INSIDE)
def rows(at, reals):
    """Σ ℓ; its derivatives by c are added to `by_z`, those by b are `by_b`."""
    here, start = places(at, COUNTS)[0], places(at, START)
    owners, owner = places(at, X_OWNER), places(at, OWNER)
    X, Z, base = table(reals, at, X_), table(reals, at, Z_), place_table(at, BASE)
    eta, first = table(reals, at, ETA), table(reals, at, FIRST)
    b, by_b = line(reals, at, B_EFFECTS), line(reals, at, BY_B)
    z, by_z, offsets = line(reals, at, POINT), line(reals, at, BY_Z), line(reals, at, OFFSETS)
    flat = eta.reshape(eta.size)
    for i in range(len(flat)):
        flat[i] = offsets[i]
    for j in range(len(owners)):
        add_column(X[j], z[here + j], eta, owners[j])
    for f in range(len(base)):
        for a in range(start[f], start[f + 1]):
            add_effects(Z[a], base[f], b[a - start[f] :], eta, owner[a])
    y, size, value = line(reals, at, Y_OBSERVED), line(reals, at, SIZE), line(reals, at, VALUE)
    total = log_likelihood(places(at, COUNTS)[1], y, size, eta, value, first)
    for j in range(len(by_b)):
        by_b[j] = 0.0
    for j in range(len(owners)):
        by_z[here + j] += sum_column(X[j], first, owners[j])
    for f in range(len(base)):
        for a in range(start[f], start[f + 1]):
            sum_effects(Z[a], base[f], first, owner[a], by_b[a - start[f] :])
    return total


# --- and back ------------------------------------------------------------------------------------------------------
@kernel(f"void({I8}, {V})", **INSIDE)
def beside_back(at, reals):
    """From derivatives by b to those by the effects beside the leading factor's, and by their λ directly: b = λu."""
    factors = place_table(at, FACTORS)
    lam, by_lam, u = line(reals, at, LAM), line(reals, at, BY_LAM), line(reals, at, U_)
    by_b, by_c = line(reals, at, BY_B), line(reals, at, BY_C)
    to = len(places(at, INNER))
    for j in places(at, BESIDE):
        k, here, own = factors[j, 1], factors[j, 2], factors[j, 6]
        for _ in range(factors[j, 0]):
            for a in range(k):
                s = -u[here + a]
                for m in range(k):
                    s += by_b[here + m] * lam[own + m * k + a]
                    by_lam[own + a * k + m] += by_b[here + a] * u[here + m]
                by_c[to + a] = s
            here += k
            to += k


@kernel(f"void({I8}, {V}, {V})", **INSIDE)
def pull(at, reals, slope):
    """From derivatives by z, b, u and the Jacobian to those by x."""
    outer, inner, mixed = places(at, OUTER), places(at, INNER), places(at, MIXED)
    factors, root, spread = place_table(at, FACTORS), table(reals, at, ROOT), table(reals, at, SPREAD)
    by_z, by_c, by_noise = line(reals, at, BY_Z), line(reals, at, BY_C), line(reals, at, BY_NOISE)
    lam, by_lam, by_b, u = line(reals, at, LAM), line(reals, at, BY_LAM), line(reals, at, BY_B), line(reals, at, U_)
    d, lead, moving = len(by_z), len(mixed), len(places(at, BESIDE)) > 0
    for i in range(len(by_lam)):
        by_lam[i] = 0.0
    if places(at, COUNTS)[2] == 1:
        for j in range(len(inner)):
            by_c[j] = by_z[inner[j]]
    else:
        for j in range(len(inner)):
            s = 0.0
            for i in range(len(inner)):
                s += by_z[inner[i]] * spread[j, i]
            slope[inner[j]] = s
    if moving:
        beside_back(at, reals)
    A, T, R, Y = line(reals, at, A_), line(reals, at, T_), line(reals, at, R_), line(reals, at, Y_)
    by_T = line(reals, at, BY_T)
    for j in range(len(factors)):
        if factors[j, 3] == 0:
            continue
        L, k, here = factors[j, 0], factors[j, 1], factors[j, 2]
        to, side, own = factors[j, 4], factors[j, 5], factors[j, 6]
        end, square, wide = here + L * k, to + L * k * k, side + L * k * (lead + 1)
        rest = L if moving else 0
        back(
            lam[own : own + k * k].reshape(k, k), A[to:square].reshape(L, k, k), T[side:wide].reshape(L, k, lead + 1),
            R[to:square].reshape(L, k, k), Y[side:wide].reshape(L, k, lead + 1), table(reals, at, K_),
            line(reals, at, H_), line(reals, at, C_), u[here:end].reshape(L, k), by_b[here:end].reshape(L, k), by_c,
            by_noise, slope[d + here : d + end].reshape(L, k), by_lam[own : own + k * k].reshape(k, k),
            by_T[: rest * k * (lead + 1)].reshape(rest, k, lead + 1), table(reals, at, BY_G), line(reals, at, BY_R),
        )  # fmt: skip
    for j in range(lead):
        slope[mixed[j]] = by_noise[j]
    if moving:
        tail_back(at, reals)
    scale_back(at, reals)
    for j in range(len(outer)):
        s = 0.0
        for i in range(j, len(outer)):
            s += by_z[outer[i]] * root[i, j]
        slope[outer[j]] = s


@kernel(f"float64({I8}, {V}, {V}, {V})")
def gradient(at, reals, x, slope):
    """log p(x | y) of a point (d,), up to a constant, and its derivatives; −∞ and zeros where the density fails."""
    log_jacobian = place(at, reals, x)
    u, by_z = line(reals, at, U_), line(reals, at, BY_Z)
    for j in range(len(by_z)):
        by_z[j] = 0.0
    value = line(reals, at, CONSTANT)[0] + log_jacobian + rows(at, reals) + prior(at, reals)
    for j in range(len(u)):
        value -= 0.5 * u[j] * u[j]
    pull(at, reals, slope)
    good = np.isfinite(value)
    for j in range(len(slope)):
        good = good and np.isfinite(slope[j])
    if good:
        return value
    for j in range(len(slope)):
        slope[j] = 0.0
    return -np.inf
