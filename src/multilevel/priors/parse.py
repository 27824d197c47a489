"""Priors as text: ``"normal(0, 5)"``, ``"half_student_t(3, 0, 2.5)"``, ``"exponential(rate=1/20)"``, ``"flat"``.

    prior    := name [ "(" [ argument { "," argument } ] ")" ]
    argument := [ name "=" ] number [ "/" number ]

Names are those of the files in `priors/` and `priors/covariance/`. ``half_`` before a prior that is symmetric around a
location cuts it at zero; the location, zero, may be left out. Text is never evaluated.
"""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from ..errors import SettingError, listed, nearest, printable
from ..registry import member, members, official
from .base import Cut, Prior
from .covariance.base import CovariancePrior

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
CALL = re.compile(r"\s*([A-Za-z][A-Za-z0-9_ .-]*?)\s*(?:\((.*)\))?\s*", re.S)
ARGUMENT = re.compile(rf"\s*(?:([A-Za-z_]\w*)\s*=)?\s*({NUMBER})\s*(?:/\s*({NUMBER})\s*)?")
HALF = "half_"
MATRICES = "priors.covariance"


def parse_prior(given: Any) -> Prior | CovariancePrior:
    """The prior that a text means; priors themselves pass.

    Raises
    ------
    SettingError
        E_PRIOR for an unknown name (with the nearest), text that is no prior, and parameters outside their range.

    Examples
    --------
    >>> str(parse_prior("half_normal(1)")), str(parse_prior("exponential(rate = 1/20)"))
    ('half_normal(0, 1)', 'exponential(0.05)')
    """
    if isinstance(given, Prior | CovariancePrior):
        return given
    if not isinstance(given, str):
        raise _no_prior(repr(given))
    match = CALL.fullmatch(given)
    if match is None:
        raise _no_prior(given)
    name, inside = match.groups()
    positional, named = _arguments(inside, given)
    plain = name.strip().lower().replace(" ", "_").replace("-", "_").replace(".", "_")
    if plain.startswith(HALF):
        return _half(plain.removeprefix(HALF), positional, named, given)
    return _made(_kind(plain), positional, named, given)


def known_names() -> tuple[str, ...]:
    """All names of priors."""
    halves = tuple(HALF + name for name in members("priors") if member("priors", name).centre)
    return (*members("priors"), *halves, *members(MATRICES))


def _kind(name: str) -> Any:
    for folder in (MATRICES, "priors"):
        if (found := official(folder, name)) in members(folder):
            return member(folder, found)
    raise _unknown(name)


def _unknown(name: str) -> SettingError:
    known = known_names()
    hint = nearest(name, known) or f"There are: {', '.join(known)}."
    return SettingError(f'unknown prior "{printable(name)}"', code="E_PRIOR", hint=hint)


def _no_prior(text: str) -> SettingError:
    return SettingError(
        f'"{printable(text)}" is no prior', code="E_PRIOR", hint='Write a name and numbers, such as "normal(0, 5)".'
    )


def _arguments(inside: str | None, text: str) -> tuple[list[float], dict[str, float]]:
    positional: list[float] = []
    named: dict[str, float] = {}
    for part in (inside or "").split(",") if (inside or "").strip() else []:
        match = ARGUMENT.fullmatch(part)
        if match is None or (positional and named and match[1] is None) or match[1] in named:
            raise _no_prior(text)
        value = float(match[2])
        if match[3] is not None:
            if float(match[3]) == 0.0:
                raise _no_prior(text)
            value /= float(match[3])
        if match[1] is None:
            if named:
                raise _no_prior(text)
            positional.append(value)
        else:
            named[match[1]] = value
    return positional, named


def _made(kind: Any, positional: list[float], named: dict[str, float], text: str) -> Any:
    """The prior of these parameters."""
    names = [f.name for f in fields(kind) if f.name not in ("count", "unit")]
    for name in named:
        if name not in names:
            hint = nearest(name, names) or f"It has: {listed(names, 6)}."
            raise SettingError(f'"{printable(text)}": no parameter "{printable(name)}"', code="E_PRIOR", hint=hint)
    values: dict[str, Any] = {}
    if len(positional) > len(names) and "scale" in names and issubclass(kind, CovariancePrior):
        at = names.index("scale")  # one scale for each coefficient
        values = {**dict(zip(names[:at], positional, strict=False)), "scale": tuple(positional[at:])}
    elif len(positional) <= len(names):
        values = dict(zip(names, positional, strict=False))
    if (len(positional) > len(names) and not values) or set(values) & set(named):
        hint = f"It has: {listed(names, 6)}." if names else "It has none."
        raise SettingError(f'"{printable(text)}" has too many parameters', code="E_PRIOR", hint=hint)
    return kind(**values, **named)


def _half(name: str, positional: list[float], named: dict[str, float], text: str) -> Prior:
    kind = _kind(name) if official("priors", name) in members("priors") else None
    if kind is None or not kind.centre:
        raise _unknown(HALF + name)
    names = [f.name for f in fields(kind)]
    if kind.centre not in named and len(positional) < len(names):
        positional.insert(min(names.index(kind.centre), len(positional)), 0.0)
    whole: Prior = _made(kind, positional, named, text)
    if whole.parameters[kind.centre] != 0.0:
        raise SettingError(
            f'"{printable(text)}" is not around zero, so that no half of it can be taken',
            code="E_PRIOR",
            hint=f'Use "{whole}": for a positive parameter it is cut at zero.',
        )
    return Cut(whole)
