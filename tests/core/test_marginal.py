"""The posterior with effects integrated out by Laplace: its gradient, and what makes draws from it exact."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.core.batch_modes import BatchModes
from multilevel.core.latent_draws import CompiledDraws, LevelDraws, lattice, proposals, student_quantile
from multilevel.core.marginal import LaplacePosterior, Root
from multilevel.core.quadrature import Quadrature
from multilevel.model.model import Model

DESIGNS = {
    "one": ("bernoulli", "b ~ x + (1 | g)"),
    "slope": ("poisson", "c ~ x + (1 + x | g)"),
    "symmetric": ("poisson", "c ~ x + cs(1 + x | g)"),
    "two terms": ("poisson", "c ~ x + (1 | g) + (0 + x | g)"),
    "nested": ("bernoulli", "b ~ x + (1 | h) + (1 | h:g)"),
    "crossed": ("poisson", "c ~ x + (1 + x | g) + (1 | h)"),
    "crossed, two predictors": ("zero_inflated_poisson", "c ~ x + (1 | g); zi ~ (1 | h)"),
    "constant": ("negative_binomial", "c ~ x + (1 | g)"),
    "constants": ("student", "y ~ x + (1 | g)"),
    "ordinal": ("cumulative", "o ~ x + (1 | g)"),
    "gaussian": ("gaussian", "y ~ x + (1 | g)"),
    "no groups": ("poisson", "c ~ x"),
}
INTEGRABLE = ("one", "slope", "nested", "constant", "ordinal")


def table(n: int = 120) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    g, h = rng.integers(0, 12, n), rng.integers(0, 4, n)
    x = rng.normal(0.0, 1.0, n)
    eta = 0.3 + 0.4 * x + rng.normal(0.0, 0.7, 12)[g] + rng.normal(0.0, 0.4, 4)[h]
    y = eta + 0.5 * rng.standard_t(5, n)
    return {
        "x": x, "g": g.astype(str), "h": h.astype(str), "y": y,
        "b": (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(float),
        "c": np.where(rng.random(n) < 0.2, 0, rng.poisson(np.exp(eta))).astype(float),
        "o": np.digitize(y, [-0.3, 0.9]).astype(float) + 1.0,
    }  # fmt: skip


def target(name: str, order: int = 1) -> LaplacePosterior:
    family, formula = DESIGNS[name]
    return LaplacePosterior(Model(formula, table(), family=family), order)


def points(posterior: LaplacePosterior, count: int) -> np.ndarray:
    rng = np.random.default_rng(2)
    return posterior.start() + 0.15 * rng.standard_normal((count, posterior.d))


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", DESIGNS)
def test_gradient(name: str, order: int) -> None:
    posterior = target(name, order)
    (z,) = points(posterior, 1)
    value, gradient = posterior.gradient(z)
    h = 1e-5 if order == 1 else 1e-4
    sides = [posterior.log_density(z + s * h * np.eye(posterior.d)) for s in (1.0, -1.0)]
    assert value == pytest.approx(float(posterior.log_density(z[None])[0]), abs=1e-9)
    np.testing.assert_allclose(gradient, (sides[0] - sides[1]) / (2.0 * h), rtol=2e-4, atol=2e-4)


def test_terms_of_one_factor_are_merged_as_the_core_has_them() -> None:
    """Independent terms against one term with a diagonal covariance: the same density."""
    data = table()
    two = LaplacePosterior(Model("c ~ x + (1 | g) + (0 + x | g)", data, family="poisson"))
    one = LaplacePosterior(Model("c ~ x + diag(1 + x | g)", data, family="poisson"))
    z = points(two, 3)
    np.testing.assert_allclose(two.log_density(z), one.log_density(z), rtol=1e-9)


def test_outside_is_nothing() -> None:
    posterior = target("one")
    z = posterior.start()
    z[0] = 800.0
    assert posterior.log_density(z[None])[0] == -np.inf
    assert posterior.gradient(z)[0] == -np.inf
    assert not np.any(posterior.gradient(z)[1])
    assert posterior.complete(np.stack([z, posterior.start()]), np.random.default_rng(1)).log_weights[0] == -np.inf


@pytest.mark.parametrize("name", INTEGRABLE)
def test_weights_are_the_integral_over_its_approximation(name: str) -> None:
    """Unbiased, against quadrature with many nodes."""
    posterior = target(name)
    model = posterior.model
    exact = Quadrature(model.rows, model.distribution, [Root(s.k) for s in model.scales], 25)
    for z in points(posterior, 2):
        phi = posterior.phi(z[None])[0]
        known = -0.5 * exact.evaluate(phi).value + 0.5 * posterior.criterion.evaluate(phi).value
        weights = np.exp(posterior.complete(np.repeat(z[None], 250, axis=0), np.random.default_rng(3)).log_weights)
        error = weights.std() / np.sqrt(len(weights))
        assert abs(weights.mean() - np.exp(known)) < 4.0 * error + 1e-6
        assert weights.std() < 0.4 * weights.mean()


@pytest.mark.parametrize("name", ["one", "slope", "nested", "crossed", "crossed, two predictors"])
def test_effects_are_draws_given_the_parameters(name: str) -> None:
    """Moments of weighted draws with few proposals against those with very many, all groups at once."""
    posterior = target(name)
    (z,) = points(posterior, 1)

    def moments(proposals_a_group: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        posterior.draws.points = proposals_a_group
        done = posterior.complete(np.repeat(z[None], count, axis=0), np.random.default_rng(4))
        w = np.exp(done.log_weights - done.log_weights.max())
        w /= w.sum()
        flat = np.concatenate([e.reshape(count, -1) for e in done.effects], axis=1)
        mean = w @ flat
        return mean, np.sqrt(w @ (flat - mean) ** 2)

    few, many = moments(8, 800), moments(256, 200)
    np.testing.assert_allclose(few[0], many[0], atol=0.4 * many[1].max())
    assert np.all(np.abs(few[0] - many[0]) < 4.5 * many[1] * np.sqrt(1.0 / 400.0 + 1.0 / 200.0))
    np.testing.assert_allclose(few[1], many[1], rtol=0.3)


def test_proposals_grow_until_weights_are_quiet() -> None:
    posterior = target("crossed")
    rng = np.random.default_rng(1)
    posterior.complete(points(posterior, 20), rng)
    phi = posterior.phi(points(posterior, 20))
    gap = posterior.draws._drawn(phi, rng)[1] - posterior.draws._drawn(phi, rng)[1]
    assert np.sqrt(0.5 * np.mean(gap**2)) < 0.4


def test_quantiles_and_lattice() -> None:
    from scipy.stats import t

    p = np.array([1e-9, 0.01, 0.3, 0.5, 0.77, 1.0 - 1e-6])
    np.testing.assert_allclose(student_quantile(p), t.ppf(p, 4), rtol=1e-6, atol=1e-12)
    x, log_q = proposals(64, np.random.default_rng(0).random((3, 2)))
    np.testing.assert_allclose(log_q, t.logpdf(x, 4).sum(axis=-1), rtol=1e-10)
    assert all(len(np.unique(lattice(64, 2)[:, j])) == 64 for j in range(2))
    rng = np.random.default_rng(1)
    for _ in range(20):  # every shift integrates a smooth function that dies out at the ends
        x, log_q = proposals(128, rng.random(2))
        estimate = np.mean(np.exp(-0.5 * (x * x).sum(axis=-1) - log_q)) / (2.0 * np.pi)
        assert estimate == pytest.approx(1.0, abs=5e-3)


@pytest.mark.parametrize("name", ["one", "slope", "two terms", "constant", "constants", "ordinal", "gaussian"])
def test_batches_find_the_same_modes(name: str) -> None:
    posterior = target(name)
    z = points(posterior, 12)
    z[3] += 3.0
    batch = BatchModes(posterior.criterion)
    cold = batch.find(posterior.phi(z))
    batch.settle(posterior.phi(z[:1])[0])
    warm = batch.find(posterior.phi(z))
    known = np.array([posterior.criterion.evaluate(row).value for row in posterior.phi(z)])
    np.testing.assert_allclose(cold.value, known, rtol=1e-8)
    np.testing.assert_allclose(warm.value, known, rtol=1e-8)
    modes = posterior.criterion.by_factor(posterior.criterion.evaluate(posterior.phi(z[:1])[0]).mode.u)[0]
    np.testing.assert_allclose(cold.u[0], modes, atol=1e-5)


@pytest.mark.parametrize("name", ["one", "slope"])
def test_the_kernel_draws_as_the_plain_version(name: str) -> None:
    """The same distribution of weights and effects."""
    posterior = target(name)
    fast, plain = posterior.draws, LevelDraws(posterior)
    assert isinstance(fast, CompiledDraws)
    fast.points = plain.points = 32
    z = np.repeat(points(posterior, 1), 60, axis=0)
    weights = []
    for draws in (fast, plain):
        effects, found = draws.draw(z, np.random.default_rng(6))
        weights.append((np.mean(np.exp(found)), effects[0].mean(axis=0), effects[0].std(axis=0)))
    assert weights[0][0] == pytest.approx(weights[1][0], abs=0.05)
    assert np.all(np.abs(weights[0][1] - weights[1][1]) < 5.0 * weights[1][2] * np.sqrt(2.0 / 60.0) + 1e-6)
