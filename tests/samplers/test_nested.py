"""Nested Laplace: coefficients given the outer parameters, the nodes' proposal, and what is called exact."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from multilevel.core.marginal import LaplacePosterior, Root
from multilevel.core.quadrature import Quadrature
from multilevel.errors import SettingError
from multilevel.fit.sample import Sample
from multilevel.model.model import Model
from multilevel.numerics.lattice import lattice
from multilevel.registry import member
from multilevel.samplers.nested import NestedPosterior, nested_points


@cache
def model(family: str = "poisson", formula: str = "c ~ x + (1 | g)") -> Model:
    rng = np.random.default_rng(8)
    g, x = np.repeat(np.arange(12), 6), rng.normal(0.0, 1.0, 72)
    eta = 0.4 + 0.5 * x + rng.normal(0.0, 0.6, 12)[g]
    data = {"g": g.astype(str), "h": (np.arange(72) % 4).astype(str), "x": x, "c": rng.poisson(np.exp(eta)) + 0.0}
    data["b"] = (rng.random(72) < 1.0 / (1.0 + np.exp(-eta))).astype(float)
    return Model(formula, data, family=family)


def drawn(what: Model, estimator: str = "nested_laplace", **settings: Any) -> Sample:
    """Draws without the fit around them, whose warnings about few draws are not meant here."""
    with np.errstate(all="ignore"):
        return member("estimators", estimator)(**settings).sample(what)


def integrated(posterior: LaplacePosterior, outer: np.ndarray, field: np.ndarray, tau: np.ndarray) -> float:
    """log ∫ p̃(τ, c) dc by a product rule around the conditional mode, with many nodes."""
    from multilevel.numerics.hermite import product_rule

    nested = NestedPosterior(posterior)
    _, c, covariance = nested.at(tau)
    rule = product_rule(15, len(field))
    root = np.linalg.cholesky(covariance)
    z = np.empty((len(rule), posterior.d))
    z[:, outer], z[:, field] = tau, c + rule.nodes @ root.T
    logs = posterior.log_density(z) + rule.log_weights + 0.5 * (rule.nodes**2).sum(axis=1)
    constant = 0.5 * len(field) * np.log(2.0 * np.pi) + np.log(np.diag(root)).sum()
    return float(np.logaddexp.reduce(logs) + constant)


@pytest.mark.parametrize("formula", ["c ~ x + (1 | g)", "c ~ x + (1 | g) + (1 | h)"])
def test_density_of_the_outer_parameters(formula: str) -> None:
    """Coefficients integrated by Laplace, against quadrature: c given τ is nearly normal here."""
    posterior = LaplacePosterior(model(formula=formula))
    nested = NestedPosterior(posterior)
    mode, _ = nested.mode
    for shift in (-0.4, 0.0, 0.5):
        tau = mode[nested.outer] + shift
        value, c, _ = nested.at(tau)
        assert value == pytest.approx(integrated(posterior, nested.outer, nested.field, tau), abs=0.02)
        z = nested._joined(tau, c)
        assert np.max(np.abs(posterior.gradient(z)[1][nested.field])) < 0.05


@pytest.mark.parametrize("family", ["poisson", "negative_binomial"])
def test_proposals_are_densities(family: str) -> None:
    """Points come from the density that is reported: weights of one over the other average one."""
    posterior = LaplacePosterior(model(family))
    nested = NestedPosterior(posterior)
    rng = np.random.default_rng(1)
    narrow, wide = nested.proposals(nested.nodes(rng), rng)
    z = wide.points(lattice(4096, posterior.d + 3, rng))
    assert np.mean(np.exp(narrow.log_density(z) - wide.log_density(z))) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("formula", ["c ~ x + (1 | g)", "c ~ x + (1 + x | g)", "c ~ x + (1 | g) + (1 | h)"])
def test_points_are_good(formula: str) -> None:
    """And the evidence agrees with that of another seed."""
    first, nodes = nested_points(LaplacePosterior(model(formula=formula)), 1024, np.random.default_rng(1))
    second, _ = nested_points(LaplacePosterior(model(formula=formula)), 1024, np.random.default_rng(2))
    assert nodes > 1
    assert first.khat < 0.7
    assert first.ess > 0.3 * len(first.z)
    assert first.log_evidence == pytest.approx(second.log_evidence, abs=5.0 * (first.error + second.error))


def test_models_without_groups_and_without_outer_parameters() -> None:
    points, nodes = nested_points(LaplacePosterior(model(formula="c ~ x")), 512, np.random.default_rng(1))
    assert nodes == 1
    assert points.khat < 0.7
    sample = drawn(model(formula="c ~ x"), draws=100, chains=2)
    assert sample.info["exact"]
    assert sample.info["shift"] < 1e-9


def test_exact_and_approximate_draws() -> None:
    """Weights move what Laplace gets wrong: few binary rows in each group; and seeds repeat."""
    binary = model("bernoulli", "b ~ x + (1 | g)")
    exact, rough, again = (drawn(binary, draws=250, seed=3, exact=exact) for exact in ("auto", False, "auto"))
    assert exact.info["exact"]
    assert not rough.info["exact"]
    assert "approximation" in rough.info["sampler"]
    np.testing.assert_array_equal(exact.beta, again.beta)
    np.testing.assert_array_equal(exact.effects[0], again.effects[0])
    assert exact.z.shape == (4, 250, 3)
    with pytest.raises(SettingError, match="exact='maybe'"):
        binary.fit("nested_laplace", exact="maybe")


def test_weights_agree_with_collapsed() -> None:
    """Two roads to one posterior."""
    binary = model("bernoulli", "b ~ x + (1 | g)")
    one, other = drawn(binary, draws=500, seed=1), drawn(binary, "collapsed", draws=500, seed=2)
    assert one.info["log_evidence"] == pytest.approx(other.info["log_evidence"], abs=0.1)
    spread = one.z.reshape(-1, 3).std(axis=0)
    gap = np.abs(one.z.mean(axis=(0, 1)) - other.z.mean(axis=(0, 1)))
    assert np.all(gap < 0.15 * spread)


def test_many_levels() -> None:
    """Beyond some thousand levels Laplace's error is added as a fitted surface, and draws then weigh the same."""
    rng = np.random.default_rng(2)
    n = 6000
    counts = rng.poisson(np.exp(0.5 + 0.6 * rng.normal(size=n))) + 0.0
    many = Model("c ~ 1 + (1 | g)", {"c": counts, "g": np.arange(n).astype(str)}, family="poisson")
    posterior = LaplacePosterior(many)
    z = NestedPosterior(posterior).mode[0] + 0.05 * np.random.default_rng(1).standard_normal((20, 2))
    exact = Quadrature(many.rows, many.distribution, [Root(1)], 15)
    before = posterior.log_density(z)
    missing = np.array([-0.5 * exact.evaluate(row).value for row in posterior.phi(z)])
    missing += posterior.coordinates.log_prior(z)[0] - before
    assert posterior.correct(z)
    added = posterior.log_density(z) - before
    np.testing.assert_allclose(added - added.mean(), missing - missing.mean(), atol=0.05)
    assert np.std(missing) > 0.2
    sample = drawn(many, draws=40, chains=2)
    assert sample.info["exact"]
    assert sample.info["shift"] < 1e-6
