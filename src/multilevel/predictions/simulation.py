"""Responses simulated from a fit at its estimates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, printable
from ..formula.design import GroupColumns
from .linear import linear_predictors, training_rows
from .targets import _combination, _estimate

if TYPE_CHECKING:
    from ..fit.fit import Fit


def simulate(fit: Fit, draws: int = 1, *, seed: int | None = None, target: str = "new_group") -> np.ndarray:
    """Responses simulated from the fitted model at its estimates, for the training rows.

    Of a sampled fit: posterior predictive draws, each data set from another draw of all parameters.

    Parameters
    ----------
    draws : int
        Number of data sets.
    seed : int, optional
    target : {"new_group", "conditional"}
        Group effects drawn anew for each data set (parametric bootstrap), or kept at their estimates (of sampled fits,
        those of the draw).

    Returns
    -------
    (draws, n) array
        Numbers of successes for trials, indices of the categories (0 first) for ordinal and categorical responses. Rows
        that are censored get the response that would have been seen without; truncated ones stay within their bounds.

    Notes
    -----
    With ``y | weights(w)`` a row stands for w equal ones, and gets one response for all of them: write the rows out to
    simulate each. Precisions divide the variance of their row.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> fit.simulate(2, seed=1).shape
    (2, 1500)
    """
    if target not in ("new_group", "conditional"):
        message = f'simulate cannot use target="{printable(target)}"'
        raise SettingError(message, hint='Use "new_group" or "conditional".')
    rng = np.random.default_rng(seed)
    if fit.sampled:
        return _from_posterior(fit, draws, rng, target == "new_group")
    draw = _gaussian if fit.model.is_linear else _generalized
    return draw(fit, draws, rng, target == "new_group")


def posterior_predictive(
    fit: Fit, draws: int = 100, *, seed: int | None = None, target: str = "conditional"
) -> np.ndarray:
    """Replicated responses of the rows of a fit, each from another draw of its parameters.

        y*_s ~ family(η(β_s, b_s)),    s = 1, …, draws

    Parameters
    ----------
    fit : Fit
        Of a sampled fit, draws from the posterior predictive distribution; of a likelihood fit, responses simulated at
        its estimates.
    draws : int
        Number of data sets; at most one from each draw of the posterior where there are enough.
    seed : int, optional
    target : {"conditional", "new_group"}
        The groups of the data, or new ones of the same population in their place.

    Returns
    -------
    (draws, n) array
        As `Fit.simulate`.

    Raises
    ------
    SettingError
        For another target.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> ml.posterior_predictive(fit, 3, seed=1).shape
    (3, 1500)

    References
    ----------
    Gelman, Meng & Stern (1996), Statistica Sinica 6.
    """
    return simulate(fit, draws, seed=seed, target=target)


def _from_posterior(fit: Fit, draws: int, rng: np.random.Generator, anew: bool) -> np.ndarray:
    """One data set from each of some draws; new groups have effects from that draw's population, a level each."""
    from .posterior import posterior, training_observations

    whole, rows, obs = posterior(fit), training_rows(fit), training_observations(fit)
    index = rng.permutation(len(whole))[:draws] if draws <= len(whole) else rng.integers(0, len(whole), draws)
    skip = tuple(range(len(rows.groups))) if anew else ()
    out = np.empty((draws, rows.n))
    for i, s in enumerate(index):
        one = whole.take(np.array([s]))
        eta = one.eta(rows, skip=skip)[0]
        for group, covariance in zip(rows.groups, one.covariances, strict=True) if anew else ():
            eta[:, group.predictor] += new_effects(group, covariance[0], rng)
        out[i] = fit.model.distribution.simulate(obs, eta, rng)
    return out


def _gaussian(fit: Fit, draws: int, rng: np.random.Generator, anew: bool) -> np.ndarray:
    design, estimates = fit.model.design, fit.estimates
    rows = training_rows(fit)
    targets = {label: "reference" if anew else "conditional" for label in fit.model.groups}
    mean = _estimate(fit, rows, _combination(fit, rows, targets))
    sd = np.full(design.n, estimates.sigma or 1.0) if design.known_se is None else design.known_se
    if design.weights is not None and design.weights_kind == "precision":
        sd = sd / np.sqrt(design.weights)
    out = np.empty((draws, design.n))
    for i in range(draws):
        out[i] = mean + sd * rng.standard_normal(design.n)
        if anew:
            for group, covariance in zip(design.groups, estimates.covariances, strict=True):
                out[i] += new_effects(group, covariance, rng)
    return out


def _generalized(fit: Fit, draws: int, rng: np.random.Generator, anew: bool) -> np.ndarray:
    model = fit.model
    fixed = linear_predictors(fit, groups=not anew)
    out = np.empty((draws, model.design.n))
    for i in range(draws):
        eta = fixed.copy() if anew else fixed
        if anew:
            for group, covariance in zip(model.design.groups, fit.estimates.covariances, strict=True):
                eta[:, group.predictor] += new_effects(group, covariance, rng)
        out[i] = model.distribution.simulate(model.observations, eta, rng)
    return out


def new_effects(group: GroupColumns, covariance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Z b for effects drawn from N(0, Σ), column by column (no n × k matrix)."""
    values, vectors = np.linalg.eigh(covariance)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    b = rng.standard_normal((len(group.levels), len(values))) @ root.T
    out = np.zeros(len(group.codes))
    for j, column in enumerate(group.columns):
        part = b[group.codes, j]
        out += part if column is None else part * column
    return out
