"""Arithmetic and function calls: what may stand inside ``I(…)``, ``poly(…)`` and left of the tilde.

    arithmetic = ["-"] operand { ("+" | "-" | "*" | "/" | "^") arithmetic }
    operand    = name | number | call | "(" arithmetic ")"
    call       = function "(" argument {"," argument | key "=" argument} ")"

`grammar.py` reads sums of terms with the same reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from ..errors import FormulaError, nearest, printable
from .algebra import MOST_JOINS, TooManyTerms
from .formula import Binary, Call, Expression, Name, Number, Text, Unary
from .tokens import ONLY, Token, fault, tokens

FUNCTIONS = (
    "I", "C", "log", "log2", "log10", "log1p", "exp", "expm1", "sqrt", "abs",
    "center", "centre", "scale", "standardize", "poly", "bs", "cr",
)  # fmt: skip
CONTRASTS = ("Treatment", "Sum", "Helmert", "Poly", "Diff")
CONTRAST_NAMES = {
    "contr.treatment": "Treatment", "contr.sum": "Sum", "contr.helmert": "Helmert", "contr.poly": "Poly",
    "contr.diff": "Diff",
}  # fmt: skip
LATER = ("s", "t2", "mo", "mm", "gr", "ar1", "rw1", "rw2", "car", "icar", "bym2", "known")
RESERVED = ("TRUE", "True", "FALSE", "False")
MOST_DEPTH = 100
MOST_OPERATIONS = 250  # of one expression: its tree is at most that deep, and everything that walks it recurses


class Reader:
    """Recursive descent over the tokens of one formula: the position, the limits, and expressions."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.text = text
        self.i = 0
        self.depth = 0
        self.operations = 0
        self.joins = 0

    # --- tokens ----------------------------------------------------------------------------------------------
    @property
    def now(self) -> Token:
        return self.tokens[self.i]

    def is_op(self, *values: str) -> bool:
        return self.now.kind == "operator" and self.now.value in values

    def plain_name(self) -> bool:
        """Whether a name stands here that is not in backquotes (those are columns, whatever they say)."""
        return self.now.kind == "name" and self.text[self.now.at] != "`"

    def take(self) -> Token:
        token = self.now
        self.i += 1
        return token

    def accept(self, *values: str) -> Token | None:
        return self.take() if self.is_op(*values) else None

    def expect(self, value: str, where: str) -> Token:
        if not self.is_op(value):
            raise self.unexpected(f'expected "{value}" {where}')
        return self.take()

    def unexpected(self, why: str = "") -> FormulaError:
        token = self.now
        if token.kind == "end":
            return self.fault(
                token.at, f"the formula ends too early{': ' + why if why else ''}; a column name or term is missing"
            )
        return self.fault(token.at, f'unexpected "{printable(token.value)}"{": " + why if why else ""}; {ONLY}')

    def fault(self, at: int, message: str, code: str = "E_FORMULA_SYNTAX", hint: str = "") -> FormulaError:
        return fault(self.text, at, message, code=code, hint=hint)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.fault(
                self.now.at, f"the formula nests deeper than {MOST_DEPTH} brackets (column names are flat)"
            )

    def expand(self, joins: int) -> None:
        """Count the products of terms that are about to be made."""
        self.joins += joins
        if self.joins > MOST_JOINS:
            raise TooManyTerms

    def operation(self) -> None:
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise self.fault(
                self.now.at,
                f"one expression has more than {MOST_OPERATIONS} operations",
                hint="Compute it as a column of the data first.",
            )

    # --- functions and arithmetic ----------------------------------------------------------------------------
    def function(self, token: Token, known: Sequence[str]) -> Expression:
        """A call whose opening bracket is taken."""
        if token.value not in known:
            raise self.unknown_function(token, known)
        call = self.arguments(token.value, token.at, FUNCTIONS)
        return self.factor(call) if token.value == "C" else call

    def unknown_function(self, token: Token, known: Sequence[str]) -> FormulaError:
        shown = printable(token.value)
        if token.value in LATER:
            message = f"{shown}() is not available in this version; columns can be grouped with (x | g)"
        elif not known:
            message = f"{shown}() cannot stand right of the bar: only grouping column names can"
        else:
            message = f'"{shown}" is not a listed function: {ONLY}'
        near = "" if token.value in LATER else nearest(token.value, known)
        hint = near or (f"Listed: {', '.join(known)}." if known else "")
        return self.fault(token.at, message, code="E_FORMULA_FUNCTION", hint=hint)

    def arguments(self, name: str, at: int, known: Sequence[str]) -> Call:
        """Arguments up to the closing bracket."""
        self.deeper()
        positional: list[Expression] = []
        keywords: list[tuple[str, Expression]] = []
        while not self.is_op(")"):
            following = self.tokens[self.i + 1] if self.i + 1 < len(self.tokens) else self.now
            if self.plain_name() and following.kind == "operator" and following.value == "=":
                key = self.take()
                self.take()
                if key.value in (k for k, _ in keywords):
                    raise self.fault(key.at, f'the setting "{printable(key.value)}" stands twice; columns come first')
                keywords.append((key.value, self.argument(name, known)))
            elif keywords:
                raise self.unexpected("a column cannot follow a keyword argument")
            else:
                positional.append(self.argument(name, known))
            if not self.accept(","):
                break
        self.expect(")", f"to close {name}(")
        self.depth -= 1
        if not positional and not keywords and name not in CONTRASTS:
            raise self.fault(at, f"{name}() needs a column")
        return Call(name, tuple(positional), tuple(keywords), at=at)

    def argument(self, name: str, known: Sequence[str]) -> Expression:
        """A quoted string, TRUE/FALSE, a contrast, or arithmetic."""
        token = self.now
        if token.kind == "text":
            self.take()
            return Text(token.value, at=token.at)
        if self.plain_name() and token.value in RESERVED:
            self.take()
            return Number(float(token.value.upper() == "TRUE"), at=token.at)
        contrast = CONTRAST_NAMES.get(token.value, token.value)
        if name == "C" and self.i > 1 and self.plain_name() and contrast in CONTRASTS:
            before = self.tokens[self.i - 1]
            if before.value in (",", "="):
                self.take()
                return self.arguments(contrast, token.at, known) if self.accept("(") else Call(contrast, at=token.at)
        return self.arithmetic(known)

    def factor(self, call: Call) -> Expression:
        """``C(f)``, ``C(f, Sum)``: a column, then at most one contrast."""
        extra = [*call.arguments[1:], *(value for key, value in call.keywords if key in ("contr", "contrasts"))]
        other = [key for key, _ in call.keywords if key not in ("contr", "contrasts")]
        if not call.arguments or other or len(extra) > 1:
            raise self.fault(
                call.at,
                "C() takes a column and at most one contrast",
                code="E_FORMULA_FUNCTION",
                hint=f"Contrasts: {', '.join(CONTRASTS)}, as in C(f, Treatment('b')).",
            )
        if extra and not (isinstance(extra[0], Call) and extra[0].function in CONTRASTS):
            raise self.fault(
                extra[0].at,
                f'"{printable(str(extra[0]))}" is no contrast for the column',
                code="E_FORMULA_FUNCTION",
                hint=nearest(str(extra[0]), CONTRASTS) or f"Contrasts: {', '.join(CONTRASTS)}.",
            )
        return Call("C", (call.arguments[0], *extra), at=call.at)

    def arithmetic(self, known: Sequence[str], least: int = 1) -> Expression:
        """Precedence climbing: + − (1), * / (2), unary minus (3), ^ (4, to the right)."""
        self.deeper()
        left = self.operand(known)
        while self.now.kind == "operator" and (rank := {"+": 1, "-": 1, "*": 2, "/": 2, "^": 4}.get(self.now.value, 0)):
            if rank < least:
                break
            token = self.take()
            self.operation()
            right = self.arithmetic(known, rank if token.value == "^" else rank + 1)
            left = Binary(token.value, left, right, at=token.at)
        self.depth -= 1
        return left

    def operand(self, known: Sequence[str]) -> Expression:
        token = self.now
        if self.accept("-", "+"):
            self.deeper()
            inside = self.arithmetic(known, 3)
            self.depth -= 1
            return Unary("-", inside, at=token.at) if token.value == "-" else inside
        if self.accept("("):
            inside = self.arithmetic(known)
            self.expect(")", "to close the bracket")
            return inside
        if token.kind == "number":
            self.take()
            if not isfinite(value := float(token.value)):
                raise self.fault(token.at, f"the number {printable(token.value)} is too large for a column")
            return Number(value, at=token.at)
        if token.kind == "name":
            self.take()
            if self.is_op("(") and self.text[token.at] != "`":
                self.take()
                return self.function(token, known)
            return Name(token.value, at=token.at)
        raise self.unexpected()
