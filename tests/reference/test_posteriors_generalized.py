"""Posteriors of generalized models against long runs of brms and exact ones (`posteriors_generalized.json`).

A summary passes within four Monte Carlo standard errors of both sides together. Where two groups make long tails (fish
by weather), means and standard deviations are left out: quantiles are compared.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_data import prepared

import multilevel as ml
from multilevel.fit.sample import Sample
from multilevel.numerics import diagnostics

CASES = {
    name: case
    for name, case in json.loads(
        Path(__file__).with_name("posteriors_generalized.json").read_text(encoding="utf-8")
    ).items()
    if not name.startswith("_")
}
QUICK = ("cbpp_binomial", "fish_id", "fish_int_weather_exact", "fish_temp_weather_exact")
QUANTILES = {"q2.5": 0.025, "q50": 0.5, "q97.5": 0.975}
NAMES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES]
# where the weights move a parameter by more than a fifth of a standard deviation (`docs/bayes.md`)
COARSE = ("inhaler_cumulative", "sleepstudy_student")


@cache
def model(name: str) -> ml.Model:
    case = CASES[name]
    return ml.Model(case["formula"], prepared(case), family=case["family"], priors=case["priors"])


def of_parameter(model: ml.Model, sample: Sample, name: str) -> np.ndarray:
    """Draws (C, S) of a parameter."""
    design, group = model.design, model.design.groups[0]
    if name in sample.constants:
        return sample.constants[name]
    kind, _, inside = name.partition("[")
    inside = inside[:-1]
    if kind == "beta":
        return sample.beta[..., design.fixed_names.index(inside)]
    if kind == "sd":
        j = group.names.index(inside)
        return np.sqrt(sample.covariances[0][..., j, j])
    if kind == "r":
        level, _, column = inside.partition(",")
        return sample.effects[0][:, :, [str(x) for x in group.levels].index(level), group.names.index(column)]
    covariance = sample.covariances[0]
    return covariance[..., 0, 1] / np.sqrt(covariance[..., 0, 0] * covariance[..., 1, 1])


def gaps(
    draws: np.ndarray, reference: dict[str, float], share: float, tails: bool, in_tails: float | None = None
) -> dict[str, float]:
    """Difference of every summary from its reference, in Monte Carlo standard errors of both."""
    one = draws.reshape(-1)
    errors = {q: _error_of_quantile(draws, p, share if q == "q50" or in_tails is None else in_tails)
              for q, p in QUANTILES.items()}  # fmt: skip
    ours: dict[str, tuple[float, float]] = {q: (float(np.quantile(one, p)), errors[q]) for q, p in QUANTILES.items()}
    if not tails:
        for name, value, error in (
            ("mean", one.mean(), diagnostics.mcse_mean),
            ("sd", one.std(ddof=1), diagnostics.mcse_sd),
        ):
            ours[name] = float(value), float(error(draws[..., None])[0] / np.sqrt(share))
    return {
        s: abs(value - reference[s]) / float(np.hypot(error, reference.get(f"mcse_{s}", 0.0)))
        for s, (value, error) in ours.items()
    }


def _error_of_quantile(draws: np.ndarray, p: float, share: float) -> float:
    """Half of the interval of a quantile, were `share` of the draws drawn once: ties must not look like precision."""
    from scipy.special import betaincinv

    n = share * float(diagnostics.ess_quantile(draws[..., None], p)[0])
    ends = betaincinv(n * p + 1.0, n * (1.0 - p) + 1.0, [0.15865525, 0.84134475])
    low, high = np.quantile(draws, ends)
    return 0.5 * float(high - low)


def compare(name: str, sample: Sample) -> None:
    share, in_tails = (min(1.0, sample.info[s] / (sample.chains * sample.draws)) for s in ("ess", "ess_tail"))
    for parameter, reference in CASES[name]["parameters"].items():
        draws = of_parameter(model(name), sample, parameter)
        far = gaps(draws, reference, share, name.startswith("fish_temp_weather"), in_tails)
        assert max(far.values()) < 4.0, (parameter, far)


def sampled(name: str, estimator: str, **settings: Any) -> Sample:
    sample = model(name).fit(estimator, **settings).estimates.certainty.sample
    assert sample is not None
    return sample


@pytest.mark.filterwarnings("ignore:fewer than 400 effective:multilevel.errors.ConvergenceWarning")
@pytest.mark.parametrize("name", NAMES)
def test_nested_laplace(name: str) -> None:
    """Exact by its own certificate, on all of them."""
    sample = sampled(name, "nested_laplace", seed=4)
    assert sample.info["khat"] < 0.7
    assert sample.info["exact"]
    assert sample.info["ess"] > 800 or name in COARSE  # rows without a kernel: few points
    compare(name, sample)


@pytest.mark.parametrize("name", NAMES)
def test_collapsed(name: str) -> None:
    sample = sampled(name, "collapsed", seed=4)
    assert sample.info["khat"] < 0.7
    compare(name, sample)


@pytest.mark.parametrize("name", NAMES)
def test_the_approximation_alone(name: str) -> None:
    """Close, but for the ordinal model and that of Student-t rows, where it says so itself."""
    sample = sampled(name, "nested_laplace", seed=4, exact=False, draws=500)
    assert not sample.info["exact"]
    assert (sample.info["shift"] > 0.2) == (name in COARSE)
    if name not in COARSE:
        for parameter, reference in CASES[name]["parameters"].items():
            middle = float(np.median(of_parameter(model(name), sample, parameter)))
            assert abs(middle - reference["q50"]) < 0.2 * reference["sd"], parameter
