"""Variance components by fitting constants: Henderson's method III, for scalar effects.

    R_j = SSE(X, Z_1 … Z_{j−1}) − SSE(X, Z_1 … Z_j)
    E R_j = Σ_{i ≥ j} τ_i² [tr Z_i'M_{j−1}Z_i − tr Z_i'M_jZ_i] + σ² [rank_j − rank_{j−1}]
    E SSE(X, Z_1 … Z_m) = σ² (n − rank_m)

M_j projects off X, Z_1 … Z_j (all weighted). The system is triangular and solved from the last factor back; what is
negative is then zero, exactly. Factors enter in the order of their number of levels: a nested chain from the coarsest
to the finest, and the answer does not depend on how the formula was written. With one factor and an intercept these
are the unbalanced one-way ANOVA estimators, τ² = (MSB − MSW)/n_0; with known variances (σ² = 1 after weighting) and
one row for each level, DerSimonian and Laird's.

References: Henderson (1953), Biometrics 9, 226-252; Searle, Casella & McCulloch (1992), sections 5.5 and 3.6;
DerSimonian & Laird (1986), Controlled Clinical Trials 7, 177-188.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.cross_products import CrossProducts
from ..errors import IdentifiabilityError, MemoryNeededError, printable
from .linear import independent

DEPENDENT = 1e-10
MOST_COLUMNS = 12_000


@dataclass(frozen=True)
class Components:
    """sigma2, and tau2 of each factor (internal units); `raw` is tau2 before truncation at zero; df of sigma2."""

    sigma2: float
    tau2: np.ndarray
    raw: np.ndarray
    df: float


@dataclass(frozen=True)
class Stage:
    """After fitting some of the columns: SSE, rank, and tr Z_i'MZ_i of each factor (0 for those fitted)."""

    sse: float
    rank: int
    traces: np.ndarray


def from_stages(
    stages: Sequence[Stage], order: Sequence[int], n: float, sigma2: float | None, labels: Sequence[str]
) -> Components:
    """Solve the moment equations; `stages[j]` is after the first j factors of `order`."""
    last = stages[-1]
    df = np.inf if sigma2 is not None else n - last.rank
    if sigma2 is None:
        if not df > 0:
            raise IdentifiabilityError(
                f"{n:g} rows leave no degrees of freedom for the residual variance beside {last.rank} coefficients",
                code="E_NO_RESIDUAL_DF",
                hint="Give known standard errors with se(), or group by coarser columns.",
            )
        sigma2 = last.sse / df
    raw = np.zeros(len(order))
    for j in range(len(order), 0, -1):
        before, after = stages[j - 1], stages[j]
        drop = before.traces - after.traces
        f = order[j - 1]
        if after.rank == before.rank:
            raise _aliased(labels[f])
        later = sum(raw[i] * drop[i] for i in order[j:])
        expected = sigma2 * (after.rank - before.rank)
        raw[f] = (before.sse - after.sse - later - expected) / drop[f]
    return Components(float(sigma2), np.maximum(raw, 0.0), raw, float(df))


def _aliased(label: str) -> IdentifiabilityError:
    return IdentifiabilityError(
        f'the variance by "{printable(label)}" cannot be told from the rest: its levels are combinations of the fixed '
        "columns and the coarser groups",
        code="E_ALIASED_GROUPS",
        hint="Remove the term, or the fixed columns that repeat it.",
    )


def crossed_components(products: CrossProducts, sigma2: float | None) -> Components:
    """Components of several scalar factors, nested or crossed, from cross-products."""
    sizes = [f.n_levels for f in products.factors]
    order = [int(f) for f in np.argsort(sizes, kind="stable")]
    system = _System(products, order)
    stages = [system.stage(j) for j in range(len(order))]
    stages.append(system.full())
    return from_stages(stages, order, products.n, sigma2, [f.label for f in products.factors])


class _System:
    """Normal equations of X and all factors but the last (dense), and what the last adds."""

    def __init__(self, products: CrossProducts, order: Sequence[int]) -> None:
        from scipy import sparse

        self.products, self.order = products, tuple(order)
        p, small, last = products.p, self.order[:-1], self.order[-1]
        sizes = [products.factors[f].n_levels for f in small]
        self.ends = np.concatenate([[p], p + np.cumsum(sizes)]).astype(int)
        width = int(self.ends[-1])
        if width > MOST_COLUMNS:
            raise MemoryNeededError(
                f"fitting constants needs a dense system of {width} columns ({8e-9 * width**2:.1f} GB)",
                hint="Use reml or ml, which keep it sparse.",
            )
        self.gram = np.zeros((width, width))
        self.gram[:p, :p] = products.xy[:p, :p]
        self.y = np.zeros(width)
        self.y[:p] = products.xy[:p, p]
        self.yy = float(products.xy[p, p])
        for i, f in enumerate(small):
            self._add(f, slice(self.ends[i], self.ends[i + 1]))
        for i, f in enumerate(small):
            for j in range(i):
                block = _pair(products, f, small[j]).toarray()
                a, b = slice(self.ends[i], self.ends[i + 1]), slice(self.ends[j], self.ends[j + 1])
                self.gram[a, b], self.gram[b, a] = block, block.T
        factor = products.factors[last]
        self.last, self.last_gram = last, factor.gram[:, 0, 0]
        pairs = [_pair(products, last, f) for f in small]
        self.last_cross = sparse.hstack([sparse.csr_matrix(factor.cross[:, 0, :p]), *pairs]).tocsr()
        self.last_y = factor.cross[:, 0, p]
        self.kept, self.kept_ends, self.factor = self._eliminate(self.gram)

    def _add(self, f: int, part: slice) -> None:
        p, factor = self.products.p, self.products.factors[f]
        self.gram[part, :p] = factor.cross[:, 0, :p]
        self.gram[:p, part] = factor.cross[:, 0, :p].T
        self.gram[part, part] = np.diag(factor.gram[:, 0, 0])
        self.y[part] = factor.cross[:, 0, p]

    def _eliminate(self, gram: np.ndarray) -> tuple[np.ndarray, list[int], np.ndarray]:
        """Independent columns in order (X, then factor by factor), where each block ends, and their Cholesky factor."""
        from scipy.linalg import solve_triangular

        diagonal = np.diag(self.gram)
        kept = np.zeros(0, dtype=int)
        ends = []
        factor = np.zeros((0, 0))
        for start, stop in zip([0, *self.ends[:-1]], self.ends, strict=True):
            block = np.arange(start, stop)
            rest = gram[np.ix_(block, block)]
            if len(kept) and len(block):
                above = solve_triangular(factor, gram[np.ix_(kept, block)], lower=True)
                rest = rest - above.T @ above
            root = np.sqrt(diagonal[block])
            kept = np.concatenate([kept, block[independent(rest / np.outer(root, root), DEPENDENT)]])
            factor = np.linalg.cholesky(gram[np.ix_(kept, kept)])
            ends.append(len(kept))
        return kept, ends, factor

    def _half(self, rhs: np.ndarray, columns: int) -> np.ndarray:
        """L⁻¹ rhs over the first `columns` kept columns."""
        from scipy.linalg import solve_triangular

        if columns == 0:
            return np.zeros((0, *rhs.shape[1:]))
        return np.asarray(solve_triangular(self.factor[:columns, :columns], rhs[self.kept[:columns]], lower=True))

    def stage(self, j: int) -> Stage:
        """After X and the first j factors."""
        r = self.kept_ends[j]
        sse = self.yy - float(np.sum(self._half(self.y, r) ** 2))
        traces = np.zeros(len(self.order))
        for i in range(j, len(self.order) - 1):
            part = slice(self.ends[i], self.ends[i + 1])
            own = float(np.diag(self.gram)[part].sum())
            traces[self.order[i]] = own - float(np.sum(self._half(self.gram[:, part], r) ** 2))
        inner = (self.last_cross.T @ self.last_cross).toarray()
        half = self._half(self._half(inner, r).T, r)
        traces[self.last] = float(self.last_gram.sum() - np.trace(half))
        return Stage(sse, r, traces)

    def full(self) -> Stage:
        """After everything: the last factor eliminated first, its block is diagonal."""
        from scipy.linalg import solve_triangular

        scaled = self.last_cross.multiply(1.0 / self.last_gram[:, None]).tocsr()
        gram = self.gram - (self.last_cross.T @ scaled).toarray()
        y = self.y - scaled.T @ self.last_y
        kept, _, factor = self._eliminate(gram)
        half = solve_triangular(factor, y[kept], lower=True) if len(kept) else np.zeros(0)
        sse = self.yy - float(self.last_y @ (self.last_y / self.last_gram)) - float(half @ half)
        return Stage(max(sse, 0.0), len(self.last_gram) + len(kept), np.zeros(len(self.order)))


def _pair(products: CrossProducts, a: int, b: int):  # type: ignore[no-untyped-def]
    """Z_a'WZ_b as a sparse matrix."""
    from scipy import sparse

    turned = (a, b) not in products.pairs
    pair = products.pairs[(b, a) if turned else (a, b)]
    first, second = (b, a) if turned else (a, b)
    shape = (products.factors[first].n_levels, products.factors[second].n_levels)
    out = sparse.csr_matrix((pair.block[:, 0, 0], pair.other, pair.start), shape)
    return out.T.tocsr() if turned else out
