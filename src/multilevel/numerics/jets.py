"""Arithmetic that carries derivatives along: truncated Taylor series in several variables, for all rows at once.

    a jet holds the coefficients c_α of  f(η + h) = Σ_{|α| ≤ order} c_α h^α,   α = (α_1, …, α_m)

Sums and products of jets are those of polynomials, cut off at the order; a function of one variable is composed
with its own Taylor series. So a log density written once in this arithmetic gives its value and all its derivatives
up to the fourth, exact to rounding. Coefficients that are zero are not stored: a density whose predictors meet in
one place only costs little more than its parts.

Every function here takes a jet or a plain array and answers with the same. Functions of one variable live in
`functions.py`; this module is the algebra.

References
----------
Griewank & Walther (2008), *Evaluating Derivatives*, chapter 13.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement
from math import factorial, prod
from typing import Any

import numpy as np

Number = Any  # a jet, an array of one number a row, or a number
Rule = Callable[[np.ndarray, int], Sequence[np.ndarray]]  # (argument, order) → f, f', …, up to the order


@dataclass(frozen=True)
class Space:
    """The monomials of m variables up to a degree, by degree; `products[i][j]` is the place of their product, or -1."""

    m: int
    order: int
    exponents: tuple[tuple[int, ...], ...]
    products: tuple[tuple[int, ...], ...]


@cache
def space(m: int, order: int) -> Space:
    """The space of jets in m variables."""
    chosen = [c for degree in range(order + 1) for c in combinations_with_replacement(range(m), degree)]
    exponents = tuple(tuple(c.count(v) for v in range(m)) for c in chosen)
    place = {e: i for i, e in enumerate(exponents)}
    products = tuple(
        tuple(place.get(tuple(p + q for p, q in zip(a, b, strict=True)), -1) for b in exponents) for a in exponents
    )
    return Space(m, order, exponents, products)


class Jet:
    """A truncated Taylor series; `terms` maps the place of a monomial to its coefficient (absent: zero)."""

    __array_ufunc__ = None  # arrays leave sums and products with a jet to the jet
    __slots__ = ("space", "terms")

    def __init__(self, space: Space, terms: dict[int, Any]) -> None:
        self.space = space
        self.terms = terms

    @property
    def value(self) -> Any:
        """The coefficient of 1."""
        return self.terms.get(0, 0.0)

    def __add__(self, other: Number) -> Jet:
        terms = dict(self.terms)
        for i, c in other.terms.items() if isinstance(other, Jet) else ((0, other),):
            terms[i] = terms[i] + c if i in terms else c
        return Jet(self.space, terms)

    def __mul__(self, other: Number) -> Jet:
        if not isinstance(other, Jet):
            return Jet(self.space, {i: c * other for i, c in self.terms.items()})
        terms: dict[int, Any] = {}
        for i, a in self.terms.items():
            row = self.space.products[i]
            for j, b in other.terms.items():
                k = row[j]
                if k >= 0:
                    terms[k] = terms[k] + a * b if k in terms else a * b
        return Jet(self.space, terms)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Jet:
        return Jet(self.space, {i: -c for i, c in self.terms.items()})

    def __sub__(self, other: Number) -> Jet:
        return self + (-other)

    def __rsub__(self, other: Number) -> Jet:
        return -self + other

    def __truediv__(self, other: Number) -> Jet:
        return self * power(other, -1.0) if isinstance(other, Jet) else self * (1.0 / other)

    def __rtruediv__(self, other: Number) -> Jet:
        return power(self, -1.0) * other


def variables(eta: np.ndarray, order: int) -> list[Any]:
    """The columns of η (n, m) as jets, each with derivative one by itself; plain arrays for order 0.

    A column that is the same in every row, as that of a dispersion parameter is, becomes an array of one number: what
    depends on it alone is computed once.
    """
    columns = [_once(eta[:, j]) for j in range(eta.shape[1])]
    if order == 0:
        return list(columns)
    room = space(len(columns), order)
    return [Jet(room, {0: column, 1 + j: 1.0}) for j, column in enumerate(columns)]


def _once(column: np.ndarray) -> np.ndarray:
    return column[:1] if len(column) > 1 and column[0] == column[-1] and np.all(column == column[0]) else column


def derivatives(f: Number, n: int, m: int, order: int) -> tuple[np.ndarray, ...]:
    """Value (n,), first (n, m), second (n, m, m), … derivatives up to `order`."""
    terms = f.terms if isinstance(f, Jet) else {0: f}
    out = [np.zeros((n, *[m] * degree)) for degree in range(order + 1)]
    if order == 0:
        out[0][:] = terms.get(0, 0.0)
        return tuple(out)
    room = space(m, order)
    place = {e: i for i, e in enumerate(room.exponents)}
    for degree, array in enumerate(out):
        for index in np.ndindex(*[m] * degree):
            exponents = tuple(index.count(v) for v in range(m))
            c = terms.get(place[exponents])
            if c is not None:
                array[(slice(None), *index)] = c * float(prod(factorial(e) for e in exponents))
    return tuple(out)


def compose(x: Number, rule: Rule) -> Number:
    """f(x) for a function of one variable, given by its derivatives."""
    if not isinstance(x, Jet):
        return rule(np.asarray(x, dtype=float), 0)[0]
    order = x.space.order
    f = rule(np.asarray(x.value, dtype=float), order)
    step = Jet(x.space, {i: c for i, c in x.terms.items() if i})
    terms: dict[int, Any] = {0: f[0]}
    powers = step
    for k in range(1, order + 1):
        if k > 1:
            powers = powers * step
        scale = f[k] / factorial(k)
        for i, c in powers.terms.items():
            part = scale if type(c) is float and c == 1.0 else c * scale
            terms[i] = terms[i] + part if i in terms else part
    return Jet(x.space, terms)


def power(x: Number, exponent: float) -> Number:
    """x to a constant power."""

    def rule(a: np.ndarray, order: int) -> list[np.ndarray]:
        factors = [prod((exponent - j for j in range(k)), start=1.0) for k in range(order + 1)]
        return [c * a ** (exponent - k) if c else np.zeros_like(a) for k, c in enumerate(factors)]

    return compose(x, rule)


def where(mask: np.ndarray, a: Number, b: Number) -> Number:
    """Rows of `a` where the mask holds, else of `b`; what was not chosen may be anything, NaN too."""
    if not isinstance(a, Jet) and not isinstance(b, Jet):
        return np.where(mask, a, b)
    ta = a.terms if isinstance(a, Jet) else {0: a}
    tb = b.terms if isinstance(b, Jet) else {0: b}
    room = a.space if isinstance(a, Jet) else b.space
    return Jet(room, {i: np.where(mask, ta.get(i, 0.0), tb.get(i, 0.0)) for i in {**ta, **tb}})


def value(x: Number) -> np.ndarray:
    """The numbers without their derivatives."""
    return np.asarray(x.value if isinstance(x, Jet) else x, dtype=float)


def with_value(x: Number, better: np.ndarray) -> Number:
    """The same jet, its value replaced by the same number computed with less cancellation."""
    return Jet(x.space, {**x.terms, 0: better}) if isinstance(x, Jet) else better
