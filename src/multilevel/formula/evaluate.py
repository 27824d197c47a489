"""Numbers from expressions: ``Days``, ``log(x + 1)``, ``I(x^2)``, ``scale(log(dose))``.

Formula text is data: an expression is walked node by node, and only listed functions are called.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormulaError, printable
from ..transforms.base import Memory, Transform, bind, check_finite, transform
from .formula import Binary, Call, Expression, Name, Number, Text, Unary, Word

if TYPE_CHECKING:
    from .columns import Columns

CONSTANTS = {"True": True, "TRUE": True, "False": False, "FALSE": False, "None": None, "NULL": None}
OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: np.true_divide(a, b),  # a plain Python division by zero would raise
    "%": np.remainder,
    "^": lambda a, b: np.asarray(a, float) ** b,
}


def column_names(expression: Expression) -> tuple[str, ...]:
    """The data columns an expression reads; settings such as ``Sum`` in ``C(f, Sum)`` are not columns."""
    if type(expression) is Name:
        return (expression.name,)
    parts = expression.arguments[:1] if isinstance(expression, Call) else expression.children()
    return tuple(name for part in parts for name in column_names(part))


def numbers(expression: Expression, columns: Columns) -> np.ndarray:
    """The values of an expression in each row.

    Raises
    ------
    NonFiniteError
        Where finite arguments give no finite value, as in the logarithm of zero.
    FormulaError
        For a function that gives several columns, or that needs no numbers, within arithmetic.
    """
    if type(expression) is Name:
        return columns.numbers(expression.name)
    with np.errstate(all="ignore"):
        values = np.asarray(_value(expression, columns), float)
    values = np.full(columns.n, values) if values.ndim == 0 else values
    _check_arithmetic(expression, values, columns)
    return values


def basis(call: Call, columns: Columns) -> tuple[Memory, tuple[np.ndarray, ...]]:
    """All columns of a call such as ``poly(x, 2)``, with its memory."""
    chosen = transform(call.function, call.at)
    label = label_of(call)
    x, settings = _argument(call, chosen, label, columns)
    if chosen.stateless:
        memory: Memory = {"fields": []}
    else:
        memory = columns.learned(label, lambda: chosen.learn(x, label, **settings))
    with np.errstate(all="ignore"):
        values = chosen.apply(x, memory, label)
    argument = label_of(call.arguments[0])
    for column in values:
        check_finite(column, x, label, argument, chosen.outside, columns.row)
    return memory, values


def label_of(expression: Expression) -> str:
    """How outputs call an expression: as formulaic does, ``C(f, Sum)`` and ``poly(x, 2, raw=True)``.

    The formula keeps these as ``Sum()`` and ``raw=1``, and its own text says so.
    """
    return expression.name if isinstance(expression, Name) else str(_spoken(expression))


def _spoken(expression: Expression) -> Expression:
    """The expression with contrasts and truth values as the names that users type."""
    if isinstance(expression, Binary):
        return replace(expression, left=_spoken(expression.left), right=_spoken(expression.right))
    if isinstance(expression, Unary):
        return replace(expression, operand=_spoken(expression.operand))
    if not isinstance(expression, Call):
        return expression
    if expression.function == "C":
        bare = [Name(a.function) if isinstance(a, Call) and not a.children() else a for a in expression.arguments]
        return replace(expression, arguments=tuple(bare))
    if expression.function == "cbind":  # two columns of a response, no function
        return replace(expression, arguments=tuple(map(_spoken, expression.arguments)))
    settings = transform(expression.function, expression.at).settings
    given = zip(expression.arguments[1:], chain(settings.values(), repeat(None)), strict=False)
    return replace(
        expression,
        arguments=(*map(_spoken, expression.arguments[:1]), *(_truth(a, default) for a, default in given)),
        keywords=tuple((k, _truth(v, settings.get(k))) for k, v in expression.keywords),
    )


def _truth(value: Expression, default: Any) -> Expression:
    """1 and 0 as True and False where a setting is one or the other."""
    if isinstance(default, bool) and isinstance(value, Number) and value.value in (0, 1):
        return Word(str(bool(value.value)))
    return value


def literal(expression: Expression) -> Any:
    """The value of a setting: a number, text, truth value, or ``c(1, 2)``."""
    if isinstance(expression, Number):
        return int(expression.value) if expression.value == int(expression.value) else expression.value
    if isinstance(expression, Text):
        return expression.value
    if isinstance(expression, Name) and expression.name in CONSTANTS:
        return CONSTANTS[expression.name]
    if isinstance(expression, Unary) and isinstance(expression.operand, Number):
        return -literal(expression.operand) if expression.operator == "-" else literal(expression.operand)
    if isinstance(expression, Call) and expression.function in ("c", "list"):
        return [literal(a) for a in expression.arguments]
    raise FormulaError(
        f'the setting "{printable(expression)}" is not a constant',
        code="E_FORMULA_FUNCTION",
        hint="Settings are numbers, quoted text, True, False or c(1, 2).",
        position=expression.at,
    )


def _argument(call: Call, chosen: Transform, label: str, columns: Columns) -> tuple[np.ndarray, dict[str, Any]]:
    """The column a call is about, and its settings."""
    if not call.arguments:
        raise FormulaError(f"{printable(label)} names no column", code="E_FORMULA_FUNCTION", position=call.at)
    given = tuple(literal(a) for a in call.arguments[1:])
    settings = bind(chosen, label, given, {k: literal(v) for k, v in call.keywords})
    return numbers(call.arguments[0], columns), settings


def _value(expression: Expression, columns: Columns) -> Any:
    """Numbers or one number, without the final check."""
    if isinstance(expression, Name):
        return columns.numbers(expression.name)
    if isinstance(expression, Number):
        return float(expression.value)
    if isinstance(expression, Unary):
        value = _value(expression.operand, columns)
        return -value if expression.operator == "-" else value
    if isinstance(expression, Binary):
        return OPERATORS[expression.operator](_value(expression.left, columns), _value(expression.right, columns))
    if isinstance(expression, Call) and expression.function != "C":
        _, values = basis(expression, columns)
        if len(values) == 1:
            return values[0]
        raise FormulaError(
            f"{printable(expression)} gives {len(values)} columns and cannot stand inside another expression",
            code="E_FORMULA_FUNCTION",
            position=expression.at,
        )
    raise FormulaError(f'"{printable(expression)}" is no number', code="E_FORMULA_FUNCTION", position=expression.at)


def _check_arithmetic(expression: Expression, values: np.ndarray, columns: Columns) -> None:
    """Arithmetic on finite columns must stay finite: ``a / b`` with b = 0 is refused."""
    if np.isfinite(values).all():
        return
    present = np.zeros(columns.n)
    for name in column_names(expression):
        present = present + columns.numbers(name) * 0.0  # NaN where a column is missing
    argument = str(expression.right) if isinstance(expression, Binary) and expression.operator == "/" else ""
    check_finite(values, present, str(expression), argument, "= 0" if argument else "", columns.row)
