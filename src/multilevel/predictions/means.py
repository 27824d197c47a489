"""The mean of a response as a function of its linear predictors, averaged and differentiated.

Categories have one mean each, their probability: all arrays of means are (n, K), with K = 1 for numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..families.base import Distribution, Observations
from ..links import forward, inverse, link
from .integrals import Function, average, root

STEP = 1e-5  # of numerical derivatives, in linear predictors
EVERY = slice(None)


@dataclass(frozen=True)
class Mean:
    """E y of some rows.

    Parameters
    ----------
    distribution, obs : the family with its links, and what is known of the rows
    """

    distribution: Distribution
    obs: Observations

    @cached_property
    def scale(self) -> str:
        """The link on whose scale means have no bounds."""
        return self.distribution.family.mean_scale(self.distribution.links)

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """Categories of the response; nothing for numbers."""
        family = self.distribution.family
        return self.obs.levels if family.ordered or len(family.locations(self.obs)) > 1 else ()

    def at(self, eta: np.ndarray, rows: np.ndarray | slice = EVERY) -> np.ndarray:
        """The means, (n, K); NaN where a positive one would be negative."""
        found = self.distribution.mean(self.obs.take(rows), eta)
        out = found if found.ndim == 2 else found[:, None]
        return np.where(out < 0.0, np.nan, out) if self.scale == "log" else out

    def square(self, eta: np.ndarray, rows: np.ndarray | slice = EVERY) -> np.ndarray:
        return self.at(eta, rows) ** 2

    def variance(self, eta: np.ndarray, rows: np.ndarray | slice = EVERY) -> np.ndarray:
        """Var y given η, (n, K)."""
        found = self.distribution.variance(self.obs.take(rows), eta)
        return found if found.ndim == 2 else found[:, None]

    def averaged(self, f: Function, eta: np.ndarray, covariance: np.ndarray) -> np.ndarray:
        """E f(η + v) for v ~ N(0, covariance)."""
        return average(f, eta, root(covariance), grows=self.scale == "log")

    def over(self, covariance: np.ndarray) -> Function:
        """The mean averaged over N(0, covariance), as a function of η."""
        if not np.any(covariance > 0.0):
            return self.at

        def over(eta: np.ndarray, rows: np.ndarray | slice = EVERY) -> np.ndarray:
            some = Mean(self.distribution, self.obs.take(rows))
            return some.averaged(some.at, eta, covariance[rows])

        return over

    # --- intervals -----------------------------------------------------------------------------------------------
    def ends(self, estimate: np.ndarray, half: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """estimate ± half, `half` on the scale of the mean and small against it, made where there are no bounds."""
        centre = forward(self.scale, estimate)
        slope = np.abs(link(self.scale).slope(centre))
        with np.errstate(all="ignore"):
            width = half / slope
        low, high = inverse(self.scale, centre - width), inverse(self.scale, centre + width)
        still = half == 0.0  # a probability of zero has no place on the logit's scale
        return np.where(still, estimate, low), np.where(still, estimate, high)


def gradient(f: Function, eta: np.ndarray) -> np.ndarray:
    """∂f/∂η by central differences, (n, K, m)."""
    rows = np.arange(len(eta))
    parts = []
    for d in range(eta.shape[1]):
        step = np.zeros_like(eta)
        step[:, d] = STEP * np.maximum(1.0, np.abs(eta[:, d]))
        parts.append((f(eta + step, rows) - f(eta - step, rows)) / (2.0 * step[:, d, None]))
    return np.stack(parts, axis=2)
