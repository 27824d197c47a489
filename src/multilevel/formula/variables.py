"""Which columns of a table a formula reads."""

from __future__ import annotations

from collections.abc import Iterable

from .evaluate import column_names
from .formula import Expression, Formula


def variables(formula: Formula, *more: str) -> tuple[str, ...]:
    """The columns of the table that a formula reads, in order, then `more`."""
    expressions: list[Expression] = [formula.response.expression]
    for _, call in formula.response.modifiers:
        expressions.append(call.arguments[0])
    names = [name for e in expressions for name in column_names(e)]
    return tuple(dict.fromkeys([*names, *predictors(formula, True, *more)]))


def predictors(formula: Formula, groups: bool, *more: str | None) -> Iterable[str]:
    """The columns right of the tilde, in order, then `more`."""
    sums = [formula.fixed, *(g.coefficients for g in formula.groups if groups)]
    names = [name for terms in sums for t in terms.terms for factor in t.factors for name in column_names(factor)]
    names += [name for g in formula.groups if groups for name in g.levels]
    names += [name for e in formula.offsets for name in column_names(e)]
    names += [name for name in more if name is not None]
    return dict.fromkeys(names)
