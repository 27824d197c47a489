"""Restricted maximum likelihood: ``model.fit()``.

    max over (θ, σ) of  ∫ p(y | β, θ, σ) dβ

The likelihood of the residual contrasts: variance components lose the downward bias that estimating β causes.
Restricted likelihoods of models with different fixed effects cannot be compared.

References: Patterson & Thompson (1971), Biometrika 58; Bates et al. (2015), section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..fit.estimates import Estimates
from ..model.model import Model
from .base import Estimator
from .maximise import Start, maximise


@dataclass(frozen=True)
class Reml(Estimator):
    """Settings: at most `maxiter` Newton iterations; `start`, relative parameters θ in lme4's order."""

    maxiter: int = 200
    start: Start = None

    def estimate(self, model: Model) -> Estimates:
        return maximise(model, reml=True, maxiter=self.maxiter, start=self.start)


MEMBER = Reml
