"""Collapsed Gibbs for crossed factors: one factor after the other, with all coefficients integrated out of it.

    (β, b_f) | b_others, θ, σ, y  ~  β from its own normal distribution with b_f integrated out, then b_f level by level

The levels of one factor are independent given β and the other factors, so that a sweep costs as much as there are pairs
of levels that meet: nothing is factorised. Drawing the coefficients anew with every factor is what keeps the number of
sweeps independent of the size of the data; with an intercept alone this is the collapsed Gibbs sampler.

Reference: Papaspiliopoulos, Roberts & Zanella (2020), Biometrika 107, 25-40, sections 3 and 4.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .gibbs_coefficients import Pseudo
from .gibbs_linear import LinearSystem
from .gibbs_system import Location, State

if TYPE_CHECKING:
    from ..data.cross_products import PairProducts


class FactorSystem(LinearSystem):
    """A linear model's blocks, factor by factor."""

    @cached_property
    def between(self) -> dict[tuple[int, int], Any]:
        """Z_f'W Z_g as sparse matrices (L_f k_f, L_g k_g), both ways."""
        out: dict[tuple[int, int], Any] = {}
        for (f, g), pair in self.products.pairs.items():
            matrix = _sparse(pair, self.products.factors[f].n_levels, self.products.factors[g].n_levels)
            out[f, g], out[g, f] = matrix, matrix.T.tocsr()
        return out

    def draw_location(self, state: State, pseudo: Pseudo, rng: np.random.Generator) -> Location:
        lam = self.units.lam(self.factors(state), state.sigma)
        inside = self.internal_effects(state.effects)
        noise = state.sigma / self.units.scale
        c = self.inside(state.beta)
        xy = [self.bordered(state, pseudo, chain) for chain in range(state.chains)]
        for f in range(len(inside)):
            other, other_x = self._others(f, inside)
            for chain in range(state.chains):
                border, fixed = self.products.factors[f].cross.copy(), xy[chain].copy()
                border[:, :, -1] -= other[:, :, chain]
                fixed[:-1, -1] -= other_x[:, chain]
                drawn = self._draw_factor(f, lam[f][chain], border, fixed, noise[chain], rng)
                if drawn is not None:
                    c[chain], inside[f][:, :, chain] = drawn
        if not inside:
            return super().draw_location(state, pseudo, rng)
        return self.units.beta(c), self._external(inside, state)

    def _others(self, f: int, inside: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Z_f'W Z b (L, k, C) and X'W Z b (p, C) of all other factors."""
        factor, p, C = self.products.factors[f], self.products.p, inside[f].shape[2]
        own, fixed = np.zeros((factor.n_levels * factor.k, C)), np.zeros((p, C))
        for g, b in enumerate(inside):
            if g != f:
                own += self.between[f, g] @ b.reshape(-1, C)
                fixed += np.einsum("lkp,lkc->pc", self.products.factors[g].cross[:, :, :-1], b)
        return own.reshape(factor.n_levels, factor.k, C), fixed

    def _draw_factor(
        self, f: int, lam: np.ndarray, border: np.ndarray, xy: np.ndarray, sigma: float, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Internal coefficients (p,) and effects (L, k) of one factor; None where numbers do not hold the variances."""
        factor, p = self.products.factors[f], self.products.p
        scaled = lam.T @ border  # (L, k, p + 1)
        matrix = lam.T @ factor.gram @ lam + np.eye(factor.k)
        try:
            root = np.linalg.cholesky(matrix)
            half = np.linalg.solve(root, scaled)
            left = xy - np.einsum("lkp,lkq->pq", half, half)
            beta: np.ndarray = np.zeros(0)
            if p:
                top = np.linalg.cholesky(left[:p, :p])
                mean = np.linalg.solve(top, left[:p, p])
                beta = np.linalg.solve(top.T, mean + sigma * rng.standard_normal(p))
        except np.linalg.LinAlgError:
            return None
        rest = half[:, :, p] - half[:, :, :p] @ beta + sigma * rng.standard_normal(half.shape[:2])
        u = np.linalg.solve(root.transpose(0, 2, 1), rest[:, :, None])[:, :, 0]
        return beta, u @ lam.T

    def _external(self, inside: list[np.ndarray], state: State) -> list[np.ndarray]:
        """Effects by term in the units of the data."""
        out: list[np.ndarray] = [np.zeros(0)] * len(state.effects)
        for t, (f, a, b) in self.place.items():
            part = inside[f][:, a:b].transpose(2, 0, 1)
            out[t] = self.units.scale * part @ self.units.to_effects[t].T
        return out


def _sparse(pair: PairProducts, rows: int, columns: int) -> Any:
    from scipy.sparse import bsr_array

    a, b = pair.block.shape[1:]
    return bsr_array((pair.block, pair.other, pair.start), shape=(rows * a, columns * b)).tocsr()
