"""Columns of text, and columns of Python objects whose content is known only after a look at the types.

An object column is judged by the set of types in it: `{int, NoneType}` is numeric, `{str, float}` is text
when the floats are all NaN (which is how older data frames mark missing text) and mixed otherwise.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import repeat
from typing import Any

import numpy as np

from ..errors import DtypeError, printable
from .columns import conversion, level_refusal, refusal, some, time_refusal
from .factors import FEW, MISSING, Factor, label, merged, ranks

SAMPLE = 10_000  # cells read to judge whether a text column means numbers
TIMES = (datetime.date, datetime.time, datetime.timedelta, np.datetime64, np.timedelta64)
ROLES: tuple[tuple[tuple[type, ...], str], ...] = (
    ((type(None),), "missing"),
    ((bool, np.bool_), "boolean"),
    (TIMES, "datetime"),  # before the numbers: NumPy's timedelta64 is an integer type
    ((numbers.Real, decimal.Decimal), "number"),
    ((numbers.Complex,), "complex"),
    ((str,), "text"),
)
KINDS = {
    frozenset(): "numeric",
    frozenset({"number"}): "numeric",
    frozenset({"number", "boolean"}): "numeric",
    frozenset({"boolean"}): "boolean",
    frozenset({"text"}): "text",
    frozenset({"datetime"}): "datetime",
    frozenset({"complex"}): "complex",
    frozenset({"complex", "number"}): "complex",
}


@cache
def role(kind: Any) -> str:
    """What values of a type stand for."""
    if kind.__module__.startswith("pandas"):  # recognised by name: pandas need not be imported
        return {"NAType": "missing", "NaTType": "missing", "Timestamp": "datetime", "Timedelta": "datetime",
                "Period": "datetime"}.get(kind.__name__, "other")  # fmt: skip
    return next((meaning for types, meaning in ROLES if issubclass(kind, types)), "other")


def is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except ArithmeticError:  # a signalling Decimal
        return True


@dataclass(frozen=True, eq=False)
class ObjectColumn:
    """Python objects, one a row."""

    cells: list[Any]

    @property
    def n(self) -> int:
        return len(self.cells)

    @cached_property
    def _mask(self) -> np.ndarray | None:
        types = set(map(type, self.cells))
        absent = {t for t in types if role(t) == "missing"}
        doubtful = {t for t in types if role(t) in ("number", "complex", "datetime")}
        if not absent and not doubtful:
            return None
        marks = (type(v) in absent or (type(v) in doubtful and is_nan(v)) for v in self.cells)
        return some(np.fromiter(marks, dtype=bool, count=self.n))

    @cached_property
    def _present(self) -> list[Any]:
        """The cells without the missing ones."""
        return self.cells if self._mask is None else [v for v, m in zip(self.cells, self._mask, strict=True) if not m]

    @cached_property
    def _roles(self) -> frozenset[str]:
        kinds: set[Any] = set(map(type, self._present))
        return frozenset(map(role, kinds))

    @property
    def kind(self) -> str:
        return KINDS.get(self._roles, "other")

    def numbers(self, name: str) -> np.ndarray:
        if self.kind not in ("numeric", "boolean"):
            raise self._refusal(name)
        try:
            present = np.array(list(map(float, self._present)), dtype=np.float64)
        except OverflowError:
            raise refusal(name, "integers beyond the range of float64", "Rescale them") from None
        if self._mask is None:
            return present
        out = np.full(self.n, np.nan)
        out[~self._mask] = present
        return out

    def _refusal(self, name: str) -> DtypeError:
        if self.kind == "text":
            return text_refusal(name, self._blanked())
        if {"text", "number"} <= self._roles or {"text", "boolean"} <= self._roles:
            types: Iterator[Any] = map(type, self.cells)
            row = next(i for i, t in enumerate(types) if role(t) == "text")
            return mixed(name, self.cells[row], row, f'column "{printable(name)}" mixes numbers and text: ')
        if self.kind == "datetime":
            return time_refusal(name, self._types())
        return refusal(name, f"{self.kind} values" if self.kind == "complex" else f"{self._types()} objects")

    def _types(self) -> str:
        return ", ".join(sorted({type(v).__name__ for v in self._present}))

    def missing(self) -> np.ndarray | None:
        return self._mask

    def _blanked(self) -> list[Any]:
        """The cells with None for everything missing."""
        if self._mask is None:
            return self.cells
        return [None if m else v for v, m in zip(self.cells, self._mask, strict=True)]

    def factor(self, name: str) -> Factor:
        if self.kind == "text" and self.n > FEW and (text := _in_arrow(self._blanked())):
            return text.factor(name)
        try:
            distinct = list(set(self._present))
        except TypeError:
            raise level_refusal(name, f"{self._types()} objects") from None
        ordered = in_order(distinct)
        place = {value: i for i, value in enumerate(ordered)}
        cells = map(place.get, self._blanked(), repeat(MISSING))
        return merged(np.fromiter(cells, dtype=np.int32, count=self.n), ordered)


def in_order(values: list[Any]) -> list[Any]:
    """Sorted by value; values that do not compare (numbers beside text) by label."""
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=label)


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Text in Arrow memory (a chunked array of strings)."""

    values: Any

    kind = "text"

    @property
    def n(self) -> int:
        return len(self.values)

    def numbers(self, name: str) -> np.ndarray:
        raise text_refusal(name, self.values.to_pylist())

    def missing(self) -> np.ndarray | None:
        return self.values.is_null().to_numpy() if self.values.null_count else None

    def factor(self, name: str) -> Factor:
        if self.n < FEW:  # a dict costs less than setting up Arrow's table
            return ObjectColumn(self.values.to_pylist()).factor(name)
        codes, values = dictionary(self.values.dictionary_encode())
        order = np.array(sorted(range(len(values)), key=values.__getitem__), dtype=np.intp)
        levels = [values[i] for i in order]
        rank = np.append(ranks(order), np.int32(MISSING))  # code -1 reads the last entry
        return Factor(rank[codes], tuple(levels), False, levels)


def _in_arrow(cells: list[str | None]) -> TextColumn | None:
    """Text as Arrow has it, whose hash table is several times faster than a dict; None for text it cannot hold."""
    import pyarrow as pa

    try:
        return TextColumn(pa.chunked_array([pa.array(cells, type=pa.large_string())]))
    except UnicodeEncodeError:  # lone surrogates
        return None


def dictionary(encoded: Any) -> tuple[np.ndarray, list[Any]]:
    """Codes (-1 where missing) and values of an Arrow dictionary array, one dictionary for all chunks."""
    chunks = encoded.unify_dictionaries().chunks
    if not chunks:
        return np.empty(0, dtype=np.int32), []
    codes = [(c.indices.fill_null(MISSING) if c.indices.null_count else c.indices).to_numpy()
             for c in (_signed(c) for c in chunks)]  # fmt: skip
    joined = codes[0] if len(codes) == 1 else np.concatenate(codes)
    return joined.astype(np.int32, copy=False), chunks[0].dictionary.to_pylist()


def _signed(chunk: Any) -> Any:
    """Unsigned indices cannot hold -1."""
    import pyarrow as pa

    if pa.types.is_signed_integer(chunk.type.index_type):
        return chunk
    return pa.DictionaryArray.from_arrays(chunk.indices.cast(pa.int64()), chunk.dictionary)


def text_refusal(name: str, cells: Sequence[str | None]) -> DtypeError:
    """Plain text, numbers stored as text, or numbers spoilt by a few cells: each has its own remedy."""
    sample = [v for v in cells[:SAMPLE] if v is not None]
    readable = sum(map(is_number, sample))
    if 2 * readable <= len(sample):
        return refusal(name, "text (str)", conversion(name))
    row = next((i for i, v in enumerate(cells) if v is not None and not is_number(v)), None)
    if row is None:
        return refusal(name, "numbers stored as text (str)", conversion(name))
    return mixed(name, str(cells[row]), row, f'column "{printable(name)}" is text because of ')


def mixed(name: str, value: str, row: int, beginning: str) -> DtypeError:
    hint = "Correct that cell, or make it missing"
    return DtypeError(f'{beginning}"{printable(value)}" in row {row}', hint=hint, code="E_MIXED_TYPES", column=name,
                      row=row, value=value)  # fmt: skip


def is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
