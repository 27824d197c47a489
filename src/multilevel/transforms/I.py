"""``I(x^2 / 10)``: arithmetic as written; inside, ``+ - * / ^`` are numbers and not formula operators."""

from __future__ import annotations

import numpy as np

from .base import Elementwise

MEMBER = Elementwise(np.asarray)
