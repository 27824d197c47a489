"""Checks of generalized models: every family is answered, healthy data raise no alarm, built defects do."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from generalized_data import FAMILIES, columns, table

import multilevel as ml
from multilevel.checks.autocorrelation import acf
from multilevel.checks.base import Checks
from multilevel.checks.predictive import predictive_checks
from multilevel.checks.replicates import Replicates, upper_p
from multilevel.checks.working import case_of, overdispersion, scatters


@cache
def fitted(family: str, response: str | None = None) -> ml.Fit:
    response = response or FAMILIES[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.fit(f"{response} ~ x + (1 | g)", table()[columns(response)], family=family)


@cache
def checked(family: str, response: str | None = None) -> Checks:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.check(fitted(family, response))


def severity(found, code: str) -> str:
    return found.code(code)[0].severity if found.code(code) else "skipped"


# --- every family -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_answered_and_its_own_data_are_fine(family: str) -> None:
    found = checked(family)
    assert found.summary()
    assert found.to_dict()["findings"]
    alarms = [f for f in found if f.alarming and f.code not in ("W_BOUNDARY", "N_APPROXIMATION")]
    if family not in ("lognormal", "negative_binomial_1", "hurdle_poisson", "categorical"):  # not what made the data
        assert not alarms, [str(f) for f in alarms]
    for finding in found:
        assert finding.evidence.endswith(".")


def test_what_does_not_apply_says_so() -> None:
    words = " ".join(checked("bernoulli").skipped)
    assert "overdispersion: does not apply" in words
    assert "zero inflation: does not apply" in words
    assert "a yes or no has neither" in words
    assert severity(checked("bernoulli"), "N_OVERDISPERSION") == "skipped"
    assert "several linear predictors" in " ".join(checked("categorical").skipped)
    assert "overdispersion: does not apply" in " ".join(checked("gamma").skipped)


def test_a_linear_fit_has_no_such_checks() -> None:
    found = ml.check(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    assert not found.code("N_OVERDISPERSION")
    assert not any("does not apply" in reason for reason in found.skipped)


# --- overdispersion -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("family", "response", "remedy"),
    [
        ("poisson", "wide", 'family="negative_binomial"'),
        ("binomial", "wider | trials(n)", 'family="beta_binomial"'),
    ],
)
def test_overdispersion_is_found_with_its_remedy(family: str, response: str, remedy: str) -> None:
    finding = checked(family, response).code("N_OVERDISPERSION")[0]
    assert finding.severity == "problem"
    assert finding.values["ratio"] > 1.7
    assert remedy in finding.remedy
    assert "(1 | row)" in finding.remedy


def test_an_effect_of_each_row_cures_it() -> None:
    data = table()
    data["row"] = np.arange(len(data)).astype(str)
    fit = ml.fit("wide ~ x + (1 | g) + (1 | row)", data, family="poisson")
    over = overdispersion(case_of(fit))
    assert over is not None
    assert not over.above


def test_the_ratio_is_that_of_r() -> None:
    """Pearson's χ² of the conditional means, over its mean in replicates, is near χ²/df where groups are large."""
    data = table(groups=6, size=200)
    fit = ml.fit("wide ~ x + (1 | g)", data, family="poisson")
    over = overdispersion(case_of(fit))
    mu = np.asarray(fit.fitted_values)
    assert over is not None
    assert over.ratio == pytest.approx(float(np.sum((data.wide - mu) ** 2 / mu)) / (len(data) - 7), rel=0.05)


DESIGNS = [(30, 10, 0.5, 0.6, "count"), (40, 3, -1.0, 0.8, "count"), (20, 10, 0.0, 0.5, "k | trials(n)")]


@pytest.mark.parametrize(("groups", "size", "level", "sd", "response"), DESIGNS)
def test_false_alarms_are_rare(groups: int, size: int, level: float, sd: float, response: str) -> None:
    """p-values of 25 healthy data sets: uniform enough that fewer than 5% would fall below 1%."""
    p = []
    for seed in range(25):
        data = table(seed + 100, groups, size, level, sd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.fit(f"{response} ~ x + (1 | g)", data, family="poisson" if response == "count" else "binomial")
        case = case_of(fit)
        assert case.null is not None
        p.append(
            [upper_p(float(case.look.pearson), case.null.pearson), upper_p(float(case.look.zeros), case.null.zeros)]
        )
    p = np.array(p)
    assert (p < 0.01).mean(axis=0).max() <= 0.05
    assert (p.mean(axis=0) > 0.3).all()
    assert (p.mean(axis=0) < 0.7).all()


@pytest.mark.slow
@pytest.mark.parametrize(("groups", "size", "level", "sd", "response"), DESIGNS)
def test_false_alarms_at_length(groups: int, size: int, level: float, sd: float, response: str) -> None:
    alarms, sets = np.zeros(2), 200
    for seed in range(sets):
        data = table(seed + 1000, groups, size, level, sd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.fit(
                f"{response} ~ x + (1 | g)",
                data[columns(response)],
                family="poisson" if response == "count" else "binomial",
            )
            found = ml.check(fit)
        alarms += [
            severity(found, "N_OVERDISPERSION") != "ok",
            severity(found, "N_ZERO_INFLATION") not in ("ok", "skipped"),
        ]
    assert (alarms / sets < 0.05).all(), alarms


# --- zeros ------------------------------------------------------------------------------------------------------
def test_more_zeros_than_expected() -> None:
    finding = checked("poisson", "inflated").code("N_ZERO_INFLATION")[0]
    assert finding.alarming
    assert "zero_inflated_poisson" in finding.remedy
    assert "hurdle_poisson" in finding.remedy
    assert finding.values["zeros"] > 1.1 * finding.values["expected"]
    assert severity(checked("zero_inflated_poisson"), "N_ZERO_INFLATION") == "ok"


def test_many_zeros_of_a_small_mean_are_no_inflation() -> None:
    data = table(groups=40, size=10, level=-2.0)
    fit = ml.fit("count ~ x + (1 | g)", data, family="poisson")
    assert (data["count"] == 0).mean() > 0.75
    assert severity(ml.check(fit), "N_ZERO_INFLATION") == "ok"


def test_fewer_zeros_than_expected() -> None:
    data = table()
    data["count"] = np.maximum(data["count"], 1)
    finding = ml.check(ml.fit("count ~ x + (1 | g)", data[["count", "x", "g"]], family="poisson")).code(
        "N_ZERO_INFLATION"
    )[0]
    assert finding.title == "fewer zeros than expected"


# --- other defects ------------------------------------------------------------------------------------------------
def test_a_left_out_group_a_slope_and_a_curve_are_found_in_counts() -> None:
    rng = np.random.default_rng(8)
    n = 900
    g, c = np.arange(n) % 30, rng.integers(0, 20, n)
    x = rng.normal(size=n)
    slope, own = 0.5 * rng.normal(size=30), 0.6 * rng.normal(size=20)
    eta = 0.8 + 0.3 * x + 0.25 * x**2 + slope[g] * x + own[c]
    data = pd.DataFrame(
        {"y": rng.poisson(np.exp(eta)), "x": x, "g": [f"g{i}" for i in g], "shop": [f"s{i}" for i in c]}
    )
    found = ml.check(ml.fit("y ~ x + (1 | g)", data, family="poisson"))
    for code in ("N_CURVATURE", "N_LEFT_OUT_GROUP", "N_OMITTED_SLOPE"):
        assert found.code(code)[0].alarming, code
    assert "(1 | shop)" in found.code("N_LEFT_OUT_GROUP")[0].remedy


def test_a_predictor_that_mixes_two_effects_of_a_yes_or_no() -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(60), 20)
    between = rng.normal(size=60)
    x = between[g] + rng.normal(size=1200)
    eta = 0.8 * (x - between[g]) - 1.2 * between[g] + 0.3 * rng.normal(size=60)[g]
    data = pd.DataFrame({"y": (rng.random(1200) < 1 / (1 + np.exp(-eta))).astype(int), "x": x, "g": g.astype(str)})
    finding = ml.check(ml.fit("y ~ x + (1 | g)", data, family="bernoulli")).code("N_WITHIN_BETWEEN")[0]
    assert finding.severity == "problem"
    assert finding.values["within"] > 0 > finding.values["between"]


def test_the_same_of_ratings_whose_thresholds_come_before_their_slopes() -> None:
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(60), 15)
    between = rng.normal(size=60)
    x = between[g] + rng.normal(size=900)
    score = 0.8 * (x - between[g]) - 1.2 * between[g] + rng.logistic(size=900)
    data = pd.DataFrame({"y": np.digitize(score, [-1.0, 0.0, 1.0]), "x": x, "g": g.astype(str)})
    finding = ml.check(ml.fit("y ~ x + (1 | g)", data, family="cumulative")).code("N_WITHIN_BETWEEN")[0]
    assert finding.values["within"] > 0 > finding.values["between"]


def test_an_sd_that_may_be_zero_is_no_group_that_decides() -> None:
    data = table(504, groups=25, size=12)  # sd 0.29: without one of the groups it is zero
    found = ml.check(ml.fit("rating ~ x + (1 | g)", data[["rating", "x", "g"]], family="cumulative"))
    assert found.code("N_INFLUENCE")[0].severity == "ok"


def test_an_outlying_count_is_named() -> None:
    data = table()
    data.loc[17, "count"] = 80
    found = ml.check(ml.fit("count ~ x + (1 | g)", data[["count", "x", "g"]], family="poisson"))
    assert 17 in found.code("N_OUTLIERS")[0].values["rows"]


def test_separation_is_a_problem_among_the_findings() -> None:
    data = table()
    data["k"] = np.random.default_rng(0).choice(list("ab"), len(data))
    data["yes"] = np.where(data.k == "b", 1, data.yes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = ml.check(ml.fit("yes ~ x + k + (1 | g)", data, family="bernoulli"))
    assert found.code("W_SEPARATION")[0].severity == "problem"
    assert any("infinite" in reason for reason in found.skipped)


def test_a_large_coefficient_of_a_small_unit() -> None:
    data = table()
    data["x"] = data.x / 1000
    found = ml.advise(ml.fit("count ~ x + (1 | g)", data, family="poisson"))
    finding = next(f for f in found if f.code == "N_SCALES")
    assert "scale(x)" in finding.remedy


# --- what they are made of ---------------------------------------------------------------------------------------
def test_a_refit_of_the_observed_response_is_the_joint_mode() -> None:
    """With the variances held, β and b solve the penalised score equations."""
    fit = fitted("poisson")
    found = Replicates(fit).observed
    at = fit.model.distribution.derivatives(found.observations, found.eta, 1)
    x = np.column_stack([np.ones(len(found.eta)), table().x])
    np.testing.assert_allclose(x.T @ at.first[:, 0], 0.0, atol=2e-2)
    codes = fit.model.design.groups[0].codes
    scores = np.bincount(codes, at.first[:, 0])
    np.testing.assert_allclose(scores, found.effects[0][:, 0] / fit.estimates.covariances[0][0, 0], atol=1e-2)


def test_replicates_are_the_same_every_time() -> None:
    first, second = (next(iter(Replicates(fitted("poisson"), seed=4))) for _ in range(2))
    np.testing.assert_array_equal(first.observations.y, second.observations.y)
    np.testing.assert_array_equal(first.eta, second.eta)


def test_upper_p_of_a_gamma() -> None:
    from scipy.stats import gamma

    null = gamma.ppf((np.arange(4000) + 0.5) / 4000, 3.0)
    assert upper_p(gamma.ppf(0.99, 3.0), null) == pytest.approx(0.01, rel=0.1)


def test_predictive_statistics_suit_the_family() -> None:
    def quantities(family: str) -> set[str]:
        return set(predictive_checks(fitted(family), n=20).groups[0].observed)

    assert quantities("poisson") == {"mean", "sd", "max", "zeros"}
    assert quantities("bernoulli") == {"mean"}
    assert quantities("binomial") == {"mean", "sd", "min", "max"}
    assert quantities("categorical") == {"share[a]", "share[b]", "share[c]"}
    part = predictive_checks(fitted("binomial"), n=20).groups[0]
    assert part.observed["mean"].max() <= 1.0
    assert abs(part.centre["mean"] - part.observed["mean"]).max() < 0.5


def test_autocorrelation_of_counts() -> None:
    rng = np.random.default_rng(2)
    e = np.zeros((20, 40))
    for t in range(1, 40):
        e[:, t] = 0.8 * e[:, t - 1] + 0.5 * rng.normal(size=20)
    data = pd.DataFrame({"g": np.repeat(np.arange(20), 40).astype(str), "y": rng.poisson(np.exp(1.0 + e)).ravel()})
    fit = ml.fit("y ~ 1 + (1 | g)", data, family="poisson")
    assert acf(fit, lags=2).correlation[0] > 0.3
    assert ml.check(fit).code("N_AUTOCORRELATION")[0].alarming


def test_who_scatters() -> None:
    assert scatters(fitted("poisson"))
    assert scatters(fitted("binomial"))
    assert not scatters(fitted("bernoulli"))
    assert not scatters(fitted("cumulative"))
