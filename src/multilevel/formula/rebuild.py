"""The columns of a design for new rows: nothing is learned, everything is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import MissingDataError, SettingError, WeightsError, printable
from .coding import model_columns
from .columns import NewColumns
from .evaluate import column_names, numbers
from .formula import GroupTerm
from .groups import new_levels
from .memory import DesignMemory
from .records import GroupColumns, Rows
from .variables import predictors
from .weights import array_of, modifier, refuse_infinite, total_offset


def rebuild(
    memory: DesignMemory,
    table: Any,
    *,
    groups: bool = True,
    unseen: str = "error",
    missing: str = "nan",
    offset: Any = None,
) -> Rows:
    """The columns of a design for new rows, from its memory alone.

    Parameters
    ----------
    groups : bool
        Whether to read the grouping columns; without them only the fixed part is needed.
    unseen : str
        ``"error"``, or ``"mark"``: new and missing levels of groups get the code -1.
    missing : str
        ``"nan"``: missing predictors give NaN rows; ``"error"``: they are refused.
    offset : array-like
        Needed when the design was built with an array as offset.

    Raises
    ------
    UnseenLevelError
        A level of a factor (E_UNSEEN_LEVEL) or group (E_UNSEEN_GROUP) that was not in the training data.
    DataError
        A column is missing from the table or changed its type.
    """
    for name, value, known in (("unseen", unseen, ("error", "mark")), ("missing", missing, ("nan", "error"))):
        if value not in known:
            raise SettingError(f'{name} must be "{known[0]}" or "{known[1]}", not "{printable(value)}"')
    formula, columns = memory.formula, NewColumns(table, memory)
    needed = tuple(predictors(formula, groups, memory.offset))
    table.fetch(needed)
    if missing == "error":
        _refuse_missing(table, needed)
    _, fixed = model_columns(formula.fixed, columns)
    terms = tuple(_new_group(term, columns, unseen) for term in formula.groups) if groups else ()
    return Rows(table.n_rows, fixed, terms, _new_offset(memory, columns, offset), _new_weights(memory, columns))


def _new_group(term: GroupTerm, columns: NewColumns, unseen: str) -> GroupColumns:
    memory = columns.memory
    names, values = model_columns(term.coefficients, columns)
    codes = new_levels(term.levels, columns, memory.crossed.get(term.label, ()), unseen)
    return GroupColumns(term.label, names, values, codes, memory.labels(term.levels), term.scale, term.options)


def _new_offset(memory: DesignMemory, columns: NewColumns, given: Any) -> np.ndarray | None:
    """The offset of new rows: an array must be given again, since no column holds it."""
    if memory.offset_array != (given is not None):
        need = (
            "needs offset= for the new rows: it was fitted with an array" if given is None else "takes no offset array"
        )
        raise WeightsError(f"this model {need}", code="E_OFFSET", hint="An offset column avoids this.")
    array = None if given is None else array_of(given, "offset", columns.n)
    if array is not None:
        refuse_infinite(array)
    return total_offset(memory.formula, columns, memory.offset, array)


def _new_weights(memory: DesignMemory, columns: NewColumns) -> np.ndarray | None:
    """The weights of new rows, if the table holds them."""
    call = modifier(memory.formula, "weights")
    needed = column_names(call.arguments[0]) if call is not None else (memory.weights,) if memory.weights else ()
    if not needed or any(name not in columns.table.names for name in needed):
        return None
    return numbers(call.arguments[0], columns) if call is not None else columns.numbers(needed[0])


def _refuse_missing(table: Any, names: Iterable[str]) -> None:
    for name in names:
        mask = table.missing(name)
        if mask is not None and mask.any():
            rows = np.flatnonzero(mask)
            raise MissingDataError(f'column "{printable(name)}" is missing in {len(rows)} rows (first row {rows[0]})')


def coefficient_columns(memory: DesignMemory, table: Any) -> list[tuple[Any, ...]]:
    """The coefficient columns of every group term for new rows, without looking at the levels."""
    columns = NewColumns(table, memory)
    return [model_columns(term.coefficients, columns)[1] for term in memory.formula.groups]
