"""Very many levels: their integrals by quadrature, their effects drawn by rejection, the posterior between few points.

Everything is tested where it is small, against integration on a fine grid and the general criterion.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

from multilevel.core import one_factor
from multilevel.core.completed import LateEffects
from multilevel.core.exact_draws import BLOCK, RATIO, ChosenDraws, ExactDraws, blocks
from multilevel.core.marginal import LaplacePosterior, Root, many_levels
from multilevel.core.one_factor_quadrature import OneFactorQuadrature
from multilevel.core.quadrature import Quadrature
from multilevel.model.model import Model
from multilevel.numerics import vectors

DESIGNS = {
    "counts": ("poisson", "c ~ x + (1 | g)"),
    "one row": ("poisson", "c ~ x + (1 | row)"),
    "yes or no": ("bernoulli", "b ~ x + (1 | g)"),
    "slope alone": ("poisson", "c ~ x + (0 + x | g)"),
    "trials": ("binomial", "k | trials(size) ~ x + (1 | g)"),
}


def table(n: int = 150, levels: int = 30) -> dict[str, Any]:
    rng = np.random.default_rng(5)
    g, x = rng.integers(0, levels, n), rng.normal(0.0, 1.0, n)
    eta = 0.3 + 0.4 * x + rng.normal(0.0, 0.9, levels)[g]
    p, size = 1.0 / (1.0 + np.exp(-eta)), rng.integers(1, 200, n)
    return {
        "x": x, "g": g.astype(str), "row": np.arange(n).astype(str), "c": rng.poisson(np.exp(eta)) + 0.0,
        "w": rng.normal(size=n), "b": (rng.random(n) < p) + 0.0, "size": size + 0.0, "k": rng.binomial(size, p) + 0.0,
    }  # fmt: skip


def target(name: str) -> LaplacePosterior:
    family, formula = DESIGNS[name]
    return LaplacePosterior(Model(formula, table(), family=family), quadrature=True)


# --- elementary functions ----------------------------------------------------------------------------------------
def test_elementary_functions() -> None:
    x = np.concatenate([np.linspace(-690.0, 690.0, 4001), np.linspace(-1e-3, 1e-3, 101)])
    np.testing.assert_allclose([vectors.exp(v) for v in x], np.exp(x), rtol=1e-15)
    y = np.exp(x)
    np.testing.assert_allclose([vectors.log(v) for v in y], np.log(y), rtol=4e-16, atol=1e-19)
    turns = np.linspace(-3.0, 3.0, 1001)
    np.testing.assert_allclose([vectors.sine(v) for v in turns], np.sin(2.0 * np.pi * turns), atol=3e-15)
    assert vectors.exp(1e4) > 1e300
    assert vectors.log(0.0) < -700.0


def test_random_numbers_are_uniform_and_functions_of_their_counter() -> None:
    from scipy.stats import kstest

    start, step = np.uint64(99), int(vectors.STEP)
    counters = [np.uint64((int(start) + i * step) % 2**64) for i in range(6000)]
    u = np.array([vectors.uniform(c) for c in counters])
    assert kstest(u, "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) < 0.05
    x = [vectors.normal(c, quarter) for c in counters[::2] for quarter in (0.0, 0.25)]
    assert kstest(x, "norm").pvalue > 1e-3
    assert abs(np.corrcoef(x[::2], x[1::2])[0, 1]) < 0.07
    assert vectors.uniform(counters[7]) == u[7]
    assert 0.0 < u.min() < u.max() < 1.0


# --- the integrals -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("family", "formula"),
    [
        *DESIGNS.values(), ("bernoulli", "b ~ x + (1 + x | g)"), ("poisson", "c ~ x + (1 | g) + (0 + x | g)"),
        ("bernoulli", "b ~ x + (1 + x + w | g)"),
    ],
)  # fmt: skip
def test_quadrature_as_the_general_one(family: str, formula: str) -> None:
    """Value, gradient and scores; the general gradient is that of the rule, equal where the rule is exact enough."""
    model = Model(formula, table(), family=family)
    scales = [Root(s.k) for s in model.scales]
    fast, plain = (kind(model.rows, model.distribution, scales, 24) for kind in (OneFactorQuadrature, Quadrature))
    theta = [0.6 * np.eye(s.k).ravel() + 0.1 * (s.k > 1) for s in scales]
    phi = np.concatenate([*theta, np.full(fast.n_coefficients, 0.2)])
    a, b = fast.evaluate(phi), plain.evaluate(phi)
    assert a.value == pytest.approx(b.value, abs=2e-5)
    mine, known = fast.slope(a), plain.slope(b)
    np.testing.assert_allclose(mine.gradient, known.gradient, atol=2e-3)
    for s, t in zip(mine.scores, known.scores, strict=True):
        np.testing.assert_allclose(s, t, atol=2e-3)
    assert np.all(np.linalg.eigvalsh(mine.hessian[-2:, -2:]) > 0.0)
    np.testing.assert_allclose(fast.slope(fast.evaluate(phi + 0.1 * (phi == 0.2))).gradient.shape, phi.shape)


@pytest.mark.parametrize("name", DESIGNS)
def test_gradient_and_information(name: str) -> None:
    posterior = target(name)
    z = posterior.start() + 0.1
    value, slope = posterior.gradient(z)
    away = 1e-5 * np.eye(posterior.d)
    sides = posterior.log_density(np.concatenate([z + away, z - away]))
    np.testing.assert_allclose(slope, (sides[: posterior.d] - sides[posterior.d :]) / 2e-5, rtol=1e-4, atol=1e-3)
    assert value == pytest.approx(posterior.log_density(z[None])[0], abs=1e-9)
    assert np.all(np.linalg.eigvalsh(posterior.information(z)) > 0.0)


def test_nodes_are_doubled_until_they_are_enough() -> None:
    """Pairs of yes and no with a large variance; the gradient is then that of very many nodes."""
    posterior = target("yes or no")
    criterion = posterior.criterion
    assert isinstance(criterion, OneFactorQuadrature)
    z = posterior.start() + np.array([1.0, 0.0, 0.0])
    scale = 5.0 * np.eye(3)
    criterion.use(60)
    known = posterior.gradient(z)[1]
    criterion.use(3)
    posterior.sharpen(z, scale)
    assert 3 < criterion.count < 60
    assert posterior.quadrature_error < 0.02
    assert np.max(np.abs(scale @ (posterior.gradient(z)[1] - known))) < 0.04


def test_where_it_serves() -> None:
    n = 11_000
    data = {"c": np.arange(n) % 3 + 0.0, "g": (np.arange(n) // 2).astype(str), "x": np.arange(n) / n}
    assert many_levels(Model("c ~ x + (1 | g)", data, family="poisson"))
    assert many_levels(Model("c ~ x + (1 | g)", data, family="negative_binomial"))
    assert not many_levels(Model("c ~ x", data, family="poisson"))
    few = {k: v[:300] for k, v in data.items()}
    assert not many_levels(Model("c ~ x + (1 | g)", few, family="poisson"))


# --- the draws ---------------------------------------------------------------------------------------------------
def distribution(posterior: LaplacePosterior, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grid of b (G,) in the units of the data and the effects' distribution functions (L, G) given z, by summing."""
    model, (phi,) = posterior.model, posterior.phi(z[None])
    rows, factor = posterior.criterion.rows, posterior.criterion.rows.factors[0]
    fixed, unit = rows.fixed(phi[1:])[:, 0], 1.0 / posterior.maps[0][0, 0]
    u = np.linspace(-9.0, 9.0, 6001)
    log_p = np.tile(-0.5 * u * u, (factor.n_levels, 1))
    for i, level in enumerate(factor.codes):
        eta = (fixed[i] + factor.z[i, 0] * phi[0] * u)[:, None]
        log_p[level] += model.distribution.log_density(rows.observations.take(np.full(len(u), i)), eta)
    p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
    total = np.cumsum(0.5 * (p[:, 1:] + p[:, :-1]), axis=1)
    return phi[0] * u * unit, np.concatenate([np.zeros((len(p), 1)), total / total[:, -1:]], axis=1)


@pytest.mark.parametrize("name", DESIGNS)
def test_draws_have_the_exact_distribution(name: str) -> None:
    """Each draw through its own distribution function is uniform, for z near their centre and far from it."""
    from scipy.stats import kstest

    posterior = target(name)
    rng = np.random.default_rng(4)
    centre = posterior.start()
    z = np.repeat(centre + rng.standard_normal((8, posterior.d)) * np.array([0.3, 0.2, 0.2]), 300, axis=0)
    effects, log_weights = posterior.draws.draw(z, rng)
    assert isinstance(posterior.draws, ExactDraws)
    assert not log_weights.any()
    found = []
    for s in range(0, len(z), 300):
        grid, below = distribution(posterior, z[s])
        sign = np.sign(grid[-1])
        for level in range(len(below)):
            found.append(np.interp(sign * effects[0][s : s + 300, level, 0], sign * grid, below[level]))
    pit = np.concatenate(found)
    assert kstest(pit, "uniform").pvalue > 1e-3
    by_level = np.array([p.mean() for p in found])
    assert np.abs(by_level - 0.5).max() < 5.0 * np.sqrt(1.0 / 12.0 / 300.0)
    spread = np.array([np.mean((p - 0.5) ** 2) for p in found])
    assert np.abs(spread - 1.0 / 12.0).max() < 5.0 * np.sqrt(1.0 / 180.0 / 300.0)


@pytest.mark.parametrize("formula", ["c ~ x + (1 + x | g)", "b ~ x + (1 + x | g)", "c ~ x + (1 | g) + (0 + x | g)"])
def test_draws_of_several_coefficients(formula: str) -> None:
    """Means, spreads and correlations of each level against sums over a grid, every draw given a z of its own."""
    family = "poisson" if formula.startswith("c") else "bernoulli"
    posterior = LaplacePosterior(Model(formula, table(), family=family), quadrature=True)
    rng = np.random.default_rng(3)
    centre = posterior.start()
    z = np.repeat(centre + 0.2 * rng.standard_normal((4, posterior.d)), 600, axis=0)
    effects, _ = posterior.draws.draw(z, rng)
    both = np.concatenate(list(effects), axis=2)
    axis = np.linspace(-6.0, 6.0, 81)
    u = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    rows, factor = posterior.criterion.rows, posterior.criterion.rows.factors[0]
    for s in range(0, len(z), 600):
        phi = posterior.phi(z[s : s + 1])[0]
        lam, fixed = posterior.criterion.factors(phi)[0], rows.fixed(phi[posterior.criterion.n_theta :])[:, 0]
        log_p = np.tile(-0.5 * (u * u).sum(axis=1), (factor.n_levels, 1))
        for i, level in enumerate(factor.codes):
            eta = (fixed[i] + u @ lam.T @ factor.z[i])[:, None]
            observations = rows.observations.take(np.full(len(u), i))
            log_p[level] += posterior.model.distribution.log_density(observations, eta)
        p = np.exp(log_p - log_p.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        b = u @ lam.T @ posterior.draws.unit.T
        features = np.column_stack([b, b**2, b[:, 0] * b[:, 1]])
        known, square = p @ features, p @ features**2
        error = np.sqrt((square - known**2) / 600.0)
        mine = both[s : s + 600]
        found = np.concatenate([mine, mine**2, mine[..., :1] * mine[..., 1:]], axis=2).mean(axis=0)
        assert np.abs((found - known) / error).max() < 5.0


@pytest.mark.parametrize("formula", ["c ~ x + (1 | g)", "c ~ x + (1 + x | g)"])
def test_families_without_compiled_rows(formula: str) -> None:
    """Gradient and means by the general quadrature; draws against these means."""
    posterior = LaplacePosterior(Model(formula, table(), family="negative_binomial"), quadrature=True)
    z = posterior.start()
    value, slope = posterior.gradient(z)
    away = 1e-4 * np.eye(posterior.d)
    sides = posterior.log_density(np.concatenate([z + away, z - away]))
    np.testing.assert_allclose(slope, (sides[: posterior.d] - sides[posterior.d :]) / 2e-4, rtol=1e-3, atol=1e-2)
    posterior.sharpen(z, 0.1 * np.eye(posterior.d))
    assert np.isfinite(value)
    assert 0.0 < posterior.quadrature_error < 0.02
    assert isinstance(posterior.draws, ChosenDraws)
    effects, log_weights = posterior.draws.draw(np.repeat(z[None], 800, axis=0), np.random.default_rng(1))
    assert not log_weights.any()
    error = effects[0].std(axis=0) / np.sqrt(800.0)
    assert np.abs((effects[0].mean(axis=0) - effects.means[0]) / error).max() < 4.5


def test_levels_with_too_many_rows_choose_among_proposals(monkeypatch: pytest.MonkeyPatch) -> None:
    from multilevel.core import exact_draws

    posterior = LaplacePosterior(Model("c ~ x + (1 + x | g)", table(), family="poisson"), quadrature=True)
    z = np.repeat(posterior.start()[None], 300, axis=0)
    exact = posterior.draws.draw(z, np.random.default_rng(1))[0][0]
    assert isinstance(posterior.draws, ExactDraws)
    assert posterior.draws.words == "by rejection"
    monkeypatch.setattr(exact_draws, "MOST_ATTEMPTS", 1.0)
    chosen = posterior.draws.draw(z, np.random.default_rng(2))[0][0]
    assert "chosen" in posterior.draws.words
    error = exact.std(axis=0) * np.sqrt(2.0 / 300.0)
    assert np.abs((exact.mean(axis=0) - chosen.mean(axis=0)) / error).max() < 4.5
    np.testing.assert_allclose(exact.std(axis=0), chosen.std(axis=0), rtol=0.25)


def test_most_proposals_are_taken() -> None:
    """89 of 100 where levels are normal and draws of z lie together."""
    posterior = target("counts")
    z = posterior.start() + 0.01 * np.random.default_rng(1).standard_normal((500, posterior.d))
    effects, _ = posterior.draws.draw(z, np.random.default_rng(2))
    assert isinstance(posterior.draws, ExactDraws)
    assert effects[0].size / posterior.draws.attempts > 0.85


@pytest.mark.parametrize("formula", ["b ~ x + (1 | g)", "b ~ x + (1 + x | g)", "b ~ x + diag(1 + x + w | g)"])
def test_means_of_the_effects(formula: str) -> None:
    posterior = LaplacePosterior(Model(formula, table(), family="bernoulli"), quadrature=True)
    z = posterior.start() + 0.05 * np.random.default_rng(1).standard_normal((3000, posterior.d))
    effects, _ = posterior.draws.draw(z, np.random.default_rng(2))
    assert isinstance(effects, LateEffects)
    error = effects[0].std(axis=0) / np.sqrt(3000.0)
    assert np.all(np.abs(effects.means[0] - effects[0].mean(axis=0)) < 4.5 * error + 4e-3)


def test_the_same_draws_on_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for count in (1, 2):
        monkeypatch.setattr(one_factor, "cores", lambda count=count: count)
        posterior = target("counts")
        z = posterior.start() + 0.05 * np.random.default_rng(1).standard_normal((700, posterior.d))
        found.append(posterior.draws.draw(z, np.random.default_rng(2))[0][0])
    np.testing.assert_array_equal(found[0], found[1])


def test_impossible_points_weigh_nothing() -> None:
    posterior = target("counts")
    z = np.tile(posterior.start(), (3, 1))
    z[1, 0] = 800.0
    with np.errstate(all="ignore"):
        effects, log_weights = posterior.draws.draw(z, np.random.default_rng(1))
        np.testing.assert_array_equal(log_weights, [0.0, -np.inf, 0.0])
        assert np.isfinite(effects[0][[0, 2]]).all()


def test_blocks_hold_draws_of_nearly_the_same_spread() -> None:
    sd = np.exp(np.random.default_rng(1).standard_normal(3000))
    found = blocks(sd)
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(3000))
    assert all(len(b) <= BLOCK and sd[b].max() <= RATIO * sd[b].min() * (1 + 1e-12) for b in found)


def test_late_effects() -> None:
    calls = []

    def make() -> list[np.ndarray]:
        calls.append(1)
        return [np.arange(12.0).reshape(6, 2, 1)]

    late = LateEffects(make, [np.zeros((2, 1))])
    shaped = late.shaped((2, 3))
    assert len(shaped) == 1
    assert not calls
    assert shaped[0].shape == (2, 3, 2, 1)
    assert late[0] is late[0]
    assert len(calls) == 1
    again = pickle.loads(pickle.dumps(shaped))
    np.testing.assert_array_equal(again[0], shaped[0])
