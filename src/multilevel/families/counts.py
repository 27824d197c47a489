"""Log densities of counts, from jets of the log mean and log size, exact for counts of any magnitude.

Written as Loader (2000) does: the distance of the mean from the count, plus Stirling errors. The obvious sums
y log μ - μ - log y! cancel: at y = 1e12 nothing would be left of a difference of one.

References
----------
Loader, C. (2000), *Fast and Accurate Computation of Binomial Probabilities*.
"""

from __future__ import annotations

import math

import numpy as np

from ..numerics import functions as f
from ..numerics.jets import Number, value, where, with_value

LOG_2PI = math.log(2.0 * math.pi)


def log_poisson(y: np.ndarray, log_mu: Number) -> Number:
    """y log μ - μ - log y!  =  -y (e^δ - 1 - δ) - ½ log 2πy - stirling(y),  δ = log μ - log y."""
    some = np.maximum(y, 1.0)
    delta = log_mu - np.log(some)
    constant = 0.5 * (LOG_2PI + np.log(some)) + f.stirling_error(np.log(some))
    if not np.all(y > 0):
        return where(y > 0, -(some * (f.expm1(delta) - delta) + constant), -f.exp(log_mu))
    return -(some * (f.expm1(delta) - delta) + constant)


def log_choose(n: np.ndarray, k: np.ndarray) -> np.ndarray:
    """log of n over k, for arrays; exact to rounding of its largest part."""
    from scipy.special import betaln

    return np.where((k > 0) & (k < n), -np.log1p(n) - betaln(n - k + 1.0, k + 1.0), 0.0)


def log_negative_binomial(y: np.ndarray, log_mu: Number, log_size: Number) -> Number:
    """log Γ(y+s) - log Γ(s) - log y! + s log s/(s+μ) + y log μ/(s+μ), of mean μ and variance μ + μ²/s.

    With w = y/(y+s) and δ = log μ - log y it is  -(y+s) [log(1 - w + w e^δ) - w δ]  plus Stirling errors.
    """
    some = np.maximum(y, 1.0)
    log_y = np.log(some)
    size = f.exp(log_size)
    # log(s + μ) - log s, and the same with y for μ
    far, near = f.log1pexp(log_mu - log_size), f.log1pexp(log_y - log_size)
    distance = (size + some) * (far - near) - some * (log_mu - log_y)
    distance = with_value(distance, _distance(some, value(log_mu) - log_y, value(size)))
    errors = f.stirling_error(f.logaddexp(log_y, log_size)) - f.stirling_error(log_size) - f.stirling_error(log_y)
    positive = errors - distance - 0.5 * near - 0.5 * (LOG_2PI + log_y)
    if np.all(y > 0):
        return positive
    return where(y > 0, positive, -(size * far))


def _distance(y: np.ndarray, delta: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(y+s) log(1 - w + w e^δ) - y δ from the side on which nothing cancels."""
    n = y + size
    below = n * np.log1p(y / n * np.expm1(delta)) - y * delta
    above = n * np.log1p(size / n * np.expm1(-delta)) + size * delta
    return np.where((y < size) & (delta < 300.0) | (delta < -300.0), below, above)
