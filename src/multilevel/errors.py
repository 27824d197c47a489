"""Everything that `multilevel` raises or warns.

    MultilevelError
    ├── FormulaError                     text of the formula
    ├── DataError (ValueError)           the table
    │   ├── EmptyDataError
    │   ├── UnknownColumnError
    │   ├── DuplicateColumnError
    │   ├── NonFiniteError
    │   ├── DtypeError
    │   └── MissingDataError
    ├── ResponseError (ValueError)       the response variable
    ├── WeightsError (ValueError)        weights, offsets, known standard errors
    ├── IdentifiabilityError (ValueError)
    │   └── RankDeficiencyError
    ├── ConvergenceError                 `.partial` holds what was reached
    ├── UnseenLevelError (ValueError)    prediction for a level that was not in the data
    ├── MemoryNeededError (MemoryError)
    ├── SettingError (ValueError)        an unknown estimator, family, option
    ├── BackendError                     a database
    ├── WorkerDiedError                  processes of a parallel run were killed
    └── FileError (OSError)
        ├── OutputPathError
        ├── OutputExistsError (FileExistsError)
        ├── CorruptFileError
        └── VersionError

    FitInterrupted (KeyboardInterrupt)   Ctrl-C during a fit

    MultilevelWarning (UserWarning)
    ├── MissingDataWarning, DtypeWarning, ResponseWarning
    ├── RankDeficiencyWarning, IdentifiabilityWarning
    ├── SeparationWarning                infinite coefficients
    ├── PriorWarning                     a prior that holds a standard deviation down
    └── SingularFitWarning, ConvergenceWarning

Each carries a stable `.code`, a `.hint` (the remedy) and a `.context` (the values it speaks of);
`str(error)` is the message followed by the hint, in at most 400 characters.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

MESSAGE_LIMIT = 400


def printable(text: object, limit: int = 60) -> str:
    """Text safe for a terminal: control and bidirectional characters escaped, long values cut."""
    raw = text if isinstance(text, str) else str(text)
    cut = raw if len(raw) <= limit else raw[: limit - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)


def listed(values: Iterable[object], most: int = 3) -> str:
    """Up to `most` values, then the count of the others: ``a, b, c (+4 more)``."""
    items = list(values)
    shown = ", ".join(printable(v) for v in items[:most])
    return shown + (f" (+{len(items) - most} more)" if len(items) > most else "")


class _Coded:
    """Message, remedy and context shared by errors and warnings."""

    default_code: ClassVar[str] = "E_INTERNAL"

    def __init__(self, message: str, *, code: str | None = None, hint: str = "", **context: Any) -> None:
        self.code = code or self.default_code
        self.hint = hint
        self.context: Mapping[str, Any] = context
        self.message = message
        text = f"{message}. {hint}" if hint and not message.endswith((".", "?", "!")) else f"{message} {hint}".strip()
        short = text if len(text) <= MESSAGE_LIMIT else text[: MESSAGE_LIMIT - 1] + "…"
        super().__init__(short)  # type: ignore[call-arg]  # the exception class comes next in the order

    def to_dict(self) -> dict[str, str]:
        """The JSON form: code, message, hint."""
        return {"code": self.code, "message": self.message, "hint": self.hint}


class MultilevelError(_Coded, Exception):
    """Base of all errors of this package."""


class FormulaError(MultilevelError):
    """The formula's text cannot be read; `context["position"]` is the offending character."""

    default_code = "E_FORMULA_SYNTAX"


class DataError(MultilevelError, ValueError):
    """The table does not hold what the model needs."""

    default_code = "E_DATA"


class EmptyDataError(DataError):
    default_code = "E_NO_ROWS"


class UnknownColumnError(DataError):
    default_code = "E_UNKNOWN_COLUMN"


class FormulaColumnError(FormulaError, UnknownColumnError):
    """A name in a formula that is no column: both a formula error and a data error."""

    default_code = "E_UNKNOWN_COLUMN"


class DuplicateColumnError(DataError):
    default_code = "E_DUPLICATE_COLUMN"


class NonFiniteError(DataError):
    default_code = "E_NONFINITE"


class DtypeError(DataError):
    default_code = "E_DTYPE"


class MissingDataError(DataError):
    default_code = "E_MISSING"


class ResponseError(MultilevelError, ValueError):
    default_code = "E_RESPONSE_DOMAIN"


class WeightsError(MultilevelError, ValueError):
    default_code = "E_WEIGHTS"


class IdentifiabilityError(MultilevelError, ValueError):
    default_code = "E_IDENTIFIABILITY"


class RankDeficiencyError(IdentifiabilityError):
    default_code = "E_RANK"


class ConvergenceError(MultilevelError):
    """The optimiser stopped short; `partial` is the fit it reached, marked as not converged."""

    default_code = "E_CONVERGENCE"

    def __init__(self, message: str, *, partial: Any = None, **rest: Any) -> None:
        super().__init__(message, **rest)
        self.partial = partial


class FitInterrupted(_Coded, KeyboardInterrupt):
    """Ctrl-C during a fit; says how far it was. A KeyboardInterrupt: `except Exception` lets it pass."""

    default_code = "E_INTERRUPTED"


class UnseenLevelError(MultilevelError, ValueError):
    default_code = "E_UNSEEN_LEVEL"


class MemoryNeededError(MultilevelError, MemoryError):
    default_code = "E_MEMORY"


class SettingError(MultilevelError, ValueError):
    default_code = "E_SETTING"


class BackendError(MultilevelError):
    default_code = "E_BACKEND"


class WorkerDiedError(MultilevelError):
    """The processes of a parallel run were killed; nothing is left of it."""

    default_code = "E_WORKER_DIED"


class FileError(MultilevelError, OSError):
    default_code = "E_FILE"


class OutputPathError(FileError):
    default_code = "E_OUTPUT_PATH"


class OutputExistsError(FileError, FileExistsError):
    default_code = "E_EXISTS"


class CorruptFileError(FileError):
    default_code = "E_CORRUPT"


class VersionError(FileError):
    default_code = "E_VERSION"


class MultilevelWarning(_Coded, UserWarning):
    """Base of all warnings of this package."""

    default_code = "W_GENERAL"


class MissingDataWarning(MultilevelWarning):
    default_code = "W_MISSING"


class DtypeWarning(MultilevelWarning):
    default_code = "W_DTYPE"


class ResponseWarning(MultilevelWarning):
    default_code = "W_RESPONSE"


class RankDeficiencyWarning(MultilevelWarning):
    default_code = "W_RANK"


class IdentifiabilityWarning(MultilevelWarning):
    default_code = "W_IDENTIFIABILITY"


class SeparationWarning(MultilevelWarning):
    """A discrete response that predictors separate: coefficients without a finite estimate."""

    default_code = "W_SEPARATION"


class SingularFitWarning(MultilevelWarning):
    default_code = "W_BOUNDARY"


class ConvergenceWarning(MultilevelWarning):
    default_code = "W_CONVERGENCE"


class PriorWarning(MultilevelWarning):
    """A prior that the data speak against."""

    default_code = "W_PRIOR"


def warn(warning: MultilevelWarning) -> MultilevelWarning:
    """Issue a warning at the caller outside this package, and return it so that a fit can keep it."""
    level, frame = 1, sys._getframe(0)
    while frame is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back  # type: ignore[assignment]
    warnings.warn(warning, stacklevel=level)
    return warning


_PACKAGE = os.path.dirname(__file__)


def nearest(name: str, known: Iterable[str]) -> str:
    """`did you mean "income"?`, or nothing: the closest of the known names."""
    import difflib

    match = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f'did you mean "{printable(match[0])}"?' if match else ""
