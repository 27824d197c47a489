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
from .joint_tail import Tail
from .marginal import LaplacePosterior
from .mode import positive_part

if TYPE_CHECKING:
    from ..model.model import Model

STEP = 1e-4
WIDEST = 3.0  # standard deviation of an outer coordinate at most: beyond it the mode's curvature says nothing
FLOOR = 1e-8  # of curvatures, relative to the largest
MOST_BESIDE, MOST_WORK = 60, 400_000  # coefficients and effects beside the leading factor; arithmetic of a point


@dataclass(frozen=True)
class Anchor:
    """A mode and a quadratic around it.

    Parameters
    ----------
    z : (d,), the mode
    inner, outer : coordinates that are regression coefficients, and all others
    root : lower triangular T: z_outer ≈ N(mode, TT')
    A, t : per factor (L, k, k), and (L, k)
    lead : the factor whose levels are treated one by one
    tail : coefficients and all other factors' effects around it; None where these are many, or there are no factors
    centre, spread : of the coefficients without a tail: c ≈ N(centre, spread'spread)
    """

    z: np.ndarray
    inner: np.ndarray
    outer: np.ndarray
    root: np.ndarray
    A: tuple[np.ndarray, ...]
    t: tuple[np.ndarray, ...]
    lead: int
    tail: Tail | None
    centre: np.ndarray
    spread: np.ndarray


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
    effects = np.zeros(rows.q)
    if rows.q and state.mode is not None:
        u = marginal.criterion.by_factor(state.mode.u)
        effects = np.concatenate([(part @ lam.T).ravel() for part, lam in zip(u, state.lam, strict=True)])
    return _quadratic(at, rows, z, effects, (inner, outer, root, precision))


def _quadratic(at: Coordinates, rows: JointRows, z: np.ndarray, b: np.ndarray, found) -> Anchor:  # type: ignore[no-untyped-def]
    inner, outer, root, precision = found
    columns = (inner - at.coefficients.start).tolist()
    c = z[at.coefficients]
    w = rows.curvature(c, b)
    _, by_c, by_b = rows.evaluate(c[None], b[None])
    factors = rows.rows.factors
    sizes = [f.n_levels * f.k for f in factors]
    lead = int(np.argmax(sizes)) if factors else -1
    blocks = tuple(_lifted(rows.blocks(f, w)) for f in range(len(factors)))
    own = [b[span].reshape(f.n_levels, f.k) for f, span in zip(factors, rows.spans, strict=True)]
    pulls = [by_b[0, span].reshape(v.shape) for v, span in zip(own, rows.spans, strict=True)]
    linear = tuple(pull + np.einsum("lij,lj->li", a, v) for pull, a, v in zip(pulls, blocks, own, strict=True))
    tail = None
    if factors and _small(sizes, lead, len(columns)):
        of_prior, prior_slope = _prior(at, z, inner)
        point = (c[columns], b, by_c[0, columns] + prior_slope, by_b[0])
        blocks, tail = _coupled(rows, lead, w, columns, of_prior, point)
    g = _definite(precision[np.ix_(inner, inner)])
    spread = np.linalg.inv(np.linalg.cholesky(g)) if len(g) else g
    return Anchor(z, inner, outer, root, blocks, linear, lead, tail, c[columns], spread)


def _small(sizes: list[int], lead: int, p: int) -> bool:
    """Whether what stands beside the leading factor is small enough to be factored at every point."""
    beside = sum(sizes) - sizes[lead] + p
    return beside == p or (beside <= MOST_BESIDE and sizes[lead] * beside**2 <= MOST_WORK)


def _coupled(rows, lead, w, columns, of_prior, point):  # type: ignore[no-untyped-def]
    """A of every factor and the tail: from the observed curvature if that is positive, else the rows' positive parts.

    What is asked for is that coefficients keep information however large the effects' standard deviations are.
    """
    for weights in (w, positive_part(w)):
        blocks = tuple(_lifted(rows.blocks(f, weights)) for f in range(len(rows.rows.factors)))
        tail = _tail(rows, lead, weights, columns, of_prior, point, blocks[lead])
        a, p, k = blocks[lead], len(columns), blocks[lead].shape[1]
        floor = 1e-6 * np.trace(a.sum(axis=0)) / max(len(a) * k, 1) + 1e-300
        border = np.concatenate([tail.C, tail.E], axis=2)
        _, g, _ = tail.at([np.eye(k) for _, k in tail.shapes])
        left = g - np.einsum("lkp,lkq->pq", border, np.linalg.solve(a + floor * np.eye(k), border))
        if not len(g) or np.linalg.eigvalsh(left)[0] > FLOOR * np.linalg.eigvalsh(g)[-1]:
            return blocks, tail
    tail.G[:] += 1e-3 * np.linalg.eigvalsh(g)[-1] * np.eye(p)  # coefficients that effects can take the place of
    return blocks, tail


def _tail(rows, lead, w, columns, of_prior, point, a) -> Tail:  # type: ignore[no-untyped-def]
    c, b, by_c, by_b = point
    others = [f for f in range(len(rows.rows.factors)) if f != lead]
    shapes = tuple((rows.rows.factors[f].n_levels, rows.rows.factors[f].k) for f in others)
    levels, k = a.shape[:2]
    p, q = len(c), sum(n * m for n, m in shapes)
    own = b[rows.spans[lead]].reshape(levels, k)
    beside = np.concatenate([b[rows.spans[f]] for f in others]) if others else np.zeros(0)
    border = rows.borders(lead, w, columns)
    E = np.concatenate([rows.cross(lead, f, w) for f in others], axis=2) if others else np.zeros((levels, k, 0))
    D = np.concatenate([rows.borders(f, w, columns).reshape(-1, p) for f in others]) if others else np.zeros((0, p))
    B = np.zeros((q, q))
    if others:
        B = np.concatenate(
            [np.concatenate([rows.cross(f, g, w) for g in others], axis=2).reshape(-1, q) for f in others]
        )
    G = rows.information(w, columns) + of_prior
    t = by_b[rows.spans[lead]].reshape(levels, k) + np.einsum("lij,lj->li", a, own) + border @ c + E @ beside
    r = by_c + G @ c + np.einsum("lkp,lk->p", border, own) + D.T @ beside
    pull = np.concatenate([by_b[rows.spans[f]] for f in others]) if others else np.zeros(0)
    linear = pull + B @ beside + D @ c + np.einsum("lkq,lk->q", E, own)
    return Tail(border, t, E, G, r, D, B, linear, shapes)


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
    return np.asarray(np.nan_to_num(0.5 * (out + out.T)))
