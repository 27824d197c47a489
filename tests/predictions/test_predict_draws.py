"""Predictions of sampled fits: every answer is a function of the draws, for all families, targets and kinds."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats
from synthetic import sampled

import multilevel as ml
from multilevel.errors import MultilevelWarning, UnseenLevelError, WeightsError
from multilevel.predictions import posterior as room

sys.path.insert(0, str(Path(__file__).parent))
from family_cases import CASES, fitted, rows, some

TARGETS, KINDS = ("conditional", "new_group", "reference", "marginal"), ("mean", "linear", "response")
DRAWN = [name for name in CASES if name not in ("none", "agq")]
each = pytest.mark.parametrize("case", DRAWN)
QUICK = ("poisson crossed", "binomial", "student", "gaussian sigma", "cumulative", "categorical", "no groups")
PAIRS = [
    pytest.param(case, kind, marks=() if kind == "mean" or case in QUICK else pytest.mark.slow)
    for case in DRAWN for kind in KINDS
]  # fmt: skip


@cache
def drawn(case: str, draws: int = 60):
    return sampled(fitted(case), draws)


@cache
def linear():
    return sampled(ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes")), 500)


def numbers(table, name: str = "estimate") -> np.ndarray:
    return np.asarray(table[name], dtype=float)


# --- all families --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("case", "kind"), PAIRS)
def test_every_target_of_every_family_is_near_the_likelihood_fit_it_was_drawn_from(case, kind):
    fit, posterior, new = fitted(case), drawn(case), some(np.arange(5))
    for target in TARGETS:
        if case == "categorical" and target in ("new_group", "marginal"):
            continue  # an sd near zero: normal draws of its logarithm reach far
        a = fit.predict(new, target=target, kind=kind)
        b = posterior.predict(new, target=target, kind=kind)
        assert list(a) == list(b)
        for name in a:
            if name.startswith("estimate"):
                error = np.asarray(a["std_error" + name.removeprefix("estimate")], dtype=float)
                assert np.all(np.abs(numbers(a, name) - numbers(b, name)) < 0.8 * error + 1e-9), (target, name)
            elif name.startswith(("lower", "upper")) and kind != "response":
                other = "estimate" + name[5:]
                outside = (numbers(b, name) < numbers(b, other)) != name.startswith("lower")
                assert not np.any(outside & (numbers(b, name) != numbers(b, other)))


@each
def test_fitted_values_are_the_predictions_of_the_training_rows(case):
    posterior = drawn(case)
    predicted = posterior.predict(rows(), interval=None)
    found = np.column_stack([np.asarray(predicted[name]) for name in predicted])
    np.testing.assert_allclose(found, posterior.fitted_values.reshape(len(found), -1), rtol=1e-12)


@each
def test_replicated_responses_have_the_predicted_moments(case):
    posterior = drawn(case)
    replicated = ml.posterior_predictive(posterior, 200, seed=1)
    assert replicated.shape == (200, posterior.model.design.n)
    assert np.array_equal(replicated, ml.posterior_predictive(posterior, 200, seed=1))
    if posterior.fitted_values.ndim > 1:
        shares = np.stack([(replicated == k).mean(axis=0) for k in range(posterior.fitted_values.shape[1])], axis=1)
        assert np.abs(shares - posterior.fitted_values).mean() < 0.04
        return
    trials = posterior.model.observations.trials
    mean = posterior.fitted_values * (1.0 if trials is None else trials)
    error = replicated.std(axis=0) / np.sqrt(200)
    z = (replicated.mean(axis=0) - mean) / np.maximum(error, 1e-9)
    if case != "student":  # heavy tails
        assert np.mean(np.abs(z) < 3.0) > 0.95


@each
def test_response_residuals_are_what_the_fitted_values_leave(case):
    posterior = drawn(case)
    if posterior.fitted_values.ndim == 1:
        left = posterior.model.design.response - posterior.fitted_values
        np.testing.assert_allclose(posterior.residuals(), left, atol=1e-12)


@each
def test_quantile_residuals_are_standard_normal(case):
    r = drawn(case).residuals(kind="quantile")
    assert np.isfinite(r).all()
    if case not in ("complete", "no groups", "inverse_gaussian", "gaussian log"):  # models that do not hold here
        assert stats.kstest(r, "norm").pvalue > 1e-4


# --- the definitions -----------------------------------------------------------------------------------------------
def test_a_linear_fit_is_read_off_its_draws():
    fit = linear()
    sample = fit.estimates.certainty.sample
    beta, b = sample.flat(sample.beta), sample.flat(sample.effects[0])
    place = fit.model.design.groups[0].levels.index("S03")
    eta = beta[:, 0] + b[:, place, 0] + 1.5 * (beta[:, 1] + b[:, place, 1])
    found = fit.predict({"school": ["S03"], "ses": [1.5]})
    np.testing.assert_allclose(numbers(found), eta.mean())
    np.testing.assert_allclose(numbers(found, "std_error"), eta.std(ddof=1))
    np.testing.assert_allclose([found["lower"][0], found["upper"][0]], np.quantile(eta, [0.025, 0.975]))


def test_a_new_group_has_its_own_draw_from_the_population_of_each_draw():
    fit = linear()
    sample = fit.estimates.certainty.sample
    covariance, beta = sample.flat(sample.covariances[0]), sample.flat(sample.beta)
    z = np.array([1.0, 1.5])
    variance = np.einsum("j,sjk,k->s", z, covariance, z)
    found = fit.predict({"ses": [1.5]}, target="new_group")
    np.testing.assert_allclose(numbers(found), (beta @ z).mean(), atol=0.1)
    np.testing.assert_allclose(numbers(found, "std_error") ** 2, variance.mean() + (beta @ z).var(), rtol=0.06)
    both = fit.predict({"ses": [0.0, 1.5]}, target="new_group")  # rows asked about together do not change each other
    np.testing.assert_allclose(numbers(both)[1], numbers(found)[0], rtol=1e-12)


def test_a_new_observation_has_the_residual_variance_of_each_draw():
    fit = linear()
    sample = fit.estimates.certainty.sample
    mean = fit.predict({"ses": [1.5]}, target="new_group")
    found = fit.predict({"ses": [1.5]}, target="new_group", kind="response")
    expected = numbers(mean, "std_error") ** 2 + np.mean(sample.sigma**2)
    np.testing.assert_allclose(numbers(found, "std_error") ** 2, expected, rtol=1e-3)
    half = 0.5 * (found["upper"][0] - found["lower"][0]) / np.sqrt(expected[0])
    assert 1.8 < half < 2.15


def test_the_population_average_integrates_over_new_groups_in_every_draw():
    posterior = drawn("binomial")
    sample = posterior.estimates.certainty.sample
    beta, sd = sample.flat(sample.beta), np.sqrt(sample.flat(sample.covariances[0])[:, 0, 0])
    eta = beta @ np.array([1.0, 0.7])
    exact = [
        integrate.quad(lambda u, e=e, s=s: stats.norm.pdf(u) / (1.0 + np.exp(-(e + s * u))), -9, 9)[0]
        for e, s in zip(eta, sd, strict=True)
    ]
    found = posterior.predict({"x": [0.7], "n": [5]}, target="marginal")
    np.testing.assert_allclose(numbers(found), np.mean(exact), rtol=1e-8)
    np.testing.assert_allclose(numbers(found, "std_error"), np.std(exact, ddof=1), rtol=1e-6)


@pytest.mark.parametrize("case", ["poisson", "binomial pair", "zero_inflated_negative_binomial", "gamma"])
def test_closed_forms_of_the_average_are_the_quadrature(case, monkeypatch):
    from multilevel.predictions import from_draws

    closed = drawn(case).predict(some(np.arange(4)), target="marginal")
    monkeypatch.setattr(from_draws, "PROPORTIONAL", ())
    monkeypatch.setattr(from_draws, "SINGLE", ())
    again = drawn(case).predict(some(np.arange(4)), target="marginal")
    np.testing.assert_allclose(numbers(closed), numbers(again), rtol=1e-9)


# --- order, memory, seeds ------------------------------------------------------------------------------------------
def test_portions_of_rows_do_not_change_means(monkeypatch):
    posterior = drawn("gaussian sigma")
    whole = {t: posterior.predict(some(np.arange(9)), target=t) for t in TARGETS}
    fitted_whole = posterior.fitted_values
    monkeypatch.setattr(room, "CELLS", 8 * 240)
    for target, table in whole.items():
        again = posterior.predict(some(np.arange(9)), target=target)
        for name in table:
            np.testing.assert_allclose(numbers(table, name), numbers(again, name), rtol=1e-12)
    again = sampled(fitted("gaussian sigma"), 60).fitted_values
    np.testing.assert_allclose(fitted_whole, again, rtol=1e-12)


def test_the_same_seed_gives_the_same_answer():
    fit, new = linear(), {"ses": [0.0, 1.0]}
    a, b = (fit.predict(new, target="new_group", kind="response", seed=3) for _ in range(2))
    assert a.equals(b)
    assert not a.equals(fit.predict(new, target="new_group", kind="response", seed=4))


def test_mixed_targets_and_unseen_groups():
    fit = sampled(ml.fit("rating ~ 1 + (1 | rater) + (1 | item)", ml.datasets.load("ratings")), 100)
    table = ml.datasets.load("ratings").head(1)
    known = fit.predict(table)
    new = fit.predict(table, target={"item": "new_group"})
    assert new["std_error"][0] > known["std_error"][0]
    with pytest.raises(UnseenLevelError):
        fit.predict(table.assign(item="another"))


def test_what_a_new_observation_needs_is_asked_for():
    with pytest.raises(WeightsError):
        drawn("binomial").predict({"x": [0.0]}, target="reference", kind="response")


def test_no_rows_give_an_empty_table():
    assert len(linear().predict({"school": [], "ses": np.zeros(0)})) == 0


def test_new_groups_of_replicated_data_differ_between_levels():
    fit = linear()
    spread = {t: ml.posterior_predictive(fit, 300, seed=2, target=t).mean(axis=1).std() for t in TARGETS[:2]}
    tau = np.sqrt(fit.estimates.covariances[0][0, 0])
    levels = len(fit.model.design.groups[0].levels)
    assert spread["new_group"] > 3.0 * spread["conditional"]
    assert 0.7 < spread["new_group"] / (tau / np.sqrt(levels)) < 1.7


# --- a few rows more -------------------------------------------------------------------------------------------------
def test_an_update_is_the_posterior_given_the_new_rows():
    """Against weights and conditional means of every draw in closed form."""
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 500)
    sample = fit.estimates.certainty.sample
    y = np.array([85.0, 78.0, 88.0, 90.0])
    beta, tau2 = sample.flat(sample.beta)[:, 0], sample.flat(sample.covariances[0])[:, 0, 0]
    sigma2 = sample.sigma.ravel() ** 2
    n = len(y)
    log_w = np.array([
        stats.multivariate_normal.logpdf(y, np.full(n, m), s * np.eye(n) + t)
        for m, t, s in zip(beta, tau2, sigma2, strict=True)
    ])  # fmt: skip
    w = np.exp(log_w - log_w.max())
    w /= w.sum()
    shrink = n * tau2 / (n * tau2 + sigma2)
    mean = np.sum(w * shrink * (y.mean() - beta))
    variance = np.sum(w * (tau2 * (1.0 - shrink) + (shrink * (y.mean() - beta)) ** 2)) - mean**2
    update = fit.update_groups({"school": ["new"] * n, "score": y})
    assert update.table["known"].tolist() == [False]
    np.testing.assert_allclose(update.table["estimate"][0], mean, atol=4.0 * np.sqrt(variance / 1500))
    np.testing.assert_allclose(update.table["std_error"][0], np.sqrt(variance), rtol=0.12)
    assert update.khat < 0.5
    one = update.predict({"school": ["new"]})
    np.testing.assert_allclose(one["estimate"][0], np.sum(w * (beta + shrink * (y.mean() - beta))), atol=0.25)


@pytest.mark.parametrize("case", ["poisson", "cumulative", "gaussian sigma"])
def test_an_update_of_other_families_is_near_the_one_at_fixed_variances(case):
    fit = fitted(case)
    table = {name: np.asarray(values)[:6].copy() for name, values in rows().items()}
    table["g"] = np.array(["new"] * 4 + ["g01", "g02"])
    a, b = fit.update_groups(table).table, sampled(fit, 500).update_groups(table).table
    assert a["level"].tolist() == b["level"].tolist()
    assert np.all(np.abs(a["estimate"] - b["estimate"]) < 0.6 * a["std_error"])


def test_rows_that_contradict_the_posterior_ask_for_a_fit():
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 100)
    level = fit.model.design.groups[0].levels[0]
    with pytest.warns(MultilevelWarning, match="refit|Refit|too far"):
        update = fit.update_groups({"school": [level] * 30, "score": np.full(30, 20.0)})
    assert update.khat > update.limit
