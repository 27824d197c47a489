"""The clean data that every bad input is derived from: 20 groups of 10 rows, from exact fractions."""

from __future__ import annotations

from fractions import Fraction as F

import pandas as pd

LMM = "y ~ x + (1|g)"
# exact optima (40-digit arithmetic), REML
BETA = (1.03832010398854, 0.540343732187374)
SIGMA2, TAU2 = 0.608210409505889, 0.673990848075662


def base() -> pd.DataFrame:
    rows = []
    for i in range(200):
        j = i // 10
        x, b = F((7 * i) % 13 - 6, 6), F((5 * j) % 11 - 5, 4)
        e = F((17 * i + 3 * (i // 7)) % 31 - 15, 12)
        count, success = ((3 * i + j * j) % 5) + (j % 4), int(((11 * i) % 19) + ((5 * j) % 11) > 14)
        rows.append((f"g{j:02d}", float(x), float(1 + F(1, 2) * x + b + e), count, success))
    return pd.DataFrame(rows, columns=["g", "x", "y", "c", "z"])
