"""The within estimator against regressions with explicit dummy variables."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.errors import IdentifiabilityError
from multilevel.model.model import Model


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(11)
    n = 240
    a, b, c = rng.integers(0, 15, n), rng.integers(0, 7, n), rng.integers(0, 4, n)
    x = rng.normal(size=n) + a
    y = 1 + 0.5 * x + rng.normal(size=15)[a] + rng.normal(size=7)[b] + rng.normal(size=n)
    split = b % 3 + 3 * (a > 7)  # two components: no level of `split` occurs with both halves of `a`
    return {
        "y": y, "x": x, "v": rng.normal(size=n), "a": a, "b": b, "c": c, "split": split,
        "u": np.sin(a), "w": rng.uniform(0.5, 2, n), "k": rng.integers(1, 4, n), "fine": 10 * a + b,
    }  # fmt: skip


def dummies(data, factors, columns, w):
    d = [np.eye(int(data[f].max()) + 1)[data[f]] for f in factors]
    x = np.column_stack([*d, *(data[c] for c in columns)])
    root = np.sqrt(w)
    beta, _, rank, _ = np.linalg.lstsq(x * root[:, None], data["y"] * root, rcond=1e-12)
    rss = float(w @ (data["y"] - x @ beta) ** 2)
    return x, beta, rss, rank, np.linalg.pinv(x.T @ (w[:, None] * x), rcond=1e-12)


CASES = [("a",), ("a", "b"), ("b", "a"), ("a", "split"), ("a", "b", "c")]


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("factors", CASES, ids="+".join)
def test_equals_dummy_variables(data, factors, weighted):
    w = data["w"] if weighted else np.ones(len(data["y"]))
    terms = " + ".join(f"(1 | {f})" for f in factors)
    fit = Model(f"y ~ x + v + {terms}", data, weights="w" if weighted else None).fit("within")
    x, beta, rss, rank, inverse = dummies(data, factors, ["x", "v"], w)
    sigma2 = rss / (len(w) - rank)
    np.testing.assert_allclose(fit.estimates.beta[1:], beta[-2:], rtol=1e-9)
    np.testing.assert_allclose(fit.vcov[1:, 1:], sigma2 * inverse[-2:, -2:], rtol=1e-9)
    np.testing.assert_allclose(fit.sigma**2, sigma2, rtol=1e-11)
    np.testing.assert_allclose(fit.fitted_values, x @ beta, rtol=1e-10)
    error = np.sqrt(sigma2 * np.einsum("ni,ij,nj->n", x, inverse, x))
    np.testing.assert_allclose(fit.predict()["std_error"], error, rtol=1e-8)
    # the intercept is ȳ − x̄'β̂, an estimable function of the dummies
    mean = w @ x / w.sum()
    mean[-2:] = 0.0
    np.testing.assert_allclose(fit.estimates.beta[0], mean @ beta, rtol=1e-9)
    np.testing.assert_allclose(fit.vcov[0, 0], sigma2 * mean @ inverse @ mean, rtol=1e-8)
    for f, effects in zip(factors, fit.estimates.effects, strict=True):
        assert abs(np.average(effects[data[f], 0], weights=w)) < 1e-12
    assert fit.estimates.notes["df_residual"] == len(w) - rank


def test_effect_errors_of_two_factors(data):
    """Differences of levels are estimable: compare with the dummies."""
    fit = Model("y ~ x + (1 | a) + (1 | b)", data).fit("within")
    x, beta, rss, rank, inverse = dummies(data, ["a", "b"], ["x"], np.ones(len(data["y"])))
    counts = np.bincount(data["b"])
    v = np.zeros((7, len(beta)))
    v[:, 15:22] = np.eye(7) - counts / counts.sum()
    np.testing.assert_allclose(fit.estimates.effects[1][:, 0], v @ beta, rtol=1e-8, atol=1e-11)
    variance = rss / (len(x) - rank) * np.einsum("ij,jk,ik->i", v, inverse, v)
    np.testing.assert_allclose(fit.effect_covariances[1][:, 0, 0], variance, rtol=1e-9)


def test_demeaning_by_hand(data):
    fit = Model("y ~ x + (1 | a)", data).fit("within")
    counts = np.bincount(data["a"])

    def inside(v):
        return v - (np.bincount(data["a"], v) / counts)[data["a"]]

    x, y = inside(data["x"]), inside(data["y"])
    slope = x @ y / (x @ x)
    np.testing.assert_allclose(fit.coefficients["x"], slope, rtol=1e-11)
    np.testing.assert_allclose(fit.coefficients["Intercept"], data["y"].mean() - data["x"].mean() * slope, rtol=1e-11)
    np.testing.assert_allclose(fit.estimates.notes["r2_within"], np.corrcoef(x, y)[0, 1] ** 2, rtol=1e-10)


def test_f_test_of_the_group_effects(data):
    fit = Model("y ~ x + (1 | a)", data).fit("within")
    n = len(data["y"])
    pooled = Model("y ~ x", data).fit()
    f = fit.estimates.notes["f"]
    statistic = (pooled.objective - fit.objective) / 14 / (fit.objective / (n - 16))
    np.testing.assert_allclose(f["statistic"], statistic, rtol=1e-10)
    assert (f["df1"], f["df2"]) == (14, n - 16)
    np.testing.assert_allclose(f["p_value"], stats.f.sf(statistic, 14, n - 16), rtol=1e-8)


def test_columns_without_within_variation(data):
    with pytest.warns(ml.errors.RankDeficiencyWarning, match="u"):
        fit = Model("y ~ u + x + (1 | a)", data).fit("within")
    assert np.isnan(fit.coefficients["u"])
    warning = next(w for w in fit.warnings if w.code == "W_ABSORBED")
    assert warning.context["columns"] == ["u"]
    np.testing.assert_allclose(
        fit.coefficients["x"], Model("y ~ x + (1 | a)", data).fit("within").coefficients["x"], rtol=1e-11
    )
    with pytest.warns(ml.errors.RankDeficiencyWarning, match="u"):
        both = Model("y ~ u + x + (1 | a) + (1 | b)", data).fit("within")
    assert np.isnan(both.coefficients["u"])


def test_large_group_differences_keep_the_digits():
    rng = np.random.default_rng(0)
    a = np.repeat(np.arange(20), 10)
    x0, e = rng.normal(size=200), rng.normal(size=200)
    base = Model("y ~ x + (1 | a)", {"y": 2 * x0 + e, "x": x0, "a": a}).fit("within")
    far = Model("y ~ x + (1 | a)", {"y": 2 * x0 + e + 2.0**20 * a, "x": x0 + 2.0**20 * a, "a": a}).fit("within")
    np.testing.assert_allclose(far.coefficients["x"], base.coefficients["x"], rtol=1e-9)


@pytest.mark.parametrize(
    ("formula", "code"),
    [
        ("y ~ x", "E_NO_GROUP"),
        ("y ~ x + (x | a)", "E_GROUP_SLOPES"),
        ("y ~ x + (0 + x | a)", "E_GROUP_SLOPES"),
        ("y ~ x + (1 | a) + (1 | fine)", "E_NESTED_FIXED"),
    ],
)
def test_refusals(data, formula, code):
    with pytest.raises(IdentifiabilityError) as error:
        Model(formula, data).fit("within")
    assert error.value.code == code


@pytest.mark.parametrize("terms", ["(1 | a)", "(1 | a) + (1 | b)"])
def test_frequencies_are_repeated_rows(data, terms):
    repeated = {name: np.repeat(column, data["k"]) for name, column in data.items()}
    a = Model(f"y | weights(k) ~ x + {terms}", data).fit("within")
    b = Model(f"y ~ x + {terms}", repeated).fit("within")
    np.testing.assert_allclose(a.estimates.beta, b.estimates.beta, rtol=1e-9)
    np.testing.assert_allclose(a.vcov, b.vcov, rtol=1e-8)
    np.testing.assert_allclose([a.sigma, a.log_likelihood], [b.sigma, b.log_likelihood], rtol=1e-11)


def test_order_and_labels_do_not_matter(data):
    fit = Model("y ~ x + (1 | a) + (1 | b)", data).fit("within")
    order = np.random.default_rng(0).permutation(len(data["y"]))
    moved = {name: column[order] for name, column in data.items()}
    moved["a"] = 100 - moved["a"]
    again = Model("y ~ x + (1 | b) + (1 | a)", moved).fit("within")
    np.testing.assert_allclose(again.estimates.beta, fit.estimates.beta, rtol=1e-9)
    np.testing.assert_allclose(again.fitted_values, fit.fitted_values[order], rtol=1e-9)
    np.testing.assert_allclose(again.estimates.effects[1][::-1], fit.estimates.effects[0], rtol=1e-8, atol=1e-12)


def test_draws_match_the_covariances(data):
    fit = Model("y ~ x + (1 | a) + (1 | b)", data).fit("within")
    drawn = fit.estimates.certainty.draw(3000, np.random.default_rng(0))
    np.testing.assert_allclose(drawn["beta"].std(axis=0), fit.std_errors, rtol=0.08)
    for effects, covariance in zip(drawn["effects"], fit.effect_covariances, strict=True):
        np.testing.assert_allclose(effects[:, :, 0].std(axis=0), np.sqrt(covariance[:, 0, 0]), rtol=0.1)
