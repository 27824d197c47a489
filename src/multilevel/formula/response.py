"""The left side of a formula: which modifiers a family reads, and the response as the table has it.

    y        cbind(k, n - k)        k | trials(n)        y | cens(kind, upper) + trunc(lb, ub)        y | weights(w)

A `Given` is made of the rows kept; what of it lies within the support is the family's to say (`Family.observe`).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import DtypeError, DtypeWarning, FormulaError, ResponseError, listed, printable, warn
from ..families.base import Given
from ..families.support import CENSORING
from .columns import CATEGORICAL, WORDS, TrainingColumns
from .evaluate import label_of, numbers
from .formula import Call, Expression, Name, Response

KNOWN_MODIFIERS = {"weights": (), "se": ("sigma",)}
OWNERS = {  # whose a modifier is, for messages
    "cbind": 'family="binomial" and "beta_binomial"',
    "trials": 'family="binomial" and "beta_binomial"',
    "cens": 'family="gaussian" and "lognormal"',
    "trunc": 'family="gaussian", "lognormal", "poisson" and the negative binomial ones',
    "rate": 'counts with the log link: family="poisson", "negative_binomial"',
    "se": "linear models: normal errors and the identity link",
}


def response_values(expression: Expression, columns: TrainingColumns) -> tuple[np.ndarray, tuple[DtypeWarning, ...]]:
    """The response of a linear model in each row kept, and a warning if truth values were read as 0 and 1.

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
    """Refuse what linear models do not read, and malformed modifiers, before any data is read."""
    if isinstance(response.expression, Call) and response.expression.function == "cbind":
        raise _belongs_elsewhere("cbind", response.expression, "gaussian")
    for name, call in response.modifiers:
        if name not in KNOWN_MODIFIERS:
            raise _belongs_elsewhere(name, call, "gaussian")
        strange = [key for key, _ in call.keywords if key not in KNOWN_MODIFIERS[name]]
        if len(call.arguments) != 1 or strange:
            raise FormulaError(
                f"{printable(call)} cannot be read",
                code="E_FORMULA_FUNCTION",
                hint=f"Write {name}(column).",
                position=call.at,
            )


def check_modifiers(name: str, family: Any, response: Response) -> None:
    """Refuse modifiers that a family does not read, before any data is read.

    Raises
    ------
    FormulaError
        E_FORMULA_FUNCTION: the modifier, the family, and those that read it.
    """
    expression = response.expression
    if isinstance(expression, Call) and expression.function == "cbind" and "trials" not in family.takes:
        raise _belongs_elsewhere("cbind", expression, name)
    for modifier, call in response.modifiers:
        if modifier != "weights" and modifier not in family.takes:
            raise _belongs_elsewhere(modifier, call, name)


def _belongs_elsewhere(modifier: str, call: Call, family: str) -> FormulaError:
    return FormulaError(
        f'{printable(modifier)}() cannot be used with family="{printable(family)}"',
        code="E_FORMULA_FUNCTION",
        hint=f"It belongs to {OWNERS[modifier]}." if modifier in OWNERS else "",
        position=call.at,
    )


def given_response(response: Response, columns: TrainingColumns, weights: np.ndarray | None, kind: str) -> Given:
    """The response of the rows kept, for `Family.observe`.

    Parameters
    ----------
    weights : (n,) or None
    kind : "frequency" or "precision": what the weights are
    """
    expression = response.expression
    common: dict[str, Any] = {
        "modifiers": {name: _modifier(name, call, columns) for name, call in response.modifiers if name in READ},
        "weights": weights,
        "weights_kind": kind,
        "rows": columns.kept,
    }
    if isinstance(expression, Call) and expression.function == "cbind":
        first, *others = (numbers(part, columns) for part in expression.arguments)
        _check_failures(expression, first, others, columns)
        return Given(str(expression), first, columns=tuple(others), **common)
    if not isinstance(expression, Name):
        return Given(label_of(expression), numbers(expression, columns), **common)
    name = expression.name
    found = columns.table.kind(name)
    if found not in CATEGORICAL:
        return Given(name, columns.numbers(name), found, **common)
    codes, levels = _categories(name, columns)
    return Given(name, codes.astype(float), found, levels, **common)


def _categories(name: str, columns: TrainingColumns) -> tuple[np.ndarray, tuple[str, ...]]:
    """Codes and levels; a category type keeps declared levels that do not occur, text does not have any."""
    if columns.table.kind(name) != "category":
        return columns.group(name)
    factor = columns.table.factor(name)
    codes = factor.codes if columns.kept is None else factor.codes[columns.kept]
    return codes, tuple(factor.levels)


def _check_failures(call: Call, successes: np.ndarray, others: list[np.ndarray], columns: TrainingColumns) -> None:
    """``cbind(k, n)`` with a constant column n is a number of trials where the failures belong.

    R reads it as failures, and the probabilities of such a fit are wrong without a word.
    """
    if len(call.arguments) != 2 or not isinstance(call.arguments[1], Name) or len(successes) < 2:
        return
    failures, k, n = others[0], str(call.arguments[0]), str(call.arguments[1])
    constant = bool(np.all(failures == failures[0]))
    if constant and not np.all(successes == successes[0]):
        rows = np.flatnonzero(successes > failures)
        most = (
            f', and "{printable(k)}" is {successes[rows[0]]:g} in row {columns.row(int(rows[0]))}' if len(rows) else ""
        )
        raise ResponseError(
            f'cbind(): "{printable(n)}" is {failures[0]:g} in every row, as a number of trials would be{most}; '
            "the second column holds failures",
            hint=f"Write {k} | trials({n}) or cbind({k}, {n} - {k}); if it holds failures, {k} | trials({k} + {n}).",
        )


# --- modifiers ---------------------------------------------------------------------------------------------------
READ = ("trials", "cens", "trunc")  # weights and rate are read where weights and offsets are


def _modifier(name: str, call: Call, columns: TrainingColumns) -> tuple[np.ndarray | None, ...]:
    """The columns of one modifier."""
    if name == "cens":
        kind, *ends = call.arguments
        return (_kinds(kind, columns), *(numbers(end, columns) for end in ends))
    if name == "trunc":
        given = dict(zip(("lb", "ub"), call.arguments, strict=False)) | dict(call.keywords)
        return tuple(numbers(given[end], columns) if end in given else None for end in ("lb", "ub"))
    return tuple(numbers(argument, columns) for argument in call.arguments)


def _kinds(expression: Expression, columns: TrainingColumns) -> np.ndarray:
    """Codes of censoring from numbers, truth values (True: right) or the words left, none, right, interval."""
    if not isinstance(expression, Name) or columns.table.kind(expression.name) not in CATEGORICAL:
        return numbers(expression, columns)
    codes, levels = columns.group(expression.name)
    unknown = [level for level in levels if level not in CENSORING]
    if unknown:
        raise ResponseError(
            f'cens(): column "{printable(expression.name)}" holds {listed(unknown)}',
            hint=f"Kinds of censoring are {listed(CENSORING, 4)}, or -1, 0, 1 and 2.",
            column=expression.name,
        )
    return np.array([CENSORING[level] for level in levels], dtype=float)[codes]
