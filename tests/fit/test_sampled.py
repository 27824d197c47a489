"""Fits from draws: tables, summary, JSON, draws, warnings; every number is that of the draws themselves."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from sampled_helpers import fit_of, sample_of, sampled

import multilevel as ml
from multilevel import glossary
from multilevel.errors import ConvergenceWarning, SettingError
from multilevel.fit.diagnostics import most_khat, sampler_warnings


@pytest.fixture(scope="module")
def likelihood():
    return ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))


@pytest.fixture(scope="module")
def sample(likelihood):
    return sample_of(likelihood)


@pytest.fixture(scope="module")
def fit(likelihood, sample):
    return fit_of(likelihood, sample)


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(8), 12)
    x = rng.normal(size=96)
    k = rng.binomial(1, 0.7, 96) * rng.poisson(np.exp(0.8 + 0.3 * x + 0.5 * rng.normal(size=8)[g]))
    data = {"k": k, "x": x, "g": [f"g{i}" for i in g]}
    return sampled("k ~ x + (1 | g); zi ~ 1", data, "zero_inflated_poisson", draws=200)


# --- tables ------------------------------------------------------------------------------------------------------
def test_tables_are_moments_and_quantiles(fit, sample):
    beta = sample.beta.reshape(-1, 2)
    table = fit.fixed_effects
    assert tuple(table.columns) == (*glossary.FIXED_EFFECTS, *glossary.DIAGNOSTICS)
    np.testing.assert_allclose(table["estimate"], beta.mean(axis=0))
    np.testing.assert_allclose(table["std_error"], beta.std(axis=0, ddof=1))
    np.testing.assert_allclose(table[["lower", "upper"]].to_numpy().T, np.quantile(beta, [0.025, 0.975], axis=0))
    assert table[["df", "statistic", "p_value"]].isna().all().all()
    sd = np.sqrt(np.einsum("cskk->csk", sample.covariances[0])).reshape(-1, 2)
    components = fit.variance_components
    assert tuple(components.columns) == (*glossary.VARIANCE_COMPONENTS, *glossary.DIAGNOSTICS)
    np.testing.assert_allclose(components["sd"], [*sd.mean(axis=0), sample.sigma.mean()])
    np.testing.assert_allclose(components["std_error"][:2], sd.std(axis=0, ddof=1))
    np.testing.assert_allclose(components["lower"][:2], np.quantile(sd, 0.025, axis=0))
    r = (sample.covariances[0][..., 0, 1].ravel()) / sd.prod(axis=1)
    pairs = fit.correlations
    assert pairs["correlation"][0] == pytest.approx(r.mean())
    assert pairs["std_error"][0] == pytest.approx(r.std(ddof=1))
    assert pairs["upper"][0] == pytest.approx(np.quantile(r, 0.975))
    b = sample.effects[0].reshape(-1, 36)
    effects = fit.group_effects("Subject")
    assert tuple(effects.columns) == (*glossary.GROUP_EFFECTS, *glossary.DIAGNOSTICS)
    np.testing.assert_allclose(effects["estimate"], b.mean(axis=0))
    np.testing.assert_allclose(effects["std_error"], b.std(axis=0, ddof=1))
    np.testing.assert_allclose(effects["upper"], np.quantile(b, 0.975, axis=0))
    np.testing.assert_allclose(fit.vcov, np.cov(beta, rowvar=False))
    assert set(effects.columns) | set(pairs.columns) <= set(glossary.MEANING)
    assert fit.confint(0.5)["lower"][0] == pytest.approx(np.quantile(beta[:, 0], 0.25))


def test_likelihood_fits_keep_their_columns(likelihood):
    assert tuple(likelihood.fixed_effects.columns) == glossary.FIXED_EFFECTS
    assert tuple(likelihood.correlations.columns) == glossary.CORRELATIONS
    assert tuple(likelihood.group_effects("Subject").columns) == glossary.GROUP_EFFECTS


def test_diagnostics_of_tables_are_those_of_the_draws(fit, sample):
    from multilevel.numerics import diagnostics

    table = fit.group_effects("Subject")
    found = diagnostics.diagnose(sample.effects[0].reshape(4, 500, 36))
    np.testing.assert_array_equal(table["rhat"], found.rhat)
    assert fit.variance_components["ess_bulk"][2] == diagnostics.ess_bulk(sample.sigma)
    assert fit.fixed_effects["ess_tail"][1] == diagnostics.ess_tail(sample.beta[..., 1])


def test_weighted_draws_are_worth_their_weights(likelihood):
    from dataclasses import replace

    fit = fit_of(likelihood, sample_of(likelihood, ess=700.0))
    assert fit.fixed_effects["ess_bulk"].max() == 700.0
    assert not fit.warnings
    few = replace(sample_of(likelihood, draws=20, ess=70.0), stats={})  # dealt at random: R̂ is noise
    assert codes(fit_of(likelihood, few)) == ["W_ESS"]


def test_terms_of_one_group_and_dropped_columns():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(10), 8)
    x = rng.normal(size=80)
    y = x + rng.normal(size=10)[g] + 0.5 * rng.normal(size=10)[g] * x + rng.normal(size=80)
    data = {"y": y, "x": x, "x2": 2.0 * x, "g": g}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = sampled("y ~ x + x2 + (1 | g) + (0 + x | g)", data, draws=100)
    table = fit.fixed_effects
    assert np.isnan(table["estimate"][2])
    assert np.isnan(table["rhat"][2])
    assert "NA" in str(fit.summary())
    assert fit.group_effects("g")["term"].tolist()[:2] == ["Intercept", "x"]
    assert fit.draws["r_g"].shape == (400, 10, 2)
    assert len(fit.correlations) == 0
    assert not any("x2" in name for name in fit.diagnostics().table["parameter"][fit.diagnostics().table["rhat"] > 0])
    uncorrelated = sampled("y ~ x + (x || g)", data, draws=100)
    assert not any(name.startswith("cor") for name in uncorrelated.diagnostics().table["parameter"])


# --- what a fit is -----------------------------------------------------------------------------------------------
def test_properties(fit, likelihood, sample):
    assert fit.sampled
    assert fit.sample is sample
    assert likelihood.sample is None
    assert fit.converged
    assert not fit.partial
    assert not fit.singular
    assert np.isnan([fit.log_likelihood, fit.aic, fit.bic, fit.objective]).all()
    assert fit.n_parameters == likelihood.n_parameters
    assert fit.fitted_values.shape == (180,)
    for kind in ("response", "pearson", "standardized", "deviance", "working", "quantile"):
        assert np.isfinite(fit.residuals(kind)).all()
    assert fit.theta.shape == (3,)
    assert not likelihood.sampled


def test_spreads_of_combinations(fit, sample, monkeypatch):
    """x'β + z'b of a known level and of a new one, by hand; in pieces as in one."""
    from multilevel.fit import sampled as module
    from multilevel.fit.estimates import Combination

    x = np.array([[1.0, 3.0], [1.0, 0.0], [0.0, 1.0]])
    rows = Combination(x, (np.array([4, -2, -1]),), (x.copy(),))
    certainty = fit.estimates.certainty
    beta, b = sample.beta.reshape(-1, 2), sample.effects[0].reshape(-1, 18, 2)
    found = certainty.spread(rows)
    assert found.variance[0] == pytest.approx(np.var((beta + b[:, 4]) @ x[0], ddof=1))
    population = np.mean(sample.covariances[0][..., 0, 0])
    assert found.variance[1] == pytest.approx(np.var(beta[:, 0], ddof=1) + population, rel=0.1)
    assert found.variance[2] == pytest.approx(np.var(beta[:, 1], ddof=1))
    assert certainty.effect_variance(rows)[0] == pytest.approx(np.var(b[:, 4] @ x[0], ddof=1))
    assert certainty.covariance(rows)[0, 2] == pytest.approx(np.cov((beta + b[:, 4]) @ x[0], beta[:, 1])[0, 1])
    monkeypatch.setattr(module, "CHUNK", 1)
    np.testing.assert_allclose(certainty.spread(rows).variance[[0, 2]], found.variance[[0, 2]])


def test_draws_keep_chains(fit, sample, likelihood):
    draws = fit.draws
    assert list(draws) == ["beta", "sd", "cor", "sigma", "r_Subject"]
    assert draws.chains == 4
    assert draws.n == 2000
    np.testing.assert_array_equal(draws.by_chain("beta"), sample.beta)
    np.testing.assert_array_equal(draws.by_chain("r_Subject"), sample.effects[0])
    assert draws.coordinates["sd"] == {"group": ["Subject"] * 2, "term": ["Intercept", "Days"]}
    assert "4 chains" in repr(draws)
    assert likelihood.draws.chains == 1
    assert likelihood.draws.n == 1000


def test_json(fit):
    record = json.loads(fit.to_json())
    assert record["sampled"] is True
    assert record["sampler"]["chains"] == 4
    assert record["sampler"]["draws"] == 500
    assert record["sampler"]["divergent"] == 0
    assert record["sampler"]["partial"] is False
    for name in ("log_likelihood", "objective", "aic", "bic", "df_residual"):
        assert record[name] is None
    first = record["fixed_effects"][0]
    assert [first[name] for name in ("df", "statistic", "p_value")] == [None] * 3
    assert first["rhat"] < 1.01
    assert record["diagnostics"]["rhat"] >= first["rhat"]
    assert record["diagnostics"]["ess_bulk"] <= first["ess_bulk"]
    for table in ("variance_components", "correlations", "dispersion"):
        assert all(row["ess_tail"] > 400 for row in record[table])
    assert {"parameter", "prior", "why", "given"} >= set().union(*(c for c in record["priors"]))


def test_constants_and_predicted_parameters(counts):
    text = str(counts.summary())
    assert "Coefficients of zi" in text
    assert "zi_Intercept" in text
    assert "Links: mu = log; zi = logit" in text
    shape = sampled("k ~ x + (1 | g)", counts.model.table, "negative_binomial", draws=200)
    assert "shape" in str(shape.summary())
    assert shape.draws["shape"].shape == (800,)
    assert shape.to_dict()["dispersion"][0]["estimate"] == pytest.approx(shape.draws["shape"].mean())


# --- summary -----------------------------------------------------------------------------------------------------
def test_summary_has_the_layout_of_brms(fit):
    text = str(fit.summary())
    for part in (
        "Bayesian linear mixed model, sampled",
        "Formula: Reaction ~ Days + (Days | Subject)",
        "Family: gaussian (identity link)",
        "Data: 180 rows; levels: Subject 18",
        "Draws: 4 chains of 500 after 500 for tuning: 2000 in all",
        "Sampler: synthetic draws; 0 divergent transitions",
        "Priors: ",
        "Multilevel hyperparameters, ~Subject (number of levels: 18):",
        "sd(Intercept)",
        "cor(Intercept,Days)",
        "Regression coefficients",
        "Further distributional parameters:",
        "Estimate  Est.Error  l-95% CI  u-95% CI   Rhat  Bulk_ESS  Tail_ESS",
    ):
        assert part in text
    assert "p value" not in text
    assert "PARTIAL" not in text
    assert max(map(len, text.splitlines())) <= 120
    assert "u-80% CI" in str(fit.summary(level=0.8))
    assert "Bulk\\_ESS" in fit.summary().to_markdown()
    assert "Est.Error" in fit._repr_html_()


def test_interrupted_runs_are_marked_everywhere(likelihood, tmp_path):
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        fit = fit_of(likelihood, sample_of(likelihood, partial=True, draws=200), issue=True)
    assert fit.partial
    assert not fit.converged
    assert "PARTIAL" in repr(fit)
    assert str(fit.summary()).count("PARTIAL") == 3
    assert fit.to_dict()["sampler"]["partial"] is True
    assert fit.diagnostics().sampler["partial"] is True
    fit.save(tmp_path / "partial.fit")
    assert ml.load(tmp_path / "partial.fit").partial


# --- warnings ----------------------------------------------------------------------------------------------------
def codes(fit) -> list[str]:
    return [w.code for w in fit.warnings]


def spoilt(likelihood, **stats):
    """A healthy sample with other statistics of the sampler."""
    from dataclasses import replace

    sample = sample_of(likelihood)
    return replace(sample, stats={**sample.stats, **stats})


@pytest.mark.parametrize("seed", range(8))
def test_healthy_runs_do_not_warn(likelihood, seed):
    sample = sample_of(likelihood, draws=400, rho=0.3, seed=seed, khat=0.3)
    assert sampler_warnings(likelihood.model, sample) == ()


def test_many_healthy_group_effects_do_not_warn():
    rng = np.random.default_rng(4)
    g = np.repeat(np.arange(600), 3)
    data = {"y": rng.normal(size=600)[g] + rng.normal(size=1800), "g": g}
    fit = sampled("y ~ 1 + (1 | g)", data, draws=500, rho=0.4)
    assert codes(fit) == []


def test_slow_chains(likelihood):
    fit = fit_of(likelihood, sample_of(likelihood, rho=0.97, draws=200))
    assert codes(fit) == ["W_RHAT", "W_ESS"]
    mixed, few = fit.warnings
    assert mixed.message.startswith("the chains have not mixed")
    assert "Do not use" in mixed.hint
    assert "beta[" in mixed.message or "sd[" in mixed.message or "sigma" in mixed.message
    assert "draws=" in few.hint
    assert not fit.converged
    assert "NOT CONVERGED" in str(fit.summary())
    assert not fit.diagnostics().healthy


def test_chains_that_nearly_mixed(likelihood, sample):
    from dataclasses import replace

    sigma = sample.sigma.copy()
    sigma[0] += 0.35 * sigma.std()
    fit = fit_of(likelihood, replace(sample, sigma=sigma))
    assert codes(fit) == ["W_RHAT"]
    assert fit.warnings[0].message.startswith("the chains have not quite mixed: R-hat above 1.01 for sigma (1.0")
    assert "Do not use" not in fit.warnings[0].hint


def test_approximations_are_called_so(likelihood):
    fit = fit_of(likelihood, sample_of(likelihood, exact=False))
    assert "Bayesian linear mixed model, approximated" in str(fit.summary())
    assert "; approximate;" in str(fit.summary())


def test_a_single_bad_group_effect_is_found(likelihood, sample):
    from dataclasses import replace

    b = sample.effects[0].copy()
    b[0, :, 7, 1] += 4.0 * b[..., 7, 1].std()
    fit = fit_of(likelihood, replace(sample, effects=(b,)))
    assert "W_RHAT" in codes(fit)
    assert "r_Subject[" + fit.model.design.groups[0].levels[7] + ", Days]" in fit.warnings[0].message


def test_divergences(likelihood):
    divergent = np.zeros((4, 500), dtype=bool)
    divergent[0, 3] = True
    fit = fit_of(likelihood, spoilt(likelihood, divergent=divergent))
    assert codes(fit) == ["W_DIVERGENT"]
    assert not fit.converged
    assert "1 of 2000 transitions" in fit.warnings[0].message
    assert "target_accept" in fit.warnings[0].hint


def test_energy_and_depth(likelihood):
    walk = np.cumsum(np.random.default_rng(0).normal(size=(4, 500)), axis=1)
    assert codes(fit_of(likelihood, spoilt(likelihood, energy=walk))) == ["W_EBFMI"]
    deep = fit_of(likelihood, spoilt(likelihood, tree_depth=np.full((4, 500), 10)))
    assert codes(deep) == ["W_TREE_DEPTH"]
    assert deep.converged  # slow, not wrong


def test_khat(likelihood):
    assert most_khat(4000) == 0.7
    assert most_khat(100) == 0.5
    fit = fit_of(likelihood, sample_of(likelihood, khat=0.8))
    assert codes(fit) == ["W_KHAT"]
    assert "k-hat 0.80" in str(fit.summary())
    assert codes(fit_of(likelihood, sample_of(likelihood, khat=0.5))) == []
    assert codes(fit_of(likelihood, sample_of(likelihood, khat=float("nan")))) == []


# --- diagnostics -------------------------------------------------------------------------------------------------
def test_diagnostics_table(fit, sample):
    found = fit.diagnostics()
    table = found.table
    assert tuple(table.columns) == glossary.DRAWS
    assert len(table) == 2 + 2 + 1 + 1 + 36
    assert table["parameter"].tolist()[:6] == [
        "beta[Intercept]", "beta[Days]", "sd[Subject, Intercept]", "sd[Subject, Days]", "cor[Subject, Intercept, Days]",
        "sigma",
    ]  # fmt: skip
    assert table["parameter"][6] == "r_Subject[308, Intercept]"
    np.testing.assert_allclose(table["mcse_mean"], table["std_error"] / np.sqrt(table["ess_bulk"]), rtol=0.2)
    assert len(fit.diagnostics(effects=False).table) == 6
    assert found.sampler["divergent"] == 0
    assert len(found.sampler["e_bfmi"]) == 4
    assert found.healthy
    assert "none: the draws can be used" in str(found)
    json.dumps(found.to_dict(), allow_nan=False)


def test_likelihood_fits_have_no_diagnostics(likelihood):
    with pytest.raises(SettingError, match="draws none") as error:
        likelihood.diagnostics()
    assert error.value.code == "E_NOT_SAMPLED"
    with pytest.raises(SettingError, match="draws none"):
        likelihood.to_arviz()


# --- files -------------------------------------------------------------------------------------------------------
def test_saved_fits_are_the_same(fit, counts, tmp_path):
    for i, one in enumerate((fit, counts)):
        path = tmp_path / f"{i}.fit"
        one.save(path)
        back = ml.load(path)
        assert back.to_dict() == one.to_dict()
        assert str(back.summary()) == str(one.summary())
        for name, values in one.draws.items():
            np.testing.assert_array_equal(back.draws[name], values)
        a, b = one.estimates.certainty.sample, back.estimates.certainty.sample
        assert a.names == b.names
        assert dict(a.info) == dict(b.info)
        for name, values in a.stats.items():
            np.testing.assert_array_equal(b.stats[name], values)
            assert (b.stats[name].dtype == bool) == (values.dtype == bool)
        np.testing.assert_array_equal(a.z, b.z)
        np.testing.assert_array_equal(a.log_posterior, b.log_posterior)


def test_given_priors_are_kept(tmp_path):
    data = ml.datasets.load("schools")
    given = {"sigma": "exponential(1)"}
    model = ml.Model("score ~ 1 + (1 | school)", data, priors=given)
    found = model.fit("reml")
    fit_of(found, sample_of(found, draws=50)).save(tmp_path / "a.fit")
    back = ml.load(tmp_path / "a.fit").model
    assert back.__dict__["given_priors"] == given
    assert str(back.priors.constants["sigma"]) == str(model.priors.constants["sigma"])


def test_priors_as_text_keep_all_digits():
    from multilevel.fit.stored_sample import priors_record
    from multilevel.priors.base import Cut
    from multilevel.priors.normal import Normal
    from multilevel.priors.parse import parse_prior

    for prior in (Normal(0.1234567890123, 1e-5 / 3.0), Cut(Normal(0.0, 1.0 / 3.0))):
        assert parse_prior(priors_record({"beta": prior})["beta"]) == prior
    assert priors_record(None) is None
    assert priors_record("brms") == "brms"
