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

Bounds = tuple[np.ndarray, np.ndarray] | None


def log_normal(obs: Observations, y: np.ndarray, mean: Number, log_sd: Number, bounds: Bounds = None) -> Number:
    """The log density; `bounds` on the scale of `y` where that is not the response's own."""
    scale = f.exp(-log_sd)
    z = (y - mean) * scale
    out = -0.5 * (z * z) - log_sd - f.HALF_LOG_2PI
    if obs.censored is not None:
        out = where(obs.censored == 1, f.log_ndtr(-z), where(obs.censored == -1, f.log_ndtr(z), out))
        if obs.upper is not None:
            between = obs.censored == 2
            top = np.where(between, obs.upper if bounds is None else _same_scale(obs.upper), y + 1.0)
            out = where(between, log_between(z, (top - mean) * scale), out)
    limits = bounds if bounds is not None else obs.bounds
    if limits is not None:
        out = out - _log_inside(limits, mean, scale)
    return out


def _same_scale(upper: np.ndarray) -> np.ndarray:
    return np.log(upper)


def _log_inside(bounds: tuple[np.ndarray, np.ndarray], mean: Number, scale: Number) -> Number:
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
