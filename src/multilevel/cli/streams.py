"""What commands write: tables and JSON, warnings as lines, and a failure as one sentence."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from .. import errors
from ..errors import MultilevelError, MultilevelWarning, printable
from .status import FILE, INTERNAL, INTERRUPTED, STATUS, USAGE, UsageError

LONGEST = 600  # characters of a line on standard error
FORMULA_STARTERS = ("=", "+", "-", "@", "\t", "\r")  # of a cell that a spreadsheet would execute


# --- files and standard output -----------------------------------------------------------------------------------
def check_outputs(paths: Sequence[str | None], data: str, force: bool) -> None:
    """Before any work: may these files be written, and are they not the input?"""
    from ..fit.output import check_output

    seen = {os.path.realpath(data)}
    for path in filter(None, paths):
        check_output(path, force)
        real = os.path.realpath(path)
        if real in seen:
            raise UsageError(f'the path "{printable(path)}" is named twice, as input and output or for two outputs')
        seen.add(real)


def write_json(record: dict[str, Any], options: argparse.Namespace) -> None:
    """ASCII only: labels may hold characters that a terminal would obey."""
    text = json.dumps(record, indent=1, ensure_ascii=True, allow_nan=False) + "\n"
    if options.json == "-":
        sys.stdout.write(text)
    else:
        from ..fit.output import write_whole

        write_whole(options.json, text.encode("ascii"), options.force)


def csv_text(columns: dict[str, list[Any]], escape: bool) -> str:
    """Columns as CSV; NaN is an empty cell. With `escape`, characters that a terminal would obey are written out."""
    import csv
    import io

    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([_cell(name, escape) for name in columns])
    for row in zip(*columns.values(), strict=True):
        writer.writerow([_cell(value, escape) for value in row])
    return out.getvalue()


def _cell(value: Any, escape: bool) -> str:
    if not isinstance(value, str):
        return "" if value != value else repr(value)
    text = printable(value, limit=len(value) + 1) if escape else value
    return f"'{text}" if text.startswith(FORMULA_STARTERS) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


# --- streams -----------------------------------------------------------------------------------------------------
def encode_leniently() -> None:
    """Characters that the terminal's encoding lacks are written as escapes, not as an error."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush() -> None:
    if sys.stdout is not None:
        sys.stdout.flush()


def discard_output() -> None:
    """Point standard output nowhere: the interpreter flushes it again when it ends."""
    with suppress(OSError, ValueError, AttributeError):  # no real stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def warnings_as_lines() -> Iterator[None]:
    """This package's warnings, each once, as ``warning: …``; those of other libraries are for developers."""
    seen = set()

    def show(message: Any, *_: Any, **__: Any) -> None:
        text = printable(message, LONGEST)
        if text not in seen:
            seen.add(text)
            print(f"warning: {text}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", MultilevelWarning)
        warnings.showwarning = show
        yield


# --- failures ----------------------------------------------------------------------------------------------------
def fail(error: BaseException, arguments: Sequence[str]) -> int:
    """One sentence (or JSON object) on standard error, and the exit status."""
    status, told = _told(error)
    if "--debug" in arguments:
        import traceback

        traceback.print_exception(error)
    if any(a == "--json" or a.startswith("--json=") for a in arguments):
        line = json.dumps(told.to_dict())
    else:
        what = "usage error" if status == USAGE else "error"
        line = f"multilevel: {what}: {printable(told, LONGEST)}"
    try:
        flush()
    except OSError:
        discard_output()
    print(line, file=sys.stderr)
    return status


def _told(error: BaseException) -> tuple[int, MultilevelError]:
    """Exit status, and the error in this package's form."""
    if isinstance(error, MultilevelError):
        return next(status for kind, status in STATUS if isinstance(error, kind)), error
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, MultilevelError(str(error) or "interrupted", code="E_INTERRUPTED")
    first = (str(error).splitlines() or [""])[0]
    if isinstance(error, OSError):
        return FILE, errors.FileError(f"cannot read or write: {printable(error.strerror or first, 200)}")
    message = f"internal error, {type(error).__name__}: {printable(first, 200)}"
    return INTERNAL, MultilevelError(message, hint="Please report it, with what --debug prints.")
