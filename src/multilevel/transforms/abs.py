"""``abs(x)``: the absolute value."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.abs)
