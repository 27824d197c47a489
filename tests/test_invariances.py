"""What must not matter does not: order, labels, units, chunks of data, the kind of table. Seeded property tests."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import MultilevelWarning

FORMULAS = {
    "one factor": "y ~ x + (1 | g)",
    "slopes": "y ~ x + (x | g)",
    "diagonal": "y ~ x + (x || g)",
    "nested": "y ~ x + (1 | h/g)",
    "crossed": "y ~ x + f + (1 | g) + (1 | c)",
    "crossed slopes": "y ~ x + (x | g) + (1 | c)",
    "compound symmetry": "y ~ f + cs(0 + f | g)",
}
ALL = pytest.mark.parametrize("name", FORMULAS)
METHODS = pytest.mark.parametrize("method", ["reml", "ml"])


def data(seed: int = 0, n: int = 240) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, c = rng.integers(0, 24, n), rng.integers(0, 9, n)
    x = 2.0 + rng.standard_normal(n)
    f = rng.integers(0, 3, n)
    b = rng.standard_normal((24, 5))
    y = 1.0 + 0.5 * x + 0.3 * f + b[g, 0] + 0.6 * b[g, 1] * x + 0.7 * b[g, 2:5][np.arange(n), f]
    y = y + rng.standard_normal(9)[c] + 0.5 * rng.standard_normal(6)[g % 6] + rng.standard_normal(n)
    return pd.DataFrame(
        {
            "y": y, "x": x, "w": rng.integers(1, 4, n), "v": rng.uniform(0.2, 5.0, n),
            "g": [f"g{i:02d}" for i in g], "h": [f"h{i}" for i in g % 6], "c": [f"c{i}" for i in c],
            "f": [f"f{i}" for i in f],
        }
    )  # fmt: skip


def fit(formula: str, table: Any, **settings: Any) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        return ml.fit(formula, table, **settings)


def beta(found: ml.Fit) -> np.ndarray:
    return np.asarray(found.estimates.beta)


def assert_same(a: ml.Fit, b: ml.Fit, rtol: float = 1e-9) -> None:
    """The same model in every number a user sees (variances are flat: they get half the digits)."""
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-11)
    np.testing.assert_allclose(beta(a), beta(b), rtol=rtol, atol=rtol)
    np.testing.assert_allclose(a.std_errors, b.std_errors, rtol=1e3 * rtol)
    assert a.sigma == pytest.approx(b.sigma, rel=1e2 * rtol)
    for u, v in zip(a.estimates.covariances, b.estimates.covariances, strict=True):
        np.testing.assert_allclose(u, v, rtol=1e3 * rtol, atol=1e3 * rtol * np.trace(v))


# --- order and labels ------------------------------------------------------------------------------------------
@METHODS
@ALL
def test_order_of_rows_and_columns(name: str, method: str) -> None:
    d = data()
    shuffled = d.sample(frac=1.0, random_state=1)[list(d.columns[::-1])]
    a, b = fit(FORMULAS[name], d, estimator=method), fit(FORMULAS[name], shuffled, estimator=method)
    assert_same(a, b)
    back = pd.Series(b.fitted_values, index=shuffled.index).reindex(d.index).to_numpy()
    np.testing.assert_allclose(back, a.fitted_values, rtol=1e-8)


@ALL
def test_labels_of_groups(name: str) -> None:
    """Other names in another order: the same fit, and every level keeps its effect."""
    d = data()
    rng = np.random.default_rng(2)
    names = {}
    for column in ("g", "c", "h"):
        levels = sorted(d[column].unique())
        names[column] = dict(zip(levels, [f"level {i}" for i in rng.permutation(len(levels))], strict=True))
    renamed = d.assign(**{column: d[column].map(new) for column, new in names.items()})
    a, b = fit(FORMULAS[name], d), fit(FORMULAS[name], renamed)
    assert_same(a, b)
    for t, group in enumerate(a.model.design.groups):
        parts = group.label.split(":")
        for row, level in enumerate(group.levels):
            new = ":".join(names[p][v] for p, v in zip(parts, level.split(":"), strict=True))
            there = b.model.design.groups[t].levels.index(new)
            np.testing.assert_allclose(b.estimates.effects[t][there], a.estimates.effects[t][row], atol=1e-7)


def test_order_of_terms() -> None:
    d = data()
    a = fit("y ~ x + f + (x | g) + (1 | c)", d)
    b = fit("y ~ f + x + (1 | c) + (x | g)", d)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-12)
    assert a.coefficients == pytest.approx(b.coefficients, rel=1e-9)


@METHODS
def test_contrasts_of_factors(method: str) -> None:
    """Another coding of the same factor: the same likelihood (REML: up to the log-determinant of the change)."""
    d = data()
    fits = [
        fit(f"y ~ {term} + x + (1 | g)", d, estimator=method)
        for term in ("f", "C(f, Sum)", "C(f, Helmert)", "C(f, Poly)")
    ]
    for found in fits[1:]:
        np.testing.assert_allclose(found.fitted_values, fits[0].fitted_values, rtol=1e-8)
        assert found.sigma == pytest.approx(fits[0].sigma, rel=1e-8)
        if method == "ml":
            assert found.log_likelihood == pytest.approx(fits[0].log_likelihood, rel=1e-11)


def test_reference_level() -> None:
    d = data()
    a = fit("y ~ f + (1 | g)", d, estimator="ml")
    b = fit("y ~ C(f, Treatment('f2')) + (1 | g)", d, estimator="ml")
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-12)
    assert b.coefficients["Intercept"] == pytest.approx(
        a.coefficients["Intercept"] + a.coefficients["f[T.f2]"], rel=1e-9
    )


def test_a_slope_in_other_words() -> None:
    """(f | g) and (0 + f | g) span the same effects."""
    d = data()
    a, b = fit("y ~ f + (f | g)", d), fit("y ~ f + (0 + f | g)", d)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-9)
    np.testing.assert_allclose(a.fitted_values, b.fitted_values, rtol=1e-5)


# --- units --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [1e-12, 1e-3, -1.0, 7.3, 1e12])
@METHODS
@ALL
def test_units_of_the_response(name: str, method: str, scale: float) -> None:
    """y → a y + b."""
    d = data()
    shift = 5.0 * abs(scale)
    a = fit(FORMULAS[name], d, estimator=method)
    b = fit(FORMULAS[name], d.assign(y=scale * d.y + shift), estimator=method)
    expected = scale * beta(a)
    expected[0] += shift
    np.testing.assert_allclose(beta(b) / scale, expected / scale, rtol=1e-8, atol=1e-8)
    assert b.sigma / abs(scale) == pytest.approx(a.sigma, rel=1e-7)
    np.testing.assert_allclose(b.std_errors / abs(scale), a.std_errors, rtol=1e-6)
    nu = a.n_obs - (len(beta(a)) if method == "reml" else 0)
    assert b.log_likelihood == pytest.approx(a.log_likelihood - nu * np.log(abs(scale)), rel=1e-9)
    for u, v in zip(b.estimates.covariances, a.estimates.covariances, strict=True):
        np.testing.assert_allclose(u / scale**2, v, rtol=1e-5, atol=1e-6 * np.trace(v))


@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1e6, 0.0), (-2.5, 40.0), (1.0, 1e4), (1e-3, -1e-2)])
@pytest.mark.parametrize("name", ["one factor", "slopes", "crossed slopes"])
def test_units_of_a_predictor(name: str, scale: float, shift: float) -> None:
    """x → a x + b: with an intercept (fixed and by group) the same fitted values and likelihood."""
    d = data()
    a = fit(FORMULAS[name], d, estimator="ml")
    b = fit(FORMULAS[name], d.assign(x=scale * d.x + shift), estimator="ml")
    assert b.log_likelihood == pytest.approx(a.log_likelihood, rel=1e-9)
    assert beta(b)[1] * scale == pytest.approx(beta(a)[1], rel=1e-8)
    np.testing.assert_allclose(b.fitted_values, a.fitted_values, rtol=1e-6)
    assert b.sigma == pytest.approx(a.sigma, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_units_of_a_predictor_in_a_diagonal_term(scale: float) -> None:
    d = data()
    a, b = fit("y ~ x + (x || g)", d), fit("y ~ x + (x || g)", d.assign(x=scale * d.x))
    np.testing.assert_allclose(b.fitted_values, a.fitted_values, rtol=1e-7)
    assert b.estimates.covariances[0][1, 1] * scale**2 == pytest.approx(a.estimates.covariances[0][1, 1], rel=1e-6)


# --- rows ----------------------------------------------------------------------------------------------------------
@METHODS
@pytest.mark.parametrize("name", ["one factor", "slopes", "nested", "crossed"])
def test_frequency_weights_are_repeated_rows(name: str, method: str) -> None:
    d = data()
    weighted = fit(FORMULAS[name].replace("y ~", "y | weights(w) ~"), d, estimator=method)
    repeated = fit(FORMULAS[name], d.loc[d.index.repeat(d.w)].reset_index(drop=True), estimator=method)
    assert_same(weighted, repeated)


@METHODS
def test_a_weight_of_zero_is_no_row(method: str) -> None:
    d = data()
    out = np.arange(len(d)) % 7 == 0
    for formula, column in (("y ~ x + (x | g)", "v"), ("y | weights(w) ~ x + (x | g)", None)):
        d0 = d.assign(v=np.where(out, 0.0, d.v), w=np.where(out, 0, d.w))
        settings = {"weights": column} if column else {}
        a = fit(formula, d0, estimator=method, **settings)
        b = fit(formula, d[~out], estimator=method, **settings)
        assert_same(a, b)


def test_precision_weights_are_scaled_rows() -> None:
    """Var ε = σ²/w is least squares of √w y on √w X, √w Z; all weights times 4 doubles σ and changes nothing else."""
    d = data()
    a, b = fit("y ~ x + (x | g)", d, weights="v"), fit("y ~ x + (x | g)", d.assign(v=4.0 * d.v), weights="v")
    np.testing.assert_allclose(beta(a), beta(b), rtol=1e-9)
    assert b.sigma == pytest.approx(2.0 * a.sigma, rel=1e-8)
    assert a.log_likelihood == pytest.approx(b.log_likelihood, rel=1e-11)


def test_an_offset_is_part_of_the_response() -> None:
    d = data()
    a = fit("y ~ x + offset(v) + (1 | g)", d)
    b = fit("y ~ x + (1 | g)", d.assign(y=d.y - d.v))
    assert_same(a, b)
    np.testing.assert_allclose(a.fitted_values, b.fitted_values + d.v, rtol=1e-9)


def test_rows_missing_are_rows_dropped() -> None:
    d = data()
    holes = d.copy()
    holes.loc[3, "y"] = np.nan
    holes.loc[[5, 9], "x"] = np.nan
    holes.loc[20, "g"] = None
    a, b = fit("y ~ x + (x | g)", holes), fit("y ~ x + (x | g)", d.drop(index=[3, 5, 9, 20]))
    assert a.log_likelihood == b.log_likelihood
    np.testing.assert_array_equal(beta(a), beta(b))


# --- prediction ----------------------------------------------------------------------------------------------------
@ALL
def test_predicting_the_training_rows_gives_the_fitted_values(name: str) -> None:
    d = data()
    found = fit(FORMULAS[name], d)
    every = np.asarray(found.predict(d, interval=None)["estimate"])
    np.testing.assert_array_equal(every, found.fitted_values)
    rng = np.random.default_rng(3)
    for size in (1, 2, 17, 100):
        rows = rng.choice(len(d), size, replace=False)
        some = found.predict(d.iloc[rows], interval=None)["estimate"]
        np.testing.assert_array_equal(np.asarray(some), every[rows])
    whole = found.predict(d)
    part = found.predict(d.iloc[rows])
    for column in ("estimate", "std_error", "lower", "upper"):
        np.testing.assert_allclose(np.asarray(part[column]), np.asarray(whole[column])[rows], rtol=1e-10)


@pytest.mark.parametrize("dtype", ["float32", "int64", "object"])
def test_the_type_of_new_values_does_not_matter(dtype: str) -> None:
    d = data().assign(x=lambda d: np.round(d.x))
    found = fit("y ~ x + (x | g)", d)
    new = d.assign(x=d.x.astype(dtype), g=d.g.astype("category"))
    np.testing.assert_array_equal(found.predict(new, interval=None)["estimate"], found.fitted_values)


def test_one_way_predictions_lie_between_group_mean_and_grand_mean() -> None:
    for seed in range(5):
        d = data(seed)
        found = fit("y ~ 1 + (1 | g)", d)
        mean = d.groupby("g").y.mean()
        effects = pd.Series(found.estimates.effects[0][:, 0], index=found.model.design.groups[0].levels)
        grand = found.coefficients["Intercept"]
        share = effects / (mean - grand)
        assert ((share > 0.0) & (share < 1.0)).all()
        sizes = d.groupby("g").size()
        assert (share.reindex(sizes.sort_values(kind="stable").index).diff().dropna() > -1e-9).all()


# --- neighbours ------------------------------------------------------------------------------------------------------
def test_nested_models_are_ordered_by_their_likelihood() -> None:
    chain = [
        "y ~ 1 + (1 | g)",
        "y ~ x + (1 | g)",
        "y ~ x + (x || g)",
        "y ~ x + (x | g)",
        "y ~ x + (x | g) + (1 | c)",
        "y ~ x + f + (x | g) + (1 | c)",
        "y ~ x * f + (x | g) + (x | c)",
    ]
    for seed in range(4):
        values = [fit(formula, data(seed), estimator="ml").log_likelihood for formula in chain]
        assert (np.diff(values) > -1e-8).all()


def test_reml_and_ml_share_the_balanced_group_mean() -> None:
    rng = np.random.default_rng(4)
    d = pd.DataFrame(
        {"g": np.repeat(np.arange(12), 5), "y": rng.standard_normal(12).repeat(5) + rng.standard_normal(60)}
    )
    a, b = fit("y ~ 1 + (1 | g)", d), fit("y ~ 1 + (1 | g)", d, estimator="ml")
    assert beta(a)[0] == pytest.approx(d.y.mean(), rel=1e-12)
    assert beta(b)[0] == pytest.approx(d.y.mean(), rel=1e-12)
    msb = 5 * d.groupby("g").y.mean().var()
    msw = (d.y - d.groupby("g").y.transform("mean")).pow(2).sum() / 48
    assert a.sigma**2 == pytest.approx(msw, rel=1e-9)
    assert a.estimates.covariances[0][0, 0] == pytest.approx((msb - msw) / 5, rel=1e-9)


def test_no_group_variance_is_least_squares() -> None:
    """τ → 0: a group without variance leaves the regression as it is."""
    d = data()
    x = np.column_stack([np.ones(len(d)), d.x])
    residual = d.y - x @ np.linalg.lstsq(x, d.y, rcond=None)[0]
    for _ in range(500):  # residuals orthogonal to the groups and to x
        residual = residual - residual.groupby(d.g).transform("mean")
        residual = residual - x @ np.linalg.lstsq(x, residual, rcond=None)[0]
    d = d.assign(y=1.0 + 0.5 * d.x + residual)
    found, ols = fit("y ~ x + (1 | g)", d), fit("y ~ x", d, estimator="complete")
    assert found.estimates.covariances[0][0, 0] == 0.0
    np.testing.assert_allclose(beta(found), beta(ols), rtol=1e-12)
    np.testing.assert_allclose(found.std_errors, ols.std_errors, rtol=1e-9)
    assert found.sigma == pytest.approx(ols.sigma, rel=1e-12)


def test_a_huge_group_variance_is_the_within_estimator() -> None:
    """τ → ∞: the slope is that of the regression with a dummy for every group."""
    d = data()
    d = d.assign(y=d.y + 30.0 * pd.factorize(d.g)[0] ** 2)
    slope = fit("y ~ x + (1 | g)", d).coefficients["x"]
    within = fit("y ~ x + g", d, estimator="complete").coefficients["x"]
    assert slope == pytest.approx(within, abs=1e-4)


# --- the kind of table -----------------------------------------------------------------------------------------
def tables(d: pd.DataFrame, folder: Path) -> dict[str, Any]:
    out: dict[str, Any] = {"dict": {c: d[c].to_numpy() for c in d}}
    d.to_csv(folder / "d.csv", index=False)
    d.to_csv(folder / "d.tsv", index=False, sep="\t")
    out["csv"], out["tsv"] = folder / "d.csv", str(folder / "d.tsv")
    pa = pytest.importorskip("pyarrow")
    import pyarrow.feather
    import pyarrow.parquet

    table = pa.Table.from_pandas(d, preserve_index=False)
    out["arrow"] = table
    out["arrow chunks"] = pa.concat_tables([table.slice(0, 50), table.slice(50, 1), table.slice(51)])
    pyarrow.parquet.write_table(table, folder / "d.parquet")
    pyarrow.feather.write_feather(table, str(folder / "d.feather"))
    out["parquet"], out["feather"] = folder / "d.parquet", folder / "d.feather"
    polars = pytest.importorskip("polars")
    out["polars"] = polars.DataFrame({c: d[c].to_list() for c in d})
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(folder / "d.duckdb")) as connection:
        connection.register("frame", d)
        connection.execute("CREATE TABLE t AS SELECT * FROM frame")
    out["duckdb"] = f"duckdb:{folder / 'd.duckdb'}#t"
    return out


def test_every_kind_of_table_gives_the_same_fit(tmp_path: Path) -> None:
    d = data()
    formula = "y ~ x * f + (x | g) + (1 | c)"
    expected = fit(formula, d)
    for kind, table in tables(d, tmp_path).items():
        found = fit(formula, table)
        assert found.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-12), kind
        np.testing.assert_allclose(beta(found), beta(expected), rtol=1e-12, err_msg=kind)
        np.testing.assert_allclose(found.std_errors, expected.std_errors, rtol=1e-10, err_msg=kind)
        assert list(found.coefficients) == list(expected.coefficients)
        assert found.model.groups == expected.model.groups
        for a, b in zip(found.model.design.groups, expected.model.design.groups, strict=True):
            assert tuple(map(str, a.levels)) == tuple(map(str, b.levels))


def test_a_fit_can_be_repeated_bit_for_bit() -> None:
    d = data()
    a, b = fit("y ~ x + (x | g) + (1 | c)", d), fit("y ~ x + (x | g) + (1 | c)", d)
    np.testing.assert_array_equal(beta(a), beta(b))
    assert a.log_likelihood == b.log_likelihood
    for u, v in zip(a.estimates.covariances, b.estimates.covariances, strict=True):
        np.testing.assert_array_equal(u, v)


@ALL
def test_a_formula_printed_and_read_again_is_the_same_model(name: str) -> None:
    d = data()
    found = fit(FORMULAS[name], d)
    again = fit(str(found.model.formula), d)
    assert again.model.formula == found.model.formula
    assert again.log_likelihood == found.log_likelihood
