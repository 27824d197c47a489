"""Special functions of one number for the row terms of families: kernels."""

from __future__ import annotations

import numpy as np

from .compiled import kernel

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
