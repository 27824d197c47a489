"""Contract of a family: the response given its linear predictor.

This version has the Gaussian one; the contract grows with the next families (density, score, curvature, support).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ..errors import SettingError, nearest


@dataclass(frozen=True)
class Family(ABC):
    """A response distribution."""

    @property
    @abstractmethod
    def links(self) -> tuple[str, ...]:
        """Links it can take, the default first."""

    def link(self, name: str | None) -> str:
        """The link's name, checked."""
        if name is None:
            return self.links[0]
        if name not in self.links:
            raise SettingError(
                f'link "{name}" is not available for this family',
                hint=nearest(name, self.links) or f"It has: {', '.join(self.links)}.",
            )
        return name
