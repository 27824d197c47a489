"""What every Bayesian estimator owes: the same posterior, the same draws for a seed, and a fit that answers."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml

SAMPLERS = ("auto", "collapsed", "gibbs", "nested_laplace", "nuts")
pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")  # the runs are short


@pytest.fixture(scope="module")
def model() -> ml.Model:
    rng = np.random.default_rng(1)
    school = np.repeat(np.arange(12), 8)
    ses = rng.normal(size=len(school))
    score = 5.0 + 2.0 * ses + 1.5 * rng.normal(size=12)[school] + rng.normal(size=len(school))
    table = {"score": score, "ses": ses, "school": [f"s{i}" for i in school]}
    return ml.Model("score ~ ses + (1 | school)", table, priors="brms")


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_linear_models_have_one_posterior(model: ml.Model, estimator: str) -> None:
    fit = model.fit(estimator, draws=300, tune=300)
    reml = model.fit("reml")
    assert fit.sampled
    assert fit.sigma == pytest.approx(reml.sigma, rel=0.03)
    assert fit.coefficients["ses"] == pytest.approx(reml.coefficients["ses"], abs=0.05)
    assert fit.std_errors[1] == pytest.approx(reml.std_errors[1], rel=0.2)
    assert "Residual" in fit.to_json()
    assert "sigma" in str(fit.summary())
    assert 0.0 < fit.icc()["school"] < 1.0


@pytest.mark.parametrize("estimator", SAMPLERS)
def test_a_seed_is_a_sample(model: ml.Model, estimator: str) -> None:
    first, same, other = (model.fit(estimator, draws=40, tune=60, seed=s).sample for s in (1, 1, 2))
    np.testing.assert_array_equal(first.beta, same.beta)
    assert not np.array_equal(first.beta, other.beta)
    assert first.beta.shape[:2] == (4, 40)


@pytest.mark.parametrize("settings", [{"draws": 0}, {"chains": 0}, {"tune": -1}, {"draws": 2.5}])
def test_settings_are_checked(model: ml.Model, settings: dict) -> None:
    with pytest.raises(ml.errors.SettingError, match="whole number"):
        model.fit("auto", **settings)
