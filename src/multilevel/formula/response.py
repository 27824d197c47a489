"""The response as numbers."""

from __future__ import annotations

import numpy as np

from ..errors import DtypeError, DtypeWarning, FormulaError, printable, warn
from .columns import CATEGORICAL, WORDS, TrainingColumns
from .evaluate import numbers
from .formula import Call, Expression, Name, Response

KNOWN_MODIFIERS = {"weights": (), "se": ("sigma",)}


def response_values(expression: Expression, columns: TrainingColumns) -> tuple[np.ndarray, tuple[DtypeWarning, ...]]:
    """The response in each row kept, and a warning if truth values were read as 0 and 1.

    Raises
    ------
    DtypeError
        For text: it is never converted silently.
    """
    if not isinstance(expression, Name):
        return numbers(expression, columns), ()
    name = expression.name
    kind = columns.table.kind(name)
    if kind in CATEGORICAL:
        raise DtypeError(
            f'response "{printable(name)}" holds {WORDS.get(kind, "categories")} values, not numbers',
            code="E_RESPONSE_NOT_NUMERIC",
            hint="If the text holds numbers, convert it first, e.g. with astype(float).",
            column=name,
        )
    values = columns.numbers(name)
    if kind != "boolean":
        return values, ()
    warning = DtypeWarning(
        f'response "{printable(name)}" is bool: modelled as the numbers 0 and 1',
        code="W_BOOL_RESPONSE",
        hint='For a yes/no outcome use family="binomial".',
        column=name,
    )
    return values, (warn(warning),)  # type: ignore[return-value]


def check_response(response: Response) -> None:
    """Refuse what belongs to other families, and malformed modifiers, before any data is read."""
    if isinstance(response.expression, Call) and response.expression.function == "cbind":
        raise _other_family("cbind", response.expression)
    for name, call in response.modifiers:
        if name not in KNOWN_MODIFIERS:
            raise _other_family(name, call)
        strange = [key for key, _ in call.keywords if key not in KNOWN_MODIFIERS[name]]
        if len(call.arguments) != 1 or strange:
            raise FormulaError(
                f"{printable(call)} cannot be read",
                code="E_FORMULA_FUNCTION",
                hint=f"Write {name}(column).",
                position=call.at,
            )


def _other_family(name: str, call: Call) -> FormulaError:
    return FormulaError(
        f"{printable(name)}() belongs to families other than Gaussian, which are not available yet",
        code="E_FORMULA_FUNCTION",
        position=call.at,
    )


def check_modifiers(name, family, response):
    """PLACEHOLDER: owned by the families' work."""


def given_response(response, columns, weights, kind):
    """PLACEHOLDER: owned by the families' work."""
    from ..families.base import Given

    e = response.expression
    if isinstance(e, Call) and e.function == "cbind":
        k, f = (numbers(a, columns) for a in e.arguments)
        return Given(str(e), k, columns=(f,), weights=weights, weights_kind=kind)
    name = str(e)
    k = columns.table.kind(name) if isinstance(e, Name) else "numeric"
    if k in ("text", "category"):
        codes, levels = columns.group(name)
        return Given(name, codes.astype(float), k, levels, weights=weights, weights_kind=kind)
    return Given(name, numbers(e, columns), weights=weights, weights_kind=kind)
