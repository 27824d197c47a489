"""A simulated table and a model of it for every family: what tests of predictions and of saved fits share."""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np

import multilevel as ml

ROWS, GROUPS = 480, 30
CASES = {  # name → formula, family, settings
    "poisson": ("count ~ x + (1 | g)", "poisson", {}),
    "poisson sqrt": ("count ~ x + (1 | g)", "poisson", {"link": "sqrt"}),
    "poisson rate": ("count | rate(days) ~ f + (x | g)", "poisson", {}),
    "poisson crossed": ("count ~ x + (1 | g) + (1 | h)", "poisson", {}),
    "poisson weights": ("count | weights(w) ~ x + (1 | g)", "poisson", {}),
    "truncated poisson": ("positive | trunc(lb=1) ~ x + (1 | g)", "poisson", {}),
    "binomial": ("k | trials(n) ~ x + (1 | g)", "binomial", {}),
    "binomial pair": ("cbind(k, n - k) ~ x + (1 | g)", "binomial", {"link": "probit"}),
    "binomial share": ("I(k / n) ~ x + (1 | g)", "binomial", {"weights": "n"}),
    "bernoulli": ("yes ~ x + (1 | g)", "bernoulli", {"link": "cloglog"}),
    "beta_binomial": ("k | trials(n) ~ x + (1 | g)", "beta_binomial", {}),
    "negative_binomial": ("over ~ x + (1 | g) + offset(z); shape ~ x", "negative_binomial", {}),
    "negative_binomial_1": ("over ~ x + (1 | g)", "negative_binomial_1", {}),
    "zero_inflated_poisson": ("zeros ~ x + (1 | g); zi ~ x + (1 | g)", "zero_inflated_poisson", {}),
    "zero_inflated_negative_binomial": ("zeros ~ x + (1 | g)", "zero_inflated_negative_binomial", {}),
    "hurdle_poisson": ("zeros ~ x + (1 | g); hu ~ x", "hurdle_poisson", {}),
    "hurdle_negative_binomial": ("zeros ~ x + (1 | g)", "hurdle_negative_binomial", {}),
    "gamma": ("amount ~ x + (1 | g)", "gamma", {}),
    "gamma weights": ("amount ~ x + (1 | g)", "gamma", {"weights": "w"}),
    "inverse_gaussian": ("amount ~ x + (1 | g)", "inverse_gaussian", {}),
    "lognormal": ("amount ~ x + (1 | g)", "lognormal", {}),
    "beta": ("share ~ x + (1 | g)", "beta", {}),
    "student": ("heavy ~ x + (1 | g)", "student", {}),
    "gaussian sigma": ("level ~ x + (x | g); sigma ~ x", "gaussian", {}),
    "gaussian log": ("amount ~ x + (1 | g)", "gaussian", {"link": "log"}),
    "censored": ("seen | cens(cut) ~ x + (1 | g)", "gaussian", {}),
    "cumulative": ("rating ~ x + (1 | g)", "cumulative", {}),
    "categorical": ("choice ~ x + (1 | g)", "categorical", {}),
    "agq": ("yes ~ x + (1 | g)", "bernoulli", {"estimator": "agq"}),
    "complete": ("count ~ x + (1 | g)", "negative_binomial", {"estimator": "complete"}),
    "none": ("count ~ x + (1 | g)", "poisson", {"estimator": "none"}),
    "no groups": ("count ~ x", "poisson", {}),
}  # fmt: skip


@cache
def rows(seed: int = 5) -> dict[str, np.ndarray]:
    """One response of each kind, with group effects of 0.7."""
    rng = np.random.default_rng(seed)
    g, h = np.arange(ROWS) % GROUPS, rng.integers(0, 9, ROWS)
    x, z = rng.normal(size=ROWS), 0.1 * rng.normal(size=ROWS)
    eta = 0.4 + 0.5 * x + 0.7 * rng.normal(size=GROUPS)[g]
    mu, p = np.exp(eta), 1.0 / (1.0 + np.exp(-eta))
    n = rng.integers(1, 12, ROWS)
    over = rng.poisson(rng.gamma(2.0, mu / 2.0))
    latent = eta + rng.logistic(size=ROWS)
    level = eta + np.exp(-0.3 + 0.3 * x) * rng.normal(size=ROWS)
    utilities = np.column_stack([0.0 * eta, eta, 0.5 * x]) + rng.gumbel(size=(ROWS, 3))
    other = 0.8 * rng.normal(size=GROUPS)[g]
    silent = rng.random(ROWS) < 1.0 / (1.0 + np.exp(1.0 - 0.5 * x - other))
    return {
        "g": np.array([f"g{i:02d}" for i in g]),
        "h": np.array([f"h{i}" for i in h]),
        "f": np.array(["a", "b", "c"])[rng.integers(0, 3, ROWS)],
        "x": x,
        "z": z,
        "w": rng.integers(1, 4, ROWS).astype(float),
        "n": n,
        "days": rng.uniform(0.5, 2.0, ROWS),
        "count": rng.poisson(mu),
        "positive": np.maximum(rng.poisson(mu), 1),
        "k": rng.binomial(n, p),
        "yes": np.where(rng.random(ROWS) < p, "yes", "no"),
        "over": over,
        "zeros": np.where(silent, 0, over),
        "amount": mu * rng.gamma(4.0, 0.25, ROWS),
        "share": np.clip(rng.beta(6.0 * p, 6.0 * (1.0 - p)), 1e-4, 1.0 - 1e-4),
        "heavy": eta + 0.6 * rng.standard_t(4, ROWS),
        "level": level,
        "seen": np.minimum(level, 1.5),
        "cut": np.where(level > 1.5, "right", "none"),
        "rating": 1 + np.digitize(latent, [-1.0, 0.5, 1.8]),
        "choice": np.array(["bus", "car", "walk"])[np.argmax(utilities, axis=1)],
    }


@cache
def fitted(case: str) -> ml.Fit:
    """The fit of a case, without warnings."""
    formula, family, settings = CASES[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)
        return ml.fit(formula, rows(), family=family, **settings)


def some(index: object) -> dict[str, np.ndarray]:
    """Some of the rows as a table."""
    return {name: values[index] for name, values in rows().items()}
