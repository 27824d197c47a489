"""Laplace's approximation of the marginal likelihood: ``model.fit()`` for families other than the normal one.

    max over (β, θ, dispersion) of  ∫ p(y | β, b) p(b | θ) db,  the integral approximated at the mode of b

All parameters jointly, by the exact gradient of the approximation, as lme4's ``glmer`` (nAGQ = 1) and glmmTMB. For
normal responses the approximation is exact: ML.

Errors of the approximation grow as the information in each group shrinks (binary rows, few a group) and as the variance
grows; `fit.adequacy()` estimates them. ``order=2`` adds the next term of the expansion (`core/second_order.py`), which
takes away most of the error, crossed factors included; ``"agq"`` removes it where the grouping factors are nested in
each other.

References: Tierney & Kadane (1986), JASA 81; Breslow & Clayton (1993), JASA 88; Raudenbush, Yang & Yosef (2000),
JCGS 9; Bates et al. (2015).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..core.laplace import Laplace as Criterion
from ..core.one_factor import laplace
from ..core.quadrature_levels import chain_of
from ..core.second_order import SecondOrder
from ..errors import ConvergenceError, SettingError, printable
from ..fit.estimates import Estimates
from ..model.model import Model
from .approximate import maximise_approximation
from .base import Estimator
from .limits import in_the_limit
from .maximise import Start

MOST_STEPS = 40  # of the second order, from the optimum of the first: more mean that it runs away


@dataclass(frozen=True)
class Laplace(Estimator):
    """Settings: at most `maxiter` Newton iterations; `start`, θ in lme4's order; `order`, 1 or 2, of the expansion."""

    linear_only: ClassVar[bool] = False
    maxiter: int = 200
    start: Start = None
    order: int = 1

    def check(self, model: Model) -> None:
        if self.order not in (1, 2):
            raise SettingError(f"order={printable(repr(self.order))} is unknown", hint="Use 1 or 2.")

    def estimate(self, model: Model) -> Estimates:
        with np.errstate(all="ignore"):
            return in_the_limit(model, lambda limit: self.criterion(limit, {}), self._maximise)

    def _maximise(self, model: Model, criterion: Criterion) -> Estimates:
        if self.order == 1:
            return maximise_approximation(model, criterion, "Laplace", self.maxiter, self.start)
        plain = replace(self, order=1)
        first = np.array(plain._maximise(model, plain.criterion(model, {})).notes["phi"], dtype=float)
        try:
            most = min(self.maxiter, MOST_STEPS)
            found = maximise_approximation(model, criterion, "second-order Laplace", most, None, first)
        except ConvergenceError as error:
            raise _no_maximum(criterion, error) from None
        return replace(found, notes={**found.notes, "approximation": "the second-order Laplace approximation"})

    def criterion(self, model: Model, notes: Mapping[str, Any]) -> Criterion:
        """The approximate deviance of a model."""
        make = laplace if self.order == 1 else SecondOrder
        return make(model.rows, model.distribution, model.scales)


def _no_maximum(criterion: Criterion, error: ConvergenceError) -> ConvergenceError:
    better = "agq" if chain_of(criterion.rows) else "laplace"
    return ConvergenceError(
        "second-order Laplace found no maximum: with as little information in each group as here its expansion fails",
        hint=f'Use "{better}" instead, and see fit.adequacy().',
        partial=error.partial,
        **error.context,
    )


MEMBER = Laplace
