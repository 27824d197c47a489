"""Which columns of a table a formula reads."""

from __future__ import annotations

from collections.abc import Iterable

from .evaluate import column_names
from .formula import Call, Expression, Formula, Part


def variables(formula: Formula, *more: str) -> tuple[str, ...]:
    """The columns of the table that a formula reads, in order, then `more`."""
    response = formula.response.expression
    joined = isinstance(response, Call) and response.function == "cbind"
    expressions: list[Expression] = [*response.arguments] if joined and isinstance(response, Call) else [response]
    for _, call in formula.response.modifiers:
        expressions.extend(call.arguments)
        expressions.extend(value for _, value in call.keywords)
    names = [name for e in expressions for name in column_names(e)]
    return tuple(dict.fromkeys([*names, *predictors(formula, True, *more)]))


def predictors(formula: Formula, groups: bool, *more: str | None) -> Iterable[str]:
    """The columns right of the tilde, in order, then `more`."""
    parts: tuple[Formula | Part, ...] = (formula, *formula.further)
    terms = [g for part in parts if groups for g in part.groups]
    sums = [*(part.fixed for part in parts), *(g.coefficients for g in terms)]
    names = [name for s in sums for t in s.terms for factor in t.factors for name in column_names(factor)]
    names += [name for g in terms for name in g.levels]
    names += [name for part in parts for e in part.offsets for name in column_names(e)]
    names += [name for name in more if name is not None]
    return dict.fromkeys(names)
