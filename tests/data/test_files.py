"""Files and databases give the table that their rows were written from, or one sentence that says why not."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from multilevel.data import csv_files
from multilevel.data.tables import as_table
from multilevel.errors import BackendError, DataError, DtypeError, DuplicateColumnError, FileError, MultilevelError

duckdb = pytest.importorskip("duckdb")
pa = pytest.importorskip("pyarrow")
from pyarrow import feather, ipc, parquet  # noqa: E402


def base() -> pd.DataFrame:
    x = np.random.default_rng(0).normal(size=60)
    return pd.DataFrame({"g": [f"g{i % 7}" for i in range(60)], "x": x, "n": np.arange(60), "y": x / 3})


def csv_at(path: Path, frame: pd.DataFrame, sep: str = ",") -> None:
    frame.to_csv(path, index=False, sep=sep)


def stream_at(path: Path, frame: pd.DataFrame) -> None:
    table = pa.Table.from_pandas(frame)
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)


def duckdb_at(path: Path, frame: pd.DataFrame) -> None:
    with duckdb.connect(str(path)) as connection:
        connection.register("source", frame)
        connection.sql("CREATE TABLE pupils AS SELECT * FROM source")


WRITERS = {
    "a.csv": csv_at,
    "A.CSV": csv_at,
    "a.tsv": lambda p, d: csv_at(p, d, "\t"),
    "a.txt": lambda p, d: csv_at(p, d, "\t"),
    "a.csv.gz": csv_at,
    "a.parquet": lambda p, d: d.to_parquet(p),
    "a.feather": lambda p, d: feather.write_feather(d, str(p), compression="zstd"),
    "a.arrow": lambda p, d: feather.write_feather(d, str(p), compression="uncompressed"),
    "stream.arrow": stream_at,
    "größe 1.csv": csv_at,
}


def same(table, frame: pd.DataFrame) -> None:
    assert table.native == "pandas"
    assert set(frame) <= set(table.names)
    for column in ("y", "x", "n"):
        np.testing.assert_array_equal(table.numbers(column), frame[column])
    assert table.factor("g").levels == tuple(sorted(set(frame.g)))
    assert table.n_rows == len(frame)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("kind", [str, Path])
def test_every_format(tmp_path, name, kind):  # T15
    WRITERS[name](tmp_path / name, base())
    same(as_table(kind(tmp_path / name)), base())


@pytest.mark.parametrize("name", ["a.csv", "a.parquet", "a.feather"])
def test_columns_may_be_fetched_together(tmp_path, name, monkeypatch):
    monkeypatch.setattr(csv_files, "SMALL", 0)
    WRITERS[name](tmp_path / name, base())
    table = as_table(tmp_path / name)
    table.fetch(["y", "g"])
    assert table.n_rows == 60
    same(table, base())


def test_n_rows_before_any_column(tmp_path):
    for name in WRITERS:
        WRITERS[name](tmp_path / name, base())
        assert as_table(tmp_path / name).n_rows == 60


def text_table(tmp_path: Path, text: str | bytes, name: str = "t.csv"):
    path = tmp_path / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return as_table(path)


def test_missing_cells(tmp_path):
    table = text_table(tmp_path, 'x,g\n1,a\n,NA\nNA,""\nnan,None\ninf,null\n-2.5,nan\n')
    np.testing.assert_array_equal(table.numbers("x"), [1, np.nan, np.nan, np.nan, np.inf, -2.5])
    factor = table.factor("g")
    assert factor.levels == ("None", "a", "nan", "null")
    assert factor.codes.tolist() == [1, -1, -1, 0, 3, 2]


@pytest.mark.parametrize(
    ("cells", "words", "code"),
    [
        (["oops", "1", "2.5", "3"], ['"x" is text because of "oops" in row 0'], "E_MIXED_TYPES"),
        (["1", "2", "", "1O"], ['"1O" in row 3'], "E_MIXED_TYPES"),
        (["a", "b", "1", "c"], ["text (str)", "convert"], "E_DTYPE"),
        (["2020-01-01", "2020-01-02"], ["datetime", "days since"], "E_DTYPE"),
    ],
)
def test_cells_that_are_no_numbers(tmp_path, cells, words, code):
    table = text_table(tmp_path, "x,y\n" + "".join(f"{c},1\n" for c in cells))
    with pytest.raises(DtypeError) as error:
        table.numbers("x")
    assert error.value.code == code
    for word in words:
        assert word in str(error.value)
    assert table.factor("x").n_levels == len(set(cells) - {""})


def test_byte_order_mark_quotes_and_line_breaks(tmp_path):
    table = text_table(tmp_path, b'\xef\xbb\xbfx,"two\nlines","a,b"\r\n1,"p\nq",2\r\n\r\n3,"say ""hi""",4\r\n')
    assert table.names == ("x", "two\nlines", "a,b")
    assert table.numbers("x").tolist() == [1, 3]
    assert table.numbers("a,b").tolist() == [2, 4]
    assert table.factor("two\nlines").levels == ("p\nq", 'say "hi"')


def test_one_column_with_an_empty_line(tmp_path):
    np.testing.assert_array_equal(text_table(tmp_path, "x\n1\n\n3\n").numbers("x"), [1, np.nan, 3])


def test_a_header_without_rows(tmp_path):
    table = text_table(tmp_path, "x,g\n")
    assert table.n_rows == 0
    assert table.numbers("x").tolist() == []
    assert table.factor("g").levels == ()


def test_a_repeated_header_is_an_error_only_when_used(tmp_path):
    for name, write in (("d.csv", lambda t, p: p.write_text("x,y,x\n1,2,3\n")), ("d.parquet", parquet.write_table)):
        write(pa.table([pa.array([1]), pa.array([2]), pa.array([3])], names=["x", "y", "x"]), tmp_path / name)
        table = as_table(tmp_path / name)
        assert table.numbers("y").tolist() == [2]
        with pytest.raises(DuplicateColumnError, match='"x" occurs 2 times'):
            table.numbers("x")


def test_identifiers_beyond_int64_stay_distinct(tmp_path):
    text = "id,x\n99999999999999999998,1e20\n99999999999999999999,2\n,3\n9,4\n"
    table = text_table(tmp_path, text)
    assert table.factor("id").levels == ("9", "99999999999999999998", "99999999999999999999")
    assert table.factor("id").codes.tolist() == [1, 2, -1, 0]
    assert table.numbers("x").tolist() == [1e20, 2, 3, 4]
    ids = text_table(tmp_path, f"id\n{2**53}\n{2**53 + 1}\n", "e.csv").factor("id")
    assert ids.codes.tolist() == [0, 1]


# (file name, content or None for no file, words)
BAD = [
    ("none.csv", None, ["none.csv", "does not exist"]),
    ("empty.csv", b"", ["empty.csv", "empty"]),
    ("ragged.csv", b"a,b\n1,2\n3,4,5\n", ["ragged.csv", '"3,4,5" has 3 cells', "2 names"]),
    ("latin.csv", b"a,b\n1,\xff\xe9\n", ["latin.csv", "UTF-8"]),
    ("latinhead.csv", b"a\xff,b\n1,2\n", ["latinhead.csv", "UTF-8"]),
    ("bad.parquet", b"not a parquet file at all", ["bad.parquet", "cannot be read"]),
    ("bad.feather", b"not a feather file", ["bad.feather", "cannot be read"]),
    ("bad.csv.gz", b"not compressed", ["bad.csv.gz", "cannot be read"]),
    ("data.xlsx", b"PK", ["data.xlsx", ".csv", ".parquet", ".feather"]),
    ("data", b"x\n1\n", ["data", ".csv", ".parquet"]),
    ("n" * 300 + ".csv", None, ["does not exist"]),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD, ids=[b[0][:20] for b in BAD])
def test_bad_files(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(FileError) as error:
        as_table(tmp_path / name).numbers("b")
    assert error.value.code == "E_FILE"
    assert isinstance(error.value, OSError)
    for word in words:
        assert word in str(error.value)


def test_a_directory_and_a_truncated_file(tmp_path):
    with pytest.raises(FileError, match="directory"):
        as_table(tmp_path)
    base().to_parquet(tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match="cannot be read"):
        as_table(tmp_path / "t.parquet")
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * 9999)[:40])
    with pytest.raises(FileError, match="cannot be read"):
        as_table(tmp_path / "t.csv.gz").numbers("b")


def test_a_missing_file_names_its_neighbours(tmp_path):
    csv_at(tmp_path / "scores.csv", base())
    with pytest.raises(FileError, match=r"There are: scores\.csv"):
        as_table(tmp_path / "score.csv")


def test_a_file_replaced_between_two_reads_is_noticed(tmp_path):
    path = tmp_path / "a.parquet"
    base().to_parquet(path)
    table = as_table(path)
    table.numbers("x")
    base()[:30].to_parquet(path)
    with pytest.raises(FileError, match="changed"):
        table.numbers("y")


@pytest.fixture
def database(tmp_path) -> Path:
    path = tmp_path / "school.db"
    duckdb_at(path, base())
    with duckdb.connect(str(path)) as connection:
        connection.sql('CREATE TABLE "we""ird; drop" AS SELECT 1 AS "a""b", 2.5::DECIMAL(5, 2) AS d')
        connection.sql("CREATE SCHEMA other; CREATE TABLE other.q AS SELECT 3 AS x")
        connection.sql("CREATE VIEW v AS SELECT g, avg(x) AS m FROM pupils GROUP BY g")
        connection.sql("CREATE TYPE mood AS ENUM ('sad', 'glad')")
        connection.sql("CREATE TABLE e AS SELECT 'glad'::mood AS m, NULL::INTEGER AS i, 'NaN'::DOUBLE AS f")
    return path


def at(path: Path, table: str) -> str:
    return f"duckdb:{path}#{table}"


def test_duckdb(database):
    same(as_table(at(database, "pupils")), base())
    assert as_table(at(database, 'we"ird; drop')).numbers('a"b').tolist() == [1]
    assert as_table(at(database, 'we"ird; drop')).numbers("d").tolist() == [2.5]
    assert as_table(at(database, "other.q")).numbers("x").tolist() == [3]
    kinds = as_table(at(database, "e"))
    assert kinds.factor("m").levels == ("sad", "glad")
    assert kinds.factor("m").codes.tolist() == [1]
    assert kinds.missing("i").all()
    assert kinds.missing("f").all()


def test_columns_of_a_view_stay_in_step(database):
    table = as_table(at(database, "v"))
    means = dict(zip(np.array(table.factor("g").levels)[table.factor("g").codes], table.numbers("m"), strict=True))
    assert means == pytest.approx(base().groupby("g").x.mean().to_dict())


def test_a_single_table_need_not_be_named(tmp_path):
    duckdb_at(tmp_path / "one.db", base())
    same(as_table(f"duckdb:{tmp_path / 'one.db'}"), base())


def test_a_database_that_this_program_has_open(database):
    with duckdb.connect(str(database)):
        same(as_table(at(database, "pupils")), base())


@pytest.mark.parametrize("query", ["pupils", "SELECT * FROM pupils"])
def test_duckdb_relation(database, query):
    with duckdb.connect(str(database)) as connection:
        same(as_table(connection.sql(f"FROM ({query})" if " " in query else f"FROM {query}")), base())


def test_ibis_expression():
    ibis = pytest.importorskip("ibis")
    table = as_table(ibis.memtable(pa.Table.from_pandas(base())))
    np.testing.assert_array_equal(table.numbers("x"), base().x)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("pupil", ['"pupil"', 'did you mean "pupils"', "Tables:", "school.db"]),
        ("", ["no table is named", "pupils"]),
        ("pupils; DROP TABLE pupils", ["does not exist"]),
        ("other.nothing", ["does not exist", "other.q"]),
        ("(SELECT 1)", ["does not exist"]),
    ],
)
def test_tables_that_do_not_exist(database, table, words):
    with pytest.raises(BackendError) as error:
        as_table(at(database, table))
    assert error.value.code == "E_BACKEND"
    for word in words:
        assert word in str(error.value)


def test_bad_databases(tmp_path):
    with pytest.raises(BackendError, match=r"none\.db.*does not exist"):
        as_table(f"duckdb:{tmp_path}/none.db#t")
    assert not (tmp_path / "none.db").exists()
    (tmp_path / "bad.db").write_bytes(b"not a database" * 1000)
    with pytest.raises(BackendError, match=r"bad\.db.*cannot be read"):
        as_table(f"duckdb:{tmp_path}/bad.db#t")


def test_a_database_opens_no_other_file(tmp_path):
    csv_at(tmp_path / "secret.csv", base())
    path = tmp_path / "trap.db"
    with duckdb.connect(str(path)) as connection:
        connection.sql(f"CREATE VIEW trap AS SELECT * FROM read_csv('{tmp_path / 'secret.csv'}')")
    for name in ("trap", str(tmp_path / "secret.csv")):
        with pytest.raises(BackendError):
            as_table(at(path, name))


def test_rows_that_do_not_match_are_noticed():
    from multilevel.data.sources import Source
    from multilevel.data.tables import Table

    table = Table(Source(("a", "b"), "pandas", lambda at: [np.zeros(3 + i) for i in at]))
    table.numbers("a")
    with pytest.raises(DataError, match="4 rows, others have 3"):
        table.numbers("b")


def test_messages_are_short(tmp_path):
    with pytest.raises(MultilevelError) as error:
        as_table(tmp_path / ("n" * 100 + ".csv"))
    assert len(str(error.value)) <= 400
