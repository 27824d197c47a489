"""Compound symmetry over numeric columns of different size: the covariance shown is the one that was fitted."""

import warnings

import numpy as np
import pytest

import multilevel as ml

FORMULAS = (
    "rating ~ familiarity + cs(familiarity | rater)",
    "rating ~ familiarity + cs(familiarity | rater, hom=True)",
    "rating ~ big + cs(0 + big + familiarity | rater, hom=True)",
    "rating ~ big + cs(0 + big + familiarity | rater)",
)


@pytest.mark.parametrize("formula", FORMULAS)
def test_likelihood_of_the_reported_covariance(formula: str) -> None:
    table = ml.datasets.load("ratings").assign(big=lambda d: d["familiarity"] ** 2 * 37 + 100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        fit = ml.fit(formula, table, estimator="ml")
    design = fit.model.design
    group, covariance = design.groups[0], fit.estimates.covariances[0]
    z = np.column_stack([np.ones(design.n) if c is None else c for c in group.columns])
    x = np.column_stack([np.ones(design.n) if c is None else c for c in design.fixed_columns])
    v = np.eye(design.n) * fit.sigma**2 + (z @ covariance @ z.T) * (group.codes[:, None] == group.codes)
    r = design.response - x @ fit.estimates.beta
    value = -0.5 * (design.n * np.log(2 * np.pi) + np.linalg.slogdet(v)[1] + r @ np.linalg.solve(v, r))
    assert fit.log_likelihood == pytest.approx(value, abs=1e-7)
    if "hom" in formula:
        assert covariance[0, 0] == pytest.approx(covariance[1, 1])
