"""From the values of one column, whoever made them, to a `Column`.

`column_of` looks at the module that defines the values' type and hands over to that library's converter,
so that no library is imported unless the caller has done so. A converter never refuses: what cannot be used
becomes a column that says so when it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import CategoryColumn, Column, NumberColumn, RefusedColumn, TimeColumn, some
from .factors import Factor
from .objects import ObjectColumn, TextColumn, dictionary


def column_of(values: Any) -> Column:
    """The column of an array, series or list."""
    for base in type(values).__mro__:
        convert = CONVERTERS.get(base.__module__.partition(".")[0])
        if convert is not None:
            return convert(values)
    if hasattr(values, "__arrow_c_stream__"):
        import pyarrow as pa

        return from_arrow(pa.chunked_array(values))
    return from_numpy(np.asarray(values)) if hasattr(values, "__array__") else from_sequence(values)


def from_numpy(values: np.ndarray) -> Column:
    if values.ndim != 1:
        return RefusedColumn("other", f"a {values.ndim}-dimensional array", len(values) if values.ndim else 0)
    if isinstance(values, np.ma.MaskedArray):
        return _from_masked(values)
    kind = values.dtype.kind
    if kind in "biuf":
        return NumberColumn(values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("=")))
    if kind in "Mm":
        return TimeColumn(values)
    if kind == "c":
        return RefusedColumn("complex", f"complex numbers ({values.dtype})", len(values))
    if kind == "V":
        return RefusedColumn("other", f"records ({values.dtype})", len(values))
    if kind == "S":
        return ObjectColumn([v.decode("utf-8", "backslashreplace") for v in values.tolist()])
    return ObjectColumn(values.tolist())


def _from_masked(values: np.ma.MaskedArray[Any, Any]) -> Column:
    mask = some(np.ma.getmaskarray(values))
    data = np.ma.getdata(values)
    if mask is None or data.dtype.kind == "c":
        return from_numpy(data)
    if data.dtype.kind in "biuf":
        return NumberColumn(data, mask)
    cells = data.astype(object)
    cells[mask] = None
    return ObjectColumn(cells.tolist())


def from_sequence(values: Any) -> Column:
    """A list. NumPy would turn numbers beside text into text, and integers beyond int64 into floats."""
    cells = list(values)
    types = set(map(type, cells))
    if types == {float} or types == {float, int}:
        return NumberColumn(np.array(cells, dtype=np.float64))
    if types == {bool}:
        return NumberColumn(np.array(cells, dtype=bool))
    if types == {int}:
        try:
            return NumberColumn(np.array(cells, dtype=np.int64))
        except OverflowError:
            pass
    return ObjectColumn(cells)


def from_pandas(values: Any) -> Column:
    """A series, an index or an extension array."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        return from_numpy(values.to_numpy())
    convert = PANDAS_DTYPES.get(type(dtype).__name__)
    if convert is not None:
        return convert(getattr(values, "array", values))
    if dtype.kind in "biuf" and hasattr(dtype, "numpy_dtype"):
        return _from_nullable(getattr(values, "array", values))
    return ObjectColumn(list(values))


def _from_nullable(array: Any) -> Column:
    values = array.to_numpy(dtype=array.dtype.numpy_dtype, na_value=0)
    return NumberColumn(values, some(np.asarray(array.isna())))


def _from_categorical(array: Any) -> Column:
    return CategoryColumn(array.codes, array.categories.tolist(), bool(array.ordered))


def _from_arrow_backed(array: Any) -> Column:
    import pyarrow as pa

    return from_arrow(pa.array(array))


def _from_zoned(array: Any) -> Column:
    return TimeColumn(np.asarray(array, dtype="M8[ns]"))


def _from_sparse(array: Any) -> Column:
    return from_numpy(np.asarray(array))


def from_polars(series: Any) -> Column:
    dtype = series.dtype
    name = type(dtype).__name__ if not isinstance(dtype, type) else dtype.__name__
    if (dtype.is_integer() or dtype.is_float()) and series.null_count() == 0 and "128" not in name:
        return from_numpy(series.to_numpy())
    if name == "Categorical":
        # the numbering of a polars Categorical depends on what else the process has read; its order is lexical
        import polars

        return from_arrow(series.cast(polars.String).to_arrow())
    if name == "Object" or "128" in name:
        return ObjectColumn(series.to_list())
    return from_arrow(series.to_arrow())


def from_arrow(values: Any) -> Column:
    """An Arrow array or chunked array."""
    import pyarrow as pa

    if isinstance(values, pa.Array):
        values = pa.chunked_array([values])
    is_a, kind = pa.types, values.type
    if is_a.is_dictionary(kind):
        return CategoryColumn(*dictionary(values), ordered=kind.ordered)
    if is_a.is_string(kind) or is_a.is_large_string(kind) or is_a.is_string_view(kind):
        return TextColumn(values)
    if is_a.is_binary(kind) or is_a.is_large_binary(kind):
        return ObjectColumn([v if v is None else v.decode("utf-8", "backslashreplace") for v in values.to_pylist()])
    if is_a.is_decimal(kind):
        return DecimalColumn(values)
    if is_a.is_integer(kind) or is_a.is_floating(kind) or is_a.is_boolean(kind):
        return _from_arrow_numbers(values)
    if is_a.is_date(kind) or is_a.is_timestamp(kind) or is_a.is_duration(kind):
        return TimeColumn(_times(values))
    if is_a.is_null(kind) or is_a.is_time(kind):
        return ObjectColumn(values.to_pylist())
    return RefusedColumn("other", f"{kind} values", len(values))


def _from_arrow_numbers(values: Any) -> Column:
    import pyarrow as pa

    if pa.types.is_float16(values.type):  # Arrow cannot fill the nulls of these
        values = values.cast(pa.float32())
    if not values.null_count:
        return NumberColumn(values.to_numpy())
    zero = False if pa.types.is_boolean(values.type) else 0
    return NumberColumn(values.fill_null(zero).to_numpy(), values.is_null().to_numpy())


def _times(values: Any) -> np.ndarray:
    import pyarrow as pa

    out = np.asarray(values.to_numpy())
    if out.dtype.kind in "Mm":
        return out
    return values.cast(pa.timestamp("s")).to_numpy()  # dates may arrive as objects


@dataclass(frozen=True, eq=False)
class DecimalColumn:
    """Arrow decimals: to float64 by way of their text, which rounds once; Arrow's own cast is off in the last bit."""

    values: Any

    kind = "numeric"

    @property
    def n(self) -> int:
        return len(self.values)

    def numbers(self, name: str) -> np.ndarray:
        import pyarrow as pa

        return NumberColumn(self.values.cast(pa.string()).cast(pa.float64()).to_numpy()).numbers(name)

    def missing(self) -> np.ndarray | None:
        return self.values.is_null().to_numpy() if self.values.null_count else None

    def factor(self, name: str) -> Factor:
        return ObjectColumn(self.values.to_pylist()).factor(name)


PANDAS_DTYPES = {
    "CategoricalDtype": _from_categorical,
    "StringDtype": _from_arrow_backed,
    "ArrowDtype": _from_arrow_backed,
    "DatetimeTZDtype": _from_zoned,
    "SparseDtype": _from_sparse,
}
CONVERTERS = {"numpy": from_numpy, "pandas": from_pandas, "polars": from_polars, "pyarrow": from_arrow}
