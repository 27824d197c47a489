"""No pooling of one factor by maximum likelihood: coefficients of every group, others common to all.

    max over c and all γ_g of  Σ_i ℓ_i(x_i'c + z_i'γ_g[i])

γ̂_g(c) of every group inside (`own_groups.py`), Newton's method on c outside, with the information S = X'WX − Σ
B_g'A_g⁻¹B_g. Common coefficients that many small groups share are biased away from zero, as fixed effects are (Neyman
& Scott 1948).

Around the maximum γ̂_g = e_g − h_g ĉ, h_g = A_g⁻¹B_g, with independent e_g ~ (·, A_g⁻¹) and ĉ ~ (·, S⁻¹). Fixed
effects are β = M c + N γ̄ with γ̄ the mean of the finite γ̂_g, and group effects b_g = γ_g − D γ̄.

Reference: Gelman & Hill (2007), section 12.2; Neyman & Scott (1948), Econometrica 16.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .linear import LinearFit, root
from .own_groups import OwnGroups, own_groups
from .panels import Panels

MOST_STEPS = 60
SETTLED = 1e-9  # Newton decrement of the common coefficients


@dataclass(frozen=True, eq=False)
class Separate:
    """The maximum: common coefficients (p_c,), the groups at it, information S (p_c, p_c), h_g (J, k, p_c).

    panels, x (n, p_c), owner (p_c,), fixed (n, m): the rows it was found on, and η without the groups' own part
    """

    panels: Panels
    x: np.ndarray
    owner: np.ndarray
    fixed: np.ndarray
    c: np.ndarray
    groups: OwnGroups
    information: np.ndarray
    h: np.ndarray
    log_likelihood: float
    converged: bool


def separate_fit(panels: Panels, x: np.ndarray, owner: np.ndarray, offsets: np.ndarray, start: np.ndarray) -> Separate:
    """Fit all groups.

    Parameters
    ----------
    panels : without a prior
    x, owner : common columns side by side (n, p_c), and the predictor of each
    offsets : (n, m);  start : (p_c,)
    """

    def fixed(c: np.ndarray) -> np.ndarray:
        out = offsets.copy()
        for j, d in enumerate(owner):
            out[:, d] += x[:, j] * c[j]
        return out

    c = start
    own = own_groups(panels, fixed(c))
    value, converged = float(own.at.value.sum()), not len(c)
    for _ in range(MOST_STEPS if len(c) else 0):
        assert own.at.first is not None
        gradient = np.array([x[:, j] @ own.at.first[:, d] for j, d in enumerate(owner)])
        information, _ = _common(panels, x, owner, own)
        step = _newton(information, gradient)
        decrement = float(step @ gradient)
        if decrement < SETTLED:
            converged = True
            break
        size, better = 1.0, False
        for _ in range(30):
            trial = own_groups(panels, fixed(c + size * step), own.gamma)
            reached = float(trial.at.value.sum())
            if reached >= value - 1e-12 * (1.0 + abs(value)):
                better = True
                break
            size *= 0.5
        if not better:
            converged = decrement < 1e-4
            break
        c, own, value = c + size * step, trial, reached
    information, h = _common(panels, x, owner, own)
    return Separate(panels, x, owner, fixed(c), c, own, information, h, value, converged)


def _common(panels: Panels, x: np.ndarray, owner: np.ndarray, own: OwnGroups) -> tuple[np.ndarray, np.ndarray]:
    """S, and h_g."""
    w = own.at.second
    assert w is not None
    full = np.zeros((x.shape[1], x.shape[1]))
    for d in np.unique(owner):
        for e in np.unique(owner):
            block = (x[:, owner == d] * w[:, d, e, None]).T @ x[:, owner == e]
            full[np.ix_(owner == d, owner == e)] = block
    crossed = panels.crossed(w, x, owner)
    h = own.inverse @ crossed
    return full - np.einsum("gkp,gkq->pq", crossed, h), h


def _newton(information: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """A step of ascent; a direction without information (thresholds against all intercepts) gets none."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(scale, scale))
    part = vectors.T @ (gradient / scale)
    return np.asarray((vectors @ np.where(np.abs(values) > 1e-9, part / np.maximum(np.abs(values), 1e-9), 0.0)) / scale)


@dataclass(frozen=True, eq=False)
class SeparateLikelihood(LinearFit):
    """How sure a separate fit is, in the terms of a linear fit with σ = 1.

    to_beta (P, p_c): M;  of_mean (P, k): N, NaN in the rows of fixed effects that the groups absorb;  centred (k, k): D
    omega (J,): weights of the groups in γ̄;  terms: (first, last) column of each term
    """

    fit: Separate
    to_beta: np.ndarray
    of_mean: np.ndarray
    centred: np.ndarray
    omega: np.ndarray
    terms: tuple[tuple[int, int], ...]

    @cached_property
    def mean(self) -> np.ndarray:
        """γ̄ over the finite groups."""
        used = self.omega > 0.0
        return np.asarray(self.omega[used] @ self.fit.groups.gamma[used])

    @cached_property
    def beta(self) -> np.ndarray:
        return np.asarray(self.to_beta @ self.fit.c + self.of_mean @ self.mean)

    @cached_property
    def effects(self) -> np.ndarray:
        """b_g (J, k), ±∞ and NaN where γ̂_g is."""
        return self.fit.groups.estimates - self.centred @ self.mean

    # --- covariances -------------------------------------------------------------------------------------------
    @cached_property
    def inverse(self) -> np.ndarray:
        """Cov(ĉ)."""
        return np.linalg.pinv(self.fit.information, hermitian=True, rcond=1e-9)

    @cached_property
    def _own(self) -> np.ndarray:
        return self.fit.groups.inverse

    @cached_property
    def _mean_own(self) -> np.ndarray:
        return np.einsum("g,gij->ij", self.omega**2, self._own)

    @cached_property
    def _mean_h(self) -> np.ndarray:
        return np.einsum("g,gkp->kp", self.omega, self.fit.h)

    def beta_covariance(self) -> np.ndarray:
        c = self.to_beta - self.of_mean @ self._mean_h
        return np.asarray(self.of_mean @ self._mean_own @ self.of_mean.T + c @ self.inverse @ c.T)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        d, own = self.centred, self._own
        across = self.omega[:, None, None] * (own @ d.T)
        h = self.fit.h - d @ self._mean_h
        out = own - across - across.transpose(0, 2, 1) + d @ self._mean_own @ d.T
        out = out + h @ self.inverse @ h.transpose(0, 2, 1)
        unknown = ~np.isfinite(self.fit.groups.estimates)
        out = np.where(unknown[:, :, None] | unknown[:, None, :], np.nan, out)
        return tuple(out[:, a:b, a:b] for a, b in self.terms)

    def variance(self, x: np.ndarray, codes: Sequence[np.ndarray], z: Sequence[np.ndarray]) -> np.ndarray:
        weight, level, new = (
            np.zeros((len(x), self.centred.shape[0])),
            np.full(len(x), -1),
            np.zeros(len(x), dtype=bool),
        )
        for code, values, (a, b) in zip(codes, z, self.terms, strict=True):
            known = code >= 0
            weight[known, a:b], level[known] = values[known], code[known]
            new |= code == -2
        mean = np.einsum("mp,pk->mk", x, np.nan_to_num(self.of_mean)) - weight @ self.centred
        c = x @ np.nan_to_num(self.to_beta) - mean @ self._mean_h
        out = np.einsum("mi,ij,mj->m", mean, self._mean_own, mean)
        known = level >= 0
        at, zk = level[known], weight[known]
        c[known] -= np.einsum("mk,mkp->mp", zk, self.fit.h[at])
        out[known] += np.einsum("mi,mij,mj->m", zk, self._own[at], zk + 2.0 * self.omega[at, None] * mean[known])
        out += np.einsum("mp,pq,mq->m", c, self.inverse, c)
        gone = ~np.isfinite(self.fit.groups.estimates[at]) & (zk != 0.0)
        out[known] = np.where(gone.any(axis=1), np.nan, out[known])
        out[new] = np.inf
        return np.asarray(out)

    # --- draws -------------------------------------------------------------------------------------------------
    def noise(self, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        common = root(self.inverse) @ rng.standard_normal(len(self.fit.c))
        draws = rng.standard_normal(self.fit.groups.gamma.shape)
        gamma = np.einsum("gij,gj->gi", root(self._own), draws) - self.fit.h @ common
        mean = self.omega @ gamma
        effects = np.where(np.isnan(self.fit.groups.estimates), np.nan, gamma - self.centred @ mean)
        return self.to_beta @ common + self.of_mean @ mean, tuple(effects[:, a:b] for a, b in self.terms)
