"""Tables in files: CSV, TSV, Parquet, Feather and Arrow, by their extension.

Parquet, Feather, Arrow and large text files are read column by column, as columns are used.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import FileError, listed, printable
from .csv_files import PACKED, read_csv, read_tsv
from .sources import Source


def file_source(location: str) -> Source:
    """The source of a file.

    Raises
    ------
    FileError
        If it does not exist, cannot be read, or has an extension that is not supported.
    """
    path = Path(location)
    if not os.path.exists(path):  # unlike Path.exists, also False for impossible names
        raise FileError(f'file "{printable(location, 200)}" does not exist', hint=_neighbours(path), path=location)
    if path.is_dir():
        raise FileError(f'"{printable(location, 200)}" is a directory', hint="Name one file", path=location)
    reader = _reader(path)
    with _guarded(path):
        return _unchanging(path, reader(path))


def _neighbours(path: Path) -> str:
    """Files of the same kind in the same folder."""
    try:
        names = sorted(p.name for p in path.parent.iterdir() if p.suffix == path.suffix != "")
    except OSError:
        return ""
    return f"There are: {listed(names)}" if names else ""


def _reader(path: Path) -> Callable[[Path], Source]:
    suffixes = [s.lower() for s in path.suffixes]
    plain = suffixes[:-1] if suffixes and suffixes[-1] in PACKED else suffixes
    reader = READERS.get(plain[-1] if plain else "")
    if reader is None:
        hint = f"Supported extensions: {', '.join(READERS)}"
        raise FileError(f'cannot tell the format of "{printable(path, 200)}"', hint=hint, path=str(path))
    return reader


@contextmanager
def _guarded(path: Path) -> Iterator[None]:
    """Whatever goes wrong while reading becomes a `FileError` in one sentence."""
    import pyarrow as pa

    try:
        yield
    except FileError:
        raise
    except (pa.ArrowException, OSError, ValueError, csv.Error) as error:
        reason = printable(str(error).splitlines()[0] if str(error) else type(error).__name__, 120)
        message = f'file "{printable(path, 200)}" cannot be read as {path.suffix} ({reason})'
        raise FileError(message, path=str(path)) from None


def _unchanging(path: Path, source: Source) -> Source:
    """A source that notices when its file is replaced between two reads."""
    before = _version(path)

    def read(positions: Sequence[int]) -> list[Any]:
        with _guarded(path):
            columns = source.read(positions)
            if _version(path) != before:
                raise FileError(f'file "{printable(path, 200)}" changed while it was being read', path=str(path))
        return columns

    return Source(source.names, source.native, read, source.n_rows)


def _version(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def read_parquet(path: Path) -> Source:
    """Parquet: only the columns used are decoded."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        names, n_rows = tuple(file.schema_arrow.names), file.metadata.num_rows

    def read(positions: Sequence[int]) -> list[Any]:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[names[i] for i in positions])
        return [table.column(names[i]) for i in positions]

    return Source(names, "pandas", read, n_rows)


def read_ipc(path: Path) -> Source:
    """Feather and Arrow files, mapped into memory; a file in the stream format is read whole."""
    import pyarrow as pa
    from pyarrow import ipc

    from .sources import from_arrow

    try:
        with pa.memory_map(str(path)) as mapped, ipc.open_file(mapped) as reader:
            names = tuple(reader.schema.names)
    except pa.ArrowInvalid:
        with pa.memory_map(str(path)) as mapped, ipc.open_stream(mapped) as reader:
            return from_arrow(reader.read_all(), native="pandas")

    def read(positions: Sequence[int]) -> list[Any]:
        options = ipc.IpcReadOptions(included_fields=sorted(positions))
        # the arrays keep the mapping alive; closing it here would pull the memory from under them
        table = ipc.open_file(pa.memory_map(str(path)), options=options).read_all()
        place = {i: k for k, i in enumerate(sorted(positions))}
        return [table.column(place[i]) for i in positions]

    return Source(names, "pandas", read)


READERS: dict[str, Callable[[Path], Source]] = {
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".tab": read_tsv,
    ".txt": read_tsv,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".feather": read_ipc,
    ".arrow": read_ipc,
    ".ipc": read_ipc,
}
