"""Contract of a prior of correlations or of a whole covariance, as users write it.

    of(k, eta)   the `TermPrior` of a term with k coefficients; `eta` is LKJ's where correlations are left to it

`priors/covariance/inv_wishart.py` is what ``"cov[g]": "inv_wishart(4, 1)"`` means.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from ..base import refused, short
from ..terms import TermPrior


@dataclass(frozen=True)
class CovariancePrior(ABC):
    """Its fields are its parameters, all above zero, in the order users write them."""

    correlations_only: ClassVar[bool] = False  # a prior of R, for ``cor[…]``, and not of Σ

    def __post_init__(self) -> None:
        for name, value in self.parameters.items():
            for number in value if isinstance(value, tuple) else (value,):
                if not (isinstance(number, int | float) and np.isfinite(number) and number > 0.0):
                    raise refused(self.name, name, number, "above zero")

    @property
    def name(self) -> str:
        """The name users know: that of its file."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def parameters(self) -> dict[str, float | tuple[float, ...]]:
        """Its parameters by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @abstractmethod
    def of(self, k: int, eta: float) -> TermPrior:
        """The prior of a term with k coefficients."""

    def _numbers(self) -> list[float]:
        out: list[float] = []
        for value in self.parameters.values():
            out += list(value) if isinstance(value, tuple) else [value]
        return out

    def __str__(self) -> str:
        return f"{self.name}({', '.join(short(v) for v in self._numbers())})"

    @property
    def text(self) -> str:
        """What reads back as the same prior: all digits."""
        return f"{self.name}({', '.join(repr(float(v)) for v in self._numbers())})"
