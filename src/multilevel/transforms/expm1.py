"""``expm1(x)``: exp(x) - 1, accurate for small x; overflows a double above 709.78."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.expm1, "> 709.78")
