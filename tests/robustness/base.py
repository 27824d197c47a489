"""The clean table every bad input is derived from: 20 groups of 10 rows, no random numbers."""

from __future__ import annotations

from fractions import Fraction

import pandas as pd

F_LMM = "y ~ x + (1|g)"


def base() -> pd.DataFrame:
    """Exact rationals rounded once to doubles, so that the optimum is known to many digits."""
    rows = []
    for i in range(200):
        j = i // 10
        x = Fraction((7 * i) % 13 - 6, 6)
        b = Fraction((5 * j) % 11 - 5, 4)
        e = Fraction((17 * i + 3 * (i // 7)) % 31 - 15, 12)
        y = 1 + Fraction(1, 2) * x + b + e
        rows.append((f"g{j:02d}", float(x), float(y), ((3 * i + j * j) % 5) + (j % 4)))
    return pd.DataFrame(rows, columns=["g", "x", "y", "c"])
