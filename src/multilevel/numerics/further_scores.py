"""Log densities and first derivatives of rows of further families, as `scores.py` has them for the first: kernels."""

from __future__ import annotations

import math

import numpy as np

from .compiled import kernel
from .packed import INSIDE
from .special import FEW, digamma, log_expit

# (family, links) → code
CODES = {
    ("gamma", ("log", "log")): 10,
    ("lognormal", ("identity", "log")): 11,
    ("inverse_gaussian", ("log", "log")): 12,
    ("beta", ("logit", "log")): 13,
    ("hurdle_poisson", ("log", "logit")): 14,
    ("zero_inflated_negative_binomial", ("log", "log", "logit")): 15,
}
M2, V = "float64[:, ::1]", "float64[::1]"
HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@kernel("UniTuple(float64, 2)(float64)", **INSIDE)
def stirling(a):
    """log Γ(a) − (a − ½) log a + a − ½ log 2π, and its derivative."""
    if a < 10.0:
        return math.lgamma(a) - (a - 0.5) * np.log(a) + a - HALF_LOG_2PI, digamma(a) - np.log(a) + 0.5 / a
    t = 1.0 / (a * a)
    value = (1.0 / 12.0 - t * (1.0 / 360.0 - t * (1.0 / 1260.0 - t * (1.0 / 1680.0 - t / 1188.0)))) / a
    return value, -t * (1.0 / 12.0 - t * (1.0 / 120.0 - t * (1.0 / 252.0 - t * (1.0 / 240.0 - t / 132.0))))


@kernel("UniTuple(float64, 2)(float64, float64)", **INSIDE)
def rising(y, s):
    """log Γ(y + s)/(Γ(s) y!), and its derivative by s."""
    if y > FEW:
        return math.lgamma(y + s) - math.lgamma(s) - math.lgamma(y + 1.0), digamma(y + s) - digamma(s)
    value, slope = 0.0, 0.0
    for j in range(int(y)):
        value += np.log((s + j) / (j + 1.0))
        slope += 1.0 / (s + j)
    return value, slope


@kernel(f"void(int64, {V}, {V}, {M2}, {V}, {M2})", **INSIDE)
def further_scores(code, y, weight, eta, value, first):
    """ℓ (n,) and ∂ℓ/∂η (n, m), both times the rows' weights."""
    n, m = eta.shape
    last, of_last, by_last = np.nan, 0.0, 0.0  # what depends on a dispersion alone: the same in row after row
    for i in range(n):
        a, log_s = eta[i, 0], eta[i, 1]
        if code == 10:
            s, log_y = np.exp(log_s), np.log(y[i])
            if log_s != last:
                last = log_s
                of_last, by_last = stirling(s)
            away = np.expm1(log_y - a)
            value[i] = 0.5 * log_s - s * (away - (log_y - a)) - log_y - HALF_LOG_2PI - of_last
            first[i, 0], first[i, 1] = s * away, 0.5 - s * (away - (log_y - a)) - s * by_last
        elif code == 11:
            scale, log_y = np.exp(-log_s), np.log(y[i])
            r = (log_y - a) * scale
            value[i] = -HALF_LOG_2PI - log_s - 0.5 * r * r - log_y
            first[i, 0], first[i, 1] = r * scale, r * r - 1.0
        elif code == 12:
            log_y = np.log(y[i])
            away, s = np.expm1(log_y - a), np.exp(log_s)
            value[i] = 0.5 * (log_s - 3.0 * log_y) - HALF_LOG_2PI - 0.5 * s / y[i] * away * away
            first[i, 0], first[i, 1] = s * away * np.exp(-a), 0.5 - 0.5 * s / y[i] * away * away
        elif code == 13:
            phi = np.exp(log_s)
            if log_s != last:
                last = log_s
                of_last, by_last = math.lgamma(phi), digamma(phi)
            p = np.exp(log_expit(a))
            q = np.exp(log_expit(-a))
            one, two, log_y, log_rest = p * phi, q * phi, np.log(y[i]), np.log1p(-y[i])
            value[i] = of_last - math.lgamma(one) - math.lgamma(two) + (one - 1.0) * log_y + (two - 1.0) * log_rest
            by_one, by_two = log_y - digamma(one), log_rest - digamma(two)
            first[i, 0] = phi * p * q * (by_one - by_two)
            first[i, 1] = phi * by_last + one * by_one + two * by_two
        elif code == 14:
            extra = np.exp(log_expit(log_s))
            if y[i] == 0.0:
                value[i], first[i, 0], first[i, 1] = log_expit(log_s), 0.0, 1.0 - extra
            else:
                mu = np.exp(a)
                some = -np.expm1(-mu)  # probability of a count above zero
                value[i] = log_expit(-log_s) + y[i] * a - mu - math.lgamma(y[i] + 1.0) - np.log(some)
                first[i, 0], first[i, 1] = y[i] - mu / some, -extra
        else:
            s, mu, z = np.exp(log_s), np.exp(a), eta[i, 2]
            away, extra = np.log1p(mu / s), np.exp(log_expit(z))  # log (s + μ)/s
            if y[i] == 0.0:
                high, low = max(z, -s * away), min(z, -s * away)
                w = np.exp(log_expit(z + s * away))  # that a zero is an extra one
                value[i] = log_expit(-z) + high + np.log1p(np.exp(low - high))
                first[i, 0], first[i, 1] = -(1.0 - w) * s * mu / (s + mu), (1.0 - w) * s * (mu / (s + mu) - away)
                first[i, 2] = w - extra
            else:
                ratio, slope = rising(y[i], s)
                value[i] = log_expit(-z) + ratio - s * away + y[i] * (a - log_s - away)
                first[i, 0] = y[i] - (y[i] + s) * mu / (s + mu)
                first[i, 1] = s * (slope - away + (mu - y[i]) / (s + mu))
                first[i, 2] = -extra
        value[i] *= weight[i]
        for j in range(m):
            first[i, j] *= weight[i]
