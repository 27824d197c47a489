"""Yes or no.

P(y_i = 1) = p_i,   g(p_i) = η_i,   log p(y) = y log p + (1 - y) log(1 - p)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse
from .base import Derivatives, Family, Given, Observations
from .binomial import LINKS, inverse_complement, latent, log_pair, logistic, observe_single, odds_variance


@dataclass(frozen=True)
class Bernoulli(Family):
    """A column of 0 and 1, of truth values or of two labels; the second in order is the success.

    As a latent variable: y = 1 where η + error > 0, the error logistic (variance π²/3), normal (1) or extreme (π²/6).

    Gelman & Hill (2007), *Data Analysis Using Regression and Multilevel/Hierarchical Models*, chapter 5.
    """

    links = LINKS
    discrete = True
    mergeable = True

    def observe(self, given: Given) -> Observations:
        return observe_single(self, given)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_p, log_q = log_pair(links[0], eta[0])
        return obs.y * log_p + (1.0 - obs.y) * log_q

    def kernel(self, links: tuple[str, ...]) -> str | None:
        return "binomial_logit" if links[0] == "logit" else None

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        return logistic(obs.y, np.ones(len(obs)), eta, order) if links[0] == "logit" else None

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return forward(links[0], (obs.y + 0.5) / 2.0)[:, None]

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return odds_variance(links[0], eta[:, 0])

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return (rng.random(len(eta)) < inverse(links[0], eta[:, 0])).astype(float)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at, q = obs.y if y is None else y, inverse_complement(links[0], eta[:, 0])
        return np.where(at <= 0, 0.0, np.where(at <= 1, q, 1.0)), np.where(at < 0, 0.0, np.where(at < 1, q, 1.0))

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return latent(self, obs, eta, links)

    def words(self, obs: Observations) -> str:
        return f"P({obs.name} = {obs.levels[1]})" if obs.levels else ""


MEMBER = Bernoulli()
