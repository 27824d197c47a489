"""Log densities and first derivatives of rows with several linear predictors: kernels for samplers.

They evaluate the same rows tens of thousands of times and need no second derivative. The families' own densities
(`families/`), in jets, are the plain version, and the test.
"""

from __future__ import annotations

import math

import numpy as np

from .compiled import kernel
from .further_scores import further_scores
from .packed import INSIDE
from .special import FEW, digamma, log_expit
from .vectors import exp, log

# (family, links) → code; others are evaluated by the family itself
CODES = {
    ("student", ("identity", "log", "logm1")): 0,
    ("negative_binomial", ("log", "log")): 1,
    ("cumulative", ("logit", "identity")): 2,
    ("zero_inflated_poisson", ("log", "logit")): 3,
    ("gaussian", ("identity", "log")): 4,
}
M2, V = "float64[:, ::1]", "float64[::1]"


@kernel(f"void(int64, {V}, {V}, {M2}, {V}, {M2})")
def scores(code, y, weight, eta, value, first):
    """ℓ (n,) and ∂ℓ/∂η (n, m), both times the rows' weights."""
    n, m = eta.shape
    last, of_last, by_last = np.nan, 0.0, 0.0  # what depends on a dispersion alone: the same in row after row
    narrow, nu, scale = np.nan, 1.0, 1.0
    known, ratios, slopes = 0, np.zeros(int(FEW) + 1), np.zeros(int(FEW) + 1)
    for i in range(n):
        a = eta[i, 0]
        if code == 0:
            if eta[i, 2] != last:
                last, nu = eta[i, 2], 1.0 + np.exp(eta[i, 2])
                of_last = math.lgamma(0.5 * nu + 0.5) - math.lgamma(0.5 * nu) - 0.5 * np.log(nu * math.pi)
                by_last = 0.5 * (digamma(0.5 * nu + 0.5) - digamma(0.5 * nu) - 1.0 / nu)
            if eta[i, 1] != narrow:
                narrow, scale = eta[i, 1], np.exp(-eta[i, 1])
            r = (y[i] - a) * scale
            tail, pull = np.log1p(r * r / nu), (nu + 1.0) / (nu + r * r)
            value[i] = of_last - eta[i, 1] - 0.5 * (nu + 1.0) * tail
            first[i, 0], first[i, 1] = pull * r * scale, pull * r * r - 1.0
            first[i, 2] = (nu - 1.0) * (by_last - 0.5 * tail + 0.5 * pull * r * r / nu)
        elif code == 1:
            if eta[i, 1] != last:
                last, known = eta[i, 1], 0
                of_last = exp(last)
            s, mu = of_last, exp(a)
            ratio, slope = 0.0, 0.0  # log Γ(y + s)/(Γ(s) y!), and its derivative by s
            if y[i] <= FEW:
                while known < y[i]:
                    ratios[known + 1] = ratios[known] + log((s + known) / (known + 1.0))
                    slopes[known + 1] = slopes[known] + 1.0 / (s + known)
                    known += 1
                ratio, slope = ratios[int(y[i])], slopes[int(y[i])]
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
                apart = eta[i, k] - eta[i, k + 1]
                if apart != last:
                    last, e = apart, np.exp(apart)
                    of_last = np.log1p(-e) if e < 1.0 else -np.inf
                    by_last = e / (1.0 - e)
                v, between = of_last, by_last
            if k < m - 1:
                u = eta[i, k + 1] - a
                e = exp(-abs(u))
                v += min(u, 0.0) - log(1.0 + e)
                by_upper = (e if u > 0.0 else 1.0) / (1.0 + e) + between
                first[i, k + 1] = by_upper
            if k > 0:
                u = eta[i, k] - a
                e = exp(-abs(u))
                v += min(-u, 0.0) - log(1.0 + e)
                by_lower = -(1.0 if u > 0.0 else e) / (1.0 + e) - between
                first[i, k] = by_lower
            value[i], first[i, 0] = v, -by_upper - by_lower
        elif code == 3:
            mu, z = exp(a), eta[i, 1]
            if z != last:
                last = z
                of_last, by_last = log_expit(-z), 1.0 / (1.0 + np.exp(-z))
            extra = by_last
            if y[i] == 0.0:
                e = exp(-abs(z + mu))
                w = (1.0 if z + mu >= 0.0 else e) / (1.0 + e)
                value[i] = of_last - mu - (min(-z - mu, 0.0) - log(1.0 + e))
                first[i, 0], first[i, 1] = -(1.0 - w) * mu, w - extra
            else:
                while known < min(y[i], FEW):  # logarithms of factorials
                    ratios[known + 1] = ratios[known] + log(known + 1.0)
                    known += 1
                value[i] = of_last + y[i] * a - mu - (ratios[int(y[i])] if y[i] <= FEW else math.lgamma(y[i] + 1.0))
                first[i, 0], first[i, 1] = y[i] - mu, -extra
        else:
            scale = np.exp(-eta[i, 1])
            r = (y[i] - a) * scale
            value[i] = -0.5 * math.log(2.0 * math.pi) - eta[i, 1] - 0.5 * r * r
            first[i, 0], first[i, 1] = r * scale, r * r - 1.0
        value[i] *= weight[i]
        for j in range(m):
            first[i, j] *= weight[i]


# row terms of families with one predictor (`families/`, `kernel`) → code of `log_likelihood`; others as above
ALONE = {"binomial_logit": 5, "poisson_log": 6}
FULL = 1e280  # products of numbers up to 2 are taken until here: one logarithm for a thousand rows


@kernel(f"float64({V}, {V}, {V}, {V}, {V})", fastmath={"reassoc", "contract"}, **INSIDE)
def binomial(y, size, eta, e, first):
    """Σ (y η − size log(1 + eᵑ)) and its derivatives."""
    total, product = 0.0, 1.0
    for i in range(len(y)):
        e[i] = exp(-abs(eta[i]))
        p = 1.0 / (1.0 + e[i])
        first[i] = y[i] - size[i] * (p if eta[i] >= 0.0 else e[i] * p)
    for i in range(len(y)):
        total += y[i] * eta[i] - size[i] * max(eta[i], 0.0)
    for i in range(len(y)):
        if size[i] == 1.0:
            product *= 1.0 + e[i]
            if product > FULL:
                total -= np.log(product)
                product = 1.0
        else:
            total -= size[i] * log(1.0 + e[i])
    return total - np.log(product)


@kernel(f"float64({V}, {V}, {V}, {V})", fastmath={"reassoc", "contract"}, **INSIDE)
def poisson(y, size, eta, first):
    """Σ (y η − size eᵑ) and its derivatives."""
    total = 0.0
    for i in range(len(y)):
        mu = size[i] * exp(eta[i])
        first[i] = y[i] - mu
        total += y[i] * eta[i] - mu
    return total


@kernel(f"float64(int64, {V}, {V}, {M2}, {V}, {M2})")
def log_likelihood(code, y, size, eta, value, first):
    """Σ ℓ and ∂ℓ/∂η (n, m); binomial and Poisson rows without their constants, `size` trials or counts of each."""
    n = len(y)
    if code == 5:
        return binomial(y, size, eta.reshape(n), value, first.reshape(n))
    if code == 6:
        return poisson(y, size, eta.reshape(n), first.reshape(n))
    if code >= 10:
        further_scores(code, y, size, eta, value, first)
    else:
        scores(code, y, size, eta, value, first)
    total = 0.0
    for i in range(n):
        total += value[i]
    return total
