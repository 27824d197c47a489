"""Files that appear whole or not at all.

    check_output(path, overwrite)        before the work starts: may this file be written?
    write_whole(path, content, …)        temporary file in the same directory, fsync, atomic rename
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

from ..errors import OutputExistsError, OutputPathError, printable


def check_output(path: Any, overwrite: bool = False) -> Path:
    """The path as a `Path`, if a file can be written there.

    Raises
    ------
    OutputPathError
        For a directory, a missing or read-only parent directory, a device.
    OutputExistsError
        If the file exists and `overwrite` is false.
    """
    target = Path(path)
    shown = printable(target, 120)
    if target.is_dir():
        raise OutputPathError(f'the output path "{shown}" is a directory', hint="Name a file in it.")
    if not target.parent.is_dir():
        raise OutputPathError(f'the directory of the output path "{shown}" does not exist', hint="Create it first.")
    if os.path.lexists(target):
        if not (target.is_file() or target.is_symlink()):
            raise OutputPathError(f'the output path "{shown}" is not a regular file', hint="Name another file.")
        if not overwrite:
            hint = "Use --force on the command line or overwrite=True in Python to replace it."
            raise OutputExistsError(f'the output file "{shown}" exists', hint=hint)
    # permissions and access lists differ between systems; making a file is the one sure test
    temporary, handle = _temporary(target)
    os.close(handle)
    os.unlink(temporary)
    return target


def write_whole(path: Any, content: bytes, overwrite: bool = False) -> None:
    """Write `content`; a crash or a full disk leaves what was there before, and no temporary file.

    Raises
    ------
    OutputPathError, OutputExistsError
    """
    target = check_output(path, overwrite)
    temporary, handle = _temporary(target)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _refused(target, error) from error
        raise
    _sync_directory(target.parent)


def _temporary(target: Path) -> tuple[Path, int]:
    """A new file beside the target, with the permissions that new files have."""
    temporary = target.parent / f".{target.name[:40]}.{secrets.token_hex(6)}.tmp"
    try:
        return temporary, os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o666)
    except OSError as error:
        raise _refused(target, error) from error


def _refused(target: Path, error: OSError) -> OutputPathError:
    reason = error.strerror or type(error).__name__
    return OutputPathError(f'cannot write the output path "{printable(target, 120)}": {reason}')


def _sync_directory(directory: Path) -> None:
    """Make the rename itself durable, where directories can be synced."""
    try:
        handle = os.open(directory, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
