"""The LKJ prior of correlations: ``lkj(eta)``.

    p(R) ∝ |R|^(η − 1)

η = 1 is uniform over correlation matrices; with larger η a correlation r of a k×k matrix, (r + 1)/2 ~
Beta(η − 1 + k/2, η − 1 + k/2), keeps nearer to zero. η below 1 favours correlations of ±1.

Reference: Lewandowski, Kurowicka & Joe (2009), J. Multivariate Analysis 100.
"""

from __future__ import annotations

from dataclasses import dataclass

from ...errors import SettingError
from ..terms import TermPrior
from .base import CovariancePrior


@dataclass(frozen=True)
class LKJ(CovariancePrior):
    """p(R) ∝ |R|^(eta − 1)."""

    correlations_only = True
    eta: float = 1.0

    def of(self, k: int, eta: float) -> TermPrior:
        raise SettingError(
            "lkj() is a prior of correlations alone", code="E_PRIOR", hint='Give it to "cor[g]", and priors to "sd[g]".'
        )


MEMBER = LKJ
