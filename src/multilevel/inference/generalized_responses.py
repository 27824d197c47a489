"""Refits of a generalized model to other responses: the same columns, observed anew."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConvergenceError, MultilevelError, MultilevelWarning
from .parameters import Parameter, estimated
from .responses import Refit

if TYPE_CHECKING:
    from ..estimators.base import Estimator
    from ..model.model import Model


def with_response(model: Model, y: np.ndarray) -> Model:
    """The model with another response of its rows, as `Observations.y` holds it; nothing of it is censored."""
    obs = replace(model.observations.with_y(y), censored=None, upper=None)
    response = obs.y if obs.trials is None else obs.y / obs.trials
    return model.with_design(replace(model.design, observations=obs, response=response))


class GeneralizedResponses:
    """Refits of a model by one estimator.

    Parameters
    ----------
    model, estimator : what is refitted
    names : tuple of Parameter
        What each refit reports.
    """

    def __init__(self, model: Model, estimator: Estimator, names: tuple[Parameter, ...]) -> None:
        self.model, self.estimator, self.names = model, estimator, names

    def refits(self, responses: np.ndarray) -> Iterator[Refit]:
        """One refit for each row of `responses` (m, n)."""
        for y in responses:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", MultilevelWarning)
                try:
                    found = self.estimator.estimate(with_response(self.model, y))
                except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
                    yield Refit(np.full(len(self.names), np.nan), np.nan, False)
                    continue
            yield Refit(estimated(found, self.names), -2.0 * found.log_likelihood, found.converged)
