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

WIDEST = 40  # characters of a parameter's name that are printed


@dataclass(frozen=True)
class LinearPrior:
    """A prior on `direction`'β, divided by the extra parameters number `scale` and `local` (−1: by nothing)."""

    name: str
    direction: np.ndarray
    prior: Prior
    scale: int = -1
    local: int = -1


@dataclass(frozen=True)
class Chosen:
    """One line of what is printed: the parameter, its prior, why, and whether the user gave it."""

    parameter: str
    prior: str
    why: str
    given: bool = False


@dataclass(frozen=True)
class Priors:
    """Resolved priors; printed as a table.

    Parameters
    ----------
    terms : one a group term
    linear : of combinations of coefficients (in the units of the data); what none touches is flat
    constants : of the family's constants and of sigma, by name, on their natural scale
    extras : positive parameters that priors themselves bring (the global scale of a horseshoe), each with its prior
    chosen : what was chosen for which parameter, and why
    name : of the set that was started from
    asked : what the user gave, by address, as text that reads back: ``model.with_priors({"set": name, **asked})``
    """

    terms: tuple[TermPrior, ...]
    linear: tuple[LinearPrior, ...]
    constants: Mapping[str, Prior]
    extras: tuple[tuple[str, Prior], ...] = ()
    chosen: tuple[Chosen, ...] = ()
    name: str = field(default="default")
    asked: Mapping[str, str] = field(default_factory=dict)

    @property
    def improper(self) -> tuple[str, ...]:
        """Parameters whose prior does not integrate to one."""
        return tuple(c.parameter for c in self.chosen if c.prior == "flat")

    def to_dict(self) -> dict[str, object]:
        """JSON-able: the set, what was given, and the whole table."""
        table = [{"parameter": c.parameter, "prior": c.prior, "why": c.why, "given": c.given} for c in self.chosen]
        return {"set": self.name, "given": dict(self.asked), "priors": table}

    def __str__(self) -> str:
        from ..errors import printable

        rows = [(printable(c.parameter, WIDEST), c.prior, ("given: " if c.given else "") + c.why) for c in self.chosen]
        rows = [("parameter", "prior", "why"), *((a, b, c.removesuffix(": ")) for a, b, c in rows)]
        first, second = (max(len(row[i]) for row in rows) for i in (0, 1))
        lines = [f"{a:<{first}}  {b:<{second}}  {c}".rstrip() for a, b, c in rows]
        return "\n".join([f'Priors: set "{self.name}"' + (", with your own" if self.asked else ""), *lines])

    __repr__ = __str__
