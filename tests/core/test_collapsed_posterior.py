"""The collapsed posterior against its dense definition, its gradient against differences, its draws against the
conditional normal distribution; the kernels against the elimination.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import core_designs as cd
import numpy as np
import pytest

import multilevel as ml
from multilevel.core.collapsed import CollapsedPosterior
from multilevel.formula.design import Design
from multilevel.priors.base import positive
from multilevel.priors.normal import Normal
from multilevel.priors.record import LinearPrior, Priors
from multilevel.priors.student_t import StudentT
from multilevel.priors.terms import Separate
from multilevel.samplers.importance import draw, importance

CASES = cd.cases()
VARIANTS = ("flat", "normal", "scaled")


def model(design: Design, variant: str) -> Any:
    """A model of a bare design; priors of β: none, a normal one of a combination, one whose scale is a parameter."""
    p = len(design.fixed_columns)
    rng = np.random.default_rng(1)
    half = positive(StudentT(3.0, 0.0, 2.0))
    linear: list[LinearPrior] = []
    extras: tuple[tuple[str, Any], ...] = ()
    if variant != "flat" and p:
        linear = [LinearPrior("a", rng.standard_normal(p), Normal(1.0, 2.0))]
    if variant == "scaled" and p > 1:
        linear.append(LinearPrior("b", np.eye(p)[1], Normal(0.0, 1.5), 0))
        extras = (("tau", half),)
    sds = [1 if dict(g.options).get("hom") else len(g.names) for g in design.groups]
    terms = tuple(Separate(1.5, (half,) * k) for k in sds)
    out = ml.Model.__new__(ml.Model)
    out.__dict__.update(
        design=design, rank="drop", family="gaussian", link="identity", formula=SimpleNamespace(further=()),
        priors=Priors(terms, tuple(linear), {"sigma": half}, extras),
    )  # fmt: skip
    return out


def columns(design: Design) -> np.ndarray:
    x = [np.ones(design.n) if c is None else c for c in design.fixed_columns]
    return np.column_stack(x) if x else np.zeros((design.n, 0))


def response(design: Design) -> np.ndarray:
    return design.response if design.offset is None else design.response - design.offset


def covariance(design: Design, factors: list[np.ndarray], sigma: float) -> np.ndarray:
    v = cd.covariance(design, [f / sigma for f in factors])
    return v if design.known_se is not None else v * sigma**2


def quadratic(design: Design, target: CollapsedPosterior, z: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Precision Q and mean of β given z, and log ∫ p(y | β, z) p(β) dβ, from n × n matrices."""
    at = target.coordinates
    sigma = float(at.sigmas(z[None])[0])
    v = covariance(design, [f[0] for f in at.factors(z[None])], sigma)
    x, y = columns(design), response(design)
    q, b, c = x.T @ np.linalg.solve(v, x), x.T @ np.linalg.solve(v, y), float(y @ np.linalg.solve(v, y))
    constant = float(np.linalg.slogdet(v)[1]) + (design.n - x.shape[1]) * np.log(2.0 * np.pi)
    for item in at.priors.linear:
        s = item.prior.sd * (float(np.exp(z[at.extras.start])) if item.scale >= 0 else 1.0)  # type: ignore[attr-defined]
        m = item.prior.mean  # type: ignore[attr-defined]
        q, b = q + np.outer(item.direction, item.direction) / s**2, b + item.direction * m / s**2
        c, constant = c + m**2 / s**2, constant + float(np.log(2.0 * np.pi * s**2))
    mean = np.linalg.solve(q, b) if len(b) else b
    return q, mean, -0.5 * (constant + float(np.linalg.slogdet(q)[1]) + c - float(b @ mean))


def differences(target: CollapsedPosterior, z: np.ndarray, step: float = 1e-5) -> np.ndarray:
    points = z + step * np.concatenate([np.eye(len(z)), -np.eye(len(z))])
    values = target.log_density(points)
    return (values[: len(z)] - values[len(z) :]) / (2.0 * step)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CASES)
def test_without_coefficients(name: str, variant: str) -> None:
    design = CASES[name]
    target = CollapsedPosterior(model(design, variant))
    z = target.start() + 0.3 * np.random.default_rng(2).standard_normal(target.d)
    value, gradient = target.gradient(z)
    dense = quadratic(design, target, z)[2] + target.coordinates.log_prior(z[None])[0][0]
    assert value == pytest.approx(dense, abs=1e-9)
    assert target.log_density(z[None])[0] == pytest.approx(value, abs=1e-9)
    numeric = differences(target, z)
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.max(np.abs(numeric)))


@pytest.mark.parametrize("variant", ["flat", "scaled"])
@pytest.mark.parametrize("name", CASES)
def test_given_coefficients(name: str, variant: str) -> None:
    design = CASES[name]
    target = CollapsedPosterior(model(design, variant), coefficients=True)
    at = target.coordinates
    z = target.start() + 0.1 * np.random.default_rng(3).standard_normal(target.d)
    value, gradient = target.gradient(z)
    sigma = float(at.natural(z[None]).get("sigma", np.ones(1))[0])
    v = covariance(design, [f[0] for f in at.factors(z[None])], sigma)
    r = response(design) - columns(design) @ at.beta(z[None])[0]
    dense = -0.5 * (float(np.linalg.slogdet(2.0 * np.pi * v)[1]) + float(r @ np.linalg.solve(v, r)))
    of_c = np.delete(at.to_beta, [place for _, _, place in at.constants], axis=1)
    dense += float(at.log_prior(z[None])[0][0]) + float(np.linalg.slogdet(of_c)[1])
    assert value == pytest.approx(dense, abs=1e-9)
    assert target.log_density(z[None])[0] == pytest.approx(value, abs=1e-9)
    numeric = differences(target, z)
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.max(np.abs(numeric)))


ONE_FACTOR = ["one factor, k=1", "one factor, k=3", "two terms on one factor", "known standard errors", "no fixed part"]


@pytest.mark.parametrize("name", ONE_FACTOR)
def test_kernels_and_elimination_agree(name: str) -> None:
    """Values, and draws from the same random numbers, of many points."""
    target = CollapsedPosterior(model(CASES[name], "normal"))
    plain = CollapsedPosterior(model(CASES[name], "normal"))
    plain.engine.one_factor = False  # type: ignore[attr-defined]
    z = target.start() + 0.5 * np.random.default_rng(4).standard_normal((40, target.d))
    np.testing.assert_allclose(target.log_density(z), plain.log_density(z), rtol=1e-11)
    np.testing.assert_allclose(target.gradients(z)[1], plain.gradients(z)[1], rtol=1e-7, atol=1e-8)
    ours, theirs = (t.complete(z, np.random.default_rng(5)) for t in (target, plain))
    np.testing.assert_allclose(ours.beta, theirs.beta, rtol=1e-7, atol=1e-9)
    for a, b in zip(ours.effects, theirs.effects, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ONE_FACTOR)
def test_kernels_and_elimination_agree_given_coefficients(name: str) -> None:
    target = CollapsedPosterior(model(CASES[name], "normal"), coefficients=True)
    plain = CollapsedPosterior(model(CASES[name], "normal"), coefficients=True)
    plain.engine.one_factor = False  # type: ignore[attr-defined]
    z = target.start() + 0.2 * np.random.default_rng(4).standard_normal((20, target.d))
    for ours, theirs in zip(target.gradients(z), plain.gradients(z), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-7, atol=1e-7)
    np.testing.assert_allclose(target.log_density(z), plain.log_density(z), rtol=1e-11)


def test_large_relative_standard_deviations_keep_their_digits() -> None:
    """Where groups explain almost everything the elimination takes over from the kernels."""
    design = CASES["one factor, k=2"]
    for coefficients in (False, True):
        target = CollapsedPosterior(model(design, "flat"), coefficients)
        z = target.start()
        z[:2] += 10.0
        numeric = differences(target, z, 1e-3)
        np.testing.assert_allclose(target.gradient(z)[1], numeric, rtol=1e-3, atol=5e-3)


def joint(design: Design, target: CollapsedPosterior, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of (β, all b) given z by conditioning the joint normal of (β, b, y)."""
    at = target.coordinates
    sigma = float(at.sigmas(z[None])[0])
    v = covariance(design, [f[0] for f in at.factors(z[None])], sigma)
    x, y = columns(design), response(design)
    prior, z_columns = [], []
    for group, factor in zip(design.groups, at.factors(z[None]), strict=True):
        own = np.column_stack([np.ones(design.n) if c is None else c for c in group.columns])
        for level in range(len(group.levels)):
            z_columns.append(own * (group.codes == level)[:, None])
            prior.append(factor[0] @ factor[0].T)
    zz = np.column_stack(z_columns)
    d = np.zeros((zz.shape[1], zz.shape[1]))
    first = 0
    for block in prior:
        d[first : first + len(block), first : first + len(block)] = block
        first += len(block)
    noise = v - zz @ d @ zz.T
    a = np.column_stack([x, zz])
    precision = a.T @ np.linalg.solve(noise, a)
    precision[len(x.T) :, len(x.T) :] += np.linalg.inv(d)
    right = a.T @ np.linalg.solve(noise, y)
    for item in at.priors.linear:
        s, m = item.prior.sd, item.prior.mean  # type: ignore[attr-defined]
        precision[: len(x.T), : len(x.T)] += np.outer(item.direction, item.direction) / s**2
        right[: len(x.T)] += item.direction * m / s**2
    covariance_ = np.linalg.inv(precision)
    return covariance_ @ right, covariance_


@pytest.mark.parametrize("coefficients", [False, True])
@pytest.mark.parametrize("name", ["one factor, k=2", "two terms on one factor", "crossed with slopes", "weights"])
def test_completed_draws_have_the_conditional_distribution(name: str, coefficients: bool) -> None:
    design, n = CASES[name], 1500
    target = CollapsedPosterior(model(design, "normal"))
    z = target.start()
    mean, spread = joint(design, target, z)
    p = len(design.fixed_columns)
    if coefficients:  # β held at one draw
        whole = CollapsedPosterior(model(design, "normal"), coefficients=True)
        z = whole.start()
        at = whole.coordinates
        z[: at.coefficients.start] = target.start()[: at.coefficients.start]
        z[at.coefficients.start + dict((n, k) for n, _, k in at.constants)["sigma"]] = target.start()[-1]
        beta = at.beta(z[None])[0]
        gain = spread[p:, :p] @ np.linalg.inv(spread[:p, :p])
        mean, spread = mean[p:] + gain @ (beta - mean[:p]), spread[p:, p:] - gain @ spread[:p, p:]
        target = whole
    done = target.complete(np.tile(z, (n, 1)), np.random.default_rng(6))
    effects = [e.reshape(n, -1) for e in done.effects]
    draws = np.column_stack(effects if coefficients else [done.beta, *effects])
    sd = np.sqrt(np.diag(spread))
    assert np.max(np.abs(draws.mean(axis=0) - mean) / sd) < 4.5 / np.sqrt(n)
    assert np.max(np.abs(draws.std(axis=0) / sd - 1.0)) < 4.5 / np.sqrt(2 * n)
    correlation, theirs = np.corrcoef(draws, rowvar=False), spread / np.outer(sd, sd)
    assert np.max(np.abs(correlation - theirs)) < 5.5 / np.sqrt(n)
    assert not np.any(done.log_weights)


@pytest.mark.parametrize("prior", [StudentT(3.0, 0.0, 0.2), StudentT(4.0, 2.0, 30.0)])
def test_other_priors_by_weights_or_by_coordinates(prior: StudentT) -> None:
    """A Student-t prior of a slope, tight or wide: both forms find the same evidence and the same slope."""
    design = CASES["one factor, k=1"]
    given = model(design, "flat")
    half = positive(StudentT(3.0, 0.0, 2.0))
    linear = (LinearPrior("x", np.array([0.0, 1.0]), prior), LinearPrior("1", np.array([1.0, 0.0]), Normal(0.0, 5.0)))
    given.__dict__["priors"] = Priors((Separate(1.0, (half,)),), linear, {"sigma": half})
    weighted = draw(CollapsedPosterior(given), 4000, seed=1)
    exact = importance(CollapsedPosterior(given, coefficients=True), 8000, seed=2)
    assert weighted.khat < 0.7
    assert exact.khat < 0.7
    assert weighted.log_evidence == pytest.approx(exact.log_evidence, abs=0.05)
    w = np.exp(exact.log_weights)
    slope = CollapsedPosterior(given, coefficients=True).coordinates.beta(exact.z)[:, 1]
    mean = float(w @ slope)
    sd = float(np.sqrt(w @ (slope - mean) ** 2))
    assert abs(weighted.completed.beta[:, 1].mean() - mean) < 5.0 * sd / np.sqrt(weighted.ess)
    assert weighted.completed.beta[:, 1].std() == pytest.approx(sd, rel=0.08)


def test_far_away_points_have_no_density_and_say_nothing() -> None:
    """Overflow is a value, not a warning."""
    for coefficients in (False, True):
        target = CollapsedPosterior(model(CASES["one factor, k=2"], "normal"), coefficients)
        z = target.start()
        for size in (-800.0, 800.0):
            far = z.copy()
            far[0] += size
            value, gradient = target.gradient(far)
            assert np.all(np.isfinite(gradient))
            assert value < target.log_density(z[None])[0]
            assert target.log_density(far[None])[0] <= value or not np.isfinite(value)


def test_dropped_columns_are_missing_values() -> None:
    rng = np.random.default_rng(7)
    x, g = rng.standard_normal(60), np.arange(60) % 6
    data = {"x": x, "x2": 2.0 * x, "g": g.astype(str), "y": x + rng.standard_normal(6)[g] + rng.standard_normal(60)}
    dependent = ml.Model("y ~ x + x2 + (1 | g)", data, priors="brms")
    for coefficients in (False, True):
        target = CollapsedPosterior(dependent, coefficients)
        without = CollapsedPosterior(ml.Model("y ~ x + (1 | g)", data, priors="brms"), coefficients)
        done = target.complete(np.tile(target.start(), (5, 1)), np.random.default_rng(8))
        assert np.all(np.isnan(done.beta[:, 2]))
        assert np.all(np.isfinite(done.beta[:, :2]))
        assert np.all(np.isfinite(done.log_weights))
        np.testing.assert_allclose(target.gradient(target.start())[1], 0.0, atol=3.0)
        assert target.d == without.d


@pytest.mark.parametrize("coefficients", [False, True])
def test_frequency_weights_are_repeated_rows(coefficients: bool) -> None:
    rng = np.random.default_rng(9)
    g, x, times = np.arange(30) % 6, rng.standard_normal(30), rng.integers(1, 4, 30)
    y = x + rng.standard_normal(6)[g] + rng.standard_normal(30)
    data = {"y": y, "x": x, "g": g.astype(str), "w": times}
    priors = {"Intercept": "normal(0, 5)", "beta": "normal(0, 1)", "sd": "exponential(1)", "sigma": "exponential(1)"}
    weighted = ml.Model("y | weights(w) ~ x + (1 | g)", data, priors=priors)
    repeated = {name: np.repeat(column, times) for name, column in data.items()}
    plain = ml.Model("y ~ x + (1 | g)", repeated, priors=weighted.priors)
    ours, theirs = (CollapsedPosterior(m, coefficients) for m in (weighted, plain))
    z = theirs.start() + 0.1 * rng.standard_normal((5, theirs.d))
    if coefficients:  # internal coefficients differ: the rows have other means
        at = theirs.coordinates
        moved = z.copy()
        beta, inner = at.beta(z), [j for j in range(at.to_beta.shape[1]) if j not in [p for _, _, p in at.constants]]
        own = ours.coordinates.to_beta[:, inner]
        moved[:, at.coefficients.start + np.array(inner)] = np.linalg.solve(own, beta.T).T
        shift = np.linalg.slogdet(own)[1] - np.linalg.slogdet(at.to_beta[:, inner])[1]
        np.testing.assert_allclose(ours.log_density(moved), theirs.log_density(z) + shift, rtol=1e-10)
    else:
        np.testing.assert_allclose(ours.log_density(z), theirs.log_density(z), rtol=1e-10)
