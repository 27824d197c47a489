"""Predictions of generalized models: every target and kind, from the parts of `uncertain.py`.

    linear     η of the location, and normal intervals
    mean       E y given η; averaged over the groups that are not known: ∫ E(y | η̂ + v) N(v; 0, z'Σz) dv
    response   a new observation: quantiles of its distribution averaged over all that is uncertain

Intervals of a mean are made on the scale of its link. Of one group, known or at the centre, they carry what is
uncertain about η; of the average over groups (marginal), the delta method over all parameters; of a new group, the
quantiles of its mean, whose spread is that between groups, longer where Σ̂ rests on few groups (Satterthwaite's degrees
of freedom).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..families.base import Observations
from ..formula.design import Rows
from .integrals import Function, root, sampled, sequence
from .linear import certain_rows
from .means import Mean, gradient
from .new_rows import needed_for_a_response, observations
from .quantiles import response_quantiles
from .uncertain import Groups, Uncertain, complete, part, uncertain

if TYPE_CHECKING:
    from ..fit.fit import Fit

BATCH = 20_000  # rows at once
FEW = 500  # the same where every row may be sampled
POINTS = 2048  # of a sample of means
NUDGE = 1e-4  # of a parameter, in its standard errors
Columns = dict[str, Any]


def predicted(
    fit: Fit, rows: Rows, table: Any, targets: dict[str, str], kind: str, level: float | None, parameters: bool
) -> Columns:
    """The columns of a prediction; see `targets.predict`."""
    obs = observations(fit, rows, table)
    if kind == "response":
        needed_for_a_response(fit, obs)
    rows = complete(fit, rows)
    size = FEW if level is not None and "new_group" in targets.values() else BATCH
    parts = []
    for first in range(0, max(rows.n, 1), size):
        index = slice(first, first + size)
        some = uncertain(fit, part(rows, index), targets, parameters, level is not None)
        parts.append(_columns(fit, obs.take(index), some, kind, level))
    found = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    certain = certain_rows(fit, rows)
    if certain is not None:
        for name, values in found.items():
            if name.startswith(("std_error", "lower", "upper")):
                values[certain] = None if values.dtype == object else np.nan
    return found


def predicted_at(
    fit: Fit, obs: Observations, eta: np.ndarray, covariance: np.ndarray, kind: str, level: float
) -> Columns:
    """The same from linear predictors (n, m) and their covariance (n, m, m) alone."""
    n, m = eta.shape
    nothing = Groups(np.zeros((n, m, m)), np.zeros((0, n, m, m)))
    some = Uncertain(eta, np.zeros((0, n, m)), np.zeros((0, 0)), covariance, nothing, nothing)
    return _columns(fit, obs, some, kind, level)


def _columns(fit: Fit, obs: Observations, some: Uncertain, kind: str, level: float | None) -> Columns:
    mean = Mean(fit.model.distribution, obs)
    with np.errstate(all="ignore"):
        if kind == "linear":
            return _linear(some, fit.model.design.layout.locations, mean, level)
        if kind == "response" and mean.labels:
            return _category(mean, some, level)
        found = _response(mean, some, _varying(fit), level) if kind == "response" else _mean(mean, some, level)
    return _named(found, mean.labels)


def _named(found: dict[str, np.ndarray], labels: tuple[str, ...]) -> Columns:
    """One column each, or one for each category: ``estimate[label]``."""
    if not labels:
        return {name: values[:, 0] if values.ndim == 2 else values for name, values in found.items()}
    return {f"{name}[{label}]": values[:, k] for name, values in found.items() for k, label in enumerate(labels)}


def _varying(fit: Fit) -> list[int]:
    """Predictors whose uncertainty enters a new observation: locations, and those that vary between groups."""
    design = fit.model.design
    return sorted({*range(len(design.layout.locations)), *(g.predictor for g in design.groups)})


# --- linear predictors -------------------------------------------------------------------------------------------
def _linear(some: Uncertain, locations: tuple[str, ...], mean: Mean, level: float | None) -> Columns:
    k = len(locations)
    found = {"estimate": some.eta[:, :k]}
    if level is not None:
        error = np.sqrt(np.einsum("ndd->nd", some.covariance + some.new.covariance)[:, :k])
        half = _normal(level) * np.sqrt(np.einsum("ndd->nd", _stretched(some, level))[:, :k])
        found |= {"std_error": error, "lower": found["estimate"] - half, "upper": found["estimate"] + half}
    return _named(found, mean.labels[1:] if k > 1 else ())


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(ndtri(0.5 + level / 2.0))


def _stretched(some: Uncertain, level: float) -> np.ndarray:
    """The covariance of a new group's η, (n, m, m), enlarged for intervals by normal quantiles.

    Each predictor that varies between groups gets t quantiles with the degrees of freedom 2V²/Var(V̂) of its whole
    variance V; but no more than the upper end of its standard deviation between groups is worth: where the groups say
    nearly nothing about it, degrees of freedom are no measure.
    """
    from scipy.special import stdtrit

    z = _normal(level)
    total = some.covariance + some.new.covariance
    factor = np.ones(some.eta.shape)
    for d in range(total.shape[1]) if len(some.new.slopes) else ():
        between, whole = some.new.covariance[:, d, d], total[:, d, d]
        if not np.any(between > 0.0):
            continue
        scatter = some.quadratic(some.new.slopes[:, :, d, d])
        df = 2.0 * whole**2 / scatter
        df = np.where(np.isfinite(df), np.clip(df, 1.0, 1e9), 1e9)
        highest = np.sqrt(between) + z * np.sqrt(scatter / (4.0 * between))
        most = np.sqrt((whole - between + highest**2) / whole)
        found = np.fmin(stdtrit(df, 0.5 + level / 2.0) / z, most)
        factor[:, d] = np.where(between > 0.0, found, 1.0)
    return np.asarray(total * factor[:, :, None] * factor[:, None, :])


def _only(covariance: np.ndarray, predictors: np.ndarray) -> np.ndarray:
    """The covariance of some predictors, the others held."""
    out = np.zeros_like(covariance)
    out[:, predictors[:, None], predictors] = covariance[:, predictors[:, None], predictors]
    return out


# --- means -------------------------------------------------------------------------------------------------------
def _mean(mean: Mean, some: Uncertain, level: float | None) -> dict[str, np.ndarray]:
    estimate = mean.averaged(mean.at, some.eta, some.new.covariance + some.averaged.covariance)
    if level is None or not len(estimate):
        empty = {} if level is None else dict.fromkeys(("std_error", "lower", "upper"), estimate)
        return {"estimate": estimate, **empty}
    if some.new.any:
        return {"estimate": estimate, **_of_new_groups(mean, some, level)}
    return {"estimate": estimate, **_of_parameters(mean, some, estimate, level)}


def _matters(slope: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Predictors that move the mean of some row."""
    sd = np.sqrt(np.einsum("ndd->nd", covariance))
    return np.flatnonzero(np.nan_to_num(np.abs(slope) * sd[:, None, :]).max(axis=(0, 1)) > 0.0)


def _of_parameters(mean: Mean, some: Uncertain, estimate: np.ndarray, level: float) -> dict[str, np.ndarray]:
    """Standard error by the delta method, and an interval on the scale of the mean."""
    f = mean.over(some.averaged.covariance)
    slope = gradient(f, some.eta)
    along = np.einsum("nkd,snd->snk", slope, some.slopes)
    if some.averaged.any:
        along = along + _by_spread(mean, some)
    variance = some.quadratic(along) + np.einsum("nkd,nde,nke->nk", slope, some.effects, slope)
    error = np.sqrt(np.maximum(variance, 0.0))
    matters = _matters(slope, some.covariance)
    if len(matters) == 1 and slope.shape[1] == 1 and not some.averaged.any:  # the interval of one η, transformed
        low, high = _transformed(mean.at, some, int(matters[0]), level, some.covariance)
    else:
        low, high = mean.ends(estimate, _normal(level) * error)
    return {"std_error": error, "lower": low, "upper": high}


def _by_spread(mean: Mean, some: Uncertain) -> np.ndarray:
    """How the average moves with the covariance that is averaged over, along each parameter (s, n, K)."""
    out = np.zeros((len(some.parameters), len(some.eta), len(mean.labels) or 1))
    for i, slopes in enumerate(some.averaged.slopes):
        if not np.any(slopes):
            continue
        step = NUDGE * min(1.0, 1.0 / np.sqrt(max(some.parameters[i, i], 1e-300)))
        sides = [
            mean.averaged(mean.at, some.eta, some.averaged.covariance + sign * step * slopes) for sign in (1.0, -1.0)
        ]
        out[i] = (sides[0] - sides[1]) / (2.0 * step)
    return out


def _transformed(f: Function, some: Uncertain, d: int, level: float, covariance: np.ndarray) -> list[np.ndarray]:
    """f at the ends of the interval of η_d, in order."""
    half = _normal(level) * np.sqrt(covariance[:, d, d])
    ends = []
    for sign in (-1.0, 1.0):
        eta = some.eta.copy()
        eta[:, d] += sign * half
        ends.append(f(eta, np.arange(len(eta))))
    return [np.minimum(*ends), np.maximum(*ends)]


def _of_new_groups(mean: Mean, some: Uncertain, level: float) -> dict[str, np.ndarray]:
    """Spread and quantiles of the mean between groups, what is uncertain about the parameters included."""
    total = some.covariance + some.new.covariance
    f = mean.over(some.averaged.covariance)
    matters = _matters(gradient(f, some.eta), total)
    wide = _stretched(some, level)
    if len(matters) == 1 and not mean.labels:
        low, high = _transformed(f, some, int(matters[0]), level, wide)
        whole = _only(total, matters) + some.averaged.covariance
        variance = mean.averaged(mean.square, some.eta, whole) - mean.averaged(mean.at, some.eta, whole) ** 2
        error = np.sqrt(np.maximum(variance - _within(mean, some), 0.0))
    else:
        spread = root(_only(total, matters))
        points = sequence(POINTS, spread.shape[2])
        error = sampled(f, some.eta, spread, points).std(axis=0)
        found = sampled(f, some.eta, root(_only(wide, matters)), points)
        low, high = np.quantile(found, [0.5 - level / 2.0, 0.5 + level / 2.0], axis=0)
    return {"std_error": error, "lower": low, "upper": high}


def _within(mean: Mean, some: Uncertain) -> np.ndarray | float:
    """The part of the variance of means that lies between groups which are averaged over."""
    if not some.averaged.any:
        return 0.0
    square = mean.averaged(mean.square, some.eta, some.averaged.covariance)
    return square - mean.averaged(mean.at, some.eta, some.averaged.covariance) ** 2


# --- a new observation -------------------------------------------------------------------------------------------
def _response(mean: Mean, some: Uncertain, varying: list[int], level: float | None) -> dict[str, np.ndarray]:
    """Mean, standard deviation and quantiles of the predictive distribution; numbers of successes for trials."""
    obs = mean.obs
    times = np.ones(len(obs)) if obs.trials is None else obs.trials
    found = {"estimate": times * _mean(mean, some, None)["estimate"][:, 0]}
    if level is None or not len(times):
        return found
    which = np.array(varying)
    kept = _only(some.covariance + some.new.covariance + some.averaged.covariance, which)
    first = mean.averaged(mean.at, some.eta, kept)
    variance = mean.averaged(mean.variance, some.eta, kept) + mean.averaged(mean.square, some.eta, kept) - first**2
    spread = root(_only(_stretched(some, level) + some.averaged.covariance, which))
    shares = (0.5 - level / 2.0, 0.5 + level / 2.0)
    low, high = response_quantiles(mean.distribution, obs, some.eta, spread, shares)
    return {**found, "std_error": times * np.sqrt(np.maximum(variance[:, 0], 0.0)), "lower": low, "upper": high}


def _category(mean: Mean, some: Uncertain, level: float | None) -> Columns:
    """The most probable category and its probability; of ordered ones the middle part of the distribution too."""
    p = mean.averaged(mean.at, some.eta, some.new.covariance + some.averaged.covariance)
    labels = np.array(mean.labels, dtype=object)
    best = np.argmax(np.nan_to_num(p), axis=1)
    known = np.isfinite(p).all(axis=1)
    found = {
        "category": np.where(known, labels[best], None),
        "probability": np.where(known, p[np.arange(len(p)), best], np.nan),
    }
    if level is None or not mean.distribution.family.ordered:
        return found
    total = some.covariance + some.new.covariance + some.averaged.covariance
    steps = np.cumsum(mean.averaged(mean.at, some.eta, _only(total, np.zeros(1, np.int64))), axis=1)
    for name, share in (("lower", 0.5 - level / 2.0), ("upper", 0.5 + level / 2.0)):
        place = np.minimum((steps < share - 1e-12).sum(axis=1), len(labels) - 1)
        found[name] = np.where(known, labels[place], None)
    return found
