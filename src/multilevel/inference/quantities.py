"""Arithmetic of a model's parameters, as text: ``"Days > 0"``, ``"sd[Subject, Days] / sigma < 0.5"``.

    hypothesis = sum [ (">" | "<" | ">=" | "<=" | "=") sum ]
    sum        = product {("+" | "-") product}
    product    = sign {("*" | "/") sign}
    sign       = "-" sign | power
    power      = operand ["^" sign]
    operand    = number | parameter | function "(" sum ")" | "(" sum ")"

A parameter is a coefficient by its name (``Days``, ``sex[T.female]``, ``a:b``), ``sd[g]``, ``sd[g, x]``,
``cor[g, x, y]``, ``r[g, level]``, ``r[g, level, x]`` (the effect of one level), ``sigma`` or another constant of the
family. Backquotes keep a name together: ```my column` > 0``. Nothing is ever run as Python.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingError, listed, nearest, printable

Address = tuple[str, ...]  # ("beta", "Days"), ("sd", "Subject", "Days"), ("constant", "sigma"), …
Lookup = Callable[[Address], np.ndarray]
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": np.exp, "log": np.log, "sqrt": np.sqrt, "abs": np.abs, "tanh": np.tanh,
    "plogis": lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)), "inv_logit": lambda x: 0.5 * (1.0 + np.tanh(0.5 * x)),
}  # fmt: skip
RELATIONS = (">=", "<=", "==", ">", "<", "=")
BRACKETED = ("sd", "cor", "r", "beta")
MOST_CHARACTERS, MOST_DEPTH = 4096, 60
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.])")
_WORD = re.compile(r"[^\W\d][\w.]*")


@dataclass(frozen=True)
class Names:
    """What a model's parameters are called.

    Parameters
    ----------
    coefficients, constants : names
    groups : grouping factor → (levels, terms);  correlated : grouping factor → pairs of terms
    """

    coefficients: tuple[str, ...]
    constants: tuple[str, ...]
    groups: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]
    correlated: Mapping[str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Quantity:
    """A parsed expression: what it needs, and its value given these."""

    needs: tuple[Address, ...]
    value: Callable[[Lookup], Any]


@dataclass(frozen=True)
class Hypothesis:
    """left `relation` right; `relation` is one of ``>``, ``<``, ``=``, or empty for an expression alone."""

    text: str
    left: Quantity
    relation: str
    right: Quantity


def parse(text: str, names: Names) -> Hypothesis:
    """Read a hypothesis about the parameters of a model.

    Raises
    ------
    SettingError
        E_HYPOTHESIS, pointing at the character, for what cannot be read and for unknown parameters.
    """
    if not isinstance(text, str) or not 0 < len(text) <= MOST_CHARACTERS:
        raise SettingError(
            f"a hypothesis is text of at most {MOST_CHARACTERS} characters, not {printable(repr(text))[:60]}",
            code="E_HYPOTHESIS", hint='Write "x > 0" or "a - b = 0".',
        )  # fmt: skip
    reader = _Reader(text, names)
    left = reader.sum()
    relation, right = "", Quantity((), lambda _: 0.0)
    for sign in RELATIONS:
        if reader.accept(sign):
            relation, right = sign.rstrip("=") or "=", reader.sum()
            break
    if not reader.ended():
        raise reader.fault("nothing more was expected")
    return Hypothesis(text.strip(), left, relation, right)


class _Reader:
    """Recursive descent over the text."""

    def __init__(self, text: str, names: Names) -> None:
        self.text, self.names, self.at, self.depth = text, names, 0, 0
        self.known = sorted((*names.coefficients, *names.constants), key=len, reverse=True)

    # --- characters ----------------------------------------------------------------------------------------------
    def _skip(self) -> None:
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1

    def ended(self) -> bool:
        self._skip()
        return self.at >= len(self.text)

    def accept(self, sign: str) -> bool:
        self._skip()
        if not self.text.startswith(sign, self.at):
            return False
        self.at += len(sign)
        return True

    def fault(self, why: str, hint: str = "") -> SettingError:
        before, after = printable(self.text[: self.at])[-60:], printable(self.text[self.at :])[:60]
        return SettingError(
            f"the hypothesis cannot be read: {why} (character {self.at + 1}: {before}▸{after})",
            code="E_HYPOTHESIS", hint=hint or 'Write "x > 0", "a = b" or "sd[g, x] / sigma < 0.5".',
        )  # fmt: skip

    # --- arithmetic ----------------------------------------------------------------------------------------------
    def sum(self) -> Quantity:
        self.depth += 1
        if self.depth > MOST_DEPTH:
            raise self.fault(f"brackets nest deeper than {MOST_DEPTH}")
        found = self._joined(self._product, "+-")
        self.depth -= 1
        return found

    def _product(self) -> Quantity:
        return self._joined(self._sign, "*/")

    def _joined(self, part: Callable[[], Quantity], signs: str) -> Quantity:
        found = part()
        while True:
            sign = next((s for s in signs if self.accept(s)), None)
            if sign is None:
                return found
            found = _both(sign, found, part())

    def _sign(self) -> Quantity:
        if self.accept("-"):
            inside = self._sign()
            return Quantity(inside.needs, lambda look: -inside.value(look))
        base = self._operand()
        return _both("^", base, self._sign()) if self.accept("^") else base

    def _operand(self) -> Quantity:
        self._skip()
        if self.accept("("):
            found = self.sum()
            self._close()
            return found
        number = _NUMBER.match(self.text, self.at)
        if number:
            self.at = number.end()
            constant = float(number[0])
            return Quantity((), lambda _: constant)
        return self._parameter()

    def _close(self) -> None:
        if not self.accept(")"):
            raise self.fault('expected ")"')

    # --- parameters ----------------------------------------------------------------------------------------------
    def _parameter(self) -> Quantity:
        start = self.at
        if self.accept("`"):
            end = self.text.find("`", self.at)
            name = self.text[self.at : end] if end >= 0 else ""
            if name not in self.known:
                raise self.fault("no such parameter in backquotes", nearest(name, self.known))
            self.at = end + 1
            return self._named(name)
        word = _WORD.match(self.text, self.at)
        longest = next((n for n in self.known if self._stands_here(n)), None)
        if longest is not None:
            self.at += len(longest)
            return self._named(longest)
        if word and word[0] in BRACKETED and self.text.startswith("[", word.end()):
            self.at = word.end()
            return self._addressed(word[0], start)
        if word and word[0] in FUNCTIONS:
            self.at = word.end()
            if not self.accept("("):
                raise self.fault(f"{word[0]} needs brackets")
            inside, f = self.sum(), FUNCTIONS[word[0]]
            self._close()
            return Quantity(inside.needs, lambda look: f(inside.value(look)))
        if word is None:
            raise self.fault("expected a parameter, a number or a bracket")
        hint = nearest(word[0], self.known) or f"Parameters: {listed(self.known[::-1], 12)}; sd[g, x], cor[g, x, y]."
        raise self.fault(f'no parameter "{printable(word[0])}"', hint)

    def _stands_here(self, name: str) -> bool:
        """Whether that name is at this place, and does not go on."""
        end = self.at + len(name)
        if not self.text.startswith(name, self.at):
            return False
        return not (end < len(self.text) and (self.text[end].isalnum() or self.text[end] in "_.[:"))

    def _named(self, name: str) -> Quantity:
        kind = "beta" if name in self.names.coefficients else "constant"
        address = (kind, name)
        return Quantity((address,), lambda look: look(address))

    def _addressed(self, kind: str, start: int) -> Quantity:
        """``sd[g, x]`` and its neighbours: what stands between the brackets, apart at its outermost commas."""
        depth, parts, piece = 0, [], ""
        while self.at < len(self.text):
            c = self.text[self.at]
            self.at += 1
            depth += (c == "[") - (c == "]")
            if depth == 0:
                break
            if c == "," and depth == 1:
                parts.append(piece.strip())
                piece = ""
            elif not (c == "[" and depth == 1):
                piece += c
        if depth:
            self.at = start
            raise self.fault('a "[" is not closed')
        address = self._resolved(kind, [*parts, piece.strip()], start)
        return Quantity((address,), lambda look: look(address))

    def _resolved(self, kind: str, parts: list[str], start: int) -> Address:
        if kind == "beta":
            return ("beta", self._one_of(", ".join(parts), self.names.coefficients, "coefficient", start))
        label = self._one_of(parts[0], tuple(self.names.groups), "grouping factor", start)
        levels, terms = self.names.groups[label]
        if kind == "r":
            return self._level(label, levels, terms, parts[1:], start)
        if kind == "cor":
            return self._pair(label, parts[1:], start)
        return ("sd", label, self._term(label, terms, parts[1:], start))

    def _term(self, label: str, terms: Sequence[str], parts: list[str], start: int) -> str:
        if not parts and len(terms) == 1:
            return terms[0]
        if not parts:
            self.at = start
            raise self.fault(f'"{printable(label)}" has several coefficients', f"Name one of: {listed(terms, 8)}.")
        return self._one_of(", ".join(parts), terms, f'coefficient of "{printable(label)}"', start)

    def _level(
        self, label: str, levels: Sequence[str], terms: Sequence[str], parts: list[str], start: int
    ) -> Address:
        whole = ", ".join(parts)
        if whole in levels:
            return ("r", label, whole, self._term(label, terms, [], start))
        term = self._one_of(parts[-1] if parts else "", terms, f'coefficient of "{printable(label)}"', start)
        return ("r", label, self._one_of(", ".join(parts[:-1]), levels, f'level of "{printable(label)}"', start), term)

    def _pair(self, label: str, parts: list[str], start: int) -> Address:
        pairs = self.names.correlated.get(label, ())
        if not parts and len(pairs) == 1:
            return ("cor", label, *pairs[0])
        chosen = tuple(parts)
        for pair in pairs:
            if chosen in (pair, pair[::-1]):
                return ("cor", label, *pair)
        self.at = start
        shown = [f"cor[{label}, {a}, {b}]" for a, b in pairs]
        raise self.fault("no such correlation", f"There is: {listed(shown, 6)}." if shown else "The model has none.")

    def _one_of(self, name: str, known: Sequence[str], noun: str, start: int) -> str:
        if name in known:
            return name
        self.at = start
        hint = nearest(name, list(known)) or f"There is: {listed(known, 8)}."
        raise self.fault(f'no {noun} "{printable(name)}"', hint)


def _both(sign: str, a: Quantity, b: Quantity) -> Quantity:
    """Two quantities joined; a division by zero or a root of a negative number is NaN, not an error."""
    operations: dict[str, Callable[[Any, Any], Any]] = {
        "+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide, "^": np.power,
    }  # fmt: skip
    f = operations[sign]

    def value(look: Lookup) -> Any:
        with np.errstate(all="ignore"):
            return f(np.asarray(a.value(look), dtype=float), b.value(look))

    return Quantity((*a.needs, *b.needs), value)
