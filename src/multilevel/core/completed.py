"""What was integrated out of a posterior, drawn back: one draw of everything for each point."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import overload

import numpy as np


class LateEffects(Sequence[np.ndarray]):
    """Draws of the group effects, term by term, that are made when one of them is first asked for.

    Millions of effects are gigabytes; a table of the parameters needs none of them. What is drawn was settled before:
    it does not matter when, or whether anything else is drawn in between.

    Parameters
    ----------
    make : () → one array a term
    means : per term (L, k), the effects' means over all draws
    """

    def __init__(self, make: Callable[[], Sequence[np.ndarray]], means: Sequence[np.ndarray]) -> None:
        self._make: Callable[[], Sequence[np.ndarray]] | None = make
        self._drawn: tuple[np.ndarray, ...] = ()
        self.means = tuple(means)

    def __len__(self) -> int:
        return len(self.means)

    @overload
    def __getitem__(self, t: int) -> np.ndarray: ...
    @overload
    def __getitem__(self, t: slice) -> tuple[np.ndarray, ...]: ...
    def __getitem__(self, t: int | slice) -> np.ndarray | tuple[np.ndarray, ...]:
        if self._make is not None:
            self._drawn, self._make = tuple(self._make()), None
        return self._drawn[t]

    def __reduce__(self) -> tuple[type, tuple[tuple[np.ndarray, ...]]]:
        return tuple, (tuple(self),)

    def shaped(self, shape: tuple[int, ...]) -> LateEffects:
        """The same draws with the first axis split like this."""
        return LateEffects(lambda: [e.reshape(*shape, *e.shape[1:]) for e in self], self.means)


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
    effects: Sequence[np.ndarray]
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
