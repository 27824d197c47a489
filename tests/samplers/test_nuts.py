"""The No-U-Turn sampler on densities that are known, on one that it must fail on, and on processes that go wrong."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

import numpy as np
import pytest

from multilevel.errors import ConvergenceError, ConvergenceWarning, FitInterrupted, WorkerDiedError
from multilevel.numerics.diagnostics import diagnose
from multilevel.samplers.adaptation import StepSize, windows
from multilevel.samplers.metric import Dense, LowRank, metric_of
from multilevel.samplers.nuts import sample
from multilevel.samplers.parallel import Line

FORKS = pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux only")


class Normal:
    """N(mean, covariance)."""

    def __init__(self, covariance, mean=0.0):
        self.precision = np.linalg.inv(covariance)
        self.d = len(covariance)
        self.mean = np.broadcast_to(mean, self.d)

    def start(self):
        return np.zeros(self.d)

    def gradient(self, z):
        slope = -self.precision @ (z - self.mean)
        return 0.5 * float((z - self.mean) @ slope), slope


class Together(Normal):
    """The same, several points at once."""

    def gradients(self, z):
        slopes = -(z - self.mean) @ self.precision
        return 0.5 * np.einsum("nd,nd->n", z - self.mean, slopes), slopes


def covariance_of(d, seed=1):
    root = np.random.default_rng(seed).standard_normal((d, d))
    return root @ root.T / d + np.diag(np.geomspace(0.01, 4.0, d))


def agrees(draws, mean, sd, z=4.5, rhat=1.02):
    """Whether means and sds of draws (C, S, d) are within so many Monte Carlo standard errors."""
    found = diagnose(draws)
    error = (draws.mean(axis=(0, 1)) - mean) / found.mcse_mean
    spread = diagnose((draws - mean) ** 2)
    of_sd = (((draws - mean) ** 2).mean(axis=(0, 1)) - sd**2) / spread.mcse_mean
    return found.rhat.max() < rhat and np.abs(error).max() < z and np.abs(of_sd).max() < z


# --- densities that are known --------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [Normal, Together])
def test_a_normal_density_comes_back(kind):
    covariance = covariance_of(6)
    chains = sample(kind(covariance, 1.5), draws=500, tune=500, seed=3, cores=1)
    assert chains.z.shape == (4, 500, 6)
    assert chains.stats["divergent"].sum() == 0
    assert agrees(chains.z, 1.5, np.sqrt(np.diag(covariance)))
    empirical = np.corrcoef(chains.flat.T)
    scale = np.sqrt(np.diag(covariance))
    assert np.abs(empirical - covariance / np.outer(scale, scale)).max() < 0.12
    assert not chains.info["partial"]
    target = kind(covariance, 1.5)
    assert chains.log_density[2, 7] == pytest.approx(target.gradient(chains.z[2, 7])[0])


def test_acceptance_follows_what_was_asked_for():
    found = [
        sample(Normal(covariance_of(5)), draws=300, tune=400, chains=2, cores=1, target_accept=wanted)
        .stats["acceptance"].mean()
        for wanted in (0.6, 0.95)
    ]  # fmt: skip
    assert 0.5 < found[0] < 0.85
    assert 0.9 < found[1] < 0.995


def test_many_coordinates_get_a_low_rank_metric():
    """One direction is a hundred times as long as the others: found, and trajectories stay short."""
    d = 80
    direction = np.ones(d) / np.sqrt(d)
    covariance = np.eye(d) + 9999.0 * np.outer(direction, direction)
    chains = sample(Normal(covariance), draws=500, tune=600, chains=2, cores=1)
    assert isinstance(metric_of(None, d), LowRank)
    assert chains.stats["n_steps"].mean() < 40
    along = chains.z @ direction
    assert agrees(along[:, :, None], 0.0, np.array([100.0]), rhat=1.05)


class Banana:
    """x ~ N(0, 1), y | x ~ N(x²/2, 1): mean and variance of y are 1/2 and 3/2."""

    d = 2

    def start(self):
        return np.zeros(2)

    def gradient(self, z):
        x, e = z[0], z[1] - 0.5 * z[0] ** 2
        return -0.5 * (x * x + e * e), np.array([-x + e * x, -e])


def test_a_banana_comes_back():
    chains = sample(Banana(), draws=1000, tune=500, seed=5, cores=1)
    assert chains.stats["divergent"].sum() == 0
    assert agrees(chains.z, np.array([0.0, 0.5]), np.sqrt([1.0, 1.5]))


class Funnel:
    """Neal's: v ~ N(0, 3²), nine x_i | v ~ N(0, eᵛ)."""

    d = 10

    def start(self):
        return np.zeros(10)

    def gradient(self, z):
        v, x = z[0], z[1:]
        squares = float(x @ x) * np.exp(-v)
        value = -v * v / 18.0 - 0.5 * squares - 4.5 * v
        return value, np.concatenate([[-v / 9.0 + 0.5 * squares - 4.5], -x * np.exp(-v)])


def test_a_funnel_is_not_sampled_in_silence():
    """The planted failure: no step size fits both ends; divided steps reach into the neck, but far too slowly."""
    chains = sample(Funnel(), draws=300, tune=300, seed=2, cores=1)
    found = diagnose(chains.z)
    assert found.rhat[0] > 1.02
    assert found.ess_bulk.min() < 400


class Rough:
    """A broad normal density and a needle of a tenth of its width, a quarter of the mass: steps have to divide."""

    d, share, width = 1, 0.25, 0.1

    def start(self):
        return np.zeros(1)

    def gradient(self, z):
        x = z[0]
        logs = np.array([np.log(1 - self.share) - 0.5 * x * x,
                         np.log(self.share / self.width) - 0.5 * ((x - 1.0) / self.width) ** 2])  # fmt: skip
        top = logs.max()
        value = top + np.log(np.exp(logs - top).sum())
        weight = np.exp(logs - value)
        return float(value), np.array([-weight[0] * x - weight[1] * (x - 1.0) / self.width**2])


def test_divided_steps_leave_the_density_as_it_is():
    chains = sample(Rough(), draws=2000, tune=0, metric=np.ones(1), seed=1, cores=1)
    assert chains.stats["divergent"].mean() < 1e-3
    x = chains.z[:, :, 0]
    for event, truth in (
        (np.abs(x - 1.0) < 0.3, 0.25 * 0.9973 + 0.75 * 0.1452),
        (x < 0.0, 0.75 * 0.5),
        (x > 1.5, 0.75 * 0.0668),
    ):
        error = diagnose(event.astype(float)[:, :, None]).mcse_mean[0]
        assert error < 0.03
        assert abs(event.mean() - truth) < 4 * error


def test_a_long_period_is_noticed():
    """Isotropic densities: a trajectory of a full period must not count as one that goes on."""
    chains = sample(Normal(np.eye(50)), draws=300, tune=300, chains=2, cores=1, metric=np.ones(50))
    assert chains.stats["n_steps"].max() <= 15


# --- the same draws ------------------------------------------------------------------------------------------
@FORKS
@pytest.mark.parametrize("kind", [Normal, Together])
def test_draws_do_not_depend_on_the_number_of_cores(kind):
    target = kind(covariance_of(4))
    one, two = (sample(target, draws=60, tune=60, chains=3, seed=11, cores=n) for n in (1, 2))
    assert np.array_equal(one.z, two.z)
    assert np.array_equal(one.stats["energy"], two.stats["energy"])
    other = sample(target, draws=60, tune=60, chains=3, seed=12, cores=1)
    assert not np.array_equal(one.z, other.z)


def test_chains_differ_and_start_where_told():
    starts = np.arange(6.0).reshape(3, 2)
    chains = sample(Normal(np.eye(2)), draws=20, tune=0, chains=3, cores=1, starts=starts)
    assert len({tuple(z) for z in chains.z[:, -1].round(12).tolist()}) == 3


# --- interruption and death ----------------------------------------------------------------------------------
class Interrupted(Normal):
    """Ctrl-C in the middle."""

    def __init__(self, after):
        super().__init__(np.eye(2))
        self.left = after

    def gradient(self, z):
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
        return super().gradient(z)


def test_ctrl_c_keeps_the_draws():
    whole = sample(Normal(np.eye(2)), draws=500, tune=100, chains=2, seed=4, cores=1)
    part = sample(Interrupted(2000), draws=500, tune=100, chains=2, seed=4, cores=1)
    kept = part.z.shape[1]
    assert part.info["partial"]
    assert 20 < kept < 500
    assert np.array_equal(part.z[0], whole.z[0, :kept])


def test_ctrl_c_during_warm_up_is_said():
    with pytest.raises(FitInterrupted, match="warm-up"):
        sample(Interrupted(50), draws=500, tune=100, chains=2, cores=1)


class Stopped(Normal):
    """The process of one chain sends Ctrl-C to the one that started it."""

    def __init__(self):
        super().__init__(np.eye(2))
        self.parent, self.count, self.sent = os.getpid(), 0, multiprocessing.get_context("fork").Value("i", 0)

    def gradient(self, z):
        self.count += 1
        if self.count == 500 and os.getpid() != self.parent:
            with self.sent.get_lock():
                if not self.sent.value:
                    self.sent.value = 1
                    os.kill(self.parent, signal.SIGINT)
        return super().gradient(z)


@FORKS
def test_ctrl_c_reaches_the_processes():
    chains = sample(Stopped(), draws=200_000, tune=20, chains=2, cores=2)
    assert chains.info["partial"]
    assert chains.info["lost"] == 0
    assert chains.z.shape[0] >= 1
    assert 0 < chains.z.shape[1] < 200_000


class Deadly(Normal):
    """Kills its process where the first coordinate is large."""

    def gradient(self, z):
        if z[0] > 5e5:
            os._exit(9)
        return super().gradient(z)


@FORKS
def test_a_dead_process_loses_its_own_chain_only():
    starts = np.array([[0.0, 0.0], [9e5, 0.0], [0.0, 1.0]])
    with pytest.warns(ConvergenceWarning, match="1 of 3 chains") as caught:
        chains = sample(Deadly(np.eye(2)), draws=30, tune=30, chains=3, cores=2, starts=starts)
    assert chains.z.shape == (2, 30, 2)
    assert chains.info["lost"] == 1
    assert caught[0].message.code == "W_CHAINS_LOST"


@FORKS
def test_all_processes_dead_is_an_error():
    with pytest.raises(WorkerDiedError, match="all 2 chains") as caught:
        sample(Deadly(np.eye(2)), draws=30, tune=30, chains=2, cores=2, starts=np.full((2, 2), 9e5))
    assert caught.value.code == "E_WORKER_DIED"


class Broken(Normal):
    def gradient(self, z):
        raise ArithmeticError("planted")


@pytest.mark.parametrize("cores", [1, 2])
def test_errors_of_the_target_come_through(cores):
    with pytest.raises(ArithmeticError, match="planted"):
        sample(Broken(np.eye(2)), draws=10, tune=10, chains=2, cores=cores)


class Nowhere(Normal):
    def gradient(self, z):
        return -np.inf, np.zeros(self.d)


def test_a_start_without_density_is_refused():
    with pytest.raises(ConvergenceError, match="not finite at the start"):
        sample(Nowhere(np.eye(2)), draws=10, tune=10, chains=2, cores=1)


# --- parts ---------------------------------------------------------------------------------------------------
def test_windows_double_and_end_before_the_last_draws():
    assert windows(1000) == (75, [100, 150, 250, 450, 950])
    first, ends = windows(100)
    assert 0 < first < ends[-1] < 100
    assert windows(5) == (5, [])


def test_the_step_size_settles_where_acceptance_is_right():
    size = StepSize(1.0, 0.8)
    for _ in range(2000):
        size.learn(np.exp(-size.now))  # 0.8 at −log 0.8
    assert size.settled == pytest.approx(-np.log(0.8), rel=0.02)


@pytest.mark.parametrize("make", [lambda c: Dense(c), lambda c: metric_of(np.diag(c), len(c))])
def test_momenta_have_the_inverse_covariance(make):
    covariance = np.diag([4.0, 1.0, 0.25])
    metric, rng = make(covariance), np.random.default_rng(0)
    momenta = np.array([metric.momentum(rng) for _ in range(4000)])
    assert np.cov(momenta.T) == pytest.approx(np.linalg.inv(covariance), abs=0.25)
    assert metric.velocity(np.ones(3)) == pytest.approx([4.0, 1.0, 0.25])


def test_low_rank_momenta_have_the_inverse_covariance():
    rng = np.random.default_rng(0)
    direction = np.array([1.0, 2.0, -2.0]) / 3.0
    metric = LowRank(np.array([1.0, 2.0, 0.5]), direction[:, None], np.array([9.0]))
    covariance = np.array([metric.velocity(e) for e in np.eye(3)])
    momenta = np.array([metric.momentum(rng) for _ in range(20000)])
    assert np.cov(momenta.T) @ covariance == pytest.approx(np.eye(3), abs=0.12)


def test_both_metrics_learn_the_covariance():
    covariance = covariance_of(5)
    rng = np.random.default_rng(2)
    draws = rng.multivariate_normal(np.zeros(5), covariance, 2000)
    slopes = -draws @ np.linalg.inv(covariance)
    sd = np.sqrt(np.diag(covariance))
    learnt = metric_of(None, 5).learn(draws, slopes)
    found = np.array([learnt.velocity(e) for e in np.eye(5)])
    assert np.abs((found - covariance) / np.outer(sd, sd)).max() < 0.1
    low = LowRank(np.ones(5), np.zeros((5, 0)), np.zeros(0)).learn(draws, slopes)
    root = np.linalg.cholesky(np.linalg.inv(covariance))
    white = root.T @ np.array([low.velocity(e) for e in np.eye(5)]) @ root
    assert np.linalg.cond(white) < 0.3 * np.linalg.cond(root @ root.T)


def test_a_chain_that_has_not_moved_keeps_its_metric():
    still = metric_of(None, 3).learn(np.zeros((30, 3)), np.zeros((30, 3)))
    assert np.isfinite(still.velocity(np.ones(3))).all()


def test_progress_says_draws_divergences_and_the_time_left():
    line = Line("NUTS", 4, 2000, True)
    line.hear(0, (3000, 2))
    line.hear(1, (1000, 0))
    text = line.text(10.0)
    assert text == "NUTS: 4,000 of 8,000 draws, 4 chains, 2 divergences, 10 s left"


def test_progress_is_silent_without_a_terminal(capsys):
    sample(Normal(np.eye(2)), draws=10, tune=10, chains=2, cores=1)
    assert capsys.readouterr() == ("", "")
