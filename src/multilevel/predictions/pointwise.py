"""Densities and replicates of the rows of a sampled fit, one for each of its draws."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from ..families.base import Observations
from .linear import training_rows
from .posterior import posterior, tiled, training_observations
from .uncertain import part

if TYPE_CHECKING:
    from ..fit.fit import Fit

Of = Callable[[Observations, np.ndarray], np.ndarray]


def log_densities(fit: Fit) -> np.ndarray:
    """log p(y_i | η_i of draw s), (S, n), the chains one after another."""
    return _by_rows(fit, fit.model.distribution.log_density)


def replicates(fit: Fit, seed: int | None = 0) -> np.ndarray:
    """A response of every row from every draw, given its group effects: (S, n)."""
    rng = np.random.default_rng(seed)
    return _by_rows(fit, lambda obs, eta: fit.model.distribution.simulate(obs, eta, rng))


def _by_rows(fit: Fit, what: Of) -> np.ndarray:
    draws, rows, obs = posterior(fit), training_rows(fit), training_observations(fit)
    out = np.empty((len(draws), rows.n))
    step = draws.chunk()
    for at in range(0, rows.n, step):
        index = np.arange(at, min(at + step, rows.n))
        eta = draws.eta(part(rows, index))
        with np.errstate(all="ignore"):
            found = what(tiled(obs.take(index), len(draws)), eta.reshape(-1, eta.shape[2]))
        out[:, index] = np.asarray(found).reshape(len(draws), len(index))
    return out
