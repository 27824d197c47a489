"""Statements about parameters: their language, and what the posterior answers."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from synthetic import Synthetic, sample_of, sampled

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.fit.fit import Fit
from multilevel.fit.sampled import estimates_of
from multilevel.inference.hypothesis import hypothesis, names_of
from multilevel.inference.prior_density import PriorDraws, density_at
from multilevel.inference.quantities import parse


@pytest.fixture(scope="module")
def fit():
    return sampled(ml.fit("score ~ ses * funding + (ses | school)", ml.datasets.load("classes")), 250)


@pytest.fixture(scope="module")
def parts(fit):
    s = fit.estimates.certainty.sample
    flat = s.flat
    c = flat(s.covariances[0])
    sd = np.sqrt(np.einsum("skk->sk", c))
    return {
        "Intercept": flat(s.beta)[:, 0], "ses": flat(s.beta)[:, 1], "funding": flat(s.beta)[:, 2],
        "ses:funding": flat(s.beta)[:, 3], "sigma": flat(s.sigma), "sd0": sd[:, 0], "sd1": sd[:, 1],
        "cor": c[:, 0, 1] / sd.prod(axis=1), "r": flat(s.effects[0]),
    }  # fmt: skip


CASES = {
    "ses": lambda p: p["ses"],
    "ses:funding": lambda p: p["ses:funding"],
    "2*ses - funding/3 + 1": lambda p: 2 * p["ses"] - p["funding"] / 3 + 1,
    "-ses^2": lambda p: -(p["ses"] ** 2),
    "2^-1 * ses": lambda p: 0.5 * p["ses"],
    "(ses + funding) * (ses - funding)": lambda p: p["ses"] ** 2 - p["funding"] ** 2,
    "exp(ses) + sqrt(abs(funding)) - log(sigma)": lambda p: (
        np.exp(p["ses"]) + np.sqrt(np.abs(p["funding"])) - np.log(p["sigma"])
    ),
    "sd[school, ses] / sigma": lambda p: p["sd1"] / p["sigma"],
    "sd[school,Intercept]": lambda p: p["sd0"],
    "cor[school]": lambda p: p["cor"],
    "cor[school, ses, Intercept]": lambda p: p["cor"],
    "r[school, S03, ses]": lambda p: p["r"][:, 2, 1],
    "beta[ses:funding]": lambda p: p["ses:funding"],
    "`ses` - 1e-3": lambda p: p["ses"] - 0.001,
    "plogis(ses)": lambda p: 1 / (1 + np.exp(-p["ses"])),
}


@pytest.mark.parametrize("text", CASES)
def test_expressions_are_arithmetic_of_the_draws(fit, parts, text):
    found = fit.hypothesis(text)
    np.testing.assert_allclose(found.draws[:, 0], CASES[text](parts), rtol=1e-12)
    table = found.table
    np.testing.assert_allclose(table["estimate"][0], CASES[text](parts).mean())
    np.testing.assert_allclose(table["upper"][0], np.quantile(CASES[text](parts), 0.975))
    assert np.isnan(table["probability"][0])


def test_a_direction_has_a_probability_and_its_odds(fit, parts):
    found = fit.hypothesis("ses > 3", "ses < 3", ["funding >= ses"], level=0.5)
    p = np.mean(parts["ses"] > 3)
    np.testing.assert_allclose(found.table["probability"][:2], [p, 1.0 - p])
    np.testing.assert_allclose(found.table["evidence_ratio"][0], p / (1.0 - p))
    np.testing.assert_allclose(found.table["lower"][0], np.quantile(parts["ses"] - 3, 0.25))
    assert fit.hypothesis("sigma > 0").table["evidence_ratio"][0] == np.inf
    assert "Evidence ratio" in str(found)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sess > 0", "ses"), ("ses >", "expected a parameter"), ("sd[scool, ses] > 1", "school"),
        ("sd[school] > 1", "several"), ("(ses", 'expected ")"'), ("1 > 0", "about no parameter"),
        ("ses > 0 > 1", "nothing more"), ("log(-ses^2) > 0", "no finite value"), ("cor[school, ses, x]", "correlation"),
        ("r[school, S99, ses] > 0", "S99"), ("ses[school", ""), ("sd[school, ses", "not closed"), ("`nothing` > 0", ""),
        ("__import__('os')", ""), ("", ""), ("ses" + "+ses" * 2000, ""), ("(" * 200 + "ses", "deeper"), (3.0, "text"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(fit, text, said):
    with pytest.raises(SettingError) as error:
        hypothesis(fit, text)
    assert error.value.code == "E_HYPOTHESIS"
    assert said in str(error.value)
    assert error.value.hint


def test_no_text_does_more_than_raise_an_error(fit):
    rng, names = random.Random(1), names_of(fit)
    pieces = [*"]:,()+-*/^>=` ", "ses", "funding", "sd[", "r[", "school", "1.5"]
    codes = set()
    for _ in range(3000):
        try:
            parse("".join(rng.choices(pieces, k=rng.randint(1, 12))), names)
            codes.add("read")
        except SettingError as error:
            codes.add(error.code)
    assert codes == {"read", "E_HYPOTHESIS"}


def test_an_equality_weighs_posterior_against_prior_density():
    """A normal posterior under a normal prior, of which Savage and Dickey's ratio is known."""
    likelihood = ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes"))
    model = likelihood.model.with_priors({"set": "brms", "beta[ses]": "normal(0, 2)"})
    sample = sample_of(likelihood, 4000)
    beta = sample.beta.copy()
    beta[..., 1] = 0.9 + 0.4 * np.random.default_rng(5).standard_normal(beta.shape[:2])
    fit = Fit(model, Synthetic(), estimates_of(model, replace(sample, beta=beta)))
    exact = stats.norm.pdf(0.0, 0.9, 0.4) / stats.norm.pdf(0.0, 0.0, 2.0)
    found = fit.hypothesis("ses = 0", "2*ses + 1 == 1", "ses - 0.9 = 0")
    np.testing.assert_allclose(found.table["evidence_ratio"][:2], exact, rtol=0.15)
    np.testing.assert_allclose(found.table["probability"][0], exact / (1 + exact), rtol=0.15)
    centre = stats.norm.pdf(0.9, 0.9, 0.4) / stats.norm.pdf(0.9, 0.0, 2.0)
    np.testing.assert_allclose(found.table["evidence_ratio"][2], centre, rtol=0.06)


def test_flat_priors_have_no_evidence_ratio_at_a_point(fit):
    model = fit.model.with_priors("brms")
    flat = Fit(model, Synthetic(), estimates_of(model, fit.estimates.certainty.sample))
    found = flat.hypothesis("ses = 0")
    assert np.isnan(found.table["evidence_ratio"][0])
    assert "flat" in str(found)


def test_prior_draws_have_the_priors_moments():
    given = {"beta[ses]": "normal(1, 2)", "sd[school, ses]": "exponential(2)", "cor[school]": "lkj(2)"}
    data = ml.datasets.load("classes")
    model = ml.Model("score ~ ses + (ses | school)", data, priors={"set": "brms", **given})
    prior = PriorDraws(model, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(prior(("beta", "ses")).mean(), 1.0, atol=0.05)
    np.testing.assert_allclose(prior(("beta", "ses")).std(), 2.0, rtol=0.02)
    np.testing.assert_allclose(prior(("sd", "school", "ses")).mean(), 0.5, rtol=0.03)
    r = prior(("cor", "school", "Intercept", "ses"))  # (1 + r)/2 ~ Beta(2, 2)
    np.testing.assert_allclose(r.var(), 0.2, rtol=0.05)
    assert np.all(prior(("constant", "sigma")) > 0.0)


def test_density_at_a_point_and_at_an_end():
    x = np.random.default_rng(0).standard_normal(100_000)
    np.testing.assert_allclose(density_at(x, 0.5), stats.norm.pdf(0.5), rtol=0.03)
    np.testing.assert_allclose(density_at(np.abs(x), 0.0), 2.0 * stats.norm.pdf(0.0), rtol=0.03)


def test_fits_without_draws_are_told_what_to_use():
    fit = ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes"))
    with pytest.raises(SettingError) as error:
        fit.hypothesis("ses > 0")
    assert error.value.code == "E_NOT_SAMPLED"


@pytest.mark.parametrize("name", ["profile", "bootstrap", "test"])
def test_what_asks_for_a_likelihood_says_what_to_use_instead(fit, name):
    with pytest.raises(SettingError) as error:
        getattr(fit, name)()
    assert error.value.code == "E_SAMPLED"
    assert error.value.hint


def test_likelihood_ratios_of_sampled_fits_are_refused(fit):
    with pytest.raises(SettingError) as error:
        ml.lrt(fit, fit)
    assert error.value.code == "E_SAMPLED"
