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

MOST = 1e18  # NumPy draws Poisson numbers up to 2⁶³
LOG_2PI = math.log(2.0 * math.pi)


def log_poisson(y: np.ndarray, log_mu: Number) -> Number:
    """y log μ - μ - log y!  =  -y (e^δ - 1 - δ) - ½ log 2πy - stirling(y),  δ = log μ - log y."""
    some = np.where(y > 0, y, 1.0)  # merged rows have means of counts, also below one
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


def log_zero_negative_binomial(log_mu: Number, log_size: Number) -> Number:
    """log of -log P(Y = 0): of s log(1 + μ/s)."""
    return log_size + f.log_log1pexp(log_mu - log_size)


def draw_poisson(mu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers; means too large for integers get the normal approximation, exact to their rounding."""
    small = rng.poisson(np.minimum(mu, MOST)).astype(float)
    return np.where(mu < MOST, small, mu + np.sqrt(mu) * rng.standard_normal(mu.shape))


def poisson_below(k: np.ndarray, mu: np.ndarray) -> np.ndarray:
    """P(Y ≤ k)."""
    from scipy.special import pdtr

    return np.where(k < 0, 0.0, pdtr(np.maximum(np.floor(k), 0.0), mu))


def draw_negative_binomial(mu: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers around gamma ones."""
    return draw_poisson(rng.gamma(size) * (mu / size), rng)


def negative_binomial_below(k: np.ndarray, mu: np.ndarray, size: np.ndarray) -> np.ndarray:
    """P(Y ≤ k)."""
    from scipy.special import betainc

    return np.where(k < 0, 0.0, betainc(size, np.maximum(np.floor(k), 0.0) + 1.0, size / (size + mu)))


def draw_positive_poisson(mu: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson numbers above zero: one event at a time t of the unit interval, the others after it."""
    return 1.0 + draw_poisson(np.maximum(mu - _first(mu, rng), 0.0), rng)


def draw_positive_negative_binomial(mu: np.ndarray, size: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Negative binomial numbers above zero, as clusters of logarithmic size whose number is Poisson.

    Quenouille (1949), *A Relation between the Logarithmic, Poisson, and Negative Binomial Series*, Biometrics 5.
    """
    clusters = size * np.log1p(mu / size)
    left = size * np.clip(1.0 - _first(clusters, rng) / clusters, 1e-300, 1.0)
    share = np.clip(mu / (size + mu), 1e-300, 1.0 - 1e-16)
    return rng.logseries(share).astype(float) + draw_negative_binomial(left * (mu / size), left, rng)


def _first(rate: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The first event of a process of this total rate, given that there is one (in units of rate × time)."""
    return -np.log1p(rng.random(rate.shape) * np.expm1(-rate))


def _distance(y: np.ndarray, delta: np.ndarray, size: np.ndarray) -> np.ndarray:
    """(y+s) log(1 - w + w e^δ) - y δ from the side on which nothing cancels."""
    n = y + size
    below = n * np.log1p(y / n * np.expm1(delta)) - y * delta
    above = n * np.log1p(size / n * np.expm1(-delta)) + size * delta
    return np.where((y < size) & (delta < 300.0) | (delta < -300.0), below, above)
