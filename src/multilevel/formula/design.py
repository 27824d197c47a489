"""From a formula and a table to columns, and the memory to rebuild them on new data.

The contract:

    design = build(formula, table, weights=…, offset=…)     a frozen Design
    rows   = design.rebuild(new_table, groups=True)         the same columns on new rows
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import SettingError, printable
from .coding import model_columns
from .columns import TrainingColumns
from .evaluate import label_of
from .formula import Formula
from .groups import Keys, training_levels
from .memory import DesignMemory
from .rebuild import rebuild
from .records import Column, GroupColumns, Rows
from .response import check_response, response_values
from .rows import keep_rows, refuse_empty
from .variables import variables
from .weights import Given, known_errors, read_offset, read_weights, total_offset

__all__ = ["Design", "GroupColumns", "Rows", "build", "rebuild"]


@dataclass(frozen=True)
class Design:
    """Columns of the training data after rows with missing values were dropped once across all parts.

    `weights` are precisions (Var ε_i = σ²/w_i) or, with `weights_kind == "frequency"`, counts of equal rows;
    `known_se` are standard errors from ``se()``; rows of weight zero are dropped here.
    `kept` are the indices of the rows kept, None when all were; `missing` counts the missing values of each column;
    `variables` are the columns of the table that were read.
    """

    response_name: str
    response: np.ndarray
    fixed_names: tuple[str, ...]
    fixed_columns: tuple[Column, ...]
    groups: tuple[GroupColumns, ...]
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
    weights_kind: str = "precision"
    known_se: np.ndarray | None = None
    n_rows_given: int = 0
    kept: np.ndarray | None = None
    missing: tuple[tuple[str, int], ...] = ()
    memory: Any = field(default=None, repr=False)
    warnings: tuple[Any, ...] = ()
    variables: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        return len(self.response)

    def rebuild(
        self, new_table: Any, *, groups: bool = True, unseen: str = "error", missing: str = "nan", offset: Any = None
    ) -> Rows:
        """The same columns for the rows of another table; see `rebuild`."""
        return rebuild(self.memory, new_table, groups=groups, unseen=unseen, missing=missing, offset=offset)


def build(
    formula: Formula, table: Any, *, weights: Any = None, weights_kind: str = "precision", offset: Any = None
) -> Design:
    """The columns of a formula for the rows of a table.

    Parameters
    ----------
    formula : Formula
    table : a table (see `data.tables`)
    weights, offset : column name, or array-like with one number for each row, or None
        An offset adds to those in the formula.
    weights_kind : str
        What `weights` are: ``"precision"`` or ``"frequency"``; ``weights(w)`` in the formula always means frequency.

    Returns
    -------
    Design
        Rows with a missing value in any used column are dropped, with a `MissingDataWarning`.

    Raises
    ------
    DataError, WeightsError, IdentifiabilityError, FormulaError
        If the columns cannot be used as the formula says; each message names the column, the count and the first row.
    """
    if weights_kind not in ("precision", "frequency"):
        raise SettingError(f'unknown weights_kind "{printable(weights_kind)}"', hint='Use "precision" or "frequency".')
    check_response(formula.response)
    names = variables(formula, *(v for v in (weights, offset) if isinstance(v, str)))
    table.fetch(names)  # a file or a database is read once
    refuse_empty(table)
    full_weights, given_weights, counts = read_weights(weights, formula, table)
    given_offset = read_offset(offset, table)
    arrays = {"weights": given_weights.array, "offset": given_offset.array}
    kept = keep_rows(table, names, arrays, full_weights)
    columns = TrainingColumns(table, table.n_rows, kept.rows)
    response, noticed = response_values(formula.response.expression, columns)
    fixed_names, fixed_columns = model_columns(formula.fixed, columns)
    groups, crossed = _training_groups(formula, columns)
    offset_array = None if given_offset.array is None else _subset(given_offset.array, kept.rows)
    return Design(
        response_name=label_of(formula.response.expression),
        response=response,
        fixed_names=fixed_names,
        fixed_columns=fixed_columns,
        groups=groups,
        offset=total_offset(formula, columns, given_offset.column, offset_array),
        weights=None if full_weights is None else _subset(full_weights, kept.rows),
        weights_kind="frequency" if counts else weights_kind,
        known_se=known_errors(formula, columns),
        n_rows_given=table.n_rows,
        kept=kept.rows,
        missing=kept.missing,
        memory=_memory(formula, columns, crossed, given_weights, given_offset),
        warnings=(*kept.warnings, *noticed),
        variables=names,
    )


def _training_groups(formula: Formula, columns: TrainingColumns) -> tuple[tuple[GroupColumns, ...], dict[str, Keys]]:
    """Group terms, and the keys of their combinations by label."""
    terms, crossed = [], {}
    for g in formula.groups:
        names, values = model_columns(g.coefficients, columns)
        codes, levels, keys = training_levels(g.levels, columns)
        if keys:
            crossed[g.label] = keys
        terms.append(GroupColumns(g.label, names, values, codes, levels, g.scale, g.options))
    return tuple(terms), crossed


def _memory(
    formula: Formula, columns: TrainingColumns, crossed: dict[str, Keys], weights: Given, offset: Given
) -> DesignMemory:
    return DesignMemory(
        formula=formula,
        kinds=columns.kinds,
        levels=columns.levels,
        transforms=columns.transforms,
        crossed=crossed,
        weights=weights.column,
        offset=offset.column,
        offset_array=offset.array is not None,
    )


def _subset(values: np.ndarray, kept: np.ndarray | None) -> np.ndarray:
    return values if kept is None else values[kept]
