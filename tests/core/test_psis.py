"""Pareto-smoothed weights: against samples of known tails, a plain version, and ArviZ where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.numerics.psis import generalized_pareto, psis, threshold


@pytest.mark.parametrize("k", [-0.4, 0.0, 0.3, 0.7, 1.2])
def test_the_shape_of_generalized_pareto_samples_is_found(k: float) -> None:
    u = np.random.default_rng(1).random((20_000, 8))
    x = 2.5 * (-np.log(u) if k == 0.0 else (u**-k - 1.0) / k)
    shape, scale = generalized_pareto(np.sort(x, axis=0))
    assert shape.mean() == pytest.approx(k, abs=0.02)
    assert scale.mean() == pytest.approx(2.5, rel=0.02)


@pytest.mark.parametrize("rate", [0.3, 0.6, 1.1])
def test_weights_with_a_power_tail(rate: float) -> None:
    """exp(a E) of exponential E is Pareto with shape a."""
    log_weights = rate * np.random.default_rng(2).exponential(size=(40_000, 6))
    smooth = psis(log_weights)
    assert smooth.khat.mean() == pytest.approx(rate, abs=0.06)
    np.testing.assert_allclose(np.exp(smooth.log_weights).sum(axis=0), 1.0)
    assert np.all(smooth.log_weights.max(axis=0) <= (log_weights - np.log(np.exp(log_weights).sum(axis=0))).max() + 1.0)


def test_the_order_of_weights_is_kept_and_the_body_untouched() -> None:
    log_weights = np.random.default_rng(3).normal(size=1000)
    smooth = psis(log_weights)
    order = np.argsort(log_weights)
    assert np.all(np.diff(smooth.log_weights[order]) >= -1e-12)
    body = order[: 1000 - 95]
    shift = smooth.log_weights[body] - log_weights[body]
    np.testing.assert_allclose(shift, shift[0], atol=1e-12)


def test_agrees_with_arviz() -> None:
    """Where 3√S is whole, so that both take tails of the same length."""
    stats = pytest.importorskip("arviz_stats.base")
    log_weights = np.random.default_rng(4).exponential(size=(10_000, 4)) * np.array([0.2, 0.5, 0.8, 1.2])
    theirs, khat = stats.array_stats.psislw(-log_weights, axis=0)
    ours = psis(log_weights)
    np.testing.assert_allclose(ours.khat, khat, rtol=1e-10)
    np.testing.assert_allclose(ours.log_weights, np.asarray(theirs).reshape(4, -1).T, atol=1e-10)


def test_columns_are_independent_of_each_other() -> None:
    log_weights = np.random.default_rng(5).normal(size=(500, 3)) * np.array([0.1, 1.0, 3.0])
    together = psis(log_weights)
    for j in range(3):
        alone = psis(log_weights[:, j])
        assert alone.khat[0] == pytest.approx(together.khat[j], rel=1e-12)
        np.testing.assert_allclose(alone.log_weights, together.log_weights[:, j], rtol=1e-12)


def test_edges() -> None:
    equal = psis(np.full(100, 3.0))
    assert equal.khat[0] == 0.0
    assert equal.ess[0] == pytest.approx(100.0)
    assert np.isinf(psis(np.random.default_rng(6).normal(size=20)).khat[0])  # a tail of four tells nothing
    zero = psis(np.append(np.random.default_rng(7).normal(size=99), -np.inf))
    assert zero.log_weights[-1] == -np.inf
    assert np.isfinite(zero.khat[0])


def test_dependent_draws_have_longer_tails_and_fewer_effective_ones() -> None:
    log_weights = np.random.default_rng(8).normal(size=2000)
    assert psis(log_weights, 0.1).ess[0] < 0.2 * psis(log_weights).ess[0]


def test_thresholds() -> None:
    assert threshold(100) == pytest.approx(0.5)
    assert threshold(4000) == 0.7
