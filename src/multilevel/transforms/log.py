"""``log(x)``: the natural logarithm, for x > 0."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.log, "<= 0")
