"""``sqrt(x)``: the square root, for x >= 0."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.sqrt, "< 0")
