"""The log posterior of a linear model with its group effects integrated out, at one point, from end to end: kernels.

The likelihood of `collapsed.py` at one point of the coordinates, with the priors of `prior_fields.py`, for at most one
grouping factor: `core/given_coefficients.py` and `core/without_coefficients.py` are the plain version, and the test.
Further fields:

    counts : further, place of log σ (−1: known), and whether coefficients are coordinates
    unit : (1,), the response's scale;  degrees : (1,), n, or n − p;  gram, cross, xy : cross-products
    shift, map : (p,), (p, ·), inner coefficients = map c + shift
    rows, spreads, scales : normal priors of coefficients that were integrated out, and place of a spread's factor
    lam, by_lam : (1, k, k);  weights, by_inside, found, q, h, s2 : as in `collapsed.py`, of one point
"""

from __future__ import annotations

import numpy as np

from .collapsed import slopes, slopes_given
from .compiled import kernel
from .packed import INSIDE, line, place_table, places, stack, table
from .prior_fields import BY_Z, CONSTANT, COUNTS, POINT, SHARED, TERMS, prior, root, root_back

FIELDS = (
    *SHARED, "unit", "degrees", "gram", "cross", "xy", "shift", "map", "rows", "spreads", "scales", "lam", "by_lam",
    "weights", "by_inside", "found", "q", "h", "s2",
)  # fmt: skip
(
    UNIT, DEGREES, GRAM, CROSS, XY, SHIFT, MAP, ROWS, SPREADS, SCALES, LAM, BY_LAM,
    WEIGHTS, BY_INSIDE, FOUND, Q_, H_, S2,
) = range(len(SHARED), len(FIELDS))  # fmt: skip
I8, V = "int64[::1]", "float64[::1]"


@kernel(f"void({I8}, {V}, float64)", **INSIDE)
def scale(at, reals, sigma):
    """λ of the factor from z and σ."""
    terms, lam = place_table(at, TERMS), stack(reals, at, LAM)[0]
    for t in range(len(terms)):
        k, first = terms[t, 1], terms[t, 4]
        own = np.empty((k, k))
        root(at, reals, t, own)
        for a in range(k):
            for b in range(k):
                lam[first + a, first + b] = own[a, b] / sigma


@kernel(f"float64({I8}, {V}, float64)", **INSIDE)
def scale_back(at, reals, sigma):
    """From derivatives by λ to those by z; those by log σ are returned."""
    terms, lam, by_lam = place_table(at, TERMS), stack(reals, at, LAM)[0], stack(reals, at, BY_LAM)[0]
    through = 0.0
    for t in range(len(terms)):
        k, first = terms[t, 1], terms[t, 4]
        own = np.empty((k, k))
        for a in range(k):
            for b in range(k):
                through -= lam[first + a, first + b] * by_lam[first + a, first + b]
                own[a, b] = by_lam[first + a, first + b] / sigma
        root_back(at, reals, t, own)
    return through


@kernel(f"UniTuple(float64, 2)({I8}, {V}, float64)", **INSIDE)
def given(at, reals, s2):
    """log p(y | z) without constants, c among the coordinates; the derivative by log σ with λ held."""
    z, by_z, begin = line(reals, at, POINT), line(reals, at, BY_Z), places(at, COUNTS)[0]
    weights, shift, to_inside = table(reals, at, WEIGHTS), line(reals, at, SHIFT), table(reals, at, MAP)
    found, by_inside, degrees = table(reals, at, FOUND), table(reals, at, BY_INSIDE), line(reals, at, DEGREES)[0]
    p, wide = to_inside.shape
    for j in range(p):
        s = shift[j]
        for m in range(wide):
            s += to_inside[j, m] * z[begin + m]
        weights[0, j] = -s
    weights[0, p] = 1.0
    gram, cross, xy = stack(reals, at, GRAM), stack(reals, at, CROSS), table(reals, at, XY)
    lam, by_lam = stack(reals, at, LAM), stack(reals, at, BY_LAM)
    slopes_given(gram, cross, xy, weights, lam, line(reals, at, S2), found, by_lam, by_inside)
    for m in range(wide):
        for j in range(p):
            by_z[begin + m] += by_inside[0, j] * to_inside[j, m] / s2
    r2 = found[0, 1] if found[0, 1] >= 0.0 else np.nan
    return -0.5 * (found[0, 0] + degrees * np.log(2.0 * np.pi * s2) + r2 / s2), r2 / s2 - degrees


@kernel(f"UniTuple(float64, 2)({I8}, {V}, float64)", **INSIDE)
def without(at, reals, s2):
    """The same with coefficients integrated out."""
    z, by_z, scales = line(reals, at, POINT), line(reals, at, BY_Z), places(at, SCALES)
    spreads, found, q, h = line(reals, at, SPREADS), table(reals, at, FOUND), table(reals, at, Q_), table(reals, at, H_)
    degrees, logs = line(reals, at, DEGREES)[0], 0.0
    for j in range(len(spreads)):
        spread = spreads[j] * (np.exp(z[scales[j]]) if scales[j] >= 0 else 1.0)
        q[0, j] = s2 / (spread * spread)
        logs += np.log(2.0 * np.pi * spread * spread)
    gram, cross = stack(reals, at, GRAM), stack(reals, at, CROSS)
    xy, rows = table(reals, at, XY), table(reals, at, ROWS)
    lam, by_lam = stack(reals, at, LAM), stack(reals, at, BY_LAM)
    slopes(gram, cross, xy, rows, q, lam, line(reals, at, S2), found, by_lam, h)
    r2 = found[0, 2] if found[0, 2] >= 0.0 else np.nan
    of_sigma = r2 / s2 - degrees
    for j in range(len(spreads)):
        of_sigma -= h[0, j]
        if scales[j] >= 0:
            by_z[scales[j]] += h[0, j] - 1.0
    value = found[0, 0] + found[0, 1] + degrees * np.log(2.0 * np.pi * s2) + r2 / s2 + logs
    return -0.5 * value, of_sigma


@kernel(f"float64({I8}, {V}, {V}, {V})")
def gradient(at, reals, x, slope):
    """log p(z | y) of a point (d,), up to a constant, and its derivatives; −∞ and zeros where the density fails."""
    counts, z, by_z, s2 = places(at, COUNTS), line(reals, at, POINT), line(reals, at, BY_Z), line(reals, at, S2)
    for j in range(len(z)):
        z[j], by_z[j] = x[j], 0.0
    sigma = np.exp(z[counts[1]]) if counts[1] >= 0 else 1.0
    s2[0] = (sigma / line(reals, at, UNIT)[0]) ** 2
    scale(at, reals, sigma)
    value, of_sigma = given(at, reals, s2[0]) if counts[2] == 1 else without(at, reals, s2[0])
    through = scale_back(at, reals, sigma)
    if counts[1] >= 0:
        by_z[counts[1]] += of_sigma + through
    value += line(reals, at, CONSTANT)[0] + prior(at, reals)
    good = np.isfinite(value)
    for j in range(len(z)):
        slope[j] = by_z[j]
        good = good and np.isfinite(by_z[j])
    if good:
        return value
    for j in range(len(z)):
        slope[j] = 0.0
    return -np.inf
