"""``log1p(x)``: log(1 + x), accurate for small x, for x > -1; counts with zeros."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.log1p, "<= -1")
