"""Laplace's criterion against a dense computation of its definition, and its gradient against differences."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.core.laplace import Laplace
from multilevel.core.one_factor import OneFactorLaplace, laplace
from multilevel.data.latent_rows import latent_rows
from multilevel.model.model import Model

DESIGNS = {
    "one factor": "y ~ x + (1 | g)",
    "slopes": "y ~ x + (1 + x | g)",
    "diagonal": "y ~ x + (x || g)",
    "compound symmetry": "y ~ x + cs(1 + x | g)",
    "nested": "y ~ x + (1 | a / g)",
    "crossed": "y ~ x + (1 | g) + (1 | h)",
    "crossed slopes": "y ~ x + (1 + x | g) + (x || h)",
    "three factors": "y ~ 1 + (1 | g) + (1 | h) + (1 + x | a)",
    "no intercept": "y ~ 0 + x + (0 + x | g) + (0 + x | h)",
}
FAMILIES = {"poisson": "log", "binomial": "logit", "bernoulli": "logit"}


def table(rng, n=60, response="poisson"):
    g = rng.integers(0, 12, n)
    data = {"x": rng.normal(2.0, 1.5, n), "g": g.astype(str), "a": (g // 4).astype(str)}
    data["h"] = rng.integers(0, 5, n).astype(str)
    eta = 0.3 + 0.2 * data["x"] + rng.normal(0.0, 0.6, 12)[g]
    if response == "poisson":
        data["y"] = rng.poisson(np.exp(eta)).astype(float)
    else:
        data["y"] = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    return data


def dense_design(rows, lam):
    """ZΛ as one matrix (n, q), factor after factor."""
    parts = []
    for factor, root in zip(rows.factors, lam, strict=True):
        z = np.zeros((rows.n, factor.n_levels * factor.k))
        for i, level in enumerate(factor.codes):
            z[i, level * factor.k : (level + 1) * factor.k] = factor.z[i] @ root
        parts.append(z)
    return np.concatenate(parts, axis=1)


def dense_laplace(model, rows, phi, criterion):
    """−2 log of the approximation from its definition, by plain Newton steps on dense matrices (one predictor)."""
    a = dense_design(rows, criterion.factors(phi[: criterion.n_theta]))
    fixed = rows.fixed(phi[criterion.n_theta :])[:, 0]
    u = np.zeros(a.shape[1])
    for _ in range(200):
        at = model.distribution.derivatives(rows.observations, (fixed + a @ u)[:, None], 2)
        gradient = a.T @ at.first[:, 0] - u
        hessian = (a.T * at.second[:, 0, 0]) @ a + np.eye(len(u))
        step = np.linalg.solve(hessian, gradient)
        u = u + step / max(1.0, np.max(np.abs(step)) / 2.0)
        if np.max(np.abs(step)) < 1e-13:
            break
    at = model.distribution.derivatives(rows.observations, (fixed + a @ u)[:, None], 2)
    hessian = (a.T * at.second[:, 0, 0]) @ a + np.eye(len(u))
    return -2.0 * at.value.sum() + u @ u + np.linalg.slogdet(hessian)[1] - 2.0 * rows.log_constant


def at_random(criterion, rng):
    phi = criterion.start()
    return phi + 0.2 * rng.standard_normal(len(phi))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("design", DESIGNS)
def test_value_equals_the_dense_definition(design, family):
    rng = np.random.default_rng(7)
    model = Model(DESIGNS[design], table(rng, response=family), family=family)
    criterion = laplace(model.rows, model.distribution, model.scales)
    phi = at_random(criterion, rng)
    expected = dense_laplace(model, criterion.rows, phi, criterion)
    assert criterion.evaluate(phi).value == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
@pytest.mark.parametrize("design", DESIGNS)
def test_gradient_equals_central_differences(design, family):
    rng = np.random.default_rng(8)
    model = Model(DESIGNS[design], table(rng, response=family), family=family)
    criterion = laplace(model.rows, model.distribution, model.scales)
    phi = at_random(criterion, rng)
    found = criterion.slope(criterion.evaluate(phi)).gradient
    for j in range(len(phi)):
        step = np.zeros(len(phi))
        step[j] = 1e-5
        difference = criterion.evaluate(phi + step).value - criterion.evaluate(phi - step).value
        assert found[j] == pytest.approx(difference / 2e-5, abs=2e-5, rel=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("design", ["one factor", "slopes", "diagonal", "compound symmetry"])
def test_compiled_form_equals_the_plain_one(design, family):
    rng = np.random.default_rng(9)
    model = Model(DESIGNS[design], table(rng, 150, family), family=family)
    fast = laplace(model.rows, model.distribution, model.scales)
    assert isinstance(fast, OneFactorLaplace)
    plain = Laplace(fast.rows, model.distribution, model.scales)
    phi = at_random(fast, rng)
    a, b = fast.evaluate(phi), plain.evaluate(phi)
    assert a.value == pytest.approx(b.value, abs=1e-8)
    slope, expected = fast.slope(a), plain.slope(b)
    np.testing.assert_allclose(slope.gradient, expected.gradient, atol=1e-6)
    np.testing.assert_allclose(slope.hessian, expected.hessian, rtol=1e-6, atol=1e-6)
    for one, other in zip(slope.scores, expected.scores, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(fast._tangent[2], plain._tangent[2], atol=1e-6)


def test_tangent_of_the_mode():
    rng = np.random.default_rng(10)
    model = Model(DESIGNS["crossed slopes"], table(rng), family="poisson")
    criterion = Laplace(model.rows, model.distribution, model.scales)
    phi = at_random(criterion, rng)
    criterion.slope(criterion.evaluate(phi))
    _, _, tangent = criterion._tangent
    for j in range(len(phi)):
        step = np.zeros(len(phi))
        step[j] = 1e-5
        up, down = criterion.evaluate(phi + step).mode.u, criterion.evaluate(phi - step).mode.u
        np.testing.assert_allclose(tangent[:, j], (up - down) / 2e-5, atol=1e-5)


@pytest.mark.parametrize("two_thirds", [False, True])
def test_merged_rows_change_nothing(two_thirds):
    rng = np.random.default_rng(11)
    data = table(rng, 400, "bernoulli")
    data["x"] = np.round(data["x"])
    if two_thirds:
        data["h"] = np.array(["c"] * 400)
    formula = "y ~ x + (1 | g)" if two_thirds else "y ~ x + (1 | g) + (1 | h)"
    model = Model(formula, data, family="binomial")
    merged = latent_rows(model.design, model.distribution)
    whole = latent_rows(model.design, model.distribution, merge=False)
    assert merged.n < whole.n == 400
    a = Laplace(merged, model.distribution, model.scales)
    b = Laplace(whole, model.distribution, model.scales)
    phi = at_random(a, rng)
    assert a.evaluate(phi).value == pytest.approx(b.evaluate(phi).value, abs=1e-9)
    np.testing.assert_allclose(a.slope(a.evaluate(phi)).gradient, b.slope(b.evaluate(phi)).gradient, atol=1e-7)


@pytest.mark.parametrize("far", [-40.0, -5.0, 5.0, 40.0])
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_mode_is_reached_from_any_start(family, far):
    rng = np.random.default_rng(12)
    model = Model("y ~ x + (1 + x | g)", table(rng, response=family), family=family)
    for kind in (Laplace, laplace):
        criterion = kind(model.rows, model.distribution, model.scales)
        phi = criterion.start()
        phi[: criterion.n_theta] = [2.0, -0.5, 1.5]
        expected = criterion.evaluate(phi)
        again = criterion._evaluate(phi, np.full(len(expected.mode.u), far))
        assert again.value == pytest.approx(expected.value, abs=1e-7)
        np.testing.assert_allclose(again.mode.u, expected.mode.u, atol=1e-6)


def test_mode_of_huge_counts_and_empty_groups():
    rng = np.random.default_rng(13)
    data = table(rng)
    zero = data["g"] == "3"
    data["y"] = np.where(zero, 0.0, np.round(1e12 * np.exp(0.1 * rng.standard_normal(60))))
    model = Model("y ~ 1 + (1 | g)", data, family="poisson")
    for kind in (Laplace, laplace):
        criterion = kind(model.rows, model.distribution, model.scales)
        state = criterion.evaluate(np.array([3.0, np.log(1e12)]))
        assert np.isfinite(state.value)
        rows = criterion.rows  # at the mode λ Z's = u
        at = model.distribution.derivatives(rows.observations, state.mode.eta, 1)
        pull = 3.0 * np.bincount(rows.factors[0].codes, at.first[:, 0])
        curvature = 1.0 + 9.0 * np.bincount(rows.factors[0].codes, np.exp(state.mode.eta[:, 0]))
        left = (pull - criterion.by_factor(state.mode.u)[0][:, 0]) / curvature
        assert np.max(np.abs(left)) < 1e-6
        gradient = criterion.slope(state).gradient
        assert np.all(np.isfinite(gradient))


def test_variance_zero_is_the_generalized_linear_model():
    rng = np.random.default_rng(14)
    model = Model("y ~ x + (1 | g)", table(rng), family="poisson")
    criterion = laplace(model.rows, model.distribution, model.scales)
    c = criterion.start_coefficients
    state = criterion.evaluate(np.concatenate([[0.0], c]))
    eta = model.rows.fixed(c)
    expected = -2.0 * model.distribution.log_density(model.rows.observations, eta).sum() - 2.0 * model.rows.log_constant
    assert state.value == pytest.approx(expected, abs=1e-9)
    assert not np.any(state.mode.u)
