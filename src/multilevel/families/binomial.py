"""Successes in trials.

y_i ~ Binomial(n_i, p_i),   g(p_i) = η_i,   log p(y) = log(n over y) + y log p + (n - y) log(1 - p)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import ResponseError, WeightsError, listed, printable
from ..links import forward, inverse, link
from .base import Derivatives, Family, Given, Observations, plain, single
from .counts import log_choose
from .support import numbers, observed, refuse, refuse_constant

LINKS = ("logit", "probit", "cloglog", "cauchit", "log", "identity")
HOW = "Write cbind(k, n - k), or k | trials(n), or k / n with weights=n."


@dataclass(frozen=True)
class Binomial(Family):
    """Numbers of successes, or yes and no.

    The response is ``cbind(k, n - k)``, ``k | trials(n)``, ``k / n`` with ``weights="n"``, or a column of 0 and 1, of
    truth values or of two labels (the second in order is the success), each a single trial.

    McCullagh & Nelder (1989), *Generalized Linear Models*, chapter 4.
    """

    links = LINKS
    discrete = True
    mergeable = True
    takes = ("trials",)

    def observe(self, given: Given) -> Observations:
        return observe_trials(self, given)

    def log_density(self, obs: Observations, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        log_p, log_q = log_pair(links[0], eta[0])
        n = trials(obs)
        return obs.y * log_p + (n - obs.y) * log_q + log_choose(n, obs.y)

    def kernel(self, links: tuple[str, ...]) -> str | None:
        return "binomial_logit" if links[0] == "logit" else None

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int, links: tuple[str, ...]) -> Derivatives | None:
        return logistic(obs.y, trials(obs), eta, order) if links[0] == "logit" else None

    def start(self, obs: Observations, links: tuple[str, ...]) -> np.ndarray:
        return forward(links[0], (obs.y + 0.5) / (trials(obs) + 1.0))[:, None]

    def mean(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return inverse(links[0], eta[:, 0])

    def variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return odds_variance(links[0], eta[:, 0]) / trials(obs)

    def simulate(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator
    ) -> np.ndarray:
        return rng.binomial(trials(obs).astype(np.int64), inverse(links[0], eta[:, 0])).astype(float)

    def cdf(
        self, obs: Observations, eta: np.ndarray, links: tuple[str, ...], y: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        at, n, q = obs.y if y is None else y, trials(obs), inverse_complement(links[0], eta[:, 0])
        return _below(at - 1.0, n, q), _below(at, n, q)

    def latent_variance(self, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
        return latent(self, obs, eta, links)

    def words(self, obs: Observations) -> str:
        return f"P({obs.name} = {obs.levels[1]})" if obs.levels else ""


def trials(obs: Observations) -> np.ndarray:
    """The number of trials of each row."""
    return np.ones(len(obs)) if obs.trials is None else obs.trials


def logistic(y: np.ndarray, n: np.ndarray, eta: np.ndarray, order: int) -> Derivatives:
    """Derivatives with the logit link, in one compiled pass."""
    from ..numerics.rows import logit_rows

    out = np.empty((order + 1, len(y)))
    logit_rows(plain(y), plain(n), plain(eta[:, 0]), order, out)
    return single(out)


def log_pair(name: str, eta: Any) -> Any:
    """log p and log(1 - p)."""
    pair = link(name).log_pair
    assert pair is not None
    return pair(eta)


def inverse_complement(name: str, eta: np.ndarray) -> np.ndarray:
    """1 - p without cancellation."""
    with np.errstate(all="ignore"):
        return np.asarray(np.exp(log_pair(name, eta)[1]))


def odds_variance(name: str, eta: np.ndarray) -> np.ndarray:
    """p (1 - p)."""
    with np.errstate(all="ignore"):
        log_p, log_q = log_pair(name, eta)
        return np.asarray(np.exp(log_p + log_q))


def latent(family: Family, obs: Observations, eta: np.ndarray, links: tuple[str, ...]) -> np.ndarray:
    """The link's own error variance, or the delta method."""
    own = link(links[0]).latent
    return Family.latent_variance(family, obs, eta, links) if np.isnan(own) else np.full(len(obs), own)


def _below(k: np.ndarray, n: np.ndarray, q: np.ndarray) -> np.ndarray:
    """P(Y ≤ k) of n trials with probability q of failure."""
    from scipy.special import betainc

    inside = (k >= 0) & (k < n)
    at = np.where(inside, k, 0.0)
    return np.where(inside, betainc(np.maximum(n - at, 1.0), at + 1.0, q), (k >= n) * 1.0)


# --- the response ------------------------------------------------------------------------------------------------
def observe_trials(family: Family, given: Given) -> Observations:
    """Successes and trials from any of the ways to write them."""
    if given.columns:
        return _from_columns(family, given)
    number = given.modifiers.get("trials")
    if number is not None and number[0] is not None:
        return _from_trials(family, given, number[0])
    if given.kind != "numeric" or given.weights is None or given.weights_kind == "frequency":
        return observe_single(family, given)
    return _from_proportions(family, given, given.weights)


def observe_single(family: Family, given: Given) -> Observations:
    """One trial a row: 0 and 1, truth values, or two labels."""
    levels = ("False", "True") if given.kind == "boolean" else given.levels
    if levels and len(levels) > 2:
        raise ResponseError(
            f'response "{printable(given.name)}" has {len(levels)} levels ({listed(levels)}): yes or no has two',
            hint='Use family="categorical" or "cumulative", or compare one level with the others in a new column.',
            column=given.name,
        )
    y = np.asarray(given.values, dtype=float) if levels else numbers(given)
    refuse(given, ~np.isin(y, (0.0, 1.0)), "0 or 1 (or of two levels)", HOW if "trials" in family.takes else "")
    spoken = levels[int(y[0])] if levels and len(y) else ""
    refuse_constant(given, y, f'"{printable(spoken)}"' if spoken else "")
    return observed(family, given, y, levels=levels)


def _from_columns(family: Family, given: Given) -> Observations:
    """``cbind(successes, failures)``."""
    if len(given.columns) != 1:
        raise ResponseError(f"{printable(given.name)}: cbind() takes two columns, successes and failures")
    _without_weights(given)
    y, failures = np.asarray(given.values, dtype=float), np.asarray(given.columns[0], dtype=float)
    for part, noun in ((y, "successes"), (failures, "failures")):
        refuse(given, ~_whole(part), f"made of integers >= 0 ({noun})", HOW, part)
    return _checked(family, given, y, y + failures)


def _from_trials(family: Family, given: Given, n: np.ndarray) -> Observations:
    """``k | trials(n)``."""
    _without_weights(given)
    y = numbers(given)
    refuse(given, ~_whole(n), "of a whole number of trials >= 1", "", n)
    refuse(given, ~_whole(y), "an integer >= 0 (successes)", HOW)
    rows = np.flatnonzero(y > n)
    if len(rows):
        i = int(rows[0])
        raise ResponseError(
            f'response "{printable(given.name)}" has more successes than trials: {y[i]:.12g} of n = {n[i]:.12g} '
            f"in row {given.row(i)} ({len(rows)} rows)",
            hint="trials() holds successes and failures together.",
        )
    return _checked(family, given, y, n)


def _from_proportions(family: Family, given: Given, n: np.ndarray) -> Observations:
    """``k / n`` with weights = n; 0 and 1 count as such too."""
    share = numbers(given)
    refuse(given, ~((share >= 0) & (share <= 1)), "a proportion between 0 and 1 where weights= are trials", HOW)
    y = np.round(share * n)
    bad = (np.abs(share * n - y) > 1e-6 * np.maximum(n, 1.0)) | ~_whole(n)
    refuse(given, bad, "a proportion of a whole number of trials (weights=)", HOW)
    return _checked(family, replace(given, weights=None), y, n)


def _checked(family: Family, given: Given, y: np.ndarray, n: np.ndarray) -> Observations:
    refuse(given, n == 0, "of at least one trial; n = 0 holds nothing", "Drop these rows.", n)
    if not y.any() or np.all(y == n):
        refuse_constant(given, y / n, "0" if not y.any() else "1 (every trial a success)")
    return observed(family, given, y, trials=n)


def _whole(x: np.ndarray) -> np.ndarray:
    return np.asarray((x >= 0) & (x == np.floor(x)) & np.isfinite(x))


def _without_weights(given: Given) -> None:
    if given.weights is not None and given.weights_kind != "frequency":
        raise WeightsError(
            f"{printable(given.name)} has its trials already: weights= would be read as another number of them",
            hint="For counts of equal rows write weights(w) behind the response's bar.",
        )


MEMBER = Binomial()
