"""Priors of coefficients as normal ones, given variances that are drawn too.

    normal             a'β ~ N(m, s²)
    Student-t(ν)       a'β | λ ~ N(m, s²λ),     λ ~ IG(ν/2, ν/2),          λ | β ~ IG((ν + 1)/2, (ν + x²)/2)
    Laplace            a'β | λ ~ N(m, s²λ),     λ ~ exponential(1/2),      1/λ | β ~ inverse Gaussian(1/|x|, 1)
    logistic           a'β | ω ~ N(m, s²/ω),    ω ~ PG(2, 0),              ω | β ~ PG(2, x)
    horseshoe          a'β | λ ~ N(0, τ²λ),     √λ ~ half-Cauchy(1),       p(1/λ | β) ∝ exp(−x²/2λ)/(1 + 1/λ)

    R2-D2              a'β | λ ~ N(0, τ²λ),     λ ~ Gamma(a, 1),           λ | β ~ GIG(a − ½, 2, x²)

x = (a'β − m)/s. A prior that is no such mixture is left out of the draw and decides by Metropolis's rule whether the
draw is taken. The mixing variances are drawn anew before every draw of β; they are no part of the chain's state.

References: West (1987), Biometrika 74, 646-648; Polson, Scott & Windle (2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..priors.normal import Normal
from ..priors.record import LinearPrior, Priors
from .gibbs_scales import inverse_gamma
from .gibbs_steps import Steps

MIXTURES = ("normal", "student_t", "cauchy", "laplace", "logistic", "horseshoe", "r2d2")


@dataclass(frozen=True)
class Pseudo:
    """Normal priors as observations: directions (J, p) in β, values (C, J) and precisions (C, J)."""

    directions: np.ndarray
    values: np.ndarray
    precisions: np.ndarray


class CoefficientPriors:
    """The priors of a model's coefficients, and of the scales that these priors bring.

    Parameters
    ----------
    priors : Priors
    """

    def __init__(self, priors: Priors) -> None:
        proper = [item for item in priors.linear if item.prior.name != "flat"]
        self.mixtures = [item for item in proper if item.prior.name in MIXTURES]
        self.others = [item for item in proper if item.prior.name not in MIXTURES]
        self.all = proper
        self.extras = priors.extras
        self.stepper = Steps(max(len(priors.extras), 1))

    def normal(self, beta: np.ndarray, log_extras: np.ndarray, rng: np.random.Generator) -> Pseudo:
        """Normal priors given β (C, p): the mixing variances are drawn here."""
        C, J = len(beta), len(self.mixtures)
        values, precisions = np.empty((C, J)), np.empty((C, J))
        directions = np.zeros((J, beta.shape[1]))
        for j, item in enumerate(self.mixtures):
            place, scale = location_scale(item)
            factor = np.exp(log_extras[:, item.scale]) if item.scale >= 0 else np.ones(C)
            directions[j] = item.direction
            x = (beta @ item.direction / factor - place) / scale
            values[:, j] = place * factor
            precisions[:, j] = _precision(item, x, rng) / (scale * factor) ** 2
        return Pseudo(directions, values, precisions)

    def log_others(self, beta: np.ndarray, log_extras: np.ndarray) -> np.ndarray:
        """log p (C,) of the priors that no mixture serves."""
        return log_linear(self.others, beta, log_extras)

    def update_extras(self, beta: np.ndarray, log_extras: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """New logs (C, E) of the priors' own scales given β."""
        out = log_extras.copy()
        for e, (_, prior) in enumerate(self.extras):
            mine = [item for item in self.all if item.scale == e]

            def log_density(x: np.ndarray, prior=prior, mine=mine) -> np.ndarray:  # type: ignore[no-untyped-def]
                with np.errstate(all="ignore"):
                    own = prior.log_density(np.exp(x)) + x
                    for item in mine:
                        own = own + item.prior.log_density(beta @ item.direction * np.exp(-x)) - x
                return np.asarray(own)

            out[:, e] = self.stepper.step(e, out[:, e], log_density, rng)
        return out


def location_scale(item: LinearPrior) -> tuple[float, float]:
    """Centre and scale of a prior, by its own names for them."""
    prior = item.prior
    if prior.shared is not None:
        return 0.0, 1.0
    if isinstance(prior, Normal):
        return float(prior.mean), float(prior.sd)
    return float(getattr(prior, "location")), float(getattr(prior, "scale"))  # noqa: B009


def log_linear(items: list[LinearPrior], beta: np.ndarray, log_extras: np.ndarray) -> np.ndarray:
    """Σ log p(a'β) (C,) of some priors."""
    out = np.zeros(len(beta))
    for item in items:
        log_scale = log_extras[:, item.scale] if item.scale >= 0 else 0.0
        with np.errstate(all="ignore"):
            out = out + item.prior.log_density(beta @ item.direction * np.exp(-log_scale)) - log_scale
    return out


def _precision(item: LinearPrior, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """1/λ given the standardised deviation x."""
    name = item.prior.name
    if name in ("student_t", "cauchy"):
        df = float(getattr(item.prior, "df", 1.0))
        return 1.0 / inverse_gamma(0.5 * (df + 1.0), 0.5 * (df + x**2), rng)
    if name == "laplace":
        return rng.wald(1.0 / np.maximum(np.abs(x), 1e-12), 1.0)
    if name == "logistic":
        from .polya_gamma import draw

        return draw(np.full(len(x), 2.0), x, rng)
    if name == "horseshoe":
        return np.array([_local(0.5 * float(v) ** 2, rng) for v in x])
    if name == "r2d2":
        order, unit = float(getattr(item.prior, "shape")) - 0.5, float(getattr(item.prior, "unit"))  # noqa: B009
        return unit**2 / _gig(order, unit * x, rng)
    return np.ones(len(x))


def _local(a: float, rng: np.random.Generator) -> float:
    """η with density ∝ exp(−aη)/(1 + η), by rejection in t = 1 + η: under 1/t up to 1/a, under a exp(−at) beyond."""
    a = min(max(a, 1e-300), 1e300)
    if a >= 1.0:
        while True:
            t = 1.0 + rng.standard_exponential() / a
            if rng.random() < 1.0 / t:
                return t - 1.0
    near = -np.log(a)
    while True:
        if rng.random() * (near + np.exp(-1.0)) < near:
            t = float(np.exp(rng.random() * near))
            if rng.random() < np.exp(-a * t):
                return t - 1.0
        else:
            t = (1.0 + rng.standard_exponential()) / a
            if rng.random() < 1.0 / (a * t):
                return t - 1.0


def _gig(order: float, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """λ with density ∝ λ^(order − 1) exp(−λ − x²/2λ), an element for each x."""
    from scipy.stats import geninvgauss

    size = np.maximum(np.abs(x), 1e-10)
    root = np.sqrt(2.0)
    return np.array([geninvgauss.rvs(order, root * v, scale=v / root, random_state=rng) for v in size])
