"""Sums of terms and what `:`, `*`, `/`, `^`, `-` do to them (Wilkinson & Rogers 1973)."""

from __future__ import annotations

from dataclasses import dataclass, field

from .formula import Expression, GroupTerm, Term, Terms

MOST_TERMS = 5000
MOST_FACTORS = 50  # of one interaction
MOST_JOINS = 20_000  # products of terms looked at in one formula: overlapping ones give few new terms and take as long


class TooManyTerms(Exception):
    """The expansion of a product exceeds `MOST_TERMS`, or an interaction `MOST_FACTORS`."""


@dataclass
class Sum:
    """Terms in order of appearance, keyed by their set of factors; `intercept` None where nothing was said of it."""

    terms: dict[frozenset[Expression], Term] = field(default_factory=dict)
    intercept: bool | None = None
    groups: list[GroupTerm] = field(default_factory=list)
    offsets: list[Expression] = field(default_factory=list)

    @property
    def plain(self) -> bool:
        """Whether it holds ordinary terms only."""
        return self.intercept is None and not self.groups and not self.offsets

    def add(self, term: Term) -> None:
        self.terms.setdefault(frozenset(term.factors), term)
        if len(self.terms) > MOST_TERMS:
            raise TooManyTerms

    def merge(self, other: Sum) -> None:
        """Add everything of another sum."""
        for term in other.terms.values():
            self.add(term)
        if other.intercept is not None:
            self.intercept = other.intercept
        self.groups.extend(other.groups)
        self.offsets.extend(other.offsets)

    def remove(self, other: Sum) -> None:
        """Take away another sum's terms; taking away 1 takes away the intercept."""
        for key in other.terms:
            self.terms.pop(key, None)
        if other.intercept is not None:
            self.intercept = not other.intercept

    def ordered(self, implicit: bool = True) -> Terms:
        """Main effects first, then interactions by degree, each in order of appearance."""
        terms = sorted(self.terms.values(), key=lambda t: len(t.factors))
        return Terms(implicit if self.intercept is None else self.intercept, tuple(terms))


def single(expression: Expression) -> Sum:
    out = Sum()
    out.add(Term((expression,)))
    return out


def joined(left: Term, right: Term) -> Term:
    """The interaction of two terms; a factor counts once."""
    if len(left.factors) + len(right.factors) > 2 * MOST_FACTORS:
        raise TooManyTerms
    joint = Term(left.factors + tuple(f for f in right.factors if f not in left.factors))
    if len(joint.factors) > MOST_FACTORS:
        raise TooManyTerms
    return joint


def interaction(left: Sum, right: Sum) -> Sum:
    """``a:b``"""
    out = Sum()
    for a in left.terms.values():
        for b in right.terms.values():
            out.add(joined(a, b))
    return out


def crossing(left: Sum, right: Sum) -> Sum:
    """``a * b`` = a + b + a:b"""
    out = Sum()
    out.merge(left)
    out.merge(right)
    out.merge(interaction(left, right))
    return out


def nesting(left: Sum, right: Sum) -> Sum:
    """``a / b`` = a + a:b, and ``(a + b) / c`` = a + b + a:b:c"""
    out = Sum()
    out.merge(left)
    every = Term(())
    for term in left.terms.values():
        every = joined(every, term)
    for term in right.terms.values():
        out.add(joined(every, term))
    return out


def power(base: Sum, exponent: int) -> tuple[Sum, int]:
    """``(a + b + c)^2``: all interactions up to that degree, and how many products of terms that took."""
    out, latest = Sum(), base
    out.merge(base)
    work = 0
    for _ in range(exponent - 1):
        fresh = Sum()
        for left in latest.terms.values():
            for right in base.terms.values():
                work += 1
                if work > MOST_JOINS:
                    raise TooManyTerms
                term = joined(left, right)
                if len(term.factors) > len(left.factors) and frozenset(term.factors) not in out.terms:
                    fresh.add(term)
        if not fresh.terms:
            break
        out.merge(fresh)
        latest = fresh
    return out, work
