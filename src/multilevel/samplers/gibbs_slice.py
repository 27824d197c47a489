"""Slice sampling of one coordinate, for all chains at once.

Under the density, a height is drawn; from an interval around the point, widened until both ends lie below that height,
points are drawn and the interval cut at those that fail. Widths are learnt while the chains are tuned and stay fixed
afterwards, so that what is kept comes from a chain with the right stationary distribution.

Reference: Neal (2003), Annals of Statistics 31, 705-767, section 4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

STEPS = 40  # widenings at most, on each side
SHRINKS = 200
LEARN = 0.1


class Slice:
    """A slice sampler with one width for each coordinate that it serves.

    Parameters
    ----------
    d : number of coordinates
    width : first width of all
    """

    def __init__(self, d: int, width: float = 1.0) -> None:
        self.width = np.full(d, width)
        self.tuning = True

    def step(
        self, j: int, x: np.ndarray, log_density: Callable[[np.ndarray], np.ndarray], rng: np.random.Generator
    ) -> np.ndarray:
        """New values (C,) of coordinate j from x (C,); `log_density` takes (C,) to (C,)."""
        new = slice_step(x, log_density, float(self.width[j]), rng)
        if self.tuning:
            moved = float(np.mean(np.abs(new - x)))
            self.width[j] = max((1.0 - LEARN) * self.width[j] + LEARN * 3.0 * moved, 1e-8)
        return new


def slice_step(
    x: np.ndarray, log_density: Callable[[np.ndarray], np.ndarray], width: float, rng: np.random.Generator
) -> np.ndarray:
    """One update of x (C,), each element a chain of its own.

    Examples
    --------
    >>> import numpy as np
    >>> rng, x = np.random.default_rng(0), np.zeros(2000)
    >>> for _ in range(10):
    ...     x = slice_step(x, lambda v: -0.5 * v**2, 2.0, rng)
    >>> bool(abs(x.std() - 1.0) < 0.06)
    True
    """
    height = log_density(x) - rng.standard_exponential(len(x))
    left = x - width * rng.random(len(x))
    right = left + width
    share = rng.random(len(x))
    budget = np.floor(STEPS * share), STEPS - 1 - np.floor(STEPS * share)  # a random split keeps it reversible
    left = _widen(left, -width, budget[0], height, log_density)
    right = _widen(right, width, budget[1], height, log_density)
    new, open_ = x.copy(), np.ones(len(x), dtype=bool)
    for _ in range(SHRINKS):
        point = np.where(open_, left + rng.random(len(x)) * (right - left), new)
        inside = log_density(point) > height
        new = np.where(open_ & inside, point, new)
        open_ &= ~inside
        if not open_.any():
            break
        left = np.where(open_ & (point < x), point, left)
        right = np.where(open_ & (point >= x), point, right)
    return new


def _widen(
    end: np.ndarray, by: float, budget: np.ndarray, height: np.ndarray, f: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    left = budget.copy()
    while True:
        grow = (left > 0) & (f(end) > height)
        if not grow.any():
            return end
        end = np.where(grow, end + by, end)
        left = np.where(grow, left - 1, 0)
