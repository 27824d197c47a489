"""Complete pooling: digits on NIST's linear regressions, R's likelihood, exact t intervals.

`nist_lls.json` holds NIST's linear least-squares sets with the answers of exact rational arithmetic on their decimals.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from multilevel.fit.estimates import Combination
from multilevel.model.model import Model

NIST = json.loads((Path(__file__).parent / "nist_lls.json").read_text())
DIGITS = {
    "norris": 11, "pontius": 11, "noint1": 11, "noint2": 11, "longley": 10, "filip": 7,
    "wampler1": 9, "wampler2": 9, "wampler3": 9, "wampler4": 7, "wampler5": 5.5,
}  # fmt: skip


def nist_model(name: str) -> Model:
    case = NIST[name]
    x = np.array(case["x"])
    if len(x) == 1:
        x = np.array([x[0] ** power for power in range(1, case["degree"] + 1)])
    columns = {f"x{j}": column for j, column in enumerate(x)}
    right = " + ".join(["1" if case["intercept"] else "0", *columns])
    return Model(f"y ~ {right}", {"y": np.array(case["y"]), **columns})


def lre(values, exact) -> float:
    """Fewest right digits."""
    values, exact = np.atleast_1d(values), np.atleast_1d(exact)
    error = np.abs(values - exact) / np.where(exact == 0.0, 1.0, np.abs(exact))
    return float(-np.log10(np.maximum(error.max(), 1e-16)))


@pytest.mark.parametrize("name", NIST)
def test_nist_digits(name):
    fit = nist_model(name).fit()
    case = NIST[name]
    assert fit.estimator.name == "complete"
    assert lre(fit.estimates.beta, case["beta"]) >= DIGITS[name]
    assert lre(fit.std_errors, case["se"]) >= DIGITS[name]
    assert lre(fit.sigma, case["resid_sd"]) >= DIGITS[name]


@pytest.mark.parametrize("name", ["wampler1", "wampler2"])
def test_a_perfect_fit_is_a_result(name):
    fit = nist_model(name).fit()
    assert fit.sigma == 0.0
    assert fit.objective == 0.0
    assert fit.log_likelihood == np.inf
    assert np.all(fit.std_errors == 0.0)
    np.testing.assert_array_equal(fit.predict()["lower"], fit.predict()["upper"])
    fit.to_json()


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    g = rng.integers(0, 6, 60)
    x = rng.normal(3.0, 1.0, 60)
    y = 2.0 + 0.7 * x + rng.normal(0, 0.5, 6)[g] + rng.normal(0, 1, 60)
    return {
        "y": y, "x": x, "g": np.array(list("abcdef"))[g], "w": rng.uniform(0.5, 2.0, 60),
        "k": rng.integers(1, 4, 60), "s": rng.uniform(0.5, 2.0, 60), "o": rng.normal(size=60),
    }  # fmt: skip


def ols(y, x, w):
    inverse = np.linalg.inv(x.T @ (w[:, None] * x))
    beta = inverse @ (x.T @ (w * y))
    return beta, inverse, float(w @ (y - x @ beta) ** 2)


@pytest.mark.parametrize("kind", ["plain", "weights", "frequency", "known", "offset"])
def test_least_squares_and_its_likelihood(data, kind):
    formulas = {"frequency": "y | weights(k) ~ x", "known": "y | se(s) ~ x", "offset": "y ~ x + offset(o)"}
    model = Model(formulas.get(kind, "y ~ x"), data, weights="w" if kind == "weights" else None)
    fit = model.fit("complete")
    w = {"weights": data["w"], "frequency": data["k"], "known": data["s"] ** -2.0}.get(kind, np.ones(60)).astype(float)
    y = data["y"] - (data["o"] if kind == "offset" else 0.0)
    n = w.sum() if kind == "frequency" else 60.0
    beta, inverse, rss = ols(y, np.column_stack([np.ones(60), data["x"]]), w)
    sigma2 = 1.0 if kind == "known" else rss / (n - 2)
    np.testing.assert_allclose(fit.estimates.beta, beta, rtol=1e-12)
    np.testing.assert_allclose(fit.vcov, sigma2 * inverse, rtol=1e-11)
    if kind == "known":
        assert fit.sigma is None
        expected = stats.norm.logpdf(y, beta[0] + beta[1] * data["x"], data["s"]).sum()
    else:
        np.testing.assert_allclose(fit.sigma, np.sqrt(sigma2), rtol=1e-12)
        precision = np.ones(60) if kind == "frequency" else w
        density = stats.norm.logpdf(y, beta[0] + beta[1] * data["x"], np.sqrt(rss / n / precision))
        expected = (w if kind == "frequency" else 1.0) * density
    np.testing.assert_allclose(fit.log_likelihood, np.sum(expected), rtol=1e-12)
    assert fit.n_parameters == (2 if kind == "known" else 3)


def test_group_terms_are_dropped(data):
    pooled, plain = Model("y ~ x + (x | g)", data).fit("complete"), Model("y ~ x", data).fit()
    np.testing.assert_allclose(pooled.estimates.beta, plain.estimates.beta, rtol=1e-12)
    np.testing.assert_allclose(pooled.log_likelihood, plain.log_likelihood, rtol=1e-13)
    assert np.all(pooled.estimates.effects[0] == 0.0)
    assert pooled.estimates.effects[0].shape == (6, 2)
    assert np.all(pooled.estimates.covariances[0] == 0.0)
    for column in ("estimate", "std_error", "lower", "upper"):
        np.testing.assert_allclose(pooled.predict()[column], plain.predict()[column], rtol=1e-10)
    new = pooled.predict({"x": [1.0], "g": ["other"]}, target="new_group")
    np.testing.assert_allclose(new["std_error"], plain.predict({"x": [1.0]})["std_error"], rtol=1e-10)


def test_intervals_are_exact(data):
    fit = Model("y ~ x", data).fit()
    table = fit.fixed_effects
    half = stats.t.ppf(0.975, 58) * fit.std_errors
    np.testing.assert_allclose(table["upper"], fit.estimates.beta + half, rtol=1e-12)
    low, high = fit.sd_intervals(0.9)[1]
    np.testing.assert_allclose([low, high], fit.sigma * np.sqrt(58 / stats.chi2.ppf([0.95, 0.05], 58)), rtol=1e-10)


def test_dropped_columns_are_nan(data):
    with pytest.warns(UserWarning, match="dropped"):
        fit = Model("y ~ x + I(2 * x)", data).fit()
    assert np.isnan(fit.estimates.beta).tolist() == [False, False, True]
    assert np.isnan(fit.vcov[2]).all()
    np.testing.assert_allclose(fit.estimates.beta[:2], Model("y ~ x", data).fit().estimates.beta, rtol=1e-12)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_invariances(data, scale):
    fit = Model("y ~ x", data).fit()
    order = np.random.default_rng(1).permutation(60)
    moved = {"y": (scale * data["y"] + 3.0 * scale)[order], "x": (scale * data["x"])[order]}
    again = Model("y ~ x", moved).fit()
    np.testing.assert_allclose(again.estimates.beta[1], fit.estimates.beta[1], rtol=1e-11)
    np.testing.assert_allclose(again.estimates.beta[0], scale * (fit.estimates.beta[0] + 3.0), rtol=1e-10)
    np.testing.assert_allclose(again.sigma, scale * fit.sigma, rtol=1e-11)


def test_draws_and_what_has_no_meaning(data):
    certainty = Model("y ~ x + (x | g)", data).fit("complete").estimates.certainty
    drawn = certainty.draw(4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn["beta"].std(axis=0), np.sqrt(np.diag(certainty.beta_covariance())), rtol=0.1)
    assert [len(term) for term in certainty.sd_intervals(0.95)[0]] == [2]
    assert np.isnan(certainty.sd_intervals(0.95)[0][0]).all()
    assert np.isnan(certainty.correlation_intervals(0.95)).all()
    assert np.isnan(certainty.sd_errors()[0][0]).all()
    rows = Combination(np.ones((2, 2)), (np.array([-2, 0]),), (np.ones((2, 2)),))
    spread = certainty.spread(rows)
    assert spread.variance[0] == spread.variance[1]
    assert np.all(spread.df == certainty.residual_df())
