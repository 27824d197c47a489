"""Tables in a DuckDB file: ``duckdb:FILE#TABLE``, opened read-only.

Only SELECT is ever sent, and every identifier is quoted: a table's name is a name, not a piece of SQL.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import BackendError, listed, nearest, printable
from .csv_files import at_once
from .sources import Source

# a file may hold views of other files or of addresses; none of them is opened
CLOSED: dict[str, str | bool | int | float | list[str]] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}
TABLES = "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY ALL"


def quoted(*parts: str) -> str:
    """A quoted identifier: ``"schema"."table"``."""
    return ".".join('"' + part.replace('"', '""') + '"' for part in parts)


def duckdb_source(location: str) -> Source:
    """The source of ``FILE#TABLE``; a single table need not be named.

    Raises
    ------
    BackendError
        If the file or the table does not exist, or the file is no database.
    """
    file, _, table = location.rpartition("#") if "#" in location else (location, "", "")
    path = Path(file)
    if not path.is_file():
        raise BackendError(f'database "{printable(file, 200)}" does not exist', hint="Write duckdb:FILE#TABLE")
    with _connected(path) as connection:
        parts, kind = _find(connection.sql(TABLES).fetchall(), table, path)
        schema = connection.sql(f"SELECT * FROM {quoted(*parts)} LIMIT 0")
        names, n_rows = tuple(schema.columns), _count(connection, parts)

    def read(positions: Sequence[int]) -> list[Any]:
        columns = ", ".join(quoted(names[i]) for i in positions)
        with _connected(path) as connection:
            answer = connection.sql(f"SELECT {columns} FROM {quoted(*parts)}").to_arrow_table()
        return [answer.column(k) for k in range(len(positions))]

    # a table's rows have an order; those of a view need not come back in the same order twice
    return Source(names, "pandas", read if kind == "BASE TABLE" else at_once(read, len(names)), n_rows)


def _count(connection: Any, parts: tuple[str, ...]) -> int:
    return int(connection.sql(f"SELECT count(*) FROM {quoted(*parts)}").fetchall()[0][0])


def _find(tables: list[tuple[str, str, str]], wanted: str, path: Path) -> tuple[tuple[str, ...], str]:
    """Schema and name of the table meant, and whether it is a table or a view."""
    known = {name if schema == "main" else f"{schema}.{name}": (schema, name, kind) for schema, name, kind in tables}
    if not wanted and len(known) == 1:
        wanted = next(iter(known))
    if wanted not in known:
        what = f'table "{printable(wanted)}" does not exist' if wanted else "no table is named"
        hint = f"{nearest(wanted, known)} Tables: {listed(known, 8)}".strip() if known else "It has no tables"
        raise BackendError(f'{what} in database "{printable(path, 120)}"', hint=hint)
    schema, name, kind = known[wanted]
    return (schema, name), kind


@contextmanager
def _connected(path: Path) -> Iterator[Any]:
    """A connection that is closed afterwards; DuckDB's errors in one sentence."""
    import duckdb

    try:
        connection = _connection(path)
        try:
            yield connection
        finally:
            connection.close()
    except duckdb.Error as error:
        reason = printable(str(error).splitlines()[0], 160)
        raise BackendError(f'database "{printable(path, 120)}" cannot be read ({reason})') from None


def _connection(path: Path) -> Any:
    import duckdb

    try:
        return duckdb.connect(str(path), read_only=True, config=CLOSED)
    except duckdb.ConnectionException as error:
        if "different configuration" not in str(error):
            raise
        # the caller's own program has the file open; only a connection like that one is possible
        return duckdb.connect(str(path))
