"""Laplace's criterion for families with several linear predictors: its gradient, and its value by another algorithm."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from multilevel.core.curvature import Curvature
from multilevel.core.laplace import Laplace
from multilevel.model.model import Model

CASES = {
    "gaussian": "y ~ x + (1 | g); sigma ~ x + (1 | h)",
    "lognormal": "p ~ x + (x | g)",
    "student": "y ~ x + (1 | g)",
    "gamma": "p ~ x + (1 | g) + (1 | h); shape ~ x",
    "inverse_gaussian": "p ~ x + (1 | g)",
    "beta": "q ~ x + (1 | g); phi ~ (1 | h)",
    "negative_binomial": "c ~ x + (1 + x | g); shape ~ x",
    "negative_binomial_1": "c ~ x + (1 | g)",
    "beta_binomial": "k | trials(n) ~ x + (1 | g)",
    "zero_inflated_poisson": "c ~ x + (1 | g); zi ~ x + (1 | g)",
    "zero_inflated_negative_binomial": "c ~ x + (1 | g); zi ~ (1 | h)",
    "hurdle_poisson": "c ~ x + (1 | g); hu ~ x",
    "hurdle_negative_binomial": "c ~ x + (1 | g)",
    "cumulative": "o ~ x + (1 | g) + (1 | h)",
    "categorical": "o ~ x + (1 | g)",
}


def table(seed=3, n=240):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 15, n), rng.integers(0, 6, n)
    x = rng.normal(0.0, 1.0, n)
    eta = 0.4 + 0.3 * x + rng.normal(0.0, 0.5, 15)[g]
    mu = np.exp(eta)
    y = eta + 0.7 * rng.standard_t(5, n)
    trials = rng.integers(4, 9, n)
    return {
        "x": x,
        "g": g.astype(str),
        "h": h.astype(str),
        "y": y,
        "p": mu * rng.gamma(4.0, 0.25, n),
        "q": rng.beta(3.0 / (1.0 + np.exp(-eta)), 3.0 / (1.0 + np.exp(eta))).clip(1e-4, 1.0 - 1e-4),
        "c": np.where(rng.random(n) < 0.25, 0, rng.poisson(mu * rng.gamma(2.0, 0.5, n))).astype(float),
        "n": trials.astype(float),
        "k": rng.binomial(trials, rng.beta(2.0, 2.0, n)).astype(float),
        "o": np.digitize(y, [-0.3, 0.6, 1.4]).astype(float) + 1.0,
    }


def criterion_of(family):
    data = table()
    if family in ("categorical",):
        data["o"] = np.array(["a", "b", "c", "d"])[data["o"].astype(int) - 1]
    model = Model(CASES[family], data, family=family)
    return model, Laplace(model.rows, model.distribution, model.scales)


@pytest.mark.parametrize("family", CASES)
def test_gradient_equals_central_differences(family):
    _, criterion = criterion_of(family)
    rng = np.random.default_rng(5)
    phi = criterion.start()
    phi = phi + 0.05 * rng.standard_normal(len(phi))
    phi[: criterion.n_theta] = np.abs(phi[: criterion.n_theta]) + 0.1
    state = criterion.evaluate(phi)
    assert np.isfinite(state.value)
    found = criterion.slope(state).gradient
    for j in range(len(phi)):
        step = np.zeros(len(phi))
        step[j] = 1e-5
        difference = criterion.evaluate(phi + step).value - criterion.evaluate(phi - step).value
        assert found[j] == pytest.approx(difference / 2e-5, abs=1e-4, rel=1e-5)


@pytest.mark.parametrize("family", CASES)
def test_value_equals_the_dense_definition(family):
    """d = 2 h(û) + log|H| with H and û from dense matrices, rows stacked predictor by predictor."""
    _, criterion = criterion_of(family)
    phi = criterion.start()
    state = criterion.evaluate(phi)
    rows, which = criterion.rows, list(criterion.rows.latent)
    lam = criterion.factors(phi[: criterion.n_theta])
    parts = []
    for factor, root in zip(rows.factors, lam, strict=True):
        z = np.zeros((rows.n, len(which), factor.n_levels, factor.k))
        for a in range(factor.k):
            z[np.arange(rows.n), factor.owner[a], factor.codes, a] = factor.z[:, a]
        parts.append((z @ root).reshape(rows.n, len(which), -1))
    a = np.concatenate(parts, axis=2)
    fixed = rows.fixed(phi[criterion.n_theta :])

    def derivatives(u):
        eta = fixed.copy()
        eta[:, which] += a @ u
        return criterion.distribution.derivatives(rows.observations, eta, 2)

    def minus_log(u):
        return 0.5 * u @ u - derivatives(u).value.sum()

    u = np.zeros(a.shape[2])
    for _ in range(500):
        at = derivatives(u)
        gradient = np.einsum("ndq,nd->q", a, at.first[:, which]) - u
        w = at.second[:, which][:, :, which]
        hessian = np.einsum("ndq,nde,nep->qp", a, w, a) + np.eye(len(u))
        values, vectors = np.linalg.eigh(hessian)
        step = vectors @ ((vectors.T @ gradient) / np.abs(values))
        if np.max(np.abs(step)) < 1e-12:
            break
        size = 1.0
        h = minus_log(u)
        while size > 1e-8 and not minus_log(u + size * step) <= h:
            size *= 0.5
        u = u + size * step
    at = derivatives(u)
    w = at.second[:, which][:, :, which]
    hessian = np.einsum("ndq,nde,nep->qp", a, w, a) + np.eye(len(u))
    expected = -2.0 * at.value.sum() + u @ u + np.linalg.slogdet(hessian)[1] - 2.0 * rows.log_constant
    assert state.value == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("family", CASES)
def test_fit_converges_to_a_minimum(family):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model, criterion = criterion_of(family)
        fit = model.fit()
    assert fit.converged
    certainty = fit.estimates.certainty
    curvature = Curvature(criterion, criterion.evaluate(certainty.state.theta), certainty.zeros)
    assert np.max(np.abs(curvature.here) / np.sqrt(np.maximum(np.diag(curvature.hessian), 1e-6))) < 1e-4
    rng = np.random.default_rng(1)
    for _ in range(5):
        near = criterion.evaluate(certainty.state.theta + 0.02 * rng.standard_normal(len(certainty.state.theta)))
        assert near.value >= certainty.state.value - 1e-8
