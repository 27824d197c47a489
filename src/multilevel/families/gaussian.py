"""Normal responses.

y_i ~ N(μ_i, σ_i² / w_i),   g(μ_i) = η_i,   log σ_i = η_σi
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DtypeWarning, printable, warn
from ..links import forward, inverse, link
from .base import Family, Further, Given, Observations
from .support import numbers, observed, refuse_constant

SIGMA = Further("sigma", ("log",), "residual standard deviation")


@dataclass(frozen=True)
class Gaussian(Family):
    """Normal errors. With the identity link and one σ the model is linear, and fitted by REML.

    ``sigma ~ x`` makes log σ a linear predictor of its own. `weights` are precisions: Var y_i = σ²/w_i.
    Censored rows are given by ``y | cens(kind)``, truncation by ``y | trunc(lb, ub)``.

    Pinheiro & Bates (2000), *Mixed-Effects Models in S and S-PLUS*, chapters 2 and 5.
    """

    links = ("identity", "log", "inverse", "sqrt")
    further = (SIGMA,)
    is_gaussian = True
    precision = True
    takes = ("cens", "trunc")

    def observe(self, given: Given) -> Observations:
        y = numbers(given)
        if given.kind == "boolean":
            warn(boolean_response(given.name))
        refuse_constant(given, y)
        return observed(self, given, y)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        from .censoring import log_normal

        return log_normal(obs, link(links[0]).mean(eta[0]), log_sd(obs, eta[1]))

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        y = obs.y if links[0] == "identity" else np.maximum(obs.y, 0.1 * np.mean(np.abs(obs.y)))
        return np.column_stack([forward(links[0], y), np.full(len(y), np.log(spread(obs.y)))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        from .censoring import truncated_moments

        return truncated_moments(obs, inverse(links[0], eta[:, 0]), deviation(obs, eta))[0]

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        from .censoring import truncated_moments

        return truncated_moments(obs, inverse(links[0], eta[:, 0]), deviation(obs, eta))[1]

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        from .censoring import truncated_normal

        return truncated_normal(obs.bounds, inverse(links[0], eta[:, 0]), deviation(obs, eta), rng)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        from .censoring import normal_cdf

        return normal_cdf(obs, inverse(links[0], eta[:, 0]), deviation(obs, eta), y)


def log_sd(obs: Observations, log_sigma: Any) -> Any:
    """log(σ/√w)."""
    return log_sigma if obs.precision is None else log_sigma - 0.5 * np.log(obs.precision)


def deviation(obs: Observations, eta: np.ndarray) -> np.ndarray:
    """σ/√w of each row."""
    return np.asarray(np.exp(log_sd(obs, eta[:, 1])))


def spread(y: np.ndarray) -> float:
    """A standard deviation to start from, never zero."""
    return float(np.std(y)) or 1.0


def boolean_response(name: str) -> DtypeWarning:
    """The warning for truth values as numbers."""
    return DtypeWarning(
        f'response "{printable(name)}" is bool: modelled as the numbers 0 and 1',
        code="W_BOOL_RESPONSE",
        hint='For a yes/no outcome use family="binomial".',
        column=name,
    )


MEMBER = Gaussian()
