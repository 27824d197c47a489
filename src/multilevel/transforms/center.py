"""``center(x)``: x minus the mean of the training rows.

The slope is unchanged; the intercept becomes the mean response at the average x.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Memory, Transform


class Center(Transform):
    """Subtract the mean."""

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        return {"fields": [], "center": float(np.mean(x))}

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        return (x - memory["center"],)


MEMBER = Center()
