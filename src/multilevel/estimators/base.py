"""Contract of an estimator: a frozen record of settings that turns a model into a fit.

    requires        what the model must have, asked before anything is computed
    estimate(model) the estimates; numerical failure is a ConvergenceError with what was reached

The module's file name is the estimator's name for users: `estimators/reml.py` is ``model.fit("reml")``.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..errors import ConvergenceError, IdentifiabilityError, printable, warn
from ..fit.estimates import Estimates

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model


@dataclass(frozen=True)
class Estimator(ABC):
    """Settings of one estimator; `linear_only` ones need normal errors of one variance."""

    linear_only: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return type(self).__module__.rsplit(".", 1)[-1]

    @abstractmethod
    def estimate(self, model: Model) -> Estimates:
        """Estimate the model."""

    def check(self, model: Model) -> None:  # noqa: B027 - nothing to refuse is the ordinary case
        """Refuse a model that this estimator cannot serve (raises with the reason and what can)."""

    def criterion_again(self, model: Model, notes: Mapping[str, Any]) -> Any:
        """The criterion of a saved fit of a generalized model, as its notes describe it."""
        from .limits import criterion_again

        return criterion_again(lambda m: self.criterion(m, notes), model, notes)

    def criterion(self, model: Model, notes: Mapping[str, Any]) -> Any:
        """The criterion that is minimised for a generalized model; only for estimators that have one."""
        raise NotImplementedError

    def fit(self, model: Model) -> Fit:
        """Check, estimate, and wrap the result."""
        from ..fit.fit import Fit
        from ..fit.remarks import fit_warnings

        if self.linear_only and not model.is_linear:
            raise _not_linear(model, self.name)
        self.check(model)
        clock = time.perf_counter()
        try:
            estimates = self.estimate(model)
        except ConvergenceError as error:
            if error.partial is not None:
                error.partial = Fit(model, self, error.partial, time.perf_counter() - clock)
            raise
        seconds = time.perf_counter() - clock
        noticed = fit_warnings(model, estimates)
        for warning in (*noticed, *estimates.warnings):
            warn(warning)
        return Fit(model, self, estimates, seconds, noticed)


def _not_linear(model: Model, estimator: str) -> IdentifiabilityError:
    what = f'the family "{model.family}" ({model.link} link)'
    if model.distribution.family.is_gaussian:
        what = "a normal response with further predictors, another link, censoring or truncation"
    return IdentifiabilityError(
        f'the estimator "{estimator}" is for linear models, and this one has {what}',
        code="E_NOT_LINEAR",
        hint='Use "laplace" (the default), "agq", "complete" or "none".',
    )


def require_groups(model: Model, estimator: str) -> None:
    """Refuse a formula without a group term."""
    if not model.design.groups:
        raise IdentifiabilityError(
            f'the estimator "{estimator}" needs a group term, and the formula "{printable(model.formula)}" has none',
            code="E_NO_GROUP",
            hint='Add one, such as (1 | school), or use estimator="complete".',
        )
