"""Bad inputs: the right answer, the right answer with a typed warning, or a typed error. Never a wrong number.

Each case has the identity of the project's list (D: missing and non-finite, S: shape and names, T: types,
I: identifiability, N: scale, R: weights, F: formula, P: prediction, K: convergence). Cases of saved files, reports,
the command line and samplers are tested where those live.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from base_data import BETA, LMM, SIGMA2, TAU2, base

import multilevel as ml
from multilevel import errors
from multilevel.errors import MultilevelError, MultilevelWarning

NAN = float("nan")


@dataclass(frozen=True)
class Case:
    """What is done, and how it must be answered: class and code of the error or warning, and words of its message."""

    id: str
    run: Callable[[], Any]
    kind: type[BaseException]
    code: str
    words: tuple[str, ...]
    check: Callable[[Any], None] = lambda fit: None


def changed(**columns: Any) -> pd.DataFrame:
    """BASE with columns replaced or added; functions get the frame."""
    data = base()
    for name, value in columns.items():
        data[name] = value(data) if callable(value) else value
    return data


def with_cells(column: str, rows: Any, value: Any, dtype: Any = None) -> pd.DataFrame:
    data = base()
    if dtype is not None:
        data[column] = data[column].astype(dtype)
    data.loc[rows, column] = value
    return data


def quietly(formula: str, data: Any, **settings: Any) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        return ml.fit(formula, data, **settings)


def tau2(fit: ml.Fit) -> float:
    return float(fit.estimates.covariances[0][0, 0])


def beta(fit: ml.Fit) -> np.ndarray:
    return np.asarray(fit.estimates.beta)


def assert_base(fit: ml.Fit, rtol: float = 1e-9) -> None:
    """The fit is that of the clean data."""
    assert fit.n_obs == 200
    assert fit.model.groups[fit.model.design.groups[0].label] == 20
    np.testing.assert_allclose(beta(fit), BETA, rtol=rtol)
    assert fit.sigma is not None
    assert fit.sigma**2 == pytest.approx(SIGMA2, rel=rtol)
    assert tau2(fit) == pytest.approx(TAU2, rel=rtol)


# --- errors ------------------------------------------------------------------------------------------------------
def few_rows() -> ml.Fit:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.standard_normal((4, 7)), columns=["y", *[f"x{j}" for j in range(6)]])
    data["g"] = ["a", "a", "b", "b"]
    return ml.fit("y ~ x0 + x1 + x2 + x3 + x4 + x5 + (1|g)", data)


def mixed_types() -> pd.DataFrame:
    data = base()
    data["x"] = data.x.astype(object)
    data.loc[0, "x"] = "oops"
    return data


def duplicated() -> pd.DataFrame:
    data = base()
    return pd.concat([data, data[["x"]] * 3], axis=1)


def meta(first: float) -> ml.Fit:
    data = pd.DataFrame({"y": [1.0, 2.0, 4.0], "s": [first, 1.0, 2.0], "g": ["a", "b", "c"]})
    return ml.fit("y | se(s) ~ 1 + (1|g)", data)


E = errors
ERRORS = [
    Case("D06", lambda: ml.fit(LMM, with_cells("y", 0, np.inf)), E.NonFiniteError, "E_NONFINITE",
         ("y", "1", "inf", "row 0")),
    Case("D06 -inf", lambda: ml.fit(LMM, with_cells("x", 7, -np.inf)), E.NonFiniteError, "E_NONFINITE",
         ("x", "inf", "row 7")),
    Case("D08", lambda: ml.fit("y ~ log(x) + (1|g)", base()), E.NonFiniteError, "E_NONFINITE", ("log(x)", "x <= 0")),
    Case("D09", lambda: ml.fit(LMM, changed(x=NAN)), E.EmptyDataError, "E_NO_ROWS", ("x", "200 of 200")),
    Case("S01", lambda: ml.fit(LMM, base().iloc[:0]), E.EmptyDataError, "E_NO_ROWS", ("0 rows",)),
    Case("S02", lambda: ml.fit(LMM, pd.DataFrame()), E.UnknownColumnError, "E_UNKNOWN_COLUMN", ("y", "no columns")),
    Case(
        "S03", lambda: ml.fit("y ~ nope + (1|g)", base()), E.UnknownColumnError, "E_UNKNOWN_COLUMN",
        ("nope", "available: g, x, y, c, z"),
    ),
    Case(
        "S04", lambda: ml.fit("y ~ incmoe + (1|g)", base().rename(columns={"x": "income"})), E.UnknownColumnError,
        "E_UNKNOWN_COLUMN", ("incmoe", 'did you mean "income"'),
    ),
    Case("S05", lambda: ml.fit("y ~ x + (1|nope)", base()), E.UnknownColumnError, "E_UNKNOWN_COLUMN",
         ("nope", "group")),
    Case("S06", lambda: ml.fit(LMM, duplicated()), E.DuplicateColumnError, "E_DUPLICATE_COLUMN", ("x", "2")),
    Case(
        "T03", lambda: ml.fit(LMM, changed(y=lambda d: d.y.astype(str))), E.DtypeError, "E_RESPONSE_NOT_NUMERIC",
        ("y", "str", "convert"),
    ),
    Case("T10", lambda: ml.fit(LMM, changed(y=lambda d: d.y + 1j)), E.DtypeError, "E_DTYPE", ("y", "complex")),
    Case(
        "T11", lambda: ml.fit(LMM, changed(x=pd.date_range("2020-01-01", periods=200))), E.DtypeError, "E_DTYPE",
        ("x", "datetime", "days since"),
    ),
    Case("T12", lambda: ml.fit(LMM, mixed_types()), E.DtypeError, "E_MIXED_TYPES", ("x", "oops", "row 0")),
    Case("I04", lambda: ml.fit(LMM, changed(y=3.0)), E.ResponseError, "E_CONSTANT_RESPONSE", ("y", "constant", "3")),
    Case("I10", few_rows, E.IdentifiabilityError, "E_N_LE_P", ("4", "7")),
    Case(
        "I13", lambda: ml.fit("y ~ x + (1|g) + (1|h)", changed(h=lambda d: d.g)), E.IdentifiabilityError,
        "E_ALIASED_GROUPS", ("g", "h"),
    ),
    Case("one level", lambda: ml.fit(LMM, changed(g="a")), E.IdentifiabilityError, "E_ONE_LEVEL", ("g", "one level")),
    Case(
        "levels = rows", lambda: ml.fit(LMM, changed(g=[f"r{i}" for i in range(200)])), E.IdentifiabilityError,
        "E_LEVELS_EQUAL_ROWS", ("g", "200"),
    ),
    Case(
        "I07 raise", lambda: ml.fit("y ~ x + x2 + (1|g)", changed(x2=lambda d: 2 * d.x), rank="raise"),
        E.RankDeficiencyError, "E_RANK", ("x2",),
    ),
    Case("R16", lambda: ml.fit(LMM, base(), weights=[-1] + [1] * 199), E.WeightsError, "E_WEIGHTS", ("-1", "row 0")),
    Case("R20", lambda: ml.fit(LMM, base(), weights=[1] * 150), E.WeightsError, "E_WEIGHTS", ("150", "200")),
    Case("R22 zero", lambda: meta(0.0), E.WeightsError, "E_SAMPLING_VARIANCE", ("<= 0",)),
    Case("R22 negative", lambda: meta(-1.0), E.WeightsError, "E_SAMPLING_VARIANCE", ("<= 0",)),
    Case("F03", lambda: ml.fit("~ x + (1|g)", base()), E.FormulaError, "E_FORMULA_SYNTAX", ("response",)),
    Case("F04", lambda: ml.fit("y ~ y + (1|g)", base()), E.FormulaError, "E_RESPONSE_IN_RHS", ("y",)),
    *(
        Case(f"F05 {name}", lambda name=name: ml.fit("y ~ x", base(), estimator=name), E.IdentifiabilityError,
             "E_NO_GROUP", ("group term", name))
        for name in ("none", "within", "james_stein", "moments")
    ),
    *(
        Case(f"N06 {column} {size:g}", lambda column=column, size=size: ml.fit(LMM, changed(**{
            column: lambda d, column=column, size=size: d[column] * size})), E.DataError, "E_SCALE", (column, "units"))
        for column in ("x", "y") for size in (1e-320, 1e-170, 1e150, 1e300)
    ),
    Case("unknown estimator", lambda: ml.fit(LMM, base(), estimator="remel"), E.SettingError, "E_SETTING", ('"reml"',)),
    Case("unknown setting", lambda: ml.fit(LMM, base(), maxitre=3), E.SettingError, "E_SETTING", ('"maxiter"',)),
    Case("unknown family", lambda: ml.fit(LMM, base(), family="gausian"), E.SettingError, "E_SETTING", ('"gaussian"',)),
    Case(
        "K18", lambda: ml.fit("y ~ x + (x|g)", base(), maxiter=2, start=[50.0, 0.0, 0.01]), E.ConvergenceError,
        "E_CONVERGENCE", ("gradient", "2 iterations"),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", ERRORS, ids=lambda c: c.id)
def test_refused(case: Case) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        with pytest.raises(MultilevelError) as caught:
            case.run()
    error = caught.value
    text = str(error)
    assert isinstance(error, case.kind), repr(error)
    assert error.code == case.code
    for word in case.words:
        assert word in text
    assert len(text) <= 400
    assert text.isprintable()
    assert set(error.to_dict()) == {"code", "message", "hint"}
    assert error.__cause__ is None or isinstance(error.__cause__, MultilevelError)  # no other library's message


def test_names_never_come_from_the_caller() -> None:
    nope = np.arange(200.0)
    with pytest.raises(errors.UnknownColumnError):
        ml.fit("y ~ nope + (1|g)", base())
    assert len(nope) == 200


def test_not_converged_keeps_what_was_reached() -> None:
    with pytest.raises(errors.ConvergenceError) as caught:
        ml.fit("y ~ x + (x|g)", base(), maxiter=2, start=[50.0, 0.0, 0.01])
    partial = caught.value.partial
    assert isinstance(partial, ml.Fit)
    assert not partial.converged
    assert "not converged" in str(partial.summary()).lower()


# --- warnings ----------------------------------------------------------------------------------------------------
def equals_complete_cases(rows: list[int]) -> Callable[[ml.Fit], None]:
    def check(fit: ml.Fit) -> None:
        clean = ml.fit(LMM, base().drop(index=rows))
        np.testing.assert_array_equal(beta(fit), beta(clean))
        assert fit.log_likelihood == clean.log_likelihood
        assert fit.n_obs == 200 - len(rows)

    return check


def no_group_variance(fit: ml.Fit) -> None:
    data = fit_data_without_group_means()
    ols = ml.fit("y ~ x", data, estimator="complete")
    assert tau2(fit) == 0.0
    assert fit.converged
    assert fit.singular
    assert fit.boundary == ["g"]
    np.testing.assert_allclose(beta(fit), beta(ols), rtol=1e-12)
    lower, upper = fit.sd_intervals(0.95)[0][0][0]
    assert lower == 0.0
    assert 0.0 < upper < 1.0


def fit_data_without_group_means() -> pd.DataFrame:
    return changed(y=lambda d: d.y - d.groupby("g").y.transform("mean"))


def slope_is_twice_the_intercept() -> pd.DataFrame:
    data = base()
    j = np.arange(200) // 10
    b = ((7 * j) % 11 - 5) / 3.0
    e = ((17 * np.arange(200)) % 31 - 15) / 40.0
    return data.assign(y=1.0 + 0.5 * data.x + b + 2.0 * b * data.x + e)


def rank_one(fit: ml.Fit) -> None:
    v = fit.estimates.covariances[0]
    values = np.linalg.eigvalsh(v)
    assert values[0] >= 0.0 or abs(values[0]) < 1e-12 * values[1]
    assert v[0, 1] / np.sqrt(v[0, 0] * v[1, 1]) == pytest.approx(1.0, abs=1e-9)
    assert np.isfinite(fit.std_errors).all()
    assert fit.converged


def second_dropped(fit: ml.Fit) -> None:
    table = pd.DataFrame(fit.fixed_effects).set_index("term")
    assert np.isnan(table.loc["x2", "estimate"])
    np.testing.assert_allclose(table.loc[["Intercept", "x"], "estimate"], BETA, rtol=1e-10)
    np.testing.assert_allclose(fit.fitted_values, ml.fit(LMM, base()).fitted_values, rtol=1e-10)


def float_groups() -> pd.DataFrame:
    data = changed(g=lambda d: d.g.str[1:].astype(float))
    data.loc[[0, 1], "g"] = NAN
    return data


WARNINGS = [
    Case(
        "D01", lambda: ml.fit(LMM, with_cells("y", [0, 50, 100], NAN)), E.MissingDataWarning, "W_MISSING",
        ("3", "y", "197"), equals_complete_cases([0, 50, 100]),
    ),
    Case(
        "D04", lambda: ml.fit(LMM, with_cells("g", range(10), None)), E.MissingDataWarning, "W_MISSING",
        ("10", "g", "190"), lambda fit: groups_are(fit, 19, 190),
    ),
    Case(
        "D05", lambda: ml.fit(LMM, float_groups()), E.MissingDataWarning, "W_MISSING", ("2", "g"),
        lambda fit: groups_are(fit, 20, 198),
    ),
    Case(
        "D10", lambda: ml.fit(LMM, with_cells("y", 0, pd.NA, "Float64")), E.MissingDataWarning, "W_MISSING",
        ("1", "y", "199"), equals_complete_cases([0]),
    ),
    Case(
        "T01", lambda: ml.fit(LMM, changed(y=lambda d: d.y > 1)), E.DtypeWarning, "W_BOOL_RESPONSE",
        ("y", "bool", "binomial"),
        lambda fit: np.testing.assert_array_equal(beta(fit), beta(ml.fit(LMM, changed(y=lambda d: (d.y > 1) * 1.0)))),
    ),
    Case(
        "I06", lambda: ml.fit(LMM, fit_data_without_group_means()), E.SingularFitWarning, "W_BOUNDARY", ("g", "0"),
        no_group_variance,
    ),
    Case(
        "I07", lambda: ml.fit("y ~ x + x2 + (1|g)", changed(x2=lambda d: 2 * d.x)), E.RankDeficiencyWarning, "W_RANK",
        ("x2", "x"), second_dropped,
    ),
    Case(
        "I08", lambda: ml.fit("y ~ x + k + (1|g)", changed(k=1.0)), E.RankDeficiencyWarning, "W_RANK",
        ("k", "intercept"), lambda fit: np.testing.assert_allclose(beta(fit)[:2], BETA, rtol=1e-9),
    ),
    Case(
        "I11", lambda: quiet_but("W_SLOPE_NO_WITHIN", "y ~ v + (v|g)", changed(v=lambda d: d.g.str[1:].astype(float))),
        E.IdentifiabilityWarning, "W_SLOPE_NO_WITHIN", ("v", "constant within", "g"),
    ),
    Case(
        "I15", lambda: ml.fit("y ~ x + (x|g)", slope_is_twice_the_intercept()), E.SingularFitWarning, "W_BOUNDARY",
        ("corr", "1"), rank_one,
    ),
    Case(
        "R17", lambda: ml.fit(LMM, base(), weights=[NAN] + [1.0] * 199), E.MissingDataWarning, "W_MISSING",
        ("weights", "1"), equals_complete_cases([0]),
    ),
]  # fmt: skip


def groups_are(fit: ml.Fit, levels: int, rows: int) -> None:
    assert fit.model.groups == {"g": levels}
    assert fit.n_obs == rows
    assert "nan" not in {str(v).lower() for v in fit.model.design.groups[0].levels}


def quiet_but(code: str, formula: str, data: pd.DataFrame) -> ml.Fit:
    """Fit, passing on only the warning of that code."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        fit = ml.fit(formula, data)
    for w in seen:
        if getattr(w.message, "code", "") == code:
            warnings.warn(w.message, stacklevel=2)
    return fit


@pytest.mark.parametrize("case", WARNINGS, ids=lambda c: c.id)
def test_answered_with_a_warning(case: Case) -> None:
    with pytest.warns(MultilevelWarning) as seen:
        fit = case.run()
    (warning,) = (w.message for w in seen)
    assert isinstance(warning, case.kind)
    assert warning.code == case.code
    for word in case.words:
        assert word in str(warning)
    assert len(str(warning)) <= 400
    assert case.code in {w.code for w in fit.warnings}
    case.check(fit)


# --- right answers -----------------------------------------------------------------------------------------------
def test_base_is_quiet() -> None:
    fit = ml.fit(LMM, base())
    assert_base(fit)
    assert fit.warnings == []


def test_d03_missing_values_in_unused_columns() -> None:
    assert_base(ml.fit(LMM, changed(unused=NAN)))


def test_d11_null_and_nan_in_a_database(tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    clean = quietly(LMM, with_cells("y", [0, 50, 100], NAN))
    path = tmp_path / "d11.duckdb"
    frame = base()
    with duckdb.connect(str(path)) as connection:
        connection.register("frame", frame.assign(i=range(200)))
        connection.execute("CREATE TABLE nulls AS SELECT * REPLACE (IF(i IN (0, 50, 100), NULL, y) AS y) FROM frame")
        connection.execute(
            "CREATE TABLE nans AS SELECT * REPLACE (IF(i IN (0, 50, 100), 'nan'::DOUBLE, y) AS y) FROM frame"
        )
    for name in ("nulls", "nans"):
        with pytest.warns(errors.MissingDataWarning, match=r"3.*y|y.*3") as seen:
            fit = ml.fit(LMM, f"duckdb:{path}#{name}")
        assert seen[0].message.code == "W_MISSING"  # type: ignore[union-attr]
        assert fit.n_obs == 197
        np.testing.assert_allclose(beta(fit), beta(clean), rtol=1e-12)
        assert fit.log_likelihood == pytest.approx(clean.log_likelihood, rel=1e-12)


def test_s06_duplicates_matter_only_where_they_are_used() -> None:
    data = base()
    assert_base(ml.fit(LMM, pd.concat([data, data[["c"]] * 3], axis=1)))


def test_s07_unicode_names() -> None:
    data = base().rename(columns={"y": "é", "x": "größe", "g": "gruppe"})
    np.testing.assert_array_equal(beta(ml.fit("é ~ größe + (1|gruppe)", data)), beta(ml.fit(LMM, base())))


def test_s12_unused_categories() -> None:
    data = base()
    data["g"] = pd.Categorical(data.g, categories=[*data.g.unique(), "u1", "u2"])
    assert_base(ml.fit(LMM, data))


def test_s15_any_row_index() -> None:
    data = base()
    expected = ml.fit(LMM, data).fitted_values
    for index in ([0] * 200, list(range(199, -1, -1)), [f"r{i}" for i in range(200)]):
        data.index = pd.Index(index)
        fit = ml.fit(LMM, data)
        assert_base(fit)
        np.testing.assert_array_equal(fit.fitted_values, expected)


def many_groups(levels: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(levels), 2)
    x = rng.standard_normal(2 * levels)
    y = 1.0 + 0.5 * x + rng.standard_normal(levels)[g] + rng.standard_normal(2 * levels)
    return {"g": g, "x": x, "y": y}


@pytest.mark.parametrize("levels", [50_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_s14_very_many_groups(levels: int) -> None:
    import tracemalloc

    data = many_groups(levels)
    size = sum(v.nbytes for v in data.values())
    tracemalloc.start()
    fit = ml.fit(LMM, data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert fit.model.groups == {"g": levels}
    assert tau2(fit) == pytest.approx(1.0, abs=0.05)
    assert peak <= 40 * size


EXACT_TYPES: dict[str, Callable[[], pd.DataFrame]] = {
    "T05 Decimal": lambda: changed(y=lambda d: [Decimal(repr(v)) for v in d.y]),
    "pandas Float64": lambda: changed(y=lambda d: d.y.astype("Float64")),
    "arrow-backed": lambda: base().convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda: changed(g=lambda d: d.g.astype("category")),
    "integer groups": lambda: changed(g=lambda d: d.g.str[1:].astype("int8")),
    "longdouble": lambda: changed(y=lambda d: d.y.to_numpy().astype(np.longdouble)),
    "big endian": lambda: changed(y=lambda d: d.y.to_numpy().astype(">f8")),
}


@pytest.mark.parametrize("make", EXACT_TYPES.values(), ids=EXACT_TYPES.keys())
def test_types_that_hold_the_same_numbers(make: Callable[[], pd.DataFrame]) -> None:
    np.testing.assert_allclose(beta(ml.fit(LMM, make())), beta(ml.fit(LMM, base())), rtol=1e-12)


NARROW = {
    "T06 int8": ("int8", lambda d: {"y": (d.y * 20).round(), "x": (d.x * 20).round()}),
    "T07 int32": ("int32", lambda d: {"y": (d.y * 1e5).round()}),
    "T07 int64": ("int64", lambda d: {"y": (d.y * 5e9).round()}),
    "uint64": ("uint64", lambda d: {"y": (d.y * 1e9).round() + 1e10}),
    "T09 float16": ("float16", lambda d: {"y": d.y}),
    "float32": ("float32", lambda d: {"y": d.y, "x": d.x}),
}


@pytest.mark.parametrize("name", NARROW)
def test_narrow_types_are_widened_before_arithmetic(name: str) -> None:
    dtype, columns = NARROW[name]
    data = base()
    narrow = data.assign(**{k: v.astype(dtype) for k, v in columns(data).items()})
    wide = narrow.assign(**{k: narrow[k].astype("float64") for k in columns(data)})
    a, b = ml.fit(LMM, narrow), ml.fit(LMM, wide)
    np.testing.assert_allclose(beta(a), beta(b), rtol=1e-15)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-15)
    assert tau2(a) == pytest.approx(tau2(b), rel=1e-15)


def test_t15_containers(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    data = base()
    table = pa.Table.from_pandas(data)
    data.to_csv(tmp_path / "b.csv", index=False)
    pq.write_table(table, tmp_path / "b.parquet")
    containers: list[Any] = [
        {c: data[c].to_list() for c in data},
        {c: data[c].to_numpy() for c in data},
        data.to_dict("records"),
        str(tmp_path / "b.csv"),
        tmp_path / "b.parquet",
        table,
        table.set_column(0, "g", table["g"].dictionary_encode()),
    ]
    expected = ml.fit(LMM, data)
    for container in containers:
        fit = ml.fit(LMM, container)
        np.testing.assert_allclose(beta(fit), beta(expected), rtol=1e-12)
        assert fit.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    for thing in (object(), 3, None, lambda: None):
        with pytest.raises((TypeError, MultilevelError)) as caught:
            ml.fit(LMM, thing)
        assert "pandas" in str(caught.value)


def test_f05_no_grouping_term_is_least_squares() -> None:
    data = base()
    fit = ml.fit("y ~ x", data)
    x = np.column_stack([np.ones(200), data.x])
    np.testing.assert_allclose(beta(fit), np.linalg.lstsq(x, data.y, rcond=None)[0], rtol=1e-12)
    assert "no group" in str(fit.summary()).lower()


def test_r19_a_weight_of_zero_is_a_dropped_row() -> None:
    fit = ml.fit(LMM, base(), weights=[0.0] + [1.0] * 199)
    clean = ml.fit(LMM, base().iloc[1:])
    assert fit.n_obs == 199
    np.testing.assert_allclose(beta(fit), beta(clean), rtol=1e-12)
    assert fit.log_likelihood == pytest.approx(clean.log_likelihood, rel=1e-12)


def test_i16_random_starts() -> None:
    """Every start of a correlated model ends at the same criterion, or says that it did not."""
    model = ml.Model("y ~ x + (x|g)", slope_is_twice_the_intercept().assign(y=lambda d: d.y + np.sin(np.arange(200.0))))
    expected = quietly_fitted(model).objective
    rng = np.random.default_rng(1)
    for _ in range(50):
        start = (10.0 ** rng.uniform(-3, 3, 3) * [1, rng.choice([-1, 1]), 1]).tolist()
        try:
            found = quietly_fitted(model, start=start)
        except errors.ConvergenceError:
            continue
        assert found.objective == pytest.approx(expected, abs=1e-8)


def quietly_fitted(model: ml.Model, **settings: Any) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        return model.fit("reml", **settings)


# --- scale ----------------------------------------------------------------------------------------------------------
def test_n01_predictor_shifted_by_a_billion() -> None:
    """Against the stored doubles centred exactly: 1e9 + x keeps 1e-7 of x."""
    from fractions import Fraction

    data = changed(x=lambda d: d.x + 1e9)
    fit = ml.fit(LMM, data)
    exact = [Fraction(v) for v in data.x]
    middle = Fraction(10**9)
    centred = ml.fit(LMM, data.assign(x=[float(v - middle) for v in exact]))
    assert beta(fit)[1] == pytest.approx(beta(centred)[1], rel=1e-8)
    assert fit.sigma == pytest.approx(centred.sigma, rel=1e-8)
    assert tau2(fit) == pytest.approx(tau2(centred), rel=1e-8)
    np.testing.assert_allclose(fit.fitted_values, centred.fitted_values, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("factor", [1e-12, 1e12, 1e-130, 1e130])
def test_n03_n05_response_in_other_units(factor: float) -> None:
    fit, clean = ml.fit(LMM, changed(y=lambda d: d.y * factor)), ml.fit(LMM, base())
    np.testing.assert_allclose(beta(fit) / factor, beta(clean), rtol=1e-10)
    assert fit.sigma / factor == pytest.approx(clean.sigma, rel=1e-10)
    assert np.sqrt(tau2(fit)) / factor == pytest.approx(np.sqrt(tau2(clean)), rel=1e-9)
    np.testing.assert_allclose(fit.std_errors / factor, clean.std_errors, rtol=1e-9)
    assert fit.log_likelihood == pytest.approx(clean.log_likelihood - 198 * np.log(factor), rel=1e-10)
    np.testing.assert_allclose(fit.fixed_df, clean.fixed_df, rtol=1e-6)


def test_n04_response_shifted_by_a_billion() -> None:
    from fractions import Fraction

    data = changed(y=lambda d: d.y + 1e9)
    fit = ml.fit(LMM, data)
    centred = ml.fit(LMM, data.assign(y=[float(Fraction(v) - 10**9) for v in data.y]))
    assert fit.sigma == pytest.approx(centred.sigma, rel=1e-7)
    assert tau2(fit) == pytest.approx(tau2(centred), rel=1e-7)


@pytest.mark.parametrize("formula", [LMM, "y ~ x + (x|g)"])
@pytest.mark.parametrize("noise", [0.0, 1e-15, 1e-12, 1e-9, 1e-7, 1e-4])
def test_a_response_without_residuals(noise: float, formula: str) -> None:
    """Everything explained: a typed error that says so, or the right estimates; never a crash inside the search."""
    j = np.arange(200) // 10
    data = changed(y=lambda d: 1.0 + 2.0 * d.x + ((5 * j) % 11 - 5) / 4.0)
    data["y"] += noise * np.sin(np.arange(200.0) ** 2)
    try:
        fit = quietly(formula, data)
    except errors.ConvergenceError as error:
        assert "explain the response" in str(error)  # noqa: PT017
        assert noise < 1e-4
        return
    assert beta(fit)[1] == pytest.approx(2.0, rel=1e-4)
    assert fit.sigma == pytest.approx(0.7 * noise, rel=0.1)


# --- prediction -------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def fit() -> ml.Fit:
    return ml.fit(LMM, base())


def new_rows() -> pd.DataFrame:
    return base().iloc[:3].assign(g="NEW")


PREDICTIONS = [
    ("P01", lambda m: m.predict(new_rows()), E.UnseenLevelError, "E_UNSEEN_GROUP", ("g", "NEW", "target=")),
    ("P07", lambda m: m.predict(base().iloc[:3].assign(g=None)), E.UnseenLevelError, "E_UNSEEN_GROUP", ("missing",)),
    ("P08", lambda m: m.predict(base()[["g"]]), E.UnknownColumnError, "E_UNKNOWN_COLUMN", ("x",)),
    ("P11", lambda m: m.predict(base().assign(x="a")), E.DtypeError, "E_DTYPE", ("x", "float", "str")),
    ("target", lambda m: m.predict(base(), target="new_groups"), E.SettingError, "E_SETTING", ("new_group",)),
    ("kind", lambda m: m.predict(base(), kind="meen"), E.SettingError, "E_SETTING", ("mean",)),
    ("interval", lambda m: m.predict(base(), interval=95), E.SettingError, "E_SETTING", ("95",)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "run", "kind", "code", "words"), PREDICTIONS, ids=[p[0] for p in PREDICTIONS])
def test_predictions_refused(fit: ml.Fit, name: str, run: Any, kind: Any, code: str, words: tuple[str, ...]) -> None:
    with pytest.raises(kind) as caught:
        run(fit)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def with_factor() -> pd.DataFrame:
    return changed(f=lambda d: ["a", "b"] * 100, y=lambda d: d.y + 5.0 * (np.arange(200) % 2))


def test_p02_new_groups_on_request(fit: ml.Fit) -> None:
    rows = new_rows()
    reference = fit.predict(rows, target="reference")
    np.testing.assert_allclose(reference["estimate"], beta(fit)[0] + beta(fit)[1] * rows.x, rtol=1e-13)
    wide = fit.predict(rows, target="new_group", kind="response", interval=0.95, seed=1)
    narrow = fit.predict(rows, target="reference", kind="response", interval=0.95, seed=1)
    assert (np.asarray(wide["upper"] - wide["lower"]) > np.asarray(narrow["upper"] - narrow["lower"])).all()
    half = np.asarray(wide["upper"] - wide["lower"]) / 2
    assert (half > 1.9 * np.sqrt(TAU2 + SIGMA2)).all()


def test_p03_unseen_level_of_a_fixed_factor() -> None:
    found = ml.fit("y ~ x + f + (1|g)", with_factor())
    with pytest.raises(errors.UnseenLevelError) as caught:
        found.predict(with_factor().iloc[:2].assign(f="ZZZ"))
    assert caught.value.code == "E_UNSEEN_LEVEL"
    assert all(word in str(caught.value) for word in ("f", "ZZZ", "a, b"))


def test_p04_a_subset_of_levels_is_coded_as_before() -> None:
    data = with_factor()
    found = ml.fit("y ~ x + f + (1|g)", data)
    every, some = found.predict(data), found.predict(data[data.f == "b"])
    np.testing.assert_array_equal(some["estimate"], np.asarray(every["estimate"])[1::2])


def test_p09_column_order_extra_columns_and_no_rows(fit: ml.Fit) -> None:
    data = base()
    expected = np.asarray(fit.predict(data)["estimate"])
    shuffled = data[["z", "y", "g", "c", "x"]].assign(more=1)
    np.testing.assert_array_equal(fit.predict(shuffled)["estimate"], expected)
    np.testing.assert_array_equal(fit.predict(data[["x", "g"]])["estimate"], expected)
    nothing = fit.predict(data.iloc[:0])
    assert len(nothing) == 0
    assert np.asarray(nothing["estimate"]).dtype == np.float64


@pytest.mark.parametrize("term", ["scale(x)", "center(x)", "poly(x, 2)", "bs(x, df=4)", "cr(x, df=4)", "C(f, Sum)"])
def test_p10_transforms_remember_the_training_data(term: str) -> None:
    data = with_factor()
    found = quietly(f"y ~ {term} + (1|g)", data)
    every = np.asarray(found.predict(data)["estimate"])
    for row in (0, 57, 199):
        assert np.asarray(found.predict(data.iloc[[row]])["estimate"])[0] == every[row]


def test_p12_a_known_group_gets_its_own_effect(fit: ml.Fit) -> None:
    rows = base().iloc[:3]
    effect = fit.estimates.effects[0][0, 0]
    own, population = fit.predict(rows), fit.predict(rows, target="reference")
    assert abs(effect) > 0.1
    np.testing.assert_allclose(own["estimate"] - population["estimate"], effect, rtol=1e-10)


# --- hostile text as data ---------------------------------------------------------------------------------------------
def test_x21_a_payload_as_a_column_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "__import__('os').system('touch CANARY')"
    found = ml.fit(f"y ~ `{name}` + (1|g)", base().rename(columns={"x": name}))
    assert_base(found)
    assert name in str(found.summary()) or name[:20] in str(found.summary())
    assert not (tmp_path / "CANARY").exists()


def test_x22_a_payload_as_a_group_label() -> None:
    label = "{{7*7}}${7*7}<%= 7*7 %>"
    found = ml.fit(LMM, changed(g=lambda d: d.g.replace("g00", label)))
    assert_base(found)
    assert label in set(pd.DataFrame(found.group_effects("g"))["level"])


def test_w04_control_characters_never_reach_the_terminal() -> None:
    label, column = "abc\u202edef\x00\x1b[31m", "x\x1b[2J"
    data = changed(g=lambda d: d.g.replace("g00", label)).rename(columns={"x": column})
    found = ml.fit(f"y ~ `{column}` + (1|g)", data)
    for text in (str(found.summary()), str(found.model), repr(found)):
        for bad in ("\x1b", "\x00", "\u202e"):
            assert bad not in text


def test_the_callers_data_are_never_changed() -> None:
    data = with_cells("y", [3], NAN)
    before = data.copy(deep=True)
    quietly("y ~ scale(x) + (x|g)", data).predict(data.iloc[:5])
    pd.testing.assert_frame_equal(data, before)
