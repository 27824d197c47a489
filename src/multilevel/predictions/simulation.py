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

    Parameters
    ----------
    draws : int
        Number of data sets.
    seed : int, optional
    target : {"new_group", "conditional"}
        Group effects drawn anew for each data set (parametric bootstrap), or kept at their estimates.

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
    draw = _gaussian if fit.model.is_linear else _generalized
    return draw(fit, draws, rng, target == "new_group")


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
