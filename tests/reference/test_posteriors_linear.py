"""Posteriors of linear models against long runs of brms, quadrature and certified values (`posteriors_linear.json`).

A summary passes within four Monte Carlo standard errors of both sides together.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reference_data import table

import multilevel as ml
from multilevel.fit.sample import Sample
from multilevel.model.priors import intercepts
from multilevel.numerics import diagnostics
from multilevel.priors.base import Prior, positive
from multilevel.priors.record import LinearPrior, Priors
from multilevel.priors.terms import Separate
from multilevel.registry import member

CASES = {
    name: case
    for name, case in json.loads(Path(__file__).with_name("posteriors_linear.json").read_text(encoding="utf-8")).items()
    if not name.startswith("_")
}
QUANTILES = {"q2.5": 0.025, "q50": 0.5, "q97.5": 0.975}


def data(source: str) -> Any:
    return ml.datasets.load(source) if "/" not in source else table(source)


def prior(words: list[Any]) -> Prior:
    return member("priors", words[0])(*map(float, words[1:]))


def resolved(model: ml.Model, words: dict[str, list[Any]]) -> Priors:
    """The priors of a case, written down directly: the test does not lean on how addresses are read."""
    sd = positive(prior(words["sd"]))
    terms = tuple(Separate(1.0, (sd,) * len(g.names)) for g in model.design.groups)
    names = model.design.fixed_names
    linear = []
    if "intercept" in words:
        linear = [LinearPrior(names[j], a, prior(words["intercept"])) for j, a in intercepts(model)]
    if "beta" in words:
        linear = [LinearPrior(n, a, prior(words["beta"])) for n, a in zip(names, np.eye(len(names)), strict=True)]
    return Priors(terms, tuple(linear), {"sigma": positive(prior(words.get("sigma", words["sd"])))})


@cache
def model(name: str) -> ml.Model:
    case = CASES[name]
    bare = ml.Model(case["formula"], data(case["source"]))
    return bare.with_priors(resolved(bare, case["priors"]))


def of_parameter(model: ml.Model, sample: Sample, name: str) -> np.ndarray:
    """Draws (C, S) of a parameter by its name in brms or in the certified values."""
    design = model.design
    if name == "sigma":
        assert sample.sigma is not None
        return sample.sigma
    if name in ("mu", "tau"):
        return sample.beta[..., 0] if name == "mu" else np.sqrt(sample.covariances[0][..., 0, 0])
    if name.startswith(("theta[", "mu+b[")):
        return sample.beta[..., 0] + sample.effects[0][:, :, int(name.rstrip("]").split("[")[1]) - 1, 0]
    if name.startswith("b_"):
        return sample.beta[..., design.fixed_names.index(name[2:])]
    if name.startswith("r_"):
        level, column = name.rstrip("]").split("[")[1].split(",")
        return sample.effects[0][:, :, design.groups[0].levels.index(level), design.groups[0].names.index(column)]
    parts = name.split("__")
    covariance, names = sample.covariances[0], design.groups[0].names
    i, j = names.index(parts[1]), names.index(parts[-1])
    if name.startswith("sd_"):
        return np.sqrt(covariance[..., i, i])
    return covariance[..., i, j] / np.sqrt(covariance[..., i, i] * covariance[..., j, j])


def gaps(draws: np.ndarray, reference: dict[str, float]) -> dict[str, float]:
    """Difference of every summary from its reference, in Monte Carlo standard errors of both."""
    one = draws.reshape(-1)
    ours = {"mean": float(one.mean()), "sd": float(one.std(ddof=1))}
    errors = {
        "mean": float(diagnostics.mcse_mean(draws[..., None])[0]),
        "sd": float(diagnostics.mcse_sd(draws[..., None])[0]),
    }
    for q, probability in QUANTILES.items():
        ours[q] = float(np.quantile(one, probability))
        errors[q] = float(diagnostics.mcse_quantile(draws[..., None], probability)[0])
    return {
        s: abs(ours[s] - value) / float(np.hypot(errors[s], reference.get(f"mcse_{s}", 0.0)))
        for s, value in reference.items()
        if s in ours
    }


def compare(name: str, model: ml.Model, sample: Sample) -> None:
    for parameter, reference in CASES[name]["parameters"].items():
        if parameter == "sigma" and sample.sigma is None:
            continue
        far = gaps(of_parameter(model, sample, parameter), reference)
        assert max(far.values()) < 4.0, (parameter, far)


@pytest.mark.parametrize("name", CASES)
def test_collapsed(name: str) -> None:
    """Importance sampling serves all of them, with weights that can be trusted."""
    fit = model(name).fit("collapsed", seed=5)
    sample = fit.estimates.certainty.sample
    assert sample is not None
    assert sample.info["khat"] < 0.7
    assert sample.info["exact"]
    assert "importance" in sample.info["sampler"]
    compare(name, model(name), sample)
    if "log_evidence" in CASES[name]:
        assert sample.info["log_evidence"] == pytest.approx(CASES[name]["log_evidence"], abs=0.02)
