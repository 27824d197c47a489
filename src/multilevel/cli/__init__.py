"""The command line, thin over the library: ``multilevel fit DATA FORMULA``, ``check``, ``report`` …

    exit status   0 done                      3 data or formula          130 interrupted
                  1 internal failure          4 not converged, or refused under --strict
                  2 usage, unreadable input   5 output file, saved fit or database

A failure is one sentence on standard error (with ``--json`` one JSON object: code, message, hint); a traceback only
with ``--debug``. Warnings are single lines there. Everything heavy is imported by the command that needs it, so that
``multilevel --help`` answers at once: this is why the parser is argparse (`parser.py`). The commands are in `fits.py`
and `answers.py`, what they write in `streams.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .parser import make_parser
from .status import DONE, RefusedError, UsageError
from .streams import discard_output, encode_leniently, fail, flush, warnings_as_lines

__all__ = ["RefusedError", "UsageError", "main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; those of the process otherwise.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    encode_leniently()
    try:
        status = _run(arguments)
        flush()
    except BrokenPipeError:  # the reader has what it wanted: `multilevel fit … | head -1`
        discard_output()
        return DONE
    except (Exception, KeyboardInterrupt) as error:
        return fail(error, arguments)
    return status


def _run(arguments: list[str]) -> int:
    try:
        options = make_parser().parse_args(arguments)
    except SystemExit as leaving:  # --help, --version
        return int(leaving.code or DONE)
    if options.quiet:
        os.environ["MULTILEVEL_QUIET"] = "1"
    with warnings_as_lines():
        status: int = options.run(options)
    return status
