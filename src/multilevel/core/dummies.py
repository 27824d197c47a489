"""Intercepts of several crossed factors as fixed effects: dummy-variable normal equations, solved exactly.

    D'WD a = D'Wv,    D = [D_1 D_2 …]      a: one coefficient for each level of each factor

The factor with the most levels is eliminated (its block is diagonal), which leaves a dense system over the others.
It is singular: a constant can move between factors within each connected component of their graph, so one level a
component is fixed at zero; whatever redundancy more than two factors add is found by a pivoted Cholesky.

References: Abowd, Creecy & Kramarz (2002) for connected components; Guimarães & Portugal (2010).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np

from ..errors import IdentifiabilityError, MemoryNeededError, printable
from .linear import independent
from .projection import Projector

MOST_LEVELS = 12_000  # levels beside the largest factor: 1.2 GB
DEPENDENT = 1e-10


class DummyProjector(Projector):
    """One coefficient for each level of several factors.

    Parameters
    ----------
    labels, codes, sizes : of each factor
    w : row weights
    """

    def __init__(self, labels: Sequence[str], codes: Sequence[np.ndarray], sizes: Sequence[int], w: np.ndarray) -> None:
        from scipy import sparse

        self.codes, self.sizes, self.w = tuple(codes), tuple(sizes), w
        self.starts = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self.lead = int(np.argmax(sizes))
        self.tail = [f for f in range(len(sizes)) if f != self.lead]
        n_tail = sum(sizes[f] for f in self.tail)
        if n_tail > MOST_LEVELS:
            raise MemoryNeededError(
                f"{n_tail} levels beside the largest factor need {8e-9 * n_tail**2:.1f} GB as fixed effects",
                hint="Use reml or ml, which keep them sparse.",
            )
        self.weight = [np.bincount(c, w, s) for c, s in zip(codes, sizes, strict=True)]
        rows = np.arange(len(w))
        dummies = [sparse.csr_matrix((np.ones(len(w)), (rows, codes[f])), (len(w), sizes[f])) for f in self.tail]
        weighted = sparse.hstack(dummies).T.multiply(w).tocsr()
        first = sparse.csr_matrix((np.ones(len(w)), (rows, codes[self.lead])), (len(w), sizes[self.lead]))
        self.cross = (weighted @ first).T.tocsr()  # (lead levels, tail levels)
        gram = (weighted @ sparse.hstack(dummies)).toarray()
        scaled = self.cross.multiply(1.0 / self.weight[self.lead][:, None])
        schur = gram - (self.cross.T @ scaled).toarray()
        self.kept, self.factor = self._independent(labels, schur, np.diag(gram))
        self.rank = sizes[self.lead] + len(self.kept)

    @cached_property
    def components(self) -> list[tuple[np.ndarray, np.ndarray, int]]:
        """For each tail factor: component of its levels, of the lead's levels, and their number."""
        from scipy import sparse
        from scipy.sparse.csgraph import connected_components

        out = []
        at = 0
        for f in self.tail:
            part = self.cross[:, at : at + self.sizes[f]]
            at += self.sizes[f]
            graph = sparse.bmat([[None, part], [part.T, None]])
            number, labels = connected_components(graph, directed=False)
            out.append((labels[self.sizes[self.lead] :], labels[: self.sizes[self.lead]], int(number)))
        return out

    def _independent(
        self, labels: Sequence[str], schur: np.ndarray, diagonal: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Tail levels with a free coefficient, and the Cholesky factor of their system."""
        candidates = []
        at = 0
        for f, (component, _, _) in zip(self.tail, self.components, strict=True):
            _, first = np.unique(component, return_index=True)
            free = np.setdiff1d(np.arange(self.sizes[f]), first)
            if len(free) == 0:
                raise _nested(labels[f], labels[self.lead])
            candidates.append(at + free)
            at += self.sizes[f]
        kept = np.concatenate(candidates)
        root = np.sqrt(diagonal[kept])
        unit = schur[np.ix_(kept, kept)] / np.outer(root, root)
        kept = kept[independent(unit, DEPENDENT)]
        return kept, np.linalg.cholesky(schur[np.ix_(kept, kept)])

    # --- solving ---------------------------------------------------------------------------------------------
    def solve(self, rhs: np.ndarray) -> np.ndarray:
        """A g-inverse of D'WD times the columns of rhs (levels of all factors, s)."""
        from scipy.linalg import cho_solve

        lead = slice(self.starts[self.lead], self.starts[self.lead + 1])
        tail = self._tail_index
        out = np.zeros_like(rhs)
        top = rhs[lead] / self.weight[self.lead][:, None]
        inner = (rhs[tail] - self.cross.T @ top)[self.kept]
        solved = np.zeros((len(tail), rhs.shape[1]))
        solved[self.kept] = cho_solve((self.factor, True), inner)
        out[tail] = solved
        out[lead] = top - (self.cross @ solved) / self.weight[self.lead][:, None]
        return out

    @cached_property
    def _tail_index(self) -> np.ndarray:
        return np.concatenate([np.arange(self.starts[f], self.starts[f + 1]) for f in self.tail])

    def coefficients(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients of all levels (factors one after the other), and the residual; refined once."""
        total, left = np.zeros(self.starts[-1]), np.asarray(v, dtype=float)
        for _ in range(2):
            parts = [np.bincount(c, self.w * left, s) for c, s in zip(self.codes, self.sizes, strict=True)]
            step = self.solve(np.concatenate(parts)[:, None])[:, 0]
            total += step
            for code, start in zip(self.codes, self.starts, strict=False):
                left = left - step[start + code]
        return total, left

    # --- the reported coefficients ---------------------------------------------------------------------------
    def centred(self, a: np.ndarray, intercept: bool) -> tuple[np.ndarray, float]:
        """Coefficients with row-weighted mean zero, and the intercept they leave.

        Each factor but the largest is centred within every component that it forms with the largest; what that
        removes goes to the largest factor, whose own mean is the intercept (kept when there is no fixed one).
        """
        out = a.copy()
        lead = slice(self.starts[self.lead], self.starts[self.lead + 1])
        for f, (component, of_lead, number) in zip(self.tail, self.components, strict=True):
            part = slice(self.starts[f], self.starts[f + 1])
            w = self.weight[f]
            mean = np.bincount(component, w * out[part], number) / np.bincount(component, w, number)
            out[part] -= mean[component]
            out[lead] += mean[of_lead]
        if not intercept:
            return out, 0.0
        w = self.weight[self.lead]
        grand = float(w @ out[lead] / w.sum())
        out[lead] -= grand
        return out, grand

    def uncentred(self, weights: np.ndarray, on_intercept: np.ndarray, intercept: bool) -> np.ndarray:
        """The transpose of `centred`: weights (levels, s) on its results as weights on the coefficients before."""
        out = weights.copy()
        lead = slice(self.starts[self.lead], self.starts[self.lead + 1])
        if intercept:
            w = self.weight[self.lead]
            out[lead] += np.outer(w / w.sum(), on_intercept - weights[lead].sum(axis=0))
        for f, (component, of_lead, number) in zip(self.tail, self.components, strict=True):
            part = slice(self.starts[f], self.starts[f + 1])
            moved = np.zeros((number, weights.shape[1]))
            np.add.at(moved, of_lead, out[lead])
            np.subtract.at(moved, component, weights[part])
            w = self.weight[f] / np.bincount(component, self.weight[f], number)[component]
            out[part] += w[:, None] * moved[component]
        return out


def _nested(fine: str, coarse: str) -> IdentifiabilityError:
    """`fine` here is the factor with fewer levels: every one of them is a set of levels of the other."""
    a, b = printable(fine), printable(coarse)
    return IdentifiabilityError(
        f'fixed effects of "{a}" cannot be told from those of "{b}": every level of "{b}" lies in one level of "{a}"',
        code="E_NESTED_FIXED",
        hint=f"Keep only (1 | {b}), or use reml, ml or moments for nested groups.",
    )
