"""Which factors of which terms are coded with all their levels, so that no column repeats another's span.

A factor coded in full spans the intercept and its contrasts: ``f = 1 + f⁻``. A term is multiplied out into such pieces;
pieces that an earlier term spans already are left out, and what remains is put together again by the rule

    a:b⁻ + a  →  a:b

Hence ``f`` is reduced beside an intercept and full without one, and ``x:f`` is reduced only when ``x`` stands before.
The rule and its order are formulaic's (and patsy's); it looks at the structure only, never at the numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product

Scoped = tuple[str, bool]  # label, reduced
Piece = tuple[Scoped, ...]


def pieces(factors: Iterable[tuple[str, bool]], spanned: set[frozenset[Scoped]]) -> list[Piece]:
    """The pieces a term adds.

    Parameters
    ----------
    factors : (label, spans_intercept) of each factor of the term
    spanned : set
        Pieces spanned so far; those of this term are added to it.
    """
    choices = [((label, True), None) if spans else ((label, False),) for label, spans in factors]
    fresh: list[Piece] = []
    for choice in product(*choices):
        piece = tuple(scoped for scoped in choice if scoped is not None)
        if frozenset(piece) not in spanned:
            spanned.add(frozenset(piece))
            fresh.append(piece)
    return simplified(fresh)


def simplified(given: Iterable[Piece]) -> list[Piece]:
    """The fewest pieces with the same span, by the rule above."""
    done: list[Piece] = []
    for piece in sorted(given, key=len):
        for other in done:
            extra = set(piece) - set(other)
            if len(other) != len(piece) - 1 or len(extra) != 1 or not (new := extra.pop())[1]:
                continue
            merged = tuple((label, reduced and (label, reduced) != new) for label, reduced in piece)
            done = simplified([p for p in done if p != other] + [merged])
            break
        else:
            if frozenset(piece) not in map(frozenset, done):
                done.append(piece)
    return done
