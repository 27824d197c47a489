"""Contract of a named set of priors: one function from a parameter to its prior and the reason.

    choose(parameter, data) -> (prior, why)

`Parameter` says which parameter of which model, `Scales` what the data say about its size. A member's file is the
set's name for users: ``priors="brms"`` is `model/prior_sets/brms.py`. For a term a set may answer with a prior of the
whole covariance (parameter of kind "cov"); None leaves it to standard deviations and correlations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ...priors.base import Cut, Prior, positive
from ...priors.beta import Beta
from ...priors.covariance.base import CovariancePrior
from ...priors.gamma import Gamma

if TYPE_CHECKING:
    from ..model import Model

Choice = tuple[Prior | CovariancePrior | None, str]
PROBABILITIES = ("zi", "hu")
COUNTED_FROM_ZERO = 0.1  # what brms adds to a response of zero before its logarithm is taken


@dataclass(frozen=True, eq=False)
class Parameter:
    """One parameter that has a prior.

    Parameters
    ----------
    name : its address: ``"sd[g, x]"``, ``"cor[g]"``, ``"cov[g]"``, ``"beta[x]"``, ``"Intercept"``, ``"sigma"``
    kind : "sd", "cor", "cov", "beta", "Intercept" or "constant"
    wider : addresses that mean it among others, narrow ones first
    predictor : the linear predictor it belongs to;  location : whether that is the response's mean (or a threshold)
    term, place : the group term and the coefficient in it; `place` of a fixed coefficient is its column
    column : of the coefficient; None for ones
    direction : the combination of β that an intercept's prior is about
    """

    name: str
    kind: str
    wider: tuple[str, ...] = ()
    predictor: str = "mu"
    location: bool = True
    term: int = -1
    place: int = -1
    column: np.ndarray | None = None
    direction: np.ndarray | None = None


@dataclass(frozen=True)
class Scales:
    """What priors may know of the data: sizes of the response and of predictors, on the scale of the link."""

    model: Model

    @cached_property
    def as_brms(self) -> tuple[float, float]:
        """Median and scale of the response on the link's scale, rounded as brms does."""
        z = self._on_link(("identity", "log", "inverse", "sqrt", "inverse_squared"))
        if z is None or not len(z):
            return 0.0, 2.5
        centre = float(np.median(z))
        spread = float(1.4826 * np.median(np.abs(z - centre)))
        return round(centre, 1), max(2.5, round(spread, 1))

    def _on_link(self, links: tuple[str, ...]) -> np.ndarray | None:
        """The response on the link's scale; None where the link is not among `links`, or the response no number."""
        from ...links import link

        model = self.model
        name = "log" if model.family == "lognormal" else model.link
        layout = model.design.layout
        if name not in links or layout.ordered or len(layout.locations) > 1:
            return None
        y = np.asarray(model.design.response, dtype=float)
        if name in ("log", "inverse", "inverse_squared"):
            y = np.where(y == 0.0, y + COUNTED_FROM_ZERO, y)
        z = link(name).eta(y)
        return np.asarray(z[np.isfinite(z)])

    @cached_property
    def moments(self) -> tuple[float, float]:
        """Mean and standard deviation of the response on the link's scale; 0 and 1 where it has no numbers there."""
        z = self._on_link(("identity", "log", "inverse", "sqrt", "inverse_squared"))
        if z is None or len(z) < 2:
            return 0.0, 1.0
        return float(np.mean(z)), float(np.std(z, ddof=1)) or 1.0

    @cached_property
    def linear(self) -> bool:
        """Whether the location is in units of the data: identity and power links, and the logarithm of lognormal."""
        several = self.model.design.layout.ordered or len(self.model.design.layout.locations) > 1
        links = ("identity", "inverse", "sqrt", "inverse_squared")
        return not several and (self.model.family == "lognormal" or self.model.link in links)

    @cached_property
    def spread(self) -> float:
        """How far the linear predictor may move: the response's sd, or a unit of the link's scale."""
        if self.linear:
            return self.moments[1]
        return max(1.0, self.moments[1]) if self.model.link == "log" and not self._counts else 1.0

    @cached_property
    def latent(self) -> float:
        """The sd of the error behind a yes or no, which effects of groups stand beside; 1 where there is none."""
        from ...links import link

        variance = link(self.model.link).latent
        return 1.0 if self.linear or not math.isfinite(variance) else math.sqrt(variance)

    @property
    def _counts(self) -> bool:
        return bool(self.model.distribution.family.discrete)

    @cached_property
    def centre(self) -> float:
        """Where the linear predictor is on average, offsets taken out."""
        offset = self.model.design.offset
        moved = 0.0 if offset is None else float(np.mean(offset))
        if self.linear:
            return self.moments[0] - moved
        if self.model.link == "log":
            y = np.asarray(self.model.design.response, dtype=float)
            return math.log(max(float(np.mean(y)), 1e-12)) - moved if self._on_link(("log",)) is not None else 0.0
        return 0.0


def unit(column: np.ndarray | None) -> float:
    """The spread of a predictor: its sd, or half the difference where it has two values; 1 for the intercept."""
    if column is None:
        return 1.0
    low, high = float(np.min(column)), float(np.max(column))
    two = bool(np.all((column == low) | (column == high)))
    return (0.5 * (high - low) if two else float(np.std(column, ddof=1))) or 1.0


def standard_deviation(column: np.ndarray | None) -> float:
    """The sd of a predictor; 1 for the intercept, and where it does not vary."""
    return 1.0 if column is None or len(column) < 2 else float(np.std(column, ddof=1)) or 1.0


def usual_constant(name: str) -> Choice:
    """What all sets say of probabilities of a zero and of degrees of freedom."""
    if name in PROBABILITIES:
        return Beta(1.0, 1.0), "uniform on the probability"
    if name == "nu":
        return Cut(Gamma(2.0, 0.1), 1.0), "from heavy tails to nearly normal (Juárez & Steel 2010), above 1"
    return positive(Gamma(0.01, 0.01)), "nearly flat on its logarithm"


def near(value: float, size: float) -> float:
    """Rounded to about a twentieth of a size."""
    step = 10.0 ** math.floor(math.log10(size / 20.0))
    return float(f"{round(value / step) * step:.12g}")


def digits(value: float, count: int = 3) -> float:
    """Rounded to a few digits, as defaults are printed."""
    return float(f"{value:.{count}g}")
