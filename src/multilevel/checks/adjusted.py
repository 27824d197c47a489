"""Residuals of anything with respect to a fitted model: products with P at the estimated variances.

    V = W⁻¹ + Z (Σ/σ²) Z',    P̃ = V⁻¹ − V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹        (σ² times the usual P)
    P̃ y = W (y − Xβ̂ − Zb̂)

Score tests need nothing else. A fixed column w that was left out has γ̂ = w'P̃y / w'P̃w with variance σ²/w'P̃w; a
random one with indicator matrix Z₂ raises Σ (Z₂'P̃y)². Its null distribution comes from simulated responses sent
through the same P̃ (`null`), so that small groups, shrinkage and weights need no approximation.

One product costs a pass over the rows and a solve with the factor that the likelihood uses: P̃ is never formed.

Reference: Verbyla (1993), J. R. Statist. Soc. B 55; Silvapulle & Silvapulle (1995), J. Amer. Statist. Assoc. 90.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core.gaussian import Elimination
from ..predictions.targets import matrix

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Column

NUMBERS = 4_000_000  # in one batch of columns, and in all simulated residuals


class Sums:
    """Sums over the rows of each level, for matrices of rows."""

    def __init__(self, codes: np.ndarray, levels: int) -> None:
        self.codes, self.levels = codes, levels
        ordered = bool(np.all(codes[1:] >= codes[:-1]))
        self.order = None if ordered else np.argsort(codes, kind="stable")
        self.counts = np.bincount(codes[codes >= 0], minlength=levels)
        missing = int((codes < 0).sum())
        starts = missing + np.concatenate([[0], np.cumsum(self.counts)[:-1]])
        self.present = np.flatnonzero(self.counts)
        self.starts = starts[self.present].astype(np.int64)

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """(n, m) → (levels, m); rows of code −1 belong to none."""
        out = np.zeros((self.levels, *rows.shape[1:]))
        if len(self.present):
            sorted_rows = rows if self.order is None else rows[self.order]
            out[self.present] = np.add.reduceat(sorted_rows, self.starts, axis=0)
        return out

    def means(self, rows: np.ndarray) -> np.ndarray:
        """Means of each level, (levels, m); zero for empty ones."""
        counts = np.maximum(self.counts, 1)
        return np.asarray(self(rows) / (counts[:, None] if rows.ndim > 1 else counts))


class Adjusted:
    """Products with P̃ of a fit.

    Parameters
    ----------
    fit : Fit
        Of any estimator whose covariances describe a model of the rows.
    seed : int
        Of the simulated residuals.
    """

    def __init__(self, fit: Fit, seed: int = 0) -> None:
        self.fit, self.seed = fit, seed
        design = fit.model.design
        self.design, self.n = design, design.n
        self.sigma2 = 1.0 if fit.sigma is None else fit.sigma**2
        w = np.ones(design.n) if design.weights is None else np.asarray(design.weights, dtype=float)
        self.w = w if design.known_se is None else w / design.known_se**2
        self.products = fit.model.products

    # --- the factor --------------------------------------------------------------------------------------------
    @cached_property
    def places(self) -> dict[int, tuple[int, int, int]]:
        """Term → (factor, first, last column in it)."""
        return {t: (f, a, b) for f, factor in enumerate(self.products.factors) for t, a, b in factor.terms}

    @cached_property
    def maps(self) -> list[np.ndarray]:
        """T λ of each term: from spherical effects to effects over σ in the units of the data."""
        out = []
        for covariance, back in zip(self.fit.estimates.covariances, self.products.to_effects, strict=True):
            inner = np.linalg.solve(back, np.linalg.solve(back, covariance / self.sigma2).T)
            values, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
            out.append(back @ (vectors * np.sqrt(np.maximum(values, 0.0))))
        return out

    @cached_property
    def elimination(self) -> Elimination:
        """The mixed-model equations factored at the estimates, in a workspace of their own."""
        out = self._workspace
        lam = [np.zeros((factor.k, factor.k)) for factor in self.products.factors]
        for t, (f, a, b) in self.places.items():
            lam[f][a:b, a:b] = np.linalg.solve(self.products.to_effects[t], self.maps[t])
        if out.solve(lam) is None:
            raise np.linalg.LinAlgError("the mixed-model equations are not positive definite at the estimates")
        return out

    @property
    def seconds(self) -> float:
        """Rough time of the factorisation, from sizes alone."""
        return self._workspace.seconds

    @cached_property
    def _workspace(self) -> Elimination:
        return Elimination(self.products)

    @cached_property
    def x(self) -> np.ndarray:
        """Fixed columns in the coordinates of the equations, (n, p)."""
        return np.asarray(matrix(self.design.fixed_columns, self.n) @ self.products.to_beta)

    @cached_property
    def exact(self) -> bool:
        """Whether those columns reproduce the cross-products: hardly conditioned ones need the rows' own basis."""
        p = self.products.p
        gram = self.products.xy[:p, :p]
        again = self.x.T @ (self.w[:, None] * self.x)
        size = np.sqrt(np.maximum(np.diag(gram), 1e-300))
        return bool(np.all(np.abs(again - gram) <= 1e-6 * np.outer(size, size)))

    @cached_property
    def sums(self) -> list[Sums]:
        """Sums over the levels of each term."""
        made: dict[str, Sums] = {}
        for group in self.design.groups:
            if group.label not in made:
                made[group.label] = Sums(group.codes, len(group.levels))
        return [made[group.label] for group in self.design.groups]

    # --- products ----------------------------------------------------------------------------------------------
    def apply(self, columns: np.ndarray) -> np.ndarray:
        """P̃ times the columns, (n,) or (n, m)."""
        if columns.ndim == 1:
            return self.apply(columns[:, None])[:, 0]
        out = np.empty(columns.shape)
        batch = max(1, NUMBERS // max(self.n, self.elimination.q, 1))
        for start in range(0, columns.shape[1], batch):
            part = slice(start, start + batch)
            out[:, part] = self._apply(columns[:, part])
        return out

    def _apply(self, columns: np.ndarray) -> np.ndarray:
        gamma, effects = self.solve(columns)
        out = columns - self.x @ gamma
        for group, own in zip(self.design.groups, effects, strict=True):
            for j, column in enumerate(group.columns):
                out -= _times(own[:, j][group.codes], column)
        return np.asarray(out * self.w[:, None])

    def solve(self, columns: np.ndarray) -> tuple[np.ndarray, list[np.ndarray]]:
        """The model fitted to each column: fixed part (p, m), internal; effects of each term (L, k, m)."""
        elimination, m = self.elimination, columns.shape[1]
        weighted = columns * self.w[:, None]
        blocks = [np.zeros((factor.n_levels, factor.k, m)) for factor in self.products.factors]
        for t, (f, a, b) in self.places.items():
            group = self.design.groups[t]
            z = np.stack([self.sums[t](_times(weighted, column)) for column in group.columns], axis=1)
            blocks[f][:, a:b] = np.einsum("lkm,kj->ljm", z, self.maps[t])
        r = elimination.to_vector(blocks) if blocks else np.zeros((0, m))
        head, tail = elimination.forward(np.ascontiguousarray(r), np.ascontiguousarray(self.x.T @ weighted))
        nt = elimination.pattern.nt
        u, gamma = elimination.backward(np.concatenate([head, tail[:nt]]), np.ascontiguousarray(tail[nt:]))
        by_factor = elimination.by_factor(u) if blocks else []
        effects = []
        for t in range(len(self.design.groups)):
            f, a, b = self.places[t]
            effects.append(np.einsum("ljm,kj->lkm", by_factor[f][:, a:b], self.maps[t]))
        return gamma, effects

    def external(self, gamma: np.ndarray) -> np.ndarray:
        """Slopes on the fixed columns of the data from those on internal ones."""
        return np.asarray(self.products.to_beta @ gamma)

    @cached_property
    def residual(self) -> np.ndarray:
        """P̃y = W (y − Xβ̂ − Zb̂) at these variances, (n,)."""
        y = self.design.response if self.design.offset is None else self.design.response - self.design.offset
        return self.apply(y - float(np.mean(y)) * self._intercept)

    @property
    def _intercept(self) -> float:
        """1 where a constant is in the model's span (taking it out first keeps digits)."""
        return float(any(column is None for column in self.design.fixed_columns))

    # --- replicated residuals ------------------------------------------------------------------------------------
    @property
    def draws(self) -> int:
        """How many replicated responses: 200, fewer with many rows."""
        return int(np.clip(NUMBERS // max(self.n, 1), 20, 200))

    @cached_property
    def null(self) -> np.ndarray:
        """P̃y* of responses simulated from the fitted model, (n, draws)."""
        rng = np.random.default_rng(self.seed)
        out = rng.standard_normal((self.n, self.draws)) / np.sqrt(self.w)[:, None]
        for group, root in zip(self.design.groups, self.maps, strict=True):
            b = np.einsum("kj,ljm->lkm", root, rng.standard_normal((len(group.levels), root.shape[1], self.draws)))
            for j, column in enumerate(group.columns):
                out += _times(b[:, j][group.codes], column)
        return self.apply(out) * np.sqrt(self.sigma2)

    @cached_property
    def spare(self) -> float:
        """Mean of 1 − leverage over the rows, from the replicates."""
        return float(np.mean(self.null**2 / self.w[:, None]) / self.sigma2)

    def own_scores(self, rows: np.ndarray) -> np.ndarray:
        """Scores of the variances that were estimated, up to constants: (m, variances) for P̃y or P̃y* (n, m)."""
        out = [np.sum(rows**2 / self.w[:, None], axis=0)] if self.design.known_se is None else []
        for group, covariance, sums in zip(self.design.groups, self.fit.estimates.covariances, self.sums, strict=True):
            for j, column in enumerate(group.columns):
                if covariance[j, j] > 0.0 and self.fit.estimator.name != "complete":
                    out.append(np.sum(sums(_times(rows, column)) ** 2, axis=0))
        return np.stack(out, axis=1) if out else np.zeros((rows.shape[1], 0))


def _times(rows: np.ndarray, column: Column) -> np.ndarray:
    return rows if column is None else rows * column[:, None]
