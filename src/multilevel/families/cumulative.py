"""Ordered categories.

    P(y_i ≤ k) = F(τ_k - η_i),   τ_1 < τ_2 < … < τ_{K-1},   F logistic, normal or 1 - exp(-eˣ)

The thresholds τ are fixed coefficients ``Intercept[1]`` … ``Intercept[K-1]`` and take the intercept's place: a row
of η holds η_i and all thresholds, and derivatives are found in the two differences τ_k - η_i that its category needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from ..links import forward, inverse
from ..numerics import functions as f
from ..numerics.jets import Number, derivatives, variables, where
from .base import Derivatives, Family, Further, Given, Observations, impossible
from .binomial import latent, log_pair
from .censoring import log_between
from .ordinal import observe_categories


@dataclass(frozen=True)
class Cumulative(Family):
    """Ratings and other ordered categories; with the logit link, proportional odds.

    As a latent variable: y ≤ k where η + error ≤ τ_k. A positive coefficient moves responses towards higher categories.
    With a category that only occurs at one end of a predictor, coefficients run off to infinity (separation).

    McCullagh (1980), *Regression Models for Ordinal Data*, J. R. Statist. Soc. B 42.
    """

    links = ("logit", "probit", "cloglog")
    discrete = True
    ordered = True

    def observe(self, given: Given) -> Observations:
        return observe_categories(self, given, ordered=True)

    def parameters(self, obs: Observations) -> tuple[Further, ...]:
        return tuple(
            Further(f"Intercept[{k}]", ("identity",), f"threshold between {below} and {above}", coefficient=True)
            for k, (below, above) in enumerate(zip(obs.levels[:-1], obs.levels[1:], strict=True), start=1)
        )

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        thresholds = len(eta) - 1
        upper = lower = eta[1]
        for k in range(1, thresholds):
            upper = where(np.minimum(obs.y, thresholds - 1) == k, eta[1 + k], upper)
            lower = where(obs.y - 1 == k, eta[1 + k], lower)
        return _log_interval(obs.y, thresholds, upper - eta[0], lower - eta[0], links[0])

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        thresholds, n = eta.shape[1] - 1, len(obs)
        y = obs.y.astype(np.int64)
        rows = np.arange(n)
        above, below = np.minimum(y, thresholds - 1), np.maximum(y - 1, 0)
        ends = np.column_stack([eta[rows, 1 + above], eta[rows, 1 + below]]) - eta[:, :1]
        with np.errstate(all="ignore"):
            upper, lower = variables(ends, order)
            found = derivatives(_log_interval(obs.y, thresholds, upper, lower, links[0]), n, 2, order)
            slopes = [_scatter(d, above, below, thresholds + 1) for d in found[1:]]
        return impossible(found[0], *slopes[:1], *(-d for d in slopes[1:]))

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        counts = np.bincount(obs.y.astype(np.int64), weights=obs.weights, minlength=len(obs.levels))
        shares = np.cumsum(counts)[:-1] / counts.sum()
        return np.column_stack([np.zeros(len(obs)), np.tile(forward(links[0], shares), (len(obs), 1))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """Probabilities of the categories (n, K)."""
        n, m = eta.shape
        out = np.empty((n, m))
        with np.errstate(all="ignore"):
            for k in range(m):
                upper, lower = (eta[:, 1 + np.clip(j, 0, m - 2)] - eta[:, 0] for j in (k, k - 1))
                out[:, k] = np.exp(_log_interval(np.full(n, float(k)), m - 1, upper, lower, links[0]))
        return out

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        """p (1 - p) of each category (n, K)."""
        p = self.mean(obs, eta, links)
        return p * (1.0 - p)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        below = inverse(links[0], eta[:, 1:] - eta[:, :1])
        return (rng.random(len(eta))[:, None] > below).sum(axis=1).astype(float)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = np.asarray(obs.y if y is None else y).astype(np.int64)
        steps = inverse(links[0], eta[:, 1:] - eta[:, :1])
        steps = np.column_stack([np.zeros(len(eta)), steps, np.ones(len(eta))])
        rows, top = np.arange(len(at)), steps.shape[1] - 1
        return steps[rows, np.clip(at, 0, top)], steps[rows, np.clip(at + 1, 0, top)]

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return latent(self, obs, eta, links)

    def words(self, obs: Observations) -> str:
        return f"{obs.name}: {' < '.join(obs.levels)}"


def _log_interval(y: np.ndarray, thresholds: int, upper: Number, lower: Number, name: str) -> Number:
    """log P(y) from the ends of its category; the first has no lower end, the last no upper one."""
    first, last = y == 0, y == thresholds
    ends = where(first, log_pair(name, upper)[0], log_pair(name, lower)[1])
    if np.all(first | last):
        return ends
    # ends of other rows may coincide: set them apart, since derivatives of log 0 would be computed in vain
    return where(first | last, ends, BETWEEN[name](where(first | last, upper + 1.0, upper), lower))


def _between_logistic(upper: Number, lower: Number) -> Number:
    """F(u) - F(l) = F(u) F(-l) (1 - e^{l-u})."""
    return f.log_expit(upper) + f.log_expit(-lower) + f.log1mexp(upper - lower)


def _between_extreme(upper: Number, lower: Number) -> Number:
    """exp(-eˡ) - exp(-eᵘ) = exp(-eˡ) [1 - exp(-(eᵘ - eˡ))]."""
    return f.log_loglog(upper + f.log1mexp(upper - lower)) - f.exp(lower)


BETWEEN = {
    "logit": _between_logistic,
    "probit": lambda upper, lower: log_between(lower, upper),
    "cloglog": _between_extreme,
}


def _scatter(d: np.ndarray, above: np.ndarray, below: np.ndarray, m: int) -> np.ndarray:
    """From derivatives by (upper, lower) to those by (μ, all thresholds): each end is its threshold minus μ."""
    degree = d.ndim - 1
    n = len(d)
    out = np.zeros((n, *[m] * degree))
    rows = np.arange(n)
    places = ((1 + above, 0), (1 + below, 0))
    for index in product((0, 1), repeat=degree):
        part = np.moveaxis(d, 0, -1)[index]
        for signs in product((0, 1), repeat=degree):  # 0 its threshold, 1 the location
            where_to = tuple(places[end][sign] for end, sign in zip(index, signs, strict=True))
            out[(rows, *where_to)] += part * (-1.0) ** sum(signs)
    return out


MEMBER = Cumulative()
