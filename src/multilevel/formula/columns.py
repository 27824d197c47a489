"""Columns of a table as a design needs them: checked, restricted to the rows kept, with what training taught.

`TrainingColumns` learns (levels, kinds, memories of transforms); `NewColumns` knows them already and learns nothing.
Both answer the same questions, so that one piece of code builds the columns of the training rows and of new ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import compress
from typing import Any

import numpy as np

from ..errors import DtypeError, IdentifiabilityError, NonFiniteError, UnseenLevelError, listed, printable
from ..transforms.base import Memory
from .memory import DesignMemory

Codes = tuple[np.ndarray, tuple[str, ...]]

NUMERIC = frozenset({"numeric", "boolean"})  # as formulaic, a truth value is the number 0 or 1
CATEGORICAL = frozenset({"text", "category"})
WORDS = {"numeric": "float", "boolean": "bool", "text": "str"}  # how the types are called in messages
MANY_LEVELS = 500


class Columns(ABC):
    """Columns by name for the rows in use.

    Attributes
    ----------
    n : int
        Number of rows in use.
    parts : dict
        Columns already coded, shared between the fixed part and the group terms.
    """

    def __init__(self, table: Any, n: int) -> None:
        self.table = table
        self.n = n
        self.parts: dict[Any, Any] = {}
        self._numbers: dict[str, np.ndarray] = {}

    @abstractmethod
    def numbers(self, name: str) -> np.ndarray:
        """A numeric column."""

    @abstractmethod
    def categorical(self, name: str) -> bool:
        """Whether the bare column is a factor."""

    @abstractmethod
    def factor(self, name: str) -> Codes:
        """Codes and levels of a predictor."""

    @abstractmethod
    def learned(self, label: str, learn: Callable[[], Memory]) -> Memory:
        """The memory of a transform."""

    def row(self, i: int) -> int:
        """The place in the table of row `i` of those in use."""
        return i


class TrainingColumns(Columns):
    """The rows kept of the training table; `kept` is None when all are."""

    def __init__(self, table: Any, n: int, kept: np.ndarray | None) -> None:
        super().__init__(table, n if kept is None else len(kept))
        self.kept = kept
        self.kinds: dict[str, str] = {}
        self.levels: dict[str, tuple[str, ...]] = {}
        self.transforms: dict[str, Memory] = {}
        self._codes: dict[str, np.ndarray] = {}

    def row(self, i: int) -> int:
        return i if self.kept is None else int(self.kept[i])

    def numbers(self, name: str) -> np.ndarray:
        values = self._numbers.get(name)
        if values is None:
            values = finite_numbers(self.table, name)
            values = values if self.kept is None else values[self.kept]
            self._numbers[name] = values
        return values

    def categorical(self, name: str) -> bool:
        kind = self.kinds.get(name)
        if kind is None:
            kind = self.kinds[name] = self.table.kind(name)
        return kind in CATEGORICAL

    def group(self, name: str) -> Codes:
        """Codes and levels of a column; only levels that occur in the rows kept."""
        if name not in self.levels:
            factor = self.table.factor(name)
            codes, levels = factor.codes, tuple(factor.levels)
            if self.kept is not None:
                codes = codes[self.kept]
            # without dropped rows, only a category type can hold levels that do not occur
            if self.kept is not None or self.table.kind(name) == "category":
                codes, levels = without_unused(codes, levels)
            self._codes[name], self.levels[name] = codes, levels
        return self._codes[name], self.levels[name]

    def factor(self, name: str) -> Codes:
        codes, levels = self.group(name)
        if len(levels) < 2:
            raise IdentifiabilityError(
                f'factor "{printable(name)}" has one level ("{listed(levels)}") in {self.n} rows: '
                "its coefficient cannot be told from the intercept",
                code="E_ONE_LEVEL",
                hint=f'Leave "{printable(name)}" out.',
            )
        if len(levels) > MANY_LEVELS and 2 * len(levels) > self.n:
            raise IdentifiabilityError(
                f'factor "{printable(name)}" has {len(levels)} levels in {self.n} rows',
                code="E_MANY_LEVELS",
                hint=f"If it names groups, write (1 | {printable(name)}); if it holds numbers as text, convert it.",
            )
        return codes, levels

    def learned(self, label: str, learn: Callable[[], Memory]) -> Memory:
        if label not in self.transforms:
            self.transforms[label] = learn()
        return self.transforms[label]


class NewColumns(Columns):
    """All rows of a new table, read with what the training rows taught."""

    def __init__(self, table: Any, memory: DesignMemory) -> None:
        super().__init__(table, table.n_rows)
        self.memory = memory

    def numbers(self, name: str) -> np.ndarray:
        values = self._numbers.get(name)
        if values is None:
            kind = self.table.kind(name)
            # a column of nothing has no telling type: no rows, or all of them missing
            if kind not in NUMERIC and self._nothing(name):
                values = np.full(self.n, np.nan)
            elif kind in CATEGORICAL:
                raise changed_type(name, WORDS.get(self.memory.kinds.get(name, "numeric"), "float"), kind)
            else:
                values = finite_numbers(self.table, name)
            self._numbers[name] = values
        return values

    def categorical(self, name: str) -> bool:
        return self.memory.kinds[name] in CATEGORICAL

    def group(self, name: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Codes by the training levels (-1 where unknown or missing), and the new factor as it is."""
        factor = self.table.factor(name)
        codes, levels = factor.codes, tuple(factor.levels)
        if levels == self.memory.levels[name]:
            return codes, codes, levels
        place = self.memory.place(name)
        translation = np.array([*(place.get(v, -1) for v in levels), -1], dtype=np.int32)  # -1 reads the last entry
        return translation[codes], codes, levels

    def factor(self, name: str) -> Codes:
        codes, new, levels = self.group(name)
        unseen = np.flatnonzero((codes < 0) & (new >= 0))
        known = self.memory.levels[name]
        if len(unseen):
            values = dict.fromkeys(levels[new[i]] for i in unseen[:1000])
            raise UnseenLevelError(
                f'factor "{printable(name)}" has the value "{listed(values)}", which is not in the training data '
                f"(row {unseen[0]}; known: {listed(known, 10)})",
                hint="A fixed coefficient exists only for known levels.",
                column=name,
            )
        return codes, known

    def learned(self, label: str, learn: Callable[[], Memory]) -> Memory:
        return self.memory.transforms[label]

    def _nothing(self, name: str) -> bool:
        missing = self.table.missing(name)
        return self.n == 0 or (missing is not None and bool(missing.all()))


def finite_numbers(table: Any, name: str) -> np.ndarray:
    """A numeric column of all rows; missing values are NaN, infinities are refused."""
    kind = table.kind(name)
    if kind in CATEGORICAL:
        raise changed_type(name, "numbers", kind)
    values = table.numbers(name)
    if not np.isfinite(values).all():
        check_infinite(values, name)
    return values


def check_infinite(values: np.ndarray, name: str) -> None:
    """Infinity is neither a number to compute with nor a missing value."""
    rows = np.flatnonzero(np.isinf(values))
    if not len(rows):
        return
    signs = [sign for sign, hit in (("+inf", values[rows] > 0), ("-inf", values[rows] < 0)) if hit.any()]
    noun = "value" if len(rows) == 1 else "values"
    raise NonFiniteError(
        f'column "{printable(name)}" holds {len(rows)} infinite {noun} ({" and ".join(signs)}, first at row {rows[0]})',
        hint="Infinity is never dropped silently: replace it by a number, or by a missing value.",
        column=name,
        count=len(rows),
    )


def changed_type(name: str, expected: str, kind: str) -> DtypeError:
    """An error for text where numbers are needed."""
    found = WORDS.get(kind, kind)
    message = f'column "{printable(name)}" must hold {expected} here and holds {found}'
    return DtypeError(message, hint="Convert it to numbers first.", column=name)


def without_unused(codes: np.ndarray, levels: tuple[str, ...]) -> Codes:
    """Drop levels that do not occur; the order of the others stays."""
    seen = np.zeros(len(levels) + 1, dtype=bool)
    seen[codes] = True  # code -1 (missing) marks the extra place at the end
    if seen[:-1].all():
        return codes, levels
    rank = np.cumsum(seen[:-1], dtype=np.int32) - 1
    return rank[codes].astype(np.int32, copy=False), tuple(compress(levels, seen))
