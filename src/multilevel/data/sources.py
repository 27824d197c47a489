"""Containers of columns: what a table must be told about each, and nothing more.

A `Source` names its columns and reads those at given positions. In-memory containers read for free;
files and databases read on demand.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DataError, printable

SUPPORTED = (
    "pandas and polars data frames, Arrow tables, a dict of arrays or lists, a list of dicts, the path of a CSV, TSV, "
    "Parquet, Feather or Arrow file, 'duckdb:FILE#TABLE', DuckDB relations and Ibis expressions"
)


@dataclass(frozen=True)
class Source:
    """A container of columns.

    Parameters
    ----------
    names : tuple of str
        Column names, duplicates included.
    native : str
        What output frames are made of: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    read : callable
        Positions → raw values of those columns, in any form that `column_of` takes.
    n_rows : int, optional
        None if it is known only after a column is read.
    """

    names: tuple[str, ...]
    native: str
    read: Callable[[Sequence[int]], list[Any]]
    n_rows: int | None = None


def source_of(data: Any) -> Source:
    """The source of any supported container.

    Raises
    ------
    TypeError
        If the container is not supported; the message lists those that are.
    """
    for base in type(data).__mro__:
        make = CONTAINERS.get((base.__module__.partition(".")[0], base.__name__))
        if make is not None:
            return make(data)
    if isinstance(data, (str, os.PathLike)):
        return _from_location(os.fspath(data))
    if isinstance(data, Mapping):
        return from_mapping(data)
    if isinstance(data, (list, tuple)) and all(isinstance(row, Mapping) for row in data):
        return _from_records(data)
    return _from_exchange(data)


def _from_pandas(frame: Any) -> Source:
    keys = list(frame.columns)
    # by label is twice as fast as by position, but a repeated label selects a frame
    by_label = frame.columns.is_unique and frame.columns.nlevels == 1
    read = (lambda at: [frame[keys[i]] for i in at]) if by_label else (lambda at: [frame.iloc[:, i] for i in at])
    return Source(tuple(map(str, keys)), "pandas", read, len(frame))


def _from_polars(frame: Any) -> Source:
    columns = frame.get_columns()
    return Source(tuple(frame.columns), "polars", lambda at: [columns[i] for i in at], frame.height)


def _from_lazy(frame: Any) -> Source:
    # once, and whole: two collections of one lazy frame need not have the same order of rows
    return _from_polars(frame.collect())


def from_arrow(table: Any, native: str = "arrow") -> Source:
    """An Arrow table or record batch."""
    names = tuple(table.schema.names)
    return Source(names, native, lambda at: [table.column(i) for i in at], table.num_rows)


def _from_reader(reader: Any) -> Source:
    return from_arrow(reader.read_all())


def _from_relation(relation: Any) -> Source:
    return from_arrow(relation.to_arrow_table(), native="pandas")


def from_mapping(data: Mapping[Any, Any], native: str = "pandas") -> Source:
    """A dict of arrays or lists, all of one length."""
    columns = list(data.values())
    names = tuple(map(str, data))
    lengths = {name: _length(name, values) for name, values in zip(names, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        first, other = next((a, b) for a in lengths for b in lengths if lengths[a] != lengths[b])
        pair = f'column "{printable(first)}" has {lengths[first]} rows, "{printable(other)}" has {lengths[other]}'
        raise DataError(pair, hint="All columns need the same number of rows", code="E_LENGTH")
    return Source(names, native, lambda at: [columns[i] for i in at], next(iter(lengths.values()), 0))


def _length(name: str, values: Any) -> int:
    if not isinstance(values, (str, bytes)):
        try:
            return len(values)
        except TypeError:
            pass
    what = type(values).__name__
    raise DataError(f'column "{printable(name)}" is a single {what}', hint="A column is an array or a list",
                    code="E_LENGTH", column=name)  # fmt: skip


def _from_records(rows: Sequence[Mapping[Any, Any]]) -> Source:
    """A list of dicts; a key that a row lacks is missing there."""
    keys = list(dict.fromkeys(key for row in rows for key in row))

    def read(at: Sequence[int]) -> list[Any]:
        return [[row.get(keys[i]) for row in rows] for i in at]

    return Source(tuple(map(str, keys)), "pandas", read, len(rows))


def _from_array(array: np.ndarray) -> Source:
    """A structured array; a plain matrix has no names."""
    names = array.dtype.names
    if names is None:
        raise _unsupported(array)
    return from_mapping({name: array[name] for name in names})


def _from_location(text: str) -> Source:
    """A path, or a table of a database."""
    if text.startswith("duckdb:"):
        from .databases import duckdb_source

        return duckdb_source(text.removeprefix("duckdb:"))
    from .files import file_source

    return file_source(text)


def _from_exchange(data: Any) -> Source:
    """Anything that hands itself over as Arrow: Ibis expressions and other data frame libraries."""
    if hasattr(data, "to_pyarrow"):
        return from_arrow(data.to_pyarrow())
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__"):
        import pyarrow as pa

        try:
            return from_arrow(pa.table(data))
        except (TypeError, ValueError):  # a stream of one column is no table
            pass
    raise _unsupported(data)


def _unsupported(data: Any) -> TypeError:
    kind = type(data)
    return TypeError(f"data of type {kind.__module__}.{kind.__qualname__} is not supported. Supported: {SUPPORTED}")


CONTAINERS: dict[tuple[str, str], Callable[[Any], Source]] = {
    ("pandas", "DataFrame"): _from_pandas,
    ("polars", "DataFrame"): _from_polars,
    ("polars", "LazyFrame"): _from_lazy,
    ("pyarrow", "Table"): from_arrow,
    ("pyarrow", "RecordBatch"): from_arrow,
    ("pyarrow", "RecordBatchReader"): _from_reader,
    ("duckdb", "DuckDBPyRelation"): _from_relation,
    ("_duckdb", "DuckDBPyRelation"): _from_relation,
    ("numpy", "ndarray"): _from_array,
}
