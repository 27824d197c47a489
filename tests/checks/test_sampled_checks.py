"""Checks of sampled fits: none crashes, predictive checks read the draws, and estimators side by side."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from deserving import FORMULA, healthy, unhealthy
from synthetic import sampled

import multilevel as ml
from multilevel.checks.check import advise, check
from multilevel.checks.predictive import OVERALL, predictive_checks
from multilevel.errors import SettingError

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))
from family_cases import fitted

EVERY = [
    "poisson crossed", "cumulative",
    *(pytest.param(c, marks=pytest.mark.slow) for c in ("binomial", "categorical", "gaussian sigma", "gamma")),
]  # fmt: skip


@pytest.mark.parametrize("case", EVERY)
def test_every_check_runs_for_every_kind_of_model(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        found = check(sampled(fitted(case), 50))
    assert any("influence" in reason for reason in found.skipped) or "skipped" in str(found)
    assert len(found) > 3


def test_a_healthy_posterior_is_as_healthy_as_its_likelihood_fit():
    fit = ml.fit(FORMULA, healthy(1))
    a, b = check(fit), check(sampled(fit, 250))
    assert b.worst == a.worst == "ok"
    assert {f.code for f in a} - {f.code for f in b} <= {"N_INFLUENCE"}


@pytest.mark.parametrize("what", ["wild group", "outlier"])
def test_what_is_wrong_is_found_in_a_posterior_too(what):
    try:
        data = unhealthy(what)
    except KeyError:
        pytest.skip(f"no such data: {what}")
    fit = ml.fit(FORMULA, data)
    assert {f.code for f in check(fit) if f.severity != "ok"} <= {f.code for f in check(sampled(fit, 250))}


def test_advice_about_a_posterior():
    assert isinstance(advise(sampled(ml.fit(FORMULA, healthy(1)), 50)), list)


# --- posterior predictive checks -----------------------------------------------------------------------------------
def test_predictive_p_values_are_shares_of_replicated_data():
    fit = sampled(fitted("poisson"), 50)
    found = predictive_checks(fit, n=60, seed=4)
    table = found.table
    assert table["group"][0] == OVERALL
    assert set(table["quantity"]) == {"mean", "sd", "max", "zeros"}
    seed = int(np.random.default_rng(4).integers(2**63))
    replicated = fit.simulate(60, seed=seed)
    y = fit.model.design.response
    for name, statistic in (("mean", np.mean), ("max", np.max), ("zeros", lambda a: np.mean(a == 0))):
        drawn = np.array([statistic(row) for row in replicated])
        above = np.mean(drawn > statistic(y)) + 0.5 * np.mean(drawn == statistic(y))
        np.testing.assert_allclose(found.overall.above[name], above)
        np.testing.assert_allclose(table["p_value"][table["quantity"] == name].iloc[0], 2 * min(above, 1 - above))
    assert "all rows" in str(found)


def test_a_wrong_family_shows_in_the_replicated_data():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(25), 12)
    mean = 3.0 * np.exp(0.9 * rng.normal(size=25))[g]
    y = rng.poisson(rng.gamma(0.35, mean / 0.35))
    fit = sampled(ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="poisson"), 50)
    found = predictive_checks(fit, n=100, target="conditional")  # new groups of so wide a population hide a spread
    assert found.overall.p_each("zeros")[0] < 0.02
    assert found.overall.p_each("sd")[0] < 0.02
    right = sampled(ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="negative_binomial"), 50)
    assert predictive_checks(right, n=100).overall.p_each("zeros")[0] > 0.05


def test_a_posterior_without_groups_has_an_overall_check():
    fit = sampled(ml.fit("score ~ ses", ml.datasets.load("classes")), 50)
    assert predictive_checks(fit, n=40).groups == ()
    assert predictive_checks(fit, n=40).overall.p_each("mean")[0] > 0.05


def test_groups_kept_have_narrower_bands_than_new_ones():
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 50)
    new, kept = (predictive_checks(fit, n=60, target=t).groups[0] for t in ("new_group", "conditional"))
    assert np.median(kept.spread["mean"]) < 0.7 * np.median(new.spread["mean"])


# --- estimators side by side ---------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def side_by_side():
    model = ml.Model("score ~ ses + (ses | school)", ml.datasets.load("classes"), priors="brms")
    return ml.compare_estimators(model, ["reml", "ml", "collapsed"], draws=500)


def test_estimators_side_by_side_hold_the_fits_own_numbers(side_by_side):
    table = side_by_side.table
    assert list(side_by_side.fits) == ["reml", "ml", "collapsed"]
    fit = side_by_side.fits["reml"]
    mine = table[(table["estimator"] == "reml") & (table["parameter"] == "sd")]
    np.testing.assert_allclose(mine["estimate"], np.sqrt(np.diag(fit.estimates.covariances[0])))
    np.testing.assert_allclose(mine["std_error"], fit.sd_errors[0][0])
    drawn = side_by_side.fits["collapsed"].estimates.certainty.sample
    sds = np.sqrt(np.einsum("csjj->csj", drawn.covariances[0]))
    mine = table[(table["estimator"] == "collapsed") & (table["parameter"] == "sd")]
    np.testing.assert_allclose(mine["estimate"], sds.mean(axis=(0, 1)))
    assert (mine["mcse_mean"] > 0.0).all()
    assert "seconds" in str(side_by_side)


def test_what_differs_is_said_with_its_reason(side_by_side):
    said = [text for text in side_by_side.differences if text.startswith("sd[school, Intercept]: reml")]
    assert said
    assert "skewed" in said[0] or "prior" in said[0]
    assert not side_by_side.agree
    assert not any(text.startswith("ses:") for text in side_by_side.differences)


def test_maximum_likelihood_is_told_from_reml():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(6), 4)
    y = 2.0 * rng.normal(size=6)[g] + rng.normal(size=24)
    data = {"g": g, "y": y, **{f"x{j}": rng.normal(size=6)[g] for j in (1, 2)}}
    found = ml.compare_estimators(ml.Model("y ~ x1 + x2 + (1 | g)", data), ["reml", "ml"])
    assert any("does not allow for the coefficients" in text for text in found.differences)


def test_a_sampler_that_is_off_is_named():
    from multilevel.checks.compare_estimators import _differences, parameters

    likelihood = ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes"))
    good, off = sampled(likelihood, 1000), sampled(likelihood, 1000, seed=1)
    fits = {"first": good, "second": off}
    by_fit = {name: parameters(fit) for name, fit in fits.items()}
    values = {a: {name: found[a] for name, found in by_fit.items()} for a in by_fit["first"]}
    assert _differences(fits, values) == []
    off.estimates.certainty.sample.beta[..., 1] += 0.2
    values = {a: {"first": values[a]["first"], "second": parameters(off)[a]} for a in values}
    said = _differences(fits, values)
    assert len(said) == 1
    assert said[0].startswith("ses: second is")
    assert "converged" in said[0]


def test_estimators_that_do_not_apply_are_listed_or_refused():
    model = ml.Model("score ~ ses + (1 | school) + (1 | classroom)", ml.datasets.load("classes"))
    found = ml.compare_estimators(model, ["reml", "james_stein"])
    assert list(found.skipped) == ["james_stein"]
    assert "james_stein was left out" in str(found)
    with pytest.raises(SettingError):
        ml.compare_estimators(model, ["james_stein"])
