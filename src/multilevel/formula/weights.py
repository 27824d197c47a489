"""Weights, known standard errors and offsets: numbers given beside the response, as columns or as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import DtypeError, NonFiniteError, WeightsError, printable
from .columns import CATEGORICAL, Columns, TrainingColumns, changed_type, finite_numbers
from .evaluate import numbers
from .formula import Call, Formula


@dataclass(frozen=True)
class Given:
    """Numbers for all rows of the table, from a column or from an array."""

    values: np.ndarray | None = None
    column: str | None = None

    @property
    def array(self) -> np.ndarray | None:
        """The values if they came as an array, else None."""
        return self.values if self.column is None else None


NOTHING = Given()


def read_weights(argument: Any, formula: Formula, table: Any) -> tuple[np.ndarray | None, Given, bool]:
    """All rows' weights, where they came from, and whether they are counts of equal rows.

    ``weights(w)`` left of the tilde means counts, as in brms; the argument `weights` leaves the kind to the caller.

    Raises
    ------
    WeightsError
        If both are given, or for the wrong length, a negative or an infinite weight.
    """
    call = modifier(formula, "weights")
    if call is None:
        given = _given(argument, "weights", table)
        return checked_weights(given.values), given, False
    if argument is not None:
        raise WeightsError("weights are given twice: weights(…) in the formula and weights=", hint="Give one of them.")
    everything = TrainingColumns(table, table.n_rows, None)
    return checked_weights(numbers(call.arguments[0], everything)), NOTHING, True


def read_offset(argument: Any, table: Any) -> Given:
    """The offset given beside the formula."""
    given = _given(argument, "offset", table)
    if given.column is not None:
        finite_numbers(table, given.column)
    elif given.values is not None:
        refuse_infinite(given.values)
    return given


def refuse_infinite(values: np.ndarray) -> None:
    """An offset must be finite; missing is allowed here."""
    bad = np.flatnonzero(np.isinf(values))
    if len(bad):
        raise NonFiniteError(f"the offset holds {len(bad)} infinite values (first at row {bad[0]})")


def modifier(formula: Formula, name: str) -> Call | None:
    """``weights(w)`` or ``se(s)`` left of the tilde."""
    return next((call for key, call in formula.response.modifiers if key == name), None)


def checked_weights(values: np.ndarray | None) -> np.ndarray | None:
    """Refuse weights that are negative or infinite; missing ones are dropped later, with their rows."""
    if values is None:
        return None
    for bad, what in ((values < 0, "negative"), (np.isposinf(values), "infinite")):
        rows = np.flatnonzero(bad)
        if len(rows):
            raise WeightsError(
                f"weights must be finite and at least 0: {values[rows[0]]:g} in row {rows[0]} ({len(rows)} {what})",
                hint="A weight of zero drops its row.",
            )
    return values


def known_errors(formula: Formula, columns: TrainingColumns) -> np.ndarray | None:
    """The standard errors of ``se(s)``."""
    call = modifier(formula, "se")
    if call is None:
        return None
    values = numbers(call.arguments[0], columns)
    rows = np.flatnonzero(~(values > 0))
    if len(rows):
        raise WeightsError(
            f"{printable(call)}: known standard errors must be positive; {len(rows)} <= 0 "
            f"(first {values[rows[0]]:g} in row {columns.row(int(rows[0]))})",
            code="E_SAMPLING_VARIANCE",
            hint="Drop these rows, or give their true standard errors.",
        )
    return values


def array_of(argument: Any, noun: str, n: int) -> np.ndarray:
    """An array-like of length n as float64."""
    try:
        # complex numbers would lose their imaginary part with no more than a warning
        refused = np.iscomplexobj(argument)
        values = np.empty(0) if refused else np.asarray(argument, dtype=np.float64)
    except (TypeError, ValueError):
        refused = True
    if refused:
        raise DtypeError(f"{noun} must be a column name or one number for each row", hint="Missing values are NaN.")
    if values.shape != (n,):
        size = f"{len(values)} values" if values.ndim == 1 else f"shape {values.shape}"
        code = WeightsError.default_code if noun == "weights" else "E_OFFSET"
        raise WeightsError(f"{noun}: {size} for {n} rows", code=code, hint="Give one value for each row.")
    return values


def total_offset(formula: Formula, columns: Columns, column: str | None, array: np.ndarray | None) -> np.ndarray | None:
    """The sum of the offsets in the formula and beside it."""
    parts = [numbers(e, columns) for e in formula.offsets]
    parts += [columns.numbers(column)] if column is not None else []
    parts += [array] if array is not None else []
    rate = modifier(formula, "rate")
    parts += [_log_exposure(rate, columns)] if rate is not None else []
    if not parts:
        return None
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _log_exposure(call: Call, columns: Columns) -> np.ndarray:
    """``rate(d)``: the count per unit of d is modelled."""
    values = numbers(call.arguments[0], columns)
    rows = np.flatnonzero(values <= 0)
    if len(rows):
        raise WeightsError(
            f"{printable(call)}: exposures must be positive; {len(rows)} are not "
            f"(first {values[rows[0]]:g} in row {columns.row(int(rows[0]))})",
            code="E_OFFSET",
            hint="Drop these rows, or give their true exposure.",
        )
    return np.asarray(np.log(values))


def _given(argument: Any, noun: str, table: Any) -> Given:
    if argument is None:
        return NOTHING
    if not isinstance(argument, str):
        return Given(array_of(argument, noun, table.n_rows))
    kind = table.kind(argument)
    if kind in CATEGORICAL:
        raise changed_type(argument, f"numbers to be used as {noun}", kind)
    return Given(table.numbers(argument), argument)
