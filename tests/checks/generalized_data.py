"""Healthy and unhealthy data of every family, for tests of the checks."""

from __future__ import annotations

import numpy as np
import pandas as pd

FAMILIES = {
    "poisson": "count",
    "negative_binomial": "wide",
    "negative_binomial_1": "wide",
    "zero_inflated_poisson": "inflated",
    "hurdle_poisson": "inflated",
    "bernoulli": "yes",
    "binomial": "k | trials(n)",
    "beta_binomial": "wider | trials(n)",
    "gamma": "amount",
    "lognormal": "amount",
    "student": "score",
    "beta": "share",
    "cumulative": "rating",
    "categorical": "choice",
}


def table(seed: int = 3, groups: int = 30, size: int = 10, level: float = 0.5, sd: float = 0.6) -> pd.DataFrame:
    """η = level + 0.6 x + b, in the shape of each family."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    n = len(g)
    x = rng.normal(size=n)
    eta = level + 0.6 * x + sd * rng.normal(size=groups)[g]
    mu, p = np.exp(eta), 1.0 / (1.0 + np.exp(-eta))
    out = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "x": x})
    out["count"] = rng.poisson(mu)
    out["wide"] = rng.negative_binomial(1.5, 1.5 / (1.5 + mu))
    out["inflated"] = np.where(rng.random(n) < 0.35, 0, out["count"])
    out["yes"] = (rng.random(n) < p).astype(int)
    out["n"] = rng.integers(2, 12, n)
    out["k"] = rng.binomial(out.n, p)
    out["wider"] = rng.binomial(out.n, rng.beta(2.0 * p, 2.0 * (1.0 - p)))
    out["amount"] = rng.gamma(2.0, mu / 2.0)
    out["score"] = eta + rng.standard_t(3, n)
    out["share"] = np.clip(rng.beta(5.0 * p, 5.0 * (1.0 - p)), 1e-6, 1.0 - 1e-6)
    out["rating"] = np.digitize(eta + rng.logistic(size=n), [-1.0, 0.0, 1.0, 2.0])
    out["choice"] = np.array(list("abc"))[np.digitize(eta + rng.logistic(size=n), [0.0, 1.0])]
    return out


def columns(response: str) -> list[str]:
    """What a formula on x by g needs; other columns would be looked at as left out."""
    return [*(name for name in response.replace("(", " ").replace(")", " ").split() if name in COLUMNS), "x", "g"]


COLUMNS = set(table(groups=2, size=5))
