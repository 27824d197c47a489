"""Geweke's test of every Gibbs block, and planted mistakes that it has to find.

Quick versions here; `tests/calibration/test_geweke_blocks.py` has ten times the replicates.
"""

from __future__ import annotations

import gibbs_models as models
import numpy as np
import pytest

from multilevel.checks.geweke import geweke
from multilevel.errors import SettingError

CASES = {
    "mixtures": (
        models.one_way,
        {"beta": "student_t(4, 0, 1)", "Intercept": "logistic(0, 1)", "sigma": "half_cauchy(0, 1)"},
    ),
    "inverse Wishart": (models.slopes, {"cov": "inv_wishart(5, 2)"}),
    "slopes": (models.slopes, {}),
    "bernoulli": (models.bernoulli, {}),
    "negative binomial": (models.negative_binomial, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_sweeps_leave_the_joint_distribution_alone(name):
    make, priors = CASES[name]
    found = geweke(make(**priors), n=120, length=3, seed=5)
    assert found.passed, found.summary()


def test_crossed_factors_one_after_the_other():
    assert geweke(models.crossed(), n=120, length=3, seed=6, blocks="factors").passed


def few_degrees(gibbs, state, rng):
    """The residual variance with eight more degrees of freedom than there are."""
    gibbs.system.products = replaced(gibbs.system.products, n=gibbs.system.products.n + 8.0)
    gibbs.sweep(state, rng)


def replaced(products, **values):
    from dataclasses import replace

    return replace(products, **values)


def narrow_effects(gibbs, state, rng):
    """Effects that are drawn a fifth too close to their conditional means: shrunken towards what they were."""
    gibbs.sweep(state, rng)
    state.effects[0] = 0.8 * state.effects[0]


def without_jacobian(gibbs, state, rng):
    """A covariance step that forgets that its coordinates are logarithms."""
    update = gibbs.terms[0]
    whole = update.log_prior
    update.separate = False
    update.log_prior = lambda x, sigma: whole(x, sigma) - x[:, 0]
    gibbs.sweep(state, rng)


@pytest.mark.parametrize("bug", [few_degrees, narrow_effects, without_jacobian])
def test_planted_mistakes_are_found(bug):
    assert not geweke(models.one_way(), bug, n=200, length=4, seed=7).passed


def stale_variables(gibbs, state, rng):
    """Pólya–Gamma variables that ignore the linear predictor."""
    system = gibbs.system
    predictor = system.predictor
    system.predictor = lambda s: np.zeros_like(predictor(s))
    system.augment(state, rng)
    system.predictor = predictor
    gibbs.update_location(state, rng)


def test_planted_mistake_of_an_augmentation_is_found():
    assert not geweke(models.bernoulli(5, 8, beta="normal(0, 2)"), stale_variables, n=200, length=4, seed=8).passed


def test_words_and_refusals():
    found = geweke(models.one_way(), "location", n=50, length=1, seed=1)
    assert "agrees" in found.summary()
    assert list(found.table.columns) == ["quantity", "mean", "spread", "p"]
    with pytest.raises(SettingError, match="unknown"):
        geweke(models.one_way(), "everything", n=20)
    with pytest.raises(SettingError) as refused:
        geweke(models.one_way(sigma="flat"), n=20)
    assert refused.value.code == "E_PRIOR_IMPROPER"
    assert "sigma" in str(refused.value)
