"""The contract of a column, and the columns whose values need no inspection.

    column.kind                 "numeric" | "boolean" | "text" | "category" | "datetime" | "complex" | "other"
    column.n                    number of rows
    column.numbers(name)        float64, NaN where missing, or DtypeError
    column.missing()            boolean mask, or None when nothing is missing
    column.factor(name)         Factor, or DtypeError

A column does not know its name, since a name is the table's affair; it is handed over for the messages.
Arrays come back as views of the caller's data wherever that is possible, and may be read-only: never write to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..errors import DtypeError, listed, printable
from .factors import Factor, factor_of, label, merged


class Column(Protocol):
    """What a column of any table answers."""

    @property
    def kind(self) -> str: ...

    @property
    def n(self) -> int: ...

    def numbers(self, name: str) -> np.ndarray: ...

    def missing(self) -> np.ndarray | None: ...

    def factor(self, name: str) -> Factor: ...


def refusal(name: str, what: str, hint: str = "", *, code: str = "E_DTYPE", **context: Any) -> DtypeError:
    """The error for a column that holds `what` where numbers are needed."""
    message = f'column "{printable(name)}" holds {what}, not numbers'
    return DtypeError(message, hint=hint, code=code, column=name, **context)


def conversion(name: str) -> str:
    """The remedy for text and categories."""
    return f'Convert it yourself if that is what you mean (convert: df["{printable(name)}"] as float)'


def some(mask: np.ndarray) -> np.ndarray | None:
    """The mask, or None when it marks nothing."""
    return mask if mask.any() else None


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """Integers, floats or booleans, with an optional mask of missing values (True = missing)."""

    values: np.ndarray
    mask: np.ndarray | None = None

    @property
    def kind(self) -> str:
        return "boolean" if self.values.dtype.kind == "b" else "numeric"

    @property
    def n(self) -> int:
        return len(self.values)

    def numbers(self, name: str) -> np.ndarray:
        if self.mask is None and self.values.dtype == np.float64:
            return np.ascontiguousarray(self.values)  # no copy unless strided
        with np.errstate(over="ignore"):  # a longdouble beyond the range of float64 is infinite
            out = np.ascontiguousarray(self.values, dtype=np.float64)
        if self.mask is not None:
            out = out.copy() if out is self.values else out
            out[self.mask] = np.nan
        return out

    def missing(self) -> np.ndarray | None:
        return self._not_a_number() if self.mask is None else some(self.mask | np.isnan(self.values))

    def _not_a_number(self) -> np.ndarray | None:
        # the minimum is NaN if any value is, and costs no temporary
        if self.values.dtype.kind != "f" or self.n == 0 or not np.isnan(self.values.min()):
            return None
        return np.isnan(self.values)

    def factor(self, name: str) -> Factor:
        return factor_of(self.values, self.missing())


@dataclass(frozen=True, eq=False)
class CategoryColumn:
    """Codes (-1 where missing) into categories that have an order of their own."""

    codes: np.ndarray
    categories: Sequence[Any]
    ordered: bool = False

    kind = "category"

    @property
    def n(self) -> int:
        return len(self.codes)

    def numbers(self, name: str) -> np.ndarray:
        raise refusal(name, f"categories ({listed(map(label, self.categories))})", conversion(name))

    def missing(self) -> np.ndarray | None:
        if None in self.categories:
            return some(self.factor("").codes < 0)
        return some(self.codes < 0)

    def factor(self, name: str) -> Factor:
        return merged(self.codes.astype(np.int32, copy=False), self.categories, self.ordered)


@dataclass(frozen=True, eq=False)
class TimeColumn:
    """Dates, times or durations: levels perhaps, but numbers only after the user has said which."""

    values: np.ndarray

    kind = "datetime"

    @property
    def n(self) -> int:
        return len(self.values)

    def numbers(self, name: str) -> np.ndarray:
        raise time_refusal(name, str(self.values.dtype))

    def missing(self) -> np.ndarray | None:
        return some(np.isnat(self.values))

    def factor(self, name: str) -> Factor:
        return factor_of(self.values, self.missing())


@dataclass(frozen=True, eq=False)
class RefusedColumn:
    """What cannot enter a model at all: complex numbers, lists, matrices."""

    kind: str
    what: str
    n: int

    def numbers(self, name: str) -> np.ndarray:
        raise refusal(name, self.what, "Put plain numbers, one a row, into a column of their own")

    def missing(self) -> np.ndarray | None:
        return None

    def factor(self, name: str) -> Factor:
        raise level_refusal(name, self.what)


def level_refusal(name: str, what: str) -> DtypeError:
    return DtypeError(f'column "{printable(name)}" holds {what}, which cannot be levels of a group', column=name)


def time_refusal(name: str, what: str) -> DtypeError:
    """A count of days, of seconds, since when? The user has to say, and this shows how."""
    column = f'df["{printable(name)}"]'
    if "timedelta" in what:
        return refusal(name, f"durations ({what})", f"Choose the unit: {column} = {column}.dt.total_seconds()")
    hint = f"Write the number you mean: {column} = ({column} - {column}.min()).dt.days  # days since the first"
    return refusal(name, f"datetimes ({what})", hint)
