"""Categories as a response: their order, their labels, and those that do not occur."""

from __future__ import annotations

import numpy as np

from ..errors import ResponseError, ResponseWarning, listed, printable, warn
from .base import Family, Given, Observations
from .support import observed

MOST = 100  # more categories than that are numbers


def observe_categories(family: Family, given: Given, ordered: bool) -> Observations:
    """Indices of the categories that occur, in order: that of the type, of numbers, or of sorted text.

    Raises
    ------
    ResponseError
        E_CONSTANT_RESPONSE for a single category; E_RESPONSE_DOMAIN for a column that holds measurements.

    Warns
    -----
    ResponseWarning
        W_EMPTY_CATEGORY where a declared category, or a whole number between others, does not occur.
    """
    if given.columns:
        raise ResponseError(f"{printable(given.name)}: categories stand in one column", code="E_RESPONSE_COLUMNS")
    y, levels, empty = _numeric(given) if given.kind == "numeric" else _declared(given)
    if len(levels) < 2:
        raise ResponseError(
            f'response "{printable(given.name)}" is all "{listed(levels)}" in {len(y)} rows: nothing varies',
            code="E_CONSTANT_RESPONSE",
            hint="Check the column, or the filter before it.",
            column=given.name,
        )
    if len(levels) > MOST:
        raise ResponseError(
            f'response "{printable(given.name)}" has {len(levels)} different values: that many are no categories',
            hint='For measurements use family="gaussian"; else join some categories.',
            column=given.name,
        )
    if empty:
        warn(_empty(given.name, empty, ordered))
    if ordered and given.kind == "text" and len(levels) > 2:
        warn(_alphabetical(given.name, levels))
    return observed(family, given, y, levels=levels)


def _declared(given: Given) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    """Codes of the labels that occur, these labels, and those that do not."""
    names = ("False", "True") if given.kind == "boolean" else given.levels
    codes = np.asarray(given.values).astype(np.int64)
    seen = np.bincount(codes, minlength=len(names)) > 0
    place = np.cumsum(seen) - 1
    levels = tuple(name for name, here in zip(names, seen, strict=True) if here)
    empty = tuple(name for name, here in zip(names, seen, strict=True) if not here)
    return place[codes].astype(float), levels, empty if given.kind == "category" else ()


def _numeric(given: Given) -> tuple[np.ndarray, tuple[str, ...], tuple[str, ...]]:
    values, codes = np.unique(np.asarray(given.values, dtype=float), return_inverse=True)
    levels = tuple(f"{v:.12g}" for v in values)
    whole = bool(np.all(values == np.floor(values))) and len(values) > 1
    near = whole and values[-1] - values[0] < MOST
    between = np.setdiff1d(np.arange(values[0], values[-1]), values) if near else np.zeros(0)
    # scores such as 10, 20, 30 have no gap; 1, 2, 4 have one
    empty = tuple(f"{v:.12g}" for v in between) if len(between) < len(values) - 1 else ()
    return codes.astype(float), levels, empty


def _empty(name: str, empty: tuple[str, ...], ordered: bool) -> ResponseWarning:
    noun = "category" if len(empty) == 1 else "categories"
    gone = "its threshold has no estimate, and neighbours are treated as adjacent" if ordered else "it is left out"
    return ResponseWarning(
        f'response "{printable(name)}" has no row in the {noun} {listed(empty)}: {gone}',
        code="W_EMPTY_CATEGORY",
        hint="Join it with a neighbour, or drop it from the column, to say so.",
        column=name,
    )


def _alphabetical(name: str, levels: tuple[str, ...]) -> ResponseWarning:
    return ResponseWarning(
        f'response "{printable(name)}" is text, ordered as {listed(levels, 6)}',
        hint="If that is not the order, give an ordered category type, or numbers.",
        column=name,
    )
