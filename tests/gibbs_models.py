"""Small models with proper priors, for tests of Gibbs samplers and of calibration."""

from __future__ import annotations

import numpy as np

import multilevel as ml

LINEAR = {"Intercept": "normal(0, 1)", "sd": "half_normal(1)", "sigma": "half_normal(1)"}


def columns(groups: int = 4, size: int = 3, seed: int = 1) -> dict:
    rng = np.random.default_rng(seed)
    n = groups * size
    return {"g": np.repeat(np.arange(groups), size), "x": rng.normal(size=n), "y": rng.normal(size=n)}


def one_way(groups: int = 4, size: int = 3, **priors: str) -> ml.Model:
    return ml.Model("y ~ x + (1 | g)", columns(groups, size), priors={**LINEAR, "beta": "normal(0, 1)", **priors})


def slopes(groups: int = 5, size: int = 4, **priors: str) -> ml.Model:
    whole = {} if any(name.startswith("cov") for name in priors) else {"sd": "half_normal(1)", "cor": "lkj(2)"}
    kept = {name: prior for name, prior in LINEAR.items() if name != "sd"}
    table = columns(groups, size)
    return ml.Model("y ~ x + (x | g)", table, priors={**kept, **whole, "beta": "normal(0, 1)", **priors})


def crossed(**priors: str) -> ml.Model:
    rng = np.random.default_rng(2)
    g, h = np.repeat(np.arange(4), 5), np.tile(np.arange(5), 4)
    table = {"g": g, "h": h, "x": rng.normal(size=20), "y": rng.normal(size=20)}
    return ml.Model("y ~ x + (1 | g) + (1 | h)", table, priors={**LINEAR, "beta": "normal(0, 1)", **priors})


def bernoulli(groups: int = 5, size: int = 4, **priors: str) -> ml.Model:
    table = columns(groups, size)
    table["y"] = np.arange(groups * size) % 2
    chosen = {"Intercept": "normal(0, 1)", "beta": "normal(0, 1)", "sd": "half_normal(1)", **priors}
    return ml.Model("y ~ x + (1 | g)", table, family="bernoulli", priors=chosen)


def negative_binomial(groups: int = 5, size: int = 4, **priors: str) -> ml.Model:
    table = columns(groups, size)
    table["y"] = np.arange(groups * size) % 5
    chosen = {"Intercept": "normal(1, 0.5)", "beta": "normal(0, 0.5)", "sd": "half_normal(0.5)", "shape": "gamma(4, 1)"}
    return ml.Model("y ~ x + (1 | g)", table, family="negative_binomial", priors={**chosen, **priors})
