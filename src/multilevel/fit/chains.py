"""The draws of every parameter side by side, chain by chain, each with a key and an address.

    ("beta", j)        beta[Days]                       ("sigma",), ("phi",)   sigma, phi
    ("sd", t, i)       sd[Subject, Days]                ("r", t, level, i)     r_Subject[308, Days]
    ("cor", t, i, j)   cor[Subject, Intercept, Days]

Keys are positions, so that nothing here needs the model; `address` puts them in words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .estimates import correlation_pairs
from .sample import Sample

if TYPE_CHECKING:
    from ..model.model import Model

Key = tuple[str | int, ...]


@dataclass(frozen=True)
class Chains:
    """Keys, and draws (chains, draws, keys)."""

    keys: tuple[Key, ...]
    draws: np.ndarray

    @cached_property
    def places(self) -> dict[Key, int]:
        return {key: i for i, key in enumerate(self.keys)}

    def __len__(self) -> int:
        return len(self.keys)

    def of(self, key: Key) -> np.ndarray:
        """Draws (chains, draws) of one parameter."""
        return np.asarray(self.draws[:, :, self.places[key]])

    def take(self, at: Sequence[int] | np.ndarray) -> Chains:
        """Some of them."""
        return Chains(tuple(self.keys[i] for i in at), self.draws[:, :, np.asarray(at, dtype=np.int64)])

    def __add__(self, other: Chains) -> Chains:
        return Chains((*self.keys, *other.keys), np.concatenate([self.draws, other.draws], axis=2))


def parameters(sample: Sample) -> Chains:
    """All but the group effects: coefficients, standard deviations, correlations, σ, constants of the family."""
    keys: list[Key] = [("beta", j) for j in range(sample.beta.shape[2])]
    parts = [sample.beta]
    for t, covariance in enumerate(sample.covariances):
        sd = np.sqrt(np.einsum("cskk->csk", covariance))
        pairs = correlation_pairs(sd.shape[2])
        keys += [("sd", t, i) for i in range(sd.shape[2])] + [("cor", t, i, j) for i, j in pairs]
        parts.append(sd)
        with np.errstate(divide="ignore", invalid="ignore"):
            parts += [(covariance[..., i, j] / (sd[..., i] * sd[..., j]))[..., None] for i, j in pairs]
    if sample.sigma is not None:
        keys.append(("sigma",))
        parts.append(sample.sigma[..., None])
    keys += [(name,) for name in sample.constants]
    parts += [values[..., None] for values in sample.constants.values()]
    return Chains(tuple(keys), np.concatenate(parts, axis=2))


def effects(sample: Sample, t: int) -> Chains:
    """The effects of one group term, level by level."""
    draws = sample.effects[t]
    levels, k = draws.shape[2:]
    keys: list[Key] = [("r", t, level, i) for level in range(levels) for i in range(k)]
    return Chains(tuple(keys), draws.reshape(*draws.shape[:2], levels * k))


def address(model: Model, key: Key) -> str:
    """The name of a parameter: ``sd[Subject, Days]``."""
    kind, *at = key
    design, place = model.design, [int(i) for i in at]
    if kind == "beta":
        return f"beta[{design.fixed_names[place[0]]}]"
    if not place:
        return str(kind)
    group = design.groups[place[0]]
    if kind == "sd":
        return f"sd[{group.label}, {group.names[place[1]]}]"
    if kind == "cor":
        return f"cor[{group.label}, {group.names[place[2]]}, {group.names[place[1]]}]"
    return f"r_{group.label}[{group.levels[place[1]]}, {group.names[place[2]]}]"


def known_addresses(model: Model, sample: Sample) -> dict[str, Key]:
    """Addresses of all parameters, group effects last."""
    keys = [*parameters(sample).keys]
    for t, draws in enumerate(sample.effects):
        levels, k = draws.shape[2:]
        keys += [("r", t, level, i) for level in range(levels) for i in range(k)]
    return {address(model, key): key for key in keys}


def draws_of(sample: Sample, key: Key) -> np.ndarray:
    """Draws (chains, draws) of one parameter or group effect."""
    if key[0] == "r":
        t, level, i = (int(v) for v in key[1:])
        return np.asarray(sample.effects[t][:, :, level, i])
    return parameters(sample).of(key)
