"""A model on some of its rows, without reading the data again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import IdentifiabilityError, printable

if TYPE_CHECKING:
    from ..model.model import Model


def without(model: Model, rows: np.ndarray) -> Model:
    """The model without some rows; levels that no longer occur are dropped, columns are the same numbers.

    Parameters
    ----------
    model : Model
    rows : (n,) bool array
        The rows to leave out.
    """
    design, keep = model.design, np.flatnonzero(~rows)

    def part(column: np.ndarray | None) -> np.ndarray | None:
        return None if column is None else np.ascontiguousarray(column[keep])

    groups = []
    for g in design.groups:
        present, codes = np.unique(g.codes[keep], return_inverse=True)
        levels = tuple(g.levels[i] for i in present)
        columns = tuple(map(part, g.columns))
        groups.append(replace(g, columns=columns, codes=codes.astype(np.int32), levels=levels))
    smaller = replace(
        design,
        response=design.response[keep],
        fixed_columns=tuple(map(part, design.fixed_columns)),
        groups=tuple(groups),
        offset=part(design.offset),
        weights=part(design.weights),
        known_se=part(design.known_se),
        kept=keep if design.kept is None else design.kept[keep],
        offsets=tuple(map(part, design.offsets)),
        observations=None if design.observations is None else design.observations.take(keep),
    )
    return model.with_design(smaller)


def check_levels(model: Model) -> None:
    """Refuse a model whose grouping factors have one level left.

    Raises
    ------
    IdentifiabilityError
    """
    for group in model.design.groups:
        if len(group.levels) < 2:
            raise IdentifiabilityError(
                f'"{printable(group.label)}" has one level left: a variance between groups needs at least two',
                code="E_ONE_LEVEL",
            )


def on_common_rows(models: Sequence[Model]) -> list[Model]:
    """Models of one table on the rows that all of them can use; those that use no others are returned as they are."""
    used = []
    for model in models:
        rows = np.zeros(model.design.n_rows_given, dtype=bool)
        rows[slice(None) if model.design.kept is None else model.design.kept] = True
        used.append(rows)
    common = np.all(np.stack(used), axis=0)
    return [
        model if np.array_equal(rows, common) else without(model, ~common[rows])
        for model, rows in zip(models, used, strict=True)
    ]
