"""Counts in two steps: zero or not, and how many if not.

P(y_i = 0) = π_i,   y_i given y_i > 0 ~ NB(μ_i, s) above zero,   log μ_i = η_i,   logit π_i = η_hu
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import link
from . import negative_binomial
from .base import Family, Further
from .counts import draw_positive_negative_binomial, log_zero_negative_binomial
from .mixtures import Hurdle
from .negative_binomial import SHAPE, mean_size

HU = Further("hu", ("logit",), "probability π of a zero")


@dataclass(frozen=True)
class HurdleNegativeBinomial(Hurdle):
    """Zeros by one process, negative binomial counts above zero by another; ``hu ~ x`` predicts the zeros.

    μ is the mean before zeros are cut off, not that of the positive counts. The two parts of the likelihood share no
    parameter, so that the zeros say nothing about μ.

    Mullahy (1986), *Specification and Testing of Some Modified Count Data Models*, J. Econometrics 33.
    """

    links = ("log",)
    further = (SHAPE, HU)

    @property
    def counted(self) -> Family:
        return negative_binomial.MEMBER

    def log_zero(self, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return log_zero_negative_binomial(link(links[0]).log_mean(eta[0]), eta[1])

    def draw_positive(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        return draw_positive_negative_binomial(*mean_size(eta, links), rng)


MEMBER = HurdleNegativeBinomial()
