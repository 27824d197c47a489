"""How responses are written, and what is read: trials, levels, categories, weights, censoring, truncation."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import multilevel as ml
from multilevel import errors
from multilevel.families.base import Distribution, Given
from multilevel.registry import ALIASES, member, members, official


def table() -> pd.DataFrame:
    rng = np.random.default_rng(4)
    n = rng.integers(3, 9, 60)
    k = rng.binomial(n, 0.4)
    words = np.where(rng.random(60) < 0.4, "yes", "no")
    return pd.DataFrame(
        {"k": k, "n": n, "left": n - k, "x": rng.normal(size=60), "word": words, "y": rng.normal(size=60)}
    )


def observed(formula: str, data: pd.DataFrame | None = None, **settings):
    model = ml.Model(formula, table() if data is None else data, **settings)
    return model.observations


@pytest.mark.parametrize("name", ["binomial", "beta_binomial"])
@pytest.mark.parametrize(
    ("left", "settings"),
    [
        ("cbind(k, n - k)", {}),
        ("cbind(k, left)", {}),
        ("k | trials(n)", {}),
        ("k | trials(k + left)", {}),
        ("k / n", {"weights": "n"}),
        ("I(k / n)", {"weights": "n"}),
    ],
)
def test_trials_are_the_same_however_written(name, left, settings):
    obs = observed(f"{left} ~ x", family=name, **settings)
    np.testing.assert_array_equal(obs.y, table().k)
    np.testing.assert_array_equal(obs.trials, table().n)
    assert obs.weights is None


def test_one_number_of_trials_for_all_rows():
    np.testing.assert_array_equal(observed("k | trials(9) ~ x", family="binomial").trials, np.full(60, 9.0))


@pytest.mark.parametrize("name", ["binomial", "bernoulli"])
def test_single_trials_from_labels_truth_values_and_numbers(name):
    data = table()
    data["number"] = (data.word == "yes") * 1
    data["truth"] = data.word == "yes"
    data["factor"] = pd.Categorical(data.word, categories=["yes", "no"])
    for column, levels, words in (
        ("number", (), ""),
        ("truth", ("False", "True"), "P(truth = True)"),
        ("word", ("no", "yes"), "P(word = yes)"),
    ):
        obs = observed(f"{column} ~ x", data, family=name)
        np.testing.assert_array_equal(obs.y, data.number)
        assert obs.levels == levels
        assert member("families", name).words(obs) == words
    turned = observed("factor ~ x", data, family=name)  # the order of the type counts, not that of the alphabet
    np.testing.assert_array_equal(turned.y, 1 - data.number)
    assert member("families", name).words(turned) == "P(factor = no)"


def test_missing_rows_keep_the_place_in_messages():
    data = table().astype({"k": float})
    data.loc[3, "x"] = np.nan
    data.loc[10, "k"] = 99
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(errors.ResponseError, match="row 10"):
            ml.Model("k | trials(n) ~ x", data, family="binomial")


REFUSED = [
    ("k / n ~ x", "binomial", {}, "E_RESPONSE_DOMAIN", ("weights=n", "cbind(k, n - k)")),
    ("y ~ x", "binomial", {"weights": "n"}, "E_RESPONSE_DOMAIN", ("between 0 and 1",)),
    ("k / n ~ x", "binomial", {"weights": np.full(60, 2.5)}, "E_RESPONSE_DOMAIN", ("whole number of trials",)),
    ("cbind(k, left) ~ x", "binomial", {"weights": "n"}, "E_WEIGHTS", ("trials already",)),
    ("k | trials(n) ~ x", "binomial", {"weights": "n"}, "E_WEIGHTS", ("trials already",)),
    ("n | trials(k + 1) ~ x", "binomial", {}, "E_RESPONSE_DOMAIN", ("more successes than trials",)),
    ("cbind(k, left) ~ x", "poisson", {}, "E_FORMULA_FUNCTION", ("cbind", "binomial")),
    ("k | trials(n) ~ x", "poisson", {}, "E_FORMULA_FUNCTION", ("trials", "binomial")),
    ("k | cens(n) ~ x", "poisson", {}, "E_FORMULA_FUNCTION", ("cens", "gaussian")),
    ("cbind(k, left) ~ x", "gaussian", {}, "E_FORMULA_FUNCTION", ("cbind", "binomial")),
    ("k ~ x", "poisson", {"weights": "n"}, "E_WEIGHTS", ("weights(w)",)),
    ("word ~ x", "poisson", {}, "E_RESPONSE_NOT_NUMERIC", ("word", "str")),
    ("y | trunc(1, 0) ~ x", "gaussian", {}, "E_RESPONSE_DOMAIN", ("trunc", "row 0")),
    ("y | trunc(lb=0) ~ x", "gaussian", {}, "E_RESPONSE_DOMAIN", ("within the bounds", "cens()")),
    ("y | cens(x) ~ 1", "gaussian", {}, "E_RESPONSE_DOMAIN", ("kind of censoring",)),
    ("y | cens(word) ~ x", "gaussian", {}, "E_RESPONSE_DOMAIN", ("word", "yes")),
    ("n ~ x", "zero_inflated_poisson", {}, "E_CONSTANT_RESPONSE", ("no zero", "poisson")),
    ("n ~ x", "hurdle_negative_binomial", {}, "E_CONSTANT_RESPONSE", ("no zero", "negative_binomial")),
    ("y ~ x", "bernoulli", {}, "E_RESPONSE_DOMAIN", ("0 or 1",)),
]


@pytest.mark.parametrize(("formula", "family", "settings", "code", "words"), REFUSED)
def test_refused(formula, family, settings, code, words):
    with pytest.raises(errors.MultilevelError) as caught:
        ml.Model(formula, table(), family=family, **settings)
    assert caught.value.code == code
    for word in words:
        assert word in str(caught.value)
    assert len(str(caught.value)) <= 400


def test_counts_of_equal_rows_are_weights_of_the_density():
    data = table()
    data["w"] = 2
    obs = observed("k | weights(w) ~ x", data, family="poisson")
    np.testing.assert_array_equal(obs.weights, np.full(60, 2.0))
    assert obs.precision is None


def test_precisions_are_those_of_the_dispersion():
    obs = observed("exp(y) ~ x", table(), family="gamma", weights="n")
    np.testing.assert_array_equal(obs.precision, table().n)
    assert obs.weights is None


# --- categories --------------------------------------------------------------------------------------------------
def test_categories_of_numbers_types_and_text():
    data = pd.DataFrame({"r": [3, 1, 2, 2, 1], "x": range(5)})
    obs = observed("r ~ x", data, family="cumulative")
    np.testing.assert_array_equal(obs.y, [2, 0, 1, 1, 0])
    assert obs.levels == ("1", "2", "3")
    data["r"] = pd.Categorical(["hi", "lo", "mid", "mid", "lo"], categories=["lo", "mid", "hi"], ordered=True)
    obs = observed("r ~ x", data, family="cumulative")
    np.testing.assert_array_equal(obs.y, [2, 0, 1, 1, 0])
    assert obs.levels == ("lo", "mid", "hi")
    data["r"] = data.r.astype(str)
    assert observed("r ~ x", data, family="categorical").levels == ("hi", "lo", "mid")
    with pytest.warns(errors.ResponseWarning, match="ordered as hi, lo, mid"):
        observed("r ~ x", data, family="cumulative")


@pytest.mark.parametrize("declared", [True, False])
def test_a_category_without_rows_is_named(declared):
    data = pd.DataFrame({"r": [4, 1, 2, 2, 1, 4], "x": range(6)})
    if declared:
        data["r"] = pd.Categorical(data.r, categories=[1, 2, 3, 4], ordered=True)
    with pytest.warns(errors.ResponseWarning) as seen:
        obs = observed("r ~ x", data, family="cumulative")
    assert [w.message.code for w in seen] == ["W_EMPTY_CATEGORY"]
    assert "category 3" in str(seen[0].message)
    assert obs.levels == ("1", "2", "4")
    np.testing.assert_array_equal(obs.y, [2, 0, 1, 1, 0, 2])


def test_scores_with_even_steps_have_no_gap():
    data = pd.DataFrame({"r": [10, 20, 30, 20], "x": range(4)})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert observed("r ~ x", data, family="cumulative").levels == ("10", "20", "30")


def test_measurements_are_no_categories():
    data = pd.DataFrame({"r": np.arange(150) / 7, "x": range(150)})
    with pytest.raises(errors.ResponseError, match="150 different values"):
        ml.Model("r ~ x", data, family="cumulative")


def test_predictors_of_categories_are_named_after_them():
    data = pd.DataFrame({"r": list("bacab"), "x": range(5)})
    obs = observed("r ~ x", data, family="categorical")
    assert member("families", "categorical").locations(obs) == ("mub", "muc")
    names = [p.name for p in member("families", "cumulative").parameters(obs)]
    assert names == ["Intercept[1]", "Intercept[2]"]


# --- censoring and truncation ------------------------------------------------------------------------------------
def given(**modifiers) -> Given:
    return Given("y", np.array([0.5, 1.0, 1.5, 2.0, 2.5]), modifiers=modifiers)


KINDS = np.array([-1.0, 0.0, 1.0, 2.0, 2.0])
UPPER = np.array([9.0, 9.0, 9.0, 2.6, 70.0])
ETA = np.column_stack([np.linspace(-0.5, 1.2, 5), np.linspace(-0.3, 0.4, 5)])


@pytest.mark.parametrize("name", ["gaussian", "lognormal"])
def test_censored_rows_are_probabilities(name):
    dist = Distribution(member("families", name), ("identity", "log"))
    obs = dist.family.observe(given(cens=(KINDS, UPPER)))
    exact = [
        stats.norm(m, np.exp(s)) if name == "gaussian" else stats.lognorm(np.exp(s), scale=np.exp(m)) for m, s in ETA
    ]
    y = obs.y
    expected = [
        exact[0].logcdf(y[0]), exact[1].logpdf(y[1]), exact[2].logsf(y[2]),
        *(np.log(exact[i].cdf(UPPER[i]) - exact[i].cdf(y[i])) for i in (3, 4)),
    ]  # fmt: skip
    np.testing.assert_allclose(dist.log_density(obs, ETA), expected, rtol=1e-11)
    below, upto = dist.cdf(obs, ETA)
    cdf = [d.cdf(v) for d, v in zip(exact, y, strict=True)]
    np.testing.assert_allclose(below, [0.0, *cdf[1:]], rtol=1e-12)
    np.testing.assert_allclose(upto, [cdf[0], cdf[1], 1.0, *(exact[i].cdf(UPPER[i]) for i in (3, 4))], rtol=1e-12)


@pytest.mark.parametrize("name", ["gaussian", "lognormal"])
@pytest.mark.parametrize("bounds", [(0.2, 3.0), (0.2, None), (None, 3.0)])
def test_truncated_densities_and_moments(name, bounds):
    from scipy.integrate import quad

    dist = Distribution(member("families", name), ("identity", "log"))
    ends = tuple(None if b is None else np.full(5, b) for b in bounds)
    obs = dist.family.observe(given(trunc=ends))
    lowest = 0.0 if name == "lognormal" else -np.inf
    lower, upper = lowest if bounds[0] is None else bounds[0], np.inf if bounds[1] is None else bounds[1]
    for i in range(5):

        def density(y, i=i):
            one = replace(obs.take([i]), y=np.array([y]))
            return float(np.exp(dist.log_density(one, ETA[i : i + 1]))[0])

        total, mean, square = (quad(lambda y, p=p: y**p * density(y), lower, upper, limit=200)[0] for p in range(3))
        assert total == pytest.approx(1.0, abs=1e-7)
        assert dist.mean(obs, ETA)[i] == pytest.approx(mean, rel=1e-6)
        assert dist.variance(obs, ETA)[i] == pytest.approx(square - mean**2, rel=1e-5)
        assert dist.cdf(obs, ETA)[1][i] == pytest.approx(quad(density, lower, obs.y[i], limit=200)[0], abs=1e-7)
    draws = dist.simulate(obs.take(np.zeros(4000, int)), np.tile(ETA[0], (4000, 1)), np.random.default_rng(1))
    assert lower <= draws.min()
    assert draws.max() <= upper
    u = np.sort(dist.cdf(obs.take(np.zeros(4000, int)), np.tile(ETA[0], (4000, 1)), draws)[0])
    assert np.max(np.abs(u - (np.arange(4000) + 0.5) / 4000)) < 2.23 / np.sqrt(4000)


def test_truncation_far_in_a_tail():
    """Bounds 30 standard deviations from the mean: no digit of the cumulative function is left there."""
    dist = Distribution(member("families", "gaussian"), ("identity", "log"))
    obs = dist.family.observe(Given("y", np.array([30.1, 30.01]), modifiers={"trunc": (np.full(2, 30.0), None)}))
    eta = np.zeros((2, 2))
    expected = stats.norm.logpdf(obs.y) - stats.norm.logsf(30.0)
    np.testing.assert_allclose(dist.log_density(obs, eta), expected, rtol=1e-10)
    draws = dist.simulate(obs.take(np.zeros(999, int)), np.zeros((999, 2)), np.random.default_rng(0))
    assert draws.min() >= 30.0
    assert draws.mean() == pytest.approx(dist.mean(obs, eta)[0], abs=5 * 0.0333 / np.sqrt(999))


def test_kinds_of_censoring_as_words():
    data = pd.DataFrame({"y": [1.0, 2.0, 3.0, 4.0], "top": [9.0, 9.0, 9.0, 9.0], "x": range(4)})
    data["kind"] = ["left", "none", "right", "interval"]
    obs = observed("y | cens(kind, top) ~ x", data)
    np.testing.assert_array_equal(obs.censored, [-1, 0, 1, 2])
    data["kind"] = [False, False, True, True]  # truth values: censored on the right
    np.testing.assert_array_equal(observed("y | cens(kind) ~ x", data).censored, [0, 0, 1, 1])


# --- names -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("alias", ALIASES["families"])
def test_other_names_lead_to_families(alias):
    assert official("families", alias) in members("families")
    assert alias not in members("families")


@pytest.mark.parametrize(
    ("said", "meant"),
    [("Poisson", "poisson"), ("Gamma", "gamma"), ("Beta", "beta"), ("zero-inflated Poisson", "zero_inflated_poisson"),
     ("nbinom2", "negative_binomial"), ("t", "student"), ("unknown", "unknown")],
)  # fmt: skip
def test_names_in_any_case(said, meant):
    assert official("families", said) == meant


COUNTS = {"poisson": (), "negative_binomial": (0.4,), "negative_binomial_1": (-0.2,)}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("bounds", [(1.0, None), (3.0, None), (None, 6.0), (1.0, 6.0), (-2.0, 6.5)])
def test_truncated_counts(name, bounds):
    family = member("families", name)
    dist = Distribution(family, ("log",) * (1 + len(COUNTS[name])))
    ends = tuple(None if b is None else np.full(5, b) for b in bounds)
    obs = family.observe(Given("y", np.array([3.0, 4.0, 5.0, 6.0, 3.0]), modifiers={"trunc": ends}))
    eta = np.column_stack([np.linspace(-0.5, 1.8, 5), *(np.full(5, v) for v in COUNTS[name])])
    lower = 0 if bounds[0] is None else max(int(bounds[0]), 0)
    y = np.arange(lower, 400 if bounds[1] is None else int(bounds[1]) + 1, dtype=float)
    for i in range(5):
        many = replace(obs.take(np.full(len(y), i)), y=y)
        p = np.exp(dist.log_density(many, np.tile(eta[i], (len(y), 1))))
        assert p.sum() == pytest.approx(1.0, abs=1e-10)
        mean = (y * p).sum()
        assert dist.mean(obs, eta)[i] == pytest.approx(mean, rel=1e-9)
        assert dist.variance(obs, eta)[i] == pytest.approx((y**2 * p).sum() - mean**2, rel=1e-8)
        below, upto = dist.cdf(obs, eta)
        assert upto[i] == pytest.approx(p[y <= obs.y[i]].sum(), abs=1e-10)
        assert below[i] == pytest.approx(p[y < obs.y[i]].sum(), abs=1e-10)
    h, m = 1e-4, eta.shape[1]
    slopes = dist.derivatives(obs, eta, 3)
    for j in range(m):
        step = h * np.eye(m)[j]
        for low, high, sign in (("value", "first", 1), ("first", "second", -1), ("second", "third", 1)):
            a, b = (getattr(dist.derivatives(obs, eta + t * step, 2), low) for t in (-1, 1))
            np.testing.assert_allclose(sign * (b - a) / (2 * h), getattr(slopes, high)[..., j], rtol=1e-5, atol=1e-6)
    n = 6000
    draws = dist.simulate(obs.take(np.full(n, 1)), np.tile(eta[1], (n, 1)), np.random.default_rng(5))
    assert draws.min() >= lower
    assert draws.max() <= y[-1]
    error = np.sqrt(dist.variance(obs, eta)[1] / n)
    assert draws.mean() == pytest.approx(dist.mean(obs, eta)[1], abs=4.5 * error)


def test_zero_truncated_poisson_in_closed_form():
    family = member("families", "poisson")
    y, eta = np.array([1.0, 2.0, 7.0]), np.array([[-20.0], [0.3], [1.5]])
    obs = family.observe(Given("y", y, modifiers={"trunc": (np.ones(3), None)}))
    exact = stats.poisson.logpmf(y, np.exp(eta[:, 0])) - np.log(-np.expm1(-np.exp(eta[:, 0])))
    np.testing.assert_allclose(Distribution(family, ("log",)).log_density(obs, eta), exact, rtol=1e-12, atol=1e-13)


def test_bounds_that_need_long_sums_are_refused():
    modifiers = {"trunc": (None, np.full(2, 1e6))}
    with pytest.raises(errors.ResponseError, match="terms"):
        member("families", "poisson").observe(Given("y", np.array([1.0, 2.0]), modifiers=modifiers))


@pytest.mark.parametrize("name", ["poisson", "binomial", "bernoulli"])
def test_read_only_columns_are_fine(name):
    y = np.array([0.0, 1.0, 1.0, 0.0])
    y.flags.writeable = False
    family = member("families", name)
    dist = Distribution(family, family.links[:1])
    obs = family.observe(Given("y", y))
    eta = np.full((4, 1), 0.3)
    eta.flags.writeable = False
    assert np.isfinite(dist.derivatives(obs, eta, 3).value).all()
    assert np.isfinite(dist.derivatives(obs.with_y(y), eta, 3).value).all()
