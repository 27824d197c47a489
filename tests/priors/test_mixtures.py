"""Priors as mixtures of normals: what Gibbs samplers draw given a coefficient has the prior as its margin.

x from the density, then its variance given x: x/√variance is standard normal, whatever the prior.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from multilevel.priors.parse import parse_prior
from multilevel.priors.record import LinearPrior
from multilevel.samplers.gibbs_coefficients import _precision


@pytest.mark.parametrize("text", ["student_t(4, 0, 1)", "cauchy", "laplace", "logistic", "horseshoe", "r2d2(0.5, 2)"])
def test_given_its_variance_a_coefficient_is_normal(text: str) -> None:
    prior = parse_prior(text).among(2, 0.4)
    rng = np.random.default_rng(2)
    x = prior.draw(1500, rng)
    precision = _precision(LinearPrior("b", np.ones(1), prior), x, rng)
    assert kstest(x * np.sqrt(precision), "norm").pvalue > 1e-3


def test_variances_of_r2d2_are_gamma() -> None:
    """Those of two coefficients with R² ~ Beta(0.9, 2.1): Gamma(0.45, 1) over the squared unit."""
    prior = parse_prior("r2d2(0.3, 3)").among(2, 0.4)
    rng = np.random.default_rng(3)
    precision = _precision(LinearPrior("b", np.ones(1), prior), prior.draw(1500, rng), rng)
    assert kstest(0.16 / precision, "gamma", (0.45,)).pvalue > 1e-3
