"""Parametric bootstrap: cheap refits are whole fits, draws depend on the seed alone, moments are those of theory."""

from __future__ import annotations

import json
import time
import warnings

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import MultilevelWarning, SettingError
from multilevel.inference import bootstrap as module
from multilevel.inference.bootstrap import bootstrap
from multilevel.inference.parameters import estimated, parameters
from multilevel.inference.responses import Refit, Responses
from multilevel.inference.variants import variant

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.SingularFitWarning")

SLEEPSTUDY = "Reaction ~ Days + (Days | Subject)"


def sleepstudy():
    data = ml.datasets.load("lme4/sleepstudy")
    rng = np.random.default_rng(1)
    return data.assign(w=rng.uniform(0.2, 3.0, len(data)), o=rng.normal(size=len(data)), far=data["Days"] + 1e6)


MODELS = {
    "slopes": (SLEEPSTUDY, sleepstudy, {}),
    "uncorrelated": ("Reaction ~ Days + (Days || Subject)", sleepstudy, {}),
    "no intercept": ("Reaction ~ 0 + Days + (0 + Days | Subject)", sleepstudy, {}),
    "weights and offset": ("Reaction ~ Days + (1 | Subject)", sleepstudy, {"weights": "w", "offset": "o"}),
    "far from zero": ("Reaction ~ far + (far | Subject)", sleepstudy, {}),
    "crossed": ("diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: ml.datasets.load("lme4/Penicillin"), {}),
    "nested": ("score ~ ses + (ses | school) + (1 | school:classroom)", lambda: ml.datasets.load("classes"), {}),
    "two terms of one factor": ("Reaction ~ Days + (1 | Subject) + (0 + Days | Subject)", sleepstudy, {}),
    "polynomials": ("Reaction ~ poly(Days, 3) + (1 | Subject)", sleepstudy, {}),
}


@pytest.fixture(scope="module")
def fit():
    return ml.fit(SLEEPSTUDY, sleepstudy())


@pytest.mark.parametrize("estimator", ["reml", "ml"])
@pytest.mark.parametrize("name", MODELS)
def test_cheap_refits_are_whole_fits(name, estimator):
    formula, data, settings = MODELS[name]
    fit = ml.fit(formula, data(), estimator=estimator, **settings)
    names = parameters(fit.model)
    simulated = fit.simulate(3, seed=2)
    responses = Responses(fit.model, estimator == "reml", names, np.array(fit.estimates.notes["theta"]))
    assert responses.cheap
    for y, refit in zip(simulated, responses.refits(simulated), strict=True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            whole = variant(fit.model, response=y).fit(estimator)
        assert refit.converged
        assert refit.deviance == pytest.approx(whole.objective, rel=1e-9)
        assert refit.values == pytest.approx(estimated(whole.estimates, names), rel=1e-5, abs=1e-6, nan_ok=True)


def test_ill_conditioned_columns_go_the_whole_way():
    """Powers of a column far from zero cannot be centred again from their coefficients."""
    data = sleepstudy()
    data["c"] = data["far"] ** 2
    fit = ml.fit("Reaction ~ far + c + (1 | Subject)", data)
    names = parameters(fit.model)
    responses = Responses(fit.model, True, names, None)
    simulated = fit.simulate(2, seed=0)
    for y, refit in zip(simulated, responses.refits(simulated), strict=True):
        whole = variant(fit.model, response=y).fit("reml")
        assert refit.deviance == pytest.approx(whole.objective, rel=1e-9)


def test_refits_of_sleepstudy_take_less_than_two_milliseconds(fit):
    responses = Responses(fit.model, True, parameters(fit.model), np.array(fit.estimates.notes["theta"]))
    simulated = fit.simulate(50, seed=1)
    list(responses.refits(simulated))
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        list(responses.refits(simulated))
        seconds.append(time.perf_counter() - start)
    assert min(seconds) / 50 < 2e-3


def test_moments_in_a_balanced_layout():
    """σ̂² ~ σ² χ²/ν with ν = 30 · 49, and β̂ is the grand mean: both have known spreads."""
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    found = bootstrap(fit, 1000, seed=3)
    table = found.table.set_index(["parameter", "term"])
    sigma, sd, n = fit.sigma, fit.variance_components["sd"][0], 1470
    assert table.loc[("sigma", ""), "std_error"] == pytest.approx(sigma / np.sqrt(2 * n), rel=0.08)
    error = np.sqrt((sd**2 + sigma**2 / 50) / 30)
    assert table.loc[("fixed", "Intercept"), "std_error"] == pytest.approx(error, rel=0.08)
    assert abs(table.loc[("fixed", "Intercept"), "bias"]) < 4.0 * error / np.sqrt(1000)
    # sd̂² + σ²/50 ~ (sd² + σ²/50) χ²(29)/29
    from scipy.stats import chi2

    expected = np.sqrt(chi2.ppf([0.025, 0.975], 29) / 29 * (sd**2 + sigma**2 / 50) - sigma**2 / 50)
    assert table.loc[("sd", "Intercept"), ["lower", "upper"]].to_numpy(float) == pytest.approx(expected, rel=0.05)


def test_intervals_are_quantiles_of_the_draws(fit):
    found = bootstrap(fit, 100, seed=5, level=0.8)
    table = found.table
    days = found.draws["Days"]
    low, high = np.quantile(days, [0.1, 0.9])
    row = table.iloc[1]
    assert (row["lower"], row["upper"]) == pytest.approx((low, high))
    assert (row["basic_lower"], row["basic_upper"]) == pytest.approx(
        (2 * row["estimate"] - high, 2 * row["estimate"] - low)
    )
    assert row["bias"] == pytest.approx(days.mean() - fit.coefficients["Days"])
    assert np.all(table["basic_lower"][2:5] >= 0.0)
    assert np.all(np.abs(table[["lower", "upper", "basic_lower", "basic_upper"]].iloc[5]) <= 1.0)


def test_seed_and_workers(fit):
    a, b, c = bootstrap(fit, 60, seed=1), bootstrap(fit, 60, seed=1), bootstrap(fit, 60, seed=2)
    assert np.array_equal(a.values, b.values)
    assert not np.array_equal(a.values, c.values)
    # the first draws do not depend on how many follow
    assert np.array_equal(bootstrap(fit, 110, seed=1).values[:50], a.values[:50])


def test_workers_give_the_same_draws(fit):
    pytest.importorskip("joblib")
    assert np.array_equal(bootstrap(fit, 60, seed=1, parallel=2).values, bootstrap(fit, 60, seed=1).values)


def test_without_joblib_the_message_says_so(fit, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "joblib", None)
    with pytest.raises(SettingError, match="joblib"):
        bootstrap(fit, 60, parallel=2)


def test_failed_refits_are_counted_and_left_out(fit, monkeypatch):
    real = Responses._search

    def sometimes(self, likelihood):
        found = real(self, likelihood)
        sometimes.calls += 1
        return Refit(found.values * np.nan, np.nan, False) if sometimes.calls % 10 == 0 else found

    sometimes.calls = 0
    monkeypatch.setattr(Responses, "_search", sometimes)
    found = bootstrap(fit, 50)
    assert found.failed == 5
    assert found.values.shape == (45, 6)
    assert np.isfinite(found.values[:, :5]).all()
    assert "5 of 50" in found.summary()


def test_without_groups_and_text():
    fit = ml.fit("Reaction ~ Days", sleepstudy())
    found = bootstrap(fit, 200)
    assert [n.label for n in found.names] == ["Intercept", "Days", "sigma"]
    # σ of a regression is that over n − p in the refits too
    assert found.draws["sigma"].mean() == pytest.approx(fit.sigma, rel=0.02)
    assert "Days" in str(found)
    assert "<table>" in found._repr_html_()
    record = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert record["parameters"][0]["term"] == "Intercept"


def test_zero_variances_stay_possible():
    fit = ml.fit("Yield ~ 1 + (1 | Batch)", ml.datasets.load("lme4/Dyestuff2"))
    found = bootstrap(fit, 100)
    draws = found.draws["sd(Intercept | Batch)"]
    assert 0.3 < np.mean(draws == 0.0) < 0.9
    assert found.table["lower"][1] == 0.0


def test_refusals(fit):
    with pytest.raises(SettingError, match="likelihood fit"):
        bootstrap(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="moments"))
    with pytest.raises(SettingError, match="n=5"):
        bootstrap(fit, 5)
    counts = ml.fit("Reaction | weights(k) ~ Days + (1 | Subject)", sleepstudy().assign(k=2))
    with pytest.raises(SettingError, match="several observations"):
        bootstrap(counts, 50)


def test_progress_is_shown_on_terminals_only(monkeypatch, capsys):
    from multilevel.inference import counter

    monkeypatch.setattr(counter, "PATIENCE", -1.0)
    with counter.counter("bootstrap", 100) as count:
        count(50)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with counter.counter("bootstrap", 100) as count:
        count(50)
    assert "bootstrap: 50 of 100 refits" in capsys.readouterr().err


def test_interruption_says_how_far_it_was(fit, monkeypatch):
    def stop(self, likelihood):
        raise KeyboardInterrupt

    monkeypatch.setattr(Responses, "_search", stop)
    with pytest.raises(ml.errors.FitInterrupted, match="0 of 50"):
        bootstrap(fit, 50)


def test_memory_of_a_batch_is_bounded(fit):
    responses = Responses(fit.model, True, (), None)
    assert 1 <= responses.batch <= 64
    assert module.CHUNK >= 1
