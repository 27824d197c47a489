"""Pólya–Gamma random numbers: kernels.

    PG(b, c)  =  (1 / 2π²) Σ_{k≥1} g_k / ((k − ½)² + c² / 4π²),     g_k ~ Gamma(b, 1)

Whole b up to `WHOLE`: sums of PG(1, c) by the alternating-series rejection sampler, exact. Any other b: the first
`TERMS` gammas, and for all the others one gamma with their mean and variance. The first two cumulants are exact then,
and the third is within 1e-8 of its size for |c| ≤ 2 and 2e-6 at |c| = 10 (`tests/samplers/test_polya_gamma.py` computes
it).

References: Polson, Scott & Windle (2013), JASA 108, sections 2.1 and 4; Devroye (2009), Statistics & Probability
Letters 79.
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import kernel

WHOLE = 8.0
TERMS = 16
CUT = 0.64  # where the two series of the density take turns
FAR = 20.0  # half |c| beyond which the exponential part of the proposal has no mass that a double could hold


def _normal_below(x):  # type: ignore[no-untyped-def]
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def _below_cut(rng, z):  # type: ignore[no-untyped-def]
    """An inverse Gaussian number of mean 1/z and shape 1, given that it is below the cut."""
    if z * CUT < 1.0:
        while True:
            e = rng.standard_exponential()
            while e * e > 2.0 * rng.standard_exponential() / CUT:
                e = rng.standard_exponential()
            x = CUT / (1.0 + CUT * e) ** 2
            if rng.random() <= math.exp(-0.5 * z * z * x):
                return x
    mu = 1.0 / z
    while True:
        y = mu * rng.standard_normal() ** 2
        x = mu * (1.0 + 0.5 * y - 0.5 * math.sqrt(4.0 * y + y * y))
        if rng.random() > mu / (mu + x):
            x = mu * mu / x
        if x <= CUT:
            return x


def _coefficient(k, x):  # type: ignore[no-untyped-def]
    """Term k of the alternating series of the density at x."""
    a = k + 0.5
    if x > CUT:
        return math.pi * a * math.exp(-0.5 * a * a * math.pi * math.pi * x)
    return math.pi * a * (2.0 / (math.pi * x)) ** 1.5 * math.exp(-2.0 * a * a / x)


def _single(rng, c):  # type: ignore[no-untyped-def]
    """One PG(1, c) number."""
    z = 0.5 * abs(c)
    rate = 0.125 * math.pi * math.pi + 0.5 * z * z
    share = 0.0
    if z < FAR:
        root = math.sqrt(CUT)
        above = math.pi / (2.0 * rate) * math.exp(-rate * CUT)
        below = 2.0 * math.exp(-z) * _normal_below((CUT * z - 1.0) / root)
        below += 2.0 * math.exp(z) * _normal_below(-(CUT * z + 1.0) / root)
        share = above / (above + below)
    while True:
        x = CUT + rng.standard_exponential() / rate if rng.random() < share else _below_cut(rng, z)
        s = _coefficient(0, x)
        y = rng.random() * s
        k = 0
        while True:
            k += 1
            if k % 2 == 1:
                s -= _coefficient(k, x)
                if y <= s:
                    return 0.25 * x
            else:
                s += _coefficient(k, x)
                if y > s:
                    break


def moments(b, c):  # type: ignore[no-untyped-def]
    """Mean and variance of PG(b, c)."""
    c = abs(c)
    if c < 0.02:
        return b * (0.25 - c * c / 48.0), b / 24.0 * (1.0 - c * c / 5.0)
    t = math.tanh(0.5 * c)
    small = math.exp(-c)
    # (sinh c − c) / cosh²(c/2) without overflow
    ratio = 2.0 * (1.0 - small * small - 2.0 * c * small) / (1.0 + small) ** 2
    return 0.5 * b * t / c, 0.25 * b * ratio / c**3


def _series(rng, b, c):  # type: ignore[no-untyped-def]
    """One PG(b, c) number for any b > 0: gammas, and one more for what they leave."""
    a2 = (c / (2.0 * math.pi)) ** 2
    total = 0.0
    mean, variance = moments(b, c)
    for k in range(1, TERMS + 1):
        w = 0.5 / (math.pi * math.pi * ((k - 0.5) ** 2 + a2))
        total += w * rng.standard_gamma(b)
        mean -= b * w
        variance -= b * w * w
    if mean > 0.0 and variance > 0.0:
        total += variance / mean * rng.standard_gamma(mean * mean / variance)
    return total


_normal_below = kernel("float64(float64)")(_normal_below)
_below_cut = kernel("float64(npy_rng, float64)")(_below_cut)
_coefficient = kernel("float64(int64, float64)")(_coefficient)
_single = kernel("float64(npy_rng, float64)")(_single)
moments = kernel("UniTuple(float64, 2)(float64, float64)")(moments)
_series = kernel("float64(npy_rng, float64, float64)")(_series)


@kernel("void(npy_rng, float64[::1], float64[::1], float64[::1])")
def polya_gamma(rng, b, c, out):
    """PG(b_i, c_i) into `out`."""
    for i in range(len(out)):
        if b[i] <= WHOLE and b[i] == np.floor(b[i]):
            s = 0.0
            for _ in range(int(b[i])):
                s += _single(rng, c[i])
            out[i] = s
        else:
            out[i] = _series(rng, b[i], c[i])
