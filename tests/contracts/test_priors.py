"""Every member of `priors/` and `priors/covariance/` against its contract. A new file is tested on arrival."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest

from multilevel.core.coordinates import _of_covariance
from multilevel.core.correlations import Correlated, Independent
from multilevel.errors import SettingError
from multilevel.priors.base import Cut, Prior, positive, quantile
from multilevel.priors.parse import parse_prior
from multilevel.registry import member, members

# beside the defaults: parameters for which shapes, tails and poles differ
CASES = {
    "beta": ["beta(1, 1)", "beta(2, 5)"],
    "cauchy": ["cauchy(1, 2)", "half_cauchy(5)"],
    "exponential": ["exponential(0.2)"],
    "gamma": ["gamma(2, 0.1)", "gamma(0.8, 3)"],
    "horseshoe": ["horseshoe(1)"],
    "inv_gamma": ["inv_gamma(0.4, 0.3)", "inv_gamma(3, 2)"],
    "laplace": ["laplace(-1, 0.5)", "half_laplace(2)"],
    "logistic": ["logistic(0, 1)", "half_logistic(2)"],
    "lognormal": ["lognormal(1, 0.5)"],
    "normal": ["normal(3, 0.1)", "half_normal(1)"],
    "pc": ["pc(2, 0.01)"],
    "r2d2": ["r2d2(0.5, 2)", "r2d2(0.3, 8)"],
    "sqrt_inv_gamma": ["sqrt_inv_gamma(1, 1)", "sqrt_inv_gamma(2.5, 10)"],
    "student_t": ["student_t(3, 1, 2)", "half_student_t(3, 0, 2.5)"],
    "uniform": ["uniform(-1, 3)"],
}
TEXTS = [text for name in members("priors") if name != "flat" for text in [name, *CASES.get(name, [])]]
POLES = ("horseshoe", "r2d2")


@pytest.fixture(params=TEXTS)
def prior(request: pytest.FixtureRequest) -> Prior:
    found = parse_prior(request.param)
    assert isinstance(found, Prior)
    return found


def inside(prior: Prior, count: int = 9) -> np.ndarray:
    """Points of the support, by quantiles."""
    return np.array([quantile(prior, p) for p in np.linspace(0.02, 0.98, count)])


def density(prior: Prior, x: float) -> float:
    return float(np.exp(prior.log_density(np.array([x]))[0]))


def test_integrates_to_its_distribution(prior: Prior) -> None:
    points = inside(prior)
    for a, b in pairwise(points):
        middle = [0.0] if a < 0.0 < b else None
        found = quad(lambda x: density(prior, x), a, b, points=middle, epsabs=1e-10, limit=200)[0]
        assert found == pytest.approx(prior.below(b) - prior.below(a), abs=2e-7)
    low, high = prior.support
    assert prior.below(min(high, 1e300)) == pytest.approx(1.0, abs=1e-6)
    assert prior.below(max(low, -1e300)) == pytest.approx(0.0, abs=1e-6)


def test_slope_is_the_derivative(prior: Prior) -> None:
    x = inside(prior, 8)
    x = x[np.abs(x) > 1e-3]
    h = 1e-6 * np.maximum(np.abs(x), 0.05)
    numeric = (prior.log_density(x + h) - prior.log_density(x - h)) / (2.0 * h)
    np.testing.assert_allclose(prior.slope(x), numeric, rtol=2e-4, atol=1e-6)


def test_draws_follow_the_distribution(prior: Prior) -> None:
    draws = prior.draw(400, np.random.default_rng(1))
    below = np.array([prior.below(float(x)) for x in draws])
    assert draws.shape == (400,)
    assert kstest(below, "uniform").pvalue > 1e-3


def test_nothing_outside_the_support(prior: Prior) -> None:
    low, high = prior.support
    outside = [x for x in (low - 0.5, high + 0.5) if np.isfinite(x)]
    assert np.isneginf(prior.log_density(np.array(outside))).all()


def test_far_values_are_numbers(prior: Prior) -> None:
    low, high = prior.support
    x = np.array([v for v in (-1e8, -1e3, 1e-9, 1e3, 1e8) if low < v < high])
    value, slope = prior.log_density(x), prior.slope(x)
    assert not np.isnan(value).any()
    assert not np.isnan(slope).any()


def test_text_reads_back(prior: Prior) -> None:
    assert parse_prior(prior.text) == prior


def test_cut_to_the_positive_half(prior: Prior) -> None:
    half = positive(prior)
    assert half.support[0] >= 0.0
    total = quad(lambda x: density(half, x), max(half.support[0], 0.0), quantile(half, 0.9), limit=300, epsabs=1e-9)[0]
    assert total == pytest.approx(0.9, abs=1e-5)


@pytest.mark.parametrize("name", members("priors"))
def test_parameters_outside_their_range_are_refused(name: str) -> None:
    kind = member("priors", name)
    for field in kind.above_zero:
        for bad in (0.0, -1.0, np.nan, np.inf, "1"):
            with pytest.raises(SettingError, match=field):
                kind(**{field: bad})


def test_flat_is_no_distribution() -> None:
    flat = parse_prior("flat")
    assert not flat.proper
    with pytest.raises(SettingError, match="nothing can be drawn"):
        flat.draw(3, np.random.default_rng(0))


def test_almost_everything_cut_away() -> None:
    """Draws beyond five standard deviations, which rejection would not find."""
    tail = Cut(parse_prior("normal(-5, 1)"))
    draws = tail.draw(200, np.random.default_rng(0))
    assert (draws > 0.0).all()
    assert kstest([tail.below(float(x)) for x in draws], "uniform").pvalue > 1e-3


# --- priors that coefficients share ----------------------------------------------------------------------------------
def test_horseshoe_is_its_hierarchy() -> None:
    """τ, λ and z drawn one after another have the distribution of τ times the density's draws."""
    prior, rng, n = parse_prior("horseshoe(0.5)"), np.random.default_rng(3), 4000
    tau = 0.5 * np.abs(np.tan(np.pi * (rng.uniform(size=n) - 0.5)))
    lam = np.abs(np.tan(np.pi * (rng.uniform(size=n) - 0.5)))
    direct = np.arcsinh(tau * lam * rng.normal(size=n))
    ours = np.arcsinh(prior.shared.draw(n, rng) * prior.draw(n, rng))
    from scipy.stats import ks_2samp

    assert ks_2samp(direct, ours).pvalue > 1e-3


def test_r2d2_is_its_hierarchy() -> None:
    """Coefficients by R² and the Dirichlet, against those by the shared scale: jointly, through two functions."""
    from scipy.stats import ks_2samp

    prior, rng, n, p = parse_prior("r2d2(0.4, 3)"), np.random.default_rng(4), 4000, 5
    r2 = rng.beta(1.2, 1.8, n)
    shares = rng.dirichlet(np.full(p, 1.2 / p), n)
    direct = np.sqrt(shares * (r2 / (1.0 - r2))[:, None]) * rng.normal(size=(n, p))
    tau = prior.shared.draw(n, rng)
    each = prior.among(p, 1.0)
    ours = tau[:, None] * np.column_stack([each.draw(n, rng) for _ in range(p)])
    for function in (lambda b: np.log((b**2).sum(axis=1)), lambda b: np.sort(b**2, axis=1)[:, -1] / (b**2).sum(axis=1)):
        assert ks_2samp(function(direct), function(ours)).pvalue > 1e-3


# --- covariances -----------------------------------------------------------------------------------------------------
def test_inverse_wishart_is_that_of_scipy() -> None:
    from scipy.stats import invwishart

    term = parse_prior("inv_wishart(5, 1, 2, 0.5)").of(3, 1.0)
    factors = Correlated(3).factor(np.random.default_rng(0).normal(size=(4, 6)))
    expected = [invwishart(5, np.diag([1.0, 2.0, 0.5])).logpdf(f @ f.T) for f in factors]
    np.testing.assert_allclose(term.of_factor(factors)[0], expected, rtol=1e-10)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_density_of_coordinates_has_the_jacobian(k: int) -> None:
    block = Correlated(k) if k > 1 else Independent(1)
    term = parse_prior("inv_wishart(6, 2)").of(k, 1.0)
    x = 0.4 * np.random.default_rng(k).normal(size=(1, block.d))
    value, gradient = _of_covariance(block, x, term)

    def entries(at: np.ndarray) -> np.ndarray:
        factor = block.factor(at[None])[0]
        return (factor @ factor.T)[np.tril_indices(k)]

    h = 1e-6
    columns = [(entries(x[0] + h * e) - entries(x[0] - h * e)) / (2.0 * h) for e in np.eye(block.d)]
    log_det = np.linalg.slogdet(np.array(columns))[1]
    assert value[0] - term.of_factor(block.factor(x))[0][0] == pytest.approx(log_det, abs=1e-7)
    numeric = [
        (_of_covariance(block, x + h * e, term)[0][0] - _of_covariance(block, x - h * e, term)[0][0]) / (2.0 * h)
        for e in np.eye(block.d)
    ]
    np.testing.assert_allclose(gradient[0], numeric, atol=1e-6)


def test_inverse_wishart_draws() -> None:
    term = parse_prior("inv_wishart(9, 2, 6)").of(2, 1.0)
    draws = term.draw_covariances(20000, np.random.default_rng(0))
    np.testing.assert_allclose(draws.mean(axis=0), np.diag([2.0, 6.0]) / 6.0, atol=0.02)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_decov_density_and_draws(k: int) -> None:
    term = parse_prior("decov(1, 1.5, 2, 0.7)").of(k, 1.0)
    rng = np.random.default_rng(k)
    sd, sigma, h = np.exp(0.3 * rng.normal(size=(3, k))), np.exp(0.3 * rng.normal(size=3)), 1e-6
    _, by_sd, by_sigma = term.evaluate(sd, sigma)
    for j in range(k):
        e = h * np.eye(k)[j]
        numeric = (term.evaluate(sd + e, sigma)[0] - term.evaluate(sd - e, sigma)[0]) / (2.0 * h)
        np.testing.assert_allclose(by_sd[:, j], numeric, rtol=1e-5)
    numeric = (term.evaluate(sd, sigma * np.exp(h))[0] - term.evaluate(sd, sigma * np.exp(-h))[0]) / (2.0 * h)
    np.testing.assert_allclose(by_sigma, numeric, rtol=1e-5)
    # normalised: draws weighted by another density over this one average to one
    draws = term.draw(20000, np.full(20000, 1.3), rng)
    other = parse_prior("lognormal(0.3, 0.4)")
    log_ratio = other.log_density(draws).sum(axis=1) - term.evaluate(draws, np.full(20000, 1.3))[0]
    assert np.mean(np.exp(log_ratio)) == pytest.approx(1.0, abs=0.05)


def test_decov_of_one_coefficient_is_rstanarms_gamma() -> None:
    term, gamma = parse_prior("decov").of(1, 1.0), parse_prior("exponential(1)")
    sd = np.array([[0.3], [2.0]])
    np.testing.assert_allclose(term.evaluate(sd, np.ones(2))[0], gamma.log_density(sd[:, 0]), rtol=1e-12)


def test_lkj_of_two_is_a_beta() -> None:
    """η = 2: (r + 1)/2 ~ Beta(2, 2)."""
    block = Correlated(2)
    draws = np.tanh(block.draw_correlations(4000, 2.0, np.random.default_rng(0))[:, 0])
    assert kstest(0.5 * (draws + 1.0), "beta", (2.0, 2.0)).pvalue > 1e-3


@pytest.mark.parametrize("name", members("priors.covariance"))
def test_covariance_texts_read_back(name: str) -> None:
    prior = parse_prior(name)
    assert parse_prior(prior.text) == prior
    with pytest.raises(SettingError, match="above zero"):
        parse_prior(f"{name}(-1)")
