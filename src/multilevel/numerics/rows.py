"""Log densities of rows and their derivatives in one pass, for the families that large data sets have: kernels.

    logit    y log p + (n - y) log(1 - p) + log(n over y),   p = 1/(1 + e⁻ᵑ)
    log      y η - eᵑ - log y!

With small counts these sums are exact enough; larger ones go through the distance from the mode and Stirling's series,
since the sums would cancel. Derivatives have the signs of `families.base.Derivatives`: the second to fourth are
negative ones. Arrays beyond the order asked are empty. The oracle is the family's density in jets.
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import kernel

TABLE = 171  # log k! of k below this stands in a table
LOG_FACTORIAL = np.cumsum(np.log(np.maximum(np.arange(float(TABLE)), 1.0)))
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@kernel("float64(float64)")
def stirling(x):
    """log x! - (x + ½) log x + x - ½ log 2π, for x > 0."""
    if x < 16.0:
        return math.lgamma(x + 1.0) - (x + 0.5) * math.log(x) + x - HALF_LOG_2PI
    r = 1.0 / x
    s = r * r
    return r * (1 / 12 - s * (1 / 360 - s * (1 / 1260 - s * (1 / 1680 - s / 1188))))


@kernel("float64(float64, float64, float64, float64, float64)")
def log_binomial(y, n, eta, softplus, softminus):
    """log p(y); softplus is log(1 + eᵑ) and softminus log(1 + e⁻ᵑ)."""
    if n < TABLE and y == math.floor(y) and n == math.floor(n):
        choose = LOG_FACTORIAL[int(n)] - LOG_FACTORIAL[int(y)] - LOG_FACTORIAL[int(n - y)]
        return choose - y * softminus - (n - y) * softplus
    if y == 0.0 or y == n:
        return -y * softminus - (n - y) * softplus
    p = y / n
    delta = eta - math.log(y / (n - y))
    # n [log(1 - p + p e^δ) - p δ], from the side that cannot overflow
    if delta < 0.0:
        distance = n * (math.log1p(p * math.expm1(delta)) - p * delta)
    else:
        distance = n * (math.log1p((n - y) / n * math.expm1(-delta)) + (n - y) / n * delta)
    constant = 0.5 * math.log(n / (y * (n - y))) - HALF_LOG_2PI + stirling(n) - stirling(y) - stirling(n - y)
    return constant - distance


@kernel("void(float64[::1], float64[::1], float64[::1], int64, float64[:, ::1])")
def logit_rows(y, n, eta, order, out):
    """Successes y of n trials with logit η: row k of `out` is the k-th derivative."""
    for i in range(y.shape[0]):
        e = math.exp(-abs(eta[i]))
        near, far = 1.0 / (1.0 + e), e / (1.0 + e)
        p, q = (near, far) if eta[i] >= 0.0 else (far, near)
        rest = math.log1p(e)
        softplus, softminus = rest + max(eta[i], 0.0), rest + max(-eta[i], 0.0)
        if n[i] == 1.0:
            out[0, i] = -softminus if y[i] == 1.0 else -softplus
        else:
            out[0, i] = log_binomial(y[i], n[i], eta[i], softplus, softminus)
        if order > 0:
            out[1, i] = y[i] * q - (n[i] - y[i]) * p
        v = p * q
        if order > 1:
            out[2, i] = n[i] * v
        if order > 2:
            out[3, i] = n[i] * v * (q - p)
        if order > 3:
            out[4, i] = n[i] * v * (1.0 - 6.0 * v)


@kernel("void(float64[::1], float64[::1], int64, float64[:, ::1])")
def log_rows(y, eta, order, out):
    """Counts y with log mean η: row k of `out` is the k-th derivative."""
    for i in range(y.shape[0]):
        mu = math.exp(eta[i])
        if y[i] < TABLE and y[i] == math.floor(y[i]):
            out[0, i] = y[i] * eta[i] - mu - LOG_FACTORIAL[int(y[i])]
        else:
            log_y = math.log(y[i])
            delta = eta[i] - log_y
            out[0, i] = -y[i] * (math.expm1(delta) - delta) - 0.5 * log_y - HALF_LOG_2PI - stirling(y[i])
        if order > 0:
            out[1, i] = y[i] - mu
        for k in range(2, order + 1):
            out[k, i] = mu
