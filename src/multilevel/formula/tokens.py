"""A formula's text as tokens: names, numbers, quoted strings, operators. Nothing else gets through."""

from __future__ import annotations

import re
from typing import NamedTuple

from ..errors import FormulaError, printable

MOST_CHARACTERS = 65_536
ONLY = "only column names, numbers, arithmetic and the listed functions can stand in a formula"

# Possessive quantifiers (`++`): a number that fails is not tried again with fewer digits. With plain ones 60 000 digits
# before a letter took minutes. On single characters only: Python below 3.11.5 mismatches possessive groups.
_PATTERN = re.compile(
    r"""\s*+(?:
        (?P<name>[^\W\d][\w.]*+)
      | (?P<operator>%in%|\|\||\*\*|[~+\-*/^:|(),=;])
      | (?P<number>(?:\d++\.?\d*+|\.\d++)(?:[eE][+-]?\d++)?(?![\w.]))
      | (?P<quoted>`(?:[^`]|``)+`)
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<end>\Z)
    )""",
    re.VERBOSE,
)
_SPACE = re.compile(r"\s*+")
_ALL_COLUMNS = re.compile(r"\.(?![\w.])")
_LONGEST_MESSAGE = 230  # what leaves room for the excerpt


class Token(NamedTuple):
    """`kind` is "name", "number", "text", "operator" or "end"; `at` the position of its first character."""

    kind: str
    value: str
    at: int


def excerpt(text: str, at: int) -> str:
    """``character 9 of the formula: y ~ x + ▸foo(z)``"""
    before, after = printable(text[max(0, at - 40) : at])[-60:], printable(text[at : at + 40])[:60]
    return f"character {at + 1} of the formula: {before}▸{after}"


def fault(text: str, at: int, message: str, *, code: str = "E_FORMULA_SYNTAX", hint: str = "") -> FormulaError:
    """An error that points at a character of the formula."""
    # a name of escaped characters may be long: cut it here, or the 400 characters end before the excerpt
    short = message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
    return FormulaError(f"{short} ({excerpt(text, at)})", code=code, hint=hint, position=at, text=text[:200])


def tokens(text: str) -> list[Token]:
    """The tokens of a formula, ended by one of kind "end".

    Raises
    ------
    FormulaError
        At the first character that no formula can hold.
    """
    if not isinstance(text, str):
        raise FormulaError(
            f"a formula is text, not {type(text).__name__}: write column names, such as 'y ~ x + (1 | g)'"
        )
    if len(text) > MOST_CHARACTERS:
        raise FormulaError(
            f"the formula has {len(text)} characters; at most {MOST_CHARACTERS} are read (column names count)"
        )
    found: list[Token] = []
    at = 0
    while match := _PATTERN.match(text, at):
        kind = match.lastgroup or ""
        found.append(_token(kind, match[kind], match.start(kind)))
        if kind == "end":
            return found
        at = match.end()
    raise _unreadable(text, at)


def _token(kind: str, value: str, at: int) -> Token:
    if kind == "quoted":
        return Token("name", value[1:-1].replace("``", "`"), at)
    if kind == "text":
        return Token("text", re.sub(r"\\(.)", r"\1", value[1:-1]), at)
    return Token(kind, "^" if value == "**" else value, at)


def _unreadable(text: str, at: int) -> FormulaError:
    """The error at the first character that begins no token."""
    space = _SPACE.match(text, at)
    at = space.end() if space else at
    if _ALL_COLUMNS.match(text, at):
        return fault(text, at, 'unexpected ".": it does not stand for all other columns here', hint="Name each column.")
    return fault(text, at, f'unexpected "{printable(text[at])}": {ONLY}')
