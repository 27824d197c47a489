"""The formula language: strict, closed, and never code.

    formula   = response ["|" modifiers] "~" sum { ";" parameter "~" sum }
    sum       = ["-"] product { ("+" | "-") product }
    product   = nest { "*" | "/" nest };  nest = inter { "%in%" inter };  inter = power { ":" power }
    power     = atom ["^" integer];       atom = name | call | 0 | 1 | "(" sum ")" | group
    group     = "(" sum ("|" | "||") levels ")"  |  us(…) | diag(…) | cs(…, hom=TRUE)
    call      = function "(" arithmetic {"," arithmetic | key "=" value} ")"

Junk after a complete formula, unknown functions, attributes, subscripts and names that are no columns are errors
that point at the character. Nothing is evaluated here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from ..errors import FormulaColumnError, listed, nearest, printable
from .algebra import (
    MOST_FACTORS,
    MOST_TERMS,
    Sum,
    TooManyTerms,
    crossing,
    interaction,
    nesting,
    power,
    single,
)
from .arithmetic import FUNCTIONS, RESERVED
from .formula import Expression, Formula, GroupTerm, Name, Part, Terms
from .left import LeftReader
from .tokens import Token, excerpt

SCALES = {"us": "unstructured", "cs": "compound_symmetry", "diag": "diagonal"}
OPERATORS = {"*": (1, crossing), "/": (1, nesting), "%in%": (2, interaction), ":": (3, interaction)}
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
    formula = _parse(text) if isinstance(text, str) else _Parser(text).whole()
    if columns is not None:
        check_columns(formula, columns)
    return formula


@lru_cache(maxsize=256)
def _parse(text: str) -> Formula:
    parser = _Parser(text)
    try:
        return parser.whole()
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
    for part in formula.further:
        yield from within([f for term in part.fixed.terms for f in term.factors])
        yield from within(part.offsets)
    for group in (*formula.groups, *(g for part in formula.further for g in part.groups)):
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
        if name not in known:
            raise _unknown_column(formula.text, name, at, grouping, columns)


def _unknown_column(text: str, name: str, at: int, grouping: bool, columns: Sequence[str]) -> FormulaColumnError:
    what = "grouping column" if grouping else "column"
    where = f" ({excerpt(text, at)})" if text else ""
    have = f"available: {listed(columns, 12)}" if columns else "the data has no columns"
    hint = nearest(name, columns) or have
    return FormulaColumnError(
        f'unknown {what} "{printable(name)}"{where}', hint=hint, position=at, column=name, text=text[:200]
    )


class _Parser(LeftReader):
    """Sums of terms and group terms."""

    # --- formula ---------------------------------------------------------------------------------------------
    def whole(self) -> Formula:
        """The main formula, and those of further predictors after semicolons."""
        formula = self.formula()
        parts: list[Part] = []
        while self.accept(";"):
            if self.now.kind == "end":  # a semicolon may end the text
                break
            parts.append(self.part())
            if parts[-1].name in (part.name for part in parts[:-1]):
                raise self.fault(parts[-1].at, f'"{printable(parts[-1].name)}" has two formulas')
        if self.now.kind != "end":
            raise self.unexpected("junk after a complete formula")
        return replace(formula, further=tuple(parts))

    def part(self) -> Part:
        """``sigma ~ x + (1 | g)``."""
        token = self.now
        if not self.plain_name():
            raise self.unexpected('expected a parameter such as "sigma" before "~"')
        self.take()
        self.expect("~", f"after {printable(token.value)}")
        fixed, groups, offsets = self.right()
        return Part(token.value, fixed, groups, offsets, token.at)

    def right(self) -> tuple[Terms, tuple[GroupTerm, ...], tuple[Expression, ...]]:
        """What stands right of a tilde, up to a semicolon or the end."""
        try:
            right = self.sum(top=True)
            fixed, groups = right.ordered(), distinct(right.groups)
            if len(fixed.terms) + sum(max(1, len(g.coefficients.terms)) for g in groups) > MOST_TERMS:
                raise TooManyTerms
        except TooManyTerms:
            raise self.fault(
                self.now.at,
                f"the formula expands to more than {MOST_TERMS} terms, or to an interaction of more than "
                f"{MOST_FACTORS} columns",
            ) from None
        if self.is_op("|", "||"):
            raise self.fault(self.now.at, "a bar outside brackets: group terms of columns are written (x | g)")
        if self.now.kind != "end" and not self.is_op(";"):
            raise self.unexpected("junk after a complete formula")
        return fixed, groups, tuple(right.offsets)

    def formula(self) -> Formula:
        if self.is_op("~") or self.now.kind == "end":
            raise self.fault(
                0, "the formula has no response: a column name has to stand left of ~", hint="Write y ~ x + (1 | g)."
            )
        response = self.response()
        if not self.is_op("~"):
            raise self.unexpected('expected "~" after the response column')
        self.take()
        fixed, groups, offsets = self.right()
        formula = Formula(response, fixed, groups, offsets, text=self.text)
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

    # --- sums of terms ---------------------------------------------------------------------------------------
    def sum(self, top: bool = False) -> Sum:
        self.deeper()
        out = Sum()
        sign = self.accept("+", "-")
        while True:
            # ``x + -1`` takes away, as in R
            negative = sign is not None and (sign.value == "-" or self.accept("-") is not None)
            at = self.now.at
            part = self.product(top)
            if not negative:
                out.merge(part)
            elif part.groups or part.offsets:
                raise self.fault(at, "a group term or offset cannot be taken away; leave it out of the columns")
            else:
                out.remove(part)
            sign = self.accept("+", "-")
            if sign is None:
                self.depth -= 1
                return out

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
            self.expand(len(left.terms) * len(right.terms))
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
            base, joins = power(base, int(token.value))
            self.expand(joins)
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
            return self.group(start.at, inside, top)
        self.expect(")", f"to close the bracket opened at character {start.at + 1}")
        return inside

    # --- group terms -----------------------------------------------------------------------------------------
    def wrapped(self, name: Token, top: bool) -> Sum:
        """``cs(x | g, hom=TRUE)`` and its like."""
        self.take()
        inside = self.sum()
        if not self.is_op("|", "||"):
            raise self.unexpected(f"{name.value}() holds a group term: {name.value}(x | g)")
        if self.is_op("||") and name.value != "diag":
            raise self.fault(
                self.now.at, f'"||" is the diagonal covariance of columns, not {name.value}(): write "|" within it'
            )
        return self.group(name.at, inside, top, name.value)

    def group(self, at: int, inside: Sum, top: bool, wrapper: str | None = None) -> Sum:
        bar = self.take()
        if not top:
            raise self.fault(at, "a group term stands alone in the sum, not inside brackets or a product of columns")
        if inside.groups or inside.offsets:
            raise self.fault(at, "a group term holds columns only, not another group term or an offset")
        levels = self.levels()
        options = self.options(wrapper) if wrapper is not None else ()
        self.expect(")", "to close the group term")
        scale = "diagonal" if bar.value == "||" else SCALES[wrapper or "us"]
        coefficients = inside.ordered()
        if not coefficients.intercept and not coefficients.terms:
            raise self.fault(at, "the group term holds no coefficients: name 1 or a column left of the bar")
        return Sum(groups=[GroupTerm(coefficients, level, scale, options, at=at) for level in levels])

    def options(self, wrapper: str) -> tuple[tuple[str, bool], ...]:
        """``, hom=TRUE``; unequal variances are what ``us()`` and ``diag()`` have without being told."""
        found: list[tuple[str, bool]] = []
        while self.accept(","):
            at = self.now.at
            found.append(self.option())
            if len(found) > 1:
                raise self.fault(at, "hom stands twice, after the grouping columns")
            if wrapper != "cs" and found[0][1]:
                raise self.fault(
                    at, f"{wrapper}() with equal variances (hom=TRUE) is not available in this version for columns"
                )
        return tuple(found) if wrapper == "cs" else ()

    def option(self) -> tuple[str, bool]:
        key = self.take()
        if key.kind != "name" or key.value != "hom" or not self.accept("="):
            raise self.fault(
                key.at, "the only option of a covariance is hom=TRUE or hom=FALSE; columns stand left of |"
            )
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
            self.expand(len(left.terms) * len(right.terms))
            left = (crossing if token.value == "*" else nesting)(left, right)
        return left

    def level_inter(self) -> Sum:
        left = self.level_atom()
        while self.accept(":", "%in%"):
            right = self.level_atom()
            self.expand(len(left.terms) * len(right.terms))
            left = interaction(left, right)
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


def str_name(expression: Expression) -> str:
    """The column a level expression names."""
    assert isinstance(expression, Name)
    return expression.name


def distinct(groups: Iterable[GroupTerm]) -> tuple[GroupTerm, ...]:
    """Group terms without repetitions; ``a:b`` repeats ``b:a``, and ``(x + z | g)`` repeats ``(z + x | g)``."""
    coefficients: dict[int, tuple[bool, frozenset[frozenset[Expression]]]] = {}  # by identity: many levels share them
    found: dict[object, GroupTerm] = {}
    for group in groups:
        one = id(group.coefficients)
        if one not in coefficients:
            coefficients[one] = unordered(group.coefficients)
        found.setdefault((coefficients[one], frozenset(group.levels), group.scale, group.options), group)
    return tuple(found.values())


def unordered(terms: Terms) -> tuple[bool, frozenset[frozenset[Expression]]]:
    """What two sums that differ in order only have in common."""
    return terms.intercept, frozenset(frozenset(t.factors) for t in terms.terms)


__all__ = ["FUNCTIONS", "check_columns", "parse", "variables"]
