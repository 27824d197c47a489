"""The joint posterior in whitened coordinates: density and gradient of every family and every kind of grouping.

The density is compared with one written from the columns of the design, in the units of the data, and the Jacobian of
the map found by differences.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from test_laplace_families import CASES, table

from multilevel import datasets
from multilevel.core.joint import JointPosterior
from multilevel.core.joint_rows import FirstOrder
from multilevel.errors import IdentifiabilityWarning
from multilevel.links import forward
from multilevel.model.model import Model

STEP = 1e-5
MORE = {  # kinds of grouping
    "nested": ("c ~ x + (1 | h/g)", "poisson"),
    "crossed": ("o2 ~ x + (1 | g) + (x | h)", "bernoulli"),
    "slopes": ("c ~ x + (1 + x + w | g)", "poisson"),
    "independent slopes": ("c ~ x + (1 + x || g)", "poisson"),
    "no groups": ("c ~ x + w", "poisson"),
    "normal": ("y ~ x + (1 + x | g)", "gaussian"),
    "trials": ("k | trials(n) ~ x + (1 | g)", "binomial"),
    "no coefficients": ("c ~ 0 + (1 | g)", "poisson"),
}


def data_of(small=True):
    data = table(n=90 if small else 240)
    rng = np.random.default_rng(9)
    return {**data, "w": rng.normal(0.0, 1.0, len(data["x"])), "o2": (data["o"] > 2.0).astype(float)}


def posterior_of(case):
    data = data_of()
    if case in CASES:
        formula, family = CASES[case], case
        if family == "categorical":
            data["o"] = np.array(["a", "b", "c", "d"])[data["o"].astype(int) - 1]
    else:
        formula, family = MORE[case]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IdentifiabilityWarning)  # intercepts around zero are one of the cases
        model = Model(formula, data, family=family, priors="brms")
    return JointPosterior(model)


def points_of(target, n=2):
    return 0.7 * np.random.default_rng(4).standard_normal((n, target.d))


EVERY = [*CASES, *MORE]


@pytest.mark.parametrize("case", EVERY)
def test_the_gradient_is_that_of_the_density(case):
    target = posterior_of(case)
    x = points_of(target)
    _, slopes = target.gradients(x)
    rng = np.random.default_rng(0)
    for _ in range(4):
        way = rng.standard_normal(target.d)
        rise = (target.log_density(x + STEP * way) - target.log_density(x - STEP * way)) / (2.0 * STEP)
        assert slopes @ way == pytest.approx(rise, rel=2e-6, abs=2e-5)
    assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("case", EVERY)
def test_the_density_is_that_of_the_definition(case):
    target = posterior_of(case)
    x = points_of(target)
    assert np.diff(target.log_density(x))[0] == pytest.approx(np.diff([_plain(target, row) for row in x])[0], abs=1e-5)


def _plain(target, x):
    """log p(y | η) + log p(z) − ½u'u + log |∂(z, u)/∂x|, η from the design's columns and the draws' effects."""
    model = target.model
    design, rows = model.design, model.rows
    draw, z = target.complete(x[None]), target.points(x[None])
    eta = np.zeros((design.n, rows.m))
    owner = design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), int)
    for j, column in enumerate(design.fixed_columns):
        eta[:, owner[j]] += draw.beta[0, j] * (1.0 if column is None else column)
    for group, effects in zip(design.groups, draw.effects, strict=True):
        for column, b in zip(group.columns, effects[0].T, strict=True):
            eta[:, group.predictor] += b[group.codes] * (1.0 if column is None else column)
    values = {**draw.constants, **({} if draw.sigma is None else {"sigma": draw.sigma})}
    for name, predictor, _ in rows.constants:
        eta[:, predictor] += forward(model.distribution.links[predictor], values[name])[0]
    likelihood = model.distribution.log_density(model.observations, eta).sum()
    u = _noise(target, x)
    jacobian = np.empty((target.d, target.d))
    for j in range(target.d):
        step = np.zeros(target.d)
        step[j] = STEP
        jacobian[:, j] = (_place(target, x + step) - _place(target, x - step)) / (2.0 * STEP)
    prior = target.coordinates.log_prior(z)[0][0]
    return likelihood + prior - 0.5 * u @ u + np.linalg.slogdet(jacobian)[1]


def _place(target, x):
    """(z, u) of a point."""
    return np.concatenate([target.points(x[None])[0], _noise(target, x)])


def _noise(target, x):
    """u of a point: standard normal effects, from those in the units of the data."""
    z = target.points(x[None])
    roots = target.coordinates.factors(z)
    draw = target.complete(x[None])
    parts = []
    for root, effects in zip(roots, draw.effects, strict=True):
        parts.append(np.linalg.solve(root[0], effects[0].T).T.ravel())
    return np.concatenate(parts) if parts else np.zeros(0)


def test_normal_rows_are_white_noise_given_their_variances():
    """The quadratic is exact there: at the σ of the mode and with flat priors, ξ is N(0, I) whatever the sds are."""
    target = JointPosterior(Model("y ~ x + (1 + x | g)", data_of(), priors="flat"))
    outer, rng = target.anchor.outer, np.random.default_rng(3)
    sigma = [target.coordinates.coefficients.start + place for _, _, place in target.coordinates.constants]
    shift = np.where(np.isin(outer, sigma), 0.0, rng.standard_normal(len(outer)))
    x = rng.standard_normal((5, target.d))
    x[:, outer] = np.linalg.solve(target.anchor.root, shift)
    x[0, np.setdiff1d(np.arange(target.d), outer)] = 0.0
    noise = np.delete(x, outer, axis=1)
    rise = target.log_density(x)
    assert rise - rise[0] == pytest.approx(-0.5 * (noise**2).sum(axis=1), abs=1e-6)


def test_several_points_are_the_same_as_each_alone():
    target = posterior_of("negative_binomial")
    x = points_of(target, 3)
    values, slopes = target.gradients(x)
    for row, value, slope in zip(x, values, slopes, strict=True):
        alone = target.gradient(row)
        assert alone[0] == pytest.approx(value, rel=1e-12)
        assert alone[1] == pytest.approx(slope, rel=1e-9, abs=1e-9)


def test_far_away_is_a_value_not_an_error():
    target = posterior_of("student")
    with np.errstate(all="ignore"):
        values, slopes = target.gradients(np.full((2, target.d), 4000.0) * [[1.0], [-1.0]])
    assert np.all(values == -np.inf)
    assert np.all(slopes == 0.0)


@pytest.mark.parametrize("case", ["student", "negative_binomial", "cumulative", "zero_inflated_poisson", "gaussian"])
@pytest.mark.parametrize("spread", [0.3, 2.0])
def test_compiled_scores_are_those_of_the_family(case, spread):
    data = data_of(small=False)
    data["c"][:3] = [45.0, 300.0, 2000.0]  # beyond the short products of gamma functions
    model = Model(CASES[case], data, family=case)
    rows = model.rows
    terms = FirstOrder(model.distribution, rows.observations, rows.start)
    assert terms.code >= 0
    eta = rows.start + spread * np.random.default_rng(1).standard_normal(rows.start.shape)
    if case == "cumulative":
        eta[:, 1:] = np.sort(eta[:, 1:], axis=1)
    value, first = terms.evaluate(np.ascontiguousarray(eta))
    plain = model.distribution.derivatives(rows.observations, eta, 1)
    assert value == pytest.approx(plain.value, rel=1e-11, abs=1e-11)
    assert first == pytest.approx(plain.first, rel=1e-10, abs=1e-10)


def test_the_map_makes_noise_of_the_posterior():
    """What it is for: draws of x are near to N(0, I), effects of groups with much and with little information alike."""
    from multilevel.samplers.nuts import sample

    model = Model("score ~ 1 + (1 | school)", datasets.load("schools"), priors="brms")
    target = JointPosterior(model)
    chains = sample(target, draws=300, tune=300, chains=2, seed=1, starts=np.zeros((2, target.d)), cores=1)
    assert chains.stats["divergent"].sum() == 0
    effects = chains.flat[:, target.coordinates.d :]
    assert np.abs(effects.mean(axis=0)).max() < 0.35
    assert 0.75 < effects.std(axis=0).min() < effects.std(axis=0).max() < 1.3
