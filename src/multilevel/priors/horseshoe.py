"""The horseshoe prior of coefficients, few of which matter: ``horseshoe(scale)``.

    β_j | λ_j, τ ~ N(0, λ_j² τ²),    λ_j ~ half_cauchy(1),    τ ~ half_cauchy(scale)

The local scales λ_j are integrated out: given τ, x = β_j/τ has the density

    p(x) = (2π³)^(−½) exp(x²/2) E₁(x²/2)

with the exponential integral E₁. τ is one parameter for all coefficients that are given the prior together. Everything
is in the units of the coefficients: scale the predictors first, or τ means something else for each of them. The
density has a pole at zero, weak enough to be integrated over; samplers that follow gradients get the λ_j (`mixing`).

Reference: Carvalho, Polson & Scott (2010), Biometrika 97, theorem 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .base import Prior, positive
from .cauchy import Cauchy
from .normal import Normal

LEAST = 1e-150  # |x| below which the density counts as flat, so that the pole is a number
SERIES = 40.0  # x²/2 from which exp(a) E₁(a) is taken from its asymptotic series, exact to the last digit there
TERMS = 30


@dataclass(frozen=True)
class Horseshoe(Prior):
    """x = z λ with z ~ N(0, 1), λ ~ half_cauchy(1); `scale` is that of the half-Cauchy of the shared τ."""

    above_zero = ("scale",)
    scale: float = 1.0

    @property
    def shared(self) -> Prior:
        return positive(Cauchy(0.0, self.scale))

    @property
    def mixing(self) -> tuple[Prior, Prior]:
        return Normal(0.0, 1.0), positive(Cauchy(0.0, 1.0))

    def log_density(self, x: Any) -> np.ndarray:
        a = 0.5 * np.maximum(np.abs(np.asarray(x, dtype=float)), LEAST) ** 2
        return np.log(_scaled(a)) - 0.5 * math.log(2.0 * math.pi**3)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        inside = np.abs(x) >= LEAST
        safe = np.where(inside, x, 1.0)
        # d/da log(eᵃ E₁(a)) = 1 − 1/(a eᵃ E₁(a)), and da/dx = x
        return np.where(inside, -safe * _bend(0.5 * safe * safe), 0.0)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.abs(rng.standard_cauchy(n)) * rng.standard_normal(n)

    def below(self, x: float) -> float:
        from scipy.integrate import quad
        from scipy.special import ndtr

        if x == 0.0:
            return 0.5
        # λ = tan(πv/2) with v uniform
        tail = quad(lambda v: float(ndtr(-abs(x) / math.tan(0.5 * math.pi * v))), 0.0, 1.0, epsabs=1e-12, limit=200)[0]
        return tail if x < 0.0 else 1.0 - tail


def _scaled(a: np.ndarray) -> np.ndarray:
    """exp(a) E₁(a)."""
    from scipy.special import exp1

    near = np.minimum(a, SERIES)
    far = np.maximum(a, SERIES)
    return np.asarray(np.where(a < SERIES, np.exp(near) * exp1(near), (1.0 - _remainder(far)) / far))


def _bend(a: np.ndarray) -> np.ndarray:
    """1/(a exp(a) E₁(a)) − 1, without cancellation for large a."""
    far = _remainder(np.maximum(a, SERIES))
    with np.errstate(divide="ignore"):
        near = 1.0 / (a * _scaled(a)) - 1.0
    return np.asarray(np.where(a < SERIES, near, far / (1.0 - far)))


def _remainder(a: np.ndarray) -> np.ndarray:
    """1 − a exp(a) E₁(a) = 1/a − 2!/a² + 3!/a³ − … for large a."""
    out, term = np.zeros_like(a), np.ones_like(a)
    for k in range(1, TERMS):
        term = -term * k / a
        out = out - term
    return out


MEMBER = Horseshoe
