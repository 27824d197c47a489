"""Counts in two steps: zero or not, and how many if not.

P(y_i = 0) = π_i,   y_i given y_i > 0 ~ Poisson(μ_i) above zero,   log μ_i = η_i,   logit π_i = η_hu
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..links import inverse, link
from . import poisson
from .base import Family, Further
from .counts import draw_positive_poisson
from .mixtures import Hurdle

HU = Further("hu", ("logit",), "probability π of a zero")


@dataclass(frozen=True)
class HurdlePoisson(Hurdle):
    """Zeros by one process, Poisson counts above zero by another; ``hu ~ x`` predicts the zeros.

    μ is the mean before zeros are cut off, not that of the positive counts. The two parts of the likelihood share no
    parameter, so that the zeros say nothing about μ.

    Mullahy (1986), *Specification and Testing of Some Modified Count Data Models*, J. Econometrics 33.
    """

    links = ("log",)
    further = (HU,)

    @property
    def counted(self) -> Family:
        return poisson.MEMBER

    def log_zero(self, eta: Sequence[Any], links: tuple[str, ...]) -> Any:
        return link(links[0]).log_mean(eta[0])

    def draw_positive(self, eta: np.ndarray, links: tuple[str, ...], rng: np.random.Generator) -> np.ndarray:
        return draw_positive_poisson(inverse(links[0], eta[:, 0]), rng)


MEMBER = HurdlePoisson()
