"""Compiled trajectories against the walker in Python: with the same random numbers both come to the same points."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.core.joint import JointPosterior
from multilevel.model.model import Model
from multilevel.numerics import trajectory
from multilevel.samplers import adaptation, walker
from multilevel.samplers.adaptation import StepSize
from multilevel.samplers.metric import Dense, LowRank
from multilevel.samplers.nuts import sample
from multilevel.samplers.trajectories import Trajectories
from multilevel.samplers.walker import Walker

ROUND = 2**64


class Splitmix:
    """Uniform numbers as `numerics/trajectory.py` makes them, in whole numbers; normal ones of another generator."""

    def __init__(self, state, seed):
        self.state, self.normals = int(state), np.random.default_rng(seed)

    def random(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) % ROUND
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % ROUND
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % ROUND
        return ((z ^ (z >> 31)) >> 11) / 2**53

    def standard_normal(self, shape):
        return self.normals.standard_normal(shape)

    def integers(self, low, high, count, dtype):
        return np.array([self.state], dtype)


def target_of(formula="c ~ x + (1 + x | g)", levels=6, family="poisson"):
    rng = np.random.default_rng(2)
    n = 60
    g, x = rng.integers(0, levels, n), rng.normal(size=n)
    data = {"x": x, "g": g.astype(str), "c": rng.poisson(np.exp(0.3 + 0.5 * x + 0.5 * rng.normal(size=levels)[g]))}
    return JointPosterior(Model(formula, {**data, "c": data["c"].astype(float)}, family=family, priors="brms"))


def metric_of(kind, d):
    rng = np.random.default_rng(5)
    if kind == "dense":
        root = np.eye(d) + 0.1 * rng.standard_normal((d, d))
        return Dense(root @ root.T)
    directions = np.linalg.qr(rng.standard_normal((d, 3)))[0]
    return LowRank(rng.uniform(0.7, 1.3, d), directions, np.array([3.0, 0.4, 2.5]))


def in_python(target, metric, q, count, size, learning, max_depth):
    """Points, log densities and stats of so many trajectories, one after the other."""
    one = Walker(q, metric, Splitmix(77, 1), max_depth, 0.8)
    one.value, one.slope = target.gradient(q)
    rows = []
    for _ in range(count):
        run = one._stride(1, size, learning)
        point = next(run)
        while True:
            try:
                point = run.send(target.gradient(point))
            except StopIteration as over:
                rows.append(over.value)
                break
    names = ("points", "slopes", "log_density", "stats")
    return [np.concatenate([getattr(row, name) for row in rows]) for name in names]


@pytest.mark.parametrize(
    ("kind", "step", "levels", "max_depth"),
    [
        ("dense", 0.3, 6, 10),
        ("low rank", 0.3, 6, 10),
        ("dense", 1.5, 2, 10),  # steps that are divided
        ("dense", 3.0, 6, 10),
        ("dense", 5000.0, 6, 10),  # and that no division saves
        ("dense", 0.02, 6, 4),
    ],
)
@pytest.mark.parametrize("learning", [False, True])
def test_the_same_numbers_lead_to_the_same_points(kind, step, levels, max_depth, learning):
    target = target_of(levels=levels)
    metric, q = metric_of(kind, target.d), 0.3 * np.random.default_rng(8).standard_normal(target.d)
    sizes = StepSize(step, 0.8), StepSize(step, 0.8)
    with np.errstate(all="ignore"):
        plain = in_python(target, metric, q, 12, sizes[0], learning, max_depth)
    trajectories = Trajectories(target.compiled, Splitmix(77, 1), max_depth)
    one = Walker(q, metric, np.random.default_rng(0), max_depth, 0.8)
    one.value, one.slope = target.gradient(q)
    trajectories.pace = 1e-9
    stride = trajectories.walk(one, 12, sizes[1], learning)
    assert stride.points == pytest.approx(plain[0], rel=1e-6, abs=1e-8)
    assert stride.slopes == pytest.approx(plain[1], rel=1e-6, abs=1e-6)
    assert stride.log_density == pytest.approx(plain[2], rel=1e-8)
    assert stride.stats[:, [0, 1, 5]].tolist() == plain[3][:, [0, 1, 5]].tolist()
    assert stride.stats == pytest.approx(plain[3], rel=1e-6)
    assert sizes[1].state == pytest.approx(sizes[0].state, rel=1e-6)


def test_how_many_trajectories_are_walked_at_once_does_not_change_them():
    target, ways = target_of(), []
    for block in (1, 7, 20):
        one = Walker(np.zeros(target.d), metric_of("dense", target.d), np.random.default_rng(0), 10, 0.8)
        one.value, one.slope = target.gradient(one.q)
        trajectories, size, points = Trajectories(target.compiled, np.random.default_rng(4), 10), StepSize(0.4, 0.8), []
        while len(points) < 20:
            trajectories.pace = 1e-9
            stride = trajectories.walk(one, min(block, 20 - len(points)), size, True)
            one.q, one.slope, one.value = stride.points[-1], stride.slopes[-1], stride.log_density[-1]
            points += list(stride.points)
        ways.append(np.array(points))
    assert np.array_equal(ways[0], ways[1])
    assert np.array_equal(ways[0], ways[2])


def test_draws_do_not_depend_on_the_number_of_cores():
    target = target_of()
    starts = np.zeros((3, target.d))
    one, two = (sample(target, draws=30, tune=60, chains=3, seed=11, cores=n, starts=starts) for n in (1, 2))
    assert np.array_equal(one.z, two.z)
    assert np.array_equal(one.stats["energy"], two.stats["energy"])


def test_both_have_the_same_constants():
    for name in ("DIVERGENT", "COARSE", "HALVINGS"):
        assert getattr(trajectory, name) == getattr(walker, name)
    for name in ("GAMMA", "KAPPA", "T0"):
        assert getattr(trajectory, name) == getattr(adaptation, name)


def test_random_numbers_are_uniform():
    numbers = Splitmix(3, 0)
    found = np.array([numbers.random() for _ in range(20000)])
    assert found.mean() == pytest.approx(0.5, abs=0.01)
    assert np.histogram(found, 10, (0.0, 1.0))[0].std() < 100
