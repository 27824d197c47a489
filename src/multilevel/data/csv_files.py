"""Text files: one header line, UTF-8 (with or without a byte order mark), `,` or tab between cells.

An empty cell and ``NA`` are missing and nothing else is: "None" or "null" is somebody's text.
A column's type is what all its cells agree on: one cell of text makes a column of text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import FileError, printable
from .sources import Source

NULLS = ["", "NA"]
SMALL = 1 << 25  # bytes: below, the whole file is converted at once, since parsing it again costs more
EXACT = 2.0**53  # float64 holds all integers up to here
PACKED = (".gz", ".bz2", ".zst")


def read_csv(path: Path) -> Source:
    return _text_source(path, ",")


def read_tsv(path: Path) -> Source:
    return _text_source(path, "\t")


def _text_source(path: Path, delimiter: str) -> Source:
    names = _header(path, delimiter)
    if not names:
        raise FileError(f'file "{printable(path, 200)}" is empty', hint="It needs a header line", path=str(path))
    read = _reader(path, delimiter, len(names))
    small = path.stat().st_size <= SMALL and path.suffix.lower() not in PACKED
    return Source(names, "pandas", at_once(read, len(names)) if small else read)


def _header(path: Path, delimiter: str) -> tuple[str, ...]:
    import pyarrow as pa

    with pa.input_stream(str(path), compression="detect") as stream:
        try:
            line = next(csv.reader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""), delimiter=delimiter), [])
        except UnicodeDecodeError:
            raise _not_utf8(path) from None
    return tuple(line)


def _not_utf8(path: Path) -> FileError:
    return FileError(f'file "{printable(path, 200)}" is not UTF-8', hint="Save it again as UTF-8", path=str(path))


def at_once(read: Callable[[Sequence[int]], list[Any]], width: int) -> Callable[[Sequence[int]], list[Any]]:
    """A reader that fetches every column on first use, and afterwards answers from memory."""
    kept: list[Any] = []

    def from_memory(positions: Sequence[int]) -> list[Any]:
        if not kept:
            kept.extend(read(range(width)))
        return [kept[i] for i in positions]

    return from_memory


def _reader(path: Path, delimiter: str, width: int) -> Callable[[Sequence[int]], list[Any]]:
    def read(positions: Sequence[int]) -> list[Any]:
        table = _parse(path, delimiter, width, positions)
        columns = [table.column(k) for k in range(len(positions))]
        return [
            _integers(path, delimiter, width, i, c) if _overflowed(c) else c
            for i, c in zip(positions, columns, strict=True)
        ]

    return read


def _parse(path: Path, delimiter: str, width: int, positions: Sequence[int], text: bool = False) -> Any:
    """The columns at `positions`, named by position: names may be repeated, and Arrow selects by name."""
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    ragged: list[Any] = []
    names = [str(i) for i in range(width)]
    wanted = [str(i) for i in positions]

    def note(row: Any) -> str:
        ragged.append(row)
        return "skip"

    table = arrow_csv.read_csv(
        str(path),
        read_options=arrow_csv.ReadOptions(column_names=names, skip_rows_after_names=1),
        parse_options=arrow_csv.ParseOptions(
            delimiter=delimiter,
            newlines_in_values=True,
            ignore_empty_lines=width > 1,  # with a single column an empty line is a missing value
            invalid_row_handler=note,
        ),
        convert_options=arrow_csv.ConvertOptions(
            include_columns=wanted,
            null_values=NULLS,
            strings_can_be_null=True,
            column_types=dict.fromkeys(wanted, pa.string()) if text else None,
        ),
    )
    if ragged:
        raise _ragged(path, ragged, width)
    if any(pa.types.is_binary(field.type) for field in table.schema):  # what text becomes that is not UTF-8
        raise _not_utf8(path)
    return table


def _ragged(path: Path, rows: list[Any], width: int) -> FileError:
    start, cells = printable(rows[0].text), rows[0].actual_columns
    message = f'file "{printable(path, 120)}": {len(rows)} row(s) do not fit its header of {width} names'
    return FileError(message, hint=f'"{start}" has {cells} cells', path=str(path))


def _overflowed(column: Any) -> bool:
    """Whether a column of floats may be integers too large for int64: long identifiers, which must stay distinct."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type) or column.null_count == len(column):
        return False
    return (pc.max(pc.abs(column)).as_py() or 0) > EXACT


def _integers(path: Path, delimiter: str, width: int, position: int, floats: Any) -> Any:
    """The column as Python integers if every cell is written as one; otherwise the floats."""
    cells = _parse(path, delimiter, width, [position], text=True).column(0).to_pylist()
    try:
        return [None if cell is None else int(cell) for cell in cells]
    except ValueError:
        return floats
