"""Successes in trials whose probability varies between rows.

y_i ~ Binomial(n_i, p_i),   p_i ~ Beta(μ_i φ, (1 - μ_i) φ),   g(μ_i) = η_i

Var y/n = μ (1 - μ)/n · (1 + (n - 1)/(1 + φ))
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import forward, inverse
from ..numerics import functions as f
from .base import Family, Further, Given, Observations
from .beta import LINKS, shapes
from .binomial import log_pair, observe_trials, odds_variance, trials
from .counts import log_choose

PHI = Further("phi", ("log",), "precision φ of the probabilities: binomial for large ones")


@dataclass(frozen=True)
class BetaBinomial(Family):
    """Overdispersed successes; responses are written as for ``"binomial"``.

    φ is told from the binomial by rows with several trials only. Where the spread is binomial or less, the likelihood
    rises towards φ = ∞: use ``"binomial"``.

    Skellam (1948), *A Probability Distribution Derived from the Binomial*, J. R. Statist. Soc. B 10.
    """

    links = LINKS
    further = (PHI,)
    discrete = True
    takes = ("trials",)

    def observe(self, given: Given) -> Observations:
        return observe_trials(self, given)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_p, log_q = log_pair(links[0], eta[0])
        y, n = obs.y, trials(obs)
        yes, no = _side(y, log_p + eta[1]), _side(n - y, log_q + eta[1])
        both = _side(n, eta[1])
        rising = yes.total * (yes.growth - both.growth) + no.total * (no.growth - both.growth)
        half = 0.5 * (yes.growth + no.growth - both.growth)
        return rising - half + y * log_p + (n - y) * log_q + (yes.error + no.error - both.error) + log_choose(n, y)

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        eta = forward(links[0], (obs.y + 0.5) / (trials(obs) + 1.0))
        return np.column_stack([eta, np.full(len(obs), np.log(10.0))])

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        n = trials(obs)
        return np.asarray(odds_variance(links[0], eta[:, 0]) / n * (1.0 + (n - 1.0) / (1.0 + np.exp(eta[:, 1]))))

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return rng.binomial(trials(obs).astype(np.int64), rng.beta(*shapes(eta, links))).astype(float)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at = np.asarray(obs.y if y is None else y)
        columns = list(eta.T)
        below = np.zeros(len(at))
        upto = np.zeros(len(at))
        for k in range(int(max(np.max(np.minimum(at, trials(obs)), initial=-1.0), -1.0)) + 1):
            rows = trials(obs) >= k
            share = np.zeros(len(at))
            one = obs.take(rows).with_y(np.full(int(rows.sum()), float(k)))
            share[rows] = np.exp(self.log_density(one, [c[rows] for c in columns], links))
            below += np.where(k < at, share, 0.0)
            upto += np.where(k <= at, share, 0.0)
        return np.minimum(below, 1.0), np.minimum(upto, 1.0)

    def words(self, obs: Observations) -> str:
        return f"P({obs.name} = {obs.levels[1]})" if obs.levels else ""


@dataclass(frozen=True)
class _Side:
    """Of Γ(k + a)/Γ(a): k + a, log((k + a)/a), and what Stirling's formula leaves."""

    total: Any
    growth: Any
    error: Any


def _side(k: np.ndarray, log_a: Any) -> _Side:
    with np.errstate(divide="ignore"):
        log_k = np.log(k)
    error = f.stirling_error(f.logaddexp(log_k, log_a)) - f.stirling_error(log_a)
    return _Side(k + f.exp(log_a), f.log1pexp(log_k - log_a), error)


MEMBER = BetaBinomial()
