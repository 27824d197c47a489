"""The likelihood of all rows and its first derivatives by coefficients and group effects, at several points at once.

    Σ_i ℓ_i(η_i),    ∂/∂c = X's,    ∂/∂b = Z's,    s = ∂ℓ/∂η

Points stand one after another as if they were more rows, so that a family's arithmetic is entered once for all.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Distribution, Observations
from .row_terms import RowTerms

MANY = 5000  # rows of all points from which each is evaluated by itself


class FirstOrder:
    """The rows' log densities and first derivatives, compiled where a kernel exists."""

    def __init__(self, distribution: Distribution, obs: Observations, start: np.ndarray) -> None:
        from ..numerics import scores

        self.kernels, self.obs = scores, obs
        links = distribution.links
        distinct = tuple(dict.fromkeys(links)) if distribution.family.ordered else links
        code = scores.CODES.get((distribution.family.name, distinct), -1)
        simple = obs.precision is None and obs.censored is None and obs.bounds is None and obs.trials is None
        self.code = code if simple else -1
        self.y = np.ascontiguousarray(obs.y, dtype=float)
        self.weights = np.ones(len(obs)) if obs.weights is None else np.ascontiguousarray(obs.weights, dtype=float)
        self.terms = RowTerms(distribution, obs, start)

    def evaluate(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """ℓ (n,) and ∂ℓ (n, m) at η (n, m)."""
        if self.code < 0:
            at = self.terms.derivatives(self.obs, eta, 1)
            assert at.first is not None
            return at.value, at.first
        value, first = np.empty(len(eta)), np.empty_like(eta)
        self.kernels.scores(self.code, self.y, self.weights, eta, value, first)
        return value, first


class JointRows:
    """Rows of a model, with the places of their effects in one vector (factor by factor, level by level)."""

    def __init__(self, rows: LatentRows, distribution: Distribution) -> None:
        from ..numerics import weighted

        self.kernels = weighted
        self.rows, self.distribution = rows, distribution
        ends = np.cumsum([0, *(f.n_levels * f.k for f in rows.factors)])
        self.spans = [slice(int(a), int(b)) for a, b in itertools.pairwise(ends)]
        self.q = int(ends[-1])
        self.z = np.ascontiguousarray(np.concatenate([f.z for f in rows.factors], axis=1)) if self.q else None
        self.owner = np.concatenate([f.owner for f in rows.factors]) if self.q else np.zeros(0, np.int64)
        self.first = np.concatenate([[0], np.cumsum([f.k for f in rows.factors])]).astype(np.int64)
        self.which = list(rows.latent)
        self.tiled = cache(self._tiled)

    def _tiled(self, points: int) -> tuple[FirstOrder, np.ndarray, np.ndarray | None]:
        """Row terms, first effects and columns of so many points."""
        rows = self.rows
        index = np.tile(np.arange(rows.n), points)
        terms = FirstOrder(self.distribution, rows.observations.take(index), rows.start[index])
        if self.z is None:
            return terms, np.zeros((0, 0), np.int64), None
        base = np.stack(
            [s.start + f.codes.astype(np.int64) * f.k for s, f in zip(self.spans, rows.factors, strict=True)], axis=1
        )
        shifts = self.q * np.repeat(np.arange(points), rows.n)
        return terms, np.ascontiguousarray(base[index] + shifts[:, None]), np.ascontiguousarray(self.z[index])

    def evaluate(self, c: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Log-likelihoods (N,) of coefficients (N, p) and effects (N, q), and derivatives by both."""
        points = len(c)
        if points > 1 and points * self.rows.n > MANY:
            parts = [self.evaluate(c[i : i + 1], b[i : i + 1]) for i in range(points)]
            value, by_c, by_b = (np.concatenate(p) for p in zip(*parts, strict=True))
            return value, by_c, by_b
        rows, n = self.rows, self.rows.n
        terms, base, z = self.tiled(points)
        eta = np.empty((points, n, rows.m))
        eta[:] = rows.offsets
        for d, (x, place) in enumerate(zip(rows.x, rows.places, strict=True)):
            if x.shape[1]:
                eta[:, :, d] += c[:, place] @ x.T
        stacked = eta.reshape(points * n, rows.m)
        if z is not None:
            effects = np.empty((points * n, len(self.which)))
            self.kernels.row_effects(z, base, self.first, self.owner, np.ascontiguousarray(b).ravel(), effects)
            stacked[:, self.which] += effects
        by_row, slopes = terms.evaluate(stacked)
        value = by_row.reshape(points, n).sum(axis=1) + rows.log_constant
        by_c, by_b = np.zeros_like(c), np.zeros((points, self.q))
        scores = slopes.reshape(points, n, rows.m)
        for d, (x, place) in enumerate(zip(rows.x, rows.places, strict=True)):
            if x.shape[1]:
                by_c[:, place] = scores[:, :, d] @ x
        if z is not None:
            latent = np.ascontiguousarray(slopes[:, self.which])
            self.kernels.level_sums(z, base, self.first, self.owner, latent, by_b.ravel())
        return value, by_c, by_b

    def curvature(self, c: np.ndarray, b: np.ndarray) -> np.ndarray:
        """W (n, m, m) at one point."""
        rows = self.rows
        terms, base, z = self.tiled(1)
        eta = rows.fixed(c)
        if z is not None:
            effects = np.empty((rows.n, len(self.which)))
            self.kernels.row_effects(z, base, self.first, self.owner, np.ascontiguousarray(b), effects)
            eta[:, self.which] += effects
        at = terms.terms.derivatives(terms.obs, eta, 2)
        assert at.second is not None
        return at.second

    def blocks(self, f: int, w: np.ndarray) -> np.ndarray:
        """Z'WZ of every level of a factor (L, k, k), w (n, m, m)."""
        factor = self.rows.factors[f]
        out = np.zeros((factor.n_levels, factor.k, factor.k))
        for a in range(factor.k):
            for b in range(factor.k):
                d, e = self.which[factor.owner[a]], self.which[factor.owner[b]]
                out[:, a, b] = np.bincount(factor.codes, factor.z[:, a] * w[:, d, e] * factor.z[:, b], factor.n_levels)
        return out

    def borders(self, f: int, w: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """Z'WX of every level of a factor, (L, k, len(columns)), for some coefficients."""
        factor = self.rows.factors[f]
        x, owner = self.rows.all_columns
        out = np.zeros((factor.n_levels, factor.k, len(columns)))
        for a in range(factor.k):
            d = self.which[factor.owner[a]]
            for j, column in enumerate(columns):
                weights = factor.z[:, a] * w[:, d, owner[column]] * x[:, column]
                out[:, a, j] = np.bincount(factor.codes, weights, factor.n_levels)
        return out

    def cross(self, f: int, g: int, w: np.ndarray) -> np.ndarray:
        """Z'WZ between two factors (or within one), (L_f, k_f, L_g k_g)."""
        one, two = self.rows.factors[f], self.rows.factors[g]
        out = np.zeros((one.n_levels, one.k, two.n_levels * two.k))
        for a in range(one.k):
            for b in range(two.k):
                d, e = self.which[one.owner[a]], self.which[two.owner[b]]
                values = one.z[:, a] * w[:, d, e] * two.z[:, b]
                np.add.at(out[:, a, :], (one.codes, two.codes.astype(np.int64) * two.k + b), values)
        return out

    def information(self, w: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        """X'WX of some coefficients."""
        x, owner = self.rows.all_columns
        out = np.empty((len(columns), len(columns)))
        for i, a in enumerate(columns):
            for j, b in enumerate(columns[: i + 1]):
                out[i, j] = out[j, i] = float(x[:, a] @ (w[:, owner[a], owner[b]] * x[:, b]))
        return out
