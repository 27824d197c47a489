"""Power-scaling: against distances between normal posteriors that are known, and priors that are reassembled."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

import multilevel as ml
from multilevel.checks.powers import log_likelihood, log_prior
from multilevel.checks.sensitivity import CONFLICT, WEAK, cjs_distance, distances, prior_sensitivity
from multilevel.core.natural import log_jacobian
from multilevel.errors import SettingError
from multilevel.fit.sampled import estimates_of
from multilevel.registry import make_estimator


def test_normal_posteriors() -> None:
    """θ ~ N(0, 1), ȳ = 2 with variance 1/2: powers of prior and likelihood give normal posteriors."""
    rng = np.random.default_rng(0)
    precision, mean = 1.0 + 2.0, 4.0 / 3.0
    theta = mean + rng.normal(size=40_000) / np.sqrt(precision)
    prior, likelihood = norm(0.0, 1.0).logpdf(theta), norm(2.0, np.sqrt(0.5)).logpdf(theta)
    delta = 0.01
    for part, changed in ((prior, lambda a: (a + 2.0, 4.0)), (likelihood, lambda a: (1.0 + 2.0 * a, 4.0 * a))):
        found, khat = distances(theta[:, None], part, delta)
        expected = 0.0
        base = norm(mean, precision**-0.5)
        low, high = theta.min(), theta.max()
        x = np.linspace(low, high, 100_001)
        for power in (1.0 / (1.0 + delta), 1.0 + delta):
            p, s = changed(power)
            other = norm(s / p, p**-0.5)
            values = []
            for a, b in ((base.cdf(x), other.cdf(x)), (base.sf(x), other.sf(x))):
                m = 0.5 * (a + b)
                with np.errstate(divide="ignore", invalid="ignore"):
                    both = np.where(a > 0, a * np.log2(a / m), 0.0) + np.where(b > 0, b * np.log2(b / m), 0.0)
                values.append(np.sqrt(both.sum() / (a + b).sum()))
            expected += max(values)
        assert found[0] == pytest.approx(expected / (2.0 * np.log2(1.0 + delta)), rel=0.03)
        assert khat < 0.5


def test_distance_is_a_distance() -> None:
    rng = np.random.default_rng(1)
    x, w = rng.normal(size=500), rng.uniform(0.5, 1.5, 500)
    assert cjs_distance(x, np.ones(500)) == pytest.approx(0.0, abs=1e-7)
    assert 0.0 < cjs_distance(x, w) < 1.0
    assert cjs_distance(-x, w) == pytest.approx(cjs_distance(x, w), rel=0.02)
    assert cjs_distance(1e3 * x + 7.0, w) > 0.0


@pytest.fixture(scope="module")
def eight() -> ml.Fit:
    model = ml.Model("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools"))
    return model.with_priors({"Intercept": "normal(0, 5)", "sd": "half_cauchy(5)"}).fit("collapsed", seed=1)


def test_eight_schools_owe_much_to_their_priors(eight: ml.Fit) -> None:
    found = prior_sensitivity(eight)
    assert found.parameters == ("beta[Intercept]", "sd[school, Intercept]")
    assert (found.prior > 0.05).all()
    assert {found.diagnosis(i) for i in range(2)} <= {WEAK, CONFLICT}
    assert "sd[school, Intercept]" in str(found)
    assert list(found.table.columns) == ["parameter", "prior", "likelihood", "diagnosis"]


def test_many_groups_owe_little() -> None:
    fit = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools")).fit("collapsed", seed=1)
    found = prior_sensitivity(fit)
    assert (found.prior < 0.05).all()
    assert not any(found.diagnosis(i) for i in range(len(found.parameters)))


def test_a_conflict_is_found() -> None:
    """A prior far from what a few rows say: both pull."""
    rng = np.random.default_rng(0)
    data = {"y": 10.0 + rng.normal(size=12), "g": [str(i % 4) for i in range(12)]}
    priors = {"Intercept": "normal(0, 2)", "sd": "half_normal(0.5)", "sigma": "half_normal(1)"}
    found = prior_sensitivity(ml.Model("y ~ 1 + (1 | g)", data, priors=priors).fit("collapsed", seed=1))
    assert found.diagnosis(found.parameters.index("beta[Intercept]")) == CONFLICT


def test_prior_is_that_of_the_coordinates() -> None:
    """The density of the parameters is the sampler's log prior less the Jacobian, up to a constant."""
    from multilevel.core.coordinates import coordinates

    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(8), 10)
    y = rng.poisson(np.exp(1.0 + 0.5 * rng.normal(size=8)[g])).astype(float)
    data = {"y": y, "x": rng.normal(size=80), "g": g.astype(str)}
    model = ml.Model("y ~ x + (x | g)", data, family="negative_binomial", priors={"beta": "horseshoe(1)"})
    estimator = make_estimator("map", {"draws": 20, "chains": 2})
    sample = estimator.sample(model)
    fit = ml.Fit(model, estimator, estimates_of(model, sample), 0.0)
    coords = coordinates(model, model.priors, True)
    z = sample.flat(sample.z)
    difference = log_prior(fit) - (coords.log_prior(z)[0] - log_jacobian(coords, z)[0])
    np.testing.assert_allclose(difference, difference[0], atol=1e-8)


def test_likelihood_is_that_of_the_rows(eight: ml.Fit) -> None:
    sample, design = eight.estimates.certainty.sample, eight.model.design
    mean = sample.flat(sample.beta) + sample.flat(sample.effects[0])[:, design.groups[0].codes, 0]
    expected = norm(mean, design.known_se).logpdf(design.response).sum(axis=1)
    np.testing.assert_allclose(log_likelihood(eight), expected, rtol=1e-9)


def test_fits_without_draws_are_refused() -> None:
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    with pytest.raises(SettingError, match="no draws"):
        ml.prior_sensitivity(fit)


def test_few_groups_are_told_by_how_much_the_prior_matters(eight: ml.Fit) -> None:
    found = {f.code: f for f in ml.advise(eight)}["N_FEW_GROUPS"]
    assert "its prior matters (sensitivity" in found.evidence
