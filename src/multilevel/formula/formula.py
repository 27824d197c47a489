"""What a formula says: frozen records without data, printed back in canonical form.

    y ~ fixed terms + (coefficients | levels) + …

`parse` lives in `grammar.py`; this module holds only what it returns.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Expression:
    """A node of an expression; `at` is its position in the text (for messages, not for equality)."""

    at: int = field(default=0, compare=False, kw_only=True)

    def children(self) -> tuple[Expression, ...]:
        return ()

    def names(self) -> Iterator[Name]:
        """The column names in it, in order of appearance."""
        for child in self.children():
            yield from child.names()


@dataclass(frozen=True)
class Name(Expression):
    """A column of the data."""

    name: str

    def names(self) -> Iterator[Name]:
        yield self

    def __str__(self) -> str:
        return quoted(self.name)


@dataclass(frozen=True)
class Number(Expression):
    """A constant."""

    value: float

    def __str__(self) -> str:
        return repr(int(self.value)) if self.value == int(self.value) and abs(self.value) < 1e15 else repr(self.value)


@dataclass(frozen=True)
class Text(Expression):
    """A quoted string, as in ``C(f, Treatment('b'))``."""

    value: str

    def __str__(self) -> str:
        return "'" + self.value.replace("\\", "\\\\").replace("'", "\\'") + "'"


@dataclass(frozen=True)
class Word(Expression):
    """A truth value as outputs spell it, ``True`` in ``poly(x, 2, raw=True)``; the parser keeps these as 1 and 0."""

    word: str

    def __str__(self) -> str:
        return self.word


@dataclass(frozen=True)
class Unary(Expression):
    """A sign."""

    operator: str
    operand: Expression

    def children(self) -> tuple[Expression, ...]:
        return (self.operand,)

    def __str__(self) -> str:
        return f"{self.operator}{bracketed(self.operand, 3)}"


PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, "%": 2, "^": 4}


@dataclass(frozen=True)
class Binary(Expression):
    """Arithmetic inside a function call: ``I(x^2 / 10)``."""

    operator: str
    left: Expression
    right: Expression

    def children(self) -> tuple[Expression, ...]:
        return (self.left, self.right)

    def __str__(self) -> str:
        rank = PRECEDENCE[self.operator]
        # `^` binds to the right, the others to the left: brackets where reading would regroup
        left = bracketed(self.left, rank + (self.operator == "^"))
        right = bracketed(self.right, rank + (self.operator != "^"))
        return f"{left}^{right}" if self.operator == "^" else f"{left} {self.operator} {right}"


@dataclass(frozen=True)
class Call(Expression):
    """A listed function of columns: ``poly(x, 2)``, ``C(f, Sum)``, ``I(x^2)``."""

    function: str
    arguments: tuple[Expression, ...] = ()
    keywords: tuple[tuple[str, Expression], ...] = ()

    def children(self) -> tuple[Expression, ...]:
        return self.arguments + tuple(value for _, value in self.keywords)

    def __str__(self) -> str:
        inside = [str(a) for a in self.arguments] + [f"{k}={v}" for k, v in self.keywords]
        return f"{self.function}({', '.join(inside)})"


_PLAIN = re.compile(r"[^\W\d][\w.]*")


def quoted(name: str) -> str:
    """A column name as a formula writes it: backquoted unless it reads as a plain name (dots allowed)."""
    plain = _PLAIN.fullmatch(name) and name not in ("TRUE", "True", "FALSE", "False")
    return name if plain else "`" + name.replace("`", "``") + "`"


def bracketed(node: Expression, least: int) -> str:
    """The node's text, in brackets when it binds less tightly than `least`."""
    rank = PRECEDENCE[node.operator] if isinstance(node, Binary) else 3 if isinstance(node, Unary) else 9
    return str(node) if rank >= least else f"({node})"


@dataclass(frozen=True)
class Term:
    """A product of expressions: ``a:log(b)`` is ``Term((Name a, Call log(b)))``."""

    factors: tuple[Expression, ...]

    def __str__(self) -> str:
        return ":".join(str(f) for f in self.factors)


@dataclass(frozen=True)
class Terms:
    """A sum of terms with or without an intercept; terms stand in R's order (main effects first)."""

    intercept: bool
    terms: tuple[Term, ...] = ()

    def __str__(self) -> str:
        parts = ["1" if self.intercept else "0", *(str(t) for t in self.terms)]
        return " + ".join(parts)


@dataclass(frozen=True)
class GroupTerm:
    """``(coefficients | levels)`` with the covariance among the coefficients of one level.

    Parameters
    ----------
    coefficients : Terms
        Left of the bar; ``(x | g)`` has an intercept, ``(0 + x | g)`` has not.
    levels : tuple of str
        Columns whose combinations are the levels: ``("g",)``, ``("a", "b")`` for ``a:b``.
    scale : str
        A member of `scales/`: ``"unstructured"``, ``"diagonal"`` (``||`` and ``diag()``), ``"compound_symmetry"``.
    options : tuple of (str, value)
        Keywords of the wrapper, such as ``cs(x | g, hom=True)``.
    """

    coefficients: Terms
    levels: tuple[str, ...]
    scale: str = "unstructured"
    options: tuple[tuple[str, bool | float | str], ...] = ()
    at: int = field(default=0, compare=False)

    @property
    def label(self) -> str:
        """The group's name in every output: ``g`` or ``a:b``."""
        return ":".join(self.levels)

    def __str__(self) -> str:
        bar = "||" if self.scale == "diagonal" and not self.options else "|"
        body = f"{self.coefficients} {bar} {':'.join(quoted(v) for v in self.levels)}"
        wrapper = WRAPPERS.get(self.scale, "")
        if bar == "||" or not wrapper:
            return f"({body})"
        settings = "".join(f", {k}={v}" for k, v in self.options)
        return f"{wrapper}({body}{settings})"


WRAPPERS = {"compound_symmetry": "cs", "diagonal": "diag"}


@dataclass(frozen=True)
class Response:
    """Left of the tilde: an expression and what stands behind its bar (``weights(w)``, ``se(s)``, …)."""

    expression: Expression
    modifiers: tuple[tuple[str, Call], ...] = ()

    def __str__(self) -> str:
        bar = " | " + " + ".join(str(call) for _, call in self.modifiers) if self.modifiers else ""
        return f"{self.expression}{bar}"


def right_side(fixed: Terms, offsets: tuple[Expression, ...], groups: tuple[GroupTerm, ...]) -> str:
    """What stands right of a tilde."""
    return " + ".join([str(fixed), *(f"offset({o})" for o in offsets), *(str(g) for g in groups)])


@dataclass(frozen=True)
class Part:
    """The formula of a further predictor: ``sigma ~ x``, ``zi ~ x + (1 | g)``."""

    name: str
    fixed: Terms
    groups: tuple[GroupTerm, ...] = ()
    offsets: tuple[Expression, ...] = ()
    at: int = field(default=0, compare=False)

    def __str__(self) -> str:
        return f"{self.name} ~ {right_side(self.fixed, self.offsets, self.groups)}"


@dataclass(frozen=True)
class Formula:
    """A parsed formula; `further` are the parts after a semicolon.

    `text` is what the user typed; `str(formula)` is the canonical form, and parsing that gives an equal formula.
    """

    response: Response
    fixed: Terms
    groups: tuple[GroupTerm, ...] = ()
    offsets: tuple[Expression, ...] = ()
    further: tuple[Part, ...] = ()
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        main = f"{self.response} ~ {right_side(self.fixed, self.offsets, self.groups)}"
        return "; ".join([main, *(str(part) for part in self.further)])
