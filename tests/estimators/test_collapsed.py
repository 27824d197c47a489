"""The estimator "collapsed": what it hands over, when it gives way to Markov chains, and Bayes factors."""

from __future__ import annotations

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import MemoryNeededError
from multilevel.estimators import collapsed
from multilevel.fit.sample import Sample

SCHOOLS = {"set": "brms", "Intercept": "normal(0, 5)", "sd": "cauchy(0, 5)"}


def eight_schools() -> ml.Model:
    return ml.Model("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools"), priors=SCHOOLS)


def sample(model: ml.Model, **settings: int) -> Sample:
    """Draws alone: a fit would warn that some of these tests take few."""
    with np.errstate(all="ignore"):
        return collapsed.Collapsed(**settings).sample(model)


def grouped(seed: int = 0, n: int = 120) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g, h, x = rng.integers(0, 10, n), rng.integers(0, 6, n), rng.standard_normal(n)
    y = 2.0 + 0.5 * x + rng.standard_normal(10)[g] + 0.7 * rng.standard_normal(6)[h] + 0.5 * rng.standard_normal(n)
    return {"y": y, "x": x, "g": g.astype(str), "h": h.astype(str)}


def test_shapes_and_record() -> None:
    model = ml.Model("y ~ x + (x | g) + (1 | h)", grouped(), priors="brms")
    drawn = sample(model, draws=60, chains=3, seed=2)
    assert drawn.beta.shape == (3, 60, 2)
    assert [e.shape for e in drawn.effects] == [(3, 60, 10, 2), (3, 60, 6, 1)]
    assert [c.shape for c in drawn.covariances] == [(3, 60, 2, 2), (3, 60, 1, 1)]
    assert drawn.sigma is not None
    assert drawn.sigma.shape == (3, 60)
    assert drawn.z.shape == (3, 60, len(drawn.names))
    assert np.all(np.isfinite(drawn.log_posterior))
    assert drawn.info["exact"]
    assert drawn.info["khat"] < 0.7
    # z and what is read off it belong together
    at = drawn.names.index("sigma")
    np.testing.assert_allclose(np.exp(drawn.z[..., at]), drawn.sigma)


def test_a_fit_holds_the_draws() -> None:
    fit = eight_schools().fit("collapsed", seed=1)
    found = fit.estimates.certainty.sample
    assert found is not None
    np.testing.assert_array_equal(found.beta, sample(eight_schools(), seed=1).beta)
    assert "k-hat" in str(fit.summary())


def test_the_same_seed_gives_the_same_draws() -> None:
    one, two, other = (sample(eight_schools(), draws=100, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one.beta, two.beta)
    np.testing.assert_array_equal(one.effects[0], two.effects[0])
    assert not np.array_equal(one.beta, other.beta)


def test_no_draw_is_made_twice() -> None:
    drawn = sample(eight_schools(), seed=1)
    assert len(np.unique(drawn.beta)) == drawn.beta.size


def test_without_groups() -> None:
    """Least squares with the reference prior: p(β, log σ) flat leaves t distributions of known spread."""
    data = grouped()
    model = ml.Model("y ~ x", data, priors="flat")
    drawn = sample(model, seed=3)
    x = np.column_stack([np.ones(120), data["x"]])
    beta, rss = np.linalg.lstsq(x, data["y"], rcond=None)[:2]
    flat = drawn.flat(drawn.beta)
    # flat in σ rather than log σ: one degree of freedom fewer
    nu = 120 - 2 - 1
    sd = np.sqrt(np.diag(np.linalg.inv(x.T @ x)) * float(rss[0]) / nu * nu / (nu - 2))
    assert np.all(np.abs(flat.mean(axis=0) - beta) < 4.0 * sd / np.sqrt(4000))
    np.testing.assert_allclose(flat.std(axis=0), sd, rtol=0.05)


def test_more_draws_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multilevel.model.memory.available", lambda: 1e8)
    with pytest.raises(MemoryNeededError, match=r"10000000 draws of 10 coefficients and effects need about 2\.0 GB"):
        eight_schools().fit("collapsed", draws=2_500_000)


def test_nothing_left_to_draw() -> None:
    """Known standard errors and no groups: coefficients are normal, and that is all."""
    schools = ml.datasets.load("eight_schools")
    drawn = sample(ml.Model("y | se(sigma) ~ 1", schools, priors={"Intercept": "normal(0, 5)"}), seed=3)
    precision = np.sum(1.0 / np.asarray(schools["sigma"], dtype=float) ** 2) + 1.0 / 25.0
    mean = np.sum(schools["y"] / np.asarray(schools["sigma"], dtype=float) ** 2) / precision
    assert abs(drawn.beta.mean() - mean) < 4.0 / np.sqrt(4000 * precision)
    assert drawn.beta.std() == pytest.approx(precision**-0.5, rel=0.05)
    y, s = np.asarray(schools["y"], dtype=float), np.asarray(schools["sigma"], dtype=float)
    v = np.diag(s**2) + 25.0
    dense = -0.5 * (np.linalg.slogdet(2.0 * np.pi * v)[1] + y @ np.linalg.solve(v, y))
    assert drawn.info["log_evidence"] == pytest.approx(dense, abs=1e-9)


def test_bounded_priors() -> None:
    """The estimates lie outside of the prior's support; the posterior is cut there."""
    data = grouped()
    model = ml.Model("y ~ x + (1 | g)", data, priors={"sd": "uniform(0, 0.5)"})
    drawn = sample(model, seed=6)
    sd = np.sqrt(drawn.covariances[0][..., 0, 0])
    assert 0.4 < np.median(sd) < sd.max() <= 0.5
    assert drawn.info["khat"] < 0.7
    wide = sample(ml.Model("y ~ x + (1 | g)", data, priors={"sd": "uniform(0, 50)"}), seed=6)
    below = wide.covariances[0][..., 0, 0] < 0.25
    # cutting the support divides by the share of the posterior that is left, and by that of the prior
    share = np.log(0.5 / 50.0) + drawn.info["log_evidence"] - wide.info["log_evidence"]
    assert below.mean() == pytest.approx(np.exp(share), abs=4.0 * np.sqrt(np.exp(share) / 4000) + 1e-3)


def test_markov_chains_take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where weights are not trusted, and where there are too many parameters; the posterior is the same."""
    independent = sample(eight_schools(), seed=4)
    monkeypatch.setattr(collapsed, "TRUSTED", -9.0)
    chained = sample(eight_schools(), draws=300, tune=300, chains=2, seed=4)
    assert "k-hat" in chained.info["sampler"]
    assert chained.stats["divergent"].shape == (2, 300)
    assert abs(chained.beta.mean() - independent.beta.mean()) < 0.8
    monkeypatch.setattr(collapsed, "MOST_COORDINATES", 0)
    few = sample(eight_schools(), draws=50, tune=100, chains=1, seed=4)
    assert "many parameters" in few.info["sampler"]


def test_bayes_factor_of_a_slope() -> None:
    """Log evidence with and without a column against the Savage–Dickey ratio of the larger model."""
    data = grouped()
    data["z"] = np.random.default_rng(8).standard_normal(120)
    priors = {"Intercept": "normal(0, 10)", "beta": "normal(0, 0.3)", "sd": "exponential(1)", "sigma": "exponential(1)"}
    larger = sample(ml.Model("y ~ x + z + (1 | g)", data, priors=priors), seed=5)
    smaller = sample(ml.Model("y ~ x + (1 | g)", data, priors=priors), seed=5)
    slope = larger.flat(larger.beta)[:, 2]
    at_zero = np.exp(-0.5 * (slope.mean() / slope.std()) ** 2) / slope.std()  # nearly normal
    savage_dickey = float(np.log(at_zero / (1.0 / 0.3)))
    assert smaller.info["log_evidence"] - larger.info["log_evidence"] == pytest.approx(savage_dickey, abs=0.1)
