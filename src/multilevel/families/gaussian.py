"""Gaussian responses.

    y_i ~ N(η_i, σ²/w_i),  identity link
"""

from __future__ import annotations

from dataclasses import dataclass

from .base import Family


@dataclass(frozen=True)
class Gaussian(Family):
    """Normal errors; linear mixed models."""

    @property
    def links(self) -> tuple[str, ...]:
        return ("identity",)


MEMBER = Gaussian()
