"""A proposal in two steps: the outer parameters τ, and the coefficients c as normal as they are given τ.

    τ ~ q(τ),    c | τ ~ t_ν(ĉ(τ), S(τ))

ĉ and the Cholesky factor of S (the logarithms of its diagonal) are known at nodes of τ and interpolated between them by
radial functions, which reproduces that coefficients spread with the standard deviations of their groups: the funnel
that a mixture of nodes would need very many for.

Reference: Wendland (2005), Scattered Data Approximation (cubic radial functions with a linear part).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np

from .proposals import Mixture, Split

DF = 6.0
BEYOND = 1.5  # how far outside the nodes' range logarithms of scales may go


def between(frame: Split, tau: np.ndarray, values: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What interpolates values (K, m) known at nodes tau (K, ·), distances measured along the frame's axes."""
    if len(tau) < tau.shape[1] + 2 or tau.shape[1] == 0:
        mean = values.mean(axis=0)
        return lambda at: np.tile(mean, (len(at), 1))
    from scipy.interpolate import RBFInterpolator

    def standard(at: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.solve(frame.axes, (at - frame.centre).T).T)

    found = RBFInterpolator(standard(tau), values, kernel="cubic", degree=1, smoothing=1e-8)
    return lambda at: np.asarray(found(standard(at)))


class Conditional:
    """The proposal over z.

    Parameters
    ----------
    outer : proposal of τ
    frame : centre and axes in which distances between τ are measured
    places : places of τ and of c in z
    tau, c, roots : (K, ·), (K, p), (K, p, p) at the nodes
    """

    def __init__(
        self, outer: Mixture, frame: Split, places: tuple[np.ndarray, np.ndarray], tau: np.ndarray, c: np.ndarray,
        roots: np.ndarray,
    ) -> None:  # fmt: skip
        self.outer, self.frame, (self.at_tau, self.at_c) = outer, frame, places
        self.tau, self.p = tau, c.shape[1]
        self.low = np.tril_indices(self.p)
        self.diagonal = self.low[0] == self.low[1]
        entries = roots[:, self.low[0], self.low[1]]
        scale = np.diagonal(roots, axis1=1, axis2=2)
        relative = entries / scale[:, self.low[0]]  # below the diagonal: over the row's own scale
        self.values = np.concatenate(
            [c, np.where(self.diagonal, np.log(np.maximum(entries, 1e-300)), relative)], axis=1
        )
        self.d = tau.shape[1] + self.p

    @cached_property
    def _interpolate(self) -> Callable[[np.ndarray], np.ndarray]:
        return between(self.frame, self.tau, self.values)

    def _inside(self, tau: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ĉ (N, p) and the root (N, p, p) of the spread of c at τ."""
        values = self._interpolate(tau)
        found, entries = values[:, : self.p], values[:, self.p :]
        known = self.values[:, self.p :]
        room = np.where(self.diagonal, BEYOND, 0.5)
        entries = np.clip(entries, known.min(axis=0) - room, known.max(axis=0) + room)
        root = np.zeros((len(tau), self.p, self.p))
        scale = np.exp(entries[:, self.diagonal])
        root[:, self.low[0], self.low[1]] = np.where(self.diagonal, 1.0, entries) * scale[:, self.low[0]]
        return found, root

    # --- a proposal ----------------------------------------------------------------------------------------------
    def points(self, uniform: np.ndarray) -> np.ndarray:
        """Points (n, d) from uniform numbers (n, d + 3): those of τ, of c, and the tails of c before the last two."""
        from scipy.special import gammaincinv, ndtri

        k = self.tau.shape[1]
        of_tau = np.concatenate([uniform[:, :k], uniform[:, -2:]], axis=1)
        tau = self.outer.points(of_tau) if k else np.zeros((len(uniform), 0))
        found, root = self._inside(tau)
        stretch = np.sqrt(0.5 * DF / gammaincinv(0.5 * DF, uniform[:, -3]))
        x = ndtri(uniform[:, k : k + self.p]) * stretch[:, None]
        z = np.empty((len(uniform), self.d))
        z[:, self.at_tau] = tau
        z[:, self.at_c] = found + np.einsum("nij,nj->ni", root, x)
        return z

    def log_density(self, z: np.ndarray) -> np.ndarray:
        tau = z[:, self.at_tau]
        found, root = self._inside(tau)
        value = self.outer.log_density(tau) if tau.shape[1] else np.zeros(len(z))
        if self.p:
            x = np.linalg.solve(root, (z[:, self.at_c] - found)[..., None])[..., 0]
            value = value - np.log(np.diagonal(root, axis1=1, axis2=2)).sum(axis=1)
            constant = math.lgamma(0.5 * (DF + self.p)) - math.lgamma(0.5 * DF) - 0.5 * self.p * math.log(math.pi * DF)
            value = value + constant - 0.5 * (DF + self.p) * np.log1p((x * x).sum(axis=1) / DF)
        return np.asarray(value)
