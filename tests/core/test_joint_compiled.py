"""The compiled joint posterior against the one of arrays: density, gradient, places; priors against their kernels."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from test_joint import EVERY, data_of, points_of, posterior_of

from multilevel.core.collapsed import CollapsedPosterior
from multilevel.core.compiled import _density
from multilevel.core.correlations import Correlated
from multilevel.core.joint import JointPosterior
from multilevel.errors import IdentifiabilityWarning
from multilevel.model.model import Model
from multilevel.numerics import densities
from multilevel.priors.parse import parse_prior

MORE = {
    "three factors": ("o2 ~ x + (1 | g) + (x | h) + (1 | k)", "bernoulli", "brms"),
    "many beside": ("c ~ x + (1 | g) + (1 | many)", "poisson", "brms"),
    "three slopes": ("y ~ x + (1 + x + w | g)", "student", {"set": "brms", "cor": "lkj(2)"}),
    "linear": ("y ~ x + (1 + x | g)", "gaussian", {"set": "default"}),
    "horseshoe": ("c ~ x + w + (1 | g)", "poisson", {"set": "brms", "beta": "horseshoe(1)"}),
    "slopes with a prior": ("c ~ x + w + (1 | g)", "poisson", {"set": "brms", "beta": "student_t(4, 0, 2)"}),
    "flat": ("c ~ x + (1 | g)", "poisson", "flat"),
    "inverse gamma": ("c ~ x + (1 | g); shape ~ 1", "negative_binomial", {"set": "brms", "sd": "inv_gamma(2, 1)"}),
}
PRIORS = [
    "flat()", "normal(1, 2)", "student_t(3, 1, 2.5)", "cauchy(0.5, 2)", "exponential(1.5)", "gamma(2, 0.1)",
    "inv_gamma(0.4, 0.3)", "lognormal(0.2, 0.7)", "logistic(0.3, 2)", "laplace(-0.2, 1.1)", "uniform(0.1, 3)",
    "beta(2, 3)", "beta(1, 1)", "sqrt_inv_gamma(2, 1)", "pc(1, 0.05)", "half_normal(2)", "half_student_t(3, 0, 2.5)",
    "half_cauchy(1)",
]  # fmt: skip


def more(case):
    data = data_of()
    rng = np.random.default_rng(1)
    n = len(data["x"])
    data |= {"k": rng.integers(0, 5, n).astype(str), "many": np.arange(n).astype(str)}
    formula, family, priors = MORE[case]
    return JointPosterior(Model(formula, data, family=family, priors=priors))


def same(target):
    """Whether compiled and plain posterior agree to ten digits."""
    x = points_of(target, 4)
    x[3] *= 3.0
    with np.errstate(all="ignore"):
        values, slopes = target.gradients(x)
    for row, value, slope in zip(x, values, slopes, strict=True):
        found = target.compiled.gradient(row)
        assert found[0] == pytest.approx(value, rel=1e-11)
        assert found[1] == pytest.approx(slope, rel=1e-10, abs=1e-10 * max(1.0, np.abs(slope).max()))
    z, _, _, u, *_ = target._placed(x)
    for one, other in zip(target.compiled.left(x, ("z", "u")), (z, u), strict=True):
        assert one == pytest.approx(other, rel=1e-11, abs=1e-11)


PLAIN = (
    "negative_binomial_1",
    "beta_binomial",
    "hurdle_negative_binomial",
    "categorical",
)  # as docs/limitations.md says


@pytest.mark.parametrize("case", EVERY)
def test_every_family_and_grouping(case):
    target = posterior_of(case)
    assert (target.compiled is None) == (case in PLAIN)
    if target.compiled is not None:
        same(target)


@pytest.mark.parametrize("case", MORE)
def test_priors_and_factors(case):
    target = more(case)
    assert (target.compiled is None) == (case == "horseshoe")
    if target.compiled is not None:
        same(target)


LINEAR = {
    "slopes": ("y ~ x + (1 + x | g)", "brms"),
    "independent": ("y ~ x + w + (1 + x || g)", "default"),
    "two terms": ("y ~ x + (1 | g) + (0 + w | g)", {"set": "brms", "beta": "normal(0, 2)"}),
    "no groups": ("y ~ x + w", "brms"),
    "no coefficients": ("y ~ 0 + (1 | g)", "brms"),
    "known errors": ("y | se(s) ~ x + (1 | g)", {"set": "brms", "Intercept": "normal(0, 3)"}),
    "shared scale": ("y ~ x + w + (1 | g)", {"set": "brms", "beta": "horseshoe(1)"}),
}


@pytest.mark.parametrize("coefficients", [False, True])
@pytest.mark.parametrize("case", LINEAR)
def test_linear_models(case, coefficients):
    data = data_of()
    data["s"] = np.full(len(data["x"]), 0.7)
    formula, priors = LINEAR[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentifiabilityWarning)  # intercepts around zero are one of the cases
        target = CollapsedPosterior(Model(formula, data, priors=priors), coefficients)
    assert (target.compiled is None) == (case == "shared scale" and coefficients)
    z = target.start() + 0.5 * np.random.default_rng(3).standard_normal((4, target.d))
    values, slopes = target.gradients(z)
    for row, value, slope in zip(z if target.compiled is not None else (), values, slopes, strict=False):
        found = target.compiled.gradient(row)
        assert found[0] == pytest.approx(value, rel=1e-11)
        assert found[1] == pytest.approx(slope, rel=1e-9, abs=1e-9 * max(1.0, np.abs(slope).max()))


def test_crossed_linear_models_are_not_compiled():
    assert CollapsedPosterior(Model("y ~ x + (1 | g) + (1 | h)", data_of(), priors="brms")).compiled is None


def test_where_the_density_fails_there_is_no_slope():
    target = posterior_of("slopes")
    with np.errstate(all="ignore"):
        value, slope = target.compiled.gradient(np.full(target.d, 1e6))
    assert value == -np.inf
    assert not slope.any()


@pytest.mark.parametrize("text", PRIORS)
def test_densities_of_priors(text):
    prior = parse_prior(text)
    code, parameters, constant = _density(prior)
    for x in (0.15, 0.5, 0.93):
        value, slope = densities.density(code, *parameters[:3], x)
        assert value + constant == pytest.approx(float(prior.log_density(np.array([x]))[0]), rel=1e-12)
        assert slope == pytest.approx(float(prior.slope(np.array([x]))[0]), rel=1e-12)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_vines(k):
    block, rng = Correlated(k), np.random.default_rng(k)
    x, by_L = rng.standard_normal(block.d), np.tril(rng.standard_normal((k, k)))
    L, out, powers = np.empty((k, k)), np.zeros(block.d), block._powers(1.7)
    densities.vine(x, k, L)
    densities.vine_back(x, k, L, by_L, out)
    np.testing.assert_allclose(L, block.factor(x[None])[0], rtol=1e-13)
    assert out == pytest.approx(block.pull(x[None], L[None], by_L[None])[0], rel=1e-12, abs=1e-14)
    slope = np.zeros(len(powers))
    value, slopes = block.correlation_prior(x[None], 1.7)
    constant = block.correlation_prior(np.zeros((1, block.d)), 1.7)[0][0]
    assert densities.lkj(x[k:], powers, slope) + constant == pytest.approx(value[0], rel=1e-13)
    assert slope == pytest.approx(slopes[0, k:], rel=1e-13)
