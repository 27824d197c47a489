"""Importance sampling on densities whose integral and moments are known, and on one that it must not claim to know."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from multilevel.core.completed import Completed
from multilevel.numerics.lattice import GENERATOR, lattice
from multilevel.samplers.cloud import Cloud, learned
from multilevel.samplers.importance import draw, importance, systematic
from multilevel.samplers.mode import find_mode
from multilevel.samplers.proposals import Mixture, Proposal, Split, mixture


@dataclass
class Target:
    """What all targets here share; `log_weight` of a completed draw is normal with this sd, mean of weights one."""

    d: int = 2
    noise: float = 0.0
    seconds: float = 1e-6

    @property
    def exact(self) -> bool:
        return self.noise == 0.0

    def start(self) -> np.ndarray:
        return np.full(self.d, 0.3)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        steps = 1e-6 * np.eye(self.d)
        up, down = self.log_density(z + steps), self.log_density(z - steps)
        return float(self.log_density(z[None])[0]), (up - down) / 2e-6

    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        noise = self.noise * rng.standard_normal(len(z)) - 0.5 * self.noise**2
        return Completed(z + noise[:, None], None, (), (), {}, noise)


@dataclass
class Normal(Target):
    """A correlated normal times e²."""

    def log_density(self, z: np.ndarray) -> np.ndarray:
        away = z - np.arange(self.d)
        precision = np.eye(self.d) + 0.8
        return 2.0 - 0.5 * np.einsum("nj,jk,nk->n", away, precision, away)

    @property
    def log_evidence(self) -> float:
        return 2.0 + 0.5 * self.d * math.log(2.0 * math.pi) - 0.5 * math.log(1.0 + 0.8 * self.d)


@dataclass
class LogGamma(Target):
    """Logs of gamma variables: exponential tails to the left, cliffs to the right, as log standard deviations have."""

    shapes: tuple[float, ...] = (0.5, 3.0)

    def log_density(self, z: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            return np.asarray((np.array(self.shapes) * z - np.exp(z)).sum(axis=1))

    @property
    def log_evidence(self) -> float:
        return sum(math.lgamma(a) for a in self.shapes)


@dataclass
class Banana(Target):
    """x₀ ~ N(0, 1), x₁ ~ N(x₀², 0.5²)."""

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(-0.5 * z[:, 0] ** 2 - 2.0 * (z[:, 1] - z[:, 0] ** 2) ** 2)

    log_evidence: float = field(default=math.log(math.pi))


@pytest.mark.parametrize("target", [Normal(d=1), Normal(d=5), LogGamma(), Banana()], ids=lambda t: type(t).__name__)
def test_evidence_and_certificate(target: Target) -> None:
    found = importance(target, seed=3)
    assert found.khat < 0.6
    assert found.ess > 5000
    assert abs(found.log_evidence - target.log_evidence) < 4.0 * found.error  # type: ignore[attr-defined]


def test_moments_of_draws() -> None:
    target = LogGamma()
    drawn = draw(target, 4000, seed=4)
    mean = drawn.z.mean(axis=0)
    digamma, trigamma = np.array([-1.9635100, 0.9227843]), np.array([4.9348022, 0.3949341])
    assert np.all(np.abs(mean - digamma) < 4.0 * np.sqrt(trigamma / 4000))
    assert np.all(np.abs(drawn.z.var(axis=0) / trigamma - 1.0) < 0.15)


def test_weights_that_cannot_be_trusted_are_not() -> None:
    """Proposals much too narrow."""
    narrow = Split(np.zeros(3), 0.12 * np.eye(3), np.ones(3), np.ones(3))
    cloud = Cloud(Normal(d=3), narrow, narrow)
    assert cloud.add([(narrow, 4096)], np.random.default_rng(5)).khat > 0.7


def test_points_of_several_proposals_are_weighted_by_all() -> None:
    """Each proposal alone misses a half; the mean weight of all points together is the integral."""
    target, rng = Normal(d=1), np.random.default_rng(5)
    cloud = Cloud(target, *(Split(np.array([m]), np.eye(1), np.full(1, 0.5), np.full(1, 0.5)) for m in (-1.0, 1.0)))
    for proposal, n in ((cloud.narrow, 1500), (cloud.wide, 3000)):
        cloud.add([(proposal, n)], rng)
    assert cloud.all().log_evidence == pytest.approx(target.log_evidence, abs=0.01)
    assert learned(cloud.all()).centres.mean() == pytest.approx(0.0, abs=0.5)


def test_weights_of_completed_draws_count() -> None:
    """Their mean is one: the evidence stays, the draws follow the weights, and k̂ speaks of them too."""
    target = Normal(d=2, noise=0.5)
    drawn = draw(target, 4000, seed=6)
    assert drawn.log_evidence == pytest.approx(target.log_evidence, abs=0.05)
    noise = drawn.completed.log_weights
    # weighted by e^x, N(−s²/2, s²) becomes N(s²/2, s²)
    assert noise.mean() == pytest.approx(0.125, abs=0.06)
    assert len(np.unique(drawn.completed.beta[:, 0])) > 3400
    awful = draw(Normal(d=2, noise=4.0), 4000, seed=6)
    assert awful.khat > 0.7


def test_the_same_seed_gives_the_same_draws() -> None:
    one, two, other = (draw(LogGamma(), 500, seed=s, least=1024) for s in (7, 7, 8))
    np.testing.assert_array_equal(one.z, two.z)
    assert not np.array_equal(one.z, other.z)


def test_modes_are_found_from_afar() -> None:
    target = LogGamma()
    z, _, curvature = find_mode(target, np.array([4.0, -9.0]))
    np.testing.assert_allclose(z, np.log(target.shapes), atol=1e-3)
    np.testing.assert_allclose(curvature, np.diag(target.shapes), rtol=1e-2, atol=1e-3)


# --- proposals -------------------------------------------------------------------------------------------------
PROPOSALS: dict[str, Proposal] = {
    "split": Split(
        np.array([1.0, -1.0]), np.array([[1.0, 0.4], [0.2, 2.0]]), np.array([0.5, 2.0]), np.array([1.5, 1.0])
    ),
    "mixture": Mixture(
        np.array([0.3, 0.7]), np.array([[0.0, 0.0], [2.0, 1.0]]), np.array([np.eye(2), [[0.5, 0.0], [0.3, 1.0]]])
    ),
}


@pytest.mark.parametrize("name", PROPOSALS)
def test_proposals_have_the_density_that_they_say(name: str) -> None:
    """The share of points in boxes is the integral of the density over them."""
    proposal = PROPOSALS[name]
    points = proposal.points(np.random.default_rng(9).random((200_000, 4)))
    grid = np.linspace(-4.0, 4.0, 401)
    middle = 0.5 * (grid[1:] + grid[:-1])
    x, y = np.meshgrid(middle, middle, indexing="ij")
    density = np.exp(proposal.log_density(np.column_stack([x.ravel(), y.ravel()]))).reshape(400, 400) * 0.02**2
    for box in ((0, 200, 0, 200), (200, 400, 0, 200), (240, 300, 180, 260), (150, 250, 200, 400)):
        inside = np.all((points > grid[[box[0], box[2]]]) & (points < grid[[box[1], box[3]]]), axis=1).mean()
        share = density[box[0] : box[1], box[2] : box[3]].sum()
        assert inside == pytest.approx(share, abs=4.0 * math.sqrt(share / 200_000) + 1e-4)


def test_a_mixture_finds_two_clusters() -> None:
    rng = np.random.default_rng(10)
    z = np.concatenate([rng.standard_normal((600, 2)), rng.standard_normal((400, 2)) + np.array([9.0, 2.0])])
    found = mixture(z, np.full(1000, 1e-3), 2)
    order = np.argsort(found.centres[:, 0])
    np.testing.assert_allclose(found.centres[order], [[0.0, 0.0], [9.0, 2.0]], atol=0.3)
    np.testing.assert_allclose(found.shares[order], [0.6, 0.4], atol=0.03)


@pytest.mark.parametrize(("d", "gain"), [(2, 0.05), (6, 0.2), (12, 0.5)])
def test_lattice_points_are_even(d: int, gain: float) -> None:
    """Errors of means of products, over those of random points."""
    rng = np.random.default_rng(11)
    errors = [np.mean(np.prod(0.5 + lattice(4096, d, rng), axis=1)) - 1.0 for _ in range(20)]
    assert np.sqrt(np.mean(np.square(errors))) < gain * np.sqrt(((1.0 + 1.0 / 12.0) ** d - 1.0) / 4096)


def test_lattices_of_any_size() -> None:
    rng = np.random.default_rng(11)
    assert lattice(100, len(GENERATOR) + 3, rng).shape == (100, len(GENERATOR) + 3)
    points = lattice(1000, 5, rng)
    assert np.all((points > 0.0) & (points < 1.0))
    assert np.all(np.abs(points.mean(axis=0) - 0.5) < 0.01)


def test_systematic_resampling_is_fair() -> None:
    weights = np.array([0.05, 0.5, 0.25, 0.2])
    index = systematic(np.log(weights), 1000, np.random.default_rng(12))
    assert np.all(np.abs(np.bincount(index, minlength=4) - 1000 * weights) <= 1.0)


def test_what_weights_are_worth_in_the_tails():
    """Proposals narrower than the target: shares below its 5 % quantile scatter as p(1 − p)/ESS says."""
    from scipy.stats import norm

    from multilevel.samplers.importance import Weighted, tail_ess

    rng = np.random.default_rng(3)
    q05, shares, worth, overall = norm.ppf(0.05), [], [], []
    for _ in range(400):
        x = 0.75 * rng.standard_normal((600, 1))
        log_w = (norm.logpdf(x) - norm.logpdf(x, scale=0.75))[:, 0]
        log_w -= np.logaddexp.reduce(log_w)
        points = Weighted(x, log_w, log_w, 0.0, float(np.exp(-np.logaddexp.reduce(2 * log_w))), 0.0, 0.0, x[0], 0)
        shares.append(np.exp(log_w[x[:, 0] < q05]).sum())
        worth.append(tail_ess(None, points))
        overall.append(points.ess)
    found = 0.05 * 0.95 / np.var(shares)
    assert 0.6 < np.median(worth) / found < 1.4
    assert found < 0.6 * np.median(overall)
    even = np.full(600, -np.log(600.0))
    x = rng.standard_normal((600, 1))
    assert tail_ess(None, Weighted(x, even, even, 0.0, 600.0, 0.0, 0.0, x[0], 0)) == pytest.approx(600, rel=0.05)


def test_points_weighted_twice_are_worth_what_both_weights_leave():
    """Members of a sample that are the same point carry the same second weight: the product's spread is what counts."""
    from multilevel.samplers.importance import Weighted, again

    log_w = np.log([0.1, 0.2, 0.3, 0.4])
    points = Weighted(
        np.zeros((4, 1)), np.zeros(4), log_w, 0.0, 1.0 / np.sum([0.01, 0.04, 0.09, 0.16]), 0.0, 0.0, np.zeros(1), 0
    )
    index = np.repeat(np.arange(4), [10, 20, 30, 40])
    second = np.array([4.0, 2.0, 4.0 / 3.0, 1.0])  # undoes the first
    found = again(points, index, np.log(second)[index])
    assert np.exp(found.log_weights) == pytest.approx(np.full(4, 0.25))
    assert found.ess == pytest.approx(4.0)
    same = again(points, index, np.full(100, -7.0))
    assert same.log_weights == pytest.approx(log_w)
    assert same.ess == pytest.approx(points.ess)
    worse = again(points, index, 2.0 * log_w[index])
    weights = np.array([1.0, 8.0, 27.0, 64.0])
    assert worse.ess == pytest.approx(weights.sum() ** 2 / (weights**2).sum())
    assert worse.ess < min(points.ess, 100 * weights.mean() ** 2 / (weights**2).mean())
