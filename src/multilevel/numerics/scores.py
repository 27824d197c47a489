"""Log densities and first derivatives of rows with several linear predictors: kernels for samplers.

They evaluate the same rows tens of thousands of times and need no second derivative. The families' own densities
(`families/`), in jets, are the plain version, and the test.
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import kernel

# (family, links) → code; others are evaluated by the family itself
CODES = {
    ("student", ("identity", "log", "logm1")): 0,
    ("negative_binomial", ("log", "log")): 1,
    ("cumulative", ("logit", "identity")): 2,
    ("zero_inflated_poisson", ("log", "logit")): 3,
    ("gaussian", ("identity", "log")): 4,
}
M2, V = "float64[:, ::1]", "float64[::1]"
FEW = 30.0  # counts up to which ratios of gamma functions are products


@kernel("float64(float64)")
def digamma(x):
    """ψ(x) for x > 0: upwards to 8, then its asymptotic series."""
    s = 0.0
    while x < 8.0:
        s -= 1.0 / x
        x += 1.0
    t = 1.0 / (x * x)
    tail = 1.0 / 252.0 - t * (1.0 / 240.0 - t * (1.0 / 132.0 - t * 691.0 / 32760.0))
    tail = 1.0 / 12.0 - t * (1.0 / 120.0 - t * tail)
    return s + np.log(x) - 0.5 / x - t * tail


@kernel("float64(float64)")
def log_expit(x):
    """log 1/(1 + e⁻ˣ)."""
    return -np.log1p(np.exp(-x)) if x > 0.0 else x - np.log1p(np.exp(x))


@kernel(f"void(int64, {V}, {V}, {M2}, {V}, {M2})")
def scores(code, y, weight, eta, value, first):
    """ℓ (n,) and ∂ℓ/∂η (n, m), both times the rows' weights."""
    n, m = eta.shape
    last, of_last, by_last = np.nan, 0.0, 0.0  # what depends on a dispersion alone: the same in row after row
    for i in range(n):
        a = eta[i, 0]
        if code == 0:
            nu = 1.0 + np.exp(eta[i, 2])
            if nu != last:
                last = nu
                of_last = math.lgamma(0.5 * nu + 0.5) - math.lgamma(0.5 * nu) - 0.5 * np.log(nu * math.pi)
                by_last = 0.5 * (digamma(0.5 * nu + 0.5) - digamma(0.5 * nu) - 1.0 / nu)
            scale = np.exp(-eta[i, 1])
            r = (y[i] - a) * scale
            tail, pull = np.log1p(r * r / nu), (nu + 1.0) / (nu + r * r)
            value[i] = of_last - eta[i, 1] - 0.5 * (nu + 1.0) * tail
            first[i, 0], first[i, 1] = pull * r * scale, pull * r * r - 1.0
            first[i, 2] = (nu - 1.0) * (by_last - 0.5 * tail + 0.5 * pull * r * r / nu)
        elif code == 1:
            s, mu = np.exp(eta[i, 1]), np.exp(a)
            ratio, slope = 0.0, 0.0  # Γ(y + s)/(Γ(s) y!), and its derivative by s
            if y[i] <= FEW:
                for j in range(int(y[i])):
                    ratio += np.log((s + j) / (j + 1.0))
                    slope += 1.0 / (s + j)
            else:
                ratio = math.lgamma(y[i] + s) - math.lgamma(s) - math.lgamma(y[i] + 1.0)
                slope = digamma(y[i] + s) - digamma(s)
            away = np.log1p(mu / s)  # log (s + μ)/s
            value[i] = ratio - s * away + (y[i] * (a - eta[i, 1] - away) if y[i] > 0.0 else 0.0)
            first[i, 0] = y[i] - (y[i] + s) * mu / (s + mu)
            first[i, 1] = s * (slope - away + (mu - y[i]) / (s + mu))
        elif code == 2:
            k = int(y[i])
            for j in range(m):
                first[i, j] = 0.0
            v, by_upper, by_lower, between = 0.0, 0.0, 0.0, 0.0
            if 0 < k < m - 1:
                e = np.exp(eta[i, k] - eta[i, k + 1])
                v = np.log1p(-e) if e < 1.0 else -np.inf
                between = e / (1.0 - e)
            if k < m - 1:
                u = eta[i, k + 1] - a
                v += log_expit(u)
                by_upper = 1.0 / (1.0 + np.exp(u)) + between
                first[i, k + 1] = by_upper
            if k > 0:
                u = eta[i, k] - a
                v += log_expit(-u)
                by_lower = -1.0 / (1.0 + np.exp(-u)) - between
                first[i, k] = by_lower
            value[i], first[i, 0] = v, -by_upper - by_lower
        elif code == 3:
            mu, z = np.exp(a), eta[i, 1]
            extra = 1.0 / (1.0 + np.exp(-z))
            if y[i] == 0.0:
                w = 1.0 / (1.0 + np.exp(-z - mu))
                value[i] = log_expit(-z) - mu - log_expit(-z - mu)
                first[i, 0], first[i, 1] = -(1.0 - w) * mu, w - extra
            else:
                value[i] = log_expit(-z) + y[i] * a - mu - math.lgamma(y[i] + 1.0)
                first[i, 0], first[i, 1] = y[i] - mu, -extra
        else:
            scale = np.exp(-eta[i, 1])
            r = (y[i] - a) * scale
            value[i] = -0.5 * math.log(2.0 * math.pi) - eta[i, 1] - 0.5 * r * r
            first[i, 0], first[i, 1] = r * scale, r * r - 1.0
        value[i] *= weight[i]
        for j in range(m):
            first[i, j] *= weight[i]
