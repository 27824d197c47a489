"""What a model must satisfy before anything is estimated. Cheap: one look at each column at most."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from ..errors import (
    IdentifiabilityError,
    IdentifiabilityWarning,
    MultilevelWarning,
    ResponseError,
    printable,
    warn,
)
from ..formula.design import Design, GroupColumns
from . import memory

if TYPE_CHECKING:
    from .model import Model

LOOK = 2000  # rows looked at before the whole column is


def model(m: Model) -> tuple[MultilevelWarning, ...]:
    """Refuse what cannot be estimated; return (and issue) the warnings."""
    design = m.design
    memory.check(design)
    if m.is_linear:
        _response_varies(design)
    _more_rows_than_columns(design)
    single = _single_trials(m)
    dispersed = m.is_linear or (bool(design.layout.parameters) and not single)
    for group in design.groups:
        _levels(design, group, dispersed, single)
    _aliased(design)
    found = [w for group in design.groups for w in _slopes_within(group)]
    found += _intercept(m)
    for w in found:
        warn(w)
    return tuple(found)


def _response_varies(design: Design) -> None:
    y = design.response
    if design.n > 1 and y[0] == y[-1] and np.all(y == y[0]):
        raise ResponseError(
            f'the response "{printable(design.response_name)}" is constant: every row is {y[0]:g}',
            code="E_CONSTANT_RESPONSE",
            hint="There is nothing to model; check the column.",
        )


def _single_trials(m: Model) -> bool:
    """Yes or no in each row: a row has no variance of its own to show."""
    trials = m.observations.trials
    single = trials is None or bool(np.all(trials == 1.0))
    return (
        m.distribution.family.discrete and m.family in ("bernoulli", "binomial", "cumulative", "categorical") and single
    )


def _more_rows_than_columns(design: Design) -> None:
    n, p = design.n, len(design.fixed_names)
    known = design.known_se is not None or not design.layout.parameters
    if n <= p and not (known and n == p):
        raise IdentifiabilityError(
            f"{n} rows cannot estimate {p} fixed effects and a residual variance",
            code="E_N_LE_P",
            hint="Use fewer terms or more rows.",
        )


def _levels(design: Design, group: GroupColumns, dispersed: bool, single: bool) -> None:
    """At least two levels, and more rows than group effects."""
    levels, k, n = len(group.levels), len(group.names), design.n
    name = printable(group.label)
    if levels < 2:
        raise IdentifiabilityError(
            f'the grouping column "{name}" has one level: a variance between groups needs at least two',
            code="E_ONE_LEVEL",
            hint=f"Remove the term ({printable(group.names[0])} | {name}).",
        )
    # counts have a variance of their own, and show effects of single rows; yes and no do not
    too_many = (dispersed and levels * k >= n) or (single and levels >= n)
    if design.known_se is None and too_many:
        what = "as many levels as rows" if k == 1 else f"{levels * k} effects ({levels} levels × {k}) for {n} rows"
        raise IdentifiabilityError(
            f'the grouping column "{name}" gives {what} ({n}): its variance cannot be told from the residual',
            code="E_LEVELS_EQUAL_ROWS",
            hint="Group by a coarser column, use fewer coefficients, or give known standard errors with se().",
        )


def _aliased(design: Design) -> None:
    """Two terms over the same partition with a coefficient in common."""
    for a, b in combinations(design.groups, 2):
        shared = set(a.names) & set(b.names)
        if a.label == b.label:
            if shared:
                _raise_aliased(a, b, f"both hold {', '.join(sorted(shared))} by {printable(a.label)}")
        elif shared and len(a.levels) == len(b.levels) and _same_partition(a, b):
            _raise_aliased(a, b, "they divide the rows in the same way")


def _raise_aliased(a: GroupColumns, b: GroupColumns, why: str) -> None:
    raise IdentifiabilityError(
        f'the group terms "{printable(a.label)}" and "{printable(b.label)}" cannot be told apart: {why}',
        code="E_ALIASED_GROUPS",
        hint="Remove one of them.",
    )


def _same_partition(a: GroupColumns, b: GroupColumns) -> bool:
    seen = np.full(len(a.levels), -1, dtype=np.int64)
    seen[a.codes] = b.codes
    # a bijection exactly when every row agrees with the last row of its level and no target repeats
    return bool(np.all(seen[a.codes[:LOOK]] == b.codes[:LOOK]) and np.all(seen[a.codes] == b.codes)) and len(
        np.unique(seen)
    ) == len(a.levels)


def _slopes_within(group: GroupColumns) -> list[MultilevelWarning]:
    """Slopes on predictors that do not vary within any level."""
    found: list[MultilevelWarning] = []
    for name, column in zip(group.names, group.columns, strict=True):
        if column is not None and _constant_within(column, group.codes, len(group.levels)):
            v, g = printable(name), printable(group.label)
            found.append(
                IdentifiabilityWarning(
                    f'"{v}" is constant within every level of "{g}": its slope by {g} shows only as extra variance '
                    f"between levels",
                    code="W_SLOPE_NO_WITHIN",
                    hint=f"Use (1 | {g}) unless a variance that changes with {v} is meant.",
                )
            )
    return found


def _constant_within(column: np.ndarray, codes: np.ndarray, levels: int) -> bool:
    value = np.zeros(levels)
    value[codes[:LOOK]] = column[:LOOK]
    if not np.array_equal(value[codes[:LOOK]], column[:LOOK]):
        return False
    value[codes] = column
    return bool(np.array_equal(value[codes], column))


def _intercept(m: Model) -> list[MultilevelWarning]:
    """Group intercepts around zero: only right when the fixed part holds no constant on purpose."""
    design = m.design
    if m.formula.fixed.intercept or not any(c is None for g in design.groups for c in g.columns):
        return []
    columns = [c for c in design.fixed_columns if c is not None]
    if columns:
        x = np.column_stack([c[:LOOK] for c in columns])
        ones = np.ones(len(x))
        fitted = x @ np.linalg.lstsq(x, ones, rcond=None)[0]
        if np.allclose(fitted, ones, atol=1e-8):
            return []
    group = next(g.label for g in design.groups if any(c is None for c in g.columns))
    return [
        IdentifiabilityWarning(
            f'the intercepts by "{printable(group)}" vary around zero: the formula has no fixed intercept',
            code="W_NO_INTERCEPT",
            hint="Add 1 to the formula unless the mean is known to be zero.",
        )
    ]
