"""A generalized linear model without group effects: Newton's method with a line search on the coefficients."""

from __future__ import annotations

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Distribution
from .mode import positive_part
from .row_terms import RowTerms

MOST_STEPS = 30


def fit_fixed(rows: LatentRows, distribution: Distribution | RowTerms, tolerance: float) -> np.ndarray:
    """Coefficients of all predictors that maximise Σ ℓ_i, close enough to start from (decrement below `tolerance`)."""
    x, owner = rows.all_columns
    c = np.zeros(rows.n_coefficients)
    for d, place in enumerate(rows.places):
        if place.stop > place.start:
            c[place] = np.linalg.lstsq(rows.x[d], rows.start[:, d] - rows.offsets[:, d], rcond=None)[0]
    with np.errstate(all="ignore"):
        at = distribution.derivatives(rows.observations, rows.fixed(c), 2)
        for _ in range(MOST_STEPS):
            assert at.first is not None
            assert at.second is not None
            value = float(at.value.sum())
            gradient = np.einsum("np,np->p", x, at.first[:, owner])
            step = _step(x, owner, at.second, gradient)
            decrement = float(gradient @ step)
            if not np.isfinite(value) or not np.all(np.isfinite(step)) or decrement < tolerance:
                break
            size = 1.0
            for _ in range(30):
                trial = distribution.derivatives(rows.observations, rows.fixed(c + size * step), 2)
                if float(trial.value.sum()) >= value + 1e-4 * size * decrement:
                    break
                size *= 0.5
            else:
                break
            c, at = c + size * step, trial
    return c


def _step(x: np.ndarray, owner: np.ndarray, w: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Newton's step with the observed information, or with the positive part of every row's."""
    for curvature in (lambda: w, lambda: positive_part(w)):
        information = _information(x, owner, curvature())
        try:
            root = np.linalg.cholesky(information)
        except np.linalg.LinAlgError:
            continue
        return np.asarray(np.linalg.solve(root.T, np.linalg.solve(root, gradient)))
    return gradient / np.maximum(np.abs(np.diag(information)), 1e-8)


def _information(x: np.ndarray, owner: np.ndarray, w: np.ndarray) -> np.ndarray:
    out = np.zeros((x.shape[1], x.shape[1]))
    for d in np.unique(owner):
        for e in np.unique(owner):
            out[np.ix_(owner == d, owner == e)] = (x[:, owner == d] * w[:, d, e, None]).T @ x[:, owner == e]
    return out
