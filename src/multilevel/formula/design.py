"""From a formula and a table to columns, and the memory to rebuild them on new data.

The contract:

    design = build(formula, table, weights=…, offset=…)     a frozen Design
    rows   = design.rebuild(new_table, groups=True)         the same columns on new rows
"""

from __future__ import annotations

import warnings as python_warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import MultilevelWarning, SettingError, printable, warn
from .coding import model_columns
from .columns import TrainingColumns
from .evaluate import label_of
from .formula import Formula
from .groups import Keys, training_levels
from .layout import Layout, check_parts, layout_of
from .memory import DesignMemory
from .predictors import fixed_columns, group_terms
from .rebuild import all_offsets, rebuild
from .records import Column, GroupColumns, Rows
from .response import check_modifiers, check_response, given_response, response_values
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

    All linear predictors stand side by side: `fixed_predictor` says to which of `layout.names` each fixed column
    belongs, `GroupColumns.predictor` the same of a term, and `offsets` has one entry for each (the first is `offset`).
    `observations` is the response as its family checked it, None for linear models; `response` then is its mean scale
    (proportions of trials, numbers of categories).
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
    layout: Layout = field(default_factory=Layout)
    fixed_predictor: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    offsets: tuple[np.ndarray | None, ...] = ()
    observations: Any = None

    @property
    def n(self) -> int:
        return len(self.response)

    def rebuild(
        self, new_table: Any, *, groups: bool = True, unseen: str = "error", missing: str = "nan", offset: Any = None
    ) -> Rows:
        """The same columns for the rows of another table; see `rebuild`."""
        return rebuild(self.memory, new_table, groups=groups, unseen=unseen, missing=missing, offset=offset)


def build(
    formula: Formula,
    table: Any,
    *,
    weights: Any = None,
    weights_kind: str = "precision",
    offset: Any = None,
    family: tuple[str, Any] | None = None,
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
    family : (name, Family), optional
        What observes the response; None for linear models.

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
    if family is None:
        check_response(formula.response)
    else:
        check_modifiers(*family, formula.response)
    names = variables(formula, *(v for v in (weights, offset) if isinstance(v, str)))
    table.fetch(names)  # a file or a database is read once
    refuse_empty(table)
    full_weights, given_weights, counts = read_weights(weights, formula, table)
    given_offset = read_offset(offset, table)
    arrays = {"weights": given_weights.array, "offset": given_offset.array}
    kept = keep_rows(table, names, arrays, full_weights)
    columns = TrainingColumns(table, table.n_rows, kept.rows)
    kind = "frequency" if counts else weights_kind
    row_weights = None if full_weights is None else _subset(full_weights, kept.rows)
    observed: Any = None
    if family is None:
        response, noticed = response_values(formula.response.expression, columns)
        layout = Layout()
    else:
        observed, noticed = _observe(family, formula, columns, row_weights, kind)
        response = observed.y if observed.trials is None else observed.y / observed.trials
        layout = layout_of(family[1], observed)
        check_parts(formula, layout, family[0])
        row_weights = observed.weights if observed.precision is None else observed.precision
        kind = "frequency" if observed.precision is None else "precision"
    fixed_names, fixed, owner = fixed_columns(formula, layout, columns)
    groups, crossed = _training_groups(formula, layout, columns)
    offset_array = None if given_offset.array is None else _subset(given_offset.array, kept.rows)
    total = total_offset(formula, columns, given_offset.column, offset_array)
    return Design(
        response_name=label_of(formula.response.expression),
        response=response,
        fixed_names=fixed_names,
        fixed_columns=fixed,
        groups=groups,
        offset=total,
        weights=row_weights,
        weights_kind=kind,
        known_se=known_errors(formula, columns),
        n_rows_given=table.n_rows,
        kept=kept.rows,
        missing=kept.missing,
        memory=_memory(formula, layout, columns, crossed, given_weights, given_offset),
        warnings=(*kept.warnings, *noticed),
        variables=names,
        layout=layout,
        fixed_predictor=owner,
        offsets=all_offsets(formula, layout, columns, total),
        observations=observed,
    )


def _observe(
    family: tuple[str, Any], formula: Formula, columns: TrainingColumns, weights: np.ndarray | None, kind: str
) -> tuple[Any, tuple[Any, ...]]:
    """The response as its family sees it, and the warnings issued on the way."""
    with python_warnings.catch_warnings(record=True) as caught:
        python_warnings.simplefilter("always")
        observed = family[1].observe(given_response(formula.response, columns, weights, kind))
    noticed = tuple(w.message for w in caught if isinstance(w.message, MultilevelWarning))
    return observed, tuple(warn(w) for w in noticed)


def _training_groups(
    formula: Formula, layout: Layout, columns: TrainingColumns
) -> tuple[tuple[GroupColumns, ...], dict[str, Keys]]:
    """Group terms, and the keys of their combinations by label."""
    terms, crossed = [], {}
    for predictor, prefix, g in group_terms(formula, layout):
        own, values = model_columns(g.coefficients, columns)
        names = tuple(prefix + name for name in own)
        codes, levels, keys = training_levels(g.levels, columns)
        if keys:
            crossed[g.label] = keys
        terms.append(GroupColumns(g.label, names, values, codes, levels, g.scale, g.options, predictor))
    return tuple(terms), crossed


def _memory(
    formula: Formula,
    layout: Layout,
    columns: TrainingColumns,
    crossed: dict[str, Keys],
    weights: Given,
    offset: Given,
) -> DesignMemory:
    return DesignMemory(
        formula=formula,
        layout=layout,
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
