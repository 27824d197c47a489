"""Profiled likelihood of a Gaussian hierarchy from its cross-products, with exact gradient.

    y = Xβ + ZΛu + ε,   u ~ N(0, σ² I),   Var ε_i = σ²/w_i,   C = Λ'Z'WZΛ + I

    ML:    d = log|C| + n [1 + log(2π r²/n)] − Σ log w
    REML:  d = log|C| + log|X'V⁻¹X| + ν [1 + log(2π r²/ν)] − Σ log w,   ν = n − p

r² is the penalised residual sum of squares, σ² is profiled out (or known, with ``se()``). The gradient needs only
the inverse of the bordered matrix on its own pattern:

    ∂d/∂Λ = 2 [ (Z'ZΛP) − (Z'ê) û'/σ² ]   in the diagonal blocks,   P = C⁻¹ (ML) or its REML counterpart,

the undivided form, which stays exact where Λ is singular.

References: Bates et al. (2015), sections 3.3–3.5; Gilmour, Thompson & Cullis (1995) for the average information.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..data.cross_products import CrossProducts
from ..numerics import dense
from .pattern import Pattern, pattern

TWO_PI = 2.0 * np.pi


@dataclass(frozen=True)
class Solution:
    """What one factorisation at Λ tells.

    log_det : log|C|;  log_det_x : log|X'V⁻¹X| (internal columns);  r2 : penalised residual sum of squares
    beta : (p,);  u : leading effects first, then the trailing ones, in the pattern's order
    """

    log_det: float
    log_det_x: float
    r2: float
    beta: np.ndarray
    u: np.ndarray


class Elimination:
    """The factorisation of the mixed-model matrix at one Λ after another, in one workspace.

    Not thread-safe: each call to `solve` overwrites the factor that `inverse` and `forward` use.
    """

    def __init__(self, products: CrossProducts, known: Pattern | None = None) -> None:
        self.products = products
        self.pattern: Pattern = known or pattern(products)
        pt, p1 = self.pattern, products.p + 1
        if pt.lead >= 0:
            factor = products.factors[pt.lead]
            self.A, self.B = factor.gram, factor.cross
        else:
            self.A, self.B = np.zeros((0, 1, 1)), np.zeros((0, 1, p1))
        self.k1, self.n_lead = self.A.shape[1], self.A.shape[0]
        self.q1 = self.n_lead * self.k1
        self.L, self.W, self.WX = np.empty_like(self.A), np.empty_like(pt.T), np.empty_like(self.B)
        self.S = np.empty(pt.sbase + pt.nt * pt.nt)
        self.SX = np.empty((pt.n_trailing, p1))
        self.XX = np.empty((p1, p1))
        self.tail = dense.Bordered(np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0)))
        self.lam: list[np.ndarray] = []
        self._flat = np.zeros(0)

    @property
    def q(self) -> int:
        return self.q1 + self.pattern.n_trailing

    @cached_property
    def operations(self) -> float:
        """Arithmetic of one evaluation with gradient, from sizes alone: decisions by it are the same on every run."""
        pt, k, p1 = self.pattern, self.k1, self.products.p + 1
        border = np.diff(pt.at).astype(float)
        leading = self.n_lead * (k**3 + k * k * p1 + k * p1 * p1) + float((border * (border + 2 * p1)).sum()) * k
        below = np.diff(pt.colptr).astype(float)
        return 3.0 * (leading + float((below**2).sum()) + (pt.nt + p1) ** 3 / 20.0)

    @property
    def seconds(self) -> float:
        """Rough time of one evaluation with gradient on one core."""
        return 2e-4 + 5e-10 * self.operations

    def solve(self, lam: Sequence[np.ndarray]) -> Solution | None:
        """Factor at the factors' λ (in the order of `products.factors`); None when not positive definite."""
        from ..numerics import elimination as kernels

        pt, p = self.pattern, self.products.p
        self.lam = [np.ascontiguousarray(v) for v in lam]
        self._flat = np.concatenate([self.lam[f].ravel() for f in pt.trail]) if pt.trail else np.zeros(0)
        self.XX[:] = self.products.xy
        log_det = 0.0
        if pt.trail:
            kernels.assemble_trailing(
                pt.block, self._flat, pt.begin, pt.high, pt.low, pt.width, pt.shift, pt.target, pt.diagonal,
                pt.border, self.S, self.SX,
            )  # fmt: skip
        if self.n_lead:
            log_det += kernels.eliminate_leading(
                self.A, self.B, pt.T, pt.at, pt.col, pt.width, pt.shift, self._flat, self.lam[pt.lead], pt.where,
                pt.ns, pt.nt, pt.sbase, self.L, self.W, self.WX, self.S, self.SX, self.XX,
            )  # fmt: skip
        if pt.ns:
            gather = pt.nt > 0 and self._tail_by_product
            log_det += kernels.eliminate_sparse(
                pt.colptr, pt.rows, pt.ns, pt.nt, pt.sbase, self.S, self.SX, self.XX, not gather
            )
            if gather:
                self._subtract_product()
        if np.isnan(log_det):
            return None
        return self._solve_tail(log_det, p)

    @cached_property
    def _tail_by_product(self) -> bool:
        """Whether one dense matrix product beats scattering the sparse columns' parts into the tail."""
        pt = self.pattern
        counts = np.add.reduceat((pt.rows >= pt.ns).astype(np.int64), pt.colptr[:-1])
        scatter = float((counts.astype(float) ** 2).sum()) / 2
        return pt.ns >= 16 and scatter > 0.05 * pt.ns * pt.nt**2 / 2 and pt.ns * pt.nt < 2e7

    def _subtract_product(self) -> None:
        pt = self.pattern
        part = np.zeros((pt.ns, pt.nt))
        column = np.repeat(np.arange(pt.ns), np.diff(pt.colptr))
        inside = pt.rows >= pt.ns
        part[column[inside], pt.rows[inside] - pt.ns] = self.S[: pt.sbase][inside]
        block = self.S[pt.sbase :].reshape(pt.nt, pt.nt)
        block -= part.T @ part

    def _solve_tail(self, log_det: float, p: int) -> Solution | None:
        from ..numerics import elimination as kernels

        pt, nt = self.pattern, self.pattern.nt
        block = self.S[pt.sbase :].reshape(nt, nt)
        factor = dense.factor_bordered(block, self.SX[pt.ns :, :p].T, self.XX[:p, :p])
        if factor is None:
            return None
        half = factor.forward(np.concatenate([self.SX[pt.ns :, p], self.XX[p, :p]]))
        r2 = float(self.XX[p, p] - half @ half)
        x = factor.backward(half)
        self.tail = factor
        u = np.empty(self.q)
        beta = x[nt:]
        if self.q:
            u[self.q1 + pt.ns :] = x[:nt]
            z = np.append(beta, -1.0)
            kernels.back_substitute(
                pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, pt.ns, self.S, self.SX, z, u
            )
        of_tail, of_fixed = factor.log_dets()
        return Solution(log_det + of_tail, of_fixed, r2, beta, u)

    def inverse(self, reml: bool, keep: bool = False, cross: bool = False) -> Inverse:
        """Selected inverse at the last `solve`: Σ (Z'ZΛP)_ℓℓ of every factor, and the blocks on request.

        `keep` the leading levels' own blocks; `cross` also those between leading and trailing levels that meet.
        """
        from ..numerics import elimination as kernels

        pt, nt = self.pattern, self.pattern.nt
        p = self.products.p if reml else 0
        P = np.empty(pt.sbase + nt * nt)
        PX = np.zeros((pt.n_trailing, p))
        PX[pt.ns :], PXX = self.tail.inverse(P[pt.sbase :].reshape(nt, nt), reml)
        if pt.ns:
            kernels.invert_sparse(pt.colptr, pt.rows, pt.ns, pt.nt, pt.sbase, self.S, P, self.SX, PX, PXX, p)
        G1 = np.zeros((self.k1, self.k1))
        G = np.zeros_like(self._flat)
        PL = np.empty((self.n_lead if keep else 0, self.k1, self.k1))
        PLX = np.empty((self.n_lead if keep else 0, self.k1, p))
        PT = np.empty((len(pt.T) if cross else 0, self.k1))
        if self.n_lead:
            kernels.invert_leading(
                self.A, self.B, pt.T, pt.at, pt.col, pt.width, pt.shift, pt.group, self._flat, self.lam[pt.lead],
                pt.where, pt.ns, pt.nt, pt.sbase, self.L, self.W, self.WX, P, PX, PXX, p, G1, G, PL, PLX, PT,
            )  # fmt: skip
        if pt.trail:
            kernels.gradient_trailing(
                pt.block, self._flat, pt.begin, pt.high, pt.low, pt.width, pt.shift, pt.group, pt.target,
                pt.border, P, PX, p, G,
            )  # fmt: skip
        sums: list[np.ndarray] = [G1] * len(self.products.factors)
        at = 0
        for f in pt.trail:
            k = self.products.factors[f].k
            sums[f] = G[at : at + k * k].reshape(k, k)
            at += k * k
        return Inverse(sums, P, PX, PXX, PL, PLX, PT)

    def by_factor(self, u: np.ndarray) -> list[np.ndarray]:
        """A vector (q,) or matrix (q, s) of effects as (L, k) or (L, k, s) arrays, in the order of the factors."""
        pt = self.pattern
        lead = u[: self.q1].reshape(self.n_lead, self.k1, *u.shape[1:])
        out: list[np.ndarray] = [lead] * len(self.products.factors)
        for place, f in zip(pt.place, pt.trail, strict=True):
            out[f] = u[self.q1 + place[:, None] + np.arange(self.products.factors[f].k)]
        return out

    def to_vector(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """The inverse of `by_factor`, for (L, k) or (L, k, s) arrays."""
        pt = self.pattern
        extra = parts[0].shape[2:]
        out = np.empty((self.q, *extra))
        for f, part in enumerate(parts):
            if f == pt.lead:
                out[: self.q1] = part.reshape(self.q1, *extra)
            else:
                index = self.q1 + pt.place[pt.trail.index(f)][:, None] + np.arange(part.shape[1])
                out[index] = part
        return out

    def multiply(self, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Z'Z c and [X y]'Z c for the columns of c (q, s)."""
        from ..numerics import elimination as kernels

        pt = self.pattern
        out, outx = np.empty_like(c), np.empty((self.products.p + 1, c.shape[1]))
        kernels.gram_multiply(
            self.A, self.B, pt.T, pt.at, pt.col, pt.block, pt.begin, pt.high, pt.low, pt.width, pt.border, c, out, outx
        )
        return out, outx

    def forward(self, r: np.ndarray, rx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L⁻¹ [r; rx] for the columns of r (q, s) and rx (p, s); overwrites them. Tail and X come as one array."""
        from ..numerics import elimination as kernels

        pt = self.pattern
        kernels.forward_substitute(
            pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, pt.ns, self.S, self.SX, len(rx), r, rx
        )
        end = self.q1 + pt.ns
        return r[:end], self.tail.forward(np.concatenate([r[end:], rx]))

    def quadratic(self, r: np.ndarray, rx: np.ndarray) -> np.ndarray:
        """[r; rx]' M⁻¹ [r; rx] (s, s), M bordered by X'X; overwrites them."""
        head, tail = self.forward(r, rx)
        return np.asarray(head.T @ head + tail.T @ tail)

    def backward(self, r: np.ndarray, rx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """L'⁻¹ [r; rx] for the columns of r (q, s) and rx (p, s); returns the effects and the fixed part."""
        from ..numerics import elimination as kernels

        pt = self.pattern
        end, nt = self.q1 + pt.ns, pt.nt
        tail = self.tail.backward(np.concatenate([r[end:], rx]))
        r[end:] = tail[:nt]
        fixed = np.ascontiguousarray(tail[nt:])
        kernels.backward_substitute(
            pt.at, pt.col, self.L, self.W, self.WX, pt.colptr, pt.rows, pt.ns, self.S, self.SX, len(rx), r, fixed
        )
        return r, fixed


@dataclass(frozen=True)
class Inverse:
    """The selected inverse: `sums` Σ (Z'ZΛP)_ℓℓ by factor; `P`, `PX`, `PXX`, `PL`, `PLX`, `PT` as in the kernels."""

    sums: list[np.ndarray]
    P: np.ndarray
    PX: np.ndarray
    PXX: np.ndarray
    PL: np.ndarray
    PLX: np.ndarray
    PT: np.ndarray
