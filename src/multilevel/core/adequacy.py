"""What an approximate likelihood misses at its own optimum, and how far the optimum moves for it.

    Δ(φ) = better log-likelihood − approximate one,    ψ̂* − ψ̂ ≈ −H⁻¹ ∇(−2Δ) = Cov(ψ̂) ∇Δ

one Newton step from the optimum ψ̂, H the Hessian of −2 log-likelihood there. For Laplace's approximation Δ is the
second-order correction, for quadrature what more nodes give.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..data.latent_rows import LatentRows
from .curvature import Curvature
from .laplace import Laplace, LaplaceState
from .quadrature import Quadrature, QuadratureState, points
from .quadrature_levels import chain_of
from .second_order import SecondOrder, correction

LARGEST = 1.0  # change of a working parameter (a log standard deviation, say) that one step is believed
FARTHEST = 3.0  # standard errors of any of them
REFINED = 1.6  # times the nodes
NODES = (25, 15, 9, 5)  # for what is left beyond the second order
MOST_POINTS = 5_000


@dataclass(frozen=True, eq=False)
class Shortfall:
    """What is missing at the optimum.

    total : Δ;  groups : Δ by level of `factor`, a position (-1 without groups)
    shift : of the working parameters ψ;  reference : the approximation it was measured against
    """

    total: float
    groups: np.ndarray
    factor: int
    shift: np.ndarray
    reference: str


def shortfall(curvature: Curvature) -> Shortfall | None:
    """The shortfall of a criterion at its optimum; None where nothing better can be computed.

    That is so for the second-order approximation with crossed factors, and for quadrature at its limits.
    """
    criterion = curvature.criterion
    if not criterion.rows.factors:
        return Shortfall(0.0, np.zeros(0), -1, np.zeros(curvature.n_psi), "the likelihood itself")
    if isinstance(criterion, Quadrature | SecondOrder):
        better = _better(criterion)
        return None if better is None else _by_quadrature(curvature, better)
    state = curvature.restore()
    here = correction(criterion, state)
    slope = curvature.differences(lambda near: np.array([correction(criterion, near).total]))[:, 0]
    shift = _step(curvature, slope)
    return Shortfall(here.total, here.groups, here.factor, shift, "second-order Laplace")


def _better(criterion: Laplace) -> Quadrature | None:
    """Quadrature with more nodes than the criterion has."""
    rows = criterion.rows
    if chain_of(rows) is None:
        return None
    candidates: tuple[int, ...] = NODES
    if isinstance(criterion, Quadrature):
        candidates = (int(np.ceil(REFINED * criterion.nodes)) + 1,)
    nodes = next((r for r in candidates if points(rows, r) <= MOST_POINTS), None)
    return None if nodes is None else Quadrature(rows, criterion.distribution, criterion.scales, nodes)


def _by_quadrature(curvature: Curvature, better: Quadrature) -> Shortfall | None:
    at = better.evaluate(curvature.state.theta)
    here = curvature.restore()
    if not isinstance(at, QuadratureState) or at.integral is None:
        return None
    around = Curvature(better, at, curvature.zeros)
    shift = _step(curvature, -0.5 * (around.here - curvature.here))
    groups = np.zeros(0)
    if isinstance(here, QuadratureState) and here.integral is not None:
        groups = -0.5 * (at.integral.value - here.integral.value)
    return Shortfall(0.5 * (here.value - at.value), groups, better.top.f, shift, f"{better.nodes} nodes")


def _step(curvature: Curvature, slope: np.ndarray) -> np.ndarray:
    """Cov(ψ̂) ∇Δ, no further than one step can be believed."""
    step = curvature.covariance @ slope
    error = np.sqrt(np.maximum(np.diag(curvature.covariance), 1e-300))
    far = float(np.max(np.abs(step) / error, initial=0.0)) / FARTHEST
    plain = np.array([curvature.objective.kinds[j] == "free" for j in curvature.free], dtype=bool)
    step = step / max(far, 1.0)
    return np.where(plain, step, np.clip(step, -LARGEST, LARGEST))


def moved(curvature: Curvature, shift: np.ndarray, f: Callable[[LaplaceState], np.ndarray]) -> np.ndarray:
    """f at the shifted parameters less f at the optimum."""
    before = f(curvature.restore())
    after = curvature.near(shift)
    out = f(after) - before if after.mode is not None else np.full(len(before), np.nan)
    curvature.restore()
    return out


def remedy(rows: LatentRows) -> str:
    """How to ask for a better approximation than Laplace's."""
    nested = chain_of(rows) is not None and points(rows, NODES[-1]) <= MOST_POINTS
    return 'model.fit("agq")' if nested else 'model.fit("laplace", order=2)'
