"""A log density fitted at few points: exact where it is a cubic, refused where not; the posterior of many levels."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from multilevel.core.completed import LateEffects
from multilevel.core.marginal import LaplacePosterior
from multilevel.fit.sample import Sample
from multilevel.model.model import Model
from multilevel.registry import member
from multilevel.samplers import nested, surface


class Known:
    """A cubic log-likelihood of two numbers beside a normal prior, in the place of a target; `bump` makes it none."""

    d = 2

    def __init__(self, bump: float = 0.0) -> None:
        self.bump = bump
        self.criterion = SimpleNamespace(evaluations=0)
        self.coordinates = SimpleNamespace(log_prior=lambda z: (-0.5 * (z * z).sum(axis=1), -z))

    def start(self) -> np.ndarray:
        return np.array([0.8, -1.0])

    def _likelihood(self, z: np.ndarray) -> np.ndarray:
        a, b = 3.0 * (z[:, 0] - 1.0), 2.0 * (z[:, 1] + 0.5)
        cubic = -0.5 * (a * a + b * b + 0.4 * a * b) + 0.02 * a**3 - 0.01 * a * b * b
        return np.asarray(7.0 + cubic + self.bump * np.sin(3.0 * a))

    def log_density(self, z: np.ndarray) -> np.ndarray:
        return np.asarray(self._likelihood(z) + self.coordinates.log_prior(z)[0])

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        self.criterion.evaluations += 1
        away = 1e-5 * np.eye(2)
        sides = self.log_density(np.concatenate([z + away, z - away]))
        return float(self.log_density(z[None])[0]), (sides[:2] - sides[2:]) / 2e-5

    def information(self, z: np.ndarray) -> np.ndarray:
        return np.diag([10.0, 5.0])

    def settle(self, z: np.ndarray) -> None:
        pass

    def sharpen(self, z: np.ndarray, scale: np.ndarray) -> None:
        pass

    def helped(self) -> Any:
        return nullcontext()


def known(bump: float = 0.0) -> Any:
    return Known(bump)


def test_a_cubic_is_found_exactly() -> None:
    target = known()
    found = surface.fitted(target, np.random.default_rng(1))
    assert found is not None
    z = found.mode + np.random.default_rng(2).standard_normal((50, 2)) @ np.linalg.inv(found.root)
    np.testing.assert_allclose(found.log_density(z), target.log_density(z), atol=1e-6)
    value, slope = found.gradient(z[0])
    assert value == pytest.approx(target.gradient(z[0])[0], abs=1e-6)
    np.testing.assert_allclose(slope, target.gradient(z[0])[1], atol=1e-5)


def test_far_out_it_falls() -> None:
    found = surface.fitted(known(), np.random.default_rng(1))
    assert found is not None
    for direction in np.random.default_rng(3).standard_normal((20, 2)):
        along = direction / np.linalg.norm(direction) * np.linspace(0.0, 60.0, 241)[:, None]
        values = found.log_density(found.mode + along @ np.linalg.inv(found.root))
        assert np.all(np.diff(values[24:]) < 0.0)
        assert np.max(np.abs(np.diff(values, 2))) < 3.0  # without a jump where the points end


def test_what_is_no_cubic_is_refused() -> None:
    assert surface.surface_points(known(0.0), 512, np.random.default_rng(1)) is not None
    assert surface.surface_points(known(0.4), 512, np.random.default_rng(1)) is None


def test_monomials_and_their_slopes() -> None:
    x = np.random.default_rng(1).standard_normal((4, 3))
    assert surface.columns(x).shape == (4, 20)
    h = 1e-6
    for m in range(3):
        away = np.zeros(3)
        away[m] = h
        differences = (surface.columns(x + away) - surface.columns(x - away)) / (2.0 * h)
        np.testing.assert_allclose(surface.slope_columns(x)[:, m], differences, atol=1e-8)


# --- very many levels ----------------------------------------------------------------------------------------------
TRUTH = {"counts": (0.5, 0.3, 0.6), "yes or no": (-0.4, 0.5, 1.2)}  # intercept, slope, sd


@cache
def many(name: str) -> Model:
    rng = np.random.default_rng(11)
    per, levels = (1, 6000) if name == "counts" else (3, 5500)
    g = np.repeat(np.arange(levels), per)
    x = rng.normal(size=len(g))
    a, b, sd = TRUTH[name]
    eta = a + b * x + sd * rng.normal(size=levels)[g]
    y = rng.poisson(np.exp(eta)) if name == "counts" else rng.random(len(g)) < 1.0 / (1.0 + np.exp(-eta))
    family = "poisson" if name == "counts" else "bernoulli"
    return Model("y ~ x + (1 | g)", {"y": y + 0.0, "x": x, "g": g}, family=family, priors="brms")


def drawn(name: str, estimator: str = "nested_laplace", **settings: Any) -> Sample:
    with np.errstate(all="ignore"):
        return member("estimators", estimator)(**settings).sample(many(name))


@pytest.mark.parametrize("name", TRUTH)
def test_the_posterior_is_that_of_direct_evaluation(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Points of the surface against points where the density itself was evaluated; and the truth is inside."""
    target = LaplacePosterior(many(name), quadrature=True)
    found = nested.nested_points(target, 4096, np.random.default_rng(1))
    assert found[0].surface_error is not None
    assert found[0].surface_error < 0.05
    assert found[1] < 60
    monkeypatch.setattr(nested, "surface_points", lambda *_: None)
    plain = nested.nested_points(LaplacePosterior(many(name), quadrature=True), 256, np.random.default_rng(2))
    assert plain[0].surface_error is None
    moments = []
    for points in (found[0], plain[0]):
        w = np.exp(points.log_weights)
        mean = w @ points.z
        moments.append((mean, np.sqrt(w @ (points.z - mean) ** 2)))
    assert np.all(np.abs(moments[0][0] - moments[1][0]) < 0.2 * moments[1][1])
    np.testing.assert_allclose(moments[0][1], moments[1][1], rtol=0.15)
    assert found[0].log_evidence == pytest.approx(plain[0].log_evidence, abs=0.1)
    truth = TRUTH[name]
    mean = (*target.coordinates.beta(moments[0][0][None])[0], float(np.exp(moments[0][0][0])))
    assert np.all(np.abs(np.array(mean) - truth) < 5.0 * moments[0][1] * np.array([1.0, 1.0, truth[2]]) + 0.02)


@pytest.mark.parametrize("estimator", ["nested_laplace", "auto", "collapsed"])
def test_effects_are_drawn_when_asked_for(estimator: str) -> None:
    sample, again = (drawn("counts", estimator, draws=50, chains=2, seed=4) for _ in range(2))
    assert sample.info["exact"]
    assert sample.info["effects"] == "by rejection"
    assert sample.info["surface_error"] < 0.1
    assert sample.info["quadrature_error"] < 0.02
    assert isinstance(sample.effects, LateEffects)
    assert sample.effects._make is not None
    assert sample.effect_means[0].shape == (6000, 1)
    np.testing.assert_array_equal(sample.z, again.z)
    np.testing.assert_array_equal(sample.effects[0], again.effects[0])
    assert sample.effects[0].shape == (2, 50, 6000, 1)
    gap = sample.flat(sample.effects[0]).mean(axis=0) - sample.effect_means[0]
    error = sample.flat(sample.effects[0]).std(axis=0) / 10.0
    assert np.sqrt(np.mean((gap / error) ** 2)) == pytest.approx(1.0, abs=0.1)


def test_a_summary_needs_no_effects() -> None:
    fit = many("counts").fit("auto", draws=200, seed=1)
    str(fit.summary())
    sample = fit.estimates.certainty.sample
    assert isinstance(sample, Sample)
    assert isinstance(sample.effects, LateEffects)
    assert sample.effects._make is not None
    assert sample.info["effects"] == "by rejection"
    assert "quadrature" in sample.info["sampler"]


def test_memory_is_asked_for_when_effects_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from multilevel.errors import MemoryNeededError
    from multilevel.model import memory

    monkeypatch.setattr(memory, "available", lambda: 1e8)
    for estimator in ("nested_laplace", "auto", "collapsed"):
        fit = many("counts").fit(estimator, draws=1000, seed=1)
        with pytest.raises(MemoryNeededError, match="fewer"):
            _ = fit.estimates.certainty.sample.effects[0]
    with pytest.raises(MemoryNeededError):
        many("counts").fit("nuts")
