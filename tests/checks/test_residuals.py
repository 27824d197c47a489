"""Residual checks against closed forms and dense matrices; each fires where it should."""

from __future__ import annotations

import numpy as np
import pytest
from deserving import EXPECTED, FORMULA, dense, healthy, unhealthy

import multilevel as ml
from multilevel.checks.adjusted import Adjusted, Sums
from multilevel.checks.case import Case
from multilevel.checks.check import check
from multilevel.checks.residuals import quantile_residuals
from multilevel.checks.score_tests import column_df, column_scores, term_score
from multilevel.errors import SettingError
from multilevel.predictions.targets import matrix

CASES = [
    ("score ~ ses + funding + (ses | school) + (1 | classroom)", "classes", {}),
    ("rating ~ familiarity + (1 | rater) + (familiarity || item)", "ratings", {}),
    ("score ~ ses", "classes", {}),
    ("score ~ ses + (1 | school)", "classes", {"estimator": "moments"}),
    ("y | se(sigma) ~ 1 + (1 | school)", "eight_schools", {}),
]


@pytest.mark.parametrize(("formula", "name", "settings"), CASES)
@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
def test_products_equal_those_of_the_dense_matrix(formula, name, settings):
    fit = ml.fit(formula, ml.datasets.load(name), **settings)
    adjusted = Adjusted(fit)
    _, projection = dense(fit)
    columns = np.random.default_rng(1).normal(size=(adjusted.n, 3))
    y = fit.model.design.response
    assert adjusted.exact
    np.testing.assert_allclose(adjusted.apply(columns), projection @ columns, atol=1e-10)
    np.testing.assert_allclose(adjusted.residual, projection @ y, atol=1e-9 * np.abs(y).max())


def test_residuals_are_those_of_the_fit_and_the_replicates_have_their_covariance():
    fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    adjusted = Adjusted(fit)
    np.testing.assert_allclose(adjusted.residual, fit.residuals(), atol=1e-8)
    _, projection = dense(fit)
    found = np.mean(adjusted.null**2, axis=1)
    assert np.mean(found) == pytest.approx(fit.sigma**2 * np.trace(projection) / adjusted.n, rel=0.02)
    assert adjusted.spare == pytest.approx(np.trace(projection) / adjusted.n, rel=0.02)


def test_studentized_residuals_divide_by_their_own_sd():
    fit = ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes"))
    _, projection = dense(fit)
    expected = fit.residuals() / fit.sigma / np.sqrt(np.diag(projection))
    np.testing.assert_allclose(Case(fit).studentized, expected, atol=1e-7)


def test_leverages_of_crossed_rows_are_exact_for_the_large_residuals(monkeypatch):
    data = ml.datasets.load("ratings")
    data.loc[5, "rating"] += 9.0
    fit = ml.fit("rating ~ familiarity + (1 | rater) + (1 | item)", data)
    _, projection = dense(fit)
    case = Case(fit)
    monkeypatch.setattr("multilevel.checks.case.WORK", 0.0)
    expected = fit.residuals() / fit.sigma / np.sqrt(np.diag(projection))
    assert case.studentized[5] == pytest.approx(expected[5], rel=1e-8)
    np.testing.assert_allclose(case.studentized, expected, rtol=0.1)


def test_sums_by_level_in_any_order_with_missing_ones():
    rng = np.random.default_rng(2)
    codes = rng.integers(-1, 5, 40).astype(np.int32)
    codes[codes == 3] = 0  # a level without rows
    rows = rng.normal(size=(40, 2))
    expected = np.array([rows[codes == level].sum(axis=0) for level in range(5)])
    np.testing.assert_allclose(Sums(codes, 5)(rows), expected, atol=1e-12)


def test_column_score_is_the_wald_test_of_the_refitted_gls():
    data = healthy(4)
    fit = ml.fit(FORMULA, data)
    v, _ = dense(fit)
    extra = data["noise_group"].to_numpy()
    x = np.column_stack([matrix(fit.model.design.fixed_columns, len(data)), extra])
    inverse = np.linalg.inv(v)
    covariance = np.linalg.inv(x.T @ inverse @ x) * fit.sigma**2
    beta = covariance @ x.T @ inverse @ data["y"].to_numpy() / fit.sigma**2
    (score,) = column_scores(Case(fit), extra[:, None])
    assert score.estimate == pytest.approx(beta[-1], rel=1e-8)
    statistic = beta[-1] ** 2 / covariance[-1, -1]
    assert score.df == 30 - 2 - 1  # levels − intercept − the column − w, which is constant within groups too
    assert score.share == pytest.approx(statistic / 28, rel=1e-8)
    f = 27 * score.share / (1 - score.share)
    assert (score.estimate / score.std_error) ** 2 == pytest.approx(f, rel=1e-8)
    assert column_df(Case(fit), data["x"].to_numpy()) == len(data) - 3 - 1


def test_column_score_of_a_group_level_column_is_the_regression_of_group_means():
    """Exactly, in a balanced design without other columns."""
    data = healthy(7, levels=20, rows=6)
    (score,) = column_scores(Case(ml.fit("y ~ 1 + (1 | g)", data)), data[["w"]].to_numpy())
    means = data.groupby("g")[["y", "w"]].mean()
    regression = ml.fit("y ~ w", means)
    assert score.estimate == pytest.approx(regression.coefficients["w"], rel=1e-8)
    assert score.std_error == pytest.approx(regression.std_errors[1], rel=1e-6)
    assert score.p_value == pytest.approx(regression.fixed_effects["p_value"][1], rel=1e-5)


def test_spanned_columns_have_no_score():
    fit = ml.fit(FORMULA, healthy(4))
    x, w = (healthy(4)[name].to_numpy() for name in ("x", "w"))
    assert column_scores(Case(fit), (2.0 * x - 3.0 * w)[:, None]) == [None]


def test_term_score_has_the_moments_of_the_quadratic_form_and_estimates_the_variance():
    data = unhealthy("crossed left out")
    fit = ml.fit(FORMULA, data)
    case = Case(fit)
    sums = Sums(data["rater"].to_numpy().astype(np.int32), 12)
    score = term_score(case, sums)
    _, projection = dense(fit)
    z = np.eye(12)[data["rater"]]
    inner = z.T @ projection @ z
    null = np.sum(sums(case.adjusted.null) ** 2, axis=0)
    assert null.mean() == pytest.approx(fit.sigma**2 * np.trace(inner), rel=0.1)
    assert null.var() == pytest.approx(2.0 * fit.sigma**4 * np.sum(inner**2), rel=0.5)
    assert score.p_value < 1e-8
    assert score.variance**0.5 == pytest.approx(0.54, rel=0.3)  # the refit's estimate


def test_quantile_residuals_in_closed_form():
    data = ml.datasets.load("schools")
    fit = ml.fit("score ~ 1 + (1 | school)", data)
    sd = np.sqrt(fit.estimates.covariances[0][0, 0] + fit.sigma**2)
    expected = (data["score"] - fit.coefficients["Intercept"]) / sd
    np.testing.assert_allclose(quantile_residuals(fit), expected, atol=1e-10)
    np.testing.assert_allclose(quantile_residuals(fit, "conditional"), fit.residuals("standardized"), atol=1e-10)
    with pytest.raises(SettingError, match='did you mean "marginal"'):
        quantile_residuals(fit, "marginl")


def test_marginal_quantile_residuals_with_slopes_have_the_dense_variance():
    fit = ml.fit("score ~ ses + (ses | school) + (1 | classroom)", ml.datasets.load("classes"))
    v, _ = dense(fit)
    x = matrix(fit.model.design.fixed_columns, fit.n_obs)
    expected = (fit.model.design.response - x @ fit.estimates.beta) / np.sqrt(np.diag(v)) / fit.sigma
    np.testing.assert_allclose(quantile_residuals(fit), expected, atol=1e-9)


@pytest.mark.parametrize("what", ["curve", "spread", "spread by group", "outlier"])
def test_it_fires_where_it_should(what):
    for seed in range(3):
        found = check(ml.fit(FORMULA, unhealthy(what, seed))).code(EXPECTED[what])
        assert any(f.alarming for f in found), (what, seed)


def test_outliers_are_named_by_their_row_in_the_data_given():
    data = unhealthy("outlier")
    data.loc[[3, 9], "x"] = np.nan  # rows before the outlier are dropped
    with pytest.warns(ml.errors.MissingDataWarning):
        fit = ml.fit(FORMULA, data)
    (finding,) = check(fit).code("N_OUTLIERS")
    assert finding.values["rows"] == [17]


def test_curvature_says_what_a_square_explains():
    data = unhealthy("curve")
    (finding,) = check(ml.fit(FORMULA, data)).code("N_CURVATURE")
    assert 0.1 < finding.values["share"] < 0.5
    assert "poly(x, 2)" in finding.remedy
    (again,) = check(ml.fit("y ~ poly(x, 2) + w + (1 | g)", data)).code("N_CURVATURE")
    assert again.severity == "ok"


def test_trifles_in_large_data_raise_no_alarm():
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(200), 100)
    x = rng.normal(size=len(g))
    y = x + rng.normal(size=200)[g] + rng.normal(size=len(g)) * np.exp(0.04 * x) + 0.03 * x**2
    y += 0.04 * rng.normal(size=200)[g] * x + rng.standard_t(40, size=len(g)) * 0.2
    checks = check(ml.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}))
    for code in ("N_CURVATURE", "N_SPREAD", "N_OMITTED_SLOPE", "N_RESIDUAL_SHAPE"):
        assert [f.severity for f in checks.code(code)] == ["ok"], code


@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
def test_perfect_and_ill_conditioned_fits_are_skipped_with_a_reason():
    rng = np.random.default_rng(1)
    t = np.tile(np.arange(12.0), 8)
    data = {"y": t + rng.normal(size=96), "t": t + 1e4, "g": np.repeat(list("abcdefgh"), 12)}
    checks = check(ml.fit("y ~ t + I(t^2) + I(t^3) + I(t^4) + (1 | g)", data))
    assert checks.code("N_OUTLIERS") == [] or checks.code("N_OUTLIERS")[0].severity == "ok"
    frequency = check(ml.fit("y | weights(k) ~ x + (1 | g)", healthy(1).assign(k=2)))
    assert any("frequency weights" in reason for reason in frequency.skipped)
    assert frequency.code("N_OUTLIERS") == []
