"""The likelihood by adaptive Gauss–Hermite quadrature, for one grouping factor or factors nested in each other.

    d(θ, c) = −2 Σ_ℓ log I_ℓ,     I_ℓ the integral over all effects of one level of the outermost factor

as a criterion in the place of `Laplace`, which it is with one node; the integrals are in `quadrature_levels.py`. The
error falls geometrically with the number of nodes, so that 25 give ten digits of ordinary models.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Distribution
from ..numerics.hermite import product_rule
from ..scales.base import Scale
from .laplace import Laplace, LaplaceState, _Pieces
from .likelihood import Slope
from .mode import TOLERANCE
from .quadrature_levels import Integral, Level, chain_of

MOST = 50_000  # points beyond which a rule is not made in order to count them


@dataclass(frozen=True)
class QuadratureState(LaplaceState):
    """A state with the integrals of the outermost factor's levels."""

    integral: Integral | None = None


class Quadrature(Laplace):
    """The criterion over φ = (θ, c).

    Parameters
    ----------
    rows, distribution, scales : as for `Laplace`; the grouping factors must be nested in each other
    nodes : int
        Nodes along each axis: a factor with k coefficients has about nodes**k points.
    """

    def __init__(self, rows: LatentRows, distribution: Distribution, scales: Sequence[Scale], nodes: int) -> None:
        super().__init__(rows, distribution, scales)
        chain = chain_of(rows)
        if not chain:
            raise ValueError("quadrature needs grouping factors that are nested in each other")
        self.nodes = nodes
        self.top = Level(rows, self.terms, chain, nodes, self.latent)

    @property
    def seconds(self) -> float:
        """Rough time of one gradient."""
        return super().seconds + 5e-8 * points(self.rows, self.nodes) * self.rows.n

    def _evaluate(self, theta: np.ndarray, warm: np.ndarray) -> LaplaceState:
        self.fine = TOLERANCE  # nodes stand around the mode itself
        found = super()._evaluate(theta, warm)
        if found.mode is None:
            return found
        base = self.rows.fixed(theta[self.n_theta :])
        with np.errstate(all="ignore"):
            integral = self.top.integrate(dict(enumerate(found.lam)), base, found.mode)
        if integral is None:
            return LaplaceState(theta, np.inf, found.lam, None)
        value = float(integral.value.sum()) - 2.0 * self.rows.log_constant
        return QuadratureState(theta, value, found.lam, found.mode, integral=integral)

    def restore(self, state: LaplaceState) -> None:
        """Put the workspace back to a state: the factorisation at its mode, without the integrals."""
        if self.current is not state:
            assert state.mode is not None
            super()._evaluate(state.theta, state.mode.u)
            self.current = state

    def slope(self, state: LaplaceState, sigma2: float | None = None, information: bool = True) -> Slope:
        """Gradient of the approximation, and on request the model of its Hessian that Laplace's has."""
        integral = getattr(state, "integral", None)
        if state.mode is None or integral is None:
            raise np.linalg.LinAlgError("no gradient where the criterion is infinite")
        self.restore(state)
        base = self.rows.fixed(state.theta[self.n_theta :])
        with np.errstate(all="ignore"):
            found = self.top.adjoint(
                integral, dict(enumerate(state.lam)), base, np.ones(len(integral.value)), True
            )  # fmt: skip
        gradient = np.zeros(self.n_theta + self.n_coefficients)
        for d, (x, place) in enumerate(zip(self.rows.x, self.rows.places, strict=True)):
            gradient[self.n_theta + place.start : self.n_theta + place.stop] = found.rows[:, d] @ x
        scores: list[np.ndarray] = [np.zeros(0)] * len(self.scales)
        for f, factor in enumerate(self.rows.factors):
            for t, a, b in factor.terms:
                scores[t] = 0.5 * found.scores[f][a:b, a:b]
                slopes = self.scales[t].derivative(state.theta[self.slices[t]])
                gradient[self.slices[t]] = 2.0 * np.tensordot(slopes, scores[t])
        none = np.zeros(0)
        if not information:
            return Slope(gradient, np.zeros((0, 0)), none, tuple(scores))
        pieces = _Pieces(none, none, none, found.zs, none, [])
        return Slope(gradient, self._hessian(state, state.mode.at, pieces), none, tuple(scores))


def points(rows: LatentRows, nodes: int) -> int:
    """Points of the product rule for the levels of the outermost factor, nested ones inside."""
    out = 1
    for factor in rows.factors:
        whole = nodes**factor.k
        out *= whole if factor.k == 1 or whole > MOST else len(product_rule(nodes, factor.k))
    return out
