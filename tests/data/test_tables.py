"""Every container and every type of column, against the same small table."""

from __future__ import annotations

import decimal
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest

from multilevel.data.frames import frame
from multilevel.data.tables import as_table, codes_for
from multilevel.errors import DataError, DtypeError, DuplicateColumnError, SettingError, UnknownColumnError

pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
nan, inf = float("nan"), float("inf")


def base() -> pd.DataFrame:
    """The control table of the bad-input cases: 20 groups of 10 rows, no random numbers."""
    rows = []
    for i in range(200):
        j = i // 10
        x, b, e = (
            Fraction((7 * i) % 13 - 6, 6),
            Fraction((5 * j) % 11 - 5, 4),
            Fraction((17 * i + 3 * (i // 7)) % 31 - 15, 12),
        )
        rows.append((f"g{j:02d}", float(x), float(1 + Fraction(1, 2) * x + b + e), ((3 * i + j * j) % 5) + (j % 4)))
    return pd.DataFrame(rows, columns=["g", "x", "y", "c"])  # fmt: skip


def lazily_shared(frame: pd.DataFrame) -> object:
    class Exchanged:
        def __arrow_c_stream__(self, schema: object = None) -> object:
            return pa.Table.from_pandas(frame).__arrow_c_stream__(schema)

    return Exchanged()


def to_pyarrow(frame: pd.DataFrame) -> object:
    class Expression:
        def to_pyarrow(self) -> object:
            return pa.Table.from_pandas(frame)

    return Expression()


CONTAINERS = {
    "pandas": lambda d: d,
    "pandas object text": lambda d: d.astype({"g": object}),
    "polars": pl.from_pandas,
    "polars lazy": lambda d: pl.from_pandas(d).lazy(),
    "arrow table": pa.Table.from_pandas,
    "arrow chunks": lambda d: pa.concat_tables([pa.Table.from_pandas(d[:50]), pa.Table.from_pandas(d[50:])]),
    "arrow batch": pa.RecordBatch.from_pandas,
    "dict of arrays": lambda d: {k: d[k].to_numpy() for k in d},
    "dict of lists": lambda d: {k: d[k].tolist() for k in d},
    "dict of series": lambda d: {k: d[k] for k in d},
    "list of dicts": lambda d: d.to_dict("records"),
    "structured array": lambda d: d.astype({"g": object}).to_records(index=False),
    "arrow stream": lazily_shared,
    "to_pyarrow": to_pyarrow,
    "table": as_table,
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_table(name):
    expected = base()
    table = as_table(CONTAINERS[name](expected))
    assert table.names[:4] == ("g", "x", "y", "c")
    assert table.n_rows == 200
    for column in ("x", "y", "c"):
        assert table.kind(column) == "numeric"
        np.testing.assert_array_equal(table.numbers(column), expected[column])
        assert table.numbers(column).dtype == np.float64
        assert table.missing(column) is None
    factor = table.factor("g")
    assert table.kind("g") == "text"
    assert factor.levels == factor.labels == tuple(f"g{j:02d}" for j in range(20))
    assert factor.codes.dtype == np.int32
    np.testing.assert_array_equal(factor.codes, np.repeat(np.arange(20), 10))


@pytest.mark.parametrize(
    ("data", "native"),
    [(base(), "pandas"), (pl.DataFrame({"a": [1]}), "polars"), (pa.table({"a": [1]}), "arrow"), ({"a": [1]}, "pandas")],
)
def test_output_frames_are_of_the_input_library(data, native):
    table = as_table(data)
    assert table.native == native
    out = frame(table.native, {"term": np.array(["Intercept", None], dtype=object), "estimate": np.array([1.0, 2.0])})
    assert type(out).__module__.startswith({"arrow": "pyarrow"}.get(native, native))
    again = as_table(out)
    assert again.factor("term").levels == ("Intercept",)
    assert again.factor("term").codes.tolist() == [0, -1]


def test_unknown_native():
    with pytest.raises(SettingError, match="Available"):
        frame("modin", {})


@pytest.mark.parametrize("data", [3, b"x", np.zeros((3, 2)), {1, 2}, [1, 2], pd.Series([1.0]), pl.Series([1])])
def test_unsupported_containers_are_type_errors_that_name_the_supported(data):
    with pytest.raises(TypeError, match=r"polars.*Parquet.*DuckDB.*Ibis"):
        as_table(data)


@pytest.mark.parametrize(
    "data", [{"a": [1, 2], "b": [1]}, {"a": 3}, {"a": "text"}, {"a": (i for i in range(3))}, {"a": np.float64(3)}]
)
def test_columns_that_do_not_make_a_table(data):
    with pytest.raises(DataError, match='"a"'):
        as_table(data)


def test_names():
    table = as_table(base().rename(columns={"x": "income", "g": "größe"}))  # S04, S07
    with pytest.raises(UnknownColumnError, match=r'incmoe.*did you mean "income"') as error:
        table.numbers("incmoe")
    assert error.value.code == "E_UNKNOWN_COLUMN"
    with pytest.raises(UnknownColumnError, match=r"available: größe, income, y, c"):
        table.kind("zzz")
    assert table.factor("größe").n_levels == 20
    assert "income" in table
    assert "x" not in table


@pytest.mark.parametrize("data", [pd.DataFrame(), {}, [], pa.table({}), pl.DataFrame()])
def test_no_columns(data):  # S02
    table = as_table(data)
    assert table.n_rows == 0
    with pytest.raises(UnknownColumnError, match=r'"y".*no columns'):
        table.numbers("y")


def doubled() -> pd.DataFrame:
    return pd.concat([base(), base()[["x"]] * 3], axis=1)


def doubled_arrow() -> object:
    frame = doubled()
    return pa.table([pa.array(frame.iloc[:, i]) for i in range(frame.shape[1])], names=list(frame.columns))


@pytest.mark.parametrize("make", [doubled, doubled_arrow])
def test_a_repeated_name_is_an_error_only_when_used(make):  # S06
    table = as_table(make())
    np.testing.assert_array_equal(table.numbers("y"), base().y)
    with pytest.raises(DuplicateColumnError, match='"x" occurs 2 times') as error:
        table.numbers("x")
    assert error.value.code == "E_DUPLICATE_COLUMN"


def test_names_that_are_no_text():
    table = as_table(pd.DataFrame({0: [1.0], ("a", "b"): [2.0]}))
    assert table.numbers("0").tolist() == [1.0]
    wide = pd.DataFrame([[1.0, 2.0]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))
    assert as_table(wide).numbers("('a', 'c')").tolist() == [2.0]


def test_rows_go_by_position_not_by_index():  # S15
    d = base()
    d.index = [0] * 200
    np.testing.assert_array_equal(as_table(d).numbers("y"), base().y)


# (id, one column, its numbers, its kind)
NUMBERS = [
    ("float", pd.Series([1.5, nan, inf]), [1.5, nan, inf], "numeric"),
    ("minus infinity", [-inf, nan], [-inf, nan], "numeric"),
    ("int8", np.array([-100, 100], dtype="int8"), [-100, 100], "numeric"),
    ("uint64", np.array([0, 2**64 - 1], dtype="uint64"), [0, 2.0**64], "numeric"),
    ("int32", np.array([1, -(2**31)], dtype="int32"), [1, -(2.0**31)], "numeric"),
    ("float16", np.array([1.5, nan], dtype="float16"), [1.5, nan], "numeric"),
    ("longdouble", np.array([1.5, nan, "1e4000"], dtype="longdouble"), [1.5, nan, inf], "numeric"),
    ("big endian", np.array([1.5, 2.0], dtype=">f8"), [1.5, 2.0], "numeric"),
    ("big endian int", np.array([1, 2], dtype=">i4"), [1, 2], "numeric"),
    ("strided", np.arange(10.0)[::3], [0, 3, 6, 9], "numeric"),
    ("bool", np.array([True, False]), [1, 0], "boolean"),
    ("list of bool", [True, False], [1, 0], "boolean"),
    ("list of bool with None", [True, None], [1, nan], "boolean"),
    ("list", [1, 2.5, None], [1, 2.5, nan], "numeric"),
    ("list of nothing", [None, None], [nan, nan], "numeric"),
    ("decimals", [decimal.Decimal("0.1"), decimal.Decimal("NaN"), None], [0.1, nan, nan], "numeric"),
    ("signalling", [decimal.Decimal("sNaN"), decimal.Decimal("1")], [nan, 1], "numeric"),
    ("fractions", [Fraction(1, 3), 2], [1 / 3, 2], "numeric"),
    ("numpy scalars", [np.float32(0.5), np.int8(3), None], [0.5, 3, nan], "numeric"),
    ("objects", np.array([1, 2.5, None], dtype=object), [1, 2.5, nan], "numeric"),
    ("huge integers", [2**70, 1], [2.0**70, 1], "numeric"),
    ("masked", np.ma.masked_array([1.0, 2.0], mask=[False, True]), [1, nan], "numeric"),
    ("masked integers", np.ma.masked_array([1, 2], mask=[False, True]), [1, nan], "numeric"),
    ("Float64", pd.Series([1.5, pd.NA], dtype="Float64"), [1.5, nan], "numeric"),  # D10
    ("Int64", pd.Series([1, pd.NA], dtype="Int64"), [1, nan], "numeric"),
    ("boolean", pd.Series([True, pd.NA], dtype="boolean"), [1, nan], "boolean"),
    ("NA among objects", pd.Series([1, pd.NA], dtype=object), [1, nan], "numeric"),
    ("arrow-backed", pd.Series([1, None], dtype="int64[pyarrow]"), [1, nan], "numeric"),
    ("sparse", pd.Series(pd.arrays.SparseArray([0.0, 1.0])), [0, 1], "numeric"),
    ("polars", pl.Series([1, None], dtype=pl.Int8), [1, nan], "numeric"),
    ("polars NaN beside null", pl.Series([1.0, nan, None]), [1, nan, nan], "numeric"),
    ("polars bool", pl.Series([True, None]), [1, nan], "boolean"),
    ("polars decimal", pl.Series([decimal.Decimal("0.1"), None]), [0.1, nan], "numeric"),
    ("polars null", pl.Series([None, None]), [nan, nan], "numeric"),
    ("polars Int128", pl.Series([2**70, None], dtype=pl.Int128), [2.0**70, nan], "numeric"),
    ("arrow", pa.array([1.5, None, nan]), [1.5, nan, nan], "numeric"),
    ("arrow int", pa.array([1, None], pa.uint8()), [1, nan], "numeric"),
    ("arrow half", pa.array([np.float16(1.5), None], pa.float16()), [1.5, nan], "numeric"),
    ("arrow bool", pa.array([True, None]), [1, nan], "boolean"),
    ("arrow null", pa.nulls(2), [nan, nan], "numeric"),
    ("arrow decimal", pa.array([decimal.Decimal("0.1"), None]), [0.1, nan], "numeric"),
    ("no rows", [], [], "numeric"),
    ("no chunks", pa.chunked_array([], pa.float64()), [], "numeric"),
]


@pytest.mark.parametrize(("column", "expected", "kind"), [c[1:] for c in NUMBERS], ids=[c[0] for c in NUMBERS])
def test_numbers_and_missing(column, expected, kind):
    table = as_table({"x": column})
    out = table.numbers("x")
    assert out.dtype == np.float64
    assert out.flags.c_contiguous
    np.testing.assert_array_equal(out, expected)
    assert table.kind("x") == kind
    mask = table.missing("x")
    assert (mask is None) == (not np.isnan(expected).any())
    if mask is not None:
        np.testing.assert_array_equal(mask, np.isnan(expected))


def test_decimals_round_once():  # T05, T14
    y = base().y
    decimals = [decimal.Decimal(repr(v)) for v in y]
    for column in (decimals, pa.array(decimals), pd.Series(decimals), pa.array(decimals).cast(pa.decimal256(40, 20))):
        np.testing.assert_array_equal(as_table({"y": column}).numbers("y"), y)


@pytest.mark.parametrize(
    "make", [dict, pd.DataFrame, pl.DataFrame, pa.table], ids=["dict", "pandas", "polars", "arrow"]
)
def test_columns_of_floats_are_views(make):
    data = make({"x": np.arange(1000.0)})
    source = data["x"].chunk(0) if isinstance(data, pa.Table) else data["x"]
    assert np.shares_memory(as_table(data).numbers("x"), np.asarray(source))


def test_the_callers_data_stay_as_they_were():
    values = np.ma.masked_array([1.0, 2.0], mask=[False, True])
    as_table({"x": values}).numbers("x")
    assert values.data.tolist() == [1.0, 2.0]


TIMES = pd.Series(pd.date_range("2020-01-01", periods=2))
# (id, one column, code, words that the message must contain)
REFUSED = [
    ("text", pd.Series(["a", "b"]), "E_DTYPE", ['"x"', "str", "convert"]),
    ("numbers as text", base().y.astype(str), "E_DTYPE", ["stored as text", "str", "convert"]),  # T03
    ("object text", np.array(["a", None], dtype=object), "E_DTYPE", ["str", "convert"]),
    ("text and NaN", np.array(["a", nan], dtype=object), "E_DTYPE", ["str"]),
    ("numpy text", np.array(["a", "b"]), "E_DTYPE", ["str"]),
    ("numpy bytes", np.array([b"a", b"b"]), "E_DTYPE", ["str"]),
    ("polars text", pl.Series(["a", None]), "E_DTYPE", ["str"]),
    ("category", pd.Categorical(["a", "b"]), "E_DTYPE", ["categories (a, b)", "convert"]),
    ("complex", np.array([1j, 2]), "E_DTYPE", ["complex"]),  # T10
    ("complex objects", [1j, 2.0], "E_DTYPE", ["complex"]),
    ("pandas datetime", TIMES, "E_DTYPE", ["datetime", "days since", 'df["x"].min()).dt.days']),  # T11
    ("zoned datetime", TIMES.dt.tz_localize("Europe/Vienna"), "E_DTYPE", ["datetime", "days since"]),
    ("datetime objects", TIMES.astype(object), "E_DTYPE", ["datetime", "days since"]),
    ("period", pd.Series(pd.period_range("2020-01", periods=2, freq="M")), "E_DTYPE", ["datetime", "days since"]),
    ("polars date", pl.from_pandas(TIMES).cast(pl.Date), "E_DTYPE", ["datetime", "days since"]),
    ("arrow time of day", pa.array([1, 2], pa.time32("s")), "E_DTYPE", ["datetime"]),
    ("durations", TIMES - TIMES[0], "E_DTYPE", ["timedelta", "total_seconds"]),
    ("mixed", pd.Series(["oops", 1.0, 2.0], dtype=object), "E_MIXED_TYPES", ['"x"', '"oops"', "row 0"]),  # T12
    ("mixed list", [1, None, "oops"], "E_MIXED_TYPES", ['"oops"', "row 2"]),
    ("nearly numbers", ["1", "2", None, "3", "oops"], "E_MIXED_TYPES", ['text because of "oops" in row 4']),
    ("lists", [[1], [2]], "E_DTYPE", ["list objects"]),
    ("matrix", np.zeros((2, 3)), "E_DTYPE", ["2-dimensional"]),
    ("arrow lists", pa.array([[1], [2]]), "E_DTYPE", ["list"]),
    ("beyond float64", [10**400, 1], "E_DTYPE", ["float64"]),
]


@pytest.mark.parametrize(("column", "code", "words"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_is_no_number_is_refused_with_a_remedy(column, code, words):
    with pytest.raises(DtypeError) as error:
        as_table({"x": column}).numbers("x")
    assert error.value.code == code
    for word in words:
        assert word in str(error.value)


KINDS = [
    (["a", None], "text"),
    (pd.Categorical(["a"]), "category"),
    (pa.array(["a"]).dictionary_encode(), "category"),
    (pl.Series(["a"], dtype=pl.Enum(["a"])), "category"),
    (TIMES, "datetime"),
    (np.array([1j]), "complex"),
    (["a", 1], "other"),
    ([[1]], "other"),
]


@pytest.mark.parametrize(("column", "kind"), KINDS)
def test_kind(column, kind):
    assert as_table({"x": column}).kind("x") == kind


# (id, one column, levels, codes)
FACTORS = [
    ("integers sort as numbers", [10, 9, 10], ("9", "10"), [1, 0, 1]),
    ("negative int8", np.array([100, -100, 100], dtype="int8"), ("-100", "100"), [1, 0, 1]),
    ("uint8", np.array([255, 0], dtype="uint8"), ("0", "255"), [1, 0]),
    ("whole floats", [308.0, nan, 9.0], ("9", "308"), [1, -1, 0]),  # D05
    ("floats", [0.5, -0.0, 0.0, inf], ("0", "0.5", "inf"), [1, 0, 0, 2]),
    ("float32", np.array([0.1, 0.25], dtype="float32"), ("0.1", "0.25"), [0, 1]),
    ("float16", np.array([2, 1], dtype="float16"), ("1", "2"), [1, 0]),
    ("bool", [True, False], ("False", "True"), [1, 0]),
    ("text by code point", ["b", "a", "é", "Z"], ("Z", "a", "b", "é"), [2, 1, 3, 0]),
    ("None is no level", ["b", None, "a"], ("a", "b"), [1, -1, 0]),  # D04
    ("pandas None", pd.Series(["b", None, "a"]), ("a", "b"), [1, -1, 0]),
    ("pandas object NaN", pd.Series(["b", nan, pd.NA, "a"], dtype=object), ("a", "b"), [1, -1, -1, 0]),
    ("the words None and nan", ["None", "nan", "null", ""], ("", "None", "nan", "null"), [1, 2, 3, 0]),
    (
        "category order",
        pd.Categorical(["a", "b", None], categories=["z", "b", "a"]),
        ("z", "b", "a"),
        [2, 1, -1],
    ),  # S12
    ("numeric categories", pd.Categorical([2.0, 1.0]), ("1", "2"), [1, 0]),
    ("equal labels merge", pd.Categorical(["1", 1], categories=[1, "1"]), ("1",), [0, 0]),
    ("arrow dictionary", pa.array(["b", None, "a"]).dictionary_encode(), ("b", "a"), [0, -1, 1]),
    ("null in a dictionary", pa.DictionaryArray.from_arrays([0, 1], [None, "a"]), ("a",), [-1, 0]),
    ("polars enum", pl.Series(["a", None], dtype=pl.Enum(["z", "a"])), ("z", "a"), [1, -1]),
    ("polars categorical", pl.Series(["b", "a", None], dtype=pl.Categorical), ("a", "b"), [1, 0, -1]),
    ("polars text", pl.Series(["b", "a", None]), ("a", "b"), [1, 0, -1]),
    ("nullable", pd.Series([2**62 + 1, None, 2**62], dtype="Int64"), (str(2**62), str(2**62 + 1)), [1, -1, 0]),
    ("huge int64", np.array([2**53 + 1, 2**53]), (str(2**53), str(2**53 + 1)), [1, 0]),
    ("huge uint64", np.array([2**64 - 1, 2**64 - 2], "uint64"), (str(2**64 - 2), str(2**64 - 1)), [1, 0]),
    ("extremes", np.array([-(2**63), 2**63 - 1]), (str(-(2**63)), str(2**63 - 1)), [0, 1]),
    ("beyond 64 bits", [2**70 + 1, 2**70, None], (str(2**70), str(2**70 + 1)), [1, 0, -1]),
    ("decimals", [decimal.Decimal("1.5"), decimal.Decimal("2.0")], ("1.5", "2"), [0, 1]),
    ("arrow decimals", pa.array([decimal.Decimal("10"), decimal.Decimal("9"), None]), ("9", "10"), [1, 0, -1]),
    ("mixed sorts as text", [10, "9", "a", 2], ("10", "2", "9", "a"), [0, 2, 3, 1]),
    ("dates", TIMES, ("2020-01-01", "2020-01-02"), [0, 1]),
    ("date objects", TIMES.dt.date, ("2020-01-01", "2020-01-02"), [0, 1]),
    ("timestamps", TIMES + pd.Timedelta("90s"), ("2020-01-01T00:01:30", "2020-01-02T00:01:30"), [0, 1]),
    ("timestamp objects", [pd.Timestamp("2020-01-01"), pd.NaT], ("2020-01-01",), [0, -1]),
    ("missing date", pd.Series([pd.NaT, TIMES[0]]), ("2020-01-01",), [-1, 0]),
    ("intervals", pd.cut([1, 5], [0, 2, 6]), ("(0, 2]", "(2, 6]"), [0, 1]),
    ("lone surrogates", ["\ud800", "a"], ("a", "\ud800"), [1, 0]),
    ("nothing but missing", [None, nan], (), [-1, -1]),
    ("no rows", [], (), []),
    ("no rows of text", pa.array([], pa.string()), (), []),
    ("no chunks", pa.chunked_array([], pa.dictionary(pa.int32(), pa.string())), (), []),
]


@pytest.mark.parametrize(("column", "levels", "codes"), [c[1:] for c in FACTORS], ids=[c[0] for c in FACTORS])
def test_factor(column, levels, codes):
    table = as_table({"g": column})
    factor = table.factor("g")
    assert factor.levels == levels
    assert factor.codes.dtype == np.int32
    assert factor.codes.tolist() == codes
    assert len(factor.values) == len(levels)
    missing = table.missing("g")
    np.testing.assert_array_equal(missing if missing is not None else np.zeros(len(codes), bool), factor.codes < 0)


def test_an_ordered_category_says_so():
    assert as_table({"g": pd.Categorical(["a"], ordered=True)}).factor("g").ordered
    assert not as_table({"g": pd.Categorical(["a"])}).factor("g").ordered


def test_factor_refuses_what_has_no_levels():
    for column in ([[1], [2]], np.zeros((2, 2)), np.array([1j, 2j])):
        with pytest.raises(DtypeError, match="cannot be levels"):
            as_table({"g": column}).factor("g")


LARGE = np.random.default_rng(1).integers(-50, 50, size=70_001)


@pytest.mark.parametrize(
    "column",
    [
        LARGE,
        LARGE.astype("int8"),
        (LARGE + 50).astype("uint64"),
        LARGE * 10**12,
        LARGE.astype(float),
        LARGE + 0.5,
        LARGE * 1e200,
        LARGE > 0,
        LARGE.astype("M8[D]"),
        LARGE.astype(str),
        LARGE.astype(str).tolist(),
        pd.Series(LARGE.astype(str)),
        pd.Series(LARGE.astype(str), dtype=object),
        pl.Series(LARGE.astype(str)),
        pa.chunked_array([pa.array(LARGE.astype(str)[:9]), pa.array(LARGE.astype(str)[9:])]),
    ],
)
def test_the_fast_ways_of_coding_agree_with_sorting(column):
    raw = np.array(column.to_pylist()) if isinstance(column, pa.ChunkedArray) else np.asarray(column)
    raw = raw.astype(str) if raw.dtype == object else raw
    distinct, codes = np.unique(raw, return_inverse=True)
    factor = as_table({"g": column}).factor("g")
    np.testing.assert_array_equal(factor.codes, codes)
    assert len(factor.levels) == len(distinct)
    np.testing.assert_array_equal(np.asarray(factor.values, dtype=distinct.dtype), distinct)


@pytest.mark.parametrize(
    "column",
    [
        [308, 999, None, 9],
        [308.0, 999.0, nan, 9.0],
        ["308", "999", None, "9"],
        pd.Categorical(["308", "999", None, "9"]),
    ],
    ids=["int", "float", "text", "category"],
)
def test_new_data_meet_known_levels_by_label(column):
    codes = codes_for(as_table({"g": column}), "g", ("9", "308"))
    assert codes.dtype == np.int32
    assert codes.tolist() == [1, -2, -1, 0]


def test_pandas_is_not_imported_for_other_containers():
    program = (
        "import sys, numpy as np\n"
        "from multilevel.data.tables import as_table\n"
        "t = as_table({'x': np.arange(3.0), 'g': ['a', 'b', 'a']}); t.numbers('x'); t.factor('g')\n"
        "assert not {'pandas', 'polars', 'pyarrow', 'duckdb'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
