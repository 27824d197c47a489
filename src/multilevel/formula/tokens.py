"""A formula's text as tokens: names, numbers, quoted strings, operators. Nothing else gets through."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import FormulaError, printable

MOST_CHARACTERS = 65_536
ONLY = "only column names, numbers, arithmetic and the listed functions can stand in a formula"

_PATTERN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<name>[^\W\d][\w.]*)
      | `(?P<quoted>(?:[^`]|``)+)`
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<operator>%in%|\|\||\*\*|[~+\-*/^:|(),=])
    """,
    re.VERBOSE,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is "name", "number", "text", "operator" or "end"; `at` the position of its first character."""

    kind: str
    value: str
    at: int


def fault(text: str, at: int, message: str, *, code: str = "E_FORMULA_SYNTAX", hint: str = "") -> FormulaError:
    """An error that points at a character of the formula."""
    before, after = text[max(0, at - 40) : at], text[at : at + 40]
    shown = f"{printable(before)}▸{printable(after)}"
    return FormulaError(
        f"{message} (character {at + 1} of the formula: {shown})", code=code, hint=hint, position=at, text=text[:200]
    )


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
    while at < len(text):
        match = _PATTERN.match(text, at)
        if match is None:
            raise fault(text, at, f'unexpected "{printable(text[at])}": {ONLY}')
        kind = match.lastgroup or ""
        value = match.group(kind)
        if kind == "quoted":
            found.append(Token("name", value.replace("``", "`"), at))
        elif kind == "text":
            found.append(Token("text", re.sub(r"\\(.)", r"\1", value[1:-1]), at))
        elif kind != "space":
            found.append(Token(kind, "^" if value == "**" else value, at))
        at = match.end()
    found.append(Token("end", "", len(text)))
    return found
