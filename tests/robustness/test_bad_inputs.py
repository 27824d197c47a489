"""Bad and awkward inputs: the right answer, the right answer with a typed warning, or a typed error. Nothing else.

Case ids are those of the project's list of bad inputs; each row is (id, table, formula, settings, outcome, class,
code, words of the message).
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from base import F_LMM, base

import multilevel as ml

E = ml.errors


def changed(**columns: Any) -> Callable[[], pd.DataFrame]:
    """The base table with columns replaced (a function of the table, or values)."""

    def make() -> pd.DataFrame:
        table = base()
        for name, value in columns.items():
            table[name] = value(table) if callable(value) else value
        return table

    return make


def set_rows(column: str, rows: slice, value: Any, dtype: Any = None) -> Callable[[pd.DataFrame], Any]:
    def make(table: pd.DataFrame) -> Any:
        out = table[column].astype(dtype) if dtype else table[column].copy()
        out.iloc[rows] = value
        return out

    return make


def few_rows() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(4, 6)), columns=list("abcdef"))
    return table.assign(y=rng.normal(size=4), g=["u", "u", "v", "v"])


ERRORS = [
    ("D06", changed(y=set_rows("y", slice(0, 1), np.inf)), F_LMM, E.NonFiniteError, "E_NONFINITE", ["y", "1", "inf", "row 0"]),
    ("D08", base, "y ~ log(x) + (1|g)", E.NonFiniteError, "E_NONFINITE", ["log(x)", "x <= 0"]),
    ("D09", changed(x=np.nan), F_LMM, E.EmptyDataError, "E_NO_ROWS", ["x", "200 of 200"]),
    ("S01", lambda: base().iloc[:0], F_LMM, E.EmptyDataError, "E_NO_ROWS", ["0 rows"]),
    ("S02", pd.DataFrame, F_LMM, E.UnknownColumnError, "E_UNKNOWN_COLUMN", ["y", "no columns"]),
    ("S03", base, "y ~ nope + (1|g)", E.UnknownColumnError, "E_UNKNOWN_COLUMN", ["nope", "available: g, x, y, c"]),
    ("S04", lambda: base().rename(columns={"x": "income"}), "y ~ incmoe + (1|g)", E.UnknownColumnError,
     "E_UNKNOWN_COLUMN", ["incmoe", 'did you mean "income"']),
    ("S05", base, "y ~ x + (1|nope)", E.UnknownColumnError, "E_UNKNOWN_COLUMN", ["nope", "group"]),
    ("S06", lambda: pd.concat([base(), base()[["x"]] * 3], axis=1), F_LMM, E.DuplicateColumnError,
     "E_DUPLICATE_COLUMN", ["x", "2"]),
    ("T03", changed(y=lambda t: t.y.astype(str)), F_LMM, E.DtypeError, "E_RESPONSE_NOT_NUMERIC", ["y", "str", "onvert"]),
    ("T10", changed(y=lambda t: t.y + 1j), F_LMM, E.DtypeError, "E_DTYPE", ["y", "complex"]),
    ("T11", changed(x=lambda t: pd.date_range("2020-01-01", periods=200)), F_LMM, E.DtypeError, "E_DTYPE",
     ["x", "datetime", "days since"]),
    ("T12", changed(x=set_rows("x", slice(0, 1), "oops", object)), F_LMM, E.DtypeError, "E_MIXED_TYPES",
     ["x", "oops", "row 0"]),
    ("I04", changed(y=3.0), F_LMM, E.ResponseError, "E_CONSTANT_RESPONSE", ["y", "constant", "3"]),
    ("I10", few_rows, "y ~ a + b + c + d + e + f + (1|g)", E.IdentifiabilityError, "E_N_LE_P", ["4", "7"]),
    ("I13", changed(h=lambda t: t.g), "y ~ x + (1|g) + (1|h)", E.IdentifiabilityError, "E_ALIASED_GROUPS", ["g", "h"]),
    ("one level", changed(g="only"), F_LMM, E.IdentifiabilityError, "E_ONE_LEVEL", ["g", "one level"]),
    ("levels = rows", changed(g=lambda t: np.arange(200)), F_LMM, E.IdentifiabilityError, "E_LEVELS_EQUAL_ROWS",
     ["g", "as many levels as rows"]),
    ("F03", base, "~ x + (1|g)", E.FormulaError, "E_FORMULA_SYNTAX", ["response"]),
    ("F04", base, "y ~ y + (1|g)", E.FormulaError, "E_RESPONSE_IN_RHS", ["y"]),
    ("family", base, F_LMM, E.SettingError, "E_SETTING", ["family"]),
    ("R22", changed(s=0.0), "y | se(s) ~ x + (1|g)", E.WeightsError, "E_SAMPLING_VARIANCE", ["<= 0"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "formula", "kind", "code", "words"), [c[1:] for c in ERRORS], ids=[c[0] for c in ERRORS])
def test_refused(make, formula, kind, code, words) -> None:
    settings = {"family": "gausian"} if code == "E_SETTING" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", E.MissingDataWarning)
        with pytest.raises(kind) as caught:
            ml.fit(formula, make(), **settings)
    error = caught.value
    assert error.code == code
    for word in words:
        assert word in str(error), str(error)
    assert len(str(error)) <= 400
    assert set(error.to_dict()) == {"code", "message", "hint"}


WEIGHTS = [
    ("R16", [-1.0] + [1.0] * 199, ["-1", "row 0"]),
    ("R20", [1.0] * 150, ["150", "200"]),
    ("infinite", [np.inf] + [1.0] * 199, ["inf", "row 0"]),
]


@pytest.mark.parametrize(("weights", "words"), [c[1:] for c in WEIGHTS], ids=[c[0] for c in WEIGHTS])
def test_weights_refused(weights, words) -> None:
    with pytest.raises(E.MultilevelError) as caught:
        ml.fit(F_LMM, base(), weights=weights)
    assert caught.value.code in ("E_WEIGHTS", "E_NONFINITE")
    for word in words:
        assert word in str(caught.value)


def reference() -> ml.Fit:
    return ml.fit(F_LMM, base())


def lre(x: float, c: float) -> float:
    return 16.0 if x == c else -np.log10(abs(x - c) / abs(c))


def test_BASE() -> None:
    """Optimum by 60-digit arithmetic (certified for this project)."""
    fit = reference()
    beta, se = fit.fixed_effects["estimate"], fit.fixed_effects["std_error"]
    variances = [float(v) for v in fit.variance_components["variance"]]
    assert lre(-2 * fit.log_likelihood, 520.428998017251) >= 12
    assert lre(beta[0], 1.03832010398854) >= 12
    assert lre(beta[1], 0.540343732187374) >= 12
    assert lre(variances[0], 0.673990848075662) >= 9
    assert lre(variances[1], 0.608210409505889) >= 9
    assert lre(se[0], 0.191680427093611) >= 9
    assert lre(se[1], 0.0889763719431707) >= 9
    ml_fit = ml.fit(F_LMM, base(), estimator="ml")
    assert lre(-2 * ml_fit.log_likelihood, 515.933384176413) >= 12
    assert lre(float(ml_fit.variance_components["variance"][0]), 0.637529735771632) >= 9


SAME = {
    "D03": changed(unused=np.nan),
    "S07": lambda: base(),
    "S12": changed(g=lambda t: pd.Categorical(t.g, categories=[*t.g.unique(), "u1", "u2"])),
    "S15": lambda: base().set_axis([0] * 200, axis=0),
    "T05": changed(y=lambda t: [Decimal(repr(v)) for v in t.y]),
    "T14": lambda: pa.Table.from_pandas(base()),
    "T15 dict": lambda: {k: list(v) for k, v in base().items()},
    "T15 rows": lambda: base().to_dict("records"),
    "longdouble": changed(y=lambda t: t.y.astype(np.longdouble)),
    "nullable": changed(y=lambda t: t.y.astype("Float64")),
}


@pytest.mark.parametrize("case", SAME)
def test_same_answer(case) -> None:
    fit, expected = ml.fit(F_LMM, SAME[case]()), reference()
    assert fit.n_obs == 200
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)
    assert list(fit.coefficients.values()) == pytest.approx(list(expected.coefficients.values()), rel=1e-12)


def test_unicode_names_S07() -> None:
    table = base().rename(columns={"y": "é", "x": "größe", "g": "gruppe"})
    fit = ml.fit("é ~ größe + (1|gruppe)", table)
    assert list(fit.coefficients.values()) == list(reference().coefficients.values())


def test_payload_as_a_column_name_X21(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "__import__('os').system('touch CANARY')"
    fit = ml.fit(f"y ~ `{name}` + (1|g)", base().rename(columns={"x": name}))
    assert list(fit.coefficients.values()) == list(reference().coefficients.values())
    assert not (tmp_path / "CANARY").exists()


MISSING = [
    ("D04", changed(g=set_rows("g", slice(0, 10), None, object)), ["10", "g", "190"], 190, 19),
    ("D05", changed(g=lambda t: t.g.str[1:].astype(float).where(t.index > 1)), ["2", "g"], 198, 20),
    ("D10", changed(y=set_rows("y", slice(0, 1), pd.NA, "Float64")), ["1", "y", "199"], 199, 20),
]


@pytest.mark.parametrize(("make", "words", "n", "levels"), [c[1:] for c in MISSING], ids=[c[0] for c in MISSING])
def test_missing_rows_are_dropped_and_counted(make, words, n, levels) -> None:
    with pytest.warns(E.MissingDataWarning) as caught:
        fit = ml.fit(F_LMM, make())
    assert fit.n_obs == n
    assert fit.to_dict()["groups"] == {"g": levels}
    message = str(caught[0].message)
    assert all(word in message for word in words), message
    assert "W_MISSING" in [w.code for w in fit.warnings]


def test_missing_weight_R17() -> None:
    with pytest.warns(E.MissingDataWarning, match=r"weights.*1"):
        fit = ml.fit(F_LMM, base(), weights=[np.nan] + [1.0] * 199)
    assert fit.n_obs == 199


def test_zero_weight_is_a_dropped_row_R19() -> None:
    fit, expected = ml.fit(F_LMM, base(), weights=[0.0] + [1.0] * 199), ml.fit(F_LMM, base().iloc[1:])
    assert fit.n_obs == 199
    assert fit.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12)


def test_boolean_response_T01() -> None:
    with pytest.warns(E.DtypeWarning, match=r"y.*bool.*binomial") as caught:
        ml.fit(F_LMM, changed(y=lambda t: t.y > 1)())
    assert caught[0].message.code == "W_BOOL_RESPONSE"


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float16"])
def test_narrow_types_T06_T07_T09(dtype) -> None:
    factor = {"int8": 20, "int32": 1e5, "int64": 5e9, "float16": 1}[dtype]
    values = base().y * factor
    values = values.astype(dtype) if dtype == "float16" else values.round().astype(dtype)
    narrow = ml.fit(F_LMM, base().assign(y=values))
    wide = ml.fit(F_LMM, base().assign(y=values.astype(float)))
    assert list(narrow.coefficients.values()) == list(wide.coefficients.values())


def test_group_variance_of_zero_I06() -> None:
    table = base()
    table["y"] = table.y - table.groupby("g").y.transform("mean")
    with pytest.warns(E.SingularFitWarning, match=r"g.*0") as caught:
        fit = ml.fit(F_LMM, table)
    assert caught[0].message.code == "W_BOUNDARY"
    row = fit.variance_components.iloc[0]
    assert row.sd == 0.0
    assert fit.converged
    assert list(fit.boundary) == ["g"]
    assert row.lower == 0.0 < row.upper < 1.0
    ols = np.linalg.lstsq(np.column_stack([np.ones(200), table.x]), table.y, rcond=None)[0]
    assert list(fit.coefficients.values()) == pytest.approx(list(ols), rel=1e-12, abs=1e-13)


def test_redundant_column_I07() -> None:
    table = base().assign(x2=lambda t: 2 * t.x)
    with pytest.warns(E.RankDeficiencyWarning, match=r"x2.*x") as caught:
        fit = ml.fit("y ~ x + x2 + (1|g)", table)
    assert caught[0].message.code == "W_RANK"
    assert np.isnan(fit.coefficients["x2"])
    assert fit.fitted_values == pytest.approx(reference().fitted_values, abs=1e-10)
    with pytest.raises(E.RankDeficiencyError, match="x2"):
        ml.fit("y ~ x + x2 + (1|g)", table, rank="raise")


def test_constant_column_beside_the_intercept_I08() -> None:
    with pytest.warns(E.RankDeficiencyWarning, match=r"(?i)k.*intercept"):
        fit = ml.fit("y ~ x + k + (1|g)", base().assign(k=1.0))
    assert np.isnan(fit.coefficients["k"])


def test_slope_without_within_variation_I11() -> None:
    table = base().assign(v=lambda t: t.g.str[1:].astype(float))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        ml.fit("y ~ v + (v|g)", table)
    found = {w.message.code: str(w.message) for w in caught}
    assert "W_SLOPE_NO_WITHIN" in found
    assert re.search(r'"v".*constant within.*"g"', found["W_SLOPE_NO_WITHIN"])


def test_correlation_of_one_I15() -> None:
    rng = np.random.default_rng(7)
    g = np.repeat(np.arange(20), 10)
    x, b = rng.normal(size=200), rng.normal(size=20)
    table = {"y": 1 + x + b[g] * (1 + 2 * x) + rng.normal(size=200), "x": x, "g": g}
    with pytest.warns(E.SingularFitWarning, match=r"corr.*1"):
        fit = ml.fit("y ~ x + (x|g)", table)
    values = np.linalg.eigvalsh(fit.estimates.covariances[0])
    assert abs(values[0]) < 1e-10 * values[1]
    assert not fit.fixed_effects["std_error"].isna().any()
    assert abs(fit.correlations["correlation"][0]) == pytest.approx(1.0, abs=1e-8)


def test_no_groups_is_ordinary_regression_F05() -> None:
    fit = ml.fit("y ~ x", base())
    table = base()
    ols = np.linalg.lstsq(np.column_stack([np.ones(200), table.x]), table.y, rcond=None)[0]
    assert list(fit.coefficients.values()) == pytest.approx(list(ols), rel=1e-12)
    assert "no group" in str(fit.summary()).lower()
    with pytest.raises(E.IdentifiabilityError) as caught:
        ml.fit("y ~ x", base(), estimator="within")
    assert caught.value.code == "E_NO_GROUP"


@pytest.mark.parametrize("scale", [1e-12, 1e12, 1e-170])
def test_response_in_other_units_N03_N06(scale) -> None:
    fit, expected = ml.fit(F_LMM, base().assign(y=lambda t: t.y * scale)), reference()
    for name, value in expected.coefficients.items():
        assert fit.coefficients[name] / scale == pytest.approx(value, rel=1e-10)
    sd, of = fit.variance_components["sd"], expected.variance_components["sd"]
    assert list(sd / scale) == pytest.approx(list(of), rel=1e-10)


def test_shifted_predictor_N01() -> None:
    """The doubles x + 1e9 hold x to 1e-7 only: compare with those doubles, centred exactly."""
    shifted = base().x + 1e9
    fit = ml.fit(F_LMM, base().assign(x=shifted))
    centred = ml.fit(F_LMM, base().assign(x=shifted - 1e9))
    assert fit.coefficients["x"] == pytest.approx(centred.coefficients["x"], rel=1e-8)
    assert list(fit.variance_components["sd"]) == pytest.approx(list(centred.variance_components["sd"]), rel=1e-8)
    assert fit.fitted_values == pytest.approx(centred.fitted_values, rel=1e-8)


def test_shifted_response_N04() -> None:
    shifted = base().y + 1e9
    fit, centred = ml.fit(F_LMM, base().assign(y=shifted)), ml.fit(F_LMM, base().assign(y=shifted - 1e9))
    assert list(fit.variance_components["sd"]) == pytest.approx(list(centred.variance_components["sd"]), rel=1e-7)


def new_rows(**columns: Any) -> pd.DataFrame:
    return base().iloc[:3].assign(**columns)


PREDICTIONS = [
    ("P01", new_rows(g="NEW"), E.UnseenLevelError, "E_UNSEEN_GROUP", ["g", "NEW", "target="]),
    ("P07", new_rows(g=None), E.UnseenLevelError, "E_UNSEEN_GROUP", ["missing"]),
    ("P08", base()[["g"]], E.UnknownColumnError, "E_UNKNOWN_COLUMN", ["x"]),
    ("P11", new_rows(x="text"), E.DtypeError, "E_DTYPE", ["x", "float", "str"]),
]


@pytest.mark.parametrize(("rows", "kind", "code", "words"), [c[1:] for c in PREDICTIONS], ids=[c[0] for c in PREDICTIONS])
def test_predictions_refused(rows, kind, code, words) -> None:
    with pytest.raises(kind) as caught:
        reference().predict(rows)
    assert caught.value.code == code
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_unseen_fixed_level_P03() -> None:
    table = base().assign(f=lambda t: np.where(t.index % 2 == 0, "a", "b"))
    fit = ml.fit("y ~ f + (1|g)", table)
    with pytest.raises(E.UnseenLevelError, match=r"f.*ZZZ.*a, b") as caught:
        fit.predict(table.iloc[:2].assign(f="ZZZ"))
    assert caught.value.code == "E_UNSEEN_LEVEL"


def test_subset_of_levels_P04_and_transforms_P10() -> None:
    table = base().assign(f=lambda t: np.where(t.index % 2 == 0, "a", "b"))
    fit = ml.fit("y ~ f + scale(x) + (1|g)", table)
    every = fit.predict(table, interval=None)["estimate"].to_numpy()
    only_b = fit.predict(table[table.f == "b"], interval=None)["estimate"].to_numpy()
    assert np.array_equal(only_b, every[1::2])
    assert fit.predict(table.iloc[[7]], interval=None)["estimate"][0] == every[7]


def test_targets_P02_P09_P12() -> None:
    fit, new = reference(), new_rows(g="NEW")
    beta = np.array(list(fit.coefficients.values()))
    at_reference = fit.predict(new, target="reference")["estimate"].to_numpy()
    assert at_reference == pytest.approx(np.column_stack([np.ones(3), new.x]) @ beta, rel=1e-13)
    wide, narrow = fit.predict(new, target="new_group"), fit.predict(new, target="reference")
    assert (wide["upper"] - wide["lower"] > 2 * (narrow["upper"] - narrow["lower"])).all()
    known = fit.predict(base().iloc[:3])["estimate"].to_numpy()
    assert not np.allclose(known, fit.predict(base().iloc[:3], target="reference")["estimate"])
    shuffled = base().iloc[:3][["c", "g", "y", "x"]].assign(extra="?")
    assert np.array_equal(fit.predict(shuffled)["estimate"], known)
    empty = fit.predict(base().iloc[:0])
    assert len(empty) == 0
    assert empty["estimate"].dtype == float


def test_too_few_iterations_K18() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(12), 6)
    x = rng.normal(size=72)
    table = {"y": rng.normal(size=12)[g] * (1 + x) + rng.normal(size=72), "x": x, "g": g}
    with pytest.raises(E.ConvergenceError, match=r"2 iterations.*gradient") as caught:
        ml.fit("y ~ x + (x|g)", table, maxiter=2)
    assert caught.value.code == "E_CONVERGENCE"
    assert not caught.value.partial.converged


def test_what_is_refused_is_refused_quickly() -> None:
    import time

    n = 1_000_000
    table = {"y": np.zeros(n), "x": np.arange(n, dtype=float), "g": np.arange(n) % 1000}
    table["y"][0] = np.inf
    start = time.perf_counter()
    with pytest.raises(E.NonFiniteError):
        ml.fit(F_LMM, table)
    assert time.perf_counter() - start < 1.0
