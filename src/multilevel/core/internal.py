"""The rows of a model in the coordinates of its cross-products: centred, scaled, times the roots of their weights.

    [X y]' [X y] and Z_ℓ'[X y] of these rows are the cross-products that the elimination factors

Cross-products know levels; what leaves rows out one by one, or in sets that are no levels, needs the rows again. Fixed
columns that are nearly collinear come as an orthonormal basis of their span (`data/orthogonal.py` has another one).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..data.cross_products import CrossProducts, cross_products
from ..formula.design import Column, Design
from .gaussian import Elimination
from .projection import counts_rows, response, row_weights

if TYPE_CHECKING:
    from ..model.model import Model

AGREES = 1e-8  # of the rows' Gram matrix with the cross-products, as a share of the columns' sizes
LOST = 1e-10  # share of a fixed column's information below which nothing of it is left


@dataclass(frozen=True, eq=False)
class InternalRows:
    """Rows of a design beside its cross-products.

    Attributes
    ----------
    x, y : (n, p), (n,), times √weight
    z : per factor (n, k), times √weight;  codes : per factor (n,)
    root : (n,) √weight;  count : (n,) observations that a row stands for
    log_weight : (n,) log of the precisions, 0 for frequencies
    to_beta : (p_all, p), internal to external changes of β
    """

    products: CrossProducts
    x: np.ndarray
    y: np.ndarray
    z: tuple[np.ndarray, ...]
    codes: tuple[np.ndarray, ...]
    root: np.ndarray
    count: np.ndarray
    log_weight: np.ndarray
    to_beta: np.ndarray

    @property
    def unit(self) -> float:
        """What an internal response of one is worth."""
        return float(self.products.y_shift.scale)

    @cached_property
    def elimination(self) -> Elimination:
        return Elimination(self.products)

    @cached_property
    def x_root(self) -> np.ndarray:
        """R with R'R = (X'WX)⁻¹, (p, p)."""
        p = self.products.p
        if p == 0:
            return np.zeros((0, 0))
        return np.asarray(np.linalg.inv(np.linalg.cholesky(self.products.xy[:p, :p])))

    def loses_rank(self, gram: np.ndarray) -> np.ndarray:
        """Whether X without rows of Gram matrix X_s'WX_s (…, p, p) loses a column."""
        if self.products.p == 0:
            return np.zeros(gram.shape[:-2], dtype=bool)
        left = self.x_root @ gram @ self.x_root.T
        return np.asarray(np.linalg.eigvalsh(left)[..., -1] > 1.0 - LOST)


def internal_rows(model: Model) -> InternalRows:
    """The rows of a model, checked against its cross-products."""
    design, products = model.design, model.products
    root = np.sqrt(row_weights(design))
    x, y = _columns(design, products, root)
    to_beta = products.to_beta
    if not _agrees(x, y, products):
        design, inverse = _orthonormal(design, products, root)
        products = cross_products(design)
        x, y = _columns(design, products, root)
        to_beta = inverse @ products.to_beta
    z = _effects(design, products, root)
    labels = list(dict.fromkeys(g.label for g in design.groups))
    codes = tuple(next(g.codes for g in design.groups if g.label == label) for label in labels)
    counted = counts_rows(design)
    weight = root**2
    ones = np.ones(design.n)
    log_weight = np.zeros(design.n) if counted else np.log(weight)
    return InternalRows(products, x, y, z, codes, root, weight if counted else ones, log_weight, to_beta)


def _columns(design: Design, products: CrossProducts, root: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    y = (response(design) - products.y_shift.centre) / products.y_shift.scale
    return _fixed(design.fixed_columns, products, design.n) * root[:, None], y * root


def _fixed(columns: tuple[Column, ...], products: CrossProducts, n: int) -> np.ndarray:
    """Internal fixed columns, centred before they are scaled."""
    if products.centres is None:
        given = np.column_stack([np.ones(n) if c is None else c for c in columns]) if columns else np.zeros((n, 0))
        return np.asarray(given @ products.to_beta)
    out = np.ones((n, len(columns)))
    for j, (column, centre) in enumerate(zip(columns, products.centres, strict=True)):
        if column is not None:
            out[:, j] = (column - centre) * products.to_beta[j, j]
    return out


def _agrees(x: np.ndarray, y: np.ndarray, products: CrossProducts) -> bool:
    """Whether the rows have these cross-products; those of orthogonalised columns hold the residual of y instead."""
    both = np.column_stack([x, y])
    size = np.linalg.norm(both, axis=0)
    return bool(np.all(np.abs(both.T @ both - products.xy) <= AGREES * np.outer(size, size)))


def _effects(design: Design, products: CrossProducts, root: np.ndarray) -> tuple[np.ndarray, ...]:
    out = []
    for factor in products.factors:
        z = np.empty((design.n, factor.k))
        for t, a, b in factor.terms:
            columns = [np.ones(design.n) if c is None else c for c in design.groups[t].columns]
            z[:, a:b] = np.column_stack(columns) @ products.to_effects[t]
        out.append(z * root[:, None])
    return tuple(out)


def _orthonormal(design: Design, products: CrossProducts, root: np.ndarray) -> tuple[Design, np.ndarray]:
    """The design with an orthonormal basis of its fixed columns, and the map of its coefficients back (p_all, p).

    Its response is what those columns leave of y.
    """
    gone = {j for j, _ in products.dropped}
    kept = [j for j in range(len(design.fixed_columns)) if j not in gone]
    columns = [design.fixed_columns[j] for j in kept]
    given = np.column_stack([np.ones(design.n) if c is None else c for c in columns]) * root[:, None]
    size = np.maximum(np.linalg.norm(given, axis=0), 1e-300)
    q, r = np.linalg.qr(given / size)
    back = np.zeros((len(design.fixed_columns), len(kept)))
    back[kept] = np.linalg.inv(r) / size[:, None]
    y = response(design) * root
    for _ in range(2):  # P does not see what X explains: taking it out keeps digits
        y = y - q @ (q.T @ y)
    names = tuple(design.fixed_names[j] for j in kept)
    basis = tuple(np.ascontiguousarray(v / root) for v in q.T)
    return replace(design, response=y / root, offset=None, fixed_names=names, fixed_columns=basis), back
