"""What variance partitions of generalized models are made of: the variance of an observation on a named scale.

    link       v_ε = the family's latent variance: π²/3 for logit, 1 for probit, log(1 + Var y/(E y)²) for log, …
    delta      v_ε = Var y / (∂μ/∂η)²: "observation-level variance" (for logit 1/(n π(1 − π)), with n trials)
    trigamma   v_ε = ψ₁((E y)²/Var y), log link: ψ₁(λ) of Poisson counts, ψ₁(shape) of gamma (variance of log y)

each at the population's mean response λ = mean over rows of E y, group effects integrated out, which is what a model
without predictors would estimate. Only terms of the location count; effects on further predictors (zi, sigma) have no
place in a partition of the location's variance. A factor with as many levels as rows is part of v_ε in R² (as
overdispersion), and a component of its own in the tables.

References: Nakagawa, Johnson & Schielzeth (2017), J. R. Soc. Interface 14; Goldstein, Browne & Rasbash (2002),
Understanding Statistics 1; Browne, Subramanian, Jones & Goldstein (2005), J. R. Statist. Soc. A 168.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..core.cubature import expected_mean, hermite
from ..errors import SettingError, nearest, printable
from ..formula.records import Column
from ..predictions.linear import linear_predictors

if TYPE_CHECKING:
    from ..families.base import Observations
    from ..fit.fit import Fit

SCALES = ("link", "delta", "trigamma", "response")
MOST_ROWS = 400  # on which the response scale is integrated; spread evenly over the data
NODES = 15


def check_scale(fit: Fit, scale: str) -> str:
    """The scale, refused where it is not defined.

    Raises
    ------
    SettingError
    """
    if scale not in SCALES:
        hint = nearest(str(scale), SCALES) or f"Use {', '.join(SCALES)}."
        raise SettingError(f'unknown scale "{printable(scale)}"', hint=hint)
    if fit.model.is_linear:
        return "link"
    family = fit.model.distribution.family
    if len(fit.model.design.layout.locations) > 1:
        raise SettingError(
            f'the family "{fit.model.family}" has a linear predictor for each category: no single variance to divide',
            code="E_NOT_DEFINED",
            hint="Look at variance_components, category by category.",
        )
    if scale == "response" and family.ordered:
        raise SettingError(
            "an ordinal response has no variance of its own scale", code="E_NOT_DEFINED", hint='Use scale="link".'
        )
    if scale == "trigamma" and fit.model.link != "log":
        raise SettingError(f'scale="trigamma" is for the log link, and this is "{fit.model.link}"',
                           hint='Use "link" or "delta".')  # fmt: skip
    return scale


def location(fit: Fit, t: int) -> bool:
    """Whether a group term belongs to the location."""
    return fit.model.design.groups[t].predictor < len(fit.model.design.layout.locations)


def row_variance(columns: tuple[Column, ...], covariance: np.ndarray, n: int) -> np.ndarray:
    """z'Σz of every row, (n,)."""
    out = np.zeros(n)
    for i, a in enumerate(columns):
        for j, b in enumerate(columns):
            out += covariance[i, j] * (1.0 if a is None else a) * (1.0 if b is None else b)
    return out


def marginal_means(fit: Fit) -> np.ndarray:
    """E y of every row with the location's group effects integrated out, (n,)."""
    design, distribution = fit.model.design, fit.model.distribution
    eta = linear_predictors(fit, groups=False)
    covariance = np.zeros((design.n, eta.shape[1], eta.shape[1]))
    for g, c in zip(design.groups, fit.estimates.covariances, strict=True):
        covariance[:, g.predictor, g.predictor] += row_variance(g.columns, c, design.n)
    return expected_mean(distribution, fit.model.observations, eta, covariance)


def observation_variance(fit: Fit, scale: str = "link") -> float:
    """v_ε on the link's scale, at the population's mean."""
    from ..links import forward, link

    distribution, obs = fit.model.distribution, fit.model.observations
    eta = linear_predictors(fit, groups=False)
    counts = obs.weights
    if distribution.family.ordered:
        return float(distribution.latent_variance(obs.take(slice(0, 1)), eta[:1])[0])
    centre = np.average(eta, axis=0, weights=counts)[None, :]
    means = marginal_means(fit)
    mean = np.array([np.average(means, weights=_per_trial(obs))])
    first = obs.take(slice(0, 1))
    centre[:, 0] = _location_of(fit, first, centre, mean, forward(fit.model.link, mean)[0])
    if scale == "delta":
        slope = link(fit.model.link).slope(centre[:, 0])
        trials = 1.0 if obs.trials is None else len(obs) / float(np.sum(1.0 / obs.trials))
        one = distribution.variance(first, centre)[0] * (1.0 if first.trials is None else first.trials[0])
        return float(one / trials / slope[0] ** 2)
    if scale == "trigamma":
        from scipy.special import polygamma

        shape = 1.0 / np.expm1(distribution.latent_variance(first, centre))
        return float(polygamma(1, shape)[0])
    return float(distribution.latent_variance(first, centre)[0])


def _per_trial(obs: Observations) -> np.ndarray:
    trials = np.ones(len(obs)) if obs.trials is None else obs.trials
    return np.asarray(trials if obs.weights is None else trials * obs.weights)


def _location_of(fit: Fit, obs: Observations, eta: np.ndarray, mean: np.ndarray, guess: float) -> float:
    """η of the location at which the mean response is `mean` (the link itself, or through zero inflation)."""
    from scipy.optimize import brentq

    distribution = fit.model.distribution

    def excess(value: float) -> float:
        at = eta.copy()
        at[:, 0] = value
        return float(distribution.mean(obs, at)[0] - mean[0])

    with np.errstate(all="ignore"):
        if abs(excess(guess)) <= 1e-10 * (1.0 + abs(float(mean[0]))):
            return guess
        ends = guess - 5.0, guess + 5.0
        inside = excess(ends[0]) * excess(ends[1]) < 0.0
        return float(brentq(excess, *ends)) if inside else float(eta[0, 0])


# --- the response scale --------------------------------------------------------------------------------------------
def response_variances(fit: Fit, together: Mapping[str, Sequence[str]] | None = None) -> dict[str, float]:
    """Var E(y | effects) of each grouping factor, of all of them (``""``), and E Var(y | effects) (``"Residual"``).

    Averages over rows at their own predictors; for trials of single ones. `together` names the factors whose effects
    are known with each.
    """
    from ..glossary import RESIDUAL

    design, obs = fit.model.design, fit.model.observations
    rows = np.unique(np.linspace(0, design.n - 1, min(design.n, MOST_ROWS)).astype(np.int64))
    eta, some = linear_predictors(fit, groups=False)[rows], obs.take(rows)
    added = added_variances(fit, rows)
    total = sum(added.values()) if added else np.zeros(len(rows))
    weights = _per_trial(some)
    mean, square, residual = _moments(fit, some, eta, np.asarray(total))
    out = {
        "": float(np.average(square - mean**2, weights=weights)),
        RESIDUAL: float(np.average(residual, weights=weights)),
    }
    for label in added:
        own = np.sum([added[g] for g in (together[label] if together else (label,)) if g in added], axis=0)
        out[label] = float(np.average(_between(fit, some, eta, own, total - own) - mean**2, weights=weights))
    return out


def added_variances(fit: Fit, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
    """z'Σz of each grouping factor of the location for some rows."""
    design = fit.model.design
    out: dict[str, np.ndarray] = {}
    for t, (g, c) in enumerate(zip(design.groups, fit.estimates.covariances, strict=True)):
        if location(fit, t):
            out[g.label] = out.get(g.label, 0.0) + row_variance(g.columns, c, design.n)[rows]
    return out


def _shifted(eta: np.ndarray, by: np.ndarray) -> np.ndarray:
    out = eta.copy()
    out[:, 0] += by
    return out


def _moments(fit: Fit, obs: Observations, eta: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E μ, E μ² and E Var(y | μ) over N(η, v); of a single trial."""
    distribution = fit.model.distribution
    trials = 1.0 if obs.trials is None else obs.trials
    first, second, within = (np.zeros(len(eta)) for _ in range(3))
    for t, w in zip(*hermite(2 * NODES + 1), strict=True):
        at = _shifted(eta, t * np.sqrt(v))
        mean = distribution.mean(obs, at)
        first += w * mean
        second += w * mean**2
        within += w * trials * distribution.variance(obs, at)
    return first, second, within


def _between(fit: Fit, obs: Observations, eta: np.ndarray, own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """E over one factor's effects of the squared mean over all others' effects."""
    distribution = fit.model.distribution
    out = np.zeros(len(eta))
    for t, w in zip(*hermite(NODES), strict=True):
        mean = np.zeros(len(eta))
        for s, v in zip(*hermite(NODES), strict=True):
            mean += v * distribution.mean(obs, _shifted(eta, t * np.sqrt(own) + s * np.sqrt(np.maximum(others, 0.0))))
        out += w * mean**2
    return out
