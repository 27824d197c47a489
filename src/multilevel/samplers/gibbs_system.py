"""What Gibbs samplers share: the state of all chains, and what a kind of model has to answer.

A sweep updates blocks of the parameters in turn (`gibbs.py`). How the rows enter depends on the model: through
cross-products (`gibbs_linear.py`, `gibbs_factors.py`) or through augmented rows (`gibbs_logit.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..core.coordinates import Coordinates
from .gibbs_coefficients import Pseudo

Location = tuple[np.ndarray, list[np.ndarray]]  # β (C, p), and the effects of every term (C, L, k)


@dataclass
class State:
    """Where the C chains are, in the units of the data.

    Parameters
    ----------
    terms : coordinates of every group term, (C, d) each
    sigma : (C,); ones where there is none
    beta : (C, p); zeros for dropped columns
    effects : of every group term, (C, L, k)
    extras : logs of the scales that priors bring, (C, E)
    constants : of the family, on their natural scale, (C,) each
    """

    terms: list[np.ndarray]
    sigma: np.ndarray
    beta: np.ndarray
    effects: list[np.ndarray]
    extras: np.ndarray
    constants: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def chains(self) -> int:
        return len(self.beta)

    def scales(self) -> np.ndarray:
        """Coordinates of the terms, logs of σ, constants and priors' scales (C, ·): what chains forget last."""
        constants = [np.log(np.abs(v) + 1e-300) for v in self.constants.values()]
        return np.column_stack([*self.terms, np.log(self.sigma), *constants, self.extras])


class System(ABC):
    """The likelihood's part of a sweep."""

    coordinates: Coordinates
    levels: tuple[int, ...]  # of every group term

    def factors(self, state: State) -> list[np.ndarray]:
        """F of every term (C, k, k), Σ = FF'."""
        return [b.factor(x) for b, x in zip(self.coordinates.blocks, state.terms, strict=True)]

    @abstractmethod
    def start(self, chains: int, rng: np.random.Generator) -> State:
        """A state to begin with, different for each chain."""

    @abstractmethod
    def augment(self, state: State, rng: np.random.Generator) -> None:
        """Draw what makes the response normal given the linear predictor, and the family's constants."""

    @abstractmethod
    def information(self, state: State, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Score at b = 0 (C, L, k) of the effects of term t, everything else as it is, and information (C, L, k, k)."""

    @abstractmethod
    def draw_location(self, state: State, pseudo: Pseudo, rng: np.random.Generator) -> Location:
        """β (C, p) and the effects of all terms, given all else."""


def sums(score: np.ndarray, information: np.ndarray, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Σ_ℓ g u' (C, k, k) and Σ_ℓ G ⊗ uu' (C, k², k²), rows of F first."""
    C, L, k = u.shape
    linear = np.matmul(score.transpose(0, 2, 1), u)
    outer = (u[:, :, :, None] * u[:, :, None, :]).reshape(C, L, k * k)
    flat = np.broadcast_to(information, (C, L, k, k)).reshape(C, L, k * k)
    crossed = np.matmul(flat.transpose(0, 2, 1), outer).reshape(C, k, k, k, k)  # a, c | b, d
    return linear, crossed.transpose(0, 1, 3, 2, 4).reshape(C, k * k, k * k)


def standardised(factor: np.ndarray, effects: np.ndarray) -> np.ndarray:
    """u = F⁻¹ b for every level, (C, L, k)."""
    if factor.shape[1] == 1:
        return np.asarray(effects / factor)
    return np.asarray(np.linalg.solve(factor, effects.transpose(0, 2, 1)).transpose(0, 2, 1))


def constants_of(state: State) -> Mapping[str, np.ndarray]:
    """Copies of the constants."""
    return {name: v.copy() for name, v in state.constants.items()}
