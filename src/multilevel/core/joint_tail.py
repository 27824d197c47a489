"""Coefficients and the effects of small trailing factors as one vector beside the largest factor's levels.

    c⁺ = (c, u_T),    b_T = Λ u_T,    [C⁺ t] = [C  EΛ  t],    G⁺ = (G  D'Λ; Λ'D  I + Λ'BΛ),    r⁺ = (r, Λ't_T)

with E, D and B the weighted cross-products of the trailing effects with the leading levels, the coefficients and
themselves. `numerics/whitened.py` then treats c⁺ as it would coefficients; derivatives come back through the same sums.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Tail:
    """The quadratic around a leading factor.

    Parameters
    ----------
    C, t : (L, k, p), (L, k), of the leading factor;  E : (L, k, q)
    G, r : (p, p), (p,);  D : (q, p);  B : (q, q);  linear : (q,), t_T
    shapes : (levels, k) of each trailing factor; q is the sum of their products
    """

    C: np.ndarray
    t: np.ndarray
    E: np.ndarray
    G: np.ndarray
    r: np.ndarray
    D: np.ndarray
    B: np.ndarray
    linear: np.ndarray
    shapes: tuple[tuple[int, int], ...]

    @property
    def p(self) -> int:
        """Number of coefficients."""
        return len(self.r)

    @property
    def q(self) -> int:
        """Number of trailing effects."""
        return len(self.linear)

    @cached_property
    def _parts(self) -> list[slice]:
        ends = np.cumsum([0, *(levels * k for levels, k in self.shapes)])
        return [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]

    def _times(self, columns: np.ndarray, lam: list[np.ndarray]) -> np.ndarray:
        """(…, q) times Λ."""
        out = [
            (columns[..., part].reshape(*columns.shape[:-1], *shape) @ v).reshape(*columns.shape[:-1], -1)
            for part, shape, v in zip(self._parts, self.shapes, lam, strict=True)
        ]
        return np.concatenate(out, axis=-1) if out else columns

    def at(self, lam: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[C⁺ t] (L, k, p + q + 1), G⁺ and r⁺ for λ of the trailing factors."""
        p = self.p
        whole = np.concatenate([self.C, self._times(self.E, lam), self.t[:, :, None]], axis=2)
        g = np.eye(p + self.q)
        g[:p, :p] = self.G
        if self.q:
            g[p:, :p] = self._times(self.D.T, lam).T
            g[:p, p:] = g[p:, :p].T
            g[p:, p:] += self._times(self._times(self.B, lam).T, lam)
        return whole, g, np.concatenate([self.r, self._times(self.linear, lam)])

    def back(self, lam: list[np.ndarray], by_t: np.ndarray, by_g: np.ndarray, by_r: np.ndarray) -> list[np.ndarray]:
        """∂/∂λ of the trailing factors from ∂/∂[C⁺ t], ∂/∂G⁺ (symmetric) and ∂/∂r⁺."""
        if not self.q:
            return []
        p, q = self.p, self.q
        right = np.concatenate([2.0 * self._times(self.B, lam), 2.0 * self.D, self.linear[:, None]], axis=1)
        left = np.concatenate([by_g[p:, p:], by_g[:p, p:], by_r[None, p:]])
        outer, across = self.E.reshape(-1, q), by_t[:, :, p : p + q].reshape(-1, q)
        out = []
        for part, (_, k) in zip(self._parts, self.shapes, strict=True):
            slope = np.empty((k, k))
            for a in range(k):
                rows = slice(part.start + a, part.stop, k)
                for b in range(k):
                    columns = slice(part.start + b, part.stop, k)
                    slope[a, b] = np.einsum("ij,ji->", right[rows], left[:, columns])
                    slope[a, b] += np.einsum("ij,ij->", outer[:, rows], across[:, columns])
            out.append(slope)
        return out
