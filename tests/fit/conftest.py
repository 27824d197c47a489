"""Fits shared by the tests of this folder."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml


def simulated(seed: int = 1, groups: int = 12, size: int = 8) -> dict[str, np.ndarray]:
    """Rows with a varying intercept and slope."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=groups * size)
    u = rng.normal(size=(groups, 2))
    y = 1.0 + 2.0 * x + u[g, 0] + 0.5 * u[g, 1] * x + 0.7 * rng.normal(size=len(g))
    return {"y": y, "x": x, "g": g}


@pytest.fixture(scope="session")
def sleepstudy():
    """The fit that every mixed-model package shows."""
    return ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))


@pytest.fixture(scope="session")
def rows():
    return simulated()


@pytest.fixture(scope="session")
def slopes(rows):
    return ml.fit("y ~ x + (x | g)", rows)


@pytest.fixture(scope="session")
def flat(rows):
    """No variation between groups: the boundary is the optimum."""
    noise = np.random.default_rng(2).normal(size=(12, 8))
    y = 1.0 + 2.0 * rows["x"] + (noise - noise.mean(axis=1, keepdims=True)).ravel()
    return {**rows, "y": y, "x2": 2.0 * rows["x"], "k": np.full(96, 3.0)}
