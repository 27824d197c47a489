"""How the estimates of a generalized model move with its parameters: what the delta method needs, computed once.

    ∂β̂/∂ψ, ∂b̂/∂ψ, ∂Σ̂/∂ψ, ∂constants/∂ψ  and  Cov(ψ̂)

for the working parameters ψ of `core/curvature.py`. The variance of any smooth function f of the estimates is then
J Cov(ψ̂) J' with J = ∂f/∂ψ by the chain rule; group effects are uncertain given the parameters besides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ..core.laplace import LaplaceState
    from .generalized import GeneralizedCertainty


@dataclass(frozen=True)
class Sensitivity:
    """Slopes by the s working parameters.

    Parameters
    ----------
    beta : (s, p)
    constants : name → (s,), on the scale of its link
    covariances, effects : per term (s, k, k) and (s, L, k)
    covariance : (s, s) of the parameters
    given : (s, s) of the coefficients with the variances of groups as known; zero elsewhere
    """

    beta: np.ndarray
    constants: Mapping[str, np.ndarray]
    covariances: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    covariance: np.ndarray
    given: np.ndarray

    def __len__(self) -> int:
        return len(self.covariance)


def sensitivity(certainty: GeneralizedCertainty) -> Sensitivity:
    """The slopes at an optimum, by differences of the criterion's own state."""
    shapes = _shapes(certainty)
    s = certainty.curvature.n_psi
    flat = np.zeros((0, sum(int(np.prod(shape)) for shape in shapes)))
    if s:
        flat = certainty.curvature.differences(lambda state: np.concatenate([v.ravel() for v in _at(certainty, state)]))
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    parts = [flat[:, a:b].reshape(s, *shape) for a, b, shape in zip(ends[:-1], ends[1:], shapes, strict=True)]
    names = [name for name, _, _ in certainty.rows.constants]
    beta, constants, rest = parts[0], parts[1], parts[2:]
    terms = len(rest) // 2
    return Sensitivity(
        beta=beta,
        constants={name: constants[:, j] for j, name in enumerate(names)},
        covariances=tuple(rest[:terms]),
        effects=tuple(rest[terms:]),
        covariance=certainty.curvature.covariance,
        given=_given(certainty),
    )


def _sizes(certainty: GeneralizedCertainty) -> Sequence[tuple[int, int]]:
    """(levels, coefficients) of every term of the model."""
    if not certainty.criterion.scales:
        return certainty.ignored
    places = certainty._places
    return [
        (certainty.rows.factors[places[t][0]].n_levels, scale.k) for t, scale in enumerate(certainty.criterion.scales)
    ]


def _shapes(certainty: GeneralizedCertainty) -> list[tuple[int, ...]]:
    sizes = _sizes(certainty)
    first: list[tuple[int, ...]] = [(certainty.rows.to_beta.shape[0],), (len(certainty.rows.constants),)]
    return [*first, *((k, k) for _, k in sizes), *sizes]


def _at(certainty: GeneralizedCertainty, state: LaplaceState) -> list[np.ndarray]:
    """β, constants, covariances and effects at a state."""
    assert state.mode is not None
    rows, criterion = certainty.rows, certainty.criterion
    c = state.theta[criterion.n_theta :]
    out = [rows.to_beta @ c, np.array([c[place] for _, _, place in rows.constants])]
    if not criterion.scales:
        none = [np.zeros((k, k)) for _, k in certainty.ignored]
        return [*out, *none, *(np.zeros(size) for size in certainty.ignored)]
    u = criterion.latent.elimination.by_factor(state.mode.u)
    lam = [certainty._lam(state, t) for t in range(len(criterion.scales))]
    effects = []
    for t, root in enumerate(lam):
        f, a, b = certainty._places[t]
        effects.append(u[f][:, a:b] @ root.T)
    return [*out, *(root @ root.T for root in lam), *effects]


def _given(certainty: GeneralizedCertainty) -> np.ndarray:
    """Cov(ψ̂) of the coefficients, the variances of groups held."""
    curvature = certainty.curvature
    out = np.zeros((curvature.n_psi, curvature.n_psi))
    place = np.ix_(curvature.coefficients, curvature.coefficients)
    if len(curvature.coefficients):
        out[place] = 2.0 * np.linalg.pinv(curvature.hessian[place], hermitian=True)
    return out
