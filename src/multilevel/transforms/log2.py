"""``log2(x)``: the logarithm to base 2, for x > 0; one unit is a doubling."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.log2, "<= 0")
