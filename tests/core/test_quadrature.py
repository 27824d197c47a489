"""Adaptive quadrature against Laplace's approximation, differences, and integrals done the plain way."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.core.laplace import Laplace
from multilevel.core.quadrature import Quadrature, points
from multilevel.core.quadrature_levels import chain_of
from multilevel.model.model import Model
from multilevel.numerics.hermite import PRUNED, hermite, product_rule


def table(seed=3):
    rng = np.random.default_rng(seed)
    a, b, c = np.repeat(np.arange(8), 15), np.repeat(np.arange(24), 5), np.arange(120) // 5 * 3 + np.arange(120) % 3
    x = rng.normal(0.0, 1.0, 120)
    eta = 0.3 + 0.7 * x + 0.8 * rng.normal(0.0, 1.0, 8)[a] + rng.normal(0.0, 1.0, 24)[b]
    eta += 1.2 * rng.normal(0.0, 1.0, 7)[np.arange(120) % 7]
    return {
        "x": x,
        "a": a.astype(str),
        "b": b.astype(str),
        "c": c.astype(str),
        "d": (np.arange(120) % 7).astype(str),
        "y": (rng.random(120) < 1.0 / (1.0 + np.exp(-eta))).astype(float),
        "k": rng.poisson(np.exp(0.4 * eta)) * (rng.random(120) < 0.8).astype(float),
        "z": eta + rng.normal(0.0, 0.5, 120),
        "o": np.digitize(eta + rng.logistic(0.0, 1.0, 120), [-0.5, 1.0]) + 1.0,
    }


CASES = {
    "one effect": ("y ~ x + (1 | b)", "bernoulli"),
    "slopes": ("y ~ x + (x | a)", "bernoulli"),
    "uncorrelated": ("k ~ x + (x || a)", "poisson"),
    "two terms of one factor": ("k ~ x + (1 | b) + (0 + x | b)", "negative_binomial"),
    "two predictors": ("k ~ x + (1 | a); zi ~ (1 | a)", "zero_inflated_poisson"),
    "ordinal": ("o ~ x + (1 | b)", "cumulative"),
    "nested": ("y ~ x + (1 | a/b)", "bernoulli"),
    "nested slopes within": ("y ~ x + (1 | a) + (x | b)", "bernoulli"),
    "nested slopes around": ("k ~ x + (x | a) + (1 | b)", "poisson"),
    "nested predictors": ("k ~ x + (1 | a); zi ~ (1 | b)", "zero_inflated_poisson"),
    "three levels": ("y ~ x + (1 | a/b/c)", "bernoulli"),
}
ALL = pytest.mark.parametrize("case", CASES)


def place(formula, family, nodes):
    """The model, a point that is no optimum, and quadrature and Laplace there."""
    model = Model(formula, table(), family=family)
    laplace = Laplace(model.rows, model.distribution, model.scales)
    start = laplace.start()
    phi = start + 0.1 * np.random.default_rng(0).standard_normal(len(start))
    return model, phi, Quadrature(model.rows, model.distribution, model.scales, nodes), laplace


# --- the rule ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("count", [1, 2, 5, 25, 151])
def test_moments_of_the_rule(count):
    nodes, weights = hermite(count)
    double_factorial = 1.0
    for power in range(0, min(2 * count, 14), 2):
        assert (weights * nodes**power).sum() == pytest.approx(double_factorial, rel=1e-12)
        assert (weights * nodes ** (power + 1)).sum() == pytest.approx(0.0, abs=1e-10)
        double_factorial *= power + 1


def test_corners_are_left_out_of_products():
    rule = product_rule(25, 2)
    assert len(rule) < 25**2
    assert np.exp(rule.log_weights).sum() == pytest.approx(1.0, abs=1e-14)
    assert np.exp(rule.log_weights).min() >= PRUNED * np.exp(rule.log_weights).max()
    moment = (np.exp(rule.log_weights) * rule.nodes[:, 0] ** 4 * rule.nodes[:, 1] ** 4).sum()
    assert moment == pytest.approx(9.0, rel=1e-8)


# --- the criterion -------------------------------------------------------------------------------------------
@ALL
def test_one_node_is_laplace(case):
    _, phi, quadrature, laplace = place(*CASES[case], 1)
    state, plain = quadrature.evaluate(phi), laplace.evaluate(phi)
    assert state.value == pytest.approx(plain.value, rel=1e-12)
    ours, theirs = quadrature.slope(state), laplace.slope(plain)
    assert ours.gradient == pytest.approx(theirs.gradient, rel=1e-7, abs=1e-7)
    assert ours.hessian == pytest.approx(theirs.hessian, rel=1e-6, abs=1e-8)
    for a, b in zip(ours.scores, theirs.scores, strict=True):
        assert a == pytest.approx(b, rel=1e-6, abs=1e-6)


@ALL
@pytest.mark.parametrize("nodes", [2, 3])
def test_gradient_is_that_of_the_approximation(case, nodes):
    _, phi, quadrature, _ = place(*CASES[case], nodes)
    gradient = quadrature.slope(quadrature.evaluate(phi), information=False).gradient
    for j in range(len(phi)):
        up, down = phi.copy(), phi.copy()
        up[j], down[j] = phi[j] + 1e-5, phi[j] - 1e-5
        slope = (quadrature.evaluate(up).value - quadrature.evaluate(down).value) / 2e-5
        assert gradient[j] == pytest.approx(slope, rel=1e-6, abs=1e-5)


@pytest.mark.parametrize("formula", ["z ~ x + (x | a); sigma ~ x", "z ~ x + (1 | a/b); sigma ~ x"])
@pytest.mark.parametrize("nodes", [1, 3, 8])
def test_normal_responses_are_integrated_exactly_by_any_number_of_nodes(formula, nodes):
    _, phi, quadrature, laplace = place(formula, "gaussian", nodes)
    assert quadrature.evaluate(phi).value == pytest.approx(laplace.evaluate(phi).value, rel=1e-12)


GRID, STEP = np.linspace(-9.0, 9.0, 361), 0.05  # trapezoids: exact to rounding for smooth integrands that vanish


def log_normal(u):
    return -0.5 * u**2 - 0.5 * np.log(2.0 * np.pi)


def plain_bernoulli(y, eta):
    return y * eta - np.logaddexp(0.0, eta)


def test_one_factor_against_plain_integrals():
    model, phi, quadrature, _ = place("y ~ x + (1 | b)", "bernoulli", 31)
    fixed, codes = model.rows.fixed(phi[1:])[:, 0], model.rows.factors[0].codes
    total = 0.0
    for level in range(24):
        rows = codes == level
        eta = fixed[rows][:, None] + phi[0] * GRID
        f = plain_bernoulli(model.rows.observations.y[rows][:, None], eta).sum(axis=0) + log_normal(GRID)
        total += np.log(np.exp(f).sum() * STEP)
    assert quadrature.evaluate(phi).value == pytest.approx(-2.0 * total, rel=1e-11)


def test_nested_factors_against_plain_integrals():
    model, phi, quadrature, _ = place("y ~ x + (1 | a/b)", "bernoulli", 25)
    labels = [f.label for f in model.rows.factors]
    outer, inner = model.rows.factors[labels.index("a")], model.rows.factors[1 - labels.index("a")]
    lam = dict(zip(labels, (lam[0, 0] for lam in quadrature.factors(phi)), strict=True))
    fixed, y = model.rows.fixed(phi[2:])[:, 0], model.rows.observations.y
    total = 0.0
    for level in range(8):
        within = np.zeros(len(GRID))  # log of the inner integrals at each outer point
        for nested in np.unique(inner.codes[outer.codes == level]):
            rows = inner.codes == nested
            base = fixed[rows][:, None, None] + lam["a"] * GRID[:, None] + lam[inner.label] * GRID
            f = plain_bernoulli(y[rows][:, None, None], base).sum(axis=0) + log_normal(GRID)
            within += np.log(np.exp(f).sum(axis=1) * STEP)
        total += np.log(np.exp(within + log_normal(GRID)).sum() * STEP)
    assert quadrature.evaluate(phi).value == pytest.approx(-2.0 * total, rel=1e-10)


def test_slopes_against_plain_integrals():
    model, phi, quadrature, _ = place("y ~ x + (x | a)", "bernoulli", 31)
    factor, lam = model.rows.factors[0], quadrature.factors(phi)[0]
    fixed, y = model.rows.fixed(phi[3:])[:, 0], model.rows.observations.y
    u = np.stack(np.meshgrid(GRID, GRID, indexing="ij"), axis=-1).reshape(-1, 2)
    prior = log_normal(u).sum(axis=1)
    total = 0.0
    for level in range(8):
        rows = factor.codes == level
        eta = fixed[rows] + u @ lam.T @ factor.z[rows].T
        f = plain_bernoulli(y[rows], eta).sum(axis=1) + prior
        total += np.log(np.exp(f).sum() * STEP**2)
    assert quadrature.evaluate(phi).value == pytest.approx(-2.0 * total, rel=1e-9)


def test_more_nodes_come_closer():
    model, phi, _, _ = place("y ~ x + (1 | b)", "bernoulli", 1)
    values = [
        Quadrature(model.rows, model.distribution, model.scales, r).evaluate(phi).value for r in (1, 3, 7, 15, 41)
    ]
    errors = np.abs(np.array(values[:-1]) - values[-1])
    assert np.all(errors[1:] < 0.2 * errors[:-1])


def test_restored_workspace_gives_the_same_gradient():
    _, phi, quadrature, _ = place("y ~ x + (1 | a/b)", "bernoulli", 3)
    state = quadrature.evaluate(phi)
    before = quadrature.slope(state).gradient
    quadrature.evaluate(phi + 0.3)
    assert quadrature.slope(state).gradient == pytest.approx(before, rel=1e-9, abs=1e-9)


def test_flat_zero_variance():
    """With a variance of zero the integral is the density of the fixed part."""
    model, phi, quadrature, laplace = place("y ~ x + (1 | b)", "bernoulli", 9)
    phi[0] = 0.0
    state = quadrature.evaluate(phi)
    assert state.value == pytest.approx(laplace.evaluate(phi).value, rel=1e-13)
    assert quadrature.slope(state).gradient[0] == pytest.approx(0.0, abs=1e-10)
    assert np.isfinite(quadrature.slope(state).hessian).all()
    assert model.rows.n == 120


def test_chains():
    def labels(formula):
        rows = Model(formula, table(), family="bernoulli").rows
        chain = chain_of(rows)
        return None if chain is None else [rows.factors[f].label for f in chain]

    assert labels("y ~ x + (1 | b) + (1 | a)") == ["a", "b"]
    assert labels("y ~ x + (1 | a) + (1 | c) + (1 | b)") == ["a", "b", "c"]
    assert labels("y ~ x + (1 | a) + (1 | d)") is None


def test_points_of_nested_rules_multiply():
    rows = Model("y ~ x + (1 | a) + (x | b)", table(), family="bernoulli").rows
    assert points(rows, 3) == 3 * 9
    assert points(rows, 10_000) > 1e11
