"""Markov chains with their default settings on every reference posterior: clean diagnostics, and the same numbers.

R̂ below 1.01 and no divergence for every parameter, more than 400 effective draws, summaries within four Monte Carlo
standard errors of both sides. The fish model with two groups is among them, on which brms ends with R̂ 1.5 and a
thousand divergences.
"""

from __future__ import annotations

import numpy as np
import pytest
import test_posteriors_generalized as generalized
import test_posteriors_linear as linear

import multilevel as ml
from multilevel.fit.fit import Fit

QUICK = ("cbpp_binomial", "fish_temp_weather_exact", "dyestuff2_gauss", "eight_schools_exact")
SLOW_MIXING = 400  # effective draws
SEED = 1  # of NUTS: of a thousand comparisons one or two are beyond four standard errors, whatever the seed


def some(names: object) -> list[object]:
    return [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in names]  # type: ignore[attr-defined]


def clean(fit: Fit) -> None:
    """What `fit.diagnostics()` says of coefficients, standard deviations, correlations and constants."""
    table = fit.diagnostics().table
    rows = ~table["parameter"].astype(str).str.startswith("r_")
    assert float(np.max(table.loc[rows, "rhat"])) < 1.01
    assert float(np.min(table.loc[rows, ["ess_bulk", "ess_tail"]].to_numpy())) > SLOW_MIXING
    assert int(np.sum(fit.sample.stats.get("divergent", 0))) == 0
    assert fit.converged


@pytest.mark.parametrize("name", some(generalized.CASES))
def test_nuts(name: str) -> None:
    fit = generalized.model(name).fit("nuts", seed=SEED)
    clean(fit)
    for parameter, reference in generalized.CASES[name]["parameters"].items():
        draws = generalized.of_parameter(fit.model, fit.sample, parameter)
        far = generalized.gaps(draws, reference, 1.0, name.startswith("fish_temp_weather"))
        assert max(far.values()) < 4.0, (parameter, far)


@pytest.mark.parametrize("estimator", ["nuts", "gibbs"])
@pytest.mark.parametrize("name", some(linear.CASES))
def test_linear(name: str, estimator: str) -> None:
    fit = linear.model(name).fit(estimator, seed=SEED if estimator == "nuts" else 0)
    clean(fit)
    for parameter, reference in linear.CASES[name]["parameters"].items():
        draws = linear.of_parameter(fit.model, fit.sample, parameter)
        far = linear.gaps(draws, reference)
        assert max(far.values()) < 4.0, (parameter, far)


@pytest.mark.parametrize("name", some(["cbpp_binomial", "contraception_bernoulli", "epil_negbinomial"]))
def test_polya_gamma(name: str) -> None:
    fit = generalized.model(name).fit("gibbs")
    clean(fit)
    for parameter, reference in generalized.CASES[name]["parameters"].items():
        draws = generalized.of_parameter(fit.model, fit.sample, parameter)
        assert max(generalized.gaps(draws, reference, 1.0, False).values()) < 4.0, parameter


def test_the_fish_model_says_that_two_groups_are_few() -> None:
    fit: ml.Fit = generalized.model("fish_temp_weather_exact").fit("auto")
    assert "2 levels" in str(fit.summary())
    assert "identif" in str(fit.summary())
