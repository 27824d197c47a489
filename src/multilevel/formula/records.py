"""The columns of group terms and of new rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

Column = np.ndarray | None  # None stands for the column of ones, which is never stored


@dataclass(frozen=True)
class GroupColumns:
    """The data of one ``(coefficients | levels)`` term.

    Parameters
    ----------
    label : str
        ``"Subject"`` or ``"batch:cask"``.
    names : tuple of str, length k
        Coefficient names, ``Intercept`` first when there is one.
    columns : tuple, length k
        Arrays of length n, or None for the intercept.
    codes : int32 array, length n
        Level of each row, 0 … L-1; -1 (only on new data) marks a level that was not in the training data.
    levels : tuple of str, length L
        Labels, sorted as the factor's levels are (joined with ``:`` for interactions). Only levels that occur.
    scale, options :
        As in `GroupTerm`.
    """

    label: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    codes: np.ndarray
    levels: tuple[str, ...]
    scale: str = "unstructured"
    options: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True)
class Rows:
    """The columns of a design for new rows; `codes` of the groups are -1 where a level is unknown.

    Missing numbers are NaN in every column they enter. `weights` are there if the new table holds their column.
    """

    n: int
    fixed_columns: tuple[Column, ...]
    groups: tuple[GroupColumns, ...] = ()
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
