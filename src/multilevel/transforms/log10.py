"""``log10(x)``: the logarithm to base 10, for x > 0."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.log10, "<= 0")
