"""Exit statuses, and the errors that only the command line has."""

from __future__ import annotations

from .. import errors
from ..errors import MultilevelError

DONE, INTERNAL, USAGE, DATA, NOT_CONVERGED, FILE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
EPILOG = "exit status: 0 done, 1 internal, 2 usage, 3 data or formula, 4 not converged or --strict, 5 file, 130 stopped"


class UsageError(MultilevelError):
    """The command itself is wrong, or names an input file that cannot be read."""

    default_code = "E_USAGE"


class RefusedError(MultilevelError):
    """A fit that ``--strict`` does not accept; its files were written."""

    default_code = "E_STRICT"


STATUS: tuple[tuple[type[MultilevelError], int], ...] = (  # the first that matches
    (UsageError, USAGE),
    (errors.SettingError, USAGE),
    (errors.ConvergenceError, NOT_CONVERGED),
    (RefusedError, NOT_CONVERGED),
    (errors.BackendError, FILE),
    (errors.FileError, FILE),
    (MultilevelError, DATA),
)
