"""The R2-D2 prior: what is known is how much of the response the slopes explain together: ``r2d2(mean, precision)``.

    R² ~ Beta(a, b),  a = mean·precision,  b = (1 − mean)·precision;    ω = R²/(1 − R²)
    β_j ~ N(0, φ_j ω s²/s_j²),    φ ~ Dirichlet(a/p, …, a/p)

p slopes are given the prior together; s_j is the standard deviation of the predictor and s the scale of the response
that our default priors use (`model.priors` shows it). ω then is the prior variance of the explained part over s².

Neither φ nor ω has to be sampled. Because the Dirichlet's parameters add up to a, the products λ_j = φ_j ω are
independent gamma variables given one scale:

    λ_j | τ ~ τ² Gamma(a/p, 1),    τ² ~ inv_gamma(b, 1)

so that x = u β_j/τ, u = s_j/s, has the variance-gamma density below, and τ is the only further parameter.

Reference: Zhang, Naughton, Bondell & Reich (2022), JASA 117, section 2 (here with normal instead of Laplace kernels).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .base import INFINITY, Prior, refused
from .normal import Normal
from .sqrt_inv_gamma import SqrtInvGamma

LEAST = 1e-12  # |x| below which the density counts as flat: with few explained parts it has a pole at zero


@dataclass(frozen=True)
class R2D2(Prior):
    """u x | λ ~ N(0, λ), λ ~ Gamma(a, 1): p ∝ |u x|^ν K_ν(√2 |u x|), a = mean·precision/count, ν = a − ½, u = unit."""

    above_zero = ("mean", "precision")
    mean: float = 0.5
    precision: float = 2.0
    count: int = 1
    unit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.mean < 1.0:
            raise refused(self.name, "mean", self.mean, "below 1: it is a share of explained variance")

    @property
    def shape(self) -> float:
        """Of the gamma distribution of each coefficient's variance."""
        return self.mean * self.precision / self.count

    @property
    def shared(self) -> Prior:
        return SqrtInvGamma((1.0 - self.mean) * self.precision, 1.0)

    @property
    def mixing(self) -> tuple[Prior, Prior]:
        return Normal(0.0, 1.0 / self.unit), RootGamma(self.shape)

    def among(self, count: int, unit: float) -> Prior:
        return replace(self, count=count, unit=unit)

    def log_density(self, x: Any) -> np.ndarray:
        from scipy.special import kve

        size = np.maximum(self.unit * np.abs(np.asarray(x, dtype=float)), LEAST)
        order, root = self.shape - 0.5, math.sqrt(2.0)
        constant = math.log(2.0) - 0.5 * math.log(2.0 * math.pi) - math.lgamma(self.shape)
        bessel = np.log(kve(order, root * size)) - root * size
        return np.asarray(math.log(self.unit) + constant + order * np.log(size / root) + bessel)

    def slope(self, x: Any) -> np.ndarray:
        from scipy.special import kve

        x = self.unit * np.asarray(x, dtype=float)
        size, order, root = np.maximum(np.abs(x), LEAST), self.shape - 0.5, math.sqrt(2.0)
        ratio = kve(order - 1.0, root * size) / kve(order, root * size)
        return np.where(np.abs(x) >= LEAST, -root * self.unit * np.sign(x) * ratio, 0.0)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.sqrt(rng.gamma(self.shape, 1.0, n)) * rng.standard_normal(n) / self.unit

    def below(self, x: float) -> float:
        from scipy.integrate import quad
        from scipy.special import gammaincinv, ndtr

        if x == 0.0:
            return 0.5

        def tail_given(p: float) -> float:
            variance = float(gammaincinv(self.shape, p))
            return float(ndtr(-self.unit * abs(x) / math.sqrt(variance))) if variance > 0.0 else 0.0

        tail = quad(tail_given, 0.0, 1.0, epsabs=1e-11, limit=200)[0]
        return tail if x < 0.0 else 1.0 - tail


@dataclass(frozen=True)
class RootGamma(Prior):
    """x² ~ Gamma(shape, 1): the standard deviation that one coefficient gets of what all explain."""

    above_zero = ("shape",)
    shape: float = 1.0

    @property
    def support(self) -> tuple[float, float]:
        return 0.0, INFINITY

    def log_density(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside = math.log(2.0) + (2.0 * self.shape - 1.0) * np.log(x) - x * x - math.lgamma(self.shape)
        return np.where(x > 0.0, inside, -np.inf)

    def slope(self, x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return np.asarray((2.0 * self.shape - 1.0) / x - 2.0 * x)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        return np.sqrt(rng.gamma(self.shape, 1.0, n))

    def below(self, x: float) -> float:
        from scipy.special import gammainc

        return float(gammainc(self.shape, x * x)) if x > 0.0 else 0.0


MEMBER = R2D2
