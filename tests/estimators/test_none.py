"""No pooling against explicit dummy-variable and separate regressions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.core.likelihood import Likelihood
from multilevel.errors import IdentifiabilityError
from multilevel.fit.estimates import Combination
from multilevel.model.model import Model

LEVELS = 8


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(3)
    n = 120
    g = rng.integers(0, LEVELS, n)
    x = rng.normal(size=n) + 0.5 * g
    v = rng.normal(size=n)
    y = 1 + 0.5 * x + 0.3 * v + rng.normal(size=LEVELS)[g] + rng.normal(size=n)
    return {
        "y": y, "x": x, "v": v, "g": np.array([f"g{i}" for i in g]), "code": g,
        "u": np.cos(g), "w": rng.uniform(0.5, 2, n), "k": rng.integers(1, 4, n), "h": g % 2,
    }  # fmt: skip


def regression(data, slopes, common, w):
    """β, Cov, σ² of the explicit regression: level intercepts, level slopes, then common columns."""
    d = np.eye(LEVELS)[data["code"]]
    x = np.column_stack([d, *(d * data[s][:, None] for s in slopes), *(data[c] for c in common)])
    root = np.sqrt(w)
    beta, rss, rank, _ = np.linalg.lstsq(x * root[:, None], data["y"] * root, rcond=None)
    sigma2 = rss[0] / (len(root) - rank)
    return x, beta, sigma2 * np.linalg.inv(x.T @ (w[:, None] * x)), sigma2


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("slopes", [(), ("x",)])
def test_equals_the_explicit_regression(data, slopes, weighted):
    w = data["w"] if weighted else np.ones(len(data["y"]))
    formula = "y ~ x + v + (1 | g)" if not slopes else "y ~ x + v + (x | g)"
    fit = Model(formula, data, weights="w" if weighted else None).fit("none")
    common = ("x", "v") if not slopes else ("v",)
    x, beta, cov, sigma2 = regression(data, slopes, common, w)
    q = LEVELS * (1 + len(slopes))
    take = np.zeros((3, len(beta)))  # fixed effects as functions of the explicit coefficients
    take[0, :LEVELS] = 1 / LEVELS
    if slopes:
        take[1, LEVELS:q] = 1 / LEVELS
        take[2, q] = 1.0
    else:
        take[1:, q:] = np.eye(2)
    np.testing.assert_allclose(fit.estimates.beta, take @ beta, rtol=1e-10)
    np.testing.assert_allclose(fit.vcov, take @ cov @ take.T, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose(fit.sigma**2, sigma2, rtol=1e-11)
    np.testing.assert_allclose(fit.fitted_values, x @ beta, rtol=1e-11)
    deviation = -np.repeat(take[:1], LEVELS, axis=0)
    deviation[:, :LEVELS] += np.eye(LEVELS)
    np.testing.assert_allclose(fit.estimates.effects[0][:, 0], deviation @ beta, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        fit.effect_covariances[0][:, 0, 0], np.einsum("lj,jk,lk->l", deviation, cov, deviation), rtol=1e-9
    )
    error = np.sqrt(np.einsum("nj,jk,nk->n", x, cov, x))
    table = fit.predict()
    np.testing.assert_allclose(table["std_error"], error, rtol=1e-9)
    df = len(w) - len(beta)
    np.testing.assert_allclose(table["upper"] - table["estimate"], stats.t.ppf(0.975, df) * error, rtol=1e-9)


def test_separate_regressions(data):
    fit = Model("y ~ x + (x | g)", data).fit("none")
    rss = 0.0
    for level in range(LEVELS):
        at = data["code"] == level
        line = np.polyfit(data["x"][at], data["y"][at], 1)
        own = fit.estimates.beta + fit.estimates.effects[0][level]
        np.testing.assert_allclose(own[::-1], line, rtol=1e-9)
        rss += np.sum((data["y"][at] - np.polyval(line, data["x"][at])) ** 2)
    np.testing.assert_allclose(fit.objective, rss, rtol=1e-11)
    np.testing.assert_allclose(fit.estimates.covariances[0], np.cov(fit.estimates.effects[0].T), rtol=1e-10)


def test_terms_over_the_same_factor(data):
    one, two = (Model(f, data).fit("none") for f in ("y ~ x + (x | g)", "y ~ x + (1 | g) + (0 + x | g)"))
    np.testing.assert_allclose(one.estimates.beta, two.estimates.beta, rtol=1e-10)
    np.testing.assert_allclose(one.estimates.effects[0][:, 1], two.estimates.effects[1][:, 0], rtol=1e-9)
    np.testing.assert_allclose(one.predict()["std_error"], two.predict()["std_error"], rtol=1e-9)


def test_is_the_limit_of_infinite_variances(data):
    model = Model("y ~ x + v + (x | g)", data)
    likelihood = Likelihood(model.products, model.scales, False)
    state = likelihood.evaluate(np.array([1e5, 0.0, 1e5]))
    products, unit = model.products, model.products.y_shift.scale
    beta = products.beta_origin + unit * products.to_beta @ state.solution.beta
    u = likelihood.elimination.by_factor(state.solution.u)[0] @ (products.to_effects[0] @ state.lam[0]).T * unit
    fit = model.fit("none")
    np.testing.assert_allclose(u + beta[:2], fit.estimates.effects[0] + fit.estimates.beta[:2], rtol=1e-6)
    np.testing.assert_allclose(beta[2], fit.estimates.beta[2], rtol=1e-6)


def test_group_level_predictors_are_absorbed(data):
    with pytest.warns(ml.errors.RankDeficiencyWarning, match="u"):
        fit = Model("y ~ x + u + (1 | g)", data).fit("none")
    assert np.isnan(fit.coefficients["u"])
    assert "W_ABSORBED" in [w.code for w in fit.warnings]
    np.testing.assert_allclose(fit.fitted_values, Model("y ~ x + (1 | g)", data).fit("none").fitted_values, rtol=1e-11)


def test_new_groups_are_unknown(data):
    fit = Model("y ~ x + (1 | g)", data).fit("none")
    table = fit.predict({"x": [0.0], "g": ["other"]}, target="new_group")
    assert np.isinf(table["std_error"][0])


@pytest.fixture(scope="module")
def sparse():
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(6), [1, 4, 5, 6, 7, 8])
    x = rng.normal(size=len(g))
    x[g == 1] = 2.0
    return {"y": rng.normal(size=len(g)) + x, "x": x, "g": np.array(list("abcdef"))[g]}


def test_levels_that_cannot_be_fitted(sparse):
    with pytest.warns(ml.errors.IdentifiabilityWarning, match="2 of 6"):
        fit = Model("y ~ x + (x | g)", sparse).fit("none")
    effects = fit.estimates.effects[0]
    assert np.isnan(effects).any(axis=1).tolist() == [True, True, False, False, False, False]
    unfit = fit.estimates.notes["unfit"]
    assert unfit["a"] == "1 row for 2 coefficients"
    assert "1 of 2" in unfit["b"]
    warning = next(w for w in fit.warnings if w.code == "W_UNFIT_GROUPS")
    assert "2 of 6" in str(warning)
    table = fit.predict()
    lost = np.isin(sparse["g"], ["a", "b"])
    assert np.array_equal(np.isnan(table["estimate"]), lost)
    assert np.array_equal(np.isnan(table["std_error"]), lost)
    assert not np.isnan(fit.estimates.beta).any()
    assert not np.isnan(fit.estimates.covariances[0]).any()
    # the residual variance is that of the regression with all estimable level coefficients: 31 − (1 + 1 + 4 · 2)
    assert fit.estimates.certainty.residual_df() == 31 - 10


def test_refusals(data):
    with pytest.raises(IdentifiabilityError) as error:
        Model("y ~ x", data).fit("none")
    assert error.value.code == "E_NO_GROUP"
    with pytest.raises(IdentifiabilityError) as error:
        Model("y ~ x + (1 | g) + (1 | h)", data).fit("none")
    assert error.value.code == "E_ONE_FACTOR"


def test_known_errors():
    y, s = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
    model = Model("y | se(s) ~ 1 + (1 | g)", {"y": y, "s": s, "g": list("abcdefgh")})
    fit = model.fit("none")
    assert fit.sigma is None
    table = fit.predict()
    np.testing.assert_allclose(table["estimate"], y, rtol=1e-13)
    np.testing.assert_allclose(table["std_error"], s, rtol=1e-12)
    np.testing.assert_allclose(fit.estimates.beta, [y.mean()])


def test_frequencies_are_repeated_rows(data):
    k = data["k"]
    repeated = {name: np.repeat(column, k) for name, column in data.items()}
    a = Model("y | weights(k) ~ x + v + (x | g)", data).fit("none")
    b = Model("y ~ x + v + (x | g)", repeated).fit("none")
    np.testing.assert_allclose(a.estimates.beta, b.estimates.beta, rtol=1e-10)
    np.testing.assert_allclose(a.vcov, b.vcov, rtol=1e-9, atol=1e-14)
    np.testing.assert_allclose([a.sigma, a.log_likelihood], [b.sigma, b.log_likelihood], rtol=1e-11)


def test_order_labels_and_units_do_not_matter(data):
    fit = Model("y ~ x + v + (x | g)", data).fit("none")
    order = np.random.default_rng(0).permutation(len(data["y"]))
    moved = {name: column[order] for name, column in data.items()}
    moved["g"] = np.array([f"z{9 - int(label[1])}" for label in moved["g"]])
    moved["x"] = 1e6 * moved["x"] + 1e9
    moved["y"] = 1e-8 * moved["y"]
    again = Model("y ~ x + v + (x | g)", moved).fit("none")
    np.testing.assert_allclose(again.fitted_values, 1e-8 * fit.fitted_values[order], rtol=1e-8)
    np.testing.assert_allclose(again.estimates.beta[1] * 1e14, fit.estimates.beta[1], rtol=1e-8)
    np.testing.assert_allclose(
        again.predict()["std_error"], 1e-8 * fit.predict()["std_error"].to_numpy()[order], rtol=1e-7
    )


def test_draws_match_the_covariances(data):
    fit = Model("y ~ x + v + (x | g)", data).fit("none")
    drawn = fit.estimates.certainty.draw(4000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn["beta"].std(axis=0), fit.std_errors, rtol=0.08)
    sd = np.sqrt(np.einsum("lkk->lk", fit.effect_covariances[0]))
    np.testing.assert_allclose(drawn["effects"][0].std(axis=0), sd, rtol=0.1)
    rows = Combination(np.array([[1.0, 2.0, 0.5]]), (np.array([3]),), (np.array([[1.0, 2.0]]),))
    values = drawn["beta"] @ rows.x[0] + drawn["effects"][0][:, 3] @ rows.z[0][0]
    np.testing.assert_allclose(values.std(), np.sqrt(fit.estimates.certainty.spread(rows).variance[0]), rtol=0.08)


def test_everything_prints(sparse):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.warns(ml.errors.IdentifiabilityWarning):
            fit = Model("y ~ x + (x | g)", sparse).fit("none")
        str(fit.summary())
        fit.to_json()
        fit.draws  # noqa: B018
        fit.confint()
