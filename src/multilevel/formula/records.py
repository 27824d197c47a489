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
    predictor : int
        Index of the linear predictor that the term belongs to; 0 is the location.
    """

    label: str
    names: tuple[str, ...]
    columns: tuple[Column, ...]
    codes: np.ndarray
    levels: tuple[str, ...]
    scale: str = "unstructured"
    options: tuple[tuple[str, Any], ...] = ()
    predictor: int = 0


@dataclass(frozen=True)
class Rows:
    """The columns of a design for new rows; `codes` of the groups are -1 where a level is unknown.

    Missing numbers are NaN in every column they enter. `weights` and `trials` are there if the new table holds their
    columns; `offsets` are those of every linear predictor, the first of which is `offset`.
    """

    n: int
    fixed_columns: tuple[Column, ...]
    groups: tuple[GroupColumns, ...] = ()
    offset: np.ndarray | None = None
    weights: np.ndarray | None = None
    trials: np.ndarray | None = None
    offsets: tuple[np.ndarray | None, ...] = ()
