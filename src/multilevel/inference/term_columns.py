"""Which columns each term of a sum gives: known from the formula and what its design remembers, without rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..formula.coding import model_columns
from ..formula.columns import CATEGORICAL, Codes, Columns
from ..formula.formula import Term, Terms
from ..formula.memory import DesignMemory
from ..transforms.base import Memory


class _NoRows(Columns):
    """No rows of columns that are remembered."""

    def __init__(self, memory: DesignMemory) -> None:
        super().__init__(None, 0)
        self.memory = memory

    def numbers(self, name: str) -> np.ndarray:
        return np.zeros(0)

    def categorical(self, name: str) -> bool:
        return self.memory.kinds[name] in CATEGORICAL

    def factor(self, name: str) -> Codes:
        return np.zeros(0, np.int32), self.memory.levels[name]

    def learned(self, label: str, learn: Callable[[], Memory]) -> Memory:
        return self.memory.transforms[label]


def term_columns(terms: Terms, memory: DesignMemory) -> list[tuple[Term, tuple[int, ...]]]:
    """Each term with the places of its columns; the intercept is no term.

    A term's columns do not depend on those after it, so prefixes of the sum count them.
    """
    columns = _NoRows(memory)
    at = int(terms.intercept)
    out = []
    for last in range(1, len(terms.terms) + 1):
        end = len(model_columns(Terms(terms.intercept, terms.terms[:last]), columns)[0])
        out.append((terms.terms[last - 1], tuple(range(at, end))))
        at = end
    return out


def removable(terms: Terms) -> tuple[Term, ...]:
    """Terms that no other contains: ``a`` stays while ``a:b`` is there."""
    sets = [frozenset(term.factors) for term in terms.terms]
    return tuple(term for term, own in zip(terms.terms, sets, strict=True) if not any(own < other for other in sets))


def without(terms: Terms, gone: Term) -> Terms:
    """The sum without one term."""
    return Terms(terms.intercept, tuple(term for term in terms.terms if term != gone))
