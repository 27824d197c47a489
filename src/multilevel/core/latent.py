"""The group effects of a generalized linear model: weighted blocks, their factorisation, sums over rows.

    H = Λ'Z'WZΛ + I,      W (n, L, L) the curvature of every row over the L predictors that hold group effects

The elimination of Gaussian models does the work: its arrays are filled anew whenever the weights change, in places that
are found once. One matrix at a time: `factorise` overwrites what `solve`, `inverse` and `leverages` use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from ..data.cross_products import CrossProducts, FactorProducts, PairProducts, Shift
from ..data.latent_rows import LatentRows
from .gaussian import Elimination, Inverse, Solution
from .pattern import Pattern, pattern


class Latent:
    """Rows, and the elimination that serves them.

    Parameters
    ----------
    rows : LatentRows
    """

    def __init__(self, rows: LatentRows) -> None:
        from ..numerics import weighted

        self.kernels = weighted
        self.rows = rows
        self.products = _skeleton(rows)
        self.pattern: Pattern = pattern(self.products)
        self.elimination = Elimination(self.products, self.pattern)
        self.order = [self.pattern.lead, *self.pattern.trail] if rows.factors else []
        factors = [rows.factors[f] for f in self.order]
        self.L = len(rows.latent)
        self.z = np.ascontiguousarray(np.concatenate([f.z for f in factors], axis=1)) if factors else np.zeros((0, 0))
        self.owner = np.concatenate([f.owner for f in factors]) if factors else np.zeros(0, np.int64)
        self.start = np.concatenate([[0], np.cumsum([f.k for f in factors])]).astype(np.int64)
        self._index()
        self.lam: list[np.ndarray] = []
        self.factored = False
        self.q = self.elimination.q

    # --- places, found once --------------------------------------------------------------------------------------
    def _index(self) -> None:
        pt, rows, q1 = self.pattern, self.rows, self.elimination.q1
        n, n_trail = rows.n, len(pt.trail)
        self.base = np.zeros((n, max(len(self.order), 1)), np.int64)
        self.site, self.own = np.zeros((n, n_trail), np.int64), np.zeros((n, n_trail), np.int64)
        n_pairs = n_trail * (n_trail - 1) // 2
        self.pair, self.turned = np.zeros((n, n_pairs), np.int64), np.zeros((n, n_pairs), np.bool_)
        if not rows.factors:
            return
        lead = rows.factors[pt.lead]
        self.base[:, 0] = lead.codes.astype(np.int64) * lead.k
        begin = 0
        for i, f in enumerate(pt.trail):
            factor = rows.factors[f]
            scalar = pt.place[i][factor.codes].astype(np.int64)
            self.base[:, i + 1] = q1 + scalar
            self.site[:, i] = _sites(pt, lead.codes, scalar)
            self.own[:, i] = begin + factor.codes.astype(np.int64) * factor.k**2
            begin += factor.n_levels * factor.k**2
        keys = pt.high.astype(np.int64) * (pt.n_trailing + 1) + pt.low
        by_key = np.argsort(keys, kind="stable")
        p = 0
        for i in range(n_trail):
            for j in range(i + 1, n_trail):
                a, b = self.base[:, i + 1] - q1, self.base[:, j + 1] - q1
                key = np.maximum(a, b) * (pt.n_trailing + 1) + np.minimum(a, b)
                self.pair[:, p] = pt.begin[by_key[np.searchsorted(keys[by_key], key)]]
                self.turned[:, p] = a < b
                p += 1

    # --- one matrix ----------------------------------------------------------------------------------------------
    def factorise(self, lam: Sequence[np.ndarray], w: np.ndarray, r: np.ndarray) -> Solution | None:
        """Factor H for curvatures w (n, L, L); `.u` solves H u = Λ'Z'r for r (n, L). None when not definite."""
        self.lam = [np.ascontiguousarray(v) for v in lam]
        e, pt = self.elimination, self.pattern
        self.kernels.weigh(
            self.z, self.base, self.start, self.owner, self.site, self.own, self.pair, self.turned,
            np.ascontiguousarray(w), np.ascontiguousarray(r), e.A, e.B, pt.T, pt.block, pt.border,
        )  # fmt: skip
        found = e.solve(self.lam)
        self.factored = found is not None and bool(np.isfinite(found.log_det))
        return found

    def solve(self, r: np.ndarray) -> np.ndarray:
        """H⁻¹ r for r (q,) or (q, s)."""
        columns = np.ascontiguousarray(r.reshape(self.q, -1), dtype=float).copy()
        none = np.zeros((0, columns.shape[1]))
        head, tail = self.elimination.forward(columns, none)
        end = len(head)
        columns[end:] = tail
        out, _ = self.elimination.backward(columns, none.copy())
        return out.reshape(r.shape)

    def forward(self, r: np.ndarray) -> np.ndarray:
        """L⁻¹ r for r (q, s), H = LL'."""
        columns = np.ascontiguousarray(r, dtype=float).copy()
        head, tail = self.elimination.forward(columns, np.zeros((0, columns.shape[1])))
        return np.concatenate([head, tail])

    def backward(self, r: np.ndarray) -> np.ndarray:
        """L'⁻¹ r for r (q, s): draws from N(0, H⁻¹) when r are standard normal."""
        columns = np.ascontiguousarray(r, dtype=float).copy()
        out, _ = self.elimination.backward(columns, np.zeros((0, columns.shape[1])))
        return out

    def inverse(self) -> Inverse:
        """The selected inverse of H with the blocks that rows need."""
        return self.elimination.inverse(reml=False, keep=True, cross=True)

    def leverages(self, inverse: Inverse) -> np.ndarray:
        """z̃_i'H⁻¹z̃_i of each row over its predictors, (n, L, L)."""
        out = np.empty((self.rows.n, self.L, self.L))
        lam = np.concatenate([self.lam[f].ravel() for f in self.order])
        self.kernels.leverages(
            self.z, self.base, self.start, self.owner, self.site, self.own, self.pair, self.turned, lam,
            inverse.PL, inverse.PT, inverse.P, self.pattern.target, out,
        )  # fmt: skip
        return out

    # --- rows ----------------------------------------------------------------------------------------------------
    def scaled(self, lam: Sequence[np.ndarray], u: np.ndarray) -> np.ndarray:
        """b = Λu, in the elimination's order."""
        parts = self.elimination.by_factor(u)
        return self.elimination.to_vector([part @ v.T for part, v in zip(parts, lam, strict=True)])

    def row_effects(self, b: np.ndarray) -> np.ndarray:
        """Z b by row and predictor, (n, L)."""
        out = np.empty((self.rows.n, self.L))
        self.kernels.row_effects(self.z, self.base, self.start, self.owner, np.ascontiguousarray(b), out)
        return out

    def level_sums(self, r: np.ndarray) -> np.ndarray:
        """Z'r for r (n, L), in the elimination's order."""
        out = np.empty(self.q)
        self.kernels.level_sums(self.z, self.base, self.start, self.owner, np.ascontiguousarray(r), out)
        return out

    def pulled(self, r: np.ndarray) -> np.ndarray:
        """Λ'Z'r."""
        return self.transposed(self.level_sums(r))

    def transposed(self, sums: np.ndarray) -> np.ndarray:
        """Λ' times a vector of effects."""
        parts = self.elimination.by_factor(sums)
        return self.elimination.to_vector([part @ v for part, v in zip(parts, self.lam, strict=True)])

    # --- coefficients --------------------------------------------------------------------------------------------
    @cached_property
    def _bordered(self) -> Elimination:
        """The same elimination with the coefficients of all predictors as its border."""
        p = self.rows.n_coefficients
        products = replace(
            self.products,
            xy=np.zeros((p + 1, p + 1)),
            factors=tuple(replace(f, cross=np.zeros((f.n_levels, f.k, p + 1))) for f in self.products.factors),
        )
        out = Elimination(products, replace(self.pattern, border=np.zeros((self.pattern.n_trailing, p + 1))))
        out.A = self.elimination.A  # the same weighted blocks
        return out

    def fixed_information(self, w: np.ndarray) -> np.ndarray:
        """X'WX over all coefficients, w (n, m, m)."""
        x, owner = self.rows.all_columns
        p = x.shape[1]
        full = np.zeros((p, p))
        for d in range(self.rows.m):
            for e in range(self.rows.m):
                if np.any(owner == d) and np.any(owner == e):
                    block = (x[:, owner == d] * w[:, d, e, None]).T @ x[:, owner == e]
                    full[np.ix_(owner == d, owner == e)] = block
        return full

    def borders(self, w: np.ndarray) -> np.ndarray:
        """Z'WX (q, p) over all coefficients."""
        x, owner = self.rows.all_columns
        e = self._bordered
        border = e.pattern.border
        latent = np.ascontiguousarray(w[:, list(self.rows.latent), :])
        self.kernels.weigh_fixed(self.z, self.base, self.start, self.owner, latent, x, owner, e.B, border)
        p = x.shape[1]
        return np.concatenate([e.B[:, :, :p].reshape(-1, p), border[:, :p]])

    def transposed_columns(self, columns: np.ndarray) -> np.ndarray:
        """Λ' times the columns (q, s)."""
        parts = self.elimination.by_factor(columns)
        return self.elimination.to_vector(
            [np.einsum("lks,kj->ljs", part, v) for part, v in zip(parts, self.lam, strict=True)]
        )


def _sites(pt: Pattern, level: np.ndarray, scalar: np.ndarray) -> np.ndarray:
    """Place in T of every pair (leading level, first scalar of a trailing one)."""
    stride = pt.n_trailing + 1
    owner = np.repeat(np.arange(len(pt.at) - 1, dtype=np.int64), np.diff(pt.at))
    keys = owner * stride + pt.col  # ascending: levels in order, scalars ascending within
    return np.searchsorted(keys, level.astype(np.int64) * stride + scalar).astype(np.int64)


def _skeleton(rows: LatentRows) -> CrossProducts:
    """Cross-products without numbers: which levels meet, and sizes."""
    from ..numerics.grouping import meeting_pairs

    factors = tuple(
        FactorProducts(f.label, np.zeros((f.n_levels, f.k, f.k)), np.zeros((f.n_levels, f.k, 1)), f.terms)
        for f in rows.factors
    )
    pairs = {}
    for i in range(len(factors)):
        for j in range(i + 1, len(factors)):
            a, b = (i, j) if factors[i].n_levels * factors[i].k >= factors[j].n_levels * factors[j].k else (j, i)
            first, second = rows.factors[a], rows.factors[b]
            start, other, _ = meeting_pairs(first.codes, second.codes, first.n_levels, second.n_levels)
            pairs[a, b] = PairProducts(start, other, np.zeros((len(other), first.k, second.k)))
    return CrossProducts(
        xy=np.zeros((1, 1)), factors=factors, pairs=pairs, n=float(rows.n), n_rows=rows.n, log_weights=0.0,
        y_shift=Shift(0.0, 1.0), to_beta=np.zeros((0, 0)), beta_origin=np.zeros(0), log_det_x=0.0,
        to_effects=rows.to_effects,
    )  # fmt: skip
