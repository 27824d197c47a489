"""Which levels of one factor meet which levels of another: kernels over integer codes."""

from __future__ import annotations

import numpy as np

from .compiled import kernel


@kernel("Tuple((int64[::1], int32[::1], int32[::1]))(int32[::1], int32[::1], int64, int64)")
def meeting_pairs(codes, others, n_levels, n_others):
    """Pairs (level, other level) that share a row, grouped by level.

    Returns ``start`` (n_levels + 1), ``other`` (one entry a pair) and ``pair`` (the pair of every row).
    Rows are bucketed by level; within a level a marker finds the pair of an `other` seen before: O(rows).
    """
    n = len(codes)
    bucket = np.zeros(n_levels + 1, np.int64)
    for i in range(n):
        bucket[codes[i] + 1] += 1
    for a in range(n_levels):
        bucket[a + 1] += bucket[a]
    order = np.empty(n, np.int32)
    fill = bucket[:n_levels].copy()
    for i in range(n):
        order[fill[codes[i]]] = i
        fill[codes[i]] += 1
    start = np.zeros(n_levels + 1, np.int64)
    other = np.empty(n, np.int32)
    pair = np.empty(n, np.int32)
    marker = np.full(n_others, -1, np.int64)
    count = 0
    for a in range(n_levels):
        for r in range(bucket[a], bucket[a + 1]):
            i = order[r]
            b = others[i]
            if marker[b] < start[a]:
                marker[b] = count
                other[count] = b
                count += 1
            pair[i] = marker[b]
        start[a + 1] = count
    return start, other[:count].copy(), pair
