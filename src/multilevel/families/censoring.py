"""Normal densities of rows that are censored or truncated; log-normal ones go through the logarithm of the response.

    observed      log φ((y - μ)/σ) - log σ
    left, right   log Φ(z), log Φ(-z)              interval   log [Φ(z_upper) - Φ(z)]
    truncated     the same  - log [Φ((ub - μ)/σ) - Φ((lb - μ)/σ)]

References
----------
Tobin (1958), *Estimation of Relationships for Limited Dependent Variables*, Econometrica 26.
"""

from __future__ import annotations

import numpy as np

from ..numerics import functions as f
from ..numerics.jets import Number, value, where
from .base import Observations


def log_normal(obs: Observations, mean: Number, log_sd: Number) -> Number:
    """The log density of `obs`, which is on the normal scale."""
    scale = f.exp(-log_sd)
    z = (obs.y - mean) * scale
    out = -0.5 * (z * z) - log_sd - f.HALF_LOG_2PI
    if obs.censored is not None:
        out = where(obs.censored == 1, f.log_ndtr(-z), where(obs.censored == -1, f.log_ndtr(z), out))
        if obs.upper is not None:
            between = obs.censored == 2
            top = np.where(between, obs.upper, obs.y + 1.0)
            out = where(between, log_between(z, (top - mean) * scale), out)
    return out if obs.bounds is None else out - log_inside(obs.bounds, mean, scale)


def log_inside(bounds: tuple[np.ndarray, np.ndarray], mean: Number, scale: Number) -> Number:
    """log P(lb ≤ Y ≤ ub)."""
    lower, upper = bounds
    below, above = np.isfinite(lower), np.isfinite(upper)
    low = (np.where(below, lower, 0.0) - mean) * scale
    high = (np.where(above, upper, 1.0) - mean) * scale
    one_sided = where(below, f.log_ndtr(-low), where(above, f.log_ndtr(high), 0.0 * low))
    if not (below & above).any():
        return one_sided
    return where(below & above, log_between(low, high), one_sided)


def log_between(low: Number, high: Number) -> Number:
    """log [Φ(high) - Φ(low)] from the tail that keeps its digits."""
    upper_tail = value(low) > 0
    a, b = where(upper_tail, -high, low), where(upper_tail, -low, high)  # a < b, and not far above zero
    log_a, log_b = f.log_ndtr(a), f.log_ndtr(b)
    return log_b + f.log1mexp(log_b - log_a)


def normal_cdf(
    obs: Observations, mean: np.ndarray, sd: np.ndarray, y: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """P(Y < y) and P(Y ≤ y), equal where y was observed; of a censored row, what is known of it."""
    at = obs.y if y is None else y
    here = _within(obs, at, mean, sd)
    if obs.censored is None or y is not None:
        return here, here
    low = np.where(obs.censored == -1, 0.0, here)
    high = np.where(obs.censored == 1, 1.0, here)
    if obs.upper is not None:
        top = _within(obs, np.where(obs.censored == 2, obs.upper, at), mean, sd)
        high = np.where(obs.censored == 2, top, high)
    return low, high


def _within(obs: Observations, at: np.ndarray, mean: np.ndarray, sd: np.ndarray) -> np.ndarray:
    """P(Y ≤ at), given the bounds."""
    from scipy.special import ndtr

    z = (at - mean) / sd
    if obs.bounds is None:
        return np.asarray(ndtr(z))
    a, b = ((end - mean) / sd for end in obs.bounds)
    inside = np.clip(z, a, b)
    with np.errstate(all="ignore"):
        share = np.exp(log_between(a, inside) - log_between(a, b))
    return np.where(inside <= a, 0.0, np.where(inside >= b, 1.0, share))


def truncated_moments(obs: Observations, mean: np.ndarray, sd: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a normal number between its bounds.

    With H = log [Φ(b) - Φ(a)] as a function of a shift t of both ends, E z = -H' and Var z = 1 + H''.
    """
    if obs.bounds is None:
        return mean, sd**2
    from ..numerics.jets import derivatives, variables

    a, b = ((end - mean) / sd for end in obs.bounds)
    shift = variables(np.zeros((len(mean), 1)), 2)[0]
    with np.errstate(all="ignore"):
        h = log_inside((a, b), -shift, np.ones(len(mean)))
        _, first, second = derivatives(h, len(mean), 1, 2)
    return mean - sd * first[:, 0], sd**2 * (1.0 + second[:, 0, 0])


def truncated_normal(
    bounds: tuple[np.ndarray, np.ndarray] | None, mean: np.ndarray, sd: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Normal numbers between bounds, by inversion on the side whose tail keeps its digits."""
    if bounds is None:
        return mean + sd * rng.standard_normal(len(mean))
    from scipy.special import log_ndtr, ndtri_exp

    a, b = ((end - mean) / sd for end in bounds)
    flipped = a > 0  # the upper tail is the lower one of -z
    low, high = np.where(flipped, -b, a), np.where(flipped, -a, b)
    u = rng.random(len(mean))
    with np.errstate(all="ignore"):
        log_low, log_high = log_ndtr(low), log_ndtr(high)
        z = ndtri_exp(log_high + np.log(u + (1.0 - u) * np.exp(log_low - log_high)))
    z = np.clip(z, low, high)
    return mean + sd * np.where(flipped, -z, z)
