"""The block path against the general sparse path and against the dense V: slow truth checks fast code."""

from __future__ import annotations

import numpy as np
import pytest
from core_designs import cases, dense_value, external_lam, likelihood

from multilevel.core.general import General
from multilevel.core.likelihood import Likelihood
from multilevel.numerics import ordering

CASES = cases()
RTOL = 1e-10


def interior(lik: Likelihood, seed: int) -> np.ndarray:
    """A random θ, correlations included."""
    rng = np.random.default_rng(seed)
    out = lik.start()
    for s, part in zip(lik.scales, lik.slices, strict=True):
        low, high = s.bounds() if s.k > 1 else (-1.0, 1.0)
        for j, kind in enumerate(s.kinds()):
            at = part.start + j
            if kind == "positive":
                out[at] = np.exp(0.7 * rng.standard_normal())
            elif kind == "free":
                out[at] = 0.6 * rng.standard_normal()
            else:
                out[at] = low + (high - low) * rng.uniform(0.2, 0.8)
    return out


def zeroed(lik: Likelihood, seed: int) -> np.ndarray:
    """A θ on the boundary: the first variance of every other term is zero."""
    theta = interior(lik, seed)
    for t, (s, part) in enumerate(zip(lik.scales, lik.slices, strict=True)):
        if t % 2 == 0:
            theta[part] = s.zeroed(theta[part], s.kinds().index("positive"))
    return theta


@pytest.fixture(params=[0.6, 1.1], ids=["dense tail", "all columns sparse"])
def tail(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> float:
    """From which fill on the rest is dense: 0.6 as shipped, above 1 nothing ever is."""
    monkeypatch.setattr(ordering, "DENSE", request.param)
    return float(request.param)


@pytest.mark.parametrize("where", [interior, zeroed])
@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", CASES)
def test_three_ways_agree(name: str, reml: bool, where, tail: float) -> None:
    d = CASES[name]
    lik, general = likelihood(d, reml), General(d, reml)
    for seed in range(2):
        theta = where(lik, seed)
        state = lik.evaluate(theta)
        lam = external_lam(lik, theta)
        value, beta, sigma2 = dense_value(d, lam, reml)
        plain = general.solve(lam)
        assert plain is not None
        assert plain.value == pytest.approx(value, rel=RTOL)
        assert lik.external_value(state.value) == pytest.approx(value, rel=RTOL)
        np.testing.assert_allclose(plain.beta, beta, rtol=1e-8, atol=1e-9)
        unit = lik.products.y_shift.scale
        block_beta = lik.products.beta_origin + unit * (lik.products.to_beta @ state.solution.beta)
        np.testing.assert_allclose(block_beta, beta, rtol=1e-8, atol=1e-9)
        assert plain.sigma2 == pytest.approx(sigma2, rel=RTOL)
        assert state.sigma2 * unit**2 == pytest.approx(sigma2, rel=RTOL)
        u = lik.elimination.by_factor(state.solution.u)
        for f, factor in enumerate(lik.products.factors):
            for t, first, last in factor.terms:
                np.testing.assert_allclose(unit * u[f][:, first:last], plain.u[t], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("where", [interior, zeroed])
@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", CASES)
def test_gradients_agree_with_each_other_and_with_differences(name: str, reml: bool, where, tail: float) -> None:
    d = CASES[name]
    lik, general = likelihood(d, reml), General(d, reml)
    theta = where(lik, 5)
    state = lik.evaluate(theta)
    gradient = lik.slope(state).gradient
    plain = general.solve(external_lam(lik, theta))
    assert plain is not None
    parts = general.gradient(plain)
    expected = np.empty_like(gradient)
    for t, (to, s, part) in enumerate(zip(lik.products.to_effects, lik.scales, lik.slices, strict=True)):
        expected[part] = np.tensordot(s.derivative(theta[part]), to.T @ parts[t])
    scale = np.abs(gradient).max() + 1.0
    np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-9 * scale)
    for j in range(len(theta)):
        h = 1e-5 * max(abs(theta[j]), 0.1)
        sides = []
        for sign in (1.0, -1.0):
            near = theta.copy()
            near[j] += sign * h
            sides.append(lik.evaluate(near).value)
        assert gradient[j] == pytest.approx((sides[0] - sides[1]) / (2 * h), rel=1e-5, abs=2e-6 * scale)


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", CASES)
def test_information_is_the_average_of_observed_and_expected(name: str, reml: bool, tail: float) -> None:
    """2·AI_st = y'PV_sPV_tPy/σ² with σ profiled out, from the dense V (Gilmour, Thompson & Cullis 1995)."""
    from core_designs import covariance

    d = CASES[name]
    lik = likelihood(d, reml)
    theta = interior(lik, 7)
    state = lik.evaluate(theta)
    slope = lik.slope(state)
    lam = external_lam(lik, theta)
    v = covariance(d, lam)
    x = (
        np.column_stack([np.ones(d.n) if c is None else c for c in d.fixed_columns])
        if d.fixed_columns
        else np.zeros((d.n, 0))
    )
    y = d.response if d.offset is None else d.response - d.offset
    inverse = np.linalg.inv(v)
    projector = inverse
    if x.shape[1]:
        projector = inverse - inverse @ x @ np.linalg.solve(x.T @ inverse @ x, x.T @ inverse)
    py = projector @ y
    nu = d.n - (x.shape[1] if reml else 0)
    known = d.known_se is not None
    sigma2 = 1.0 if known else float(y @ py) / nu
    directions = []
    for g, to, s, part, factor in zip(d.groups, lik.products.to_effects, lik.scales, lik.slices, lam, strict=True):
        z = np.column_stack([np.ones(d.n) if c is None else c for c in g.columns])
        same = g.codes[:, None] == g.codes[None, :]
        for change in s.derivative(theta[part]):
            half = z @ (to @ change) @ factor.T @ z.T
            directions.append((half + half.T) * same)
    w = np.column_stack([dv @ py for dv in directions])
    expected = w.T @ projector @ w / sigma2
    if not known:
        cross = w.T @ py
        expected -= np.outer(cross, cross) / (sigma2**2 * nu)
    np.testing.assert_allclose(slope.hessian, expected, rtol=1e-7, atol=1e-8 * np.abs(expected).max())


def test_a_matrix_that_is_not_definite_is_a_value() -> None:
    lik = likelihood(CASES["one factor, k=2"], True)
    state = lik.evaluate(np.full(3, np.nan))
    assert state.value == np.inf
    assert state.solution is None


@pytest.mark.parametrize("name", ["crossed three", "nested and crossed", "sparse crossed"])
def test_order_of_terms_does_not_matter(name: str) -> None:
    from dataclasses import replace

    d = CASES[name]
    turned = replace(d, groups=d.groups[::-1])
    a, b = likelihood(d, True), likelihood(turned, True)
    theta = interior(a, 9)
    parts = [theta[part] for part in a.slices]
    assert b.evaluate(np.concatenate(parts[::-1])).value == pytest.approx(a.evaluate(theta).value, rel=1e-12)


def test_levels_in_any_order() -> None:
    from dataclasses import replace

    d = CASES["nested and crossed"]
    rng = np.random.default_rng(10)
    groups = []
    for g in d.groups:
        to = rng.permutation(len(g.levels))
        groups.append(replace(g, codes=to[g.codes].astype(np.int32)))
    a, b = likelihood(d, True), likelihood(replace(d, groups=tuple(groups)), True)
    theta = interior(a, 11)
    assert b.evaluate(theta).value == pytest.approx(a.evaluate(theta).value, rel=1e-12)


def test_general_path_at_known_values() -> None:
    """Dyestuff (R package lme4): REML criterion 319.654276842 at θ = 0.848330."""
    yields = [
        1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560,
        1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450, 1480, 1445,
    ]  # fmt: skip
    from core_designs import design, group

    d = design(np.array(yields, float), [None], [group("Batch", np.repeat(np.arange(6), 5), [None])])
    solution = General(d, True).solve([np.array([[0.8483303]])])
    assert solution is not None
    assert solution.value == pytest.approx(319.6542768422, abs=1e-9)
    assert abs(General(d, True).gradient(solution)[0][0, 0]) < 1e-4
