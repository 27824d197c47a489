"""Gibbs updates of one standard deviation given squared deviations.

    s² | S  ∝  (s²)^(−n/2) exp(−S/2s²) p(s)

    flat on s                s² ~ IG((n − 1)/2, S/2)
    s² ~ IG(a, b)            s² ~ IG(a + n/2, b + S/2)
    half-Student-t(ν, A)     s² | a ~ IG((n + ν)/2, S/2 + ν/a),   a | s² ~ IG((ν + 1)/2, ν/s² + 1/A²)
    any other prior          a step of `gibbs_steps.py` in log s

IG is the inverse gamma distribution with shape and scale. The third line mixes inverse gammas to the half-Student-t.

Reference: Wand, Ormerod, Padoan & Frühwirth (2011), Bayesian Analysis 6, 847-900, result 5.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..priors.base import Prior
from ..priors.sqrt_inv_gamma import SqrtInvGamma
from ..priors.student_t import StudentT
from .gibbs_steps import Steps

TINY = 1e-300


def inverse_gamma(shape: float, scale: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """IG(shape, scale), an element for each scale."""
    return np.asarray(np.maximum(scale, TINY) / np.maximum(rng.standard_gamma(shape, np.shape(scale)), TINY))


def half_t(prior: Prior) -> tuple[float, float] | None:
    """Degrees of freedom and scale of a half-Student-t (half-Cauchy: 1) with its centre at zero, or None."""
    whole: Any = getattr(prior, "whole", prior)
    if prior.support[0] != 0.0 or prior.support[1] != np.inf:
        return None
    if isinstance(whole, StudentT) and whole.location == 0.0:
        return float(whole.df), float(whole.scale)
    if whole.name == "cauchy" and getattr(whole, "location", None) == 0.0:
        return 1.0, float(whole.scale)
    return None


def update_sd(
    prior: Prior,
    sd: np.ndarray,
    n: float,
    squares: np.ndarray,
    rng: np.random.Generator,
    stepper: Steps,
    place: int,
    further: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """New standard deviations (C,) given n deviations with these sums of squares (C,).

    Parameters
    ----------
    further : log density of what else depends on the standard deviation (priors scaled by it)
    """
    mixture = half_t(prior)
    if further is None and isinstance(prior, SqrtInvGamma):
        return np.sqrt(inverse_gamma(prior.shape + 0.5 * n, prior.scale + 0.5 * squares, rng))
    if further is None and mixture is not None:
        df, scale = mixture
        a = inverse_gamma(0.5 * (df + 1.0), df / np.maximum(sd**2, TINY) + scale**-2, rng)
        return np.sqrt(inverse_gamma(0.5 * (n + df), 0.5 * squares + df / a, rng))
    if further is None and prior.name == "flat" and n > 1.0:
        return np.sqrt(inverse_gamma(0.5 * (n - 1.0), 0.5 * squares, rng))

    def log_density(x: np.ndarray) -> np.ndarray:
        s = np.exp(np.clip(x, -300.0, 300.0))
        with np.errstate(all="ignore"):
            value = (1.0 - n) * x - 0.5 * squares / s**2 + prior.log_density(s)
            if further is not None:
                value = value + further(s)
        return np.where(np.isnan(value), -np.inf, value)

    return np.exp(stepper.step(place, np.log(np.maximum(sd, TINY)), log_density, rng))
