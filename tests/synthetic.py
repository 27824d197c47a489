"""Sampled fits for tests of everything that reads draws: the approximate joint distribution of a likelihood fit, dealt
to four chains as a sampler would hand it over."""

from __future__ import annotations

from typing import Any

import numpy as np

from multilevel.estimators.bayesian import Bayesian
from multilevel.fit.fit import Fit
from multilevel.fit.sample import Sample
from multilevel.fit.sampled import estimates_of


class Synthetic(Bayesian):
    """The estimator of a synthetic posterior: a likelihood fit's own approximation."""

    name = "synthetic"

    def sample(self, model: Any) -> Sample:
        return sample_of(model.fit(), self.draws, self.chains, self.seed)


def sample_of(fit: Fit, draws: int = 250, chains: int = 4, seed: int = 0) -> Sample:
    """Draws of a likelihood fit's approximate joint distribution as a Sample."""
    drawn = fit.estimates.certainty.draw(draws * chains, np.random.default_rng(seed))

    def dealt(a: np.ndarray) -> np.ndarray:
        return np.asarray(a).reshape(chains, draws, *np.asarray(a).shape[1:])

    sigma = None if fit.sigma is None else dealt(drawn["sigma"])
    constants = {name: dealt(v) for name, v in drawn.get("constants", {}).items()}
    flat = np.zeros((chains, draws))
    return Sample(
        dealt(drawn["beta"]), tuple(map(dealt, drawn["covariances"])), tuple(map(dealt, drawn["effects"])), sigma,
        constants, np.zeros((chains, draws, 0)), (), flat, flat, info={"sampler": "synthetic", "exact": True},
    )  # fmt: skip


def sampled(fit: Fit, draws: int = 250, chains: int = 4, seed: int = 0) -> Fit:
    """A sampled fit beside a likelihood fit of the same model."""
    estimator = Synthetic(draws=draws, chains=chains, seed=seed)
    return Fit(fit.model, estimator, estimates_of(fit.model, sample_of(fit, draws, chains, seed)))
