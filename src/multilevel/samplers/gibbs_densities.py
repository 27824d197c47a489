"""Log densities of Gibbs draws with their effects: log p(y | β, b, …) + log p(b | Σ)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .gibbs import Recorder
from .gibbs_linear import LinearSystem
from .gibbs_logit import LogitSystem
from .gibbs_system import State, System, standardised

if TYPE_CHECKING:
    from ..model.model import Model

LOG_TWO_PI = float(np.log(2.0 * np.pi))


def given_effects(model: Model, system: System, kept: Recorder) -> np.ndarray:
    """(C·S,) for all draws, chains one after another."""
    C, S = kept.sigma.shape
    out = np.empty((C, S))
    for s in range(S):
        out[:, s] = of_state(model, system, state_at(kept, s))
    return out.ravel()


def state_at(kept: Recorder, s: int) -> State:
    """The state of all chains at one draw."""
    return State(
        [x[:, s] for x in kept.terms], kept.sigma[:, s], kept.beta[:, s], [b[:, s] for b in kept.effects],
        kept.extras[:, s], {name: v[:, s] for name, v in kept.constants.items()},
    )  # fmt: skip


def of_state(model: Model, system: System, state: State) -> np.ndarray:
    """(C,) of one state."""
    out = of_response(model, system, state)
    for factor, b in zip(system.factors(state), state.effects, strict=True):
        u = standardised(factor, b)
        size = -0.5 * u.shape[2] * LOG_TWO_PI - np.linalg.slogdet(factor)[1]
        out = out + u.shape[1] * size - 0.5 * (u**2).sum(axis=(1, 2))
    return out


def of_response(model: Model, system: System, state: State) -> np.ndarray:
    """log p(y | β, b, …) (C,)."""
    if isinstance(system, LinearSystem):
        products = system.products
        squares = system.residuals(state)[0] * (system.units.scale / state.sigma) ** 2
        return -0.5 * (products.n * (LOG_TWO_PI + 2.0 * np.log(state.sigma)) + squares - products.log_weights)
    assert isinstance(system, LogitSystem)
    eta = system.predictor(state)
    rows = system.rows
    out = np.empty(state.chains)
    for c in range(state.chains):
        columns = [eta[c]] + [np.full(rows.n, np.log(state.constants[name][c])) for name, _, _ in rows.constants]
        out[c] = model.distribution.log_density(rows.observations, np.column_stack(columns)).sum()
    return out + rows.log_constant
