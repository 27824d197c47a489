"""A grouping column as codes and levels.

    codes  int32, one a row: the position of its level; -1 where the value is missing
    levels text labels in order: of the categories if the column has them, otherwise of the sorted values

A label is the value's text in one spelling (`308`, whether the column was read as integers, as floats
because a value is missing, or as text), so that new data meets the old levels by label.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

MISSING, UNSEEN = -1, -2
BLOCK = 1 << 16  # rows coded at a time: the block and the lookup stay in the processor's cache
FEW = 5000  # below this, sorting is cheaper than building an Arrow hash table


@dataclass(frozen=True, eq=False)
class Factor:
    """A column of levels.

    Parameters
    ----------
    codes : int32 array
        Level of each row, 0 … L-1; -1 where missing.
    levels : tuple of str
        Distinct labels, in order; categories that do not occur are kept.
    ordered : bool
        Whether the order of the levels has a meaning.
    values : sequence
        The raw values that the labels stand for.
    """

    codes: np.ndarray
    levels: tuple[str, ...]
    ordered: bool = False
    values: Sequence[Any] | np.ndarray = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """The levels as text: another name for `levels`."""
        return self.levels

    @property
    def n_levels(self) -> int:
        return len(self.levels)


def label(value: Any) -> str:
    """The text of one level: ``308`` for 308, 308.0 and '308'; ISO dates without an empty time of day."""
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, datetime.datetime):
        midnight = value.time() == datetime.time() and value.tzinfo is None
        return value.date().isoformat() if midnight else value.isoformat()
    return _whole(value) or str(value)


def _whole(value: Any) -> str:
    """The text of a whole number that is stored as one with a fraction (float, Decimal), or nothing."""
    try:
        # 1e300 is whole as well, but its 301 digits are no label
        return str(int(value)) if value == int(value) and abs(value) < 2**63 and not isinstance(value, bool) else ""
    except (TypeError, ValueError, OverflowError):
        return ""


def labels_of(values: np.ndarray) -> tuple[str, ...]:
    """Labels of distinct numbers or times, all at once."""
    if values.dtype.kind in "Mm":
        return _time_labels(values)
    if values.dtype.kind == "f":
        return tuple(map(label, values))  # not tolist(): float32's own shortest text is "0.1"
    return tuple(map(str, values.tolist()))


def _time_labels(values: np.ndarray) -> tuple[str, ...]:
    """ISO text in the coarsest unit that loses nothing."""
    if values.dtype.kind == "m":
        return tuple(map(str, values))
    for unit in ("D", "s", "us"):
        coarse = values.astype(f"M8[{unit}]")
        if np.array_equal(coarse, values):
            return tuple(np.datetime_as_string(coarse).tolist())
    return tuple(np.datetime_as_string(values).tolist())


def factor_of(values: np.ndarray, missing: np.ndarray | None) -> Factor:
    """The factor of an array of numbers, booleans or times; its levels are the sorted distinct values."""
    if missing is None:
        codes, distinct = code(values)
    else:
        present = ~missing
        codes = np.full(len(values), MISSING, dtype=np.int32)
        codes[present], distinct = code(values[present])
    return Factor(codes, labels_of(distinct), False, distinct)


def code(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and sorted distinct values of an array without missing values."""
    kind = values.dtype.kind
    if kind == "b":
        codes, distinct = code(values.view(np.uint8))
        return codes, distinct.astype(bool)
    if kind in "Mm":
        codes, distinct = code(values.view(np.int64))
        return codes, distinct.view(values.dtype)
    if kind == "f":
        return _code_floats(values)
    return _code_integers(values)


def _code_floats(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers take the integers' way; -0.0 is the level 0."""
    if len(values) and float(np.abs(values).max()) < 2**53:  # float: 2**53 overflows float16
        integers = values.astype(np.int64)
        if np.array_equal(integers, values):
            return _code_integers(integers)
    return _code_by_hash(values + values.dtype.type(0))


def _code_integers(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """By a table of the values present when their range is small, otherwise by hashing."""
    if len(values) == 0:
        return np.empty(0, dtype=np.int32), values
    low, high = values.min(), values.max()
    span = int(high) - int(low)
    return _code_by_table(values, low, span) if span < 4 * len(values) + 1000 else _code_by_hash(values)


def _code_by_table(values: np.ndarray, low: np.integer[Any], span: int) -> tuple[np.ndarray, np.ndarray]:
    """Mark the values that occur, number the marks, look the numbers up: no sort, and only small temporaries."""
    blocks = [slice(i, i + BLOCK) for i in range(0, len(values), BLOCK)]
    seen = np.zeros(span + 1, dtype=bool)
    for block in blocks:
        seen[_shifted(values[block], low)] = True
    number = np.cumsum(seen, dtype=np.int32) - np.int32(1)
    codes = np.empty(len(values), dtype=np.int32)
    for block in blocks:
        # "clip" skips the bounds check: every index was in range a moment ago
        np.take(number, _shifted(values[block], low), out=codes[block], mode="clip")
    present = np.flatnonzero(seen)
    return codes, present.astype(values.dtype) + low if values.dtype.itemsize == 8 else present + int(low)


def _shifted(values: np.ndarray, low: np.integer[Any]) -> np.ndarray:
    """Values minus the lowest; narrow types are widened first, since 100 - (-100) overflows int8."""
    if values.dtype.itemsize == 8:
        return (values - low).astype(np.intp, copy=False)
    return values.astype(np.intp) - int(low)


def _code_by_hash(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Arrow's hash table for many rows; sorting for few, and for types that Arrow does not know."""
    if len(values) < FEW or values.dtype.itemsize > 8:
        distinct, codes = np.unique(values, return_inverse=True)
        return codes.astype(np.int32), distinct
    import pyarrow as pa

    encoded = pa.array(values).dictionary_encode()
    distinct = encoded.dictionary.to_numpy(zero_copy_only=False)
    order = np.argsort(distinct)
    return ranks(order)[encoded.indices.to_numpy()], distinct[order]


def ranks(order: np.ndarray) -> np.ndarray:
    """The inverse of a permutation, as codes."""
    rank = np.empty(len(order), dtype=np.int32)
    rank[order] = np.arange(len(order), dtype=np.int32)
    return rank


def merged(codes: np.ndarray, values: Sequence[Any], ordered: bool = False) -> Factor:
    """The factor of given categories, in their order; categories of one label (1 and '1') become one level.

    A category that is None stands for missing.
    """
    kinds = set(map(type, values))
    plain = kinds <= {str} or kinds <= {int}  # as it mostly is, and quick for 100,000 of them
    if plain and len(set(values)) == len(values):
        return Factor(codes, tuple(map(str, values)), ordered, values)
    labels = [None if v is None else label(v) for v in values]
    if len(set(labels)) == len(labels) and None not in labels:
        return Factor(codes, tuple(map(str, labels)), ordered, values)
    first: dict[str, Any] = {}
    for text, value in zip(labels, values, strict=True):
        if text is not None:
            first.setdefault(text, value)
    place = positions(first)
    renumbered = np.array([MISSING if t is None else place[t] for t in labels] + [MISSING], dtype=np.int32)
    return Factor(renumbered[codes], tuple(first), ordered, tuple(first.values()))  # code -1 reads the last entry


def positions(levels: Iterable[str]) -> dict[str, int]:
    """Label → position."""
    return {text: i for i, text in enumerate(levels)}


def matched(factor: Factor, levels: Sequence[str]) -> np.ndarray:
    """Codes of a factor's rows among other `levels`: -1 where missing, -2 where the label is not among them."""
    place = positions(levels)
    found = [place.get(text, UNSEEN) for text in factor.levels]
    return np.array([*found, MISSING], dtype=np.int32)[factor.codes]
