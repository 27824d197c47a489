"""Residuals and fitted values of the training rows of generalized models, given the estimated group effects.

    response       y − E y                          (of trials, the proportions; of ordered categories, their numbers)
    pearson        over √Var y: standardized ones are the same
    deviance       sign(y − E y) √(2 (ℓ_best − ℓ)), ℓ_best the log density at the location that suits the row best
    working        response over ∂E y/∂η

References: McCullagh & Nelder (1989), section 2.4; Pierce & Schafer (1986), JASA 81.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from ..families.base import Distribution, Observations
from .linear import linear_predictors

if TYPE_CHECKING:
    from ..fit.fit import Fit

STEPS, HALVINGS = 100, 40  # of the search for the best location
STEP = 1e-6


def fitted_means(fit: Fit) -> np.ndarray:
    """E y of the training rows, (n,); probabilities of the categories, (n, K). Posterior means of sampled fits."""
    if fit.sampled:
        from .from_draws import fitted_means as of_draws

        return of_draws(fit)
    return fit.model.distribution.mean(fit.model.observations, linear_predictors(fit))


def residuals(fit: Fit, kind: str) -> np.ndarray:
    """Residuals of a generalized model, (n,); see `Fit.residuals`.

    Raises
    ------
    SettingError
        For categories without order, which have no difference to their mean.
    """
    distribution, obs, eta = fit.model.distribution, fit.model.observations, linear_predictors(fit)
    unordered = len(fit.model.design.layout.locations) > 1
    if unordered and kind != "deviance":
        raise SettingError(
            f'residuals of kind "{kind}" are not defined for categories without order',
            hint='Use kind="deviance" or "quantile".',
        )
    with np.errstate(all="ignore"):
        if unordered:
            return np.sqrt(-2.0 * _log_density(distribution, obs, eta))
        mean, variance = _moments(distribution, obs, eta)
        if fit.sampled:  # the mean over draws is not that at their mean
            fitted = fitted_means(fit)
            mean = fitted if fitted.ndim == 1 else fitted @ np.arange(fitted.shape[1])
        response = fit.model.design.response - mean
        if kind == "response":
            return np.asarray(response)
        if kind == "deviance":
            lost = _best(distribution, obs, eta) - _log_density(distribution, obs, eta)
            return np.asarray(np.sign(response) * np.sqrt(2.0 * np.maximum(lost, 0.0)))
        by = np.sqrt(variance) if kind != "working" else _slope(distribution, obs, eta)
        return np.where(response == 0.0, 0.0, response / by)


def _moments(distribution: Distribution, obs: Observations, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance; of the number of the category, for ordered ones."""
    mean = distribution.mean(obs, eta)
    if mean.ndim == 1:
        return mean, distribution.variance(obs, eta)
    numbers = np.arange(mean.shape[1])
    first = np.einsum("nk,k->n", mean, numbers)
    return first, np.einsum("nk,nk->n", mean, (numbers - first[:, None]) ** 2)


def _slope(distribution: Distribution, obs: Observations, eta: np.ndarray) -> np.ndarray:
    """∂E y/∂η of the location, by central differences."""
    step = np.zeros_like(eta)
    step[:, 0] = STEP * np.maximum(1.0, np.abs(eta[:, 0]))
    up, down = (_moments(distribution, obs, eta + sign * step)[0] for sign in (1.0, -1.0))
    return np.asarray((up - down) / (2.0 * step[:, 0]))


def _log_density(distribution: Distribution, obs: Observations, eta: np.ndarray) -> np.ndarray:
    """Of one row each, whatever it stands for."""
    return distribution.log_density(replace(obs, weights=None), eta)


def _best(distribution: Distribution, obs: Observations, eta: np.ndarray) -> np.ndarray:
    """The greatest log density over the location, the other predictors as they are: Newton with halving."""
    alone = replace(obs, weights=None)
    here = eta.copy()
    here[:, 0] = distribution.start(alone)[:, 0]
    before = _log_density(distribution, obs, eta)
    lost = ~(_log_density(distribution, obs, here) > before)
    here[lost] = eta[lost]
    for _ in range(STEPS):
        at = distribution.derivatives(alone, here, 2)
        assert at.first is not None
        assert at.second is not None
        slope, curvature = at.first[:, 0], at.second[:, 0, 0]
        step = np.where(curvature > 0.0, slope / curvature, np.sign(slope))
        step = np.where(np.isfinite(step), step, 0.0)
        moved, value = here, at.value
        for _ in range(HALVINGS):
            trial = here.copy()
            trial[:, 0] += step
            found = distribution.log_density(alone, trial)
            worse = ~(found >= at.value)
            moved, value = trial, found
            if not worse.any():
                break
            step = np.where(worse, 0.5 * step, step)
        settled = value - at.value <= 1e-14 * (1.0 + np.abs(value))
        here = np.where(worse[:, None], here, moved)
        if np.all(settled | worse):
            break
    return np.maximum(distribution.log_density(alone, here), before)
