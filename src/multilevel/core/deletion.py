"""Leaving rows out of a Gaussian hierarchy with its variances held: exact, without refitting.

    P = V⁻¹ − V⁻¹X (X'V⁻¹X)⁻¹ X'V⁻¹

    e_s = y_s − ŷ_s(all other rows) = P_ss⁻¹ (P y)_s,        Cov(e_s) = P_ss⁻¹        for any set of rows s

β is estimated again and b predicted again without s, and P_ss⁻¹ carries the uncertainty of both. With the weighted rows
A = W^½ [ZΛ X] and the mixed-model matrix M that the fit factors,

    σ² W^-½ P W^-½ = I − A M⁻¹ A' = I − ⊕_ℓ U_ℓU_ℓ' − T Q T'        U = Zλ L⁻ᵀ,   T = [Z₂λ₂ X] − U [W WX],

U over the levels of the leading factor, Q the inverse of what elimination leaves to the other factors and X. So a
single row costs its own border, and a set of n_s rows O(n_s (k² + c²)) with c the effects of other factors that it
meets plus the fixed effects: a group with many rows never costs n_s³. With one grouping factor all levels are left out
at once from sums by level. In crossed designs c is the number of levels met.

References: Christensen, Pearson & Johnson (1992), Technometrics 34, 38-45; Hilden-Minton (1995); Zewotir & Galpin
(2005), J. Data Sci. 3; for the restricted likelihood as a product of such densities Harville (1974), Biometrika 61.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from .internal import LOST, InternalRows, internal_rows
from .left_out import LOG_TWO_PI, GroupsOut, LeftOut, RowsOut, log_density
from .structured import Structured

if TYPE_CHECKING:
    from ..fit.fit import Fit

DENSE = 3000  # effects beside the leading factor up to which their whole inverse is kept
NUMBERS = 4_000_000  # in one batch
SHORT = 12  # border up to which rows are handled without a loop over levels


class Deletion:
    """Leaving rows out of a fit with its variance parameters held.

    Parameters
    ----------
    fit : Fit
        Of an estimator that describes how levels vary; its σ² and covariances are the variances used.

    Raises
    ------
    numpy.linalg.LinAlgError
        When the mixed-model equations are not positive definite at these variances.
    """

    def __init__(self, fit: Fit) -> None:
        rows = internal_rows(fit.model)
        sigma2 = 1.0 if fit.sigma is None else float(fit.sigma) ** 2
        lam = relative_factors(rows, fit.estimates.covariances, sigma2)
        self._set(rows, lam, sigma2 / rows.unit**2)

    @classmethod
    def at(cls, rows: InternalRows, lam: Sequence[np.ndarray], sigma2: float) -> Deletion:
        """At the factors' λ and σ² (internal units) of a search."""
        out = cls.__new__(cls)
        out._set(rows, lam, sigma2)
        return out

    def _set(self, rows: InternalRows, lam: Sequence[np.ndarray], sigma2: float) -> None:
        self.rows, self.lam, self.sigma2 = rows, [np.asarray(v) for v in lam], sigma2
        elimination = rows.elimination
        solution = elimination.solve(self.lam)
        if solution is None:
            raise np.linalg.LinAlgError("the mixed-model equations are not positive definite")
        self.solution, self.pattern, self.p = solution, elimination.pattern, rows.products.p
        inverse = elimination.inverse(reml=True)
        self._P, self._PX, self._PXX = inverse.P, inverse.PX, inverse.PXX
        # the workspace is overwritten by the next evaluation
        self._L, self._W, self._WX = (v.copy() for v in (elimination.L, elimination.W, elimination.WX))
        self._effects = elimination.by_factor(solution.u) if rows.products.factors else []

    # --- rows ------------------------------------------------------------------------------------------------
    @cached_property
    def residual(self) -> np.ndarray:
        """W^½ (y − Xβ̂ − Zb̂), internal units: σ² W^-½ P y."""
        out = self._own_residual
        for z, lam, codes, u in zip(self.rows.z, self.lam, self.rows.codes, self._effects, strict=True):
            out = out - np.einsum("nk,nk->n", z @ lam, u[codes])
        return np.asarray(out)

    @cached_property
    def _own_residual(self) -> np.ndarray:
        return np.asarray(self.rows.y - self.rows.x @ self.solution.beta)

    @cached_property
    def _lead(self) -> np.ndarray:
        """The leading factor's level of each row."""
        lead = self.pattern.lead
        return self.rows.codes[lead] if lead >= 0 else np.zeros(len(self.rows.y), np.int32)

    @cached_property
    def _u(self) -> np.ndarray:
        """Rows of U: L⁻¹λ'z, (n, k)."""
        if self.pattern.lead < 0:
            return np.zeros((len(self.rows.y), 0))
        out = self.rows.z[self.pattern.lead] @ self.lam[self.pattern.lead]
        for a in range(out.shape[1]):
            for t in range(a):
                out[:, a] -= self._L[self._lead, a, t] * out[:, t]
            out[:, a] /= self._L[self._lead, a, a]
        return np.asarray(out)

    @cached_property
    def _tx(self) -> np.ndarray:
        """The fixed columns of T, (n, p)."""
        if self.pattern.lead < 0 or self.p == 0:
            return self.rows.x
        out = self.rows.x.copy()
        for a in range(self._u.shape[1]):
            out -= self._u[:, a, None] * self._WX[self._lead, a, : self.p]
        return out

    @cached_property
    def _trailing(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of each trailing factor: first scalar of each row's level, and z'λ."""
        pt = self.pattern
        pairs = zip(pt.place, pt.trail, strict=True)
        return [(place[self.rows.codes[f]], self.rows.z[f] @ self.lam[f]) for place, f in pairs]

    @cached_property
    def _order(self) -> np.ndarray:
        return np.argsort(self._lead, kind="stable")

    @cached_property
    def _lead_counts(self) -> np.ndarray:
        return np.bincount(self._lead, minlength=max(len(self._L), 1))

    def _tail(self, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Trailing scalars that rows `s` meet, ascending, and T of those rows: these columns, then X's."""
        pt, lead, u = self.pattern, self._lead[s], self._u[s]
        if not pt.trail:
            return np.zeros(0, np.int64), self._tx[s]
        length = pt.at[lead + 1] - pt.at[lead]
        row = np.repeat(np.arange(len(s)), length)
        entry = np.arange(len(row)) + np.repeat(pt.at[lead] - np.cumsum(length) + length, length)
        scalars = np.unique(pt.col[entry])
        t = np.zeros((len(s), len(scalars) + self.p))
        t[row, np.searchsorted(scalars, pt.col[entry])] = -np.einsum("ea,ea->e", self._W[entry], u[row])
        own = np.arange(len(s))[:, None]
        for first, values in self._trailing:
            t[own, np.searchsorted(scalars, first[s])[:, None] + np.arange(values.shape[1])] += values[s]
        t[:, len(scalars) :] = self._tx[s]
        return scalars.astype(np.int64), t

    # --- the inverse over trailing effects and X ---------------------------------------------------------------
    @cached_property
    def _keys(self) -> np.ndarray:
        """Column and row of each sparse entry of the factor as one ascending number."""
        pt = self.pattern
        columns = np.repeat(np.arange(pt.ns, dtype=np.int64), np.diff(pt.colptr))
        return np.asarray(columns * pt.n_trailing + pt.rows)

    def _places(self, scalars: np.ndarray) -> np.ndarray:
        """Places in the selected inverse of all pairs (…, b, b); −1 where it has none."""
        pt = self.pattern
        high = np.maximum(scalars[..., :, None], scalars[..., None, :])
        low = np.minimum(scalars[..., :, None], scalars[..., None, :])
        out = pt.sbase + (high - pt.ns) * pt.nt + low - pt.ns
        if pt.ns == 0:
            return np.asarray(out)
        key = low * pt.n_trailing + high
        at = np.minimum(np.searchsorted(self._keys, key), len(self._keys) - 1)
        return np.asarray(np.where(low >= pt.ns, out, np.where(self._keys[at] == key, at, -1)))

    def _inverse(self, scalars: np.ndarray) -> np.ndarray:
        """Q of these trailing scalars and X, (…, b + p, b + p)."""
        b, p = scalars.shape[-1], self.p
        places = self._places(scalars)
        if places.size and places.min() < 0:
            return self._solved(scalars)
        out = np.empty((*scalars.shape[:-1], b + p, b + p))
        out[..., :b, :b] = self._P[places]
        out[..., :b, b:] = self._PX[scalars]
        out[..., b:, :b] = np.swapaxes(out[..., :b, b:], -1, -2)
        out[..., b:, b:] = self._PXX
        return out

    def _solved(self, scalars: np.ndarray) -> np.ndarray:
        """Q of pairs that the selected inverse does not hold."""
        n = self.pattern.n_trailing
        if n > DENSE:
            half = self._half(scalars)
            return np.asarray(half.T @ half)
        index = np.concatenate([scalars, n + np.arange(self.p)])
        return np.asarray(self._dense[np.ix_(index, index)])

    @cached_property
    def _dense(self) -> np.ndarray:
        half = self._half(np.arange(self.pattern.n_trailing))
        return np.asarray(half.T @ half)

    def _half(self, scalars: np.ndarray) -> np.ndarray:
        """Columns of the inverse root for trailing scalars, then X's."""
        elimination = self.rows.elimination
        if any(a is not b for a, b in zip(elimination.lam, self.lam, strict=True)):
            elimination.solve(self.lam)
        q1, q, p = elimination.q1, elimination.q, self.p
        targets = np.concatenate([q1 + scalars, q + np.arange(p)])
        batch = max(1, NUMBERS // (q + p + 1))
        parts = []
        for start in range(0, len(targets), batch):
            own = targets[start : start + batch]
            right = np.zeros((q + p, len(own)))
            right[own, np.arange(len(own))] = 1.0
            head, tail = elimination.forward(np.ascontiguousarray(right[:q]), np.ascontiguousarray(right[q:]))
            parts.append(np.concatenate([head[q1:], tail]))
        return np.concatenate(parts, axis=1) if parts else np.zeros((0, 0))

    # --- one row at a time -------------------------------------------------------------------------------------
    def rows_out(self) -> RowsOut:
        """Every observation left out alone."""
        rows = self.rows
        leverage, moved = self._leverage()
        own = leverage / rows.count
        left = np.where(1.0 - own > LOST, 1.0 - own, np.nan)
        residual = self.residual / np.sqrt(rows.count)
        scale = self.sigma2 * rows.unit**2
        precision = np.exp(rows.log_weight)
        quadratic = residual**2 / (self.sigma2 * left)
        shift = -moved * (residual / np.sqrt(rows.count) / left)[:, None]
        return RowsOut(
            leverage=leverage,
            error=rows.unit * self.residual / rows.root / left,
            variance=scale / (precision * left),
            log_density=-0.5 * (LOG_TWO_PI + np.log(scale) - rows.log_weight - np.log(left) + quadratic),
            beta=rows.unit * shift @ rows.to_beta.T,
            cooks_distance=self._cook(shift),
        )

    def _leverage(self) -> tuple[np.ndarray, np.ndarray]:
        """Diagonal of A M⁻¹A' (n,), and what each row puts into β̂: rows of T Q over X (n, p)."""
        h = (self._u**2).sum(axis=1)
        pt = self.pattern
        if not pt.trail:
            moved = self._tx @ self._PXX
            return h + (moved * self._tx).sum(axis=1), moved
        moved = np.empty_like(self._tx)
        counts = self._lead_counts
        starts = np.concatenate([[0], np.cumsum(counts)])
        length = np.diff(pt.at)
        for b in np.unique(length):
            for levels in self._batches(np.flatnonzero((length == b) & (counts > 0)), int(b)):
                s = np.concatenate([self._order[starts[v] : starts[v + 1]] for v in levels])
                q = self._inverse(pt.col[pt.at[levels][:, None] + np.arange(b)].astype(np.int64))
                t = self._short_tail(s, levels, int(b)) if b else self._tx[s]
                at = np.searchsorted(levels, self._lead[s])
                tq = t @ q[0] if len(levels) == 1 else np.einsum("ni,nij->nj", t, q[at])
                h[s] += (tq * t).sum(axis=1)
                moved[s] = tq[:, b:]
        return h, moved

    def _batches(self, levels: np.ndarray, b: int) -> list[np.ndarray]:
        """Levels with equally long borders, several at a time where that is short."""
        if b > SHORT:
            return [levels[i : i + 1] for i in range(len(levels))]
        rows = np.cumsum(self._lead_counts[levels]) * (b + self.p + 1) ** 2 // NUMBERS
        return np.split(levels, np.flatnonzero(np.diff(rows)) + 1) if len(levels) else []

    def _short_tail(self, s: np.ndarray, levels: np.ndarray, b: int) -> np.ndarray:
        """T of rows of leading levels whose borders have b scalars: each row over its own border, then X."""
        pt, lead = self.pattern, self._lead[s]
        entry = pt.at[lead][:, None] + np.arange(b)
        t = np.empty((len(s), b + self.p))
        if len(levels) == 1:
            t[:, :b] = -self._u[s] @ self._W[entry[0]].T
        else:
            t[:, :b] = -np.einsum("nba,na->nb", self._W[entry], self._u[s])
        border = pt.col[entry]
        own = np.arange(len(s))
        for first, values in self._trailing:
            at = np.argmax(border == first[s][:, None], axis=1)
            for a in range(values.shape[1]):
                t[own, at + a] += values[s, a]
        t[:, b:] = self._tx[s]
        return t

    # --- sets of rows ------------------------------------------------------------------------------------------
    def left_out(self, s: np.ndarray) -> LeftOut | None:
        """A set of rows left out together; None where X without them loses a column."""
        s = np.asarray(s)
        x = self.rows.x[s]
        if bool(self.rows.loses_rank(x.T @ x)):
            return None
        scalars, t = self._tail(s)
        q = self._inverse(scalars)
        matrix = Structured(-1.0, self._u[s], *self._within(s, t @ _root(q)))
        if not matrix.definite:
            return None
        weighted = matrix.solve(self.residual[s][:, None])[:, 0]
        moved = t @ q[:, len(scalars) :]
        shift = -moved.T @ weighted
        quadratic = float(self.residual[s] @ weighted) / self.sigma2
        more = self._PXX + moved.T @ matrix.solve(moved)
        log_det = _log_det(more) - _log_det(self._PXX)
        density = log_density(self.rows, s, self.sigma2, matrix.log_det, quadratic)
        return LeftOut(self.rows, s, self.sigma2, matrix, weighted, density, quadratic, shift, log_det)

    def _within(self, s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes, T Q^½ and D_ℓ = I − U_ℓ'U_ℓ, which is (L'L)⁻¹ exactly for levels that are in the set as a whole."""
        u = self._u[s]
        levels, codes, counts = np.unique(self._lead[s], return_inverse=True, return_counts=True)
        d = np.zeros((len(levels), u.shape[1], u.shape[1]))
        if u.shape[1]:
            np.add.at(d, codes, np.einsum("ni,nj->nij", u, u))
            d = np.eye(u.shape[1]) - d
            whole = counts == self._lead_counts[levels]
            inverse = np.linalg.inv(self._L[levels[whole]])
            d[whole] = inverse @ np.swapaxes(inverse, 1, 2)
        return codes, t, d

    # --- levels of a factor ------------------------------------------------------------------------------------
    def groups_out(self, f: int) -> GroupsOut:
        """Every level of the factor `f` (as in `products.factors`) left out alone."""
        if len(self.rows.products.factors) == 1:
            return self._one_factor()
        return self.sets_out(self.rows.codes[f], self.rows.products.factors[f].n_levels)

    def sets_out(self, codes: np.ndarray, n_sets: int) -> GroupsOut:
        """Every set of rows left out alone, one after the other; rows of code −1 are in none."""
        order = np.argsort(codes, kind="stable")[np.sum(codes < 0) :]
        counts = np.bincount(codes[order], minlength=n_sets)
        ends = np.cumsum(counts)[:-1]
        density, log_det, quadratic = (np.full(n_sets, np.nan) for _ in range(3))
        error = np.full(len(codes), np.nan)
        shift = np.full((n_sets, self.p), np.nan)
        for j, s in enumerate(np.split(order, ends)):
            out = self.left_out(s) if len(s) else None
            if out is not None:
                density[j], quadratic[j] = out.log_density, out.quadratic
                log_det[j], shift[j] = out.log_det, out.shift
                error[s] = out.error
        count = np.bincount(codes[order], self.rows.count[order], n_sets)
        return self._collected(density, error, shift, log_det, quadratic, count)

    def _one_factor(self) -> GroupsOut:
        """All levels of the only factor, from sums by level.

        With S_j = X_j'Ṽ_j⁻¹X_j, t_j = X_j'Ṽ_j⁻¹r, r = y − Xβ̂ and Q_j = (Σ S − S_j)⁻¹:  β̂₍₋ⱼ₎ − β̂ = −Q_j t_j,
        e_j'Cov(e_j)⁻¹e_j = (r_j'Ṽ_j⁻¹r_j + t_j'Q_j t_j)/σ²  and  |Cov e_j| = σ²ⁿ |Ṽ_j| |S|/|S − S_j|.
        """
        rows, p = self.rows, self.p
        sums = self._level_sums
        # λ'Z'r̃ = û and the same for the columns of X: sums of squares instead of differences
        w = np.linalg.solve(np.swapaxes(self._L, 1, 2), self._WX[:, :, :p])
        own = sums["tt"] + np.swapaxes(w, 1, 2) @ w
        gradient = sums["xr"]
        left = np.linalg.inv(self._PXX) - own
        lost = rows.loses_rank(sums["xx"])
        left[lost] = np.eye(p)
        q = np.linalg.inv(left)
        shift = -np.einsum("jab,jb->ja", q, gradient)
        quadratic = sums["rr"] + (self._effects[0] ** 2).sum(axis=1) - np.einsum("ja,ja->j", gradient, shift)
        quadratic = quadratic / self.sigma2
        log_det_v = 2.0 * np.log(np.diagonal(self._L, axis1=1, axis2=2)).sum(axis=1)
        log_det = -np.linalg.slogdet(left)[1] - _log_det(self._PXX)
        constant = sums["count"] * (LOG_TWO_PI + np.log(self.sigma2 * rows.unit**2)) - sums["log_weight"]
        density = -0.5 * (constant + log_det_v + log_det + quadratic)
        for values in (density, log_det, shift, quadratic):
            values[lost] = np.nan
        left_out = self._own_residual - np.einsum("na,na->n", rows.x, shift[self._lead])
        error = rows.unit * left_out / rows.root
        return self._collected(density, error, shift, log_det, quadratic, sums["count"])

    @cached_property
    def _level_sums(self) -> dict[str, np.ndarray]:
        """Sums over the rows of each level of the leading factor."""
        rows, lead, n_levels = self.rows, self._lead, len(self._L)
        starts = np.concatenate([[0], np.cumsum(self._lead_counts)])

        def sums(values: np.ndarray) -> np.ndarray:
            return np.bincount(lead, values, n_levels)

        def grams(matrix: np.ndarray) -> np.ndarray:
            ordered = matrix[self._order]
            out = np.empty((n_levels, self.p, self.p))
            for j, (a, b) in enumerate(pairwise(starts)):
                out[j] = ordered[a:b].T @ ordered[a:b]
            return out

        def columns(matrix: np.ndarray) -> np.ndarray:
            return np.column_stack([sums(c) for c in matrix.T]) if self.p else np.zeros((n_levels, 0))

        r = self.residual
        return {
            "tt": grams(self._tx),
            "xx": grams(rows.x),
            "xr": columns(rows.x * r[:, None]),
            "rr": sums(r**2),
            "count": sums(rows.count),
            "log_weight": sums(rows.log_weight),
        }

    def _collected(
        self,
        density: np.ndarray,
        error: np.ndarray,
        shift: np.ndarray,
        log_det: np.ndarray,
        quadratic: np.ndarray,
        count: np.ndarray,
    ) -> GroupsOut:
        beta = self.rows.unit * shift @ self.rows.to_beta.T
        lost = np.isnan(density)
        return GroupsOut(density, error, beta, self._cook(shift), log_det, quadratic, count, lost)

    def _cook(self, shift: np.ndarray) -> np.ndarray:
        """Δβ'Cov(β̂)⁻¹Δβ/p."""
        if self.p == 0:
            return np.zeros(len(shift))
        return np.asarray(np.einsum("ja,ab,jb->j", shift, np.linalg.inv(self._PXX), shift) / (self.sigma2 * self.p))


def relative_factors(rows: InternalRows, covariances: Sequence[np.ndarray], sigma2: float) -> list[np.ndarray]:
    """λ of each factor, internal coordinates, from the covariances of the terms and σ² in the units of the data."""
    out = []
    for factor in rows.products.factors:
        lam = np.zeros((factor.k, factor.k))
        for t, a, b in factor.terms:
            back = rows.products.to_effects[t]
            inner = np.linalg.solve(back, np.linalg.solve(back, covariances[t] / sigma2).T)
            lam[a:b, a:b] = _root(0.5 * (inner + inner.T))
        out.append(np.ascontiguousarray(lam))
    return out


def _root(covariance: np.ndarray) -> np.ndarray:
    """A with AA' = covariance."""
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _log_det(matrix: np.ndarray) -> float:
    return float(np.linalg.slogdet(matrix)[1]) if len(matrix) else 0.0
