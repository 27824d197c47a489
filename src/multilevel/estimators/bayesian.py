"""What Bayesian estimators share: settings, and from draws to estimates."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ..errors import SettingError, printable
from ..fit.estimates import Estimates
from ..fit.prior_conflict import prior_warnings
from ..fit.sample import Sample
from ..fit.sampled import estimates_of
from ..model.memory import check_draws
from .base import Estimator
from .propriety import check_propriety

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass(frozen=True)
class Bayesian(Estimator):
    """Settings: `draws` kept and `tune` thrown away, a chain; `chains`; `seed` (the same draws for the same seed)."""

    linear_only: ClassVar[bool] = False
    draws: int = 1000
    tune: int = 1000
    chains: int = 4
    seed: int = 0

    def check(self, model: Model) -> None:
        for name, least in (("draws", 4), ("tune", 0), ("chains", 1)):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < least:
                raise SettingError(f"{name}={printable(repr(value))} is not a whole number of at least {least}")

    def late(self, model: Model) -> bool:
        """Whether group effects are drawn only when asked for, so that they need no memory before."""
        return False

    @abstractmethod
    def sample(self, model: Model) -> Sample:
        """Draw from the posterior."""

    def estimate(self, model: Model) -> Estimates:
        check_propriety(model)
        if not self.late(model):
            check_draws(model.design, self.draws * self.chains)
        with np.errstate(all="ignore"):
            sample = self.sample(model)
        return estimates_of(model, sample, prior_warnings(model))
