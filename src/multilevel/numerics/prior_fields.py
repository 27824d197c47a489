"""The priors of a model at one point of its coordinates, from fields that compiled densities share: kernels.

    counts : first coefficient in z;  constant : (1,), added to the density
    terms : kind (0 standard deviations alone, 1 with correlations), k, place in z, factor, first column, place of its
        map to the core's units in `maps`, of its LKJ powers in `powers`;  maps, powers : of all terms, one by one
    items : of each prior: link (−1: of a combination of coefficients), place in z or `directions`, density, place of
        the scale that divides the argument (−1: none);  parameters : of each: three of its own, lower and upper limit
    directions : combinations of coefficients;  z, by_z : the point, and derivatives by it

`core/coordinates.py` has the same for many points, and is the test.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel
from .densities import density, lkj, natural, vine, vine_back
from .packed import INSIDE, line, place_table, places, table

SHARED = ("counts", "constant", "terms", "maps", "powers", "items", "parameters", "directions", "z", "by_z")
COUNTS, CONSTANT, TERMS, MAPS, POWERS, ITEMS, PARAMETERS, DIRECTIONS, POINT, BY_Z = range(len(SHARED))
I8, V = "int64[::1]", "float64[::1]"


@kernel(f"float64({I8}, {V})", **INSIDE)
def prior(at, reals):
    """log p(z) without its constants, its gradient added to `by_z`."""
    items, terms, here = place_table(at, ITEMS), place_table(at, TERMS), places(at, COUNTS)[0]
    z, by_z, powers = line(reals, at, POINT), line(reals, at, BY_Z), line(reals, at, POWERS)
    parameters, directions = table(reals, at, PARAMETERS), table(reals, at, DIRECTIONS)
    total = 0.0
    for i in range(len(items)):
        link, j, divide, three = items[i, 0], items[i, 1], items[i, 3], parameters[i]
        x, bend, log_bend, more = 0.0, 1.0, 0.0, 0.0
        if link >= 0:
            x, bend, log_bend, more = natural(link, z[j])
        else:
            for m in range(directions.shape[1]):
                x += directions[j, m] * z[here + m]
        if divide >= 0:
            bend, log_bend = np.exp(-z[divide]), -z[divide]
            x *= bend
        value, slope = density(items[i, 2], three[0], three[1], three[2], x)
        if not three[3] <= x <= three[4]:
            value = -np.inf
        total += value + log_bend
        if divide >= 0:
            by_z[divide] -= 1.0 + slope * x
        if link >= 0:
            by_z[j] += slope * bend + more
        else:
            for m in range(directions.shape[1]):
                by_z[here + m] += slope * bend * directions[j, m]
    for t in range(len(terms)):
        if terms[t, 0] == 1:
            k, own = terms[t, 1], terms[t, 6]
            begin, end = terms[t, 2] + k, terms[t, 2] + k + k * (k - 1) // 2
            total += lkj(z[begin:end], powers[own : own + end - begin], by_z[begin:end])
    return total


@kernel(f"UniTuple(int64, 4)({I8}, int64)", **INSIDE)
def term_at(at, t):
    """Kind, k, place in z and place of the map of a term."""
    terms = place_table(at, TERMS)
    return terms[t, 0], terms[t, 1], terms[t, 2], terms[t, 5]


@kernel(f"void({I8}, {V}, int64, float64[:, ::1])", **INSIDE)
def root(at, reals, t, out):
    """Map · L of a term, the root of its covariance in the core's units (k, k)."""
    kind, k, here, own = term_at(at, t)
    z, inside, L = line(reals, at, POINT), line(reals, at, MAPS)[own : own + k * k].reshape(k, k), np.zeros((k, k))
    if kind == 0:
        for a in range(k):
            L[a, a] = np.exp(z[here + a])
    else:
        vine(z[here:], k, L)
    for a in range(k):
        for b in range(k):
            s = 0.0
            for m in range(b, k):
                s += inside[a, m] * L[m, b]
            out[a, b] = s


@kernel(f"void({I8}, {V}, int64, float64[:, ::1])", **INSIDE)
def root_back(at, reals, t, by_root):
    """From derivatives by that root to those by z."""
    kind, k, here, own = term_at(at, t)
    z, by_z = line(reals, at, POINT), line(reals, at, BY_Z)
    inside = line(reals, at, MAPS)[own : own + k * k].reshape(k, k)
    L, by_L = np.zeros((k, k)), np.zeros((k, k))
    for a in range(k):
        for b in range(a + 1):
            for m in range(k):
                by_L[a, b] += inside[m, a] * by_root[m, b]
    if kind == 0:
        for a in range(k):
            by_z[here + a] += by_L[a, a] * np.exp(z[here + a])
    else:
        vine(z[here:], k, L)
        vine_back(z[here:], k, L, by_L, by_z[here:])
