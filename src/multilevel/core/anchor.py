"""Where a posterior is, roughly: its mode with the effects integrated out, and a quadratic log-likelihood there.

    log p(y | c, b) ≈ −½ Σ b'A b − Σ b'C c − ½ c'G c + Σ t'b + r'c + …      (priors of c are part of G and r)

What follows from it is a map between the posterior and white noise (`joint.py`): it need not be good for draws to be
exact, only for them to be quick.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .coordinates import Coordinates
from .joint_rows import JointRows
from .marginal import LaplacePosterior
from .mode import positive_part

if TYPE_CHECKING:
    from ..model.model import Model

STEP = 1e-4
WIDEST = 3.0  # standard deviation of an outer coordinate at most: beyond it the mode's curvature says nothing
FLOOR = 1e-8  # of curvatures, relative to the largest


@dataclass(frozen=True)
class Anchor:
    """A mode and a quadratic around it.

    Parameters
    ----------
    z : (d,), the mode
    inner, outer : coordinates that are regression coefficients, and all others
    root : lower triangular T: z_outer ≈ N(mode, TT')
    A, T : per factor (L, k, k), and [C t] (L, k, p + 1); without C where factors are several
    G, r : (p, p) and (p,)
    """

    z: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    root: np.ndarray
    A: tuple[np.ndarray, ...]
    T: tuple[np.ndarray, ...]
    G: np.ndarray
    r: np.ndarray


def anchor(model: Model, marginal: LaplacePosterior, rows: JointRows) -> Anchor:
    """The anchor of a model's posterior."""
    at = marginal.coordinates
    constants = {at.coefficients.start + place for _, _, place in at.constants}
    inner = np.array([j for j in range(at.coefficients.start, at.coefficients.stop) if j not in constants], np.int64)
    outer = np.setdiff1d(np.arange(at.d), inner)
    z = highest(marginal.gradient, marginal.start())
    precision = -differences(marginal.gradient, z)
    root = _root(precision, outer)
    state = marginal.evaluate(marginal.phi(z[None])[0])
    effects = np.zeros(0)
    if rows.q and state.mode is not None:
        u = marginal.criterion.by_factor(state.mode.u)
        effects = np.concatenate([(part @ lam.T).ravel() for part, lam in zip(u, state.lam, strict=True)])
    return _quadratic(at, rows, z, effects, (inner, outer, root, precision))


def _quadratic(at: Coordinates, rows: JointRows, z: np.ndarray, b: np.ndarray, found) -> Anchor:  # type: ignore[no-untyped-def]
    inner, outer, root, precision = found
    columns = (inner - at.coefficients.start).tolist()
    c = z[at.coefficients]
    observed = rows.curvature(c, b)
    _, by_c, by_b = rows.evaluate(c[None], b[None])
    of_prior, prior_slope = _prior(at, z, inner)
    c, score, p = c[columns], by_c[0, columns] + prior_slope, len(columns)
    factors = rows.rows.factors
    own = [b[span].reshape(f.n_levels, f.k) for f, span in zip(factors, rows.spans, strict=True)]
    pulls = [by_b[0, span].reshape(v.shape) for v, span in zip(own, rows.spans, strict=True)]
    if len(factors) == 1:
        a, border, g = _coupled(rows, observed, columns, of_prior)
        t = pulls[0] + np.einsum("lij,lj->li", a, own[0]) + border @ c
        r = score + g @ c + np.einsum("lkp,lk->p", border, own[0])
        whole = np.ascontiguousarray(np.concatenate([border, t[:, :, None]], axis=2))
        return Anchor(z, inner, outer, root, (a,), (whole,), g, r)
    blocks = tuple(_lifted(rows.blocks(f, observed)) for f in range(len(factors)))
    linear = tuple(
        np.ascontiguousarray((pull + np.einsum("lij,lj->li", a, v))[:, :, None])
        for pull, a, v in zip(pulls, blocks, own, strict=True)
    )
    # coefficients as the mode's curvature has them, whatever the other coordinates
    g = _definite(precision[np.ix_(inner, inner)]) if factors else _definite(rows.information(observed, columns) + of_prior)
    return Anchor(z, inner, outer, root, blocks, linear, g, g @ c if p else np.zeros(0))


def _coupled(rows: JointRows, observed: np.ndarray, columns: list[int], of_prior: np.ndarray):  # type: ignore[no-untyped-def]
    """A, C and G of one factor: from the observed curvature where that is positive, else from the rows' positive parts.

    What is asked for is that coefficients keep information however large the effects' standard deviations are.
    """
    for w in (observed, positive_part(observed)):
        a, border = _lifted(rows.blocks(0, w)), rows.borders(0, w, columns)
        g = rows.information(w, columns) + of_prior
        k = a.shape[1]
        floor = 1e-6 * np.trace(a.sum(axis=0)) / max(len(a) * k, 1) + 1e-300
        left = g - np.einsum("lkp,lkq->pq", border, np.linalg.solve(a + floor * np.eye(k), border))
        if not len(g) or np.linalg.eigvalsh(left)[0] > FLOOR * np.linalg.eigvalsh(g)[-1]:
            return a, border, g
    lift = 1e-3 * np.linalg.eigvalsh(g)[-1] * np.eye(len(g))  # coefficients that effects can take the place of
    return a, border, g + lift


def _lifted(blocks: np.ndarray) -> np.ndarray:
    """The positive parts of symmetric blocks (L, k, k)."""
    return np.ascontiguousarray(positive_part(blocks))


def _prior(at: Coordinates, z: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−∂² log p(c) (its positive part) and ∂ log p(c) at z."""
    shifts = np.zeros((2 * len(inner) + 1, at.d))
    for i, j in enumerate(inner):
        shifts[2 * i, j], shifts[2 * i + 1, j] = STEP, -STEP
    slopes = at.log_prior(z + shifts)[1][:, inner]
    bend = -(slopes[0:-1:2] - slopes[1:-1:2]) / (2.0 * STEP)
    values, vectors = np.linalg.eigh(0.5 * (bend + bend.T)) if len(inner) else (np.zeros(0), np.zeros((0, 0)))
    return (vectors * np.maximum(values, 0.0)) @ vectors.T, slopes[-1]


def _definite(a: np.ndarray) -> np.ndarray:
    """A symmetric matrix with its small and negative eigenvalues lifted."""
    if not len(a):
        return a
    values, vectors = np.linalg.eigh(0.5 * (a + a.T))
    lifted = np.maximum(values, FLOOR * max(values[-1], 1e-300))
    return np.asarray((vectors * lifted) @ vectors.T)


def _root(precision: np.ndarray, outer: np.ndarray) -> np.ndarray:
    """T with TT' the covariance of the outer coordinates."""
    values, vectors = np.linalg.eigh(0.5 * (precision + precision.T))
    values = np.where(values > FLOOR * max(values[-1], 1e-300), values, 1.0 / WIDEST**2)
    covariance = ((vectors / values) @ vectors.T)[np.ix_(outer, outer)]
    sd = np.sqrt(np.diag(covariance))
    shorter = np.minimum(1.0, WIDEST / sd)
    return np.linalg.cholesky(covariance * np.outer(shorter, shorter)) if len(outer) else np.zeros((0, 0))


Gradient = Callable[[np.ndarray], tuple[float, np.ndarray]]


def highest(gradient: Gradient, start: np.ndarray) -> np.ndarray:
    """The mode of a density from a start, by BFGS."""
    from scipy.optimize import minimize

    def downhill(z: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = gradient(z)
        return (-value, -slope) if np.isfinite(value) else (1e300, np.zeros_like(slope))

    found = minimize(downhill, start, jac=True, method="BFGS", options={"maxiter": 300, "gtol": 1e-4})
    return np.asarray(found.x)


def differences(gradient: Gradient, z: np.ndarray) -> np.ndarray:
    """The Hessian of a density by central differences of its gradient."""
    out = np.empty((len(z), len(z)))
    for j in range(len(z)):
        step = np.zeros(len(z))
        step[j] = STEP
        out[j] = (gradient(z + step)[1] - gradient(z - step)[1]) / (2.0 * STEP)
    return 0.5 * (out + out.T)
