"""Many arrays as two, one of whole and one of real numbers: what a compiled density is handed.

Kernels that call each other with dozens of arrays take long to compile, and to call. Here a field is a number k, and
`at[4k : 4k + 4]` says where it begins and how long it is along up to three dimensions; `line`, `table` and `stack` are
views of real fields, `places` and `place_table` of whole ones.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .compiled import kernel

HEAD = 4
INSIDE = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True}  # kernels that only kernels call


def pack(fields: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Whole and real numbers of all fields, with the head that says where each is."""
    heads = np.ones((len(fields), HEAD), np.int64)
    ends = {True: HEAD * len(fields), False: 0}
    parts: dict[bool, list[np.ndarray]] = {True: [], False: [np.zeros(0)]}
    for head, field in zip(heads, fields, strict=True):
        whole = field.dtype.kind in "iu"
        head[0], head[1 : 1 + field.ndim] = ends[whole], field.shape
        parts[whole].append(np.ravel(field).astype(np.int64 if whole else np.float64))
        ends[whole] += field.size
    return np.concatenate([heads.ravel(), *parts[True]]), np.concatenate(parts[False])


def view(at: np.ndarray, reals: np.ndarray, k: int) -> np.ndarray:
    """The real field k, flat."""
    begin, *shape = at[HEAD * k : HEAD * k + HEAD]
    return reals[begin : begin + int(np.prod(shape))]


I8, V = "int64[::1]", "float64[::1]"


@kernel(f"{V}({V}, {I8}, int64)", **INSIDE)
def line(reals, at, k):
    """A field of one dimension."""
    begin = at[4 * k]
    return reals[begin : begin + at[4 * k + 1]]


@kernel(f"float64[:, ::1]({V}, {I8}, int64)", **INSIDE)
def table(reals, at, k):
    """A field of two dimensions."""
    begin, n, m = at[4 * k], at[4 * k + 1], at[4 * k + 2]
    return reals[begin : begin + n * m].reshape(n, m)


@kernel(f"float64[:, :, ::1]({V}, {I8}, int64)", **INSIDE)
def stack(reals, at, k):
    """A field of three dimensions."""
    begin, n, m, o = at[4 * k], at[4 * k + 1], at[4 * k + 2], at[4 * k + 3]
    return reals[begin : begin + n * m * o].reshape(n, m, o)


@kernel(f"{I8}({I8}, int64)", **INSIDE)
def places(at, k):
    """Whole numbers in one dimension."""
    begin = at[4 * k]
    return at[begin : begin + at[4 * k + 1]]


@kernel(f"int64[:, ::1]({I8}, int64)", **INSIDE)
def place_table(at, k):
    """Whole numbers in two dimensions."""
    begin, n, m = at[4 * k], at[4 * k + 1], at[4 * k + 2]
    return at[begin : begin + n * m].reshape(n, m)
