"""The search without factorisations against exact elimination."""

from __future__ import annotations

import numpy as np
import pytest
from core_designs import design, group, likelihood

from multilevel.core import iterated, large
from multilevel.core.iterated import Iterated, Stalled, search
from multilevel.core.likelihood import Likelihood
from multilevel.core.objective import GaussianObjective
from multilevel.formula.design import Design
from multilevel.numerics.newton import minimise


def three_factors(slopes: bool = False, n: int = 900, tau: float = 0.6) -> Design:
    rng = np.random.default_rng(3)
    a, b, c = rng.integers(0, 60, n), rng.integers(0, 40, n), rng.integers(0, 12, n)
    x = rng.normal(size=n)
    y = 1 + 0.5 * x + 0.8 * rng.normal(size=60)[a] + tau * rng.normal(size=40)[b] + 0.5 * rng.normal(size=12)[c]
    if slopes:
        y = y + 0.6 * rng.normal(size=60)[a] * x + 0.5 * rng.normal(size=40)[b] * x
    y = y + rng.normal(size=n)
    if tau == 0.0:  # no variation left between the levels of b: its variance is estimated as exactly zero
        y = y - (np.bincount(b, y) / np.bincount(b))[b]
    inner = [None, x] if slopes else [None]
    groups = [group("a", a, inner), group("b", b, inner), group("c", c, [None])]
    return design(y, [None, x], groups)


DESIGNS = {"intercepts": three_factors(), "slopes": three_factors(slopes=True)}
EACH = pytest.mark.parametrize("name", DESIGNS)
REML = pytest.mark.parametrize("reml", [True, False], ids=["reml", "ml"])


def both(name: str, reml: bool) -> tuple[Likelihood, Likelihood]:
    exact = likelihood(DESIGNS[name], reml)
    solver = Iterated(exact.products, exact.elimination.pattern)
    solver.accuracy = 1e-13
    return exact, Likelihood(exact.products, exact.scales, reml, None, solver)


@EACH
@REML
def test_solutions_equal_the_factorisation(name: str, reml: bool) -> None:
    exact, iterative = both(name, reml)
    theta = exact.start()
    a, b = exact.evaluate(theta), iterative.evaluate(theta)
    assert b.sigma2 == pytest.approx(a.sigma2, rel=1e-10)
    np.testing.assert_allclose(b.solution.beta, a.solution.beta, rtol=1e-9)
    np.testing.assert_allclose(b.solution.u, a.solution.u, rtol=1e-7, atol=1e-9)
    sums = exact.elimination.inverse(reml).sums
    np.testing.assert_allclose(iterative.slope(b, sums=sums).gradient, exact.slope(a).gradient, rtol=1e-8)
    np.testing.assert_allclose(iterative.slope(b, sums=sums).hessian, exact.slope(a).hessian, rtol=1e-3, atol=1e-3)


@EACH
@REML
def test_traces_are_right_on_average(name: str, reml: bool) -> None:
    """The mean over many probes is within its own standard error of the exact traces."""
    exact, iterative = both(name, reml)
    theta = exact.start()
    exact.evaluate(theta)
    iterative.evaluate(theta)
    rng = np.random.default_rng(8)
    probes = rng.choice([-1.0, 1.0], size=(iterative.elimination.pattern.n_trailing, 4000))
    found = iterative.elimination.traces(probes, 1e-10, reml)
    for sums, each in zip(exact.elimination.inverse(reml).sums, found, strict=True):
        error = each.std(axis=0) / np.sqrt(probes.shape[1])
        assert np.all(np.abs(each.mean(axis=0) - sums) < 4.5 * error + 1e-9 * np.abs(sums).max())


@EACH
@REML
def test_optimum_is_as_near_as_promised(name: str, reml: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """On so few levels 256 probes are noisy; what the search says about its height above the optimum is true."""
    promised = []
    original = iterated._excess

    def noted(*arguments: object) -> float:
        promised.append(original(*arguments))  # type: ignore[arg-type]
        return promised[-1]

    monkeypatch.setattr(iterated, "_excess", noted)
    exact = likelihood(DESIGNS[name], reml)
    theta, progress = search(exact, exact.start(), 100, None)
    assert progress.converged
    best, _ = minimise(GaussianObjective(exact), exact.start(), 100)
    height = likelihood(DESIGNS[name], reml).evaluate(theta).value - best.value
    assert -1e-8 < height < 8.0 * promised[-1] + 1e-7  # its expectation; a χ² of some degrees of freedom


def test_boundary_is_left_to_the_exact_search() -> None:
    exact = likelihood(three_factors(tau=0.0), True)
    with pytest.raises(Stalled):
        search(exact, exact.start(), 100, None)


@REML
@pytest.mark.parametrize("tau", [0.6, 0.0])
def test_large_path_ends_at_the_optimum(tau: float, reml: bool) -> None:
    """Both searches for large tails, at their own size limits: the first where it settles, the second at a zero."""
    d = three_factors(tau=tau)
    one, two = likelihood(d, reml), likelihood(d, reml)
    best, _ = minimise(GaussianObjective(two), two.start(), 100)
    state, found = large._minimise_factored(one, one.start(), 100, None)
    assert found.converged
    assert state.value == pytest.approx(best.value, abs=2e-3)  # one correction of a small sample's probes
    assert (state.theta == 0.0).sum() == (best.theta == 0.0).sum() == (tau == 0.0)
    state, found = large.minimise_large(one, one.start(), 100, None)
    assert found.converged
    assert state.value == pytest.approx(best.value, abs=1e-2)


def test_the_search_is_taken_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the limit lowered to this design's; so few levels leave the probes noisy, hence the tolerance."""
    from multilevel.core import fused

    d = three_factors()
    one, two = likelihood(d, True), likelihood(d, True)
    monkeypatch.setattr(fused, "LARGE_TAIL", 1)
    state, progress = fused.minimise_likelihood(one, one.start(), 100, None)
    best, _ = minimise(GaussianObjective(two), two.start(), 100)
    assert progress.converged
    assert state.value == pytest.approx(best.value, abs=1e-2)
