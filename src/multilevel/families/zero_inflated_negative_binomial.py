"""Counts, some of which are zero for a reason of their own.

y_i = 0 with probability π_i, else y_i ~ NB(μ_i, s),   log μ_i = η_i,   logit π_i = η_zi
"""

from __future__ import annotations

from dataclasses import dataclass

from . import negative_binomial
from .base import Family, Further
from .mixtures import Inflated
from .negative_binomial import SHAPE

ZI = Further("zi", ("logit",), "probability π of a zero beside those of the counts")


@dataclass(frozen=True)
class ZeroInflatedNegativeBinomial(Inflated):
    """Negative binomial counts with extra zeros; ``zi ~ x`` predicts them.

    Zeros of both kinds look alike: "zi" is told from a small mean or a small shape only by how the other
    counts are spread. Where zeros are no more than the counts explain, the likelihood rises towards zi = 0.

    Lambert (1992), *Zero-Inflated Poisson Regression*, Technometrics 34. Greene (1994) for the negative binomial.
    """

    links = ("log",)
    further = (SHAPE, ZI)

    @property
    def counted(self) -> Family:
        return negative_binomial.MEMBER


MEMBER = ZeroInflatedNegativeBinomial()
