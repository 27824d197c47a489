"""What a sampler hands over: draws of everything, in the units of the data, by chain.

Independent draws (importance sampling, approximations) are dealt to as many chains as a Markov chain would have:
diagnostics, tables and files know one shape, (chains, draws, …).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..core.completed import LateEffects


@dataclass(frozen=True)
class Sample:
    """Draws from a posterior.

    Parameters
    ----------
    beta : (C, S, p); NaN for dropped columns
    covariances : per group term (C, S, k, k)
    effects : per group term (C, S, L, k); of very many levels they are drawn when first asked for
    sigma : (C, S), of linear models without known standard errors
    constants : constants of the family on their natural scale, name → (C, S) (generalized models)
    z : (C, S, d), the coordinates (`core/coordinates.py`) of each draw;  names : of the coordinates
    log_posterior : (C, S), up to a constant;  log_prior : (C, S), of z
    stats : of the sampler, name → (C, S): "divergent", "tree_depth", "energy", "acceptance", "step_size", "n_steps"
    info : of the whole run: "sampler" (what is told in the summary), "exact" (bool: draws are from the posterior
        itself), "khat", "points" and "ess" (of importance weights: how many, and what they are worth), "tune", "seed",
        "partial" (interrupted), "max_depth", "log_evidence", …
    """

    beta: np.ndarray
    covariances: tuple[np.ndarray, ...]
    effects: Sequence[np.ndarray]
    sigma: np.ndarray | None
    constants: Mapping[str, np.ndarray]
    z: np.ndarray
    names: tuple[str, ...]
    log_posterior: np.ndarray
    log_prior: np.ndarray
    stats: Mapping[str, np.ndarray] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def chains(self) -> int:
        return int(self.beta.shape[0])

    @property
    def draws(self) -> int:
        """Draws a chain."""
        return int(self.beta.shape[1])

    @property
    def effect_means(self) -> tuple[np.ndarray, ...]:
        """Posterior means of the effects, per group term (L, k)."""
        if isinstance(self.effects, LateEffects):
            return self.effects.means
        return tuple(e.mean(axis=(0, 1)) for e in self.effects)

    def flat(self, a: np.ndarray) -> np.ndarray:
        """An array of draws with the chains one after another: (C·S, …)."""
        return a.reshape(-1, *a.shape[2:])
