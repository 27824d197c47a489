"""Laplace's criterion for one grouping factor and one linear predictor, compiled from end to end.

The plain version is `Laplace`: same criterion, same gradient, by the general elimination. Here every level is solved by
itself, so that an evaluation is one pass over the rows without leaving compiled code; large ones use two threads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.latent_rows import LatentRows, sorted_by
from ..families.base import Derivatives, Distribution
from ..numerics.threads import cores
from ..scales.base import Scale
from .laplace import Laplace, LaplaceState
from .likelihood import Slope
from .mode import Mode
from .row_terms import kernel_of

MANY = 50_000  # rows from which levels are shared between threads


def laplace(rows: LatentRows, distribution: Distribution, scales: Sequence[Scale]) -> Laplace:
    """The criterion in its fastest form."""
    if len(rows.factors) == 1 and rows.m == 1 and kernel_of(distribution, rows.observations) is not None:
        return OneFactorLaplace(rows, distribution, scales)
    return Laplace(rows, distribution, scales)


class OneFactorLaplace(Laplace):
    """The same criterion by compiled kernels."""

    near = 1.0

    def __init__(self, rows: LatentRows, distribution: Distribution, scales: Sequence[Scale]) -> None:
        from ..numerics import one_factor

        rows = sorted_by(rows, rows.factors[0].codes)
        super().__init__(rows, distribution, scales)
        self.kernels, self.code = one_factor, self.terms.code
        factor = rows.factors[0]
        self.y, self.size = self.terms.y, self.terms.size
        self.z = np.ascontiguousarray(factor.z)
        self.x = np.ascontiguousarray(rows.x[0])
        self.level_start = np.concatenate([[0], np.cumsum(np.bincount(factor.codes, minlength=factor.n_levels))])
        self.level_start = self.level_start.astype(np.int64)
        self.constant = float(self.terms.constants.sum())
        self._factored_at: LaplaceState | None = None
        self._pool: ThreadPoolExecutor | None = None
        self._held: tuple[LaplaceState, tuple[np.ndarray, ...]] | None = None

    def by_factor(self, u: np.ndarray) -> list[np.ndarray]:
        return [u.reshape(len(self.level_start) - 1, -1)]

    @property
    def seconds(self) -> float:
        return 1e-7 * self.rows.n

    @property
    def tolerance(self) -> float:
        """Newton decrement of a level at its mode, relative to its part of the criterion."""
        return float(self.kernels.TOLERANCE)

    def fixed(self, theta: np.ndarray) -> np.ndarray:
        """Linear predictors of all rows without group effects."""
        return np.ascontiguousarray(self.rows.offsets[:, 0] + self.x @ theta[self.n_theta :])

    # --- the criterion -------------------------------------------------------------------------------------------
    def _evaluate(self, theta: np.ndarray, warm: np.ndarray) -> LaplaceState:
        self.evaluations += 1
        rows, factor = self.rows, self.rows.factors[0]
        lam = self.factors(theta)
        fixed = self.fixed(theta)
        u = np.ascontiguousarray(warm.reshape(factor.n_levels, factor.k)).copy()
        eta, loglik, s, w, third = (np.empty(rows.n) for _ in range(5))
        gram, root = np.empty((factor.n_levels, factor.k, factor.k)), np.empty((factor.n_levels, factor.k, factor.k))
        parts: list[np.ndarray] = []

        def work(begin: int, end: int) -> bool:
            out = np.empty(2)
            parts.append(out)
            return bool(
                self.kernels.level_modes(
                    self.code, self.level_start, self.y, self.size, fixed, self.z, lam[0], u, eta, loglik, s, w, third,
                    gram, root, out, self.tolerance, begin, end,
                )
            )  # fmt: skip

        if not all(self.shared(work)):
            return LaplaceState(theta, np.inf, tuple(lam), None)
        h, log_det = (float(v) for v in (parts[0] if len(parts) == 1 else parts[0] + parts[1]))
        value = 2.0 * h + log_det - 2.0 * (self.constant + rows.log_constant)
        if not np.isfinite(value):
            return LaplaceState(theta, np.inf, tuple(lam), None)
        self._warm = u.ravel()
        at = Derivatives(loglik, s[:, None], w[:, None, None])
        mode = Mode(u.ravel(), eta[:, None], at, h - self.constant, log_det, 0)
        state = LaplaceState(theta, value, tuple(lam), mode)
        self._held = state, (third, gram, root)
        return state

    def search(self, phi: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray | None, int]:
        """A compiled search where there is one coefficient a level.

        The Hessian is None where the search gave up (near a zero variance, say): the general driver goes on from there.
        """
        factor = self.rows.factors[0]
        simple = factor.k == 1 and len(self.scales) == 1 and self.rows.n < MANY and abs(phi[0]) > 0.0
        if not simple or self.n_coefficients == 0:
            return phi, None, 0
        from ..numerics.one_effect import search

        end, counts = phi.copy(), np.zeros(2)
        end[0] = abs(end[0])
        u = np.zeros((factor.n_levels, 1))
        hessian = np.empty((len(phi), len(phi)))
        offset = np.ascontiguousarray(self.rows.offsets[:, 0])
        done = search(
            self.code, self.level_start, self.y, self.size, offset, self.z, self.x, float(self.level_weights[0]),
            tolerance, end, u, hessian, counts,
        )  # fmt: skip
        self.evaluations += int(counts[0])
        self._warm = u.ravel()
        return end, hessian if done else None, int(counts[1])

    def shared(self, work: Callable[[int, int], Any], large: bool = False) -> list[Any]:
        """The work over all levels, in two threads when it is large."""
        levels = len(self.level_start) - 1
        if not (large or self.rows.n >= MANY) or cores() < 2:
            return [work(0, levels)]
        middle = int(np.searchsorted(self.level_start, self.rows.n // 2))
        with self.helped() as pool:
            other = pool.submit(work, middle, levels)
            return [work(0, middle), other.result()]

    @contextmanager
    def helped(self) -> Iterator[ThreadPoolExecutor]:
        """Within: one second thread for all evaluations. Starting one can take as long as a pass over 100,000 rows."""
        if self._pool is not None:
            yield self._pool
            return
        with ThreadPoolExecutor(1) as self._pool:
            try:
                yield self._pool
            finally:
                self._pool = None

    def shared_sum(self, work: Callable[..., float], arguments: tuple[object, ...]) -> float:
        """The sum of what a kernel returns for the levels begin … end, its last two arguments."""
        return float(sum(self.shared(lambda begin, end: work(*arguments, begin, end))))

    def root_at(self, state: LaplaceState) -> np.ndarray:
        """chol(H) of every level at a state."""
        if self._held is None or self._held[0] is not state:
            assert state.mode is not None
            self._evaluate(state.theta, state.mode.u)
        assert self._held is not None
        return self._held[1][2]

    def restore(self, state: LaplaceState) -> None:
        """Put the general workspace to a state: what solves with H need."""
        if self._factored_at is state:
            return
        assert state.mode is not None
        assert state.mode.at.second is not None
        self.latent.factorise(state.lam, state.mode.at.second, np.zeros((self.rows.n, 1)))
        self._factored_at = state

    # --- its gradient --------------------------------------------------------------------------------------------
    def slope(self, state: LaplaceState, sigma2: float | None = None, information: bool = True) -> Slope:
        if state.mode is None:
            raise np.linalg.LinAlgError("no gradient where the criterion is infinite")
        if self._held is None or self._held[0] is not state:
            self._evaluate(state.theta, state.mode.u)
            assert self._held is not None
        third, gram, root = self._held[1]
        at, factor = state.mode.at, self.rows.factors[0]
        assert at.first is not None
        assert at.second is not None
        k, p, n_theta = factor.k, self.n_coefficients, self.n_theta
        slopes = np.zeros((n_theta, k, k))
        for t, a, b in factor.terms:
            slopes[self.slices[t], a:b, a:b] = self.scales[t].derivative(state.theta[self.slices[t]])
        tangent = np.empty((factor.n_levels if information else 0, k, n_theta + p))
        u = state.mode.u.reshape(factor.n_levels, k)
        s, w, weighed = at.first[:, 0].copy(), at.second[:, 0, 0].copy(), third.copy()
        parts = []

        def work(begin: int, end: int) -> bool:
            own = np.zeros(p), np.zeros((k, k)), np.zeros((n_theta, n_theta)), np.zeros((p, p))
            parts.append(own)
            self.kernels.level_slopes(
                self.level_start, self.z, self.x, state.lam[0], u, s, w, weighed, gram, root, slopes, *own, tangent,
                information, begin, end,
            )  # fmt: skip
            return True

        self.shared(work)
        by_c, score, of_theta, of_fixed = (
            parts[0] if len(parts) == 1 else tuple(a + b for a, b in zip(*parts, strict=True))
        )
        scores = [np.zeros(0)] * len(self.scales)
        for t, a, b in factor.terms:
            scores[t] = score[a:b, a:b]
        gradient = np.concatenate([2.0 * np.einsum("tab,ab->t", slopes, score), by_c])
        if not information:
            return Slope(gradient, np.zeros((0, 0)), np.zeros(0), tuple(scores))
        hessian = np.zeros((n_theta + p, n_theta + p))
        hessian[:n_theta, :n_theta] = _mirrored(of_theta)
        hessian[n_theta:, n_theta:] = 2.0 * self._definite(_mirrored(of_fixed), at)
        self._tangent = state.theta, state.mode.u, tangent.reshape(-1, n_theta + p)
        return Slope(gradient, hessian, np.zeros(0), tuple(scores))


def _mirrored(lower: np.ndarray) -> np.ndarray:
    return lower + np.tril(lower, -1).T
