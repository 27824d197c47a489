"""``model.fit("nuts")``: what it draws, how it is told, and that it agrees with published posteriors."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel import datasets
from multilevel.errors import SettingError
from multilevel.model.model import Model
from multilevel.numerics.diagnostics import diagnose
from multilevel.registry import make_estimator

SHORT = {"draws": 150, "tune": 150, "chains": 2, "cores": 1}


def schools():
    return Model("score ~ 1 + (1 | school)", datasets.load("schools"), priors="brms")


def counts(formula="y ~ x + (1 | g)", family="poisson"):
    rng = np.random.default_rng(1)
    g, x = rng.integers(0, 12, 90), rng.normal(0.0, 1.0, 90)
    mu = np.exp(0.5 + 0.3 * x + rng.normal(0.0, 0.6, 12)[g])
    y = rng.poisson(mu).astype(float)
    return Model(formula, {"x": x, "g": g.astype(str), "y": y}, family=family, priors="brms")


def sample_of(model, **settings):
    """Short runs, without the warnings that a fit would issue about them."""
    return make_estimator("nuts", {**SHORT, **settings}).sample(model)


def test_linear_models_draw_what_is_left_after_integration():
    sample = sample_of(schools())
    assert sample.sigma.shape == (2, 150)
    assert len(sample.effects[0][0, 0]) == 30
    assert "integrated out" in sample.info["sampler"]
    assert sample.info["exact"]
    assert sample.stats["divergent"].sum() == 0


def test_generalized_models_draw_everything():
    model = counts()
    sample = sample_of(model)
    assert sample.sigma is None
    assert sample.beta.shape == (2, 150, 2)
    assert sample.covariances[0].shape == (2, 150, 1, 1)
    assert sample.effects[0].shape == (2, 150, 12, 1)
    assert sample.z.shape == (2, 150, len(sample.names))
    assert sample.info["exact"]
    assert diagnose(sample.beta).rhat.max() < 1.1


@pytest.mark.parametrize("make", [schools, counts])
def test_integrated_out_or_not_is_the_same_posterior(make):
    model = make()
    joint, marginal = (sample_of(model, latent=how, draws=400, tune=200) for how in ("joint", "marginal"))
    for a, b in ((joint.beta, marginal.beta), (joint.covariances[0], marginal.covariances[0])):
        one, two = diagnose(np.sqrt(np.abs(a))), diagnose(np.sqrt(np.abs(b)))
        error = np.hypot(one.mcse_mean, two.mcse_mean)
        assert np.all(np.abs(np.sqrt(np.abs(a)).mean((0, 1)) - np.sqrt(np.abs(b)).mean((0, 1))) < 4.5 * error)
    assert marginal.info["exact"]


def test_the_same_seed_gives_the_same_draws():
    model = counts()
    one, two, other = (sample_of(model, seed=s, cores=c) for s, c in ((3, 1), (3, 2), (4, 1)))
    assert np.array_equal(one.effects[0], two.effects[0])
    assert not np.array_equal(one.beta, other.beta)


def test_ordered_and_dispersed_families_have_their_constants():
    sample = sample_of(counts(family="negative_binomial"), draws=50, tune=100)
    assert sample.constants["shape"].min() > 0.0


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"latent": "none"}, "latent"),
        ({"target_accept": 1.0}, "target_accept"),
        ({"max_depth": 0}, "max_depth"),
        ({"cores": 0}, "cores"),
        ({"chains": 0}, "chains"),
        ({"draws": 2.5}, "draws"),
    ],
)
def test_settings_out_of_range_are_refused(settings, word):
    with pytest.raises(SettingError, match=word):
        counts().fit("nuts", **settings)


def test_known_standard_errors_are_integrated_out_only():
    model = Model("y | se(sigma) ~ 1 + (1 | school)", datasets.load("eight_schools"), priors="brms")
    with pytest.raises(SettingError, match="joint"):
        model.fit("nuts", latent="joint")
    sample = sample_of(model)
    assert sample.sigma is None
    assert sample.effects[0].shape == (2, 150, 8, 1)
