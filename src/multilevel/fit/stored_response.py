"""The observed response of a generalized model in a saved fit: arrays to a record and back, checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from ..families.base import Observations

NUMBERS = ("y", "trials", "weights", "precision", "upper")
POSITIVE = ("trials", "weights", "precision")


def response_record(obs: Observations | None, add: Callable[[np.ndarray | None], str | None]) -> dict[str, Any] | None:
    """The record of observations; `add` stores an array and names it. None for linear models."""
    if obs is None:
        return None
    codes = None if obs.censored is None else obs.censored.astype(np.int32)
    ends = (None, None) if obs.bounds is None else obs.bounds
    return {
        **{name: add(getattr(obs, name)) for name in NUMBERS},
        "censored": add(codes),
        "bounds": [add(end) for end in ends],
        "levels": list(obs.levels),
        "name": obs.name,
    }


def stored_response(record: Mapping[str, Any] | None, arrays: Mapping[str, np.ndarray], n: int) -> Observations | None:
    """Observations from their record.

    Raises
    ------
    ValueError
        Where sizes, types or values do not agree with each other.
    """
    from ..families.base import Observations

    if record is None:
        return None
    found = {name: None if record[name] is None else arrays[record[name]] for name in NUMBERS}
    y, codes = arrays[record["y"]], None if record["censored"] is None else arrays[record["censored"]]
    low, high = (None if name is None else arrays[name] for name in record["bounds"])
    levels = tuple(record["levels"])
    agree(all(isinstance(level, str) for level in levels), "levels")
    for name, values in [*found.items(), ("lower", low), ("upper", high)]:
        agree(values is None or (values.dtype == np.float64 and values.shape == (n,)), name)
        agree(values is None or not bool(np.isnan(values).any()), name)
        agree(values is None or name not in POSITIVE or bool((values > 0.0).all()), name)
    agree((low is None) == (high is None), "bounds")
    agree(codes is None or (codes.shape == (n,) and bool(np.isin(codes, (-1, 0, 1, 2)).all())), "censoring")
    if levels:
        agree(bool(np.isin(y, np.arange(len(levels))).all()), "categories")
    return Observations(
        y=y,
        trials=found["trials"],
        weights=found["weights"],
        precision=found["precision"],
        censored=None if codes is None else codes.astype(np.int8),
        upper=found["upper"],
        bounds=None if low is None or high is None else (low, high),
        levels=levels,
        name=str(record["name"]),
    )


def agree(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
