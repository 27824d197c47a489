"""``exp(x)``: the exponential; overflows a double above 709.78."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.exp, "> 709.78")
