"""What must not change a generalized fit: order, labels, units, the way rows are aggregated."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import gammaln

import multilevel as ml

TIGHT = {"rel": 1e-7, "abs": 1e-8}


def table(n=240, seed=2):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 14, n), rng.integers(0, 5, n)
    x = np.round(rng.normal(3.0, 1.0, n), 1)
    f = rng.integers(0, 3, n)
    eta = -1.0 + 0.4 * x + 0.5 * f + rng.normal(0.0, 0.7, 14)[g] + rng.normal(0.0, 0.4, 5)[h]
    eta = eta + rng.normal(0.0, 0.6, 14)[g] * (x - 3.0)
    return {
        "x": x,
        "f": np.array(["low", "mid", "top"])[f],
        "g": np.array([f"g{i:02d}" for i in g]),
        "h": np.array([f"h{i}" for i in h]),
        "y": (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(float),
        "c": rng.poisson(np.exp(0.5 * eta)).astype(float),
    }


def take(data, rows):
    return {name: values[rows] for name, values in data.items()}


def sds(fit):
    return np.asarray(fit.variance_components["sd"], dtype=float)


FORMULAS = [
    ("y ~ x + f + (1 | g)", "binomial"),
    ("c ~ x + f + (1 | g) + (1 | h)", "poisson"),
    ("c ~ x + (x | g)", "poisson"),
]


@pytest.mark.parametrize(("formula", "family"), FORMULAS)
def test_order_of_rows_and_labels_of_levels(formula, family):
    data = table()
    fit = ml.fit(formula, data, family=family)
    rows = np.random.default_rng(1).permutation(len(data["x"]))
    other = take(data, rows)
    names = {label: f"z{hash(label) % 9973:04d}{label}" for label in np.unique(data["g"])}
    other["g"] = np.array([names[label] for label in other["g"]])
    again = ml.fit(formula, other, family=family)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9, rel=1e-9)
    np.testing.assert_allclose(list(again.coefficients.values()), list(fit.coefficients.values()), rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(sds(again), sds(fit), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("formula", "family"), FORMULAS)
def test_units_of_a_predictor(formula, family):
    data = table()
    fit = ml.fit(formula, data, family=family)
    moved = {**data, "x": 1e6 * (data["x"] - 40.0)}
    again = ml.fit(formula, moved, family=family)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
    assert 1e6 * again.coefficients["x"] == pytest.approx(fit.coefficients["x"], rel=1e-6)


def test_contrasts():
    data = table()
    fit = ml.fit("y ~ f + (1 | g)", data, family="binomial")
    other = ml.fit("y ~ C(f, Sum) + (1 | g)", data, family="binomial")
    assert other.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)


@pytest.mark.parametrize("crossed", [False, True])
def test_aggregated_trials_equal_single_ones(crossed):
    data = table(600)
    keys = np.unique(np.column_stack([data["f"], data["g"], data["h"]]), axis=0, return_inverse=True)
    inverse = keys[1].ravel()
    small = {
        "f": keys[0][:, 0],
        "g": keys[0][:, 1],
        "h": keys[0][:, 2],
        "k": np.bincount(inverse, data["y"]),
        "n": np.bincount(inverse).astype(float),
    }
    right = "f + (1 | g) + (1 | h)" if crossed else "f + (1 | g)"
    single = ml.fit(f"y ~ {right}", data, family="binomial")
    for left in ("cbind(k, n - k)", "k | trials(n)"):
        grouped = ml.fit(f"{left} ~ {right}", small, family="binomial")
        np.testing.assert_allclose(
            list(grouped.coefficients.values()), list(single.coefficients.values()), rtol=1e-6, atol=1e-7
        )
        constant = (gammaln(small["n"] + 1) - gammaln(small["k"] + 1) - gammaln(small["n"] - small["k"] + 1)).sum()
        assert grouped.log_likelihood - constant == pytest.approx(single.log_likelihood, abs=1e-8)
        np.testing.assert_allclose(grouped.std_errors, single.std_errors, rtol=1e-5)
    proportion = ml.fit(f"share ~ {right}", {**small, "share": small["k"] / small["n"]}, family="binomial", weights="n")
    assert proportion.log_likelihood == pytest.approx(grouped.log_likelihood, abs=1e-9)


def test_exposure_may_be_split_into_strata():
    data = table()
    data["e"] = np.random.default_rng(4).uniform(1.0, 5.0, len(data["x"]))
    fit = ml.fit("c ~ x + offset(log(e)) + (1 | g)", data, family="poisson")
    assert ml.fit("c | rate(e) ~ x + (1 | g)", data, family="poisson").log_likelihood == pytest.approx(
        fit.log_likelihood, abs=1e-9
    )
    first = np.floor(data["c"] / 2.0)
    halves = {name: np.concatenate([values, values]) for name, values in data.items()}
    halves["c"] = np.concatenate([first, data["c"] - first])
    halves["e"] = np.concatenate([0.3 * data["e"], 0.7 * data["e"]])
    split = ml.fit("c ~ x + offset(log(e)) + (1 | g)", halves, family="poisson")
    assert split.coefficients["x"] == pytest.approx(fit.coefficients["x"], **TIGHT)
    np.testing.assert_allclose(sds(split), sds(fit), rtol=1e-6)
    np.testing.assert_allclose(split.std_errors, fit.std_errors, rtol=1e-5)


def test_successes_and_failures_exchanged():
    data = table()
    fit = ml.fit("y ~ x + f + (1 | g)", data, family="binomial")
    flipped = ml.fit("y ~ x + f + (1 | g)", {**data, "y": 1.0 - data["y"]}, family="binomial")
    assert flipped.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)
    np.testing.assert_allclose(
        list(flipped.coefficients.values()), [-b for b in fit.coefficients.values()], rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize(("formula", "family"), FORMULAS[:2])
def test_counts_of_equal_rows(formula, family):
    data = table(120)
    w = np.random.default_rng(5).integers(0, 4, 120).astype(float)
    left, right = formula.split(" ~ ")
    weighted = ml.fit(f"{left} | weights(w) ~ {right}", {**data, "w": w}, family=family)
    repeated = ml.fit(formula, take(data, np.repeat(np.arange(120), w.astype(int))), family=family)
    assert weighted.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-8)
    np.testing.assert_allclose(
        list(weighted.coefficients.values()), list(repeated.coefficients.values()), rtol=1e-6, atol=1e-7
    )
    np.testing.assert_allclose(weighted.std_errors, repeated.std_errors, rtol=1e-5)
    assert weighted.n_obs == repeated.n_obs


def test_text_and_truth_values_equal_numbers():
    data = table()
    fit = ml.fit("y ~ x + (1 | g)", data, family="binomial")
    for values in (data["y"] > 0, np.where(data["y"] > 0, "yes", "no")):
        other = ml.fit("z ~ x + (1 | g)", {**data, "z": values}, family="binomial")
        assert other.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-10)
        assert other.coefficients["x"] == pytest.approx(fit.coefficients["x"], **TIGHT)


def test_normal_responses_agree_with_maximum_likelihood():
    data = table()
    data["z"] = data["c"] + np.random.default_rng(6).standard_normal(240)
    for formula in ("z ~ x + (1 | g) + (1 | h)", "z ~ x + (0 + x | g)"):
        exact, approximate = ml.fit(formula, data, estimator="ml"), ml.fit(formula, data, estimator="laplace")
        assert approximate.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-7)
        assert approximate.coefficients["x"] == pytest.approx(exact.coefficients["x"], rel=1e-5)
        assert approximate.estimates.dispersion["sigma"] == pytest.approx(exact.sigma, rel=1e-5)
    both = ml.fit("z ~ x + (1 | g); sigma ~ 1", data)
    assert both.log_likelihood == pytest.approx(
        ml.fit("z ~ x + (1 | g)", data, estimator="ml").log_likelihood, abs=1e-7
    )


@pytest.mark.parametrize("seed", range(10))
def test_any_start_ends_at_the_same_optimum(seed):
    data = table()
    fit = ml.fit("c ~ x + (x | g)", data, family="poisson")
    rng = np.random.default_rng(seed)
    start = [rng.uniform(0.05, 3.0), rng.normal(), rng.uniform(0.05, 2.0)]
    again = ml.fit("c ~ x + (x | g)", data, family="poisson", start=start)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-8)
