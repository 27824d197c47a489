"""The columns of a design for new rows: nothing is learned, everything is remembered."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..errors import MissingDataError, SettingError, WeightsError, printable
from .coding import model_columns
from .columns import Columns, NewColumns
from .evaluate import column_names, numbers
from .formula import Call, Expression, Formula, GroupTerm
from .groups import new_levels
from .layout import Layout
from .memory import DesignMemory
from .predictors import fixed_columns, group_terms, offset_expressions
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
    layout = memory.layout
    _, fixed, _ = fixed_columns(formula, layout, columns)
    terms = group_terms(formula, layout) if groups else []
    total = _new_offset(memory, columns, offset)
    return Rows(
        table.n_rows,
        fixed,
        tuple(_new_group(predictor, prefix, term, columns, unseen) for predictor, prefix, term in terms),
        total,
        _new_weights(memory, columns),
        _new_trials(memory, columns),
        all_offsets(formula, layout, columns, total),
    )


def _new_group(predictor: int, prefix: str, term: GroupTerm, columns: NewColumns, unseen: str) -> GroupColumns:
    memory = columns.memory
    own, values = model_columns(term.coefficients, columns)
    names, labels = tuple(prefix + name for name in own), memory.labels(term.levels)
    codes = new_levels(term.levels, columns, memory.crossed.get(term.label, ()), unseen)
    return GroupColumns(term.label, names, values, codes, labels, term.scale, term.options, predictor)


def all_offsets(
    formula: Formula, layout: Layout, columns: Columns, location: np.ndarray | None
) -> tuple[np.ndarray | None, ...]:
    """The offset of every linear predictor; that of the locations is given."""
    out: list[np.ndarray | None] = []
    for d, expressions in enumerate(offset_expressions(formula, layout)):
        parts = [numbers(e, columns) for e in expressions]
        own = np.sum(parts, axis=0) if parts else None
        out.append(location if d < len(layout.locations) else own)
    return tuple(out)


def _new_trials(memory: DesignMemory, columns: NewColumns) -> np.ndarray | None:
    """The trials of new rows, if the table holds their columns; None for single trials, and where they are missing."""
    expression = memory.formula.response.expression
    call = modifier(memory.formula, "trials")
    if call is not None:
        parts: tuple[Expression, ...] = call.arguments
    elif isinstance(expression, Call) and expression.function == "cbind":
        parts = expression.arguments
    else:
        return None
    if any(name not in columns.table.names for part in parts for name in column_names(part)):
        return None
    return np.asarray(sum(numbers(part, columns) for part in parts), dtype=float)


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
    terms = group_terms(memory.formula, memory.layout)
    return [model_columns(term.coefficients, columns)[1] for _, _, term in terms]
