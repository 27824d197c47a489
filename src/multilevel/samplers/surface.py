"""A log density that is dear to evaluate, and nearly quadratic, as a cubic fitted at a few points.

    log p(z) ≈ log prior(z) + P₃(x),   x = R'(z − m),   RR' the curvature at the mode m

P₃ is fitted by least squares to values and gradients at points within `REACH` of the mode. With thousands of levels the
likelihood is like that: what is left out falls with their number. That is not taken for granted: the fit is compared
with the density at draws from the posterior itself, and refused where it is off by more than `MOST_ERROR`. Beyond the
points it goes on as a straight line from the mode outwards, which falls.

Reference: Gutmann & Corander (2016), JMLR 17, for surrogates of log densities in general.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations_with_replacement, permutations

import numpy as np

from ..core.marginal import LaplacePosterior
from ..numerics.threads import threads_for
from .importance import Weighted, importance, systematic
from .mode import find_mode

REACH, FARTHEST = 2.0, 3.0  # beyond √d: distances up to which points are evaluated, and the polynomial is used
SPARE = 1.6  # equations for each coefficient
STEPS, SIZES, LONGEST = 25, (1.0, 0.5, 0.25, 0.1, 0.02), 2.0  # of the search
CLOSE = 1e-2  # decrement at which the mode is close enough: points stand around it, nothing else
CHECKS = 10  # draws at which the surface is compared with the density
MOST_ERROR = 0.1  # of the log density there
MOST_COORDINATES = 20
CHUNK = 4096  # points at once
FLATTER = 0.1  # least weight of an equation far out


@dataclass(frozen=True, eq=False)
class Surface:
    """The target's log density with its likelihood replaced; has what importance sampling asks of a target.

    Parameters
    ----------
    target : whose coordinates have the prior
    mode : (d,);  root : (d, d), x = root'(z − mode)
    tensor : (d + 1, d + 1, d + 1), symmetric: P₃ = Σ t_ijk w_i w_j w_k with w = (1, x)
    """

    target: LaplacePosterior
    mode: np.ndarray
    root: np.ndarray
    tensor: np.ndarray

    @property
    def d(self) -> int:
        return len(self.mode)

    def start(self) -> np.ndarray:
        return self.mode

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log p at points (N, d), up to the constants that the target's has."""
        x = (z - self.mode) @ self.root
        r = np.sqrt((x * x).sum(axis=1))
        inside = np.minimum(1.0, (np.sqrt(self.d) + FARTHEST) / np.maximum(r, 1e-300))
        at = x * inside[:, None]
        value, slopes = self._likelihood(at)
        out = np.flatnonzero(inside < 1.0)
        along = (slopes[out] * x[out]).sum(axis=1) / r[out]
        value[out] += np.minimum(along, -1.0) * r[out] * (1.0 - inside[out])
        return np.asarray(value + self.target.coordinates.log_prior(z)[0])

    def _likelihood(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """P₃ (N,) and its derivatives by x (N, d)."""
        wide = self.d + 1
        value, slopes = np.empty(len(x)), np.empty((len(x), wide))
        flat = np.ascontiguousarray(self.tensor.reshape(wide, -1))
        for first in range(0, len(x), CHUNK):
            part = slice(first, first + CHUNK)
            w = np.concatenate([np.ones((len(x[part]), 1)), x[part]], axis=1)
            twice = (w @ flat).reshape(-1, wide, wide) @ w[:, :, None]
            value[part], slopes[part] = (twice[:, :, 0] * w).sum(axis=1), 3.0 * twice[:, :, 0]
        return value, slopes[:, 1:]

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """log p and its gradient at one point (d,)."""
        slope = self.root @ self._likelihood(((z - self.mode) @ self.root)[None])[1][0]
        return float(self.log_density(z[None])[0]), slope + self.target.coordinates.log_prior(z[None])[1][0]


def triples(d: int) -> np.ndarray:
    """The monomials of degree up to 3 as triples (K, 3) of places in (1, x₁, …, x_d)."""
    return np.array(list(combinations_with_replacement(range(d + 1), 3)))


def columns(x: np.ndarray) -> np.ndarray:
    """The monomials at points (N, d): (N, K)."""
    with_one = np.concatenate([np.ones((len(x), 1)), x], axis=1)
    i, j, k = triples(x.shape[1]).T
    return np.asarray(with_one[:, i] * with_one[:, j] * with_one[:, k])


def slope_columns(x: np.ndarray) -> np.ndarray:
    """Their derivatives by each coordinate, (N, d, K)."""
    n, d = x.shape
    with_one = np.concatenate([np.ones((n, 1)), x], axis=1)
    places = triples(d)
    out = np.zeros((n, d, len(places)))
    for a in range(3):
        b, c = (places[:, other] for other in range(3) if other != a)
        product = with_one[:, b] * with_one[:, c]
        for m in range(d):
            out[:, m] += np.where(places[:, a] == m + 1, product, 0.0)
    return out


def about_mode(target: LaplacePosterior) -> tuple[np.ndarray, np.ndarray]:
    """A point near the mode, and a model of the curvature there: BFGS from the information at the start."""
    z = target.start()
    value, slope = target.gradient(z)
    h = target.information(z) if np.isfinite(value) else np.eye(target.d)
    for _ in range(STEPS if np.isfinite(value) else 0):
        step = np.linalg.solve(h, slope)
        promised = float(step @ slope)
        if promised < CLOSE:
            return z, h
        step *= min(1.0, LONGEST / float(np.max(np.abs(step))))
        for size in SIZES:
            new, new_slope = target.gradient(z + size * step)
            if np.isfinite(new) and new > value:
                break
        else:
            break
        s, y = size * step, slope - new_slope
        z, value, slope, hs = z + s, new, new_slope, h @ s
        if float(s @ y) > 0.0:
            h = h + np.outer(y, y) / float(s @ y) - np.outer(hs, hs) / float(s @ hs)
    mode, _, curvature = find_mode(target)
    return mode, curvature


def fitted(target: LaplacePosterior, rng: np.random.Generator) -> Surface | None:
    """The surface around the mode; None where the density is not finite at a point."""
    mode, curvature = about_mode(target)
    target.settle(mode)
    root = np.linalg.cholesky(curvature)
    inverse = np.linalg.inv(root)
    target.sharpen(mode, inverse)
    d = target.d
    count = int(np.ceil(SPARE * len(triples(d)) / (d + 1))) + 1
    x = rng.standard_normal((count, d))
    x *= (np.linspace(0.0, np.sqrt(d) + REACH, count) / np.sqrt((x * x).sum(axis=1)))[:, None]
    values, slopes = np.empty(count), np.empty((count, d))
    for i, z in enumerate(mode + x @ inverse):
        value, slope = target.gradient(z)
        prior, by_prior = target.coordinates.log_prior(z[None])
        values[i], slopes[i] = value - prior[0], inverse @ (slope - by_prior[0])
    if not np.all(np.isfinite(values)):
        return None
    weight = np.maximum(np.exp(-0.125 * (x * x).sum(axis=1)), FLATTER)
    level = values[0]  # large, and the same in all: out of the equations
    left = np.concatenate([columns(x) * weight[:, None], *np.swapaxes(slope_columns(x) * weight[:, None, None], 0, 1)])
    right = np.concatenate([(values - level) * weight, (slopes * weight[:, None]).T.ravel()])
    q, r = np.linalg.qr(left)
    found = np.linalg.solve(r, q.T @ right)
    found[0] += level
    return Surface(target, mode, root, symmetric(d, found))


def symmetric(d: int, coefficients: np.ndarray) -> np.ndarray:
    """The monomials' coefficients (K,) as a symmetric tensor (d + 1, d + 1, d + 1)."""
    out = np.zeros((d + 1, d + 1, d + 1))
    for order in permutations(triples(d).T):
        np.add.at(out, tuple(order), coefficients / 6.0)
    return out


def surface_points(target: LaplacePosterior, points: int, rng: np.random.Generator) -> tuple[Weighted, int] | None:
    """Weighted points of z by the surface, and how often the density was evaluated for it.

    None where the surface is not good enough.
    """
    if target.d > MOST_COORDINATES:
        return None
    before = target.criterion.evaluations
    with threads_for(target.d), target.helped():
        surface = fitted(target, rng)
        if surface is None:
            return None
        found = importance(surface, points, int(rng.integers(2**32)), points, 4 * points)
        some = found.z[systematic(found.log_weights, CHECKS, rng)]
        gap = target.log_density(some) - surface.log_density(some)
    error = float(np.max(np.abs(gap - np.mean(gap))))
    if not error < MOST_ERROR:
        return None
    return replace(found, surface_error=error), target.criterion.evaluations - before
