"""Densities to propose points from: Student's t about a mode with a scale of its own on each side of every axis, and
mixtures of ordinary ones fitted to weighted points.

    z = m + A x,   x_j = s_j^± t_j,   t ~ t_ν(0, I),   the side of axis j drawn in proportion to s_j^±

so that the density is continuous. ν = 6: tails heavier than those of log standard deviations and correlations, which
fall exponentially.

References: Geweke (1989), Econometrica 57, for the split t; Peel & McLachlan (2000), Statistics and Computing 10, for
mixtures of t.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..numerics.lattice import lattice

DF = 6.0
STEPS = 8  # of the EM algorithm
PSEUDO = 10.0  # observations that the whole covariance counts for in each component's


class Proposal(Protocol):
    """A density on R^d that turns uniform numbers into points."""

    def points(self, uniform: np.ndarray) -> np.ndarray:
        """Points (n, d) from uniform numbers (n, d + 2)."""

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """Its logarithm at points (n, d)."""


@dataclass(frozen=True)
class Split:
    """t_ν with two scales an axis.

    Parameters
    ----------
    centre : (d,)
    axes : (d, d), columns are the axes
    left, right : (d,), scales along them
    """

    centre: np.ndarray
    axes: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def points(self, uniform: np.ndarray) -> np.ndarray:
        from scipy.special import ndtri

        share = self.left / (self.left + self.right)
        u = uniform[:, :-2]
        on_left = u < share
        inside = np.where(on_left, 0.5 * u / share, 0.5 + 0.5 * (u - share) / (1.0 - share))
        x = ndtri(np.clip(inside, 1e-300, 1.0 - 1e-16)) * np.where(on_left, self.left, self.right)
        return np.asarray(self.centre + (x * _stretch(uniform[:, -2])[:, None]) @ self.axes.T)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        x = np.linalg.solve(self.axes, (z - self.centre).T).T
        t = x / np.where(x < 0.0, self.left, self.right)
        constant = float(np.log(2.0 / (self.left + self.right)).sum()) - float(np.linalg.slogdet(self.axes)[1])
        return _log_t((t**2).sum(axis=1), len(self.centre)) + constant


@dataclass(frozen=True)
class Mixture:
    """A mixture of t_ν: shares (K,), centres (K, d), and lower triangular roots (K, d, d)."""

    shares: np.ndarray
    centres: np.ndarray
    roots: np.ndarray

    def points(self, uniform: np.ndarray) -> np.ndarray:
        """The last uniform number chooses the component, each as often as its share says."""
        from scipy.special import ndtri

        rank = np.argsort(np.argsort(uniform[:, -1], kind="stable"), kind="stable")
        ends = np.round(np.cumsum(self.shares) * len(uniform)).astype(int)
        component = np.searchsorted(ends, rank, side="right").clip(max=len(ends) - 1)
        x = ndtri(uniform[:, :-2]) * _stretch(uniform[:, -2])[:, None]
        return np.asarray(self.centres[component] + np.einsum("nij,nj->ni", self.roots[component], x))

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(np.logaddexp.reduce(self._parts(z)[0], axis=1))

    def _parts(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log of every component's share of the density, and squared distances: (n, K)."""
        d = z.shape[1]
        distance = np.empty((len(z), len(self.shares)))
        log_det = np.empty(len(self.shares))
        for k, (centre, root) in enumerate(zip(self.centres, self.roots, strict=True)):
            distance[:, k] = (np.linalg.solve(root, (z - centre).T) ** 2).sum(axis=0)
            log_det[k] = np.log(np.diagonal(root)).sum()
        return _log_t(distance, d) - log_det + np.log(self.shares), distance

    def joined(self, other: Mixture, share: float) -> Mixture:
        """With the components of another, which get a share of the whole."""
        return Mixture(
            np.concatenate([(1.0 - share) * self.shares, share * other.shares]),
            np.concatenate([self.centres, other.centres]),
            np.concatenate([self.roots, other.roots]),
        )

    def refined(self, z: np.ndarray, weights: np.ndarray, whole: np.ndarray) -> Mixture:
        """One step of the EM algorithm; weights sum to their effective number."""
        parts, distance = self._parts(z)
        member = np.exp(parts - np.logaddexp.reduce(parts, axis=1)[:, None]) * weights[:, None]
        pull = member * (DF + z.shape[1]) / (DF + distance)
        counts = member.sum(axis=0)
        centres, roots = self.centres.copy(), self.roots.copy()
        for k in range(len(counts)):
            if counts[k] < 1.0:
                continue
            centres[k] = pull[:, k] @ z / pull[:, k].sum()
            away = z - centres[k]
            spread = (away * pull[:, k, None]).T @ away + PSEUDO * whole / len(counts)
            roots[k] = np.linalg.cholesky(spread / (counts[k] + PSEUDO))
        return Mixture(np.maximum(counts, 1e-3 * counts.sum()) / np.maximum(counts, 1e-3 * counts.sum()).sum(),
                       centres, roots)  # fmt: skip


def mixture(z: np.ndarray, weights: np.ndarray, components: int) -> Mixture:
    """A mixture fitted to weighted points; it starts as slices along the longest axis, of equal weight."""
    centre, covariance = moments(z, weights)
    along = (z - centre) @ np.linalg.eigh(covariance)[1][:, -1]
    order = np.argsort(along, kind="stable")
    place = np.empty(len(z))
    place[order] = np.cumsum(weights[order]) - 0.5 * weights[order]
    slices = np.minimum((place * components).astype(int), components - 1)
    centres, roots = [], []
    for k in range(components):
        part = np.where(slices == k, weights, 0.0)
        if part.sum() <= 0.0:
            continue
        own, spread = moments(z, part / part.sum())
        centres.append(own)
        roots.append(np.linalg.cholesky(spread + 0.1 * covariance))
    found = Mixture(np.full(len(centres), 1.0 / len(centres)), np.array(centres), np.array(roots))
    effective = weights / float((weights**2).sum())
    for _ in range(STEPS):
        found = found.refined(z, effective, covariance)
    return found


def moments(z: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of weighted points, kept regular."""
    centre = weights @ z
    away = z - centre
    covariance = (away * weights[:, None]).T @ away
    return centre, covariance + np.diag(1e-8 * np.maximum(np.diag(covariance), 1e-8))


def propose(parts: Sequence[tuple[Proposal, int]], d: int, rng: np.random.Generator) -> np.ndarray:
    """So many points of each proposal, one below another."""
    return np.concatenate([proposal.points(lattice(n, d + 2, rng)) for proposal, n in parts if n])


def _stretch(uniform: np.ndarray) -> np.ndarray:
    """(ν/χ²_ν)^½ by the inverse distribution function."""
    from scipy.special import gammaincinv

    return np.sqrt(0.5 * DF / gammaincinv(0.5 * DF, uniform))


def _log_t(distance: np.ndarray, d: int) -> np.ndarray:
    """Log density of t_ν(0, I) in d dimensions."""
    constant = math.lgamma(0.5 * (DF + d)) - math.lgamma(0.5 * DF) - 0.5 * d * math.log(math.pi * DF)
    return np.asarray(constant - 0.5 * (DF + d) * np.log1p(distance / DF))
