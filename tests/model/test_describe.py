"""A model in words: equation, sizes, advice."""

from __future__ import annotations

import numpy as np

import multilevel as ml
from multilevel.model.describe import advice, equation


def test_description_of_schools():
    text = str(ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    assert "score = b0 + u0[school] + e" in text
    assert "school  30 levels" in text
    assert "reml unless another is named" in text
    assert "Before fitting" not in text


def test_equations():
    rng = np.random.default_rng(1)
    data = {c: rng.normal(size=60) for c in ("y", "a", "b")} | {c: rng.uniform(1.0, 2.0, 60) for c in ("w", "s")}
    data |= {"g": np.arange(60) % 6, "h": np.arange(60) // 6}
    first, *where = equation(ml.Model("y ~ a * b + (a || g) + (1 | h)", data, weights="w"))
    assert first == "y = b0 + b1·a + b2·b + b3·a:b + u0[g] + u1[g]·a + u2[h] + e"
    assert where == ["(u0 … u1)[g] ~ N(0, Σ 2×2, uncorrelated)", "u2[h] ~ N(0, sd²)", "e ~ N(0, sigma²/weight)"]
    assert equation(ml.Model("y | se(s) ~ 1 + (1 | h)", data))[-1] == "e ~ N(0, se²), se known"
    assert "no grouping term" in str(ml.Model("y ~ a", data))


def test_long_equations_are_cut():
    rng = np.random.default_rng(1)
    data = {"y": rng.normal(size=90), "f": np.arange(90) % 12, "g": np.arange(90) % 9}
    data["f"] = np.array([f"level {k}" for k in data["f"]])
    assert "(6 more)" in equation(ml.Model("y ~ f + (1 | g)", data))[0]


def test_advice():
    rng = np.random.default_rng(1)
    y = rng.normal(size=500)
    few = ml.Model("y ~ 1 + (1 | g)", {"y": y, "g": np.arange(500) % 3})
    assert [n.code for n in advice(few)] == ["N_FEW_GROUPS"]
    assert "3 levels" in str(few)
    many = ml.Model("y ~ 1 + (1 | g)", {"y": y, "g": np.minimum(np.arange(500), 450)})
    assert [n.code for n in advice(many)] == ["N_LEVELS_NEAR_ROWS"]
    uneven = ml.Model("y ~ 1 + (1 | g)", {"y": y, "g": np.maximum(np.arange(500) // 2, 200) - 200})
    assert [n.code for n in advice(uneven)] == ["N_UNBALANCED"]
    assert all(n.hint for m in (few, many, uneven) for n in advice(m))


def test_equations_of_families():
    rng = np.random.default_rng(1)
    n = 60
    data = {"x": rng.normal(size=n), "g": np.arange(n) % 6, "y": rng.poisson(2.0, n), "n": np.full(n, 5)}
    data |= {"d": rng.uniform(1.0, 2.0, n), "r": np.array(["bad", "good"])[np.arange(n) % 2]}
    data["k"] = np.arange(n) % 5
    first, *where = equation(ml.Model("y | rate(d) ~ x + (x | g); zi ~ x", data, family="zero_inflated_poisson"))
    assert first == "y ~ ZeroInflatedPoisson(mu, zi)"
    assert where == [
        "log(mu) = b0 + b1·x + offset + u0[g] + u1[g]·x",
        "logit(zi) = b2 + b3·x",
        "(u0 … u1)[g] ~ N(0, Σ 2×2, correlated)",
    ]
    model = ml.Model("k | trials(n) ~ x + (1 | g)", data, family="binomial", link="probit")
    assert equation(model)[:2] == ["k ~ Binomial(trials, mu)", "probit(mu) = b0 + b1·x + u0[g]"]
    text = str(model)
    assert text.startswith("Generalized linear mixed model")
    assert "60 rows, 300 trials" in text
    assert "laplace unless another is named" in text
    assert "P(r = good)" in str(ml.Model("r ~ x + (1 | g)", data, family="bernoulli"))
    ordered = equation(ml.Model("k ~ x + (1 | g)", data, family="cumulative"))
    assert ordered[:2] == ["logit P(k ≤ k) = Intercept[k] - mu,  k = 1 … 4", "mu = b0·x + u0[g]"]
    several = equation(ml.Model("k ~ x", {**data, "k": np.arange(n) % 7}, family="categorical"))
    assert several[0] == "k ~ Categorical(softmax(0, mu1, mu2, mu3, mu4, …))"
    assert several[-1] == "… (2 more)"
    assert equation(ml.Model("y ~ x; sigma ~ x", data))[:2] == ["y ~ Normal(mu, sigma)", "mu = b0 + b1·x"]


def test_effects_of_single_rows_are_overdispersion():
    data = {"y": np.random.default_rng(1).poisson(3.0, 80), "g": np.arange(80) % 75}
    notes = {note.code: note for note in advice(ml.Model("y ~ 1 + (1 | g)", data, family="poisson"))}
    assert "overdispersion" in notes["N_LEVELS_NEAR_ROWS"].hint
