"""Ranges of columns, one pass each."""

from __future__ import annotations

from .compiled import kernel


@kernel()  # no signature: columns of data frames may be read-only
def column_range(x):
    """Mean, least and largest value of a column (0, 0, 0 when it is empty)."""
    n = len(x)
    if n == 0:
        return 0.0, 0.0, 0.0
    total, low, high = 0.0, x[0], x[0]
    for i in range(n):
        v = x[i]
        # about the first value: the sum itself must not overflow or cancel
        total += v - x[0]
        low = min(low, v)
        high = max(high, v)
    return x[0] + total / n, low, high
