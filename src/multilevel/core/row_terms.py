"""The log density of the training rows and its derivatives, again and again: constants once, compiled if possible."""

from __future__ import annotations

import numpy as np

from ..families.base import Derivatives, Distribution, Observations


def kernel_of(distribution: Distribution, obs: Observations) -> str | None:
    """The compiled row terms that serve these observations."""
    simple = obs.precision is None and obs.censored is None and obs.bounds is None
    return distribution.family.kernel(distribution.links) if simple else None


class RowTerms:
    """Answers `derivatives` as a `Distribution` does, for the rows it was made for.

    Families that name a compiled kernel are summed by it; what of their log density does not depend on η is added from
    memory. Order 4, and other families, go to the distribution itself.
    """

    def __init__(self, distribution: Distribution, obs: Observations, start: np.ndarray) -> None:
        self.distribution, self.obs = distribution, obs
        name = kernel_of(distribution, obs)
        self.code = -1
        if name is None or start.shape[1] != 1:
            return
        from ..numerics import one_factor

        self.kernels, self.code = one_factor, one_factor.CODES[name]
        counts = np.ones(len(obs)) if obs.weights is None else obs.weights
        self.y = np.ascontiguousarray(obs.y * counts, dtype=float)
        self.size = np.ascontiguousarray(counts * (1.0 if obs.trials is None else obs.trials), dtype=float)
        value = self._filled(np.ascontiguousarray(start[:, 0]))[0]
        self.constants = np.asarray(distribution.log_density(obs, start) - value)

    @property
    def compiled(self) -> bool:
        """Whether a kernel serves these rows."""
        return self.code >= 0

    def _filled(self, eta: np.ndarray) -> list[np.ndarray]:
        out = [np.empty(len(eta)) for _ in range(4)]
        self.kernels.fill_terms(self.code, self.y, self.size, eta, *out)
        return out

    def derivatives(self, obs: Observations, eta: np.ndarray, order: int) -> Derivatives:
        """ℓ and derivatives at η (n, m), counts of equal rows multiplied in."""
        if self.code < 0 or order > 3 or obs is not self.obs:
            return self.distribution.derivatives(obs, eta, order)
        value, first, second, third = self._filled(np.ascontiguousarray(eta[:, 0]))
        return Derivatives(value + self.constants, first[:, None], second[:, None, None], third[:, None, None, None])
