"""The automatic choice draws from the posterior that every other Bayesian estimator draws from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

SHORT = {"draws": 200, "tune": 200, "chains": 2}


def counts(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(12), 8)
    x = rng.normal(size=len(g))
    eta = 0.5 + 0.4 * x + 0.5 * rng.normal(size=12)[g]
    return pd.DataFrame({"y": rng.poisson(np.exp(eta)), "x": x, "g": g, "z": eta + rng.normal(size=len(g))})


def test_linear_models_are_collapsed() -> None:
    model = ml.Model("z ~ x + (1 | g)", counts())
    fit, same = model.fit("auto", **SHORT), model.fit("collapsed", **SHORT)
    np.testing.assert_array_equal(fit.sample.beta, same.sample.beta)


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")  # the runs are short
def test_chains_where_their_density_is_compiled() -> None:
    model = ml.Model("y ~ x + (1 | g)", counts(), family="poisson")
    fit, same = model.fit("auto", **SHORT), model.fit("nuts", **SHORT)
    assert fit.sample.info["sampler"] == "NUTS"
    np.testing.assert_array_equal(fit.sample.z, same.sample.z)


def test_integrals_where_the_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from multilevel.estimators import auto

    monkeypatch.setattr(auto, "MANY_ROWS", 50)
    fit = ml.fit("y ~ x + (1 | g)", counts(), family="poisson", estimator="auto", **SHORT)
    assert fit.sample.info["exact"]
    assert fit.sample.info["khat"] < 0.7
    assert "nested Laplace" in fit.sample.info["sampler"]


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
def test_integrals_where_no_density_is_compiled() -> None:
    fit = ml.fit("w ~ x + (1 | g)", counts().assign(w=lambda d: d["y"] > 1), family="bernoulli", link="probit",
                 estimator="auto", **SHORT)  # fmt: skip
    assert "nested Laplace" in fit.sample.info["sampler"]


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
def test_chains_where_the_check_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    from multilevel.estimators import auto, nested_laplace

    monkeypatch.setattr(auto, "MANY_ROWS", 50)
    monkeypatch.setattr(nested_laplace, "TRUSTED", -10.0)
    fit = ml.fit("y ~ x + (1 | g)", counts(), family="poisson", estimator="auto", **SHORT)
    assert fit.sample.info["sampler"].startswith("NUTS")
    assert "k-hat" in fit.sample.info["sampler"]
    assert "divergent" in fit.sample.stats


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
@pytest.mark.parametrize("formula", ["y ~ x", "y ~ 1"])
def test_models_without_groups(formula: str) -> None:
    fit = ml.fit(formula, counts(), family="poisson", estimator="auto", **SHORT)
    plain = ml.fit(formula, counts(), family="poisson")
    for name, value in plain.coefficients.items():
        assert fit.coefficients[name] == pytest.approx(value, abs=0.05)
