"""Functions of one variable for jets and arrays, each by its derivatives up to the fourth (see `jets.py`).

They are written for the tails: finite, or -inf, wherever a linear predictor may stray during a search.
"""

from __future__ import annotations

import math

import numpy as np

from .jets import Number, compose, power, value, with_value

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
# coefficients of x^-1, x^-3, … in Stirling's series of log Γ: B_2j / (2j (2j - 1))
STIRLING = (1 / 12, -1 / 360, 1 / 1260, -1 / 1680, 1 / 1188, -691 / 360360, 1 / 156)
SERIES_FROM = 12.0  # Stirling's series is exact to rounding beyond
# Dᵏ f(eᵗ) = Σ_j S(k, j) xʲ f⁽ʲ⁾(x), with Stirling numbers of the second kind
SUBSETS = ((1,), (0, 1), (0, 1, 1), (0, 1, 3, 1), (0, 1, 7, 6, 1))
TAIL = 4.0  # the normal tail is a continued fraction beyond


def exp(x: Number) -> Number:
    """eˣ."""
    return compose(x, lambda a, order: [np.exp(a)] * (order + 1))


def expm1(x: Number) -> Number:
    """eˣ - 1, exact near zero."""
    return compose(x, lambda a, order: [np.expm1(a), *[np.exp(a)] * order])


def log(x: Number) -> Number:
    """log x; NaN below zero, which a density turns into -inf."""
    return compose(x, lambda a, order: [np.log(a), *_log_slopes(a, order)])


def log1p(x: Number) -> Number:
    """log(1 + x), exact near zero."""
    return compose(x, lambda a, order: [np.log1p(a), *_log_slopes(1.0 + a, order)])


def sqrt(x: Number) -> Number:
    """√x."""
    return power(x, 0.5)


def log1pexp(x: Number) -> Number:
    """log(1 + eˣ), the integral of the logistic function."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        out = [np.logaddexp(0.0, a)]
        if order:
            p, q = expit(a), expit(-a)
            v = p * q
            out += [p, v, v * (q - p), v * (1.0 - 6.0 * v)]
        return out

    return compose(x, rule)


def log_expit(x: Number) -> Number:
    """log of the logistic function, -log(1 + e⁻ˣ)."""
    return -log1pexp(-x)


def logaddexp(a: Number, b: Number) -> Number:
    """log(eᵃ + eᵇ)."""
    return with_value(b + log1pexp(a - b), np.logaddexp(value(a), value(b)))


def log1mexp(x: Number) -> Number:
    """log(1 - e⁻ˣ) for x > 0; -inf at and below zero."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        small = a < math.log(2.0)
        out = [np.where(small, np.log(np.maximum(-np.expm1(-a), 0.0)), np.log1p(-np.exp(-a)))]
        if order:
            r = 1.0 / np.expm1(a)
            s = r * (1.0 + r)
            out += [r, -s, s * (1.0 + 2.0 * r), -s * (1.0 + 6.0 * s)]
        return out

    return compose(x, rule)


def log_loglog(x: Number) -> Number:
    """log(1 - exp(-eˣ)): the log probability of the complementary log-log link."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        t = np.exp(np.minimum(a, 7.0))  # beyond t = 1000 all is zero, and powers of t would overflow
        # for t below 1e-300 the logarithm of 1 - exp(-t) is that of t
        out = [np.where(a < -690.0, a, np.where(t < math.log(2.0), np.log(-np.expm1(-t)), np.log1p(-np.exp(-t))))]
        if order:
            h = np.where(t < 1e-300, 1.0, t / np.expm1(t))  # the first derivative, t / (eᵗ - 1)
            series = -t / 2.0 - t**2 / 12.0 + t**4 / 720.0 - t**6 / 30240.0 + t**8 / 1209600.0
            u = np.where(t < 0.1, series, 1.0 - t - h)  # h' = h u
            v = -t - h * u  # u' = v
            w = -t - h * (u * u + v)  # v' = w
            out += [h, h * u, h * (u * u + v), h * (u**3 + 3.0 * u * v + w)]
        return out

    return compose(x, rule)


def log_log1pexp(x: Number) -> Number:
    """log log(1 + eˣ): close to x far below zero, where log(1 + eˣ) itself underflows."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        inner = np.logaddexp(0.0, a)
        out = [np.where(a < -690.0, a, np.log(inner))]
        if order:
            p, q = expit(a), expit(-a)
            h = np.where(a < -690.0, 1.0, p / inner)  # the first derivative
            u = np.where(a < -35.0, -0.5 * p, q - h)  # h' = h u
            v = -p * q - h * u  # u' = v
            w = -p * q * (q - p) - h * (u * u + v)  # v' = w
            out += [h, h * u, h * (u * u + v), h * (u**3 + 3.0 * u * v + w)]
        return out

    return compose(x, rule)


def ndtr(x: Number) -> Number:
    """The standard normal distribution function."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        from scipy.special import ndtr as cumulative

        density = np.exp(-0.5 * a * a - HALF_LOG_2PI)
        return [cumulative(a), density, -a * density, (a * a - 1.0) * density, -a * (a * a - 3.0) * density]

    return compose(x, rule)


def log_ndtr(x: Number) -> Number:
    """The log of the standard normal distribution function."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        from scipy.special import log_ndtr as cumulative

        out = [cumulative(a)]
        if order:
            ratio, d = _mills(a)  # φ/Φ and d = ratio + a, which is tiny in the tail
            e = 1.0 - ratio * d  # d'
            c = ratio * (d * d - e)  # e', and the third derivative
            out += [ratio, -ratio * d, c, -d * c + ratio * (2.0 * d * e - c)]
        return out

    return compose(x, rule)


def lgamma(x: Number) -> Number:
    """log Γ(x) for x > 0."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        from scipy.special import gammaln, polygamma

        return [gammaln(a), *(polygamma(k, a) for k in range(order))]

    return compose(x, rule)


def stirling_error(log_x: Number) -> Number:
    """log Γ(x) - (x - ½) log x + x - ½ log 2π from log x: what Stirling's formula leaves, without cancellation.

    The argument is the logarithm, since that is what predictors are made of: powers of x would overflow.

    Loader (2000), *Fast and Accurate Computation of Binomial Probabilities*.
    """
    return compose(log_x, _stirling_rule)


def _stirling_rule(t: np.ndarray, order: int) -> list[np.ndarray]:
    large = t >= math.log(SERIES_FROM)
    if large.all():
        return _stirling_series(t, order)
    if not large.any():
        return _stirling_direct(t, order)
    out = [np.empty_like(t) for _ in range(order + 1)]
    for rows, rule in ((large, _stirling_series), (~large, _stirling_direct)):
        for whole, part in zip(out, rule(t[rows], order), strict=True):
            whole[rows] = part
    return out


def _stirling_series(t: np.ndarray, order: int) -> list[np.ndarray]:
    """D x⁻ᵖ = -p x⁻ᵖ, with D = d/d log x."""
    r = np.exp(-t)
    powers = [r ** (2 * j + 1) for j in range(len(STIRLING))]
    return [sum(c * (-2.0 * j - 1.0) ** k * powers[j] for j, c in enumerate(STIRLING)) for k in range(order + 1)]  # type: ignore[misc]


def _stirling_direct(t: np.ndarray, order: int) -> list[np.ndarray]:
    """log Γ(x) = log Γ(1 + x) - log x: nothing grows beyond bounds towards zero."""
    from scipy.special import gammaln, polygamma

    x = np.exp(t)
    slopes = [gammaln(1.0 + x), *(x ** (k + 1) * polygamma(k, 1.0 + x) for k in range(order))]
    out = [slopes[0] - x * (t - 1.0) - 0.5 * t - HALF_LOG_2PI]
    for k in range(1, order + 1):
        chained = sum(SUBSETS[k][j] * slopes[j] for j in range(1, k + 1))
        out.append(chained - x * (t + k - 1.0) - 0.5 * (k == 1))
    return out


def expit(a: np.ndarray) -> np.ndarray:
    """The logistic function of an array."""
    from scipy.special import expit as logistic

    return np.asarray(logistic(a))


def _log_slopes(a: np.ndarray, order: int) -> list[np.ndarray]:
    """Derivatives of log at `a`."""
    r = 1.0 / a
    return [(-1.0) ** (k - 1) * math.factorial(k - 1) * r**k for k in range(1, order + 1)]


def _mills(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """φ(a)/Φ(a) and φ(a)/Φ(a) + a."""
    from scipy.special import log_ndtr as cumulative

    tail = a < -TAIL
    ratio = np.exp(-0.5 * a * a - HALF_LOG_2PI - cumulative(a))
    d = ratio + a
    if tail.any():
        t = np.where(tail, -a, TAIL)
        fraction = t
        for k in range(120, 1, -1):  # t + 2/(t + 3/(t + …)), the inner part of Laplace's continued fraction
            fraction = t + k / fraction
        d = np.where(tail, 1.0 / fraction, d)
        ratio = np.where(tail, t + d, ratio)
    return ratio, d
