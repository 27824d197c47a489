"""Averages and quantiles over normal linear predictors, row by row.

    E f(η̂ + R ξ),    ξ ~ N(0, I_r),    f of (n, m) linear predictors

One dimension: the trapezoidal rule, whose error falls exponentially for analytic f; its step is short where the
standard deviation is long, so that it resolves a logistic curve at any. Two: the product rule. More: a Kronecker
sequence.

Every row's result depends on that row alone and is summed in the same order: predictions of some rows are those of all.

References: Trefethen & Weideman (2014), SIAM Review 56; Niederreiter (1992), chapter 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np

Function = Callable[[np.ndarray, np.ndarray], np.ndarray]

REACH = 8.5  # standard deviations to either side
STEP = 0.5  # between nodes: of ξ, and of η
FINEST = 0.2  # step of ξ in two dimensions
NEGLIGIBLE = 1e-12  # weight below which a point where f is not defined is left out
CELLS = 20_000  # rows times points at once
POINTS = 4096  # of a sequence in three dimensions and more


def root(covariance: np.ndarray) -> np.ndarray:
    """R (n, m, r) with RR' = covariance (n, m, m); r = 1 where one predictor varies, m otherwise."""
    varying = np.flatnonzero(np.einsum("ndd->nd", covariance).max(axis=0, initial=0.0) > 0.0)
    if len(varying) <= 1:
        out = np.zeros((*covariance.shape[:2], len(varying)))
        for d in varying:
            out[:, d, 0] = np.sqrt(np.maximum(covariance[:, d, d], 0.0))
        return out
    part = np.nan_to_num(covariance[:, varying[:, None], varying])
    values, vectors = np.linalg.eigh(part)
    out = np.zeros((len(covariance), covariance.shape[1], len(varying)))
    out[:, varying] = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return out


def average(f: Function, eta: np.ndarray, spread: np.ndarray, grows: bool = False) -> np.ndarray:
    """E f(η + Rξ) of each row; NaN where f is not defined on more than a negligible part.

    Parameters
    ----------
    f : from linear predictors (k, m) and the indices of these rows (k,) to (k, …)
    spread : (n, m, r), the root R
    grows : whether f may grow like exp(2η): the weight of a normal density then lies far out
    """
    everything = np.arange(len(eta))
    if spread.shape[2] == 0 or len(eta) == 0:
        return f(eta, everything)
    out: np.ndarray | None = None
    for rows, points, weights in rules(spread, grows):
        total: np.ndarray | None = None
        for weight, value in zip(weights, _values(f, eta, spread, rows, points), strict=True):
            part = weight * value
            if weight < NEGLIGIBLE:
                part = np.nan_to_num(part, nan=0.0, posinf=np.inf)
            total = part if total is None else total + part
        assert total is not None
        if out is None:
            out = np.full((len(eta), *total.shape[1:]), np.nan)
        out[rows] = total
    assert out is not None
    return out


def sampled(f: Function, eta: np.ndarray, spread: np.ndarray, points: np.ndarray) -> np.ndarray:
    """f at every point (N, r) of each row, (N, n, …)."""
    return np.stack(list(_values(f, eta, spread, np.arange(len(eta)), points)))


def _values(
    f: Function, eta: np.ndarray, spread: np.ndarray, rows: np.ndarray, points: np.ndarray
) -> Iterator[np.ndarray]:
    """f of some rows at one point after the other; many at once where the rows are few."""
    n = len(rows)
    size = max(1, CELLS // n)
    centre, root_ = eta[rows], spread[rows]
    for first in range(0, len(points), size):
        some = points[first : first + size]
        moved = np.empty((len(some), *centre.shape))
        for i, point in enumerate(some):
            moved[i] = centre
            for j, x in enumerate(point):
                moved[i] += x * root_[:, :, j]
        found = f(moved.reshape(-1, centre.shape[1]), np.tile(rows, len(some)))
        yield from found.reshape(len(some), n, *found.shape[1:])


def rules(spread: np.ndarray, grows: bool = False) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows with the points (N, r) and weights (N,) that serve them."""
    r = spread.shape[2]
    if r > 2:
        points = sequence(POINTS, r)
        yield np.arange(len(spread)), points, np.full(len(points), 1.0 / len(points))
        return
    size = np.sqrt(np.nan_to_num(spread**2).sum(axis=1).max(axis=1))
    classes = np.ceil(np.log2(np.maximum(size, 1.0))).astype(np.int64)
    for c in np.unique(classes):
        step = STEP / 2.0 ** int(c)
        reach = REACH + (2.0 ** (int(c) + 1) if grows else 0.0)
        points, weights = grid(max(step, FINEST) if r == 2 else step, reach, r)
        yield np.flatnonzero(classes == c), points, weights


@cache
def grid(step: float, reach: float, r: int) -> tuple[np.ndarray, np.ndarray]:
    """The trapezoidal rule for the standard normal density in r dimensions."""
    half = int(np.ceil(reach / step))
    x = step * np.arange(-half, half + 1)
    w = np.exp(-0.5 * x**2)
    w /= w.sum()
    if r == 1:
        return x[w > 0.0, None], w[w > 0.0]
    weights = np.multiply.outer(w, w).ravel()
    points = np.column_stack([np.repeat(x, len(x)), np.tile(x, len(x))])
    keep = weights > 0.0
    return points[keep], weights[keep]


@cache
def sequence(n: int, r: int) -> np.ndarray:
    """n points of N(0, I_r) that fill it evenly: multiples of powers of the generalised golden ratio, modulo 1."""
    from scipy.special import ndtri

    ratio = 2.0
    for _ in range(64):  # the root of x^(r+1) = x + 1
        ratio = (1.0 + ratio) ** (1.0 / (r + 1.0))
    shares = ratio ** -np.arange(1.0, r + 1.0)
    return np.asarray(ndtri((0.5 + np.arange(1, n + 1)[:, None] * shares) % 1.0))
