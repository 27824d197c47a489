"""Quantiles of a new response whose linear predictors are uncertain: of the mixture of its distributions.

    F(y) = E P(Y ≤ y | η̂ + R ξ)

found by bisection: on the integers for discrete responses (the least y with F(y) ≥ p), else on the scale of the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from ..families.base import Distribution, Observations
from ..links import forward, inverse
from .integrals import STEP, grid, sequence

CELLS = 200_000  # rows times nodes at once
POINTS = 512  # of a sequence, in two dimensions and more
REACH, NEAR, FINEST = 6.0, 1e-3, 4
DOUBLINGS, HALVINGS = 70, 60

Below = Callable[[np.ndarray], np.ndarray]


def response_quantiles(
    distribution: Distribution, obs: Observations, eta: np.ndarray, spread: np.ndarray, shares: tuple[float, ...]
) -> list[np.ndarray]:
    """The quantiles of every row at each share, as `Observations.y` counts."""
    out = [np.full(len(eta), np.nan) for _ in shares]
    for rows, points, weights in _rules(distribution, obs, eta, spread):
        size = max(1, CELLS // len(points))
        for first in range(0, len(rows), size):
            some = rows[first : first + size]
            some = some[np.isfinite(eta[some]).all(axis=1) & np.isfinite(spread[some]).all(axis=(1, 2))]
            if len(some):
                found = _of_some(distribution, obs.take(some), eta[some], spread[some], points, weights, shares)
                for q, values in zip(out, found, strict=True):
                    q[some] = values
    return out


def _rules(
    distribution: Distribution, obs: Observations, eta: np.ndarray, spread: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows with their points and weights, close enough that the steps of the mean are within the scatter of y."""
    r, n = spread.shape[2], len(spread)
    if r == 0:
        yield np.arange(n), np.zeros((1, 0)), np.ones(1)
    elif r >= 2:
        points = sequence(POINTS, r)
        yield np.arange(n), points, np.full(len(points), 1.0 / len(points))
    else:
        with np.errstate(all="ignore"):
            up, down = (distribution.mean(obs, eta + sign * NEAR * spread[:, :, 0]) for sign in (1.0, -1.0))
            ratio = np.abs(up - down) / (2.0 * NEAR) / np.sqrt(distribution.variance(obs, eta))
        size = np.maximum(np.nan_to_num(ratio, posinf=1.0), 0.5 * np.abs(np.nan_to_num(spread)).sum(axis=(1, 2)))
        classes = np.clip(np.ceil(np.log2(np.maximum(size, 1.0))), 0, FINEST).astype(np.int64)
        for c in np.unique(classes):
            yield np.flatnonzero(classes == c), *grid(STEP / 2.0 ** int(c), REACH, 1)


def _of_some(
    distribution: Distribution, obs: Observations, eta: np.ndarray, spread: np.ndarray, points: np.ndarray,
    weights: np.ndarray, shares: tuple[float, ...],
) -> list[np.ndarray]:  # fmt: skip
    n, nodes = len(eta), len(points)
    everywhere = np.concatenate([eta + np.einsum("r,nmr->nm", point, spread) for point in points])
    many = obs.take(np.tile(np.arange(n), nodes))

    def below(y: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            parts = distribution.cdf(many, everywhere, np.tile(y, nodes))[1].reshape(nodes, n)
        total = np.zeros(n)
        for weight, part in zip(weights, parts, strict=True):
            total += weight * np.nan_to_num(part)
        return total

    with np.errstate(all="ignore"):
        centre = distribution.mean(obs, eta)
    if distribution.family.discrete:
        return [_least_integer(below, share, n) for share in shares]
    scale = distribution.family.mean_scale(distribution.links)
    if scale == "log" and np.any(below(np.zeros(n)) > 0.0):
        scale = "identity"  # a positive mean of responses that need not be
    with np.errstate(all="ignore"):
        width = np.sqrt(distribution.variance(obs, eta))
    return [_crossing(below, share, centre, width, scale) for share in shares]


def _least_integer(below: Below, share: float, n: int) -> np.ndarray:
    """The least integer y ≥ 0 with F(y) ≥ share."""
    low, high = np.full(n, -1.0), np.zeros(n)
    target = share * (1.0 - 1e-12)
    for _ in range(DOUBLINGS):
        short = below(high) < target
        if not short.any():
            break
        low = np.where(short, high, low)
        high = np.where(short, 2.0 * high + 1.0, high)
    while np.any(high - low > 1.0 + 1e-15 * high):
        middle = np.floor(0.5 * (low + high))
        if np.all((middle <= low) | (middle >= high)):
            break
        reached = below(middle) >= target
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return high


def _crossing(below: Below, share: float, centre: np.ndarray, width: np.ndarray, scale: str) -> np.ndarray:
    """F(y) = share, by bisection on the scale on which responses have no bounds."""
    with np.errstate(all="ignore"):
        start = forward(scale, centre)
        step = np.where(np.isfinite(width) & (width > 0.0), width, 1.0) if scale == "identity" else np.ones(len(centre))
    start = np.where(np.isfinite(start), start, 0.0)
    low, high = start - step, start + step
    for _ in range(DOUBLINGS):
        too_high, too_low = below(inverse(scale, low)) > share, below(inverse(scale, high)) < share
        if not (too_high.any() or too_low.any()):
            break
        step = 2.0 * step
        low, high = np.where(too_high, low - step, low), np.where(too_low, high + step, high)
    for _ in range(HALVINGS):
        middle = 0.5 * (low + high)
        reached = below(inverse(scale, middle)) >= share
        high, low = np.where(reached, middle, high), np.where(reached, low, middle)
    return inverse(scale, 0.5 * (low + high))
