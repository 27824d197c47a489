"""Separate coefficients for every level of one factor, as a linear fit.

    y_i = z_i'γ_ℓ + x_i'β_c + ε_i,    ε_i ~ N(0, σ²/w_i)        γ̂_ℓ = g_ℓ − H_ℓ β̂_c

g_ℓ are the level's own least-squares coefficients of y, H_ℓ those of the common columns. Written as fixed effects
plus deviations: for a column in both parts the fixed effect is the average γ̄ = Σ ω_ℓ γ̂_ℓ, and b_ℓ = γ̂_ℓ − γ̄.

    Var(z'γ̂_ℓ + d'γ̄ + c'β̂_c)/σ² = z'A_ℓ⁻¹z + 2ω_ℓ z'A_ℓ⁻¹d + d'(Σω²A⁻¹)d + h'Vh,   h = c − H_ℓ'z − H̄'d

(A_ℓ = Z_ℓ'WZ_ℓ, V = Cov(β̂_c)/σ²; the g_ℓ are independent of each other and of β̂_c.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .absorb import Absorbed
from .linear import LinearFit, root
from .projection import Coefficients, LevelProjector


@dataclass(frozen=True)
class SeparateFit(LinearFit):
    """No pooling of one factor.

    Parameters
    ----------
    design, projector, common : the level coefficients, their projector, and the regression of the common columns
    own : {position among the group coefficients: position of the same column in the fixed part}
    n_fixed : number of fixed columns
    omega : (L,) weights of the levels in the average coefficients, sum 1; 0 for levels that cannot be fitted
    """

    design: Coefficients
    projector: LevelProjector
    common: Absorbed
    own: dict[int, int]
    n_fixed: int
    omega: np.ndarray

    # --- estimates -------------------------------------------------------------------------------------------
    @cached_property
    def h(self) -> np.ndarray:
        """Level coefficients of the common columns, (L, k, p_c)."""
        shape = (self.design.n_levels, self.design.k, 0)
        return np.stack(self.common.columns, axis=2) if self.common.columns else np.zeros(shape)

    @cached_property
    def gamma(self) -> np.ndarray:
        """γ̂_ℓ (L, k), NaN for levels that cannot be fitted."""
        out = self.common.response - self.h @ self.common.beta
        return np.where(self.projector.fits[:, None], out, np.nan)

    @cached_property
    def _member(self) -> np.ndarray:
        """1 for group coefficients with a fixed effect, 0 for the others."""
        out = np.zeros(self.design.k)
        out[list(self.own)] = 1.0
        return out

    @cached_property
    def mean(self) -> np.ndarray:
        """γ̄ for coefficients with a fixed effect, 0 for the others."""
        used = self.omega > 0.0
        return np.asarray(self._member * (self.omega[used] @ self.gamma[used]))

    @cached_property
    def beta(self) -> np.ndarray:
        out = np.full(self.n_fixed, np.nan)
        out[list(self.common.kept)] = self.common.beta
        for i, j in self.own.items():
            out[j] = self.mean[i]
        return out

    @cached_property
    def effects(self) -> np.ndarray:
        """b_ℓ (L, k)."""
        return self.gamma - self.mean

    # --- covariances -----------------------------------------------------------------------------------------
    @cached_property
    def _unscaled(self) -> np.ndarray:
        """A_ℓ⁻¹, 0 where a level cannot be fitted."""
        return np.where(self.projector.fits[:, None, None], self.projector.unscaled, 0.0)

    @cached_property
    def _mean_unscaled(self) -> np.ndarray:
        return np.einsum("l,lij->ij", self.omega**2, self._unscaled)

    @cached_property
    def _mean_h(self) -> np.ndarray:
        return np.einsum("l,lkp->kp", self.omega, self.h)

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of x'β on γ̄ (m, k) and on the common coefficients (m, p_c)."""
        d = np.zeros((len(x), self.design.k))
        for i, j in self.own.items():
            d[:, i] = x[:, j]
        return d, x[:, list(self.common.kept)]

    def beta_covariance(self) -> np.ndarray:
        d, c = self._parts(np.eye(self.n_fixed))
        h = c - d @ self._mean_h
        out = d @ self._mean_unscaled @ d.T + h @ self.common.inverse @ h.T
        gone = np.isnan(self.beta)
        out[gone, :] = np.nan
        out[:, gone] = np.nan
        return np.asarray(out)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        e = np.diag(self._member)
        across = self.omega[:, None, None] * (self._unscaled @ e)
        h = self.h - e @ self._mean_h
        out = self._unscaled - across - across.transpose(0, 2, 1) + e @ self._mean_unscaled @ e
        out = out + h @ self.common.inverse @ h.transpose(0, 2, 1)
        out = np.where(self.projector.fits[:, None, None], out, np.nan)
        return tuple(out[:, a:b, a:b] for a, b in self.design.terms)

    def variance(self, x: np.ndarray, codes: Sequence[np.ndarray], z: Sequence[np.ndarray]) -> np.ndarray:
        d, c = self._parts(x)
        weight = np.zeros((len(x), self.design.k))
        level = np.full(len(x), -1)
        new = np.zeros(len(x), dtype=bool)
        for code, values, (a, b) in zip(codes, z, self.design.terms, strict=True):
            known = code >= 0
            weight[known, a:b] = values[known]
            level[known] = code[known]
            new |= code == -2
        d = d - weight * self._member
        h = c - d @ self._mean_h
        out = np.einsum("mi,ij,mj->m", d, self._mean_unscaled, d)
        known = level >= 0
        at, zk = level[known], weight[known]
        h[known] -= np.einsum("mk,mkp->mp", zk, self.h[at])
        inverse = self._unscaled[at]
        out[known] += np.einsum("mi,mij,mj->m", zk, inverse, zk + 2.0 * self.omega[at, None] * d[known])
        out += np.einsum("mp,pq,mq->m", h, self.common.inverse, h)
        out[known] = np.where(self.projector.fits[at], out[known], np.nan)
        out[new] = np.inf
        return np.asarray(out)

    # --- draws -----------------------------------------------------------------------------------------------
    @cached_property
    def _roots(self) -> tuple[np.ndarray, np.ndarray]:
        return root(self.common.inverse), root(self._unscaled)

    def noise(self, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        of_beta, of_levels = self._roots
        common = of_beta @ rng.standard_normal(len(self.common.beta))
        gamma = np.einsum("lij,lj->li", of_levels, rng.standard_normal((self.design.n_levels, self.design.k)))
        gamma = gamma - self.h @ common
        mean = self._member * (self.omega @ gamma)
        beta = np.full(self.n_fixed, np.nan)
        beta[list(self.common.kept)] = common
        for i, j in self.own.items():
            beta[j] = mean[i]
        effects = np.where(self.projector.fits[:, None], gamma - mean, np.nan)
        return beta, tuple(effects[:, a:b] for a, b in self.design.terms)
