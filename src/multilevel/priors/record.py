"""The priors of one model, parameter by parameter.

    log p = Σ_terms log p(Σ_t | σ) + Σ_j log p_j(a_j'β) + Σ_constants log p(value)

A prior of a coefficient looks at a combination a'β: a single coefficient, or the intercept at the predictors' means,
which is what priors of intercepts are about in brms and rstanarm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .base import Prior
from .terms import TermPrior


@dataclass(frozen=True)
class LinearPrior:
    """A prior on `direction`'β, divided by the extra parameter number `scale` (−1: by nothing)."""

    name: str
    direction: np.ndarray
    prior: Prior
    scale: int = -1


@dataclass(frozen=True)
class Chosen:
    """One line of what is printed: the parameter, its prior, why, and whether the user gave it."""

    parameter: str
    prior: str
    why: str
    given: bool = False


@dataclass(frozen=True)
class Priors:
    """Resolved priors.

    Parameters
    ----------
    terms : one a group term
    linear : of combinations of coefficients (in the units of the data); what none touches is flat
    constants : of the family's constants and of sigma, by name, on their natural scale
    extras : positive parameters that priors themselves bring (the global scale of a horseshoe), each with its prior
    chosen : what was chosen for which parameter, and why
    """

    terms: tuple[TermPrior, ...]
    linear: tuple[LinearPrior, ...]
    constants: Mapping[str, Prior]
    extras: tuple[tuple[str, Prior], ...] = ()
    chosen: tuple[Chosen, ...] = ()
    name: str = field(default="default")
