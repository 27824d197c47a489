"""What was integrated out of a posterior, drawn back: one draw of everything for each point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Completed:
    """Draws given points z (N, d), in the units of the data.

    Parameters
    ----------
    beta : (N, p); NaN for dropped columns
    sigma : (N,), of linear models without known standard errors
    covariances : per group term (N, k, k)
    effects : per group term (N, L, k)
    constants : constants of the family on their natural scale, name → (N,)
    log_weights : (N,), log of the posterior over the density that the draw is from; zero where that is exact
    """

    beta: np.ndarray
    sigma: np.ndarray | None
    covariances: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    constants: Mapping[str, np.ndarray] = field(default_factory=dict)
    log_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.beta)

    def take(self, index: np.ndarray) -> Completed:
        """The draws at these places."""
        return Completed(
            self.beta[index],
            None if self.sigma is None else self.sigma[index],
            tuple(c[index] for c in self.covariances),
            tuple(e[index] for e in self.effects),
            {name: v[index] for name, v in self.constants.items()},
            self.log_weights[index],
        )

    def joined(self, other: Completed) -> Completed:
        """These draws, and then others of the same model."""
        return Completed(
            np.concatenate([self.beta, other.beta]),
            None if self.sigma is None or other.sigma is None else np.concatenate([self.sigma, other.sigma]),
            tuple(np.concatenate(pair) for pair in zip(self.covariances, other.covariances, strict=True)),
            tuple(np.concatenate(pair) for pair in zip(self.effects, other.effects, strict=True)),
            {name: np.concatenate([v, other.constants[name]]) for name, v in self.constants.items()},
            np.concatenate([self.log_weights, other.log_weights]),
        )
