"""Which parameters of a sampled fit are meant: by address, by kind, or those whose draws look worst."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError, nearest, printable
from ..numerics.diagnostics import Diagnosis
from .chains import Chains, address, known_addresses, parameters
from .diagnostics import diagnose, sample_of
from .sample import Sample

if TYPE_CHECKING:
    from .fit import Fit


@dataclass(frozen=True)
class Chosen:
    """Some parameters: their addresses, draws (chains, draws, …) and diagnostics; `hidden` more were asked for."""

    sample: Sample
    names: tuple[str, ...]
    chains: Chains
    found: Diagnosis
    hidden: int

    def __len__(self) -> int:
        return len(self.names)

    def draws(self, i: int) -> np.ndarray:
        """(chains, draws) of one of them."""
        return np.asarray(self.chains.draws[:, :, i])

    def worst(self) -> int:
        """The one with the largest R̂ (of constants: the first)."""
        return int(np.argmax(np.nan_to_num(self.found.rhat, nan=-1.0)))


def chosen(fit: Fit, which: str | Sequence[str] | None, most: int, what: str) -> Chosen:
    """Parameters of a sampled fit.

    Parameters
    ----------
    which : str or list of str, optional
        Addresses (``"sd[school, ses]"``, ``"r_school[a, Intercept]"``) or kinds (``"beta"``, ``"sd"``, ``"cor"``,
        ``"r_school"``); without, all but the group effects.
    most : int
        At most so many, those that look worst.
    what : str
        What asks, for the message of a fit without draws.

    Raises
    ------
    SettingError
        For a fit without draws, and an unknown name.
    """
    sample = sample_of(fit, what)
    chains = parameters(sample) if which is None else _named(fit, sample, [which] if isinstance(which, str) else which)
    varies = chains.draws.min(axis=(0, 1)) < chains.draws.max(axis=(0, 1))  # dropped columns are NaN: not
    chains = chains.take(np.flatnonzero(varies))
    found = diagnose(sample, chains.draws)
    order = np.arange(len(chains))
    if len(order) > most:
        badness = np.nan_to_num(found.rhat - 1.0, nan=0.0) + 0.1 / np.sqrt(np.fmin(found.ess_bulk, found.ess_tail))
        order = np.sort(np.argsort(-np.nan_to_num(badness), kind="stable")[:most])
    kept = chains.take(order)
    names = tuple(address(fit.model, key) for key in kept.keys)
    return Chosen(sample, names, kept, _taken(found, order), len(chains) - len(order))


def _taken(found: Diagnosis, at: np.ndarray) -> Diagnosis:
    return Diagnosis(found.rhat[at], found.ess_bulk[at], found.ess_tail[at], found.mcse_mean[at])


def _named(fit: Fit, sample: Sample, asked: Sequence[str]) -> Chains:
    known = known_addresses(fit.model, sample)
    keys: dict[Any, None] = {}
    for name in asked:
        own = [key for full, key in known.items() if full == name or full.partition("[")[0] == name]
        if not own:
            hint = nearest(str(name), known) or f"Such as {', '.join(list(known)[:4])}."
            raise SettingError(f'"{printable(name)}" is no parameter of this fit', hint=hint)
        keys.update(dict.fromkeys(own))
    whole = parameters(sample)
    draws = [_draws(sample, whole, key) for key in keys]
    return Chains(tuple(keys), np.stack(draws, axis=2))


def _draws(sample: Sample, whole: Chains, key: tuple[Any, ...]) -> np.ndarray:
    if key[0] != "r":
        return whole.of(key)
    t, level, i = key[1:]
    return np.asarray(sample.effects[t][:, :, level, i])
