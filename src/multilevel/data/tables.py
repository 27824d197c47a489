"""Any table as named columns: numbers, or codes with levels.

The contract (the rest of the package sees tables only through it):

    table = as_table(data)          pandas, polars, Arrow, dict of arrays, list of dicts, a path, duckdb:FILE#TABLE
    table.names, table.n_rows, table.native
    table.kind(name)                "numeric" | "boolean" | "text" | "category" | "datetime" | "complex" | "other"
    table.numbers(name)             float64, NaN where missing; infinity stays infinity
    table.missing(name)             boolean mask, or None when nothing is missing
    table.factor(name)              Factor(codes, levels, ordered): int32 codes, -1 where missing
    table.fetch(names)              optional: read these columns at once, when they come from a file or a database

Columns are converted when they are asked for, and may be views of the caller's data: do not write to them.
A column of kind "datetime", "complex" or "other" is refused by `numbers`, with the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..errors import DataError, DuplicateColumnError, UnknownColumnError, listed, nearest, printable
from .columns import Column
from .convert import column_of
from .factors import Factor, matched
from .sources import Source, source_of


class Table:
    """Named columns of one length; made by `as_table`.

    Attributes
    ----------
    names : tuple of str
        Column names in the order of the data.
    native : str
        What output frames are made of: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    """

    __slots__ = ("_columns", "_factors", "_n_rows", "_place", "_source", "names", "native")

    def __init__(self, source: Source) -> None:
        self.names = source.names
        self.native = source.native
        self._source = source
        self._n_rows = source.n_rows
        self._place = {name: i for i, name in enumerate(source.names)}
        self._columns: dict[str, Column] = {}  # caches; this table is their only owner
        self._factors: dict[str, Factor] = {}

    @property
    def n_rows(self) -> int:
        if self._n_rows is None:
            self._read([0])
        return self._n_rows or 0

    def __contains__(self, name: str) -> bool:
        return name in self._place

    def __repr__(self) -> str:
        return f"Table({self.n_rows} rows: {listed(self.names, 6)})"

    def kind(self, name: str) -> str:
        return self._column(name).kind

    def numbers(self, name: str) -> np.ndarray:
        """The column as float64, NaN where missing.

        Raises
        ------
        DtypeError
            For text, categories, dates, complex numbers and mixtures (E_MIXED_TYPES when single cells are at fault).
        UnknownColumnError, DuplicateColumnError
            As for every other question about a column.
        """
        return self._column(name).numbers(name)

    def missing(self, name: str) -> np.ndarray | None:
        """Where the column is missing (NULL, NaN, None, NA, NaT), or None when it is nowhere."""
        return self._column(name).missing()

    def factor(self, name: str) -> Factor:
        """The column as codes and levels."""
        if name not in self._factors:
            self._factors[name] = self._column(name).factor(name)
        return self._factors[name]

    def fetch(self, names: Iterable[str]) -> None:
        """Read several columns together; without it each is read when it is first used."""
        wanted = [self._position(name) for name in dict.fromkeys(names) if name not in self._columns]
        if wanted:
            self._read(wanted)

    def _column(self, name: str) -> Column:
        column = self._columns.get(name)
        if column is None:
            self._read([self._position(name)])
            column = self._columns[name]
        return column

    def _read(self, positions: Sequence[int]) -> None:
        for i, values in zip(positions, self._source.read(positions), strict=True):
            column = column_of(values)
            if self._n_rows is None:
                self._n_rows = column.n
            if column.n != self._n_rows:
                changed = f'column "{printable(self.names[i])}" has {column.n} rows, others have {self._n_rows}'
                raise DataError(changed, hint="The data changed while it was being read", code="E_LENGTH")
            self._columns[self.names[i]] = column

    def _position(self, name: str) -> int:
        if name not in self._place:
            raise self._unknown(name)
        # the dict kept the last of several equal names; a name nobody uses may well be repeated
        if len(self._place) < len(self.names) and (count := self.names.count(name)) > 1:
            message = f'column "{printable(name)}" occurs {count} times in the data'
            hint = "Rename the columns so that each name is used once"
            raise DuplicateColumnError(message, hint=hint, column=name, count=count)
        return self._place[name]

    def _unknown(self, name: str) -> UnknownColumnError:
        if not self.names:
            return UnknownColumnError(f'unknown column "{printable(name)}": the table has no columns', column=name)
        hint = nearest(name, self.names) or f"available: {listed(self.names, 8)}"
        return UnknownColumnError(f'unknown column "{printable(name)}"', hint=hint, column=name)


def as_table(data: Any) -> Table:
    """The table of any supported container.

    Parameters
    ----------
    data :
        A pandas or polars frame (eager or lazy), Arrow table or record batch, dict of arrays or lists, list of dicts,
        structured array, path to CSV, TSV, Parquet, Feather or Arrow, ``duckdb:FILE#TABLE``, DuckDB relation,
        Ibis expression, or any object with the Arrow stream interface.

    Raises
    ------
    TypeError
        If the container is not supported.
    FileError, BackendError
        If the file or the database cannot be read.

    Examples
    --------
    >>> table = as_table({"x": [1, 2, None], "g": ["b", "a", "b"]})
    >>> table.numbers("x")
    array([ 1.,  2., nan])
    >>> table.factor("g").levels
    ('a', 'b')
    """
    return data if isinstance(data, Table) else Table(source_of(data))


def codes_for(table: Table, name: str, levels: Sequence[str]) -> np.ndarray:
    """Codes of a column of new data among the levels of the old, for prediction.

    Returns
    -------
    int32 array
        Position in `levels`; -1 where missing, -2 where the level is new. 308, 308.0 and '308' are one level.
    """
    return matched(table.factor(name), levels)
