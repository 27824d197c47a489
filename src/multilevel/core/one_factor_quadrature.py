"""The likelihood by adaptive quadrature for one grouping factor and one linear predictor, compiled from end to end.

    d(θ, c) = −2 Σ_ℓ log I_ℓ

in the place of `OneFactorLaplace`, whose modes the nodes stand around. The plain version is `Quadrature`: the same
integrals; its gradient is that of the rule, this one Fisher's identity, and both are as exact as the integrals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Distribution
from ..numerics.hermite import product_rule
from ..scales.base import Scale
from .laplace import LaplaceState
from .likelihood import Slope
from .one_factor import OneFactorLaplace

NODES = {1: 16, 2: 10, 3: 8}  # along each axis, by the number of effects a level
MOST = {1: 64, 2: 24, 3: 12}
NEAR = 1e-7  # decrement of the modes: nodes stand around them, nothing is computed from them


@dataclass(frozen=True, eq=False)
class _Sums:
    """∂ log I by row (n,) and by λ (k, k), and E(u | y) (L, k)."""

    by_row: np.ndarray
    score: np.ndarray
    means: np.ndarray


class OneFactorQuadrature(OneFactorLaplace):
    """The criterion over φ = (θ, c).

    Parameters
    ----------
    rows, distribution, scales : as for `OneFactorLaplace`
    nodes : int
        Nodes along each axis of a level's effects; by default as many as leave an error far below that of the draws.
    """

    def __init__(
        self, rows: LatentRows, distribution: Distribution, scales: Sequence[Scale], nodes: int | None = None
    ) -> None:
        super().__init__(rows, distribution, scales)
        self._found: tuple[LaplaceState, _Sums] | None = None
        self.use(nodes or NODES[rows.factors[0].k])

    def use(self, nodes: int) -> None:
        """Another number of nodes from now on."""
        self.count, k = nodes, self.rows.factors[0].k
        rule = product_rule(nodes, k)
        self.nodes = np.ascontiguousarray(rule.nodes.T)
        self.log_weights = rule.log_weights + 0.5 * (rule.nodes**2).sum(axis=1)
        self._found = self.current = None

    @property
    def tolerance(self) -> float:
        return NEAR

    def _evaluate(self, theta: np.ndarray, warm: np.ndarray) -> LaplaceState:
        from ..numerics.level_integrals import integrate_levels

        found = super()._evaluate(theta, warm)
        if found.mode is None:
            return found
        k = self.rows.factors[0].k
        fixed = self.fixed(theta)
        by_row, means, scores = np.empty(self.rows.n), np.empty((self.rows.factors[0].n_levels, k)), []
        modes, root = found.mode.u.reshape(-1, k), self.root_at(found)

        def work(begin: int, end: int) -> float:
            scores.append(np.zeros((k, k)))
            return float(
                integrate_levels(
                    self.code, self.level_start, self.y, self.size, fixed, self.z, found.lam[0], modes, root,
                    self.nodes, self.log_weights, by_row, means, scores[-1], begin, end,
                )
            )  # fmt: skip

        total = sum(self.shared(work))
        if not np.isfinite(total):
            return LaplaceState(theta, np.inf, found.lam, None)
        value = -2.0 * (total + self.constant + self.rows.log_constant)
        state = LaplaceState(theta, value, found.lam, found.mode)
        assert self._held is not None
        self._held = state, self._held[1]
        self._found = state, _Sums(by_row, np.sum(scores, axis=0), means)
        return state

    def _sums(self, state: LaplaceState) -> _Sums:
        if self._found is None or self._found[0] is not state:
            assert state.mode is not None
            self._evaluate(state.theta, state.mode.u)
        assert self._found is not None
        return self._found[1]

    def means(self, state: LaplaceState) -> np.ndarray:
        """E(u | y) of every level at a state, (L, k)."""
        return self._sums(state).means

    def slope(self, state: LaplaceState, sigma2: float | None = None, information: bool = True) -> Slope:
        """Gradient of d, and on request the model of its Hessian that Laplace's approximation has."""
        if state.mode is None:
            raise np.linalg.LinAlgError("no gradient where the criterion is infinite")
        sums = self._sums(state)
        gradient = np.zeros(self.n_theta + self.n_coefficients)
        gradient[self.n_theta :] = -2.0 * (sums.by_row @ self.x)
        scores = [np.zeros(0)] * len(self.scales)
        for t, a, b in self.rows.factors[0].terms:
            scores[t] = -sums.score[a:b, a:b]
            slopes = self.scales[t].derivative(state.theta[self.slices[t]])
            gradient[self.slices[t]] = 2.0 * np.tensordot(slopes, scores[t])
        hessian = super().slope(state).hessian if information else np.zeros((0, 0))
        return Slope(gradient, hessian, np.zeros(0), tuple(scores))
