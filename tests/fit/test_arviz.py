"""The draws as ArviZ data: names, coordinates, groups, numbers."""

from __future__ import annotations

import sys
import warnings

import numpy as np
import pytest
from sampled_helpers import sampled

import multilevel as ml
from multilevel.errors import BackendError, SettingError

pytest.importorskip("arviz_base")


@pytest.fixture(scope="module")
def fit():
    return sampled("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"), draws=50)


@pytest.fixture(scope="module")
def tree(fit):
    return fit.to_arviz(posterior_predictive=True)


def test_groups(fit, tree):
    groups = {"posterior", "sample_stats", "observed_data", "log_likelihood", "posterior_predictive"}
    assert set(tree.children) == groups
    assert "log_likelihood" not in fit.to_arviz(log_likelihood=False).children
    assert tree.attrs["formula"] == "Reaction ~ Days + (Days | Subject)"
    assert tree.attrs["inference_library"] == "multilevel"


def test_posterior(fit, tree):
    posterior = tree["posterior"]
    assert posterior["beta"].dims == ("chain", "draw", "term")
    np.testing.assert_array_equal(posterior["beta"].sel(term="Days"), fit.draws.by_chain("beta")[..., 1])
    assert posterior["sd"].coords["sd_group"].values.tolist() == ["Subject", "Subject"]
    assert posterior["sd"].coords["sd_term"].values.tolist() == ["Intercept", "Days"]
    assert posterior["cor"].coords["cor_term_2"].values.tolist() == ["Days"]
    r = posterior["r_Subject"].sel(Subject="309", Subject_term="Days")
    np.testing.assert_array_equal(r, fit.draws.by_chain("r_Subject")[:, :, 1, 1])
    assert posterior["sigma"].shape == (4, 50)


def test_statistics_have_the_names_of_arviz(tree):
    names = {"lp", "diverging", "tree_depth", "energy", "acceptance_rate", "step_size", "n_steps"}
    assert set(tree["sample_stats"].data_vars) == names
    assert tree["sample_stats"]["diverging"].dtype == bool


def test_rows(fit, tree):
    y = ml.datasets.load("lme4/sleepstudy")["Reaction"].to_numpy()
    np.testing.assert_array_equal(tree["observed_data"]["Reaction"], y)
    beta, sigma, r = (fit.draws.by_chain(name) for name in ("beta", "sigma", "r_Subject"))
    mean = beta[2, 7, 0] + r[2, 7, 0, 0] + (beta[2, 7, 1] + r[2, 7, 0, 1]) * 3.0  # fourth day of the first subject
    z = (y[3] - mean) / sigma[2, 7]
    known = -0.5 * z**2 - np.log(sigma[2, 7]) - 0.5 * np.log(2.0 * np.pi)
    assert float(tree["log_likelihood"]["Reaction"][2, 7, 3]) == pytest.approx(known)
    replicated = tree["posterior_predictive"]["Reaction"].values
    assert replicated.shape == (4, 50, 180)
    assert replicated.mean() == pytest.approx(y.mean(), abs=3.0)
    assert replicated.reshape(200, 180).std(axis=0).mean() == pytest.approx(sigma.mean(), rel=0.2)


def test_other_families_and_names_that_collide():
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(6), 10)
    y = rng.poisson(np.exp(1.0 + rng.normal(size=6)[g]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sampled("term ~ 1 + (1 | draw)", {"term": y, "draw": [f"g{i}" for i in g]}, "poisson", draws=20)
    tree = fit.to_arviz(posterior_predictive=True)
    assert tree["posterior"]["r_draw"].shape == (4, 20, 6, 1)
    assert tree["log_likelihood"].to_dataset().sizes["row"] == 60
    assert np.all(tree["posterior_predictive"]["term"] >= 0)


def test_draws_from_the_priors(fit):
    tree = fit.to_arviz(log_likelihood=False, prior=True)
    prior = tree["prior"]
    assert set(prior.data_vars) == {"beta", "sd", "cor", "sigma", "r_Subject"}
    assert prior["sd"].shape == (1, 200, 2)
    assert prior["sd"].coords["sd_term"].values.tolist() == ["Intercept", "Days"]
    of_sigma = fit.model.priors.constants["sigma"]
    assert of_sigma.below(float(np.median(prior["sigma"]))) == pytest.approx(0.5, abs=0.12)
    assert float(prior["sd"].std()) > float(tree["posterior"]["sd"].std())
    flat = ml.Model("Reaction ~ Days + (Days | Subject)", fit.model.table, priors="brms")
    with pytest.raises(SettingError) as error:
        ml.Fit(flat, fit.estimator, fit.estimates).to_arviz(prior=True)
    assert error.value.code == "E_PRIOR_IMPROPER"


def test_without_the_library(fit, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_base", None)
    with pytest.raises(BackendError, match="arviz-base") as error:
        fit.to_arviz()
    assert error.value.code == "E_ARVIZ"
    assert "pip install" in error.value.hint
