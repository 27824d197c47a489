"""The formula language: strict, closed, and never code.

    formula   = response ["|" modifiers] "~" sum
    sum       = ["-"] product { ("+" | "-") product }
    product   = nest { "*" | "/" nest };  nest = inter { "%in%" inter };  inter = power { ":" power }
    power     = atom ["^" integer];       atom = name | call | 0 | 1 | "(" sum ")" | group
    group     = "(" sum ("|" | "||") levels ")"  |  us(…) | diag(…) | cs(…)
    call      = function "(" arithmetic {"," arithmetic | key "=" value} ")"

Junk after a complete formula, unknown functions, attributes, subscripts and names that are no columns are errors
that point at the character. Nothing is evaluated here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import isfinite

from ..errors import FormulaColumnError, FormulaError, listed, nearest, printable
from .algebra import MOST_TERMS, Sum, TooManyTerms, crossing, interaction, nesting, power, single
from .formula import (
    WRAPPERS,
    Binary,
    Call,
    Expression,
    Formula,
    GroupTerm,
    Name,
    Number,
    Response,
    Term,
    Text,
    Unary,
)
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
MODIFIERS = ("weights", "se", "trials", "cens", "trunc", "rate")
RESPONSE_FUNCTIONS = (*FUNCTIONS, "cbind")
LATER = ("s", "t2", "mo", "mm", "gr", "ar1", "rw1", "rw2", "car", "icar", "bym2", "known")
SCALES = {"us": "unstructured", "cs": "compound_symmetry", "diag": "diagonal"}
OPERATORS = {"*": (1, crossing), "/": (1, nesting), "%in%": (2, interaction), ":": (3, interaction)}
RESERVED = ("TRUE", "True", "FALSE", "False")
MOST_DEPTH = 100
MOST_OPERATIONS = 250  # of one expression: its tree is at most that deep, and everything that walks it recurses
MOST_POWER = 20


def parse(text: str, columns: Sequence[str] | None = None) -> Formula:
    """Read a formula.

    Parameters
    ----------
    text : str
        Such as ``"Reaction ~ Days + (Days | Subject)"``.
    columns : sequence of str, optional
        Names of the data; a name that is not among them is an error with the nearest suggested.

    Raises
    ------
    FormulaError
        With the position of the offending character.
    """
    formula = _parse(text) if isinstance(text, str) else _Parser(text).formula()
    if columns is not None:
        check_columns(formula, columns)
    return formula


@lru_cache(maxsize=256)
def _parse(text: str) -> Formula:
    parser = _Parser(text)
    try:
        return parser.formula()
    except RecursionError:  # called from deep inside another recursion
        raise parser.fault(parser.now.at, "the formula nests too deeply here (column names are flat)") from None


def variables(formula: Formula) -> tuple[str, ...]:
    """Every column the formula needs, in order of appearance, without repetition."""
    return tuple(dict.fromkeys(name for name, _, _ in _mentions(formula)))


def _mentions(formula: Formula) -> Iterator[tuple[str, int, bool]]:
    """(column, position, whether it is a grouping column) of every name."""

    def within(expressions: Sequence[Expression]) -> Iterator[tuple[str, int, bool]]:
        for expression in expressions:
            for name in expression.names():
                yield name.name, name.at, False

    yield from within([formula.response.expression, *(call for _, call in formula.response.modifiers)])
    yield from within([f for term in formula.fixed.terms for f in term.factors])
    yield from within(formula.offsets)
    for group in formula.groups:
        yield from within([f for term in group.coefficients.terms for f in term.factors])
        for level in group.levels:
            yield level, group.at, True


def check_columns(formula: Formula, columns: Sequence[str]) -> None:
    """Refuse names that are no columns of the data.

    Raises
    ------
    FormulaColumnError
        Naming the column, and the nearest one or those available.
    """
    known = set(columns)
    for name, at, grouping in _mentions(formula):
        if name in known:
            continue
        what = "grouping column" if grouping else "column"
        have = f"available: {listed(columns, 12)}" if known else "the data has no columns"
        raise FormulaColumnError(
            f'unknown {what} "{printable(name)}": {have}', hint=nearest(name, columns), position=at, column=name
        )


class _Parser:
    """Recursive descent over the tokens of one formula."""

    def __init__(self, text: str) -> None:
        self.tokens = tokens(text)
        self.text = text
        self.i = 0
        self.depth = 0
        self.operations = 0

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
            return self.fault(token.at, f"the formula ends too early{': ' + why if why else ''}; a column name or term is missing")
        return self.fault(token.at, f'unexpected "{printable(token.value)}"{": " + why if why else ""}; {ONLY}')

    def fault(self, at: int, message: str, code: str = "E_FORMULA_SYNTAX", hint: str = "") -> FormulaError:
        return fault(self.text, at, message, code=code, hint=hint)

    def deeper(self) -> None:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.fault(self.now.at, f"the formula nests deeper than {MOST_DEPTH} brackets (column names are flat)")

    def operation(self) -> None:
        self.operations += 1
        if self.operations > MOST_OPERATIONS:
            raise self.fault(
                self.now.at,
                f"one expression has more than {MOST_OPERATIONS} operations",
                hint="Compute it as a column of the data first.",
            )

    # --- formula ---------------------------------------------------------------------------------------------
    def formula(self) -> Formula:
        if self.is_op("~") or self.now.kind == "end":
            raise self.fault(
                0, "the formula has no response: a column name has to stand left of ~", hint="Write y ~ x + (1 | g)."
            )
        response = self.response()
        if not self.is_op("~"):
            raise self.unexpected('expected "~" after the response column')
        self.take()
        try:
            right = self.sum(top=True)
        except TooManyTerms:
            raise self.fault(
                self.now.at, f"the formula expands to more than {MOST_TERMS} terms (columns and interactions)"
            ) from None
        if self.now.kind != "end":
            raise self.unexpected("junk after a complete formula")
        formula = Formula(
            response, right.ordered(), tuple(dict.fromkeys(right.groups)), tuple(right.offsets), text=self.text
        )
        self.no_response_right(formula)
        return formula

    def no_response_right(self, formula: Formula) -> None:
        response = formula.response.expression
        sets = [formula.fixed, *(g.coefficients for g in formula.groups)]
        for factor in (f for terms in sets for t in terms.terms for f in t.factors):
            if factor == response:
                raise self.fault(
                    factor.at,
                    f'the response "{printable(str(response))}" stands on the right-hand side too',
                    code="E_RESPONSE_IN_RHS",
                    hint="Remove that column from the right of ~.",
                )
        for group in formula.groups:
            if isinstance(response, Name) and response.name in group.levels:
                raise self.fault(
                    group.at,
                    f'the response "{printable(response.name)}" is a grouping column too',
                    code="E_RESPONSE_IN_RHS",
                    hint="Remove that group term.",
                )

    def response(self) -> Response:
        expression = self.arithmetic(RESPONSE_FUNCTIONS)
        if next(expression.names(), None) is None:
            raise self.fault(expression.at, "the response names no column of the data")
        modifiers: list[tuple[str, Call]] = []
        if self.accept("|"):
            modifiers.append(self.modifier())
            while self.accept("+"):
                at = self.now.at
                modifiers.append(self.modifier())
                if modifiers[-1][0] in (name for name, _ in modifiers[:-1]):
                    raise self.fault(at, f"{modifiers[-1][0]}() stands twice: it takes one column")
        return Response(expression, tuple(modifiers))

    def modifier(self) -> tuple[str, Call]:
        token = self.now
        name = token.value.removeprefix("resp_")
        if token.kind != "name" or name not in MODIFIERS:
            hint = nearest(name, MODIFIERS) or f"Known: {', '.join(MODIFIERS)}."
            raise self.fault(
                token.at,
                f'"{printable(token.value)}" cannot follow the response column\'s bar',
                code="E_FORMULA_FUNCTION" if token.kind == "name" else "E_FORMULA_SYNTAX",
                hint=hint,
            )
        self.take()
        self.expect("(", f"after {name}")
        call = self.arguments(name, token.at, FUNCTIONS)
        return name, call

    # --- sums of terms ---------------------------------------------------------------------------------------
    def sum(self, top: bool = False) -> Sum:
        self.deeper()
        out = Sum()
        negative = bool(self.accept("-")) or (bool(self.accept("+")) and False)
        while True:
            part = self.product(top)
            if negative:
                if part.groups or part.offsets:
                    raise self.fault(self.now.at, "a group term or offset cannot be taken away; leave it out of the columns")
                out.remove(part)
            else:
                out.merge(part)
            sign = self.accept("+", "-")
            if sign is None:
                self.depth -= 1
                return out
            negative = sign.value == "-"

    def product(self, top: bool, least: int = 1) -> Sum:
        """Operators over ordinary terms by precedence: * / (1), %in% (2), : (3); all bind to the left."""
        left = self.powers(top)
        while self.now.kind == "operator" and self.now.value in OPERATORS:
            rank, rule = OPERATORS[self.now.value]
            if rank < least:
                break
            token = self.take()
            right = self.product(top, rank + 1)
            if not (left.plain and right.plain):
                raise self.fault(
                    token.at, f'"{token.value}" joins column terms only, not an intercept, a group term or an offset'
                )
            left = rule(left, right)
        return left

    def powers(self, top: bool) -> Sum:
        base = self.atom(top)
        while self.is_op("^"):
            caret = self.take()
            token = self.take()
            whole = token.kind == "number" and token.value.isdigit() and len(token.value) <= 3
            if not whole or not 1 <= int(token.value) <= MOST_POWER:
                raise self.fault(
                    caret.at,
                    f"^ between column terms takes a whole number from 1 to {MOST_POWER}",
                    hint="For the square of a column write I(x^2).",
                )
            if not base.plain:
                raise self.fault(caret.at, "^ raises sums of columns, not an intercept, a group term or an offset")
            base = power(base, int(token.value))
        return base

    def atom(self, top: bool) -> Sum:
        token = self.now
        if token.kind == "number":
            self.take()
            if token.value not in ("0", "1"):
                raise self.fault(token.at, f'"{token.value}" is no term: only 0 and 1 (the intercept) and columns are')
            return Sum(intercept=token.value == "1")
        if token.kind == "name":
            return self.named(top)
        if token.kind == "operator" and token.value == "(":
            return self.bracket(top)
        raise self.unexpected()

    def named(self, top: bool) -> Sum:
        token = self.take()
        if not (self.is_op("(") and self.text[token.at] != "`"):
            return single(Name(token.value, at=token.at))
        if token.value in SCALES:
            return self.wrapped(token, top)
        self.take()
        self.operations = 0
        if token.value == "offset":
            if not top:
                raise self.fault(token.at, "an offset is a column of the whole model and cannot stand here")
            call = self.arguments("offset", token.at, FUNCTIONS)
            if len(call.arguments) != 1 or call.keywords:
                raise self.fault(token.at, "offset() takes one column or expression")
            return Sum(offsets=[call.arguments[0]])
        return single(self.function(token, FUNCTIONS))

    def bracket(self, top: bool) -> Sum:
        start = self.take()
        inside = self.sum()
        if self.is_op("|", "||"):
            return self.group(start.at, inside, top, None, ())
        self.expect(")", f"to close the bracket opened at character {start.at + 1}")
        return inside

    # --- group terms -----------------------------------------------------------------------------------------
    def wrapped(self, name: Token, top: bool) -> Sum:
        """``cs(x | g, hom=TRUE)`` and its like."""
        self.take()
        inside = self.sum()
        if not self.is_op("|", "||"):
            raise self.unexpected(f"{name.value}() holds a group term: {name.value}(x | g)")
        return self.group(name.at, inside, top, SCALES[name.value], ())

    def group(self, at: int, inside: Sum, top: bool, scale: str | None, options: tuple) -> Sum:  # type: ignore[type-arg]
        bar = self.take()
        if not top:
            raise self.fault(at, "a group term stands alone in the sum, not inside brackets or a product of columns")
        if inside.groups or inside.offsets:
            raise self.fault(at, "a group term holds columns only, not another group term or an offset")
        levels = self.levels()
        while scale is not None and self.accept(","):
            options = (*options, self.option())
        self.expect(")", "to close the group term")
        chosen = "diagonal" if bar.value == "||" else scale or "unstructured"
        coefficients = inside.ordered()
        if not coefficients.intercept and not coefficients.terms:
            raise self.fault(at, "the group term holds no coefficients: name 1 or a column left of the bar")
        return Sum(groups=[GroupTerm(coefficients, level, chosen, options, at=at) for level in levels])

    def option(self) -> tuple[str, bool]:
        key = self.take()
        if key.kind != "name" or key.value != "hom" or not self.accept("="):
            raise self.fault(key.at, "the only option of a covariance is hom=TRUE or hom=FALSE; columns stand left of |")
        value = self.take()
        if value.kind != "name" or value.value not in RESERVED:
            raise self.fault(value.at, "hom is TRUE or FALSE, not a column")
        return "hom", value.value.upper() == "TRUE"

    def levels(self) -> list[tuple[str, ...]]:
        """The grouping columns right of the bar: ``g``, ``a:b``, ``a/b``, ``a*b``, ``a + b``."""
        start = self.now
        found = self.level_sum()
        if not found.terms:
            raise self.fault(start.at, "a grouping column is missing right of the bar")
        return [tuple(str_name(f) for f in term.factors) for term in found.terms.values()]

    def level_sum(self) -> Sum:
        self.deeper()
        out = self.level_product()
        while self.accept("+"):
            out.merge(self.level_product())
        self.depth -= 1
        return out

    def level_product(self) -> Sum:
        left = self.level_inter()
        while token := self.accept("*", "/"):
            right = self.level_inter()
            left = (crossing if token.value == "*" else nesting)(left, right)
        return left

    def level_inter(self) -> Sum:
        left = self.level_atom()
        while self.accept(":", "%in%"):
            left = interaction(left, self.level_atom())
        return left

    def level_atom(self) -> Sum:
        if self.accept("("):
            inside = self.level_sum()
            self.expect(")", "to close the grouping columns")
            return inside
        token = self.now
        if token.kind != "name":
            raise self.unexpected("a grouping column stands right of the bar")
        self.take()
        if self.is_op("(") and self.text[token.at] != "`":
            raise self.unknown_function(token, ())
        return single(Name(token.value, at=token.at))

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
        hint = nearest(token.value, known) or (f"Listed: {', '.join(known)}." if known else "")
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


def str_name(expression: Expression) -> str:
    """The column a level expression names."""
    assert isinstance(expression, Name)
    return expression.name


__all__ = ["FUNCTIONS", "WRAPPERS", "Term", "check_columns", "parse", "variables"]
