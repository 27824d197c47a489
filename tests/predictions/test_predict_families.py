"""Predictions of every family: targets and kinds against closed forms, quadrature and simulation."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

import multilevel as ml
from multilevel.errors import SettingError, UnseenLevelError, WeightsError
from multilevel.links import inverse

sys.path.insert(0, str(Path(__file__).parent))
from family_cases import CASES, fitted, rows, some

each = pytest.mark.parametrize("case", CASES)
TARGETS = ("conditional", "new_group", "reference", "marginal")


def numbers(table, name: str = "estimate") -> np.ndarray:
    return np.asarray(table[name], dtype=float)


def sds(fit, x: np.ndarray) -> np.ndarray:
    """Standard deviation of z'b of the location, intercept and slope of x."""
    z = np.column_stack([np.ones_like(x), x])[:, : fit.estimates.covariances[0].shape[0]]
    return np.sqrt(np.einsum("nk,kj,nj->n", z, fit.estimates.covariances[0], z))


# --- rows ----------------------------------------------------------------------------------------------------------
@each
def test_fitted_values_are_predictions_of_the_training_rows(case):
    fit = fitted(case)
    predicted = fit.predict(rows(), interval=None)
    found = np.column_stack([np.asarray(predicted[name]) for name in predicted])
    assert np.array_equal(found, fit.fitted_values.reshape(len(found), -1))


@each
def test_a_row_is_predicted_alike_in_any_table(case):
    fit, index = fitted(case), np.array([7, 3, 89, 41, 3])
    for target in TARGETS:
        for kind in ("mean", "linear", "response"):
            whole = fit.predict(some(slice(0, 90)), target=target, kind=kind, interval=0.8)
            part = fit.predict(some(index), target=target, kind=kind, interval=0.8)
            assert list(whole) == list(part)
            for name in whole:
                before, after = whole[name].to_numpy()[index], part[name].to_numpy()
                if name.startswith("estimate"):
                    assert np.array_equal(before, after), (target, kind, name)
                elif before.dtype == float:
                    np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-10)
                else:
                    assert before.tolist() == after.tolist()


@each
def test_intervals_hold_their_estimates_and_grow_with_coverage(case):
    fit, new = fitted(case), some(slice(0, 40))
    for target in TARGETS:
        narrow, wide = (fit.predict(new, target=target, interval=level) for level in (0.5, 0.95))
        for name in narrow:
            if name.startswith("estimate"):
                tail = name.removeprefix("estimate")
                low, high = (numbers(wide, f"{end}{tail}") for end in ("lower", "upper"))
                assert np.all(low <= high + 1e-12)
                if target != "new_group":  # the mean of a skew distribution lies where it will
                    assert np.all((low <= numbers(wide, name) + 1e-9) & (numbers(wide, name) <= high + 1e-9))
                assert np.all(low <= numbers(narrow, f"lower{tail}") + 1e-9)
                assert np.all(high >= numbers(narrow, f"upper{tail}") - 1e-9)
                assert np.all(numbers(narrow, f"std_error{tail}") >= 0.0)


@each
def test_new_observations_lie_within_their_intervals(case):
    """Quantiles of the predictive distribution, against responses simulated from the fit."""
    fit = fitted(case)
    if fit.model.family in ("cumulative", "categorical"):
        return
    interval = fit.predict(target="new_group", kind="response", interval=0.9, parameters=False)
    y = fit.simulate(400, seed=1)
    inside = np.mean((y >= numbers(interval, "lower")) & (y <= numbers(interval, "upper")))
    at_least = 0.885 if not fit.model.distribution.family.discrete else 0.895
    assert at_least <= inside, inside
    if not fit.model.distribution.family.discrete:
        assert inside <= 0.935
    mean, sd = y.mean(axis=0), y.std(axis=0)
    assert np.median(numbers(interval) / mean) == pytest.approx(1.0, abs=0.05)
    if case != "inverse_gaussian":  # the tail that its variance rests on is rarely drawn
        assert np.median(numbers(interval, "std_error") / sd) == pytest.approx(1.0, abs=0.12)


def test_missing_predictors_give_missing_predictions():
    fit = fitted("poisson")
    new = {"x": np.array([np.nan, 0.3]), "g": np.array(["g01", "g02"])}
    for target in TARGETS:
        for kind in ("mean", "linear", "response"):
            table = fit.predict(new, target=target, kind=kind)
            assert table.iloc[0].isna().all()
            assert table.iloc[1].notna().all()


# --- one group -----------------------------------------------------------------------------------------------------
ONE_PREDICTOR = ["poisson", "binomial", "binomial pair", "bernoulli", "gamma", "beta", "agq", "no groups"]


@pytest.mark.parametrize("case", ONE_PREDICTOR)
def test_intervals_of_a_mean_are_those_of_its_linear_predictor(case):
    fit, new = fitted(case), some(slice(0, 25))
    linear, mean = (fit.predict(new, kind=kind, interval=0.9) for kind in ("linear", "mean"))
    for name in ("estimate", "lower", "upper"):
        np.testing.assert_allclose(numbers(mean, name), inverse(fit.model.link, numbers(linear, name)), rtol=1e-12)
    slope = (inverse(fit.model.link, numbers(linear) + 1e-5) - inverse(fit.model.link, numbers(linear) - 1e-5)) / 2e-5
    np.testing.assert_allclose(numbers(mean, "std_error"), np.abs(slope) * numbers(linear, "std_error"), rtol=1e-5)


@pytest.mark.parametrize("case", ["poisson", "poisson crossed", "negative_binomial", "poisson rate"])
def test_standard_errors_of_linear_predictors_are_the_certainty_s(case):
    """Against `Certainty.spread`, which takes another way."""
    from multilevel.fit.estimates import Combination
    from multilevel.predictions.targets import matrix

    fit = fitted(case)
    design = fit.model.design
    x = np.where(design.fixed_predictor == 0, matrix(design.fixed_columns, design.n), 0.0)
    z = tuple(matrix(g.columns, design.n) for g in design.groups)
    for parameters in (True, False):
        spread = fit.estimates.certainty.spread(Combination(x, tuple(g.codes for g in design.groups), z), parameters)
        found = numbers(fit.predict(kind="linear", parameters=parameters), "std_error")
        np.testing.assert_allclose(found, np.sqrt(spread.variance), rtol=1e-7)


@pytest.mark.parametrize("case", ["zero_inflated_poisson", "hurdle_poisson", "lognormal", "cumulative", "categorical"])
def test_the_delta_method_agrees_with_draws(case):
    """Means that hang on several predictors or on constants: reference groups, drawn parameters."""
    fit, new = fitted(case), some(slice(0, 12))
    table = fit.predict(new, target="reference")
    drawn = fit.estimates.certainty.draw(4000, np.random.default_rng(1))
    layout, design = fit.model.design.layout, fit.model.design
    x = np.column_stack([np.ones(12) if c is None else c[:12] for c in design.fixed_columns])
    eta = np.zeros((4000, 12, len(fit.model.distribution.links)))
    for j, d in enumerate(design.fixed_predictor):
        eta[:, :, d] += drawn["beta"][:, j, None] * x[:, j]
    for name, values in drawn["constants"].items():
        eta[:, :, layout.names.index(name)] = np.log(values)[:, None]
    obs = fit.model.observations.take(np.arange(12))
    means = np.stack([fit.model.distribution.mean(obs, part) for part in eta]).reshape(4000, 12, -1)
    found = np.column_stack([table[name] for name in table if name.startswith("std_error")])
    np.testing.assert_allclose(found, means.std(axis=0), rtol=0.08)
    low = np.column_stack([table[name] for name in table if name.startswith("lower")])
    centre = means.mean(axis=0)
    np.testing.assert_allclose(np.quantile(means, 0.025, axis=0) / centre, low / centre, atol=0.05)


# --- other groups --------------------------------------------------------------------------------------------------
def test_marginal_means_with_a_closed_form():
    new = some(slice(0, 25))
    for case, mean in (
        ("poisson", lambda eta, s: np.exp(eta + s**2 / 2.0)),
        ("negative_binomial", lambda eta, s: np.exp(eta + s**2 / 2.0)),
        ("binomial pair", lambda eta, s: stats.norm.cdf(eta / np.sqrt(1.0 + s**2))),
        ("poisson sqrt", lambda eta, s: eta**2 + s**2),
        ("student", lambda eta, s: eta),
    ):
        fit = fitted(case)
        eta = numbers(fit.predict(new, target="reference", kind="linear"))
        expected = mean(eta, sds(fit, new["x"]))
        for target in ("marginal", "new_group"):
            np.testing.assert_allclose(numbers(fit.predict(new, target=target)), expected, rtol=1e-9)
        assert np.array_equal(numbers(fit.predict(new, target="marginal", kind="linear")), eta)


@pytest.mark.parametrize("sd", [0.01, 0.7, 3.0, 10.0])
@pytest.mark.parametrize("link", ["logit", "cloglog", "cauchit", "log", "probit"])
def test_averages_at_any_spread(link, sd):
    from multilevel.predictions.integrals import average

    for eta in (-4.0, 0.3, 5.0):
        found = average(
            lambda e, _: inverse(link, e[:, 0]), np.array([[eta]]), np.array([[[sd]]]), grows=link == "log"
        )[0]
        expected = np.exp(eta + sd**2 / 2.0) if link == "log" else _integral(link, eta, sd)
        assert found == pytest.approx(expected, rel=1e-7, abs=1e-10)


def _integral(link: str, eta: float, sd: float) -> float:
    def inside(v: float) -> float:
        return float(inverse(link, np.array([v]))[0] * stats.norm.pdf(v, eta, sd))

    points = sorted({eta - 3 * sd, eta, 0.0, eta + 3 * sd})
    return float(integrate.quad(inside, eta - 10 * sd, eta + 10 * sd, points=points, limit=400, epsabs=1e-13)[0])


def test_averages_over_two_predictors_and_more():
    """Products of one-dimensional averages, over two and over four independent predictors."""
    from multilevel.predictions.integrals import average, root

    def f(eta, _):
        return np.prod(inverse("logit", eta), axis=1)

    def one(eta, sd):
        return average(lambda e, _: inverse("logit", e[:, 0]), np.array([[eta]]), np.array([[[sd]]]))[0]

    cases = (((0.3, -1.0), (0.8, 3.0), 1e-8), ((0.3, -1.0, 0.0, 1.0), (0.5, 1.0, 0.3, 0.7), 2e-3))
    for etas, spread, tolerance in cases:
        covariance = np.diag(np.square(spread))[None]
        found = average(f, np.array([etas]), root(covariance))[0]
        assert found == pytest.approx(np.prod([one(e, s) for e, s in zip(etas, spread, strict=True)]), rel=tolerance)


def test_a_mean_that_does_not_exist_is_missing():
    """1/η of a normal η that reaches zero has no mean."""
    from multilevel.families.base import Distribution, Observations
    from multilevel.predictions.means import Mean
    from multilevel.registry import member

    mean = Mean(Distribution(member("families", "gamma"), ("inverse", "log")), Observations(np.zeros(2)))
    eta = np.array([[1.0, 0.0], [50.0, 0.0]])
    found = mean.averaged(mean.at, eta, np.tile(np.diag([1.0, 0.0]), (2, 1, 1)))
    assert np.isnan(found[0, 0])
    assert found[1, 0] == pytest.approx(1.0 / 50.0, rel=1e-3)


def test_marginal_intervals_carry_the_uncertainty_of_the_spread():
    """Against draws of all parameters: the average over groups moves with Σ̂."""
    fit = fitted("poisson")
    table = fit.predict({"x": [0.5], "g": ["?"]}, target="marginal")
    drawn = fit.estimates.certainty.draw(4000, np.random.default_rng(2))
    average = np.exp(drawn["beta"] @ [1.0, 0.5] + drawn["covariances"][0][:, 0, 0] / 2.0)
    assert float(table["std_error"].iloc[0]) == pytest.approx(average.std(), rel=0.1)
    assert float(table["lower"].iloc[0]) == pytest.approx(np.quantile(average, 0.025), rel=0.05)
    assert float(table["upper"].iloc[0]) == pytest.approx(np.quantile(average, 0.975), rel=0.05)


def test_targets_by_group():
    """A new h in a known g: the effect of g is kept, that of h integrated."""
    fit = fitted("poisson rate")
    new = some(slice(0, 30))
    mixed = numbers(fit.predict(new, target={"g": "new_group"}))
    assert np.array_equal(mixed, numbers(fit.predict(new, target="new_group")))
    kinds = {**rows(), "f": np.array([f"q{i % 8}" for i in range(480)])}
    extra = np.random.default_rng(4).poisson(np.linspace(0.0, 3.0, 8)[np.arange(480) % 8])
    kinds["count"] = kinds["count"] + extra
    two = ml.fit("count ~ x + (1 | g) + (1 | f)", kinds, family="poisson")
    table = {**some(slice(0, 30)), "f": np.array(["new"] * 30)}
    known = {**table, "f": np.array(["q1"] * 30)}
    effects = dict(zip(two.model.design.groups[1].levels, two.estimates.effects[1][:, 0], strict=True))
    eta = numbers(two.predict(known, kind="linear", interval=None)) - effects["q1"]
    variance = two.estimates.covariances[1][0, 0]
    found = two.predict(table, target={"g": "conditional", "f": "marginal"})
    np.testing.assert_allclose(numbers(found), np.exp(eta + variance / 2.0), rtol=1e-9)
    one, other = (two.predict(table, target={"f": t}) for t in ("marginal", "new_group"))
    assert np.all(numbers(one, "std_error") <= numbers(other, "std_error") + 1e-12)
    both = two.predict(table, target={"g": "marginal", "f": "new_group"})
    whole = two.predict(table, target="marginal")
    np.testing.assert_allclose(numbers(both), numbers(whole), rtol=1e-9)


def test_a_new_group_has_t_quantiles():
    """Few groups: longer than the normal interval around the estimate with the spread between groups."""
    fit = fitted("poisson")
    table = fit.predict({"x": [0.0], "g": ["?"]}, target="new_group", kind="linear")
    normal = fit.predict({"x": [0.0], "g": ["?"]}, target="new_group", kind="linear", parameters=False)
    half = float(table["upper"].iloc[0] - table["estimate"].iloc[0])
    z = half / float(table["std_error"].iloc[0])
    assert stats.t.ppf(0.975, 60) < z < stats.t.ppf(0.975, 5)
    plain = float(normal["upper"].iloc[0] - normal["estimate"].iloc[0]) / float(normal["std_error"].iloc[0])
    assert plain == pytest.approx(stats.norm.ppf(0.975))


# --- categories ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("case", ["cumulative", "categorical"])
def test_probabilities_of_categories(case):
    fit, new = fitted(case), some(slice(0, 20))
    levels = fit.model.observations.levels
    for target in TARGETS:
        table = fit.predict(new, target=target)
        names = [f"{part}[{level}]" for part in ("estimate", "std_error", "lower", "upper") for level in levels]
        assert list(table) == names
        p = np.column_stack([table[f"estimate[{level}]"] for level in levels])
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-9)
        ends = np.column_stack([table[name] for name in names[2 * len(levels) :]])
        assert np.all((ends > 0.0) & (ends < 1.0))
        one = fit.predict(new, target=target, kind="response")
        assert one["category"].tolist() == [levels[k] for k in np.argmax(p, axis=1)]
        np.testing.assert_allclose(one["probability"], p.max(axis=1))
        assert ("lower" in one) == (case == "cumulative")


def test_ordered_quantiles_are_categories():
    fit = fitted("cumulative")
    table = fit.predict(some(slice(0, 50)), kind="response", target="reference", interval=0.2)
    place = {level: k for k, level in enumerate(fit.model.observations.levels)}
    low, high = ([place[level] for level in table[name]] for name in ("lower", "upper"))
    assert np.all(np.array(low) <= np.array(high))
    assert len(set(low)) > 1


# --- new tables ----------------------------------------------------------------------------------------------------
def test_trials_of_new_rows():
    for case in ("binomial", "binomial share", "binomial pair"):
        fit, new = fitted(case), some(slice(0, 6))
        mean, count = (fit.predict(new, kind=kind) for kind in ("mean", "response"))
        np.testing.assert_allclose(numbers(count), new["n"] * numbers(mean))
        assert np.all(numbers(count, "upper") <= new["n"])
        without = {name: new[name] for name in ("x", "g")}
        assert np.array_equal(numbers(fit.predict(without)), numbers(mean))
        with pytest.raises(WeightsError, match=r"needs the trials of the new rows"):
            fit.predict(without, kind="response")


def test_precisions_of_new_rows():
    fit = fitted("gamma weights")
    new = some(slice(0, 6))
    with pytest.raises(WeightsError, match="needs the weights"):
        fit.predict({name: new[name] for name in ("x", "g")}, kind="response")
    one, four = (fit.predict({**new, "w": np.full(6, w)}, kind="response") for w in (1.0, 4.0))
    assert np.all(numbers(four, "std_error") < numbers(one, "std_error"))


def test_exposures_and_offsets_of_new_rows():
    fit, new = fitted("poisson rate"), some(slice(0, 6))
    twice = fit.predict({**new, "days": 2.0 * new["days"]})
    np.testing.assert_allclose(numbers(twice), 2.0 * numbers(fit.predict(new)))
    shifted = fitted("negative_binomial").predict({**new, "z": new["z"] + 1.0})
    np.testing.assert_allclose(numbers(shifted), np.e * numbers(fitted("negative_binomial").predict(new)))


def test_truncation_of_new_rows():
    fit, new = fitted("truncated poisson"), some(slice(0, 6))
    mu = np.exp(numbers(fit.predict(new, kind="linear")))
    np.testing.assert_allclose(numbers(fit.predict(new)), mu / -np.expm1(-mu))
    assert np.all(numbers(fit.predict(new, kind="response"), "lower") >= 1.0)


def test_what_is_refused():
    fit = fitted("poisson")
    with pytest.raises(UnseenLevelError, match="new_group"):
        fit.predict({"x": [0.0], "g": ["unknown"]})
    with pytest.raises(SettingError, match="unknown kind"):
        fit.predict(kind="median")
    with pytest.raises(SettingError, match="unknown target"):
        fit.predict(target="newgroup")


def test_separated_rows_have_no_interval():
    rng = np.random.default_rng(0)
    g, x, z = np.repeat(np.arange(12), 10), rng.normal(size=120), (rng.random(120) < 0.3) * 1.0
    y = np.where(z == 1.0, 1.0, rng.random(120) < 1.0 / (1.0 + np.exp(-x - rng.normal(size=12)[g])))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("y ~ x + z + (1 | g)", {"y": y, "x": x, "z": z, "g": g}, family="bernoulli")
    table = fit.predict({"x": [0.0, 0.0], "z": [0.0, 1.0], "g": [1, 1]})
    assert float(table["estimate"].iloc[1]) == pytest.approx(1.0)
    assert np.isnan(table.iloc[1][["std_error", "lower", "upper"]].astype(float)).all()
    assert 0.0 < float(table["lower"].iloc[0]) < float(table["upper"].iloc[0]) < 1.0


# --- coverage --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("family", ["poisson", "bernoulli"])
def test_coverage(family):
    """Nominal 90 % intervals over simulated data sets: known groups, the centre, the average, another group."""
    rng = np.random.default_rng(11)
    hits: dict[str, list[float]] = {target: [] for target in TARGETS}
    groups, size, tau, beta = 25, 12, 0.8, (0.3, 0.5)
    link = "log" if family == "poisson" else "logit"
    new = {"x": np.full(groups, 0.4), "g": np.arange(groups)}
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    average = float(np.sum(weights * inverse(link, beta[0] + 0.4 * beta[1] + tau * nodes)) / weights.sum())
    for _ in range(70):
        g, x = np.repeat(np.arange(groups), size), rng.normal(size=groups * size)
        b = tau * rng.normal(size=groups)
        mu = inverse(link, beta[0] + beta[1] * x + b[g])
        y = rng.poisson(mu) if family == "poisson" else (rng.random(len(mu)) < mu) * 1
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = ml.fit("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family=family)
        centre = beta[0] + 0.4 * beta[1]
        true = {
            "conditional": inverse(link, centre + b),
            "reference": inverse(link, centre),
            "marginal": average,
            "new_group": inverse(link, centre + tau * rng.normal(size=groups)),
        }
        for target in TARGETS:
            table = fit.predict(new, target=target, interval=0.9)
            inside = (true[target] >= numbers(table, "lower")) & (true[target] <= numbers(table, "upper"))
            hits[target].append(float(np.mean(inside)))
    for target in TARGETS:
        assert 0.84 <= np.mean(hits[target]) <= 0.96, (target, np.mean(hits[target]))
