"""Elimination order of the crossed factors: minimum degree until what remains is dense.

The graph has one node a level. Rows of its adjacency matrix are bit sets, so that eliminating a node of
degree d costs d·N/64 word operations, and the neighbours of a node when it is eliminated are exactly the
non-zero blocks of its column of the Cholesky factor: ordering and symbolic factorisation are one pass.
"""

from __future__ import annotations

import numpy as np

from .compiled import kernel

DENSE = 0.6  # share of pairs adjacent from which a dense factorisation is faster


@kernel("void(uint64[:, ::1], int64[::1], int32[::1])")
def connect_groups(adjacency, start, members):
    """Make each listed group of nodes a clique (its members meet in one eliminated level)."""
    words = adjacency.shape[1]
    row = np.zeros(words, np.uint64)
    one = np.uint64(1)
    for g in range(len(start) - 1):
        for w in range(words):
            row[w] = 0
        for e in range(start[g], start[g + 1]):
            row[members[e] >> 6] |= one << np.uint64(members[e] & 63)
        for e in range(start[g], start[g + 1]):
            v = members[e]
            for w in range(words):
                adjacency[v, w] |= row[w]


@kernel("int64(uint64)")
def _count(word):
    word = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    word = (word & np.uint64(0x3333333333333333)) + ((word >> np.uint64(2)) & np.uint64(0x3333333333333333))
    word = (word + (word >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((word * np.uint64(0x0101010101010101)) >> np.uint64(56))


@kernel("Tuple((int32[::1], int64[::1], int32[::1]))(uint64[:, ::1], float64)")
def minimum_degree(adjacency, dense):
    """Eliminate nodes of least degree until the rest is at least `dense` full.

    Returns the eliminated nodes in order, and the neighbours of each at its elimination (CSR start, nodes).
    Destroys `adjacency`.
    """
    n, words = adjacency.shape
    one = np.uint64(1)
    degree = np.zeros(n, np.int64)
    alive = np.ones(n, np.bool_)
    total = 0
    for v in range(n):
        adjacency[v, v >> 6] &= ~(one << np.uint64(v & 63))
        for w in range(words):
            degree[v] += _count(adjacency[v, w])
        total += degree[v]
    order = np.empty(n, np.int32)
    start = np.zeros(n + 1, np.int64)
    capacity = max(16, 2 * total)
    struct = np.empty(capacity, np.int32)
    left, done, used = n, 0, 0
    while left > 0 and total < dense * left * (left - 1):
        v = -1
        for u in range(n):
            if alive[u] and (v < 0 or degree[u] < degree[v]):
                v = u
        if used + degree[v] > capacity:
            capacity = 2 * (used + degree[v])
            larger = np.empty(capacity, np.int32)
            for e in range(used):
                larger[e] = struct[e]
            struct = larger
        alive[v] = False
        order[done] = v
        begin = used
        for w in range(words):
            bits = adjacency[v, w]
            while bits:
                low = bits & (~bits + one)
                struct[used] = (w << 6) + _count(low - one)
                used += 1
                bits ^= low
        total -= 2 * degree[v]
        for e in range(begin, used):
            u = struct[e]
            before = degree[u] - 1
            now = 0
            for w in range(words):
                adjacency[u, w] |= adjacency[v, w]
            adjacency[u, u >> 6] &= ~(one << np.uint64(u & 63))
            adjacency[u, v >> 6] &= ~(one << np.uint64(v & 63))
            for w in range(words):
                now += _count(adjacency[u, w])
            degree[u] = now
            total += now - before
        done += 1
        start[done] = used
        left -= 1
    return order[:done], start[: done + 1], struct[:used]
