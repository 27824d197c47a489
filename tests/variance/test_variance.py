"""Shares, R², effective parameters, design effects and what pooling moved."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.variance import effective, words
from multilevel.variance.intervals import share_interval, sum_interval
from multilevel.variance.r2 import r2_table

CLASSES = "score ~ ses + funding + (ses | school) + (1 | classroom)"


@pytest.fixture(scope="module")
def classes() -> ml.Fit:
    return ml.fit(CLASSES, ml.datasets.load("classes"))


@pytest.fixture(scope="module")
def schools() -> ml.Fit:
    return ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))


def zero() -> ml.Fit:
    noise, g = np.random.default_rng(0).normal(size=60), np.repeat(np.arange(10), 6)
    noise -= (np.bincount(g, noise) / 6)[g]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        return ml.fit("y ~ 1 + (1 | g)", {"y": noise, "g": g})


def test_shares_add_up_and_agree_with_icc(classes: ml.Fit) -> None:
    table = classes.variance_shares()
    assert table["share"].sum() == pytest.approx(1.0)
    assert dict(zip(table["component"], table["share"], strict=True)) == pytest.approx(
        {**classes.icc(), "Residual": 1.0 - sum(classes.icc().values())}
    )
    assert ((table["lower"] < table["share"]) & (table["share"] < table["upper"])).all()
    both = classes.icc_table().set_index(["group", "kind"])["estimate"]
    assert both["classroom", "correlation"] == pytest.approx(sum(classes.icc().values()))
    assert both["school", "correlation"] == pytest.approx(classes.icc()["school"])


def exact_interval(y: np.ndarray, g: np.ndarray) -> tuple[float, float]:
    """Balanced one-way ICC from the F distribution (Searle 1971, section 9.8)."""
    j, n = g.max() + 1, len(g) // (g.max() + 1)
    means = np.bincount(g, y) / n
    f = n * means.var(ddof=1) / (((y - means[g]) ** 2).sum() / (j * (n - 1)))
    upper, lower = (f / stats.f.ppf(q, j - 1, j * (n - 1)) for q in (0.025, 0.975))
    return tuple(max((v - 1) / (v - 1 + n), 0.0) for v in (lower, upper))  # type: ignore[return-value]


def test_icc_interval_is_near_the_exact_one_and_covers() -> None:
    inside = 0
    rng, g = np.random.default_rng(4), np.repeat(np.arange(12), 8)
    for _ in range(120):
        y = 0.5 * rng.normal(size=12)[g] + rng.normal(size=96)  # ICC 0.2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
            table = ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}).icc_table()
        low, high = float(table["lower"][0]), float(table["upper"][0])
        inside += low <= 0.2 <= high
        exact = exact_interval(y, g)
        np.testing.assert_allclose([low, high], exact, atol=0.07)
    assert 0.90 <= inside / 120 <= 1.0


def test_zero_variance_has_an_interval_from_zero() -> None:
    table = zero().variance_shares()
    assert table["share"][0] == 0.0
    assert table["lower"][0] == 0.0
    assert 0.0 < table["upper"][0] < 0.5


def test_interval_arithmetic() -> None:
    low, high = share_interval(1.0, (0.5, 2.0), 4.0, (4.0, 4.0))  # B known: the ends of A carry over
    assert (low, high) == pytest.approx((0.5 / 4.5, 2.0 / 6.0))
    assert share_interval(0.0, (0.0, 1.0), 4.0, (3.0, 5.0)) == pytest.approx((0.0, 0.25))
    assert share_interval(2.0, (1.0, 3.0), 0.0, (0.0, 1.0)) == pytest.approx((0.5, 1.0))
    total, ends = sum_interval([(3.0, (0.0, 6.0)), (4.0, (0.0, 8.0))])
    assert (total, ends) == (7.0, (2.0, 12.0))


def test_icc_along_a_slope(classes: ml.Fit) -> None:
    table = classes.icc_along("ses", [-2.0, 0.0, 2.0])
    covariance, sigma2 = classes.estimates.covariances[0], classes.sigma**2
    of_class = classes.estimates.covariances[1][0, 0]
    for x, value in zip((-2.0, 0.0, 2.0), table["icc"], strict=True):
        own = covariance[0, 0] + 2 * x * covariance[1, 0] + x * x * covariance[1, 1]
        assert value == pytest.approx(own / (own + of_class + sigma2))
    assert (table["lower"] < table["icc"]).all()
    assert (table["icc"] < table["upper"]).all()
    with pytest.raises(ml.errors.SettingError, match="did you mean"):
        classes.icc_along("sess")
    with pytest.raises(ml.errors.SettingError, match="no slope"):
        zero().icc_along()


def test_r2_by_hand_and_its_interval(classes: ml.Fit) -> None:
    d = ml.datasets.load("classes")
    fixed = classes.coefficients["ses"] * d["ses"] + classes.coefficients["funding"] * d["funding"]
    groups, residual = sum(classes.variance_shares()["variance"][:2]), classes.sigma**2
    total = fixed.var() + groups + residual
    assert classes.r2() == pytest.approx({"marginal": fixed.var() / total, "conditional": 1 - residual / total})
    table = r2_table(classes)
    assert (table["lower"] < table["estimate"]).all()
    assert (table["estimate"] < table["upper"]).all()
    by_level = classes.r2(by="level")
    null = ml.fit("score ~ 1 + (1 | school) + (1 | classroom)", d)
    assert by_level["Residual"] == pytest.approx(1 - residual / null.sigma**2)
    assert by_level["school"] == pytest.approx(1 - groups_of(classes) / null.variance_shares()["variance"][0])
    with pytest.raises(ml.errors.SettingError, match="by="):
        classes.r2(by="school")


def groups_of(fit: ml.Fit) -> float:
    return float(fit.variance_shares()["variance"][0])


def test_r2_of_ordinary_regression_is_the_textbook_one() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=500)
    fit = ml.fit("y ~ x", {"y": 2 * x + rng.normal(size=500), "x": x})
    expected = 1 - fit.sigma**2 / np.var(fit.model.design.response, ddof=1)
    assert fit.r2()["marginal"] == pytest.approx(expected, abs=2e-3)
    assert fit.r2()["marginal"] == fit.r2()["conditional"]


@pytest.mark.parametrize("formula", [CLASSES, "score ~ ses + (ses || school)", "score ~ ses"])
def test_effective_parameters_are_the_trace_of_the_hat_matrix(formula: str) -> None:
    table = ml.datasets.load("classes").iloc[::6].reset_index(drop=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        fit = ml.fit(formula, table)
    d = fit.model.design
    v = np.eye(d.n) * fit.sigma**2
    for g, covariance in zip(d.groups, fit.estimates.covariances, strict=True):
        z = np.column_stack([np.ones(d.n) if c is None else c for c in g.columns])
        v += (z @ covariance @ z.T) * (g.codes[:, None] == g.codes[None, :])
    x = np.column_stack([np.ones(d.n) if c is None else c for c in d.fixed_columns])
    inverse = np.linalg.inv(v)
    p = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    assert fit.effective_parameters == pytest.approx(d.n - fit.sigma**2 * np.trace(p), rel=1e-8)


def test_pooling_factor_and_borrowed_precision_of_balanced_means(schools: ml.Fit) -> None:
    weight = float(schools.shrinkage()["lambda"][0])
    assert effective.pooling_factor(schools)["school", "Intercept"] == pytest.approx(1 - weight, abs=0.02)
    table = schools.moved()
    means = ml.datasets.load("schools").groupby("school")["score"].mean()
    own = means.loc[table["level"]].to_numpy() - schools.coefficients["Intercept"]
    np.testing.assert_allclose(table["own"], own, rtol=1e-9)
    np.testing.assert_allclose(table["own_se"], schools.sigma / np.sqrt(50))
    np.testing.assert_allclose(table["moved"], -(1 - weight) * own, rtol=1e-8)
    np.testing.assert_allclose(table["borrowed"], 1 - weight, rtol=1e-8)
    assert np.all(np.diff(np.abs(table["moved"])) <= 1e-9)


def test_moved_in_nested_models(classes: ml.Fit) -> None:
    table = classes.moved("classroom")
    assert len(table) == 59
    assert (np.abs(table["estimate"]) < np.abs(table["own"])).all()
    with pytest.raises(ml.errors.SettingError, match="did you mean"):
        classes.moved("clasroom")
    with pytest.raises(ml.errors.SettingError, match="none"):
        ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="none").moved()


def test_design_effect(schools: ml.Fit, classes: ml.Fit) -> None:
    row = schools.design_effect().iloc[0]
    assert row["design_effect"] == pytest.approx(1 + 49 * schools.icc()["school"])
    assert row["effective_n"] == pytest.approx(1500 / row["design_effect"])
    sizes = ml.datasets.load("classes")["school"].value_counts()
    assert classes.design_effect()["n_mean"][0] == pytest.approx((sizes**2).sum() / sizes.sum())


def test_words(classes: ml.Fit, schools: ml.Fit) -> None:
    assert [words.strength(v) for v in (0.04, 0.1, 0.3)] == ["weak", "moderate", "strong"]
    sentence = words.icc_sentences(schools)[0]
    assert sentence.startswith("17% of the variance sits between levels of school (interval 11% to 28%)")
    assert "correlate 0.27" in words.icc_sentences(classes)[1]
    assert "22%" in words.r2_sentence(classes)
    assert "48.8 effective parameters of 90" in words.effective_sentence(classes)


def test_loaded_fits_and_other_estimators(classes: ml.Fit, tmp_path) -> None:  # type: ignore[no-untyped-def]
    classes.save(tmp_path / "c.fit")
    again = ml.load(tmp_path / "c.fit")
    np.testing.assert_allclose(again.variance_shares()["upper"], classes.variance_shares()["upper"], rtol=1e-5)
    moments = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="moments")
    assert moments.variance_shares()["share"].sum() == pytest.approx(1.0)
    assert np.isnan(r2_table(moments)["lower"]).all()
