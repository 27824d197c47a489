"""Index arithmetic of the elimination: borders, sparse columns, positions. Kernels over integers."""

from __future__ import annotations

import numpy as np

from .compiled import kernel


@kernel("void(int64[::1], int32[::1], float64[:, :, ::1], int64[::1], int32[::1], float64[:, ::1])")
def merge_borders(start, first, block, fill, col, T):
    """Append one trailing factor's meetings to the leading levels' borders.

    `first` is the first scalar of each met level; `fill` the next free place of every leading level (advanced).
    """
    k1, km = block.shape[1], block.shape[2]
    for level in range(len(start) - 1):
        place = fill[level]
        for e in range(start[level], start[level + 1]):
            for b in range(km):
                col[place] = first[e] + b
                for a in range(k1):
                    T[place, a] = block[e, a, b]
                place += 1
        fill[level] = place


@kernel("int64[::1](int32[::1])")
def ascending(values):
    """The order that sorts `values` (heap sort: NumPy's would take a second to compile)."""
    n = len(values)
    order = np.empty(n, np.int64)
    for i in range(n):
        order[i] = i
    start, end = n // 2, n
    while end > 1:
        if start > 0:
            start -= 1
        else:
            end -= 1
            order[0], order[end] = order[end], order[0]
        root = start
        while 2 * root + 1 < end:
            child = 2 * root + 1
            if child + 1 < end and values[order[child]] < values[order[child + 1]]:
                child += 1
            if values[order[root]] >= values[order[child]]:
                break
            order[root], order[child] = order[child], order[root]
            root = child
    return order


@kernel("void(int64[::1], int32[::1], float64[:, ::1])")
def sort_borders(at, col, T):
    """Sort every level's border by scalar."""
    for level in range(len(at) - 1):
        begin, end = at[level], at[level + 1]
        sorted_already = True
        for e in range(begin + 1, end):
            if col[e] < col[e - 1]:
                sorted_already = False
                break
        if sorted_already:
            continue
        order = ascending(col[begin:end])
        c, t = col[begin:end].copy(), T[begin:end].copy()
        for e in range(end - begin):
            col[begin + e] = c[order[e]]
            for a in range(T.shape[1]):
                T[begin + e, a] = t[order[e], a]


@kernel("Tuple((int64[::1], int32[::1]))(int32[::1], int64[::1], int32[::1], int32[::1], int32[::1], int64)")
def expand_columns(order, start, struct, scalar, node_k, ns):
    """Sparse columns of the factor, scalar by scalar, from the neighbours of the eliminated nodes."""
    colptr = np.zeros(ns + 1, np.int64)
    j = 0
    for v in range(len(order)):
        k = node_k[order[v]]
        below = 0
        for e in range(start[v], start[v + 1]):
            below += node_k[struct[e]]
        for a in range(k):
            colptr[j + 1] = colptr[j] + (k - a) + below
            j += 1
    rows = np.empty(colptr[ns], np.int32)
    for v in range(len(order)):
        node = order[v]
        k = node_k[node]
        count = start[v + 1] - start[v]
        firsts = np.empty(count, np.int32)
        for e in range(count):
            firsts[e] = scalar[struct[start[v] + e]]
        by = ascending(firsts)
        for a in range(k):
            place = colptr[scalar[node] + a]
            for b in range(a, k):
                rows[place] = scalar[node] + b
                place += 1
            for e in range(count):
                other = struct[start[v] + by[e]]
                for b in range(node_k[other]):
                    rows[place] = scalar[other] + b
                    place += 1
    return colptr, rows


@kernel("int64(int64, int64, int64[::1], int32[::1], int64, int64, int64)")
def position(row, column, colptr, rows, ns, nt, sbase):
    """Place of (row ≥ column) in the flat values; -1 when it is not in the pattern."""
    if column >= ns:
        return sbase + (row - ns) * nt + column - ns
    low, high = colptr[column], colptr[column + 1] - 1
    while low <= high:
        middle = (low + high) >> 1
        if rows[middle] < row:
            low = middle + 1
        elif rows[middle] > row:
            high = middle - 1
        else:
            return middle
    return -1


@kernel("int64[::1](int64[::1], int32[::1], int64[::1], int32[::1], int64, int64, int64)")
def pair_positions(at, col, colptr, rows, ns, nt, sbase):
    """Places of all pairs (s1 ≥ s2) of every leading level's border, in the kernels' order."""
    total = 0
    for level in range(len(at) - 1):
        w = at[level + 1] - at[level]
        total += w * (w + 1) // 2
    where = np.empty(total, np.int64)
    # a table of places while it fits the cache; a search of the column beyond
    tabled = (ns + nt) * ns <= 4_000_000
    table = np.empty((ns, ns + nt) if tabled else (1, 1), np.int32)
    if tabled:
        for j in range(ns):
            for e in range(colptr[j], colptr[j + 1]):
                table[j, rows[e]] = e
    pair = 0
    for level in range(len(at) - 1):
        for s1 in range(at[level], at[level + 1]):
            c1 = np.int64(col[s1])
            base = sbase + (c1 - ns) * nt - ns
            for s2 in range(at[level], s1 + 1):
                c2 = col[s2]
                if c2 >= ns:
                    where[pair] = base + c2
                elif tabled:
                    where[pair] = table[c2, c1]
                else:
                    where[pair] = position(c1, c2, colptr, rows, ns, nt, sbase)
                pair += 1
    return where


@kernel(
    "int64[::1](int64[::1], int32[::1], int32[::1], int32[::1], int64[::1], int32[::1], int64, int64, int64, int64)"
)
def block_positions(begin, high, low, width, colptr, rows, ns, nt, sbase, total):
    """Places of every scalar of the trailing blocks; -1 above the diagonal of a level's own block."""
    target = np.full(total, -1, np.int64)
    for e in range(len(begin)):
        r, c = high[e], low[e]
        for a in range(width[r]):
            for b in range(width[c]):
                if r != c or a >= b:
                    target[begin[e] + a * width[c] + b] = position(r + a, c + b, colptr, rows, ns, nt, sbase)
    return target


@kernel("void(float64[:, ::1])")
def mirror_triangle(a):
    """Copy the lower triangle to the upper one, tile by tile."""
    n, tile = a.shape[0], 32
    for i0 in range(0, n, tile):
        for j0 in range(0, i0 + 1, tile):
            for i in range(i0, min(i0 + tile, n)):
                for j in range(j0, min(j0 + tile, i)):
                    a[j, i] = a[i, j]


@kernel("void(float64[:, ::1], float64[:, ::1], boolean)")
def solve_triangle(lower, b, transposed):
    """L⁻¹ b, or L'⁻¹ b, in place; reads the lower triangle only."""
    n, m = b.shape
    if not transposed:
        for i in range(n):
            for t in range(i):
                v = lower[i, t]
                for s in range(m):
                    b[i, s] -= v * b[t, s]
            for s in range(m):
                b[i, s] /= lower[i, i]
        return
    for i in range(n - 1, -1, -1):
        for s in range(m):
            b[i, s] /= lower[i, i]
        for t in range(i):
            v = lower[i, t]
            for s in range(m):
                b[t, s] -= v * b[i, s]
