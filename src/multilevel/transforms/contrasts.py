"""Contrasts: how the levels of a factor become columns, ``C(f, Sum)`` or ``C(f, contr.sum)``.

    fields, matrix = contrast(levels, **settings)      names of the L - 1 columns and the L × (L - 1) matrix

Values and names are those of formulaic: ``f[T.b]``, ``C(f, Sum)[S.a]``. Where the levels must span the intercept
(``0 + f``, ``x:f``) every contrast gives way to the indicators ``f[a]``, ``f[b]``, ….
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import FormulaError, listed, nearest, printable
from .poly import evaluate, recurrence

Coding = tuple[tuple[str, ...], np.ndarray]


def treatment(levels: tuple[str, ...], reference: Any = None) -> Coding:
    """Each level against the reference, which is the first one unless named."""
    base = 0 if reference is None else position(levels, reference)
    others = [i for i in range(len(levels)) if i != base]
    return tuple(f"T.{levels[i]}" for i in others), np.eye(len(levels))[:, others]


def sas(levels: tuple[str, ...], reference: Any = None) -> Coding:
    """Each level against the last one."""
    return treatment(levels, levels[-1] if reference is None else reference)


def sum_to_zero(levels: tuple[str, ...]) -> Coding:
    """Each level but the last against the mean of all levels; type III tests need this one."""
    matrix = np.eye(len(levels), len(levels) - 1)
    matrix[-1] = -1.0
    return tuple(f"S.{level}" for level in levels[:-1]), matrix


def helmert(levels: tuple[str, ...]) -> Coding:
    """Each level against the mean of those before it (R's scaling)."""
    n = len(levels)
    matrix = np.zeros((n, n - 1))
    matrix[np.triu_indices(n - 1)] = -1.0
    matrix[np.arange(1, n), np.arange(n - 1)] = np.arange(1, n)
    return tuple(f"H.{level}" for level in levels[1:]), matrix


def difference(levels: tuple[str, ...]) -> Coding:
    """Each level against the one before it."""
    n = len(levels)
    matrix = np.repeat([np.arange(1, n)], n, axis=0) / n
    matrix[np.triu_indices(n, m=n - 1)] -= 1.0
    return tuple(f"D.{level}" for level in levels[1:]), matrix


def polynomial(levels: tuple[str, ...], scores: Any = None) -> Coding:
    """Orthonormal polynomials of the level's number, or of its score: linear, quadratic, cubic, ^4, …"""
    points = np.arange(len(levels), dtype=float) if scores is None else np.array(scores, float)
    if points.shape != (len(levels),) or len(np.unique(points)) < len(levels):
        raise FormulaError(
            f"Poly contrasts need one distinct score for each of the {len(levels)} levels", code="E_FORMULA_FUNCTION"
        )
    columns = evaluate(points, *recurrence(points, len(levels) - 1))
    short = {1: ".L", 2: ".Q", 3: ".C"}
    return tuple(short.get(d, f"^{d}") for d in range(1, len(levels))), np.column_stack(columns)


CONTRASTS: dict[str, Callable[..., Coding]] = {
    "Treatment": treatment,
    "Sum": sum_to_zero,
    "Helmert": helmert,
    "Diff": difference,
    "Poly": polynomial,
    "SAS": sas,
}
BY_R_NAME = {f"contr.{name.lower()}": name for name in CONTRASTS} | {"contr.SAS": "SAS"}
SETTING = {"Treatment": "reference", "SAS": "reference", "Poly": "scores"}  # the one setting a contrast may have
SYNONYMS = {"base": "reference"}
MEMBER = CONTRASTS


def contrast(name: str, levels: tuple[str, ...], given: tuple[Any, ...] = (), **named: Any) -> Coding:
    """Columns of the contrast that a formula calls `name`."""
    canonical = BY_R_NAME.get(name, name)
    if canonical not in CONTRASTS:
        known = (*CONTRASTS, *BY_R_NAME)
        hint = nearest(name, known) or f"Known contrasts: {listed(CONTRASTS, 10)}."
        raise FormulaError(f'unknown contrast "{printable(name)}"', code="E_FORMULA_FUNCTION", hint=hint)
    allowed = SETTING.get(canonical)
    settings = {SYNONYMS.get(k, k): v for k, v in named.items()}
    if len(given) + len(settings) > (allowed is not None) or any(k != allowed for k in settings):
        takes = f'only the setting "{allowed}"' if allowed else "no settings"
        raise FormulaError(f"{canonical} contrasts take {takes}", code="E_FORMULA_FUNCTION")
    if given and allowed:
        settings = {allowed: given[0]}
    return CONTRASTS[canonical](levels, **settings)


def position(levels: tuple[str, ...], value: Any) -> int:
    """The place of a level given as text, number or truth value; 2 finds the levels "2" and "2.0"."""
    texts = [str(value)]
    if isinstance(value, int | float) and not isinstance(value, bool) and value == int(value):
        texts = [str(int(value)), f"{int(value)}.0"]
    for text in texts:
        if text in levels:
            return levels.index(text)
    raise FormulaError(
        f'the reference "{printable(value)}" is no level; levels: {listed(levels, 10)}',
        code="E_FORMULA_FUNCTION",
        hint=nearest(texts[0], levels),
    )
