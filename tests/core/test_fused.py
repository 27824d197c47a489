"""The compiled search against the plain driver: the same optimum, zeros included, on many designs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from core_designs import cases, chain, crossed, design, group, likelihood, numbers, simulate

from multilevel.core.fused import _serves, minimise_likelihood
from multilevel.core.likelihood import Likelihood
from multilevel.core.objective import GaussianObjective
from multilevel.formula.design import Design
from multilevel.numerics.newton import minimise

CASES = cases()


def covariances(lik: Likelihood, theta: np.ndarray) -> list[np.ndarray]:
    return [s.factor(theta[p]) @ s.factor(theta[p]).T for s, p in zip(lik.scales, lik.slices, strict=True)]


def assert_same(d: Design, reml: bool) -> None:
    one, two = likelihood(d, reml), likelihood(d, reml)
    state, progress = minimise_likelihood(one, one.start(), 200, None)
    plain, plain_progress = minimise(GaussianObjective(two), two.start(), 200)
    assert progress.converged
    assert plain_progress.converged
    assert state.value == pytest.approx(plain.value, abs=1e-8 * (1.0 + abs(plain.value)))
    assert state.sigma2 == pytest.approx(plain.sigma2, rel=1e-5)
    for a, b in zip(covariances(one, state.theta), covariances(two, plain.theta), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * (1e-3 + np.trace(b)))
    assert (state.theta == 0.0).sum() == (plain.theta == 0.0).sum()
    # what the search leaves in the workspace is the state at its optimum
    fresh = likelihood(d, reml)
    again = fresh.evaluate(state.theta)
    assert again.value == pytest.approx(state.value, rel=1e-12)
    assert state.solution is not None
    assert again.solution is not None
    np.testing.assert_allclose(state.solution.beta, again.solution.beta, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(state.solution.u, again.solution.u, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(
        one.slope(state).gradient, fresh.slope(again).gradient, rtol=1e-6, atol=1e-7 * (1 + abs(state.value))
    )


@pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])
@pytest.mark.parametrize("name", CASES)
def test_same_optimum_on_every_kind_of_design(name: str, reml: bool) -> None:
    assert_same(CASES[name], reml)


@pytest.mark.parametrize("seed", range(40))
def test_same_optimum_on_random_designs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(40, 150))
    x = numbers(n, seed)
    kind = seed % 4
    k = int(rng.integers(1, 4))
    if kind == 0:
        codes = [rng.integers(0, int(rng.integers(4, 25)), n)]
    elif kind == 1:
        codes = chain([20, 6], n, seed)
    elif kind == 2:
        codes = crossed([12, 7], n, seed)
    else:
        codes = [*chain([16, 5], n, seed), crossed([6], n, seed)[0]]
    groups = [group("g0", codes[0], [None, *x[: k - 1]], "diagonal" if seed % 3 == 0 else "unstructured")]
    groups += [group(f"g{j}", c, [None]) for j, c in enumerate(codes[1:], 1)]
    fixed = [None, *x[: int(rng.integers(0, 4))]]
    empty = design(np.zeros(n), fixed, groups)
    d = simulate(empty, seed, sd=float(rng.choice([0.0, 0.1, 1.0, 10.0])))
    if seed % 5 == 0:
        d = replace(d, weights=rng.uniform(0.2, 5.0, n))
    assert_same(d, reml=bool(seed % 2))


def test_the_compiled_search_serves_what_it_should() -> None:
    served = {name for name, d in CASES.items() if _serves(lik := likelihood(d, True), GaussianObjective(lik))}
    assert {"one factor, k=3", "chain of three", "crossed two", "nested and crossed", "weights"} <= served
    assert not {"compound symmetry", "homogeneous"} & served
