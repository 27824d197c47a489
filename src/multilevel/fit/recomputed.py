"""The certainty of a fit that was loaded: computed again from the data and the stored optimum, when it is asked for.

Likelihood fits re-evaluate the criterion at their parameters; other estimators, which are closed forms, run again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .estimates import Certainty, Combination, Spread

if TYPE_CHECKING:
    from ..estimators.base import Estimator
    from ..model.model import Model
    from .sensitivity import Sensitivity


@dataclass(frozen=True, eq=False)
class Kept:
    """What differences and clocks decided when the fit was made: the Hessian, and which intervals sds have."""

    hessian: np.ndarray | None
    profiles: bool


class Recomputed(Certainty):
    """Stands for the certainty that `make` computes on first use."""

    def __init__(self, make: Callable[[], Certainty], kept: Kept | None = None) -> None:
        self._make, self._kept = make, kept

    @cached_property
    def _certainty(self) -> Certainty:
        made = self._make()
        return made if self._kept is None else made.restored(self._kept.hessian, self._kept.profiles)

    def beta_covariance(self) -> np.ndarray:
        return self._certainty.beta_covariance()

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        return self._certainty.contrast_df(contrasts)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        return self._certainty.effect_covariances()

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        return self._certainty.spread(rows, parameters)

    def covariance(self, rows: Combination) -> np.ndarray:
        return self._certainty.covariance(rows)

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        return self._certainty.sd_intervals(level)

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        return self._certainty.correlation_intervals(level)

    def sd_errors(self) -> tuple[list[list[float]], float]:
        return self._certainty.sd_errors()

    def constants(self, level: float) -> Mapping[str, tuple[float, float, float, float]]:
        return self._certainty.constants(level)

    @property
    def hessian(self) -> np.ndarray | None:
        return None if self._kept is None else self._kept.hessian

    @property
    def sensitivity(self) -> Sensitivity | None:
        return self._certainty.sensitivity

    def effect_variance(self, rows: Combination) -> np.ndarray:
        return self._certainty.effect_variance(rows)

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        return self._certainty.draw(n, rng)

    def residual_df(self) -> float:
        return self._certainty.residual_df()

    @property
    def profiles(self) -> bool:
        return self._certainty.profiles


def recomputed(model: Model, estimator: Estimator, notes: Mapping[str, Any], kept: Kept | None = None) -> Recomputed:
    """The certainty of stored estimates; `notes` hold the optimum of a likelihood fit."""
    if notes.get("phi") is not None:
        return Recomputed(lambda: _at_approximation(model, estimator, notes), kept)
    if "theta" in notes:
        return Recomputed(lambda: _at_optimum(model, notes))
    return Recomputed(lambda: _again(model, estimator), kept)


def _at_optimum(model: Model, notes: Mapping[str, Any]) -> Certainty:
    from ..core.likelihood import Likelihood
    from .mixed import MixedCertainty

    products = model.products
    sigma2 = None if model.design.known_se is None else 1.0 / products.y_shift.scale**2
    likelihood = Likelihood(products, model.scales, bool(notes["reml"]), sigma2)
    state = likelihood.evaluate(np.array(notes["theta"], dtype=float))
    return MixedCertainty(likelihood, state, set(notes["zeros"]))


def _at_approximation(model: Model, estimator: Estimator, notes: Mapping[str, Any]) -> Certainty:
    from .generalized import GeneralizedCertainty

    criterion = estimator.criterion_again(model, notes)
    state = criterion.evaluate(np.array(notes["phi"], dtype=float))
    return GeneralizedCertainty(criterion, state, set(notes["zeros"]))


def _again(model: Model, estimator: Estimator) -> Certainty:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they were issued when the fit was made, and are stored
        return estimator.estimate(model).certainty
