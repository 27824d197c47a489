"""Counts, some of which are zero for a reason of their own.

y_i = 0 with probability π_i, else y_i ~ Poisson(μ_i),   log μ_i = η_i,   logit π_i = η_zi
"""

from __future__ import annotations

from dataclasses import dataclass

from . import poisson
from .base import Family, Further
from .mixtures import Inflated

ZI = Further("zi", ("logit",), "probability π of a zero beside those of the counts")


@dataclass(frozen=True)
class ZeroInflatedPoisson(Inflated):
    """Poisson counts with extra zeros; ``zi ~ x`` predicts them.

    Zeros of both kinds look alike: "zi" is told from a small mean only by how the other
    counts are spread. Where zeros are no more than the counts explain, the likelihood rises towards zi = 0.

    Lambert (1992), *Zero-Inflated Poisson Regression*, Technometrics 34.
    """

    links = ("log",)
    further = (ZI,)

    @property
    def counted(self) -> Family:
        return poisson.MEMBER


MEMBER = ZeroInflatedPoisson()
