"""Densities of single numbers and of correlations, as the priors of a model are evaluated at every point: kernels.

`priors/` says the same for arrays, and is the test.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

# names of `priors/` → code; a density of another name is evaluated by the prior itself
CODES = {
    "flat": 0, "normal": 1, "student_t": 2, "cauchy": 3, "exponential": 4, "gamma": 5, "inv_gamma": 6, "lognormal": 7,
    "logistic": 8, "laplace": 9, "uniform": 10, "beta": 11, "sqrt_inv_gamma": 12,
}  # fmt: skip
LINKS = {"identity": 0, "log": 1, "logm1": 2, "logit": 3}
LARGEST = 18.0  # |x| beyond which tanh(x) is one


@kernel("UniTuple(float64, 2)(int64, float64, float64, float64, float64)")
def density(code, a, b, c, x):
    """log p(x) without its constant, and its slope; a, b and c are the parameters in the order users write them."""
    if code == 0:
        return 0.0, 0.0
    if code == 1:
        z = (x - a) / b
        return -0.5 * z * z, -z / b
    if code == 2:
        z = x - b
        return -0.5 * (a + 1.0) * np.log1p(z * z / (a * c * c)), -(a + 1.0) * z / (a * c * c + z * z)
    if code == 3:
        z = x - a
        return -np.log1p(z * z / (b * b)), -2.0 * z / (b * b + z * z)
    if code == 8:
        z = (x - a) / b
        return -abs(z) - 2.0 * np.log1p(np.exp(-abs(z))), -np.tanh(0.5 * z) / b
    if code == 9:
        return -abs(x - a) / b, -np.sign(x - a) / b
    if code == 10:
        return (0.0 if a <= x <= b else -np.inf), 0.0
    if code == 11:
        slope = (a - 1.0) / x - (b - 1.0) / (1.0 - x)
        if not 0.0 <= x <= 1.0:
            return -np.inf, slope
        return (0.0 if a == 1.0 and b == 1.0 else (a - 1.0) * np.log(x) + (b - 1.0) * np.log1p(-x)), slope
    if code == 4:
        return (-a * x if x >= 0.0 else -np.inf), -a
    if not x > 0.0:
        return -np.inf, 0.0
    if code == 5:
        return (a - 1.0) * np.log(x) - b * x, (a - 1.0) / x - b
    if code == 6:
        return -(a + 1.0) * np.log(x) - b / x, -(a + 1.0) / x + b / (x * x)
    if code == 7:
        z = (np.log(x) - a) / b
        return -0.5 * z * z - np.log(x), -(1.0 + z / b) / x
    return -(2.0 * a + 1.0) * np.log(x) - b / (x * x), -(2.0 * a + 1.0) / x + 2.0 * b / (x * x * x)


@kernel("UniTuple(float64, 4)(int64, float64)")
def natural(link, eta):
    """μ, ∂μ/∂η, its logarithm and the derivative of that."""
    if link == 0:
        return eta, 1.0, 0.0, 0.0
    if link == 3:
        e = np.exp(-abs(eta))
        p = 1.0 / (1.0 + e) if eta >= 0.0 else e / (1.0 + e)
        return p, e / ((1.0 + e) * (1.0 + e)), -abs(eta) - 2.0 * np.log1p(e), 1.0 - 2.0 * p
    x = np.exp(eta)
    return (x if link == 1 else 1.0 + x), x, eta, 1.0


@kernel("void(float64[::1], int64, float64[:, ::1])")
def vine(x, k, L):
    """The factor of Σ = LL' from log standard deviations and partial correlations (`core/correlations.py`)."""
    at = k
    for i in range(k):
        left = np.exp(x[i])
        for m in range(i):
            turn = min(max(x[at], -LARGEST), LARGEST)
            L[i, m] = left * np.tanh(turn)
            left /= np.cosh(turn)
            at += 1
        L[i, i] = left
        for m in range(i + 1, k):
            L[i, m] = 0.0


@kernel("void(float64[::1], int64, float64[:, ::1], float64[:, ::1], float64[::1])")
def vine_back(x, k, L, by_L, out):
    """∂f/∂x += from ∂f/∂L."""
    at = k
    for i in range(k):
        total = 0.0
        for m in range(i + 1):
            total += by_L[i, m] * L[i, m]
        out[i] += total
        left = np.exp(x[i])
        for m in range(i):
            turn = min(max(x[at], -LARGEST), LARGEST)
            total -= by_L[i, m] * L[i, m]  # what is right of this entry
            narrow = 1.0 / np.cosh(turn)
            out[at] += by_L[i, m] * left * narrow * narrow - np.tanh(turn) * total
            left *= narrow
            at += 1


@kernel("float64(float64[::1], float64[::1], float64[::1])")
def lkj(x, powers, out):
    """Σ powers·log(1 − tanh²x), its derivative added to `out`."""
    total = 0.0
    for j in range(len(x)):
        size = abs(x[j])
        total -= 2.0 * powers[j] * (size + np.log1p(np.exp(-2.0 * size)) - np.log(2.0))
        out[j] -= 2.0 * powers[j] * np.tanh(x[j])
    return total
