"""What is known of the response of rows that are to be predicted: trials, precisions, bounds; never y itself."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WeightsError
from ..families.base import Observations
from ..formula.columns import NewColumns
from ..formula.design import Rows
from ..formula.evaluate import numbers
from ..formula.weights import modifier

if TYPE_CHECKING:
    from ..fit.fit import Fit


def observations(fit: Fit, rows: Rows, table: Any) -> Observations:
    """Observations with y = 0 of the rows of a table; those of the fit if the table is None.

    Censoring is left out: it says what was seen of a response, not how it comes about.
    """
    known = fit.model.observations
    if table is None:
        return replace(known, censored=None, upper=None)
    return Observations(
        np.zeros(rows.n),
        trials=None if known.trials is None else _trials(fit, rows),
        precision=None if known.precision is None else rows.weights,
        bounds=None if known.bounds is None else _bounds(fit, table),
        levels=known.levels,
        name=known.name,
    )


def needed_for_a_response(fit: Fit, obs: Observations) -> None:
    """Refuse what a new observation cannot be predicted without.

    Raises
    ------
    WeightsError
        For new rows without their trials, or without their precisions.
    """
    known = fit.model.observations
    for noun, had, has in (("trials", known.trials, obs.trials), ("weights", known.precision, obs.precision)):
        if had is not None and has is None:
            raise WeightsError(
                f'kind="response" needs the {noun} of the new rows', hint=f"Add the {noun} column to the new data."
            )


def _trials(fit: Fit, rows: Rows) -> np.ndarray | None:
    """``trials(n)`` or ``cbind(k, n - k)`` of new rows; the weights of a proportion ``k / n``."""
    if rows.trials is not None:
        return rows.trials
    return rows.weights if _proportions(fit) else None


def _proportions(fit: Fit) -> bool:
    """Whether the argument `weights` was the number of trials."""
    memory = fit.model.design.memory
    return memory.weights is not None and modifier(memory.formula, "weights") is None


def _bounds(fit: Fit, table: Any) -> tuple[np.ndarray, np.ndarray]:
    """``trunc(lb, ub)`` of new rows."""
    memory = fit.model.design.memory
    call = modifier(memory.formula, "trunc")
    assert call is not None
    given = dict(zip(("lb", "ub"), call.arguments, strict=False)) | dict(call.keywords)
    columns = NewColumns(table, memory)
    ends = (("lb", -np.inf), ("ub", np.inf))
    low, high = (
        np.asarray(numbers(given[end], columns), dtype=float) if end in given else np.full(columns.n, other)
        for end, other in ends
    )
    return low, high
