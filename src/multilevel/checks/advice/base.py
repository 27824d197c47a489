"""Contract of an advice: a frozen record that looks at a model before it is fitted, at a fit, or at both.

    before(model)   findings from the design alone; nothing is estimated
    after(case)     findings of a fit; the healthy answer is a finding of severity "ok"

A member of the folder is one advice; its file names it. It stays silent on healthy data: each test has level 1% after
Holm's adjustment over everything it looks at, and needs an effect that matters beside the p-value.
"""

from __future__ import annotations

from abc import ABC
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..base import Finding

if TYPE_CHECKING:
    from ...model.model import Model
    from ..case import Case


@dataclass(frozen=True)
class Advice(ABC):  # noqa: B024 - each member answers one of the two questions, or both
    """One kind of advice."""

    def before(self, model: Model) -> list[Finding]:
        """Findings before fitting."""
        return []

    def after(self, case: Case) -> list[Finding]:
        """Findings after fitting; by default those of the design."""
        return self.before(case.model)
