"""Draws of all parameters of a model from its priors, jointly.

    extras, sigma  →  sd | sigma, R  →  Σ_t = diag(sd) R diag(sd)  →  b_t[level] ~ N(0, Σ_t);    A β = a, a_j ~ p_j

Priors of coefficients are on combinations a_j'β; where each coefficient has one they determine β.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError, listed
from .correlations import Block
from .coordinates import coordinates

if TYPE_CHECKING:
    from ..model.model import Model
    from ..priors.terms import TermPrior

DETERMINED = 1e-9  # smallest singular value of the combinations, relative, with which they determine β


@dataclass(frozen=True)
class PriorDraws:
    """Draws in the units of the data.

    Parameters
    ----------
    beta : (S, p); zero for dropped columns
    covariances : per group term (S, k, k)
    constants : of the family (sigma of linear models among them) on their natural scale, name → (S,)
    extras : scales that priors bring, name → (S,)
    """

    beta: np.ndarray
    covariances: tuple[np.ndarray, ...]
    constants: Mapping[str, np.ndarray]
    extras: Mapping[str, np.ndarray]


def prior_draws(model: Model, n: int, rng: np.random.Generator) -> PriorDraws:
    """`n` joint draws.

    Raises
    ------
    SettingError
        E_PRIOR_IMPROPER where a prior is flat; the message names the parameters.
    """
    priors = model.priors
    if priors.improper:
        raise _flat(priors.improper)
    extras = {name: prior.draw(n, rng) for name, prior in priors.extras}
    constants = {name: prior.draw(n, rng) for name, prior in priors.constants.items()}
    sigma = constants.get("sigma", np.ones(n))
    blocks = coordinates(model, priors, not model.is_linear).blocks
    covariances = tuple(
        draw_covariances(prior, block, n, sigma, rng) for prior, block in zip(priors.terms, blocks, strict=True)
    )
    return PriorDraws(_coefficients(model, list(extras.values()), n, rng), covariances, constants, extras)


def draw_covariances(
    prior: TermPrior, block: Block, n: int, sigma: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Σ (n, k, k) of one term given σ (n,)."""
    if prior.whole:
        return prior.draw_covariances(n, rng)
    sd = np.maximum(prior.draw(n, sigma, rng), 1e-300)
    x = np.column_stack([np.log(sd[:, : block.n_sds]), block.draw_correlations(n, prior.eta, rng)])
    factor = block.factor(x)
    return np.asarray(factor @ factor.transpose(0, 2, 1))


def _coefficients(model: Model, scales: list[np.ndarray], n: int, rng: np.random.Generator) -> np.ndarray:
    items, p = model.priors.linear, len(model.design.fixed_names)
    out = np.zeros((n, p))
    kept = np.setdiff1d(np.arange(p), [j for j, _ in model.dropped])
    if not len(kept):
        return out
    directions = np.array([item.direction[kept] for item in items]).reshape(len(items), len(kept))
    values = np.linalg.svd(directions, compute_uv=False)
    if len(items) != len(kept) or values[-1] < DETERMINED * values[0]:
        raise _flat([model.design.fixed_names[j] for j in kept])
    draws = [item.prior.draw(n, rng) * (scales[item.scale] if item.scale >= 0 else 1.0) for item in items]
    out[:, kept] = np.linalg.solve(directions, np.array(draws)).T
    return out


def _flat(names: tuple[str, ...] | list[str]) -> SettingError:
    return SettingError(
        f"nothing can be drawn from flat priors: {listed(names, 6)}",
        code="E_PRIOR_IMPROPER",
        hint='Give proper ones, such as {"beta": "normal(0, 1)"}, or use the default set.',
    )
