"""Geweke's test of every Gibbs block with enough replicates to see small mistakes (slow)."""

from __future__ import annotations

import gibbs_models as models
import pytest

from multilevel.checks.geweke import geweke

MIXTURES = {"beta": "student_t(4, 0, 1)", "Intercept": "logistic(0, 1)", "sd": "half_student_t(3, 0, 1)"}
CONJUGATE = {"sd": "sqrt_inv_gamma(3, 2)", "sigma": "sqrt_inv_gamma(2, 1)"}
CASES = {
    "one way": (models.one_way, {}),
    "mixtures": (models.one_way, {**MIXTURES, "sigma": "half_cauchy(0, 1)"}),
    "conjugate": (models.one_way, {**CONJUGATE, "beta": "laplace(0, 1)"}),
    "exponential": (models.one_way, {"beta": "cauchy(0, 1)", "sd": "exponential(1)", "sigma": "gamma(2, 1)"}),
    "horseshoe": (models.one_way, {"beta": "horseshoe(1)"}),
    "r2d2": (models.one_way, {"beta": "r2d2(0.5, 4)"}),
    "slopes": (models.slopes, {}),
    "inverse Wishart": (models.slopes, {"cov": "inv_wishart(5, 2)"}),
    "decov": (models.slopes, {"cov": "decov(2, 1, 1, 1)"}),
    "crossed": (models.crossed, {}),
    "bernoulli": (models.bernoulli, {}),
    "negative binomial": (models.negative_binomial, {}),
}
BLOCKS = ("sweep", "terms", "location", "scales")


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("name", CASES)
def test_block(name, block):
    make, priors = CASES[name]
    found = geweke(make(**priors), block, n=1000, length=5, seed=11)
    assert found.passed, found.summary()


@pytest.mark.slow
@pytest.mark.parametrize("block", ["sweep", "location"])
def test_factor_by_factor(block):
    found = geweke(models.crossed(), block, n=1000, length=5, seed=12, blocks="factors")
    assert found.passed, found.summary()
