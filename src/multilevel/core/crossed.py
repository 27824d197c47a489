"""Crossed fixed effects as a linear fit: coefficients from `DummyProjector`, slopes from the within regression.

    Var(v'â + c'β̂)/σ² = v'(D'WD)⁻v + h'Vh,    h = c − H'v        H = (D'WD)⁻D'WX, V = Cov(β̂)/σ²

v are weights on the raw coefficients; for centred ones they pass through the transpose of the centring.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .absorb import Absorbed
from .dummies import DummyProjector
from .linear import LinearFit, root

BATCH = 8_000_000  # numbers in one batch of right-hand sides


@dataclass(frozen=True)
class CrossedFit(LinearFit):
    """Several factors of fixed intercepts.

    intercept : position of the fixed intercept, or None;  n_fixed : number of fixed columns
    """

    projector: DummyProjector
    common: Absorbed
    intercept: int | None
    n_fixed: int

    @cached_property
    def h(self) -> np.ndarray:
        """Raw level coefficients of the kept columns, (levels, p_c)."""
        columns = self.common.columns
        return np.column_stack(columns) if columns else np.zeros((self.projector.starts[-1], 0))

    @cached_property
    def _centred(self) -> tuple[np.ndarray, float]:
        return self.projector.centred(self.common.response - self.h @ self.common.beta, self.intercept is not None)

    def _split(self, a: np.ndarray) -> tuple[np.ndarray, ...]:
        starts = self.projector.starts
        return tuple(a[starts[f] : starts[f + 1], None] for f in range(len(self.projector.sizes)))

    @property
    def effects(self) -> tuple[np.ndarray, ...]:
        return self._split(self._centred[0])

    @cached_property
    def beta(self) -> np.ndarray:
        out = np.full(self.n_fixed, np.nan)
        out[list(self.common.kept)] = self.common.beta
        if self.intercept is not None:
            out[self.intercept] = self._centred[1]
        return out

    def _unscaled(self, weights: np.ndarray, on_intercept: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Covariance/σ² of the combinations in the columns of `weights` (levels, s) and the rows of c (s, p_c)."""
        v = self.projector.uncentred(weights, on_intercept, self.intercept is not None)
        h = c - v.T @ self.h
        return np.asarray(v.T @ self.projector.solve(v) + h @ self.common.inverse @ h.T)

    def beta_covariance(self) -> np.ndarray:
        unit = np.eye(self.n_fixed)
        on = np.zeros(self.n_fixed) if self.intercept is None else unit[:, self.intercept]
        weights = np.zeros((self.projector.starts[-1], self.n_fixed))
        out = self._unscaled(weights, on, unit[:, list(self.common.kept)])
        gone = np.isnan(self.beta)
        out[gone, :] = np.nan
        out[:, gone] = np.nan
        return out

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        q = int(self.projector.starts[-1])
        out = np.empty(q)
        batch = max(1, BATCH // q)
        for start in range(0, q, batch):
            stop = min(start + batch, q)
            weights = np.zeros((q, stop - start))
            weights[np.arange(start, stop), np.arange(stop - start)] = 1.0
            none = np.zeros((stop - start, len(self.common.kept)))
            out[start:stop] = self._variances(weights, np.zeros(stop - start), none)
        return tuple(part[:, :, None] for part in self._split(out))

    def _variances(self, weights: np.ndarray, on_intercept: np.ndarray, c: np.ndarray) -> np.ndarray:
        v = self.projector.uncentred(weights, on_intercept, self.intercept is not None)
        h = c - v.T @ self.h
        own = np.einsum("qm,qm->m", v, self.projector.solve(v))
        return np.asarray(own + np.einsum("mp,pq,mq->m", h, self.common.inverse, h))

    def variance(self, x: np.ndarray, codes: Sequence[np.ndarray], z: Sequence[np.ndarray]) -> np.ndarray:
        out = np.empty(len(x))
        q = int(self.projector.starts[-1])
        batch = max(1, BATCH // q)
        for start in range(0, len(x), batch):
            part = slice(start, min(start + batch, len(x)))
            m = part.stop - start
            weights = np.zeros((q, m))
            for f, (code, values) in enumerate(zip(codes, z, strict=True)):
                rows = np.flatnonzero(code[part] >= 0)
                weights[self.projector.starts[f] + code[part][rows], rows] += values[part][rows, 0]
            on = np.zeros(m) if self.intercept is None else x[part, self.intercept]
            out[part] = self._variances(weights, on, x[part][:, list(self.common.kept)])
        for code in codes:
            out[code == -2] = np.inf
        return out

    def noise(self, rng: np.random.Generator) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """Raw coefficients of white noise on the rows, and slopes, centred as the estimates are."""
        m = self.projector
        raw, _ = m.coefficients(rng.standard_normal(len(m.w)) / np.sqrt(m.w))
        slopes = self._root @ rng.standard_normal(len(self.common.beta))
        effects, grand = m.centred(raw - self.h @ slopes, self.intercept is not None)
        beta = np.full(self.n_fixed, np.nan)
        beta[list(self.common.kept)] = slopes
        if self.intercept is not None:
            beta[self.intercept] = grand
        return beta, self._split(effects)

    @cached_property
    def _root(self) -> np.ndarray:
        return root(self.common.inverse)
