"""R̂, effective draws and Monte Carlo errors: against arviz-stats, and series with known autocorrelation."""

from __future__ import annotations

import numpy as np
import pytest
from sampled_helpers import series

from multilevel.numerics import diagnostics


def cases() -> dict[str, np.ndarray]:
    """Draws (chains, draws, quantities) that are independent, slow, alternating, shifted, tied, heavy-tailed, short."""
    rng = np.random.default_rng(0)
    moved = np.arange(4)[:, None, None] * 0.3
    return {
        "independent": series(rng, (4, 1000, 4)),
        "slow": series(rng, (4, 500, 4), 0.9),
        "alternating": series(rng, (3, 333, 4), -0.6),
        "apart": series(rng, (4, 250, 4), 0.3) + moved,
        "wider": series(rng, (4, 250, 4)) * (1.0 + moved),
        "tied": np.round(series(rng, (4, 300, 4), 0.5), 1),
        "repeated": np.repeat(series(rng, (4, 100, 4), 0.5), 3, axis=1),
        "cauchy": np.tan(1.4 * np.clip(series(rng, (4, 300, 4)) / 2.0, -1.1, 1.1)),
        "odd": series(rng, (2, 11, 6), 0.2),
        "short": series(rng, (2, 5, 6)),
        "shorter": series(rng, (2, 4, 6)),
    }


@pytest.mark.parametrize("name", cases())
def test_against_arviz(name):
    stats = pytest.importorskip("arviz_stats.base").array_stats
    x = cases()[name]
    found = diagnostics.diagnose(x)

    def each(what, **settings):
        with np.errstate(all="ignore"):
            return np.array([getattr(stats, what)(x[:, :, j], **settings) for j in range(x.shape[2])])

    np.testing.assert_allclose(found.rhat, each("rhat"), rtol=1e-12)
    np.testing.assert_allclose(found.ess_bulk, each("ess", method="bulk"), rtol=1e-10)
    np.testing.assert_allclose(found.ess_tail, each("ess", method="tail", prob=(0.05, 0.95)), rtol=1e-10)
    np.testing.assert_allclose(found.mcse_mean, each("mcse", method="mean"), rtol=1e-10)
    np.testing.assert_allclose(diagnostics.ess_mean(x), each("ess", method="mean"), rtol=1e-10)
    np.testing.assert_allclose(diagnostics.ess_quantile(x, 0.3), each("ess", method="quantile", prob=0.3), rtol=1e-10)
    if name not in ("short", "shorter"):
        quantile = each("mcse", method="quantile", prob=0.9)
        np.testing.assert_allclose(diagnostics.mcse_quantile(x, 0.9), quantile, rtol=1e-10)


def test_energy_against_arviz():
    stats = pytest.importorskip("arviz_stats.base").array_stats
    energy = np.cumsum(series(np.random.default_rng(1), (4, 200)), axis=1)
    np.testing.assert_allclose(diagnostics.e_bfmi(energy), stats.bfmi(energy), rtol=1e-12)


@pytest.mark.parametrize("rho", [-0.5, 0.0, 0.5, 0.9])
def test_effective_draws_of_known_series(rho):
    """AR(1): N (1 − ρ) / (1 + ρ) for the mean, N (1 − ρ²) / (1 + ρ²) for the variance; R̂ near one."""
    x = series(np.random.default_rng(3), (4, 4000, 20), rho)
    n = 16_000.0
    known = n * (1.0 - rho) / (1.0 + rho)
    assert diagnostics.ess_mean(x).mean() == pytest.approx(known, rel=0.06)
    assert diagnostics.ess_bulk(x).mean() == pytest.approx(known, rel=0.06)
    assert diagnostics.mcse_mean(x).mean() == pytest.approx(known**-0.5, rel=0.04)
    of_squares = n * (1.0 - rho**2) / (1.0 + rho**2)
    assert diagnostics.mcse_sd(x).mean() == pytest.approx(np.sqrt(0.5 / of_squares), rel=0.06)
    assert np.all(diagnostics.rhat(x) < 1.02)


def test_monte_carlo_errors_are_those_of_repetition():
    """Means, sds and quantiles of 300 runs scatter as one run says."""
    x = series(np.random.default_rng(4), (2, 400, 300), 0.5)
    flat = x.reshape(-1, 300)
    assert flat.mean(axis=0).std() == pytest.approx(diagnostics.mcse_mean(x).mean(), rel=0.15)
    assert flat.std(axis=0).std() == pytest.approx(diagnostics.mcse_sd(x).mean(), rel=0.15)
    low = np.quantile(flat, 0.1, axis=0)
    assert low.std() == pytest.approx(diagnostics.mcse_quantile(x, 0.1).mean(), rel=0.15)


def test_chains_that_differ_are_found():
    rng = np.random.default_rng(5)
    x = series(rng, (4, 500, 3))
    x[0, :, 0] += 1.0  # another place
    x[0, :, 1] *= 3.0  # another width: only folding shows it
    rhat = diagnostics.rhat(x)
    assert rhat[0] > 1.05
    assert rhat[1] > 1.05
    assert rhat[2] < 1.01


def test_one_chain_is_split():
    x = series(np.random.default_rng(6), (1, 1000, 2))
    x[:, 500:, 1] += 1.0
    rhat = diagnostics.rhat(x)
    assert rhat[0] < 1.01
    assert rhat[1] > 1.1


def test_constants_and_undefined_draws_have_none():
    x = series(np.random.default_rng(7), (4, 100, 4))
    x[..., 1], x[0, 3, 2] = 2.5, np.nan
    x[1, 1, 3] = np.inf
    found = diagnostics.diagnose(x)
    for values in (found.rhat, found.ess_bulk, found.ess_tail, found.mcse_mean):
        assert np.isnan(values).tolist() == [False, True, True, True]
    assert np.isnan(diagnostics.rhat(x[:, :3])).all()


def test_shape_and_chunks_do_not_matter(monkeypatch):
    x = series(np.random.default_rng(8), (4, 60, 6), 0.4)
    whole = diagnostics.diagnose(x)
    monkeypatch.setattr(diagnostics, "CHUNK", 500)
    pieces = diagnostics.diagnose(x.reshape(4, 60, 2, 3))
    np.testing.assert_array_equal(whole.ess_bulk.reshape(2, 3), pieces.ess_bulk)
    np.testing.assert_array_equal(whole.rhat.reshape(2, 3), pieces.rhat)
    alone = diagnostics.rhat(x[:, :, 2])
    assert alone.shape == ()
    assert alone == whole.rhat[2]
