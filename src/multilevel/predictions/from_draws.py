"""Predictions of a sampled fit: every target and kind, from its draws.

    linear     η of each draw
    mean       E(y | η) of each draw; of the marginal target averaged over the groups of that draw's population,
               ∫ E(y | η + z'b) N(b; 0, Σ_s) db
    response   a new observation drawn in each draw

    estimate = mean over draws,    std_error = standard deviation,    lower, upper = quantiles

A new group has effects of its own in every draw, from that draw's Σ: what is uncertain about Σ is in the interval. The
mean and standard deviation of a new observation are those of the mixture, E m and √(Var m + E v), without the noise of
simulating y; its interval is made of simulated ones.

Reference: Gelman et al. (2013), *Bayesian Data Analysis*, sections 5.3 and 7.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.cubature import rule
from ..families.base import Observations
from ..formula.design import Rows
from .means import Mean
from .new_rows import needed_for_a_response, observations
from .posterior import Posterior, posterior, tiled, training_observations
from .uncertain import NEW, OUT, complete, part

if TYPE_CHECKING:
    from ..fit.fit import Fit

Columns = dict[str, Any]
KINDS = ("mean", "linear", "response")
PROPORTIONAL = (  # families whose mean is a multiple of exp(η) under the log link
    "gaussian", "poisson", "negative_binomial", "negative_binomial_1", "gamma", "inverse_gaussian",
    "zero_inflated_poisson", "zero_inflated_negative_binomial",
)  # fmt: skip
SINGLE = ("bernoulli", "binomial")  # families whose mean is the inverse link itself


def predicted(
    fit: Fit, rows: Rows, table: Any, targets: dict[str, str], kind: str, level: float | None, seed: int | None
) -> Columns:
    """The columns of a prediction; see `targets.predict`."""
    obs = observations_of(fit, rows, table, kind)
    return of_rows(fit, complete(fit, rows), obs, targets, kind, level, seed)


def of_rows(
    fit: Fit, rows: Rows, obs: Observations, targets: dict[str, str], kind: str, level: float | None,
    seed: int | None = None,
) -> Columns:  # fmt: skip
    """The same of rows with all their terms, and what is known of their response."""
    draws = posterior(fit)
    marginal = [t for t, g in enumerate(rows.groups) if targets[g.label] == "marginal"]
    rng = np.random.default_rng(0 if seed is None else seed)
    new = draws.new_groups(rng)
    parts = []
    for index in chunks(rows.n, draws.chunk() // 4 or 1):
        some = part(aimed(rows, targets), index)
        eta = draws.eta(some, new)
        spread = _spread(draws, part(rows, index), marginal)
        parts.append(columns_of(fit, obs.take(index), eta, spread, kind, level, rng))
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def chunks(n: int, size: int) -> Iterator[slice]:
    """Slices of so many rows; one without rows where there are none."""
    for first in range(0, max(n, 1), size):
        yield slice(first, min(first + size, n))


def aimed(rows: Rows, targets: dict[str, str]) -> Rows:
    """Rows whose codes say what their targets mean: known levels, new ones, or none."""
    groups = []
    for g in rows.groups:
        target = targets[g.label]
        codes = g.codes if target == "conditional" else np.full(rows.n, NEW if target == "new_group" else OUT, np.int32)
        groups.append(replace(g, codes=codes))
    return replace(rows, groups=tuple(groups))


def observations_of(fit: Fit, rows: Rows, table: Any, kind: str) -> Observations:
    """What is known of the response of the rows."""
    from ..errors import SettingError

    design = fit.model.design
    if fit.model.is_linear and kind == "response" and design.known_se is not None and table is not None:
        raise SettingError(
            'kind="response" needs a residual variance, and this model has known standard errors instead',
            hint='Use kind="mean" and add the new observation\'s own standard error.',
        )
    if fit.model.is_linear and table is None:
        return training_observations(fit)
    obs = observations(fit, rows, table)
    if kind == "response":
        needed_for_a_response(fit, obs)
    return obs


def _spread(draws: Posterior, rows: Rows, marginal: list[int]) -> np.ndarray | None:
    """z'Σz of the terms that are averaged over, where that moves a mean; None where it does not."""
    terms = [t for t in marginal if not _straight(draws.fit, rows.groups[t].predictor)]
    return draws.spread(rows, terms) if terms else None


def _straight(fit: Fit, predictor: int) -> bool:
    """Whether the mean is linear in that predictor: groups then average out."""
    if predictor or fit.model.link != "identity" or fit.model.family not in ("gaussian", "student"):
        return False
    return fit.model.is_linear or fit.model.observations.bounds is None


def columns_of(
    fit: Fit, obs: Observations, eta: np.ndarray, spread: np.ndarray | None, kind: str, level: float | None,
    rng: np.random.Generator,
) -> Columns:  # fmt: skip
    """The columns of some rows from their η in every draw (S, n, m); `spread` is averaged over."""
    from .generalized import _named

    locations = fit.model.design.layout.locations
    with np.errstate(all="ignore"):
        if kind == "linear":
            k = max(len(locations), 1)
            mean = Mean(fit.model.distribution, obs)
            return _named(_summary(eta[:, :, :k], level), mean.labels[1:] if k > 1 else ())
        means, mean = _means(fit, obs, eta, spread)
        if kind == "mean":
            return _named(_summary(means, level), mean.labels)
        if mean.labels:
            return _category(mean, means.mean(axis=0), level)
        return _response(fit, obs, eta, spread, means[:, :, 0], level, rng)


def _means(
    fit: Fit, obs: Observations, eta: np.ndarray, spread: np.ndarray | None, rough: bool = False
) -> tuple[np.ndarray, Mean]:
    """E y of every draw and row, (S, n, K), averaged over groups where `spread` is given; `rough` by fewer nodes."""
    s, n, m = eta.shape
    mean = Mean(fit.model.distribution, tiled(obs, s))
    flat = eta.reshape(s * n, m)
    found = mean.at(flat) if spread is None else _averaged(fit, mean, flat, spread.reshape(s * n, m), rough)
    return found.reshape(s, n, found.shape[1]), Mean(fit.model.distribution, obs)


def _averaged(fit: Fit, mean: Mean, eta: np.ndarray, variance: np.ndarray, rough: bool) -> np.ndarray:
    """E of the mean over N(η, variance): in closed form where there is one."""
    alone = not np.any(variance[:, 1:]) and mean.obs.bounds is None
    if alone and fit.model.link == "log" and fit.model.family in PROPORTIONAL:
        return np.asarray(mean.at(eta) * np.exp(0.5 * variance[:, :1]))
    if alone and fit.model.link == "probit" and fit.model.family in SINGLE:
        return mean.at(eta / np.sqrt(1.0 + variance[:, :1]))
    varying = np.flatnonzero(variance.max(axis=0, initial=0.0) > 0.0)
    if len(varying) > 1 or (rough and len(varying)):
        return _by_product(mean, eta, np.sqrt(variance), varying[np.argsort(-variance[:, varying].mean(axis=0))])
    covariance = np.zeros((*variance.shape, variance.shape[1]))
    at = np.arange(variance.shape[1])
    covariance[:, at, at] = variance
    return mean.averaged(mean.at, eta, covariance)


def _by_product(mean: Mean, eta: np.ndarray, sd: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """The same over several predictors, whose effects are independent: a product of Gauss–Hermite rules."""
    nodes, weights = rule(len(axes))
    out: np.ndarray | None = None
    for node, weight in zip(nodes, weights, strict=True):
        at = eta.copy()
        for d, t in zip(axes, node, strict=True):
            at[:, d] += t * sd[:, d]
        part_ = weight * mean.at(at)
        out = part_ if out is None else out + part_
    assert out is not None
    return out


def _summary(values: np.ndarray, level: float | None) -> dict[str, np.ndarray]:
    """Mean, standard deviation and equal-tailed interval of (S, n, K) draws."""
    found = {"estimate": values.mean(axis=0)}
    if level is None:
        return found
    low, high = quantiles(values, level)
    return {**found, "std_error": values.std(axis=0, ddof=1), "lower": low, "upper": high}


def quantiles(values: np.ndarray, level: float, discrete: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Ends of equal-tailed intervals over the first axis; of counts, the least that reach each share."""
    shares, method = [0.5 - level / 2.0, 0.5 + level / 2.0], "inverted_cdf" if discrete else "linear"
    low, high = np.quantile(values, shares, axis=0, method=method)  # type: ignore[call-overload]
    return np.asarray(low), np.asarray(high)


def _response(
    fit: Fit, obs: Observations, eta: np.ndarray, spread: np.ndarray | None, means: np.ndarray, level: float | None,
    rng: np.random.Generator,
) -> Columns:  # fmt: skip
    """A new observation, of an average group where `spread` is given: that group's effects are drawn with it."""
    s, n, m = eta.shape
    times = np.ones(n) if obs.trials is None else obs.trials
    found: Columns = {"estimate": times * means.mean(axis=0)}
    if level is None:
        return found
    if spread is not None:
        eta = eta + np.sqrt(spread) * rng.standard_normal(eta.shape)
    many, flat = tiled(obs, s), eta.reshape(s * n, m)
    drawn = fit.model.distribution.simulate(many, flat, rng).reshape(s, n)
    own = fit.model.distribution.mean(many, flat).reshape(s, n)
    scatter = fit.model.distribution.variance(many, flat).reshape(s, n)
    variance = own.var(axis=0, ddof=1) + scatter.mean(axis=0)
    low, high = quantiles(drawn, level, fit.model.distribution.family.discrete)
    return {**found, "std_error": times * np.sqrt(variance), "lower": low, "upper": high}


def _category(mean: Mean, p: np.ndarray, level: float | None) -> Columns:
    """The most probable category; of ordered ones the middle part of the distribution too."""
    labels = np.array(mean.labels, dtype=object)
    best = np.argmax(p, axis=1)
    found: Columns = {"category": labels[best], "probability": p[np.arange(len(p)), best]}
    if level is None or not mean.distribution.family.ordered:
        return found
    steps = np.cumsum(p, axis=1)
    for name, share in (("lower", 0.5 - level / 2.0), ("upper", 0.5 + level / 2.0)):
        place = np.minimum((steps < share - 1e-12).sum(axis=1), len(labels) - 1)
        found[name] = labels[place]
    return found


# --- the rows that were fitted -----------------------------------------------------------------------------------
def fitted_means(fit: Fit) -> np.ndarray:
    """Posterior mean of E y of the training rows, (n,); of the probabilities of categories, (n, K)."""
    from .linear import training_rows

    draws, rows, obs = posterior(fit), training_rows(fit), training_observations(fit)
    parts = []
    for index in chunks(rows.n, draws.chunk() // 4 or 1):
        with np.errstate(all="ignore"):
            means, mean = _means(fit, obs.take(index), draws.eta(part(rows, index)), None)
        parts.append(means.mean(axis=0))
    found = np.concatenate(parts)
    return found if mean.labels else found[:, 0]


def distribution_of_rows(fit: Fit, new_groups: bool) -> tuple[np.ndarray, np.ndarray]:
    """P(Y < y) and P(Y ≤ y) of the training rows averaged over the draws, each row in its own group or in a new one."""
    from .linear import training_rows

    draws, rows, obs = posterior(fit), training_rows(fit), training_observations(fit)
    new = draws.new_groups(np.random.default_rng(0))
    everywhere = dict.fromkeys(fit.model.groups, "new_group" if new_groups else "conditional")
    found = []
    for index in chunks(rows.n, draws.chunk() // 4 or 1):
        eta = draws.eta(part(aimed(rows, everywhere), index), new)
        s, n, m = eta.shape
        with np.errstate(all="ignore"):
            ends = fit.model.distribution.cdf(tiled(obs.take(index), s), eta.reshape(s * n, m))
        found.append([end.reshape(s, n).mean(axis=0) for end in ends])
    low, high = (np.concatenate([f[i] for f in found]) for i in (0, 1))
    return low, high
