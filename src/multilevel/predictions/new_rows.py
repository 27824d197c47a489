"""The response side of new rows: trials, precisions and bounds to predict with, and responses to learn from."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingDataError, ResponseError, WeightsError, listed, printable
from ..families.base import Observations
from ..families.support import CENSORING
from ..formula.columns import CATEGORICAL, NewColumns
from ..formula.design import Rows
from ..formula.evaluate import numbers
from ..formula.formula import Call, Name
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


# --- responses that are known ------------------------------------------------------------------------------------
def observed(fit: Fit, rows: Rows, table: Any, eta: np.ndarray) -> Observations:
    """New rows with their response, read as the family read the training rows; η are their linear predictors.

    Raises
    ------
    MissingDataError, ResponseError
        For a response that is missing, unknown as a category, or outside the support.
    """
    obs = observations(fit, rows, table)
    y = _response(fit, table, obs)
    missing = np.flatnonzero(~np.isfinite(y))
    name = printable(fit.model.design.response_name)
    if len(missing):
        raise MissingDataError(
            f'the response "{name}" is missing in {len(missing)} rows (first row {missing[0]})',
            hint="Give update_groups the rows whose response is known, and predict the others.",
        )
    needed_for_a_response(fit, obs)
    weights = rows.weights if fit.model.observations.weights is not None else None
    codes, upper = _censoring(fit, table)
    obs = replace(obs.with_y(y), weights=weights, censored=codes, upper=upper)
    with np.errstate(all="ignore"):
        possible = np.isfinite(fit.model.distribution.log_density(obs, eta))
    if fit.model.distribution.family.discrete:
        possible &= (y >= 0) & (y == np.floor(y)) & (obs.trials is None or y <= obs.trials)
    bad = np.flatnonzero(~possible)
    if len(bad):
        raise ResponseError(
            f'response "{name}" is outside the support of the family "{fit.model.family}": '
            f"{y[bad[0]]:.12g} in row {bad[0]}",
            hint="Check these rows, and that they have the units of the data of the fit.",
        )
    return obs


def _response(fit: Fit, table: Any, obs: Observations) -> np.ndarray:
    """The response as `Observations.y` holds it."""
    memory = fit.model.design.memory
    expression, columns = memory.formula.response.expression, NewColumns(table, memory)
    if isinstance(expression, Call) and expression.function == "cbind":
        return np.asarray(numbers(expression.arguments[0], columns), dtype=float)
    if not isinstance(expression, Name):
        y = np.asarray(numbers(expression, columns), dtype=float)
    elif table.kind(expression.name) in CATEGORICAL:
        return _places(table, expression.name, obs.levels)
    else:
        y = columns.numbers(expression.name)
    if obs.levels and obs.levels != ("False", "True"):
        place = {level: float(k) for k, level in enumerate(obs.levels)}
        return np.array([place.get(f"{v:.12g}", -1.0) if np.isfinite(v) else np.nan for v in y])
    if obs.trials is not None and _proportions(fit):
        return np.asarray(np.round(y * obs.trials))
    return np.asarray(y, dtype=float)


def _places(table: Any, name: str, levels: tuple[str, ...]) -> np.ndarray:
    """Places of labels among those of the fit; NaN where missing."""
    factor = table.factor(name)
    place = {level: float(k) for k, level in enumerate(levels)}
    unknown = [level for level in factor.levels if level not in place]
    if unknown:
        raise ResponseError(
            f'response "{printable(name)}" has {listed(unknown)}, which the data of the fit had not',
            hint=f"Known: {listed(levels, 6)}.",
        )
    known = np.array([place[level] for level in factor.levels], dtype=float)
    return np.where(factor.codes >= 0, known[factor.codes], np.nan)


def _censoring(fit: Fit, table: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Codes and upper ends of ``cens(kind, upper)``."""
    memory = fit.model.design.memory
    call = modifier(memory.formula, "cens")
    if call is None:
        return None, None
    kind, *ends = call.arguments
    columns = NewColumns(table, memory)
    if isinstance(kind, Name) and table.kind(kind.name) in CATEGORICAL:
        codes = _places(table, kind.name, tuple(sorted(CENSORING, key=CENSORING.__getitem__))) - 1.0
    else:
        codes = np.asarray(numbers(kind, columns), dtype=float)
    upper = np.asarray(numbers(ends[0], columns), dtype=float) if ends else None
    return codes.astype(np.int8), upper
