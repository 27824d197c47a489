"""The columns of a sum of terms, for the fixed part and for the coefficients left of a bar alike.

    names, columns = model_columns(terms, columns)

Names and order are formulaic's: ``Intercept``, ``Days``, ``sex[T.female]``, ``sex[T.female]:x``; within an interaction
the first factor varies fastest. The intercept's column is None: it is never stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from ..errors import FormulaError, MemoryNeededError, printable
from ..transforms.contrasts import contrast
from .columns import Columns
from .evaluate import basis, label_of, literal, numbers
from .formula import Call, Expression, Name, Term, Terms, Text
from .spans import pieces

Named = tuple[tuple[str, ...], tuple[np.ndarray, ...]]
MOST_BYTES = 16 * 10**9
MOST_FACTORS = 8  # a term of k factors is taken apart into 2^k pieces


@dataclass(frozen=True)
class NumericPart:
    """One or more numeric columns; a basis that spans the intercept loses its first column when reduced."""

    names: tuple[str, ...]
    values: tuple[np.ndarray, ...]
    spans_intercept: bool = False

    def coded(self, reduced: bool) -> Named:
        drop = int(reduced and self.spans_intercept)
        return self.names[drop:], self.values[drop:]


@dataclass(frozen=True)
class FactorPart:
    """A factor: all its indicators, or the columns of its contrast when reduced."""

    label: str
    codes: np.ndarray
    levels: tuple[str, ...]
    coding: Expression | None = None
    spans_intercept: bool = True

    def coded(self, reduced: bool) -> Named:
        _check_size(self.label, len(self.levels), (self.codes,))
        if not reduced:
            names = tuple(f"{self.label}[{level}]" for level in self.levels)
            return names, tuple(self._indicator(i) for i in range(len(self.levels)))
        if self.coding is None:  # treatment contrasts need no matrix
            names = tuple(f"{self.label}[T.{level}]" for level in self.levels[1:])
            return names, tuple(self._indicator(i) for i in range(1, len(self.levels)))
        fields, matrix = chosen_contrast(self.coding, self.levels)
        columns = tuple(self._with_missing(np.ascontiguousarray(matrix[:, j])[self.codes]) for j in range(len(fields)))
        return tuple(f"{self.label}[{field}]" for field in fields), columns

    def _indicator(self, level: int) -> np.ndarray:
        return self._with_missing((self.codes == level).astype(np.float64))

    def _with_missing(self, column: np.ndarray) -> np.ndarray:
        if len(self.codes) and self.codes.min() < 0:  # only new rows can lack a label
            column[self.codes < 0] = np.nan
        return column


Part = NumericPart | FactorPart


def model_columns(terms: Terms, columns: Columns) -> tuple[tuple[str, ...], tuple[np.ndarray | None, ...]]:
    """Names and columns of an intercept and terms."""
    names: list[str] = ["Intercept"] if terms.intercept else []
    values: list[np.ndarray | None] = [None] if terms.intercept else []
    spanned: set = {frozenset()} if terms.intercept else set()
    for term in terms.terms:
        for piece_names, piece_values in _term(term, spanned, columns):
            names.extend(piece_names)
            values.extend(piece_values)
    return tuple(names), tuple(values)


def chosen_contrast(coding: Expression, levels: tuple[str, ...]) -> tuple[tuple[str, ...], np.ndarray]:
    """``Sum``, ``contr.sum`` or ``Treatment('b')`` for the given levels."""
    if isinstance(coding, Call):
        given = tuple(literal(a) for a in coding.arguments)
        return contrast(coding.function, levels, given, **{k: literal(v) for k, v in coding.keywords})
    if isinstance(coding, Name):
        return contrast(coding.name, levels)
    if isinstance(coding, Text):
        return contrast(coding.value, levels)
    raise FormulaError(
        f'"{printable(coding)}" is no contrast', code="E_FORMULA_FUNCTION", hint="Write C(f, Sum).", position=coding.at
    )


def _term(term: Term, spanned: set, columns: Columns) -> list[Named]:
    """What one term adds to the columns before it."""
    factors = term.factors
    parts = {label_of(f): _part(f, columns) for f in factors}
    if len(parts) > MOST_FACTORS:
        raise FormulaError(
            f"the term {printable(term)} has more than {MOST_FACTORS} factors", code="E_FORMULA_FUNCTION"
        )
    fresh = pieces(((label, part.spans_intercept) for label, part in parts.items()), spanned)
    return [_product([_coded(label, parts[label], reduced, columns) for label, reduced in piece]) for piece in fresh]


def _product(coded: list[Named]) -> Named:
    """All products of one column from each factor; the first factor varies fastest."""
    if len(coded) == 1:
        return coded[0]
    _check_size(":".join(c[0][0] for c in coded if c[0]), math.prod(len(c[0]) for c in coded), coded[0][1])
    names, values = [], []
    for choice in product(*(range(len(c[0])) for c in reversed(coded))):
        picked = list(zip(coded, reversed(choice), strict=True))
        names.append(":".join(c[0][i] for c, i in picked))
        values.append(reduce(np.multiply, [c[1][i] for c, i in picked]))
    return tuple(names), tuple(values)


def _check_size(label: str, count: int, columns: tuple[np.ndarray, ...]) -> None:
    """Refuse what would not fit into memory, before it is made."""
    needed = count * len(columns[0]) * 8 if columns else 0
    if needed > MOST_BYTES:
        raise MemoryNeededError(
            f"{printable(label)} has {count} columns for {len(columns[0])} rows: {needed / 1e9:.1f} GB",
            hint="Factors of many levels belong right of a bar: (1 | group).",
        )


def _coded(label: str, part: Part, reduced: bool, columns: Columns) -> Named:
    key = (label, reduced)
    if key not in columns.parts:
        columns.parts[key] = part.coded(reduced)
    return columns.parts[key]


def _part(factor: Expression, columns: Columns) -> Part:
    label = label_of(factor)
    if label not in columns.parts:
        columns.parts[label] = _new_part(factor, label, columns)
    return columns.parts[label]


def _new_part(factor: Expression, label: str, columns: Columns) -> Part:
    if isinstance(factor, Name):
        if columns.categorical(factor.name):
            return FactorPart(label, *columns.factor(factor.name))
        return NumericPart((label,), (columns.numbers(factor.name),))
    if isinstance(factor, Call):
        return _factor_call(factor, label, columns) if factor.function == "C" else _basis_call(factor, label, columns)
    return NumericPart((label,), (numbers(factor, columns),))


def _basis_call(call: Call, label: str, columns: Columns) -> NumericPart:
    memory, values = basis(call, columns)
    names = tuple(f"{label}[{field}]" for field in memory["fields"]) or (label,)
    return NumericPart(names, values, bool(memory.get("spans_intercept")))


def _factor_call(call: Call, label: str, columns: Columns) -> FactorPart:
    """``C(f)``, ``C(f, Sum)``, ``C(f, contr=Treatment('b'))``."""
    settings = [*call.arguments[1:], *(value for _, value in call.keywords)]
    unknown = [key for key, _ in call.keywords if key not in ("contr", "contrasts")]
    if not call.arguments or not isinstance(call.arguments[0], Name) or len(settings) > 1 or unknown:
        raise FormulaError(
            f"{printable(label)} cannot be read",
            code="E_FORMULA_FUNCTION",
            hint="Write C(column) or C(column, Sum).",
            position=call.at,
        )
    codes, levels = columns.factor(call.arguments[0].name)
    return FactorPart(label, codes, levels, settings[0] if settings else None)
