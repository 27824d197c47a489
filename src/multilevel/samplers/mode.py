"""The mode of a log density with gradient, and its curvature there."""

from __future__ import annotations

from typing import Any

import numpy as np

STEPS = 200
CLOSE = 1e-8  # decrement at which the mode is close enough
LONGEST = 2.0  # a step's largest coordinate
WIDTH = 1e-4  # of the differences of gradients
WIDEST, NARROWEST = 10.0, 1e-6  # standard deviations along an axis that a curvature may stand for


def find_mode(target: Any, start: np.ndarray | None = None) -> tuple[np.ndarray, float, np.ndarray]:
    """(z, log density, curvature (d, d)) at the mode: BFGS from the curvature at the start.

    The curvature is that of −log p, by differences of gradients, its eigenvalues kept positive.
    """
    z = _supported(target, np.asarray(target.start() if start is None else start, dtype=float))
    value, slope = target.gradient(z)
    h = curvature(target, z)
    fresh = True
    for _ in range(STEPS):
        step = np.linalg.solve(h, slope)
        decrement = float(step @ slope)
        if decrement < CLOSE:
            break
        step *= min(1.0, LONGEST / float(np.max(np.abs(step))))
        moved = _search(target, z, value, slope, step)
        if moved is None:
            if fresh:
                break
            h, fresh = curvature(target, z), True
            continue
        fresh = False
        new, value, new_slope = moved
        s, y = new - z, slope - new_slope
        z, slope = new, new_slope
        hs = h @ s
        if float(s @ y) > 1e-10 * float(np.sqrt((s @ s) * (y @ y))):
            h = h + np.outer(y, y) / float(s @ y) - np.outer(hs, hs) / float(s @ hs)
    return z, value, curvature(target, z)


def _supported(target: Any, z: np.ndarray) -> np.ndarray:
    """The point itself, or the best of some around it where it has no density: a prior may be bounded."""
    if np.isfinite(target.log_density(z[None])[0]):
        return z
    rng = np.random.default_rng(0)
    for size in (0.5, 1.0, 2.0, 4.0, 8.0):
        near = z + size * rng.standard_normal((50, len(z)))
        values = target.log_density(near)
        if np.any(np.isfinite(values)):
            return np.asarray(near[int(np.argmax(np.where(np.isfinite(values), values, -np.inf)))])
    return z


def _search(
    target: Any, z: np.ndarray, value: float, slope: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Halve the step until the density rises by a share of what the slope promises."""
    promised = float(step @ slope)
    size = 1.0
    for _ in range(30):
        new = z + size * step
        reached, new_slope = target.gradient(new)
        if np.isfinite(reached) and reached >= value + 1e-4 * size * promised:
            return new, reached, new_slope
        size *= 0.5
    return None


def curvature(target: Any, z: np.ndarray) -> np.ndarray:
    """−∂²log p by central differences of gradients, symmetric, with eigenvalues inside bounds."""
    d = len(z)
    h = np.empty((d, d))
    for j in range(d):
        away = np.zeros(d)
        away[j] = WIDTH
        h[j] = (target.gradient(z - away)[1] - target.gradient(z + away)[1]) / (2.0 * WIDTH)
    values, vectors = np.linalg.eigh(np.nan_to_num(0.5 * (h + h.T)))
    values = np.clip(np.abs(values), WIDEST**-2, NARROWEST**-2)
    return np.asarray((vectors * values) @ vectors.T)
