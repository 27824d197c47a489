"""What responses of several families have in common: numbers within a support, weights, censoring, truncation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import DtypeError, ResponseError, WeightsError, listed, printable
from .base import Family, Given, Observations, plain

WORDS = {"text": "str"}
CENSORING = {"left": -1, "none": 0, "right": 1, "interval": 2}


def numbers(given: Given) -> np.ndarray:
    """The response as numbers.

    Raises
    ------
    DtypeError
        For text: it is never converted silently.
    ResponseError
        For ``cbind``, which belongs to families with trials.
    """
    if given.kind in ("text", "category"):
        raise DtypeError(
            f'response "{printable(given.name)}" holds {WORDS.get(given.kind, "categories")} values, not numbers',
            code="E_RESPONSE_NOT_NUMERIC",
            hint="If the text holds numbers, convert it first, e.g. with astype(float).",
            column=given.name,
        )
    if given.columns:
        raise ResponseError(
            f"{printable(given.name)}: two columns are successes and failures",
            code="E_RESPONSE_COLUMNS",
            hint='Use family="binomial" or "beta_binomial", or a single column.',
        )
    return np.asarray(given.values, dtype=float)


def refuse(given: Given, bad: np.ndarray, wanted: str, hint: str = "", values: np.ndarray | None = None) -> None:
    """An error that names the first of the rows outside the support, if there are any."""
    rows = np.flatnonzero(bad)
    if not len(rows):
        return
    first = (given.values if values is None else values)[rows[0]]
    count = f" ({len(rows)} of {len(bad)} rows)" if len(rows) > 1 else ""
    raise ResponseError(
        f'response "{printable(given.name)}" must be {wanted}: {first:.12g} in row {given.row(int(rows[0]))}{count}',
        hint=hint,
        column=given.name,
        row=given.row(int(rows[0])),
        count=len(rows),
    )


def refuse_constant(given: Given, y: np.ndarray, what: str = "", hint: str = "") -> None:
    """A response that does not vary fits nothing."""
    if len(y) and np.all(y == y[0]):
        raise ResponseError(
            f'response "{printable(given.name)}" is all {what or f"{y[0]:.12g}"} in {len(y)} rows: nothing varies',
            code="E_CONSTANT_RESPONSE",
            hint=hint or "Check the column, or the filter before it.",
            column=given.name,
        )


def positive(given: Given, family: str) -> np.ndarray:
    """Numbers above zero that vary."""
    y = numbers(given)
    refuse(
        given,
        ~(y > 0),
        "> 0",
        f"The {family} distribution has positive values only: check these rows, or use another family.",
    )
    refuse_constant(given, y)
    return y


def counts(given: Given) -> np.ndarray:
    """Whole numbers of at least zero, not all of them zero."""
    y = numbers(given)
    refuse(
        given,
        ~((y >= 0) & (y == np.floor(y))),
        "an integer >= 0",
        'For amounts use family="gamma" or "lognormal"; for rates, the counts and offset(log(exposure)).',
    )
    if not y.any():
        refuse_constant(given, y)
    return y


def observed(
    family: Family, given: Given, y: np.ndarray, trials: np.ndarray | None = None, **more: Any
) -> Observations:
    """Observations with weights, censoring and truncation as the response's modifiers have them."""
    y = plain(y)
    weights, precision = _weights(family, given)
    censored, upper = _censoring(given, y)
    obs = Observations(
        y, trials=trials, weights=weights, precision=precision, censored=censored, upper=upper,
        bounds=_truncation(given), name=given.name, **more,
    )  # fmt: skip
    if obs.bounds is not None:
        _refuse_outside(given, obs)
    return obs


def _weights(family: Family, given: Given) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Counts of equal rows, and precisions."""
    if given.weights is None or given.weights_kind == "frequency":
        return given.weights, None
    if family.precision:
        return None, given.weights
    raise WeightsError(
        f'weights= are precisions, and the family "{family.name}" has no variance parameter that they could divide',
        hint=f"For counts of equal rows write {printable(given.name)} | weights(w) ~ …",
    )


def _censoring(given: Given, y: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Codes of `Observations.censored`, and the upper ends."""
    found = given.modifiers.get("cens")
    if found is None or found[0] is None:
        return None, None
    codes, upper = found[0], found[1] if len(found) > 1 else None
    rows = np.flatnonzero(~np.isin(codes, (-1, 0, 1, 2)))
    if len(rows):
        known = listed([f'"{k}" ({v})' for k, v in CENSORING.items()], 4)
        raise ResponseError(
            f"cens(): {codes[rows[0]]:g} in row {given.row(int(rows[0]))} is no kind of censoring",
            hint=f"Known: {known}.",
        )
    interval = codes == 2
    if interval.any():
        if upper is None:
            raise ResponseError(
                "cens() has interval-censored rows without upper ends", hint="Write cens(kind, upper): two columns."
            )
        bad = interval & ~(upper > y)
        refuse(given, bad, "below the upper end of its interval", "cens(kind, upper) needs upper > response.")
    return codes.astype(np.int8), upper if interval.any() else None


def _truncation(given: Given) -> tuple[np.ndarray, np.ndarray] | None:
    """Lower and upper bounds."""
    found = given.modifiers.get("trunc")
    if found is None:
        return None
    n = len(given.values)
    ends = ((found[0], -math.inf), (found[1] if len(found) > 1 else None, math.inf))
    lower, upper = (np.full(n, other) if a is None else np.asarray(a, dtype=float) for a, other in ends)
    rows = np.flatnonzero(~(lower < upper))
    if len(rows):
        i = int(rows[0])
        raise ResponseError(
            f"trunc(): the bounds {lower[i]:g} and {upper[i]:g} in row {given.row(i)} leave nothing between them",
            hint="The lower bound comes first: trunc(lb, ub).",
        )
    return lower, upper


def _refuse_outside(given: Given, obs: Observations) -> None:
    assert obs.bounds is not None
    lower, upper = obs.bounds
    refuse(
        given,
        (obs.y < lower) | (obs.y > upper),
        "within the bounds of trunc()",
        "A truncated response has no values outside its bounds; values known to lie beyond one are cens().",
    )
