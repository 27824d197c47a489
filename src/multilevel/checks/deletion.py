"""What a fit would predict for rows that it had not seen, without refitting.

    V = W⁻¹ + Z(Σ/σ²)Z',   P̃ = V⁻¹ − V⁻¹X(X'V⁻¹X)⁻¹X'V⁻¹,   r = P̃y = W(y − Xβ̂ − Zb̂)

With the variance components held, the error of predicting the rows s from all others, β and b estimated anew, is
e_s = P̃_ss⁻¹ r_s, with variance σ² P̃_ss⁻¹ (the uncertainty of β included). In the coordinates A = [Z̃ X] of the
mixed-model equations M, only the columns that the rows s touch matter, r of them:

    G = A_s'WA_s,   H = (M⁻¹) of those columns,   g = A_s'r_s,   Δ = H (I − GH)⁻¹ g
    e_s = (y − ŷ)_s + A_sΔ,    −log|P̃_ss| = −log|W_s| − log|I − GH|,    β̂ − β̂₍₋ₛ₎ = the fixed part of Δ

so a group costs r³, however many rows it has. Rows touching many columns of crossed factors are done in their own
space instead.

References: Cook (1977), Technometrics 19; Christensen, Pearson & Johnson (1992), Technometrics 34;
Haslett & Dillane (2004), J. R. Statist. Soc. B 66.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .adjusted import Adjusted, Sums

if TYPE_CHECKING:
    from ..fit.fit import Fit

SINGULAR = 1e-9  # of the eigenvalues of I − GH: without these rows a coefficient is not identified
BATCH = 4_000_000  # numbers in one batch of solves


@dataclass(frozen=True, eq=False)
class Deleted:
    """What leaving each level out does; rows in the order of the data.

    Parameters
    ----------
    sizes : (L,) rows of each level
    elpd : (L,) log predictive density of the level's rows given all others; NaN where X loses rank without them
    error : (n,) prediction errors
    shift : (L, p) β̂ − β̂ without the level, on the columns of the data
    """

    sizes: np.ndarray
    elpd: np.ndarray
    error: np.ndarray
    shift: np.ndarray


class Deletion:
    """Leave-out predictions of a fit at its variance components.

    Parameters
    ----------
    fit : Fit
        Of an estimator whose covariances describe the rows: reml, ml, moments, james_stein, complete.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit, self.adjusted = fit, Adjusted(fit)
        self.residual = self.adjusted.residual / self.adjusted.w  # y − ŷ

    # --- rows --------------------------------------------------------------------------------------------------
    @cached_property
    def spare(self) -> np.ndarray:
        """1 − h_i = P̃_ii / w_i of every row."""
        a = self.adjusted
        if len(a.products.factors) <= 1 and a.elimination.n_lead:
            h = self._one_factor_leverages()
        elif not a.products.factors:
            h = np.einsum("np,pq,nq->n", a.x, self._fixed_inverse, a.x)
        else:
            h = self._leverages()
        return np.asarray(1.0 - a.w * h)

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(error, log density) of every row predicted from all others; NaN where a coefficient hangs on the row."""
        a, spare = self.adjusted, np.where(self.spare > SINGULAR, self.spare, np.nan)
        error = self.residual / spare
        variance = a.sigma2 / (a.w * spare)
        return error, -0.5 * (np.log(2.0 * np.pi * variance) + error**2 / variance)

    @property
    def _fixed_inverse(self) -> np.ndarray:
        """(X'V⁻¹X)⁻¹ over σ², internal columns."""
        corner = self.adjusted.elimination.tail.R
        root = np.linalg.inv(np.tril(corner)) if len(corner) else corner
        return np.asarray(root.T @ root)

    def _one_factor_leverages(self) -> np.ndarray:
        a, inverse = self.adjusted, self._inverse
        level = self.codes
        out = np.einsum("np,pq,nq->n", a.x, inverse.PXX, a.x)
        out += np.einsum("nk,nkj,nj->n", self.z, inverse.PL[level], self.z)
        return np.asarray(out + 2.0 * np.einsum("nk,nkp,np->n", self.z, inverse.PLX[level], a.x))

    def _leverages(self) -> np.ndarray:
        out = np.empty(self.adjusted.n)
        batch = max(1, BATCH // (self.adjusted.elimination.q + 1))
        for start in range(0, len(out), batch):
            rows = np.arange(start, min(start + batch, len(out)))
            out[rows] = (self._solved(rows) ** 2).sum(axis=0)
        return out

    def _solved(self, rows: np.ndarray) -> np.ndarray:
        """L⁻¹ A' for some rows, as columns."""
        a, m = self.adjusted, len(rows)
        blocks = [np.zeros((f.n_levels, f.k, m)) for f in a.products.factors]
        for t, (f, first, last) in a.places.items():
            group = a.design.groups[t]
            z = np.stack([np.ones(m) if c is None else c[rows] for c in group.columns], axis=1) @ a.maps[t]
            blocks[f][group.codes[rows], first:last, np.arange(m)] = z
        r = a.elimination.to_vector(blocks)
        head, tail = a.elimination.forward(np.ascontiguousarray(r), np.ascontiguousarray(a.x[rows].T))
        return np.concatenate([head, tail])

    # --- one factor --------------------------------------------------------------------------------------------
    @cached_property
    def codes(self) -> np.ndarray:
        """Level of each row, for models with one grouping factor."""
        return self.adjusted.design.groups[0].codes

    @cached_property
    def z(self) -> np.ndarray:
        """Z̃ of the rows' own level, (n, k), for models with one grouping factor."""
        a = self.adjusted
        out = np.empty((a.n, a.products.factors[0].k))
        for t, (_, first, last) in a.places.items():
            columns = [np.ones(a.n) if c is None else c for c in a.design.groups[t].columns]
            out[:, first:last] = np.stack(columns, axis=1) @ a.maps[t]
        return out

    @cached_property
    def _inverse(self):  # type: ignore[no-untyped-def]
        return self.adjusted.elimination.inverse(reml=True, keep=True)

    # --- groups ------------------------------------------------------------------------------------------------
    def groups(self, codes: np.ndarray, levels: int) -> Deleted:
        """Leave out the rows of each level of a factor (any codes of the rows, −1 for never)."""
        a, p = self.adjusted, self.adjusted.products.p
        sums = Sums(codes, levels)
        elpd, error = np.full(levels, np.nan), np.full(a.n, np.nan)
        shift = np.full((levels, p), np.nan)
        own = len(a.design.groups) > 0 and len(a.products.factors) == 1 and codes is self.codes
        pieces = self._by_level(sums) if own else self._by_rows(sums)
        log_w = sums(np.log(a.w))
        square = sums(a.w * self.residual**2)
        for level, rows, part, small, inverse, score in pieces:
            solved = _removed(small, inverse, score)
            if solved is None:
                continue
            delta, log_det = solved
            n = len(rows)
            q = square[level] + score @ delta
            elpd[level] = -0.5 * (
                n * np.log(2.0 * np.pi * a.sigma2) - log_w[level] - log_det + q / a.sigma2
            )  # fmt: skip
            error[rows] = self.residual[rows] + part @ delta
            shift[level] = delta[len(delta) - p :]
        return Deleted(sums.counts, elpd, error, shift @ a.products.to_beta.T)

    def _by_level(self, sums: Sums) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """Pieces (level, rows, A_s, G, H, g) where the levels left out are those of the only factor."""
        a, inverse = self.adjusted, self._inverse
        columns = np.concatenate([self.z, a.x], axis=1)
        k, p = self.z.shape[1], a.products.p
        for level, rows in _row_lists(sums):
            part = columns[rows]
            weighted = part * a.w[rows, None]
            h = np.empty((k + p, k + p))
            h[:k, :k], h[k:, k:] = inverse.PL[level], inverse.PXX
            h[:k, k:] = inverse.PLX[level]
            h[k:, :k] = inverse.PLX[level].T
            yield level, rows, part, part.T @ weighted, h, weighted.T @ self.residual[rows]

    def _by_rows(self, sums: Sums) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
        """The same for any rows: H of the columns that they touch."""
        a = self.adjusted
        factors = a.products.factors
        for level, rows in _row_lists(sums):
            parts, units = [], []
            for t, (f, first, last) in a.places.items():
                group = a.design.groups[t]
                present, local = np.unique(group.codes[rows], return_inverse=True)
                z = np.stack([np.ones(len(rows)) if c is None else c[rows] for c in group.columns], axis=1) @ a.maps[t]
                wide = np.zeros((len(rows), len(present), z.shape[1]))
                wide[np.arange(len(rows)), local] = z
                parts.append(wide.reshape(len(rows), -1))
                units += [(f, code, j) for code in present.tolist() for j in range(first, last)]
            part = np.concatenate([*parts, a.x[rows]], axis=1)
            blocks = [np.zeros((f.n_levels, f.k, len(units))) for f in factors]
            for i, (f, code, j) in enumerate(units):
                blocks[f][code, j, i] = 1.0
            h = self._inverse_of(blocks, len(units))
            weighted = part * a.w[rows, None]
            yield level, rows, part, part.T @ weighted, h, weighted.T @ self.residual[rows]

    def _inverse_of(self, blocks: list[np.ndarray], m: int) -> np.ndarray:
        """(M⁻¹) among the columns given as unit blocks, followed by X's."""
        a, p = self.adjusted, self.adjusted.products.p
        r = a.elimination.to_vector(blocks) if blocks else np.zeros((0, m))
        r = np.concatenate([r, np.zeros((len(r), p))], axis=1)
        rx = np.concatenate([np.zeros((p, m)), np.eye(p)], axis=1)
        head, tail = a.elimination.forward(np.ascontiguousarray(r), np.ascontiguousarray(rx))
        return np.asarray(head.T @ head + tail.T @ tail)


def _row_lists(sums: Sums) -> Iterator[tuple[int, np.ndarray]]:
    order = np.arange(len(sums.codes)) if sums.order is None else sums.order
    for level, start in zip(sums.present.tolist(), sums.starts.tolist(), strict=True):
        yield level, order[start : start + int(sums.counts[level])]


def _removed(g: np.ndarray, h: np.ndarray, score: np.ndarray) -> tuple[np.ndarray, float] | None:
    """Δ = H (I − GH)⁻¹ g and log|I − GH|, through a root of H; None when singular."""
    values, vectors = np.linalg.eigh(h)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    left, basis = np.linalg.eigh(root.T @ g @ root)  # eigenvalues of GH: how much of each direction these rows hold
    left = 1.0 - left
    if len(left) and left.min() < SINGULAR:
        return None
    delta = root @ (basis @ ((basis.T @ (root.T @ score)) / left))
    return delta, float(np.log(left).sum())
