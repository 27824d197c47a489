"""The general path: the criterion of a Gaussian hierarchy from its rows, by one sparse factorisation.

    A = [ZΛ, X],   M = A'WA + K,   K = blockdiag(I_q, 0),   M [û; β̂] = A'Wy

    ML:    d = log|C| + n [1 + log(2π r²/n)] − Σ log w,   C = Λ'Z'WZΛ + I, the leading block of M
    REML:  d = log|M| + ν [1 + log(2π r²/ν)] − Σ log w,   ν = n − p   (log|M| = log|C| + log|X'V⁻¹X|)

    ∂d/∂λ_t = 2 Σ_ℓ [ Z_ℓ'WA M⁻¹ e_ℓ − Z_ℓ'Wê û_ℓ'/σ² ]        (ML: with A = ZΛ and M = C)

It serves whatever `Z` is: membership weights, splines, any structure whose levels the block path cannot eliminate
one by one; and it is the oracle of the block path (`gaussian.py`), which must return the same numbers. Nothing is
shifted or scaled, the gradient solves for every column of the inverse, and each evaluation touches all rows: plain
and slow, for some thousand effects.

References: Bates et al. (2015), sections 3.3–3.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..formula.design import Design, GroupColumns

BATCH = 4_000_000  # numbers in one batch of inverse columns


@dataclass(frozen=True)
class GeneralSolution:
    """The criterion at one Λ, in the units of the data.

    value : d;  sigma2 : profiled, or 1 where standard errors are known;  log_det, log_det_x : log|C|, log|X'V⁻¹X|
    beta : (p,);  u, effects : per term (L, k), û and b̂ = û λ'
    """

    value: float
    sigma2: float
    log_det: float
    log_det_x: float
    r2: float
    beta: np.ndarray
    u: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    lam: tuple[np.ndarray, ...]
    residual: np.ndarray
    weighted: Any = field(repr=False)  # WA
    matrix: Any = field(repr=False)  # M


class General:
    """ML or REML criterion of a design as a function of the λ of each term (k × k, any square root of Cov(b)/σ²).

    Parameters
    ----------
    design : Design
        Its fixed columns must be linearly independent.
    reml : bool
        Integrate the fixed effects rather than maximise over them.
    """

    def __init__(self, design: Design, reml: bool) -> None:
        from scipy import sparse

        self.design, self.reml = design, reml
        n = design.n
        w = np.ones(n) if design.weights is None else np.asarray(design.weights, dtype=float)
        self.w = w if design.known_se is None else w / design.known_se**2
        self.frequency = design.weights is not None and design.weights_kind == "frequency"
        self.n = float(w.sum()) if self.frequency else float(n)
        self.y = design.response if design.offset is None else design.response - design.offset
        columns = [np.ones(n) if c is None else c for c in design.fixed_columns]
        self.x = sparse.csc_array(np.column_stack(columns) if columns else np.zeros((n, 0)))
        self.p = len(columns)
        self.z = tuple(basis(group) for group in design.groups)
        self.shapes = tuple((len(g.levels), len(g.names)) for g in design.groups)

    def solve(self, lam: Sequence[np.ndarray]) -> GeneralSolution | None:
        """Evaluate at the terms' λ; None where the matrix is not positive definite."""
        from scipy import sparse

        design = self.design
        scaled = [z @ _repeated(v, levels) for z, v, (levels, _) in zip(self.z, lam, self.shapes, strict=True)]
        a = sparse.csc_array(sparse.hstack([*scaled, self.x], format="csc"))
        q = a.shape[1] - self.p
        wa = sparse.csc_array(a.multiply(self.w[:, None]))
        m = sparse.csc_array(a.T @ wa) + sparse.csc_array(sparse.diags(np.repeat([1.0, 0.0], [q, self.p])))
        whole, random = _factor(m), _factor(m[:q, :q])
        if whole is None or random is None:
            return None
        x = whole.solve(wa.T @ self.y)
        x = x + whole.solve(wa.T @ (self.y - a @ x) - np.append(x[:q], np.zeros(self.p)))  # one refinement
        residual = self.y - a @ x
        r2 = float(self.w @ residual**2 + x[:q] @ x[:q])
        log_det = random.log_det
        log_det_x = whole.log_det - log_det
        nu = self.n - (self.p if self.reml else 0)
        known = design.known_se is not None
        sigma2 = 1.0 if known else r2 / nu
        value = log_det + nu * float(np.log(2.0 * np.pi * sigma2)) + r2 / sigma2
        value += log_det_x if self.reml else 0.0
        value -= 0.0 if self.frequency else float(np.log(self.w).sum())
        u = tuple(part.reshape(shape) for part, shape in zip(self._split(x[:q]), self.shapes, strict=True))
        effects = tuple(part @ v.T for part, v in zip(u, lam, strict=True))
        return GeneralSolution(
            value, sigma2, log_det, log_det_x, r2, x[q:], u, effects, tuple(np.array(v) for v in lam), residual, wa, m
        )

    def _split(self, vector: np.ndarray) -> list[np.ndarray]:
        bounds = np.cumsum([levels * k for levels, k in self.shapes])[:-1]
        return np.split(vector, bounds) if self.shapes else []

    def gradient(self, solution: GeneralSolution) -> tuple[np.ndarray, ...]:
        """∂d/∂λ of every term, (k, k), σ² profiled out."""
        factor, border = _factor(solution.matrix), solution.weighted
        if not self.reml:
            q = border.shape[1] - self.p
            factor, border = _factor(solution.matrix[:q, :q]), border[:, :q]
        assert factor is not None
        out = []
        first = 0
        for z, u, (levels, k) in zip(self.z, solution.u, self.shapes, strict=True):
            against = z.T @ border  # Z_t'WA
            trace = np.zeros((k, k))
            step = max(1, BATCH // max(border.shape[1], 1) // k)
            for start in range(0, levels, step):
                stop = min(start + step, levels)
                columns = np.arange(start * k, stop * k)
                right = np.zeros((border.shape[1], len(columns)))
                right[first + columns, np.arange(len(columns))] = 1.0
                product = against[columns] @ factor.solve(right)
                for level in range(stop - start):
                    trace += product[level * k : (level + 1) * k, level * k : (level + 1) * k]
            score = (z.T @ (self.w * solution.residual)).reshape(levels, k)
            out.append(2.0 * (trace - score.T @ u / solution.sigma2))
            first += levels * k
        return tuple(out)


def basis(group: GroupColumns) -> Any:
    """Z of one term, (n, L k) sparse: the coefficients of a level side by side."""
    from scipy import sparse

    n, k, levels = len(group.codes), len(group.names), len(group.levels)
    rows = np.repeat(np.arange(n), k)
    columns = (np.asarray(group.codes, dtype=np.int64)[:, None] * k + np.arange(k)).ravel()
    values = np.column_stack([np.ones(n) if c is None else c for c in group.columns]).ravel()
    return sparse.csc_array((values, (rows, columns)), shape=(n, levels * k))


def _repeated(lam: np.ndarray, levels: int) -> Any:
    """I_L ⊗ λ."""
    from scipy import sparse

    return sparse.csc_array(sparse.kron(sparse.eye(levels), np.asarray(lam, dtype=float), format="csc"))


@dataclass(frozen=True)
class _Factor:
    """A factorisation: what solves, and the log-determinant."""

    lu: Any
    log_det: float

    def solve(self, right: np.ndarray) -> np.ndarray:
        return np.asarray(self.lu.solve(right)) if self.lu is not None else right


def _factor(m: Any) -> _Factor | None:
    """LU in symmetric mode, which pivots on the diagonal: positive pivots exactly when m is positive definite."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    if m.shape[0] == 0:
        return _Factor(None, 0.0)
    try:
        lu = splu(
            sparse.csc_matrix(m),
            permc_spec="MMD_AT_PLUS_A",
            diag_pivot_thresh=0.0,
            options={"SymmetricMode": True},
        )
    except RuntimeError:  # exactly singular
        return None
    pivots = lu.U.diagonal()
    if not (np.all(np.isfinite(pivots)) and np.all(pivots > 0.0)):
        return None
    return _Factor(lu, float(np.log(pivots).sum()))
