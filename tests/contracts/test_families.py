"""Every family against its contract, with every link: a new file is tested on arrival."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

from multilevel.errors import MultilevelError
from multilevel.families.base import Distribution, Given
from multilevel.links import forward, inverse
from multilevel.numerics import jets
from multilevel.registry import member, members

sys.path.insert(0, str(Path(__file__).parents[1] / "families"))
from oracles import ORACLES, cumulative, softmax

NAMES = members("families")
COUNTS = [0.0, 1.0, 2.0, 5.0, 17.0, 60.0]
RESPONSES = {  # a response to observe, of six rows
    "gaussian": [-1.0, 0.3, 2.5, 0.9, 4.0, 1.5],
    "student": [-1.0, 0.3, 2.5, 0.9, 14.0, 1.5],
    "lognormal": [0.2, 0.3, 2.5, 0.9, 4.0, 1.5],
    "gamma": [0.2, 0.3, 2.5, 0.9, 4.0, 1.5],
    "inverse_gaussian": [0.2, 0.3, 2.5, 0.9, 4.0, 1.5],
    "beta": [0.001, 0.3, 0.5, 0.9, 0.7, 0.999],
    "bernoulli": [0.0, 1.0, 1.0, 0.0, 0.0, 1.0],
    "binomial": [0.0, 1.0, 7.0, 3.0, 2.0, 5.0],
    "beta_binomial": [0.0, 1.0, 7.0, 3.0, 2.0, 5.0],
    "cumulative": [1.0, 2.0, 3.0, 4.0, 1.0, 3.0],
    "categorical": [1.0, 2.0, 3.0, 4.0, 1.0, 3.0],
}
MEANS = {  # natural values of the location, for each of six rows
    "beta": [0.2, 0.5, 0.7, 0.35, 0.9, 0.05],
    "bernoulli": [0.2, 0.5, 0.7, 0.35, 0.9, 0.05],
    "binomial": [0.2, 0.5, 0.7, 0.35, 0.9, 0.05],
    "beta_binomial": [0.2, 0.5, 0.7, 0.35, 0.9, 0.05],
    "lognormal": [0.2, -0.5, 0.7, 0.35, 0.9, 1.2],
}
FURTHER = {"sigma": 0.8, "shape": 2.3, "phi": 3.1, "zi": 0.3, "hu": 0.4, "nu": 6.5}
OUTSIDE = {  # one row outside the support
    "gaussian": None, "student": None, "lognormal": 0.0, "gamma": -1.0, "inverse_gaussian": 0.0, "beta": 1.0,
    "bernoulli": 2.0, "binomial": 8.0, "beta_binomial": 8.0, "cumulative": None, "categorical": None,
}  # fmt: skip

CASES = [(name, link) for name in NAMES for link in member("families", name).links]
each = pytest.mark.parametrize(("name", "link"), CASES)


def given(name: str, y: object = None, **more: object) -> Given:
    trials = "trials" in member("families", name).takes
    modifiers = {"trials": (np.full(6, 7.0),)} if trials else {}
    values = np.array(RESPONSES.get(name, COUNTS) if y is None else y, dtype=float)
    return Given("y", values, modifiers=modifiers, **more)


def case(name: str, link: str):
    """(distribution, observations, η) of six rows within the support."""
    family = member("families", name)
    obs = family.observe(given(name))
    if name == "categorical":
        return Distribution(family, (link,) * 3), obs, np.random.default_rng(3).normal(size=(6, 3))
    parameters = family.parameters(obs)
    links = (link, *(p.links[0] for p in parameters))
    columns = [forward(link, np.array(MEANS.get(name, [0.4, 1.0, 2.5, 3.0, 0.7, 9.0])))]
    if name == "cumulative":
        columns = [np.linspace(-1, 1, 6), *(np.linspace(at, at + 0.3, 6) for at in (-1.0, 0.2, 1.4))]
    else:
        columns += [forward(p.links[0], np.linspace(0.8, 1.1, 6) * FURTHER[p.name]) for p in parameters]
    return Distribution(family, links), obs, np.column_stack(columns)


def oracle(name: str, dist: Distribution, eta: np.ndarray):
    if name == "cumulative":
        return cumulative(dist.links[0], *eta)
    if name == "categorical":
        return softmax(*eta)
    return ORACLES[name](*(float(inverse(link, e)) for link, e in zip(dist.links, eta, strict=True)))


def support(name: str) -> np.ndarray:
    sizes = {"bernoulli": 2, "binomial": 8, "beta_binomial": 8, "cumulative": 4, "categorical": 4}
    return np.arange(sizes.get(name, 700), dtype=float)


def density(dist: Distribution, obs, eta: np.ndarray, row: int, y: np.ndarray) -> np.ndarray:
    """exp log p(y) of one row at many values."""
    many = obs.take(np.full(len(y), row)).with_y(y)
    return np.exp(dist.log_density(many, np.tile(eta[row], (len(y), 1))))


def moment(name: str, dist: Distribution, obs, eta, row: int, power: int, below: float = np.inf) -> float:
    """∫ y^power p(y) dy, or the sum, up to `below`."""
    if dist.family.discrete:
        y = support(name)
        y = y[y <= below]
        return float(np.sum(y**power * density(dist, obs, eta, row, y)))
    ends = {"gaussian": (-np.inf, np.inf), "student": (-np.inf, np.inf), "beta": (0.0, 1.0)}.get(name, (0.0, np.inf))
    top = min(ends[1], below)

    def f(y: float) -> float:
        return float(y**power * density(dist, obs, eta, row, np.array([y]))[0])

    middle = float(np.clip(dist.mean(obs, eta)[row], ends[0], top))
    pieces = [(ends[0], middle), (middle, top)]
    return sum(integrate.quad(f, a, b, limit=200, epsabs=1e-11)[0] for a, b in pieces if a < b)


@each
def test_density_is_that_of_the_textbook(name, link):
    dist, obs, eta = case(name, link)
    found = dist.log_density(obs, eta)
    for i in range(6):
        exact = oracle(name, dist, eta[i])
        log_p = exact.logpmf if hasattr(exact, "logpmf") else exact.logpdf
        np.testing.assert_allclose(found[i], log_p(obs.y[i]), rtol=1e-9, atol=1e-10)


@each
def test_densities_sum_to_one(name, link):
    dist, obs, eta = case(name, link)
    for row in (0, 3):
        assert moment(name, dist, obs, eta, row, 0) == pytest.approx(1.0, abs=1e-7)


@each
def test_derivatives_are_differences_of_the_order_below(name, link):
    dist, obs, eta = case(name, link)
    names = ("value", "first", "second", "third", "fourth")
    slopes = dist.by_jets(obs, eta, 4)
    for order in range(1, 5):
        exact = getattr(slopes, names[order])
        for j in range(eta.shape[1]):
            h = 2e-4 * np.clip(np.abs(eta[:, j]), 0.01, 1.0)

            def at(t, order=order, j=j, h=h):
                moved = eta.copy()
                moved[:, j] += t * h
                return getattr(dist.by_jets(obs, moved, order - 1), names[order - 1])

            # fourth-order differences: error h⁴
            width = 12 * h.reshape(-1, *[1] * (order - 1))
            found = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / width * (-1 if order == 2 else 1)
            np.testing.assert_allclose(found, exact[..., j], rtol=2e-7, atol=2e-7 * (1 + np.abs(exact).max()))


@each
def test_raw_derivatives_hold_no_nan_within_reach(name, link):
    """`impossible` clears NaN at predictors of hundreds; nearer there must be none to clear."""
    dist, obs, eta = case(name, link)
    m = eta.shape[1]
    for corner in np.array(np.meshgrid(*[[-12.0, 0.5, 12.0]] * m)).reshape(m, -1).T:
        with np.errstate(all="ignore"):
            found = jets.derivatives(
                dist.family.log_density(obs, jets.variables(np.tile(corner, (6, 1)), 4), dist.links), 6, m, 4
            )
        possible = np.isfinite(found[0])
        assert all(np.isfinite(d[possible]).all() for d in found), corner


@each
@pytest.mark.parametrize("order", range(5))
def test_fast_derivatives_are_those_of_the_density(name, link, order):
    dist, obs, eta = case(name, link)
    fast = dist.family.derivatives(obs, eta, order, dist.links)
    if fast is None:
        return
    slow = dist.by_jets(obs, eta, order)
    for field in ("value", "first", "second", "third", "fourth")[: order + 1]:
        np.testing.assert_allclose(getattr(fast, field), getattr(slow, field), rtol=1e-10, atol=1e-11)
    assert order == 4 or getattr(fast, ("first", "second", "third", "fourth")[order]) is None


@each
def test_third_and_fourth_derivatives_are_symmetric(name, link):
    dist, obs, eta = case(name, link)
    d = dist.derivatives(obs, eta, 4)
    np.testing.assert_allclose(d.third, np.transpose(d.third, (0, 2, 3, 1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(d.fourth, np.transpose(d.fourth, (0, 4, 1, 3, 2)), rtol=1e-12, atol=1e-12)


@each
def test_mean_and_variance_are_moments_of_the_density(name, link):
    dist, obs, eta = case(name, link)
    mean, variance = dist.mean(obs, eta), dist.variance(obs, eta)
    if name in ("cumulative", "categorical"):
        for row in range(6):
            np.testing.assert_allclose(mean[row], density(dist, obs, eta, row, support(name)), rtol=1e-12)
        np.testing.assert_allclose(variance, mean * (1 - mean))
        return
    trials = 1.0 if obs.trials is None else obs.trials[0]
    for row in (0, 3):
        first = moment(name, dist, obs, eta, row, 1)
        assert mean[row] * trials == pytest.approx(first, rel=1e-6)
        second = moment(name, dist, obs, eta, row, 2)
        assert variance[row] * trials**2 == pytest.approx(second - first**2, rel=2e-5)


@each
def test_cdf_is_the_sum_of_the_density(name, link):
    dist, obs, eta = case(name, link)
    below, upto = dist.cdf(obs, eta)
    for row in (0, 2, 3):
        assert upto[row] == pytest.approx(moment(name, dist, obs, eta, row, 0, below=obs.y[row]), abs=1e-7)
        jump = density(dist, obs, eta, row, obs.y[row : row + 1])[0] if dist.family.discrete else 0.0
        assert upto[row] - below[row] == pytest.approx(jump, abs=1e-9)
    assert np.all((below >= 0) & (upto <= 1) & (below <= upto))


@each
def test_simulated_responses_follow_the_cdf(name, link):
    """The randomised probability integral transform of draws is uniform: largest gap below the 1e-4 point."""
    dist, obs, eta = case(name, link)
    rng = np.random.default_rng(11)
    n = 12_000
    rows = rng.integers(0, 6, n)
    many, wide = obs.take(rows), eta[rows]
    y = dist.simulate(many, wide, rng)
    assert y.shape == (n,)
    below, upto = dist.cdf(many, wide, y)
    u = np.sort(below + rng.random(n) * (upto - below))
    gap = np.max(np.abs(u - (np.arange(n) + 0.5) / n))
    assert gap < 2.23 / np.sqrt(n)


@each
@pytest.mark.parametrize("size", [30.0, 300.0, 700.0])
def test_far_predictors_give_no_nan(name, link, size):
    dist, obs, eta = case(name, link)
    m = eta.shape[1]
    corners = np.array(np.meshgrid(*[[-size, size]] * m)).reshape(m, -1).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for corner in corners:
            d = dist.derivatives(obs, np.tile(corner, (6, 1)), 4)
            assert not np.isnan(d.value).any()
            assert np.all(d.value < np.inf)
            for part in (d.first, d.second, d.third, d.fourth):
                assert not np.isnan(part).any(), corner


@each
def test_start_is_finite_and_possible(name, link):
    dist, obs, _ = case(name, link)
    start = dist.start(obs)
    assert start.shape == (6, len(dist.links))
    assert np.isfinite(start).all()
    assert np.isfinite(dist.log_density(obs, start)).all()


@each
def test_latent_variance_is_positive(name, link):
    dist, obs, eta = case(name, link)
    latent = dist.latent_variance(obs, eta)
    assert latent.shape == (6,)
    assert np.all(latent > 0)


@each
def test_counts_of_rows_multiply_the_density(name, link):
    from dataclasses import replace

    dist, obs, eta = case(name, link)
    twice = replace(obs, weights=np.full(6, 2.0))
    one, two = dist.derivatives(obs, eta, 2), dist.derivatives(twice, eta, 2)
    for field in ("value", "first", "second"):
        np.testing.assert_allclose(2 * getattr(one, field), getattr(two, field), rtol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_values_outside_the_support_are_refused_with_their_row(name):
    bad = OUTSIDE.get(name, 2.5)
    if bad is None:  # all numbers are possible
        return
    y = list(RESPONSES.get(name, COUNTS))
    y[4] = bad
    with pytest.raises(MultilevelError) as caught:
        member("families", name).observe(given(name, y, rows=np.arange(10, 16)))
    assert caught.value.code == "E_RESPONSE_DOMAIN"
    assert "row 14" in str(caught.value)
    assert f"{bad:g}" in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_a_constant_response_is_refused(name):
    constant = {"beta": 0.5}.get(name, 0.0 if member("families", name).discrete else 1.0)
    with pytest.raises(MultilevelError) as caught:
        member("families", name).observe(given(name, [constant] * 6))
    assert caught.value.code == "E_CONSTANT_RESPONSE"
    assert f"all {constant:g}" in str(caught.value) or f'all "{constant:g}"' in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_parameters_are_described(name):
    family = member("families", name)
    obs = family.observe(given(name))
    assert family.name == name
    assert family.links
    for p in family.parameters(obs):
        assert p.meaning
        natural = family.natural(p.name, 0.3, p.links[0])
        assert all(np.isfinite(v) for v in natural.values())


@pytest.mark.parametrize("name", NAMES)
def test_weights_beside_the_formula_are_precisions_or_refused(name):
    family = member("families", name)
    kind = given(name, weights=np.full(6, 2.0))
    if not family.precision:
        with pytest.raises(MultilevelError) as caught:
            family.observe(kind)
        assert caught.value.code == "E_WEIGHTS"
        return
    obs = family.observe(kind)
    assert obs.precision is not None
    dist, _, eta = case(name, family.links[0])
    many = np.tile(eta[2], (6, 1))
    plain = dist.variance(family.observe(given(name)), many)
    # Var y is divided by the weight; of a lognormal response that is Var log y
    ratio = plain / dist.variance(obs, many)
    assert np.all(ratio > 1.9) if name == "lognormal" else np.allclose(ratio, 2.0)
