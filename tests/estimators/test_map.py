"""Type-II maximum a posteriori: flat priors give the likelihood's estimates, others the maximum of a known function."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

import multilevel as ml
from multilevel.checks.advice.few_groups import penalised_sd
from multilevel.core.coordinates import coordinates
from multilevel.core.natural import log_jacobian
from multilevel.errors import MultilevelWarning, SettingError

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")


def eight(priors: object) -> ml.Model:
    return ml.Model("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools"), priors=priors)


def small(model: ml.Model, **settings: object) -> ml.Fit:
    return model.fit("map", draws=50, chains=2, **settings)


def test_flat_priors_give_reml() -> None:
    model = ml.Model("score ~ ses + (ses | school) + (1 | classroom)", ml.datasets.load("classes"))
    reml, found = model.fit("reml").estimates, small(model.with_priors("flat")).estimates
    np.testing.assert_allclose(found.beta, reml.beta, rtol=1e-5)
    assert found.sigma == pytest.approx(reml.sigma, rel=1e-4)
    for a, b in zip(found.covariances, reml.covariances, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-4)
    for a, b in zip(found.effects, reml.effects, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-3)


def test_flat_priors_give_laplace() -> None:
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(15), 8)
    x = rng.normal(size=120)
    y = rng.poisson(np.exp(0.5 + 0.3 * x + 0.6 * rng.normal(size=15)[g])).astype(float)
    model = ml.Model("y ~ x + (1 | g)", {"y": y, "x": x, "g": g.astype(str)}, family="poisson")
    laplace, found = model.fit().estimates, small(model.with_priors("flat")).estimates
    np.testing.assert_allclose(found.beta, laplace.beta, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found.covariances[0], laplace.covariances[0], rtol=1e-3)
    np.testing.assert_allclose(found.effects[0], laplace.effects[0], atol=1e-3)


@pytest.mark.parametrize("avoiding", [False, True])
def test_maximum_of_the_marginal_density(avoiding: bool) -> None:
    """Eight schools: y_j ~ N(μ, s_j² + τ²), μ ~ N(0, 30²) integrated out, τ ~ gamma(2, 0.2)."""
    data = ml.datasets.load("eight_schools")
    y, s = np.asarray(data["y"], dtype=float), np.asarray(data["sigma"], dtype=float)

    def loss(tau: float) -> float:
        v = np.diag(s**2 + tau**2) + 30.0**2
        value = np.linalg.slogdet(v)[1] + y @ np.linalg.solve(v, y)
        return 0.5 * value - (2.0 if avoiding else 1.0) * np.log(tau) + 0.2 * tau

    best = minimize_scalar(loss, bounds=(0.1, 60.0), method="bounded", options={"xatol": 1e-9}).x
    model = eight({"Intercept": "normal(0, 30)", "sd": "gamma(2, 0.2)"})
    found = small(model, boundary_avoiding=avoiding).estimates
    assert np.sqrt(found.covariances[0][0, 0]) == pytest.approx(best, rel=1e-3)
    precision = 1.0 / (s**2 + best**2)
    mean = (precision @ y) / (precision.sum() + 30.0**-2)
    assert found.beta[0] == pytest.approx(mean, rel=1e-3)
    np.testing.assert_allclose(found.effects[0][:, 0], best**2 * precision * (y - mean), rtol=2e-3, atol=1e-3)


def test_boundary_avoiding_is_that_of_chung() -> None:
    model = eight("flat")
    found = small(model, boundary_avoiding=True).estimates
    assert np.sqrt(found.covariances[0][0, 0]) == pytest.approx(penalised_sd(model.fit("reml"), 0), rel=5e-3)


def test_zero_is_a_result() -> None:
    with pytest.warns(MultilevelWarning, match="boundary"):
        fit = small(eight({"Intercept": "normal(0, 5)", "sd": "half_cauchy(5)"}))
    assert fit.estimates.covariances[0][0, 0] == 0.0
    assert not fit.estimates.effects[0].any()
    assert fit.boundary == ["school"]


def test_intervals_come_near_the_posterior() -> None:
    model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    quick, exact = model.fit("map", seed=1), model.fit("collapsed", seed=1)
    np.testing.assert_allclose(quick.std_errors, exact.std_errors, rtol=0.1)
    a, b = quick.sd_intervals(0.9), exact.sd_intervals(0.9)
    np.testing.assert_allclose(a[0][0][0], b[0][0][0], rtol=0.08)
    np.testing.assert_allclose(a[1], b[1], rtol=0.02)


def test_same_seed_same_draws() -> None:
    model = eight("default")
    first, again, other = (small(model, seed=s).estimates.certainty.sample.z for s in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("formula", ["y ~ x + (x | g)", "y ~ x + cs(x | g)", "y ~ x + (x || g)"])
def test_jacobian_of_the_natural_parameters(formula: str) -> None:
    """Against the determinant of differences of (Σ's sds and correlations, ν, β) by z, and its gradient."""
    rng = np.random.default_rng(0)
    data = {"y": rng.normal(size=60), "x": rng.normal(size=60), "g": [str(i % 6) for i in range(60)]}
    model = ml.Model(formula, data, family="student")
    coords = coordinates(model, model.priors, True)
    pairs = np.tril_indices(2, -1)

    def natural(z: np.ndarray) -> np.ndarray:
        factor = coords.factors(z[None])[0][0]
        sigma = factor @ factor.T
        sd = np.sqrt(np.diag(sigma))
        cor = (sigma / np.outer(sd, sd))[pairs] if "||" not in formula else np.zeros(0)
        constants = [v[0] for v in coords.natural(z[None]).values()]
        return np.concatenate([sd, cor, coords.beta(z[None])[0], constants])

    points = 0.4 * rng.normal(size=(2, coords.d))
    dets = []
    for z in points:
        columns = [(natural(z + e) - natural(z - e)) / 2e-6 for e in 1e-6 * np.eye(coords.d)]
        dets.append(np.linalg.slogdet(np.array(columns))[1])
    value, gradient = log_jacobian(coords, points)
    assert value[1] - value[0] == pytest.approx(dets[1] - dets[0], abs=1e-6)
    steps = 1e-6 * np.eye(coords.d)
    numeric = [(log_jacobian(coords, points + e)[0] - log_jacobian(coords, points - e)[0]) / 2e-6 for e in steps]
    np.testing.assert_allclose(gradient, np.array(numeric).T, atol=1e-6)


def test_a_pole_is_no_mode() -> None:
    model = ml.Model("score ~ ses + (1 | school)", ml.datasets.load("classes"), priors={"beta": "horseshoe(1)"})
    with pytest.raises(SettingError, match="there is no mode"):
        small(model)
