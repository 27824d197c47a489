"""Parts of a posterior's density at its draws: priors of the parameters themselves, and the rows given all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..predictions.linear import training_rows
from ..predictions.posterior import posterior, tiled, training_observations
from ..predictions.uncertain import part

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..priors.terms import TermPrior

TINY = 1e-300


def log_likelihood(fit: Fit) -> np.ndarray:
    """log p(y | draw s), group effects included, (S,), the chains one after another."""
    draws, rows, obs = posterior(fit), training_rows(fit), training_observations(fit)
    out = np.zeros(len(draws))
    step = draws.chunk()
    for at in range(0, rows.n, step):
        index = np.arange(at, min(at + step, rows.n))
        eta = draws.eta(part(rows, index))
        with np.errstate(all="ignore"):
            found = fit.model.distribution.log_density(
                tiled(obs.take(index), len(draws)), eta.reshape(-1, eta.shape[2])
            )
        out += np.asarray(found).reshape(len(draws), len(index)).sum(axis=1)
    return out


def log_prior(fit: Fit) -> np.ndarray:
    """log p of every draw's parameters as `model.priors` has them, (S,): densities on their natural scale."""
    sample, model = fit.estimates.certainty.sample, fit.model
    assert sample is not None
    priors = model.priors
    beta = np.nan_to_num(sample.flat(sample.beta))
    out = np.zeros(len(beta))
    extras = _extras(fit, len(beta))
    for item in priors.linear:
        scale = extras[:, item.scale] if item.scale >= 0 else np.ones(len(beta))
        out += item.prior.log_density(beta @ item.direction / scale) - np.log(scale)
    for (_, prior), value in zip(priors.extras, extras.T, strict=True):
        out += prior.log_density(value)
    sigma = None if sample.sigma is None else sample.flat(sample.sigma)
    constants = {name: sample.flat(v) for name, v in sample.constants.items()}
    constants |= {} if sigma is None else {"sigma": sigma}
    for name, prior in priors.constants.items():
        if name in constants:
            out += prior.log_density(constants[name])
    residual = constants.get("sigma", np.ones(len(beta)))
    for t, of_term in enumerate(priors.terms):
        out += _of_term(fit, t, sample.flat(sample.covariances[t]), of_term, residual)
    return out


def _extras(fit: Fit, n: int) -> np.ndarray:
    """Scales that priors bring, (S, E): coordinates of the sampler."""
    sample = fit.estimates.certainty.sample
    assert sample is not None
    names = [name for name, _ in fit.model.priors.extras]
    if not names:
        return np.ones((n, 0))
    z = sample.flat(sample.z)
    return np.exp(z[:, [sample.names.index(name) for name in names]])


def _of_term(fit: Fit, t: int, covariance: np.ndarray, prior: TermPrior, residual: np.ndarray) -> np.ndarray:
    """log p(sd | σ) + log p(R), or log p(Σ), of one term."""
    group, scale = fit.model.design.groups[t], fit.model.scales[t]
    k = covariance.shape[1]
    sd = np.sqrt(np.maximum(np.einsum("skk->sk", covariance), TINY))
    correlation = covariance / (sd[:, :, None] * sd[:, None, :])
    if prior.whole:
        return prior.of_factor(np.linalg.cholesky(covariance))[0]
    count = 1 if getattr(scale, "hom", False) else k
    out = prior.evaluate(sd[:, :count], residual)[0]
    if k > 1 and group.scale != "diagonal":
        sign, log_det = np.linalg.slogdet(correlation)
        out = out + (prior.eta - 1.0) * np.where(sign > 0.0, log_det, np.log(TINY))
    return np.asarray(out)
