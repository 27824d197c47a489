"""A model with another response, other group terms, or fewer fixed columns: nothing is read or coded again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..formula.design import GroupColumns
from ..formula.formula import Formula

if TYPE_CHECKING:
    from ..model.model import Model


def variant(
    model: Model,
    *,
    response: np.ndarray | None = None,
    groups: Sequence[GroupColumns] | None = None,
    fixed: Sequence[int] | None = None,
    formula: Formula | None = None,
) -> Model:
    """A copy of a model with parts exchanged.

    Parameters
    ----------
    response : (n,) array, optional
    groups : sequence of GroupColumns, optional
        The group terms instead of the model's own.
    fixed : sequence of int, optional
        The fixed columns to keep.
    formula : Formula, optional
        What the copy says of itself.
    """
    design = model.design
    changes: dict[str, Any] = {}
    if response is not None:
        changes["response"] = np.ascontiguousarray(response, dtype=float)
    if groups is not None:
        changes["groups"] = tuple(groups)
    if fixed is not None:
        changes["fixed_names"] = tuple(design.fixed_names[j] for j in fixed)
        changes["fixed_columns"] = tuple(design.fixed_columns[j] for j in fixed)
        if len(design.fixed_predictor):
            changes["fixed_predictor"] = design.fixed_predictor[list(fixed)]
    out = model.with_design(replace(design, **changes))
    if formula is not None:
        out.__dict__["formula"] = formula
    return out
