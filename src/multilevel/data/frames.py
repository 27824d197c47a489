"""Output frames of the same library as the input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import SettingError, listed, nearest


def frame(native: str, columns: Mapping[str, Any]) -> Any:
    """A data frame of equally long columns.

    Parameters
    ----------
    native : str
        `Table.native`: ``"pandas"``, ``"polars"`` or ``"arrow"``.
    columns : mapping of str to array or list
        Columns in order; arrays of objects may hold text and None.

    Raises
    ------
    SettingError
        For any other `native`.
    """
    make = MAKERS.get(native)
    if make is None:
        hint = nearest(native, MAKERS) or f"Available: {listed(MAKERS)}"
        raise SettingError(f'unknown kind of data frame "{native}"', hint=hint)
    return make(dict(columns))


def _pandas(columns: dict[str, Any]) -> Any:
    import pandas

    return pandas.DataFrame(columns)


def _polars(columns: dict[str, Any]) -> Any:
    import polars

    return polars.DataFrame({name: _plain(values) for name, values in columns.items()})


def _arrow(columns: dict[str, Any]) -> Any:
    import pyarrow

    return pyarrow.table({name: _plain(values) for name, values in columns.items()})


def _plain(values: Any) -> Any:
    """Arrays of Python objects as lists, from which the other libraries infer text."""
    return values.tolist() if getattr(values, "dtype", None) == np.dtype(object) else values


MAKERS = {"pandas": _pandas, "polars": _polars, "arrow": _arrow}
