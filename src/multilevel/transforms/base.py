"""The contract of a transform: learn numbers from the training column, apply them to any column.

    memory  = transform.learn(x, label, **settings)      JSON-able; learned once, from the training rows
    columns = transform.apply(x, memory, label)          the same function of x, whatever the other rows are

`memory["fields"]` names the columns inside the brackets of ``poly(x, 2)[1]``; an empty list means one column that is
named by the call alone. `memory["spans_intercept"]` says that the columns add up to the column of ones, so that the
first one is dropped when an intercept (or its equal) stands before them.
Each row of `apply` depends on that row of `x` only, bit for bit: predictions for a subset equal the subset of
predictions. Missing values (NaN) pass through.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..errors import FormulaError, NonFiniteError, listed, nearest, printable
from ..registry import member, members

Memory = dict[str, Any]

REQUIRED = object()
ALIASES = {"centre": "center", "standardize": "scale", "standardise": "scale"}
NOT_FUNCTIONS = {"contrasts"}  # a file of this folder that is no function of a column


class Transform(ABC):
    """A function of one numeric column.

    Attributes
    ----------
    settings : mapping
        Names and defaults of what may follow the column, in positional order; `REQUIRED` marks those without default.
    outside : str
        Where the function has no finite value, written after the argument: ``"<= 0"`` for ``log``.
    stateless : bool
        Nothing is learned: no memory is kept.
    """

    settings: ClassVar[Mapping[str, Any]] = {}
    outside: ClassVar[str] = ""
    stateless: ClassVar[bool] = False

    @abstractmethod
    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        """What must be remembered of the training column `x` (finite, nothing missing); `label` is for messages."""

    @abstractmethod
    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        """The columns for `x`, one for each field."""


@dataclass(frozen=True)
class Elementwise(Transform):
    """A transform without memory, such as ``log``."""

    function: Callable[[np.ndarray], np.ndarray]
    outside: str = ""  # type: ignore[misc]  # the same attribute, set for each instance
    stateless: ClassVar[bool] = True

    def learn(self, x: np.ndarray, label: str, **settings: Any) -> Memory:
        return {"fields": []}

    def apply(self, x: np.ndarray, memory: Memory, label: str) -> tuple[np.ndarray, ...]:
        # numpy may use another routine, differing in the last bit, for strided arrays: a slice must equal the whole
        return (self.function(np.ascontiguousarray(x)),)


def functions() -> tuple[str, ...]:
    """Names a formula may call on a column, aliases included."""
    return tuple(sorted({*members("transforms"), *ALIASES} - NOT_FUNCTIONS))


def transform(name: str, at: int = 0) -> Transform:
    """The transform called `name` in a formula."""
    known = functions()
    if name not in known:
        hint = nearest(name, known) or f"Known functions: {listed(known, 20)}."
        raise FormulaError(
            f'unknown function "{printable(name)}"', code="E_FORMULA_FUNCTION", hint=hint, position=at, known=known
        )
    return member("transforms", ALIASES.get(name, name))


def bind(chosen: Transform, label: str, given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """Positional and named settings as one dictionary, with defaults.

    A setting that is True or False by default reads 1 and 0 as such: formulas keep ``TRUE`` as the number 1.

    Raises
    ------
    FormulaError
        For too many settings, a name twice, an unknown name, or a missing one.
    """
    names = tuple(chosen.settings)
    if len(given) > len(names):
        raise refusal(label, f"takes at most {len(names)} settings after the column")
    values = dict(zip(names, given, strict=False))
    for name, value in named.items():
        if name not in names or name in values:
            why = "is given twice" if name in values else f"is no setting; known: {', '.join(names) or 'none'}"
            raise refusal(label, f'"{printable(name)}" {why}')
        values[name] = value
    for name, value in values.items():
        if isinstance(chosen.settings[name], bool):
            values[name] = truth(value, label, name)
    bound = {**chosen.settings, **values}
    for name, value in bound.items():
        if value is REQUIRED:
            raise refusal(label, f'the setting "{name}" is missing')
    return bound


def refusal(label: str, why: str) -> FormulaError:
    """An error about the settings of a call."""
    return FormulaError(f"{printable(label, 80)}: {why}", code="E_FORMULA_FUNCTION")


def truth(value: Any, label: str, name: str) -> bool:
    """`value` as True or False."""
    if not isinstance(value, int) or value not in (0, 1):
        raise refusal(label, f'"{name}" must be True or False, not {printable(value)}')
    return bool(value)


def whole(value: Any, label: str, name: str, least: int) -> int:
    """`value` as an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < least:
        raise refusal(label, f'"{name}" must be a whole number of at least {least}, not {printable(value)}')
    return int(value)


def check_finite(
    result: np.ndarray, x: np.ndarray, label: str, argument: str, outside: str, row: Callable[[int], int]
) -> None:
    """Refuse values that are not finite although their arguments were; `row` gives a row's place in the table."""
    if np.isfinite(result).all():
        return
    bad = np.flatnonzero(~np.isfinite(result) & np.isfinite(x))
    if not len(bad):
        return
    values = result[bad]
    kinds = {"NaN": np.isnan(values), "+inf": values == np.inf, "-inf": values == -np.inf}
    counts = ", ".join(f"{name} in {int(hit.sum())}" for name, hit in kinds.items() if hit.any())
    where = f" where {printable(argument)} {outside}" if outside else ""
    rows = "1 row" if len(bad) == 1 else f"{len(bad)} rows"
    raise NonFiniteError(
        f"{printable(label)} is not finite in {rows}{where} ({counts}; first row {row(int(bad[0]))})",
        hint="Remove these rows or use a transform that is defined there.",
        term=label,
        count=len(bad),
    )
