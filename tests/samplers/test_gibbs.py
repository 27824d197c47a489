"""Gibbs draws against posteriors by brute force, and the steps they are made of."""

from __future__ import annotations

import warnings

import gibbs_models as models
import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.core.correlations import block
from multilevel.errors import SettingError
from multilevel.estimators.gibbs import Gibbs, system_of
from multilevel.numerics.diagnostics import ess_mean
from multilevel.samplers import gibbs as sampler
from multilevel.samplers.gibbs_coefficients import _gig, _local
from multilevel.samplers.gibbs_scales import update_sd
from multilevel.samplers.gibbs_steps import Steps, choose
from multilevel.samplers.gibbs_terms import exact, inverse_wishart


def sample_of(model: ml.Model, **settings):
    return Gibbs(**{"draws": 1500, "tune": 300, "chains": 4, "seed": 3, **settings}).sample(model)


def agree(draws: np.ndarray, mean: float, sd: float) -> None:
    """Mean and standard deviation of draws (C, S), within 4.5 of their Monte Carlo errors."""
    for value, target in ((draws, mean), ((draws - mean) ** 2, sd**2)):
        error = value.std() / np.sqrt(float(ess_mean(value)))
        assert abs(value.mean() - target) < 4.5 * error, (value.mean(), target, error)


# --- whole posteriors --------------------------------------------------------------------------------------------
def grid_of_one_way(model: ml.Model) -> dict[str, tuple[float, float]]:
    """Moments of sd and sigma from a dense normal density on a grid, coefficients integrated out with their prior."""
    design, n = model.design, model.n_obs
    x = np.column_stack([np.ones(n), design.fixed_columns[1]])
    same = design.groups[0].codes[:, None] == design.groups[0].codes[None, :]
    # Intercept at the mean of x ~ N(0, 1) and slope ~ N(0, 1)
    back = np.linalg.inv(np.array([[1.0, design.fixed_columns[1].mean()], [0.0, 1.0]]))
    prior = x @ back @ back.T @ x.T
    grid = np.exp(np.linspace(-5.0, 1.6, 70))
    log_p = np.empty((70, 70))
    for i, sd in enumerate(grid):
        for j, sigma in enumerate(grid):
            v = prior + sd**2 * same + sigma**2 * np.eye(n)
            root = np.linalg.cholesky(v)
            half = np.linalg.solve(root, design.response)
            log_p[i, j] = -np.log(np.diag(root)).sum() - 0.5 * half @ half
            log_p[i, j] += np.log(sd * sigma) - 0.5 * (sd**2 + sigma**2)  # in logarithms, half-normal(1) both
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    out = {}
    for name, weights in (("sd", p.sum(axis=1)), ("sigma", p.sum(axis=0))):
        mean = float(weights @ grid)
        out[name] = (mean, float(np.sqrt(weights @ (grid - mean) ** 2)))
    return out


@pytest.mark.parametrize("blocks", ["joint", "factors"])
def test_linear_posterior(blocks):
    model = models.one_way(5, 4)
    draws = sample_of(model, blocks=blocks)
    expected = grid_of_one_way(model)
    agree(np.sqrt(draws.covariances[0][:, :, 0, 0]), *expected["sd"])
    agree(draws.sigma, *expected["sigma"])


def test_bernoulli_posterior():
    """Random intercepts and no slope: quadrature over b in each group, a grid over the rest."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), 5)
    y = (rng.random(30) < 0.3 + 0.1 * (g % 3)).astype(float)
    chosen = {"Intercept": "normal(0, 1.5)", "sd": "half_normal(1)"}
    model = ml.Model("y ~ 1 + (1 | g)", {"y": y, "g": g}, family="bernoulli", priors=chosen)
    draws = sample_of(model)
    nodes, weights = np.polynomial.hermite_e.hermegauss(25)
    means, sds = np.linspace(-5.0, 4.0, 91), np.exp(np.linspace(-5.0, 1.5, 66))
    total = np.bincount(g, y)
    eta = means[:, None, None] + sds[None, :, None] * nodes
    log_lik = 0.0
    for k in total:
        inside = np.exp(k * eta - 5.0 * np.logaddexp(0.0, eta)) @ weights
        log_lik = log_lik + np.log(inside)
    log_p = log_lik - 0.5 * (means[:, None] / 1.5) ** 2 - 0.5 * sds**2 + np.log(sds)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    for draw, grid, weight in ((draws.beta[:, :, 0], means, p.sum(axis=1)),
                               (np.sqrt(draws.covariances[0][:, :, 0, 0]), sds, p.sum(axis=0))):  # fmt: skip
        mean = float(weight @ grid)
        agree(draw, mean, float(np.sqrt(weight @ (grid - mean) ** 2)))


def test_negative_binomial_posterior():
    """Without groups: a grid over intercept and shape."""
    y = np.random.default_rng(4).negative_binomial(3, 0.4, 40).astype(float)
    chosen = {"Intercept": "normal(1, 1)", "shape": "gamma(2, 0.5)"}
    model = ml.Model("y ~ 1", {"y": y}, family="negative_binomial", priors=chosen)
    draws = sample_of(model, draws=1000)
    means, shapes = np.linspace(0.2, 2.6, 121), np.exp(np.linspace(-1.5, 3.5, 121))
    p_success = shapes / (shapes + np.exp(means)[:, None])
    log_p = sum(stats.nbinom.logpmf(v, shapes, p_success) for v in y)
    log_p = log_p - 0.5 * (means[:, None] - 1.0) ** 2 + np.log(shapes) - 0.5 * shapes + np.log(shapes)
    p = np.exp(log_p - log_p.max())
    p /= p.sum()
    pairs = ((draws.beta[:, :, 0], means, p.sum(axis=1)), (draws.constants["shape"], shapes, p.sum(axis=0)))
    for draw, grid, weight in pairs:
        mean = float(weight @ grid)
        agree(draw, mean, float(np.sqrt(weight @ (grid - mean) ** 2)))


def test_density_is_that_of_the_collapsed_posterior():
    """Up to one constant, with group effects integrated out."""
    from multilevel.core.collapsed import CollapsedPosterior

    model = models.slopes()
    draws = sample_of(model, draws=20, tune=20, chains=2)
    target = CollapsedPosterior(model, coefficients=True)
    z = draws.flat(draws.z)
    assert np.allclose(target.log_density(z), draws.log_posterior.ravel())
    assert np.allclose(target.coordinates.log_prior(z)[0], draws.log_prior.ravel())


# --- runs --------------------------------------------------------------------------------------------------------
def test_same_seed_same_draws():
    model = models.one_way()
    first, again, other = (sample_of(model, draws=20, tune=10, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.beta, again.beta)
    assert not np.array_equal(first.beta, other.beta)


def test_a_fit_of_draws():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ml.errors.MultilevelWarning)  # few draws
        fit = models.bernoulli().fit("gibbs", draws=200, tune=50, chains=2)
    assert fit.sampled
    assert fit.estimates.certainty.sample.effects[0].shape == (2, 200, 5, 1)
    assert "Gibbs" in fit.estimates.certainty.sample.info["sampler"]


def test_interruption_keeps_the_draws():
    model = models.one_way()
    run = sampler.Gibbs(system_of(model), model)

    def stop(done: int) -> None:
        if done == 30:
            raise KeyboardInterrupt

    kept, partial = run.run(100, 10, 2, 0, tick=stop)
    kept.cut()
    assert partial
    assert kept.sigma.shape == (2, 20)


@pytest.mark.parametrize(
    ("formula", "family"),
    [
        ("y ~ 1 + (1 | g)", "poisson"),
        ("y ~ 1 + (1 | g); shape ~ x", "negative_binomial"),
        ("y ~ x; sigma ~ x", "gaussian"),
    ],
)
def test_models_without_conjugate_blocks(formula, family):
    table = models.columns()
    table["y"] = np.arange(12.0)
    with pytest.raises(SettingError) as refused:
        ml.Model(formula, table, family=family).fit("gibbs")
    assert refused.value.code == "E_NOT_CONJUGATE"
    assert "nuts" in str(refused.value)


def test_settings():
    model = models.one_way()
    for settings in ({"blocks": "all"}, {"thin": 0}, {"draws": 1}):
        with pytest.raises(SettingError):
            model.fit("gibbs", **settings)


# --- steps -------------------------------------------------------------------------------------------------------
def test_many_proposals_leave_a_density_alone():
    rng = np.random.default_rng(5)
    x = rng.gamma(2.0, size=20_000)
    after = choose(x, lambda v: np.where(v > 0.0, np.log(np.maximum(v, 1e-300)) - v, -np.inf), 0.7, rng)
    assert stats.kstest(after, stats.gamma(2.0).cdf).pvalue > 1e-3
    assert np.mean(after != x) > 0.8


SDS = ["half_student_t(3, 0, 1.5)", "half_cauchy(0, 1)", "sqrt_inv_gamma(2, 1)", "flat", "exponential(1)"]


@pytest.mark.parametrize("text", SDS)
def test_standard_deviations_given_squares(text):
    """Against the density (s²)^(−n/2) exp(−S/2s²) p(s) on a grid."""
    from multilevel.priors.base import positive
    from multilevel.priors.parse import parse_prior

    prior, n, squares = positive(parse_prior(text)), 6.0, 4.0
    rng, sd, stepper = np.random.default_rng(6), np.ones(4000), Steps(1, 0.4)
    stepper.tuning = False
    for _ in range(30):
        sd = update_sd(prior, sd, n, np.full(len(sd), squares), rng, stepper, 0)
    grid = np.linspace(1e-3, 12.0, 40_001)
    p = np.exp(-n * np.log(grid) - 0.5 * squares / grid**2 + prior.log_density(grid))
    below = np.cumsum(p) / p.sum()
    assert stats.kstest(sd, lambda v: np.interp(v, grid, below)).pvalue > 1e-3


@pytest.mark.parametrize("a", [0.05, 0.8, 3.0])
def test_local_scales_of_a_horseshoe(a):
    rng = np.random.default_rng(7)
    drawn = np.array([_local(a, rng) for _ in range(8000)])
    grid = np.linspace(0.0, 400.0 if a < 0.5 else 40.0, 400_001)
    p = np.exp(-a * grid) / (1.0 + grid)
    below = np.cumsum(p) / p.sum()
    assert stats.kstest(drawn, lambda v: np.interp(v, grid, below)).pvalue > 1e-3


def test_local_variances_of_r2d2():
    drawn = _gig(-0.2, np.full(1500, 0.7), np.random.default_rng(8))
    grid = np.linspace(1e-4, 25.0, 200_001)
    p = grid ** (-1.2) * np.exp(-grid - 0.245 / grid)
    below = np.cumsum(p) / p.sum()
    assert stats.kstest(drawn, lambda v: np.interp(v, grid, below)).pvalue > 1e-3


def test_inverse_wishart():
    """Mean Ψ/(ν − k − 1)."""
    scale = np.array([[2.0, 0.5], [0.5, 1.0]])
    drawn = inverse_wishart(9.0, np.broadcast_to(scale, (20_000, 2, 2)), np.random.default_rng(9))
    error = drawn.std(axis=0) / np.sqrt(len(drawn))
    assert np.all(np.abs(drawn.mean(axis=0) - scale / 6.0) < 4.5 * error)


BLOCKS = [("unstructured", 3, False), ("diagonal", 2, False), ("compound_symmetry", 3, False)]


@pytest.mark.parametrize(("kind", "k", "hom"), [*BLOCKS, ("compound_symmetry", 3, True)])
def test_coordinates_of_covariances(kind, k, hom):
    b = block(kind, k, hom)
    x = 0.8 * np.random.default_rng(10).standard_normal((5, b.d))
    factor = b.factor(x)
    assert np.allclose(exact(b, factor @ factor.transpose(0, 2, 1)), x)


def test_the_warm_up_says_how_many_sweeps_make_a_draw():
    """An autoregression of which one sweep in τ = (1 + ρ)/(1 − ρ) is worth an independent draw."""
    from multilevel.samplers.gibbs import MOST, enough

    def path(rho, sweeps=2000):
        rng = np.random.default_rng(0)
        x = [rng.standard_normal((4, 1))]
        for _ in range(sweeps - 1):
            x.append(rho * x[-1] + np.sqrt(1 - rho**2) * rng.standard_normal((4, 1)))
        return [np.column_stack([v, rng.standard_normal((4, 1)), np.ones((4, 1))]) for v in x]

    assert enough(path(0.0), 1000) == 1
    assert enough(path(0.9), 1000) in (4, 5, 6)  # τ = 19, and a quarter of the draws have to count
    assert enough(path(0.9), 500) in (8, 9, 10, 11)
    assert enough(path(0.995), 1000) == MOST
    assert enough(path(0.9)[:50], 1000) == 1  # too short to tell
    assert enough([np.ones((4, 1))] * 200, 1000) == 1  # nothing moves, nothing to learn


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
def test_thin_is_what_was_asked_for_or_what_the_warm_up_said():
    model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    assert model.fit("gibbs", draws=20, tune=20, chains=2, thin=3).sample.info["thin"] == 3
    assert model.fit("gibbs", draws=20, tune=20, chains=2).sample.info["thin"] == 1
