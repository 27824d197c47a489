"""Maximum (marginal) likelihood: ``model.fit("ml")``.

    max over (β, θ, σ) of  ∫ p(y | β, b, σ) p(b | θ, σ) db

The group effects are integrated out, everything else is estimated; likelihoods of nested fixed parts compare.

References: Bates et al. (2015), section 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..fit.estimates import Estimates
from ..model.model import Model
from .base import Estimator
from .maximise import Start, maximise


@dataclass(frozen=True)
class Ml(Estimator):
    """Settings: at most `maxiter` Newton iterations; `start`, relative parameters θ in lme4's order."""

    maxiter: int = 200
    start: Start = None

    def estimate(self, model: Model) -> Estimates:
        return maximise(model, reml=False, maxiter=self.maxiter, start=self.start)


MEMBER = Ml
