"""Which rows a model can use: those without a missing value in any used column, dropped once across all parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import EmptyDataError, MissingDataWarning, WeightsError, printable, warn

MOST_NAMED = 6


@dataclass(frozen=True)
class Kept:
    """Indices of the rows kept (None: all) and what was missing in the others."""

    rows: np.ndarray | None
    missing: tuple[tuple[str, int], ...] = ()
    warnings: tuple[MissingDataWarning, ...] = ()


def keep_rows(
    table: Any, names: Iterable[str], arrays: Mapping[str, np.ndarray | None], weights: np.ndarray | None
) -> Kept:
    """Drop rows with missing values, with a warning, and rows of weight zero, without.

    Parameters
    ----------
    names : columns in use
    arrays : arrays given beside the table, by the name they have in messages
    weights : one for each row of the table, or None
    """
    n = table.n_rows
    masks = [(name, table.missing(name)) for name in names]
    masks += [(name, np.isnan(values)) for name, values in arrays.items() if values is not None]
    counts = tuple((name, int(np.count_nonzero(mask))) for name, mask in masks if mask is not None)
    missing = tuple((name, count) for name, count in counts if count)
    if not missing and weights is None:
        return Kept(None)
    dropped = np.zeros(n, dtype=bool)
    for _, mask in masks:
        if mask is not None:
            dropped |= mask
    warnings = _report(missing, n, int(np.count_nonzero(dropped))) if missing else ()
    if weights is not None:
        dropped |= weights == 0
        if dropped.all():
            raise WeightsError("all weights are zero: no row is left", hint="A weight of zero drops its row.")
    return Kept(np.flatnonzero(~dropped) if dropped.any() else None, missing, warnings)


def refuse_empty(table: Any) -> None:
    """A table without rows fits nothing."""
    if table.n_rows == 0:
        raise EmptyDataError("the table has 0 rows", hint="Check the filter or the file that it came from.")


def _report(missing: tuple[tuple[str, int], ...], n: int, dropped: int) -> tuple[MissingDataWarning, ...]:
    """The warning, or the error when nothing is left."""
    for name, count in missing:
        if count == n:
            raise EmptyDataError(
                f'column "{printable(name)}" is missing in {n} of {n} rows',
                hint="Leave it out or fill it in.",
                column=name,
            )
    by_column = ", ".join(f"{printable(name)}: {count}" for name, count in missing[:MOST_NAMED])
    by_column += f", {len(missing) - MOST_NAMED} more columns" if len(missing) > MOST_NAMED else ""
    if dropped == n:
        raise EmptyDataError(f"no row is complete: {n} of {n} rows have missing values ({by_column})")
    noun = "row" if n == 1 else "rows"
    message = f"dropped {dropped} of {n} {noun} with missing values ({by_column}); {n - dropped} rows remain"
    return (warn(MissingDataWarning(message, missing=dict(missing), dropped=dropped)),)  # type: ignore[return-value]
