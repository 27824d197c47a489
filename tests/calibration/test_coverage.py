"""The bands of the coverage table, asserted (slow: `make calibration`)."""

from __future__ import annotations

import numpy as np
import pytest
from intervals import COLUMNS, Cell, grid, run

REPETITIONS = 400
ERROR = 100 * np.sqrt(0.05 * 0.95 / REPETITIONS)  # one standard error of a share near 95 %


def bands(cell: Cell) -> dict[str, tuple[float, float]]:
    """Percent: from three groups 92.5–98, five 94–98, fifteen 94–97; a zero variance makes t conservative."""
    low = 92.5 if cell.groups == 3 else 94.0
    high = 100.0 if cell.tau == 0.0 else 98.0 if cell.groups < 15 else 97.0
    found = {name: (low, high) for name in ("intercept", "w")}
    found["x"] = (93.5, 97.0)
    found["new observation"] = (93.5, 97.0)
    if cell.groups >= 5:
        found["sd"] = ((90.0 if cell.groups == 5 else 92.0), 100.0 if cell.tau < 1.0 else 98.0)
    if cell.tau == 0.0:
        found["sd reaches 0"] = (97.0, 100.0)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("cell", grid(), ids=str)
def test_intervals_cover(cell: Cell) -> None:
    shares = dict(zip(COLUMNS, 100 * run(cell, REPETITIONS, seed=hash_of(cell)), strict=True))
    for name, (low, high) in bands(cell).items():
        if not np.isnan(shares[name]):
            # three Monte Carlo errors on top of the band: 35 designs times six shares are looked at
            assert low - 3 * ERROR <= shares[name] <= high + 3 * ERROR, (name, shares[name])


def hash_of(cell: Cell) -> int:
    return 1000 * cell.groups + 10 * cell.size + int(2 * cell.tau)
