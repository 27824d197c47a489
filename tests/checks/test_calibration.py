"""Simulation-based calibration: uniform ranks pass, planted failures do not.

The model is y_i ~ N(β, s_i²) with known s_i, whose posterior is one line: samplers that are right, too narrow, or blind
to the data are written down here, so that a thousand simulations take seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

import gibbs_models as models
import numpy as np
import pytest

import multilevel as ml
from multilevel.checks.calibration import Calibration
from multilevel.checks.ranks import band, bins, chi_square_p, envelope_p
from multilevel.errors import SettingError
from multilevel.fit.sample import Sample


@dataclass(frozen=True)
class Exact:
    """Independent draws from the posterior of the mean, its spread multiplied, its centre moved by so many sds."""

    spread: float = 1.0
    shift: float = 0.0
    blind: bool = False
    draws: int = 100
    seed: int = 0

    def sample(self, model: ml.Model) -> Sample:
        rng = np.random.default_rng(self.seed)
        precision, y = 1.0 / model.design.known_se**2, model.design.response
        variance = 1.0 / (1.0 + precision.sum())
        mean = variance * (precision * y).sum()
        if self.blind:
            mean, variance = 0.0, 1.0
        beta = mean + np.sqrt(variance) * (self.shift + self.spread * rng.standard_normal((1, self.draws, 1)))
        nothing = np.zeros((1, self.draws))
        return Sample(beta, (), (), None, {}, beta, ("c[0]",), nothing, nothing, info={"independent": True})


class Few:
    """A sampler that cannot be asked for more draws."""

    def sample(self, model: ml.Model) -> Sample:
        return Exact(draws=50).sample(model)


@pytest.fixture(scope="module")
def known():
    table = {"y": np.arange(6.0), "s": np.array([1.0, 0.5, 2.0, 1.0, 1.5, 0.8])}
    return ml.Model("y | se(s) ~ 1", table, priors={"Intercept": "normal(0, 1)"})


def test_exact_posterior_is_calibrated(known):
    found = ml.calibrate(known, Exact(), n=500, seed=1)
    assert found.passed, found.summary()
    assert np.all(np.abs(found.bias) < 0.16)
    assert np.all(np.abs(found.spread - 1.0) < 0.11)
    assert set(found.names) == {"beta[Intercept]", "held-out observation", "log likelihood", "log prior"}
    assert found.ranks.min() >= 0
    assert found.ranks.max() <= found.largest == 99


@pytest.mark.parametrize("wrong", [Exact(spread=0.8), Exact(shift=0.3)])
def test_wrong_posteriors_fail(known, wrong):
    found = ml.calibrate(known, wrong, n=500, seed=2)
    assert not found.passed
    assert "NOT calibrated" in found.summary()


def test_a_sampler_that_ignores_the_data_fails_by_its_likelihood(known):
    """The prior itself has uniform ranks for every parameter; only quantities that look at the data find it."""
    found = ml.calibrate(known, Exact(blind=True), n=200, seed=3)
    p = dict(zip(found.names, found.adjusted, strict=True))
    assert p["beta[Intercept]"] > 0.01
    assert p["log likelihood"] < 1e-3
    assert not found.passed


def test_direction_of_bias_and_spread(known):
    low, narrow = (ml.calibrate(known, wrong, n=150, seed=4) for wrong in (Exact(shift=-0.5), Exact(spread=0.5)))
    place = low.names.index("beta[Intercept]")
    assert low.bias[place] > 0.3
    assert narrow.spread[place] > 1.3


def test_gibbs_on_a_hierarchy():
    found = ml.calibrate(models.one_way(8, 3), "gibbs", n=20, seed=5, draws=300, tune=100, chains=2)
    assert found.n + found.failed == 20
    assert {"sigma", "sd[g, Intercept]", "effect[g, 0]", "log prior"} <= set(found.names)
    assert list(found.table.columns) == ["quantity", "bias", "spread", "p_band", "p_chi2", "p", "verdict"]
    assert found.to_dict()["estimator"] == "gibbs"


def test_same_ranks_for_any_number_of_workers(known):
    pytest.importorskip("joblib")
    one, two = (ml.calibrate(known, "gibbs", n=20, seed=6, draws=120, tune=10, chains=1, parallel=k) for k in (1, 2))
    assert np.array_equal(one.ranks, two.ranks)


def test_refusals(known):
    with pytest.raises(SettingError, match="say nothing"):
        ml.calibrate(known, Exact(), n=5)
    with pytest.raises(SettingError, match="no draws"):
        ml.calibrate(known, "reml", n=20)
    with pytest.raises(SettingError) as refused:
        ml.calibrate(known.with_priors("flat"), Exact(), n=20)
    assert refused.value.code == "E_PRIOR_IMPROPER"
    with pytest.raises(SettingError, match="cannot rank"):
        ml.calibrate(known, Few(), n=20)


# --- ranks -------------------------------------------------------------------------------------------------------
def test_uniform_ranks_leave_the_band_as_often_as_they_should():
    rng = np.random.default_rng(8)
    p = np.array([envelope_p(rng.integers(0, 100, 200), 99) for _ in range(400)])
    assert abs(np.mean(p < 0.1) - 0.1) < 0.05
    low, high = band(200, 99).low, band(200, 99).high
    assert np.all(low <= high)
    assert high[-1] == 1.0


def test_ranks_that_are_not_uniform():
    rng = np.random.default_rng(9)
    narrow = np.floor(100 * rng.beta(0.6, 0.6, 300)).astype(int)
    assert envelope_p(narrow, 99) < 0.01
    assert chi_square_p(narrow, 99) < 0.01


def test_bins_divide_the_ranks():
    assert bins(1000, 99) == 20
    assert bins(60, 99) == 5
    assert bins(200, 62) == 9


def test_too_many_failures_are_no_calibration():
    ranks = np.random.default_rng(1).integers(0, 100, (100, 1))
    assert Calibration(("x",), ranks, 99, "e").passed
    assert not Calibration(("x",), ranks, 99, "e", failed=30).passed
