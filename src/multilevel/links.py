"""Links between a mean and its linear predictor: g(μ) = η.

    identity  μ = η            log   μ = exp(η)       sqrt   μ = η²          inverse   μ = 1/η
    inverse_squared  μ = 1/√η         logm1  μ = 1 + exp(η)
    logit  μ = 1/(1 + e⁻ᵑ)     probit  μ = Φ(η)       cloglog  μ = 1 - exp(-eᵑ)     cauchit  μ = ½ + atan(η)/π

Probabilities are worked with as log μ and log(1 - μ), each without cancellation: a probability of 1 - 1e-300 has a
finite log(1 - μ). All of it works on jets (`numerics/jets.py`) and on arrays.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import SettingError, nearest, printable
from .numerics import functions as f
from .numerics.jets import Number, compose, power, where

Pair = tuple[Number, Number]


@dataclass(frozen=True)
class Link:
    """One link.

    Parameters
    ----------
    eta : g(μ), of arrays
    mean : μ from η, of jets or arrays
    log_mean : log μ from η; NaN where μ would be negative
    log_pair : log μ and log(1 - μ) from η, for probabilities; None where μ is not one
    slope : ∂μ/∂η, of arrays
    latent : variance of the error in y* = η + error whose sign is a yes or no; NaN where there is none
    """

    name: str
    eta: Callable[[np.ndarray], np.ndarray]
    mean: Callable[[Number], Number]
    log_mean: Callable[[Number], Number]
    slope: Callable[[np.ndarray], np.ndarray]
    log_pair: Callable[[Number], Pair] | None = None
    latent: float = math.nan


def link(name: str) -> Link:
    """The link of that name.

    Raises
    ------
    SettingError
        For an unknown name, with the nearest one.
    """
    if name not in LINKS:
        hint = nearest(name, LINKS) or f"Known: {', '.join(LINKS)}."
        raise SettingError(f'unknown link "{printable(name)}"', hint=hint, known=tuple(LINKS))
    return LINKS[name]


def inverse(name: str, eta: Any) -> np.ndarray:
    """μ from η, for arrays.

    Examples
    --------
    >>> from multilevel.links import inverse
    >>> inverse("logit", [0.0]).tolist()
    [0.5]
    """
    with np.errstate(all="ignore"):
        return np.asarray(link(name).mean(np.asarray(eta, dtype=float)))


def forward(name: str, mu: Any) -> np.ndarray:
    """η from μ, for arrays."""
    with np.errstate(all="ignore"):
        return np.asarray(link(name).eta(np.asarray(mu, dtype=float)))


def _logit(mu: np.ndarray) -> np.ndarray:
    return np.log(mu) - np.log1p(-mu)


def _ndtri(mu: np.ndarray) -> np.ndarray:
    from scipy.special import ndtri

    return np.asarray(ndtri(mu))


def _expit_slope(eta: np.ndarray) -> np.ndarray:
    return f.expit(eta) * f.expit(-eta)


def _cauchy(x: Number) -> Number:
    """½ + atan(x)/π, as the angle of (-x, 1): small values keep their digits."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        out = [np.arctan2(1.0, -a) / math.pi]
        if order:
            q = 1.0 / (1.0 + a * a)
            out += [
                q / math.pi,
                -2.0 * (a * q) * q / math.pi,
                (6.0 * (a * q) ** 2 - 2.0 * q * q) * q / math.pi,
                24.0 * (a * q) * q * q * (1.0 - 2.0 * (a * q) * a) / math.pi,
            ]
        return out

    return compose(x, rule)


def _log_below_one(x: Number) -> Pair:
    """log μ and log(1 - μ) of μ = eᵑ; above 1 the second is -inf."""
    return x, f.log1mexp(-x)


def _inverse_squared(x: Number) -> Number:
    return power(x, -0.5)


LINKS: dict[str, Link] = {
    record.name: record
    for record in (
        Link(
            "identity",
            lambda mu: mu,
            lambda x: x,
            f.log,
            np.ones_like,
            log_pair=lambda x: (f.log(x), f.log(1.0 - x)),
        ),
        Link("log", np.log, f.exp, lambda x: x, np.exp, log_pair=_log_below_one),
        Link(
            "logit",
            _logit,
            lambda x: f.exp(f.log_expit(x)),
            f.log_expit,
            _expit_slope,
            log_pair=lambda x: (f.log_expit(x), f.log_expit(-x)),
            latent=math.pi**2 / 3.0,
        ),
        Link(
            "probit",
            _ndtri,
            f.ndtr,
            f.log_ndtr,
            lambda x: np.exp(-0.5 * x * x - f.HALF_LOG_2PI),
            log_pair=lambda x: (f.log_ndtr(x), f.log_ndtr(-x)),
            latent=1.0,
        ),
        Link(
            "cloglog",
            lambda mu: np.log(-np.log1p(-mu)),
            lambda x: -f.expm1(-f.exp(x)),
            f.log_loglog,
            lambda x: np.exp(x - np.exp(x)),
            log_pair=lambda x: (f.log_loglog(x), -f.exp(x)),
            latent=math.pi**2 / 6.0,
        ),
        Link(
            "cauchit",
            lambda mu: np.tan(math.pi * (mu - 0.5)),
            _cauchy,
            lambda x: f.log(_cauchy(x)),
            lambda x: 1.0 / (math.pi * (1.0 + x * x)),
            log_pair=lambda x: (f.log(_cauchy(x)), f.log(_cauchy(-x))),
        ),
        Link(
            "inverse",
            lambda mu: 1.0 / mu,
            lambda x: power(x, -1.0),
            lambda x: -f.log(x),
            lambda x: -1.0 / (x * x),
        ),
        Link("logm1", lambda mu: np.log(mu - 1.0), lambda x: 1.0 + f.exp(x), f.log1pexp, np.exp),
        Link("sqrt", np.sqrt, lambda x: x * x, lambda x: 2.0 * f.log(where(_positive(x), x, -x)), lambda x: 2.0 * x),
        Link(
            "inverse_squared",
            lambda mu: 1.0 / (mu * mu),
            _inverse_squared,
            lambda x: -0.5 * f.log(x),
            lambda x: -0.5 * x**-1.5,
        ),
    )
}


def _positive(x: Number) -> np.ndarray:
    from .numerics.jets import value

    return value(x) >= 0.0
