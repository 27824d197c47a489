"""Profile likelihood: lme4's intervals, closed forms, and constrained optima found by another route.

lme4's numbers: R 4.5, lme4 1.1/2.0, `confint(profile(fit, signames = FALSE, devtol = 1e-12))` of maximum-likelihood
fits by bobyqa with rhoend = 1e-9. They come from splines through a profile, so the last digits differ: the values of
ζ at given points, which involve no spline, are compared closer.
"""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.optimize import brentq, minimize

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.inference.criterion import criterion, minimum
from multilevel.inference.parameters import parameters, values
from multilevel.inference.profile import profile
from multilevel.inference.targets import target

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.SingularFitWarning")

SLEEPSTUDY = {
    "Intercept": (237.680695489, 265.1295146187),
    "Days": (7.358653260, 13.5759187521),
    "sd(Intercept | Subject)": (14.381418673, 37.7159961747),
    "sd(Days | Subject)": (3.801164106, 8.7533831645),
    "sigma": (22.898266878, 28.8579965380),
    "cor(Intercept, Days | Subject)": (-0.481500740, 0.6849859789),
}
SLEEPSTUDY_99 = {
    "Intercept": (232.6195386568, 270.1906680066),
    "Days": (6.2122813313, 14.7222899007),
    "sd(Intercept | Subject)": (11.6980287778, 43.9249121310),
    "sd(Days | Subject)": (3.3131614365, 10.1306219770),
    "sigma": (22.1490642209, 30.0282534767),
    "cor(Intercept, Days | Subject)": (-0.6111829688, 0.8620229164),
}
ZETA = {  # as.data.frame(profile): .focal → .zeta (below 5 lme4's own optimiser stops short of the optimum)
    "sd(Intercept | Subject)": {6.972353410: -3.53085193774, 18.663983502: -1.00383966600},
    "sd(Days | Subject)": {3.173657699: -2.75874177722, 9.490950526: 2.30491027953},
    "sigma": {22.66441036: -2.1484968212, 30.10336392: 2.6140200284},
    "cor(Intercept, Days | Subject)": {
        -0.716076294290: -3.195013918025, 0.502760379159: 1.329066047849, 1.0: 2.977582993354,
    },
    "Intercept": {233.5998655: -2.4620493603, 258.2159210: 1.0123380425},
}  # fmt: skip
PENICILLIN = {
    "Intercept": (21.2666273835, 24.6778176175),
    "sd(Intercept | plate)": (0.6335657876, 1.1821039841),
    "sd(Intercept | sample)": (1.0957892653, 3.5562919088),
    "sigma": (0.4858454002, 0.6294534785),
}
PENICILLIN_80 = {
    "Intercept": (21.9552285996, 23.9892159569),
    "sd(Intercept | plate)": (0.6972598309, 1.0459062512),
    "sd(Intercept | sample)": (1.2711601801, 2.7029065755),
    "sigma": (0.5065403747, 0.5998921918),
}
DYESTUFF2 = {"Intercept": (4.312100217, 7.019092347), "sd(Intercept | Batch)": (0.0, 2.084043489),
             "sigma": (2.892831020, 4.815832552)}  # fmt: skip
UNCORRELATED = {
    "Intercept": (237.572148010, 265.238061759),
    "Days": (7.334066829, 13.600505106),
    "sd(Intercept | Subject)": (15.258646965, 37.786472731),
    "sd(Days | Subject)": (3.964073806, 8.769159084),
    "sigma": (22.880554645, 28.787597598),
}
CASES = [
    ("Reaction ~ Days + (Days | Subject)", "lme4/sleepstudy", 0.95, SLEEPSTUDY),
    ("Reaction ~ Days + (Days | Subject)", "lme4/sleepstudy", 0.99, SLEEPSTUDY_99),
    ("Reaction ~ Days + (Days || Subject)", "lme4/sleepstudy", 0.95, UNCORRELATED),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "lme4/Penicillin", 0.95, PENICILLIN),
    ("diameter ~ 1 + (1 | plate) + (1 | sample)", "lme4/Penicillin", 0.80, PENICILLIN_80),
    ("Yield ~ 1 + (1 | Batch)", "lme4/Dyestuff2", 0.95, DYESTUFF2),
]


def limits(found) -> dict[str, tuple[float, float]]:
    return {
        name.label: (low, high)
        for name, low, high in zip(found.names, found.lower.tolist(), found.upper.tolist(), strict=True)
    }


@pytest.fixture(scope="module")
def sleepstudy():
    return ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))


@pytest.fixture(scope="module")
def profiled(sleepstudy):
    return profile(sleepstudy)


@pytest.mark.parametrize("estimator", ["reml", "ml"])
@pytest.mark.parametrize(("formula", "data", "level", "expected"), CASES)
def test_intervals_are_those_of_lme4(formula, data, level, expected, estimator):
    if estimator == "ml" and level != 0.95:
        pytest.skip("one level is enough")
    found = limits(profile(ml.fit(formula, ml.datasets.load(data), estimator=estimator), level))
    assert set(found) == set(expected)
    for label, ends in expected.items():
        assert found[label] == pytest.approx(ends, rel=2e-4, abs=1e-9), label


@pytest.mark.parametrize("label", ZETA)
def test_zeta_at_the_points_of_lme4(sleepstudy, label):
    likelihood = criterion(sleepstudy.model, reml=False)
    state, _ = minimum(likelihood)
    name = next(n for n in parameters(sleepstudy.model) if n.label == label)
    value = values(sleepstudy.model, likelihood, state, (name,))[0]
    held = target(likelihood, state, name, float(value), float("nan"))
    for at, zeta in ZETA[label].items():
        assert np.sign(at - value) * np.sqrt(held.drop(at)) == pytest.approx(zeta, rel=2e-6), at


def test_curves_rise_and_pass_through_the_limits(profiled):
    for label, curve in profiled.curves.items():
        assert np.all(np.diff(curve.value) > 0.0)
        assert np.all(np.diff(curve.zeta) > 0.0)
        at = np.interp(limits(profiled)[label], curve.value, curve.zeta)
        assert at == pytest.approx([-1.959964, 1.959964], abs=0.01)
        assert np.max(np.abs(np.diff(curve.zeta))) < 1.0
        assert curve.zeta[np.argmin(np.abs(curve.zeta))] == 0.0


def test_regression_without_groups_has_a_closed_form():
    """D(c) = n log(1 + t²/(n − p))."""
    fit = ml.fit("Reaction ~ Days", ml.datasets.load("lme4/sleepstudy"))
    curve = profile(fit)["Days"]
    t = (curve.value - fit.coefficients["Days"]) / fit.std_errors[1]
    assert curve.zeta == pytest.approx(np.sign(t) * np.sqrt(180 * np.log1p(t**2 / 178)), abs=1e-7)


def test_restricted_profile_is_that_of_the_summary(sleepstudy):
    found = profile(sleepstudy, reml=True)
    table = sleepstudy.variance_components
    inside = [n.kind in ("sd", "sigma") for n in found.names]
    assert found.lower[inside] == pytest.approx(table["lower"].to_numpy(), rel=1e-5)
    assert found.upper[inside] == pytest.approx(table["upper"].to_numpy(), rel=1e-5)
    # there is no restricted likelihood of a fixed effect
    assert limits(found)["Days"] == pytest.approx(SLEEPSTUDY["Days"], rel=1e-4)


def test_known_standard_errors_leave_no_sigma_to_give_way():
    """Profile of τ in a meta-analysis: against the deviance written out."""
    data = ml.datasets.load("eight_schools").rename(columns={"sigma": "se"})
    y, s = data["y"].to_numpy(float), data["se"].to_numpy(float)

    def deviance(tau: float) -> float:
        w = 1.0 / (s**2 + tau**2)
        return float((w * (y - (w * y).sum() / w.sum()) ** 2 - np.log(w)).sum())

    upper = brentq(lambda tau: deviance(tau) - deviance(0.0) - 3.841458820694124, 1.0, 100.0)
    fit = ml.fit("y | se(se) ~ 1 + (1 | school)", data, estimator="ml")
    found = limits(profile(fit))
    assert set(found) == {"Intercept", "sd(Intercept | school)"}
    assert found["sd(Intercept | school)"] == pytest.approx((0.0, upper), rel=1e-5)
    assert fit.variance_components["upper"][0] == pytest.approx(upper, rel=1e-4)


# --- constrained optima by another route -------------------------------------------------------------------------
def three(seed: int = 5):
    """25 groups of 9 rows with an intercept and two slopes."""
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(25), 9)
    x, z = rng.normal(size=len(g)) + 1.0, rng.uniform(0.0, 3.0, size=len(g))
    root = np.array([[1.0, 0.0, 0.0], [0.4, 0.7, 0.0], [-0.3, 0.2, 0.4]])
    u = rng.normal(size=(25, 3)) @ root.T
    y = 2.0 + x - 0.5 * z + u[g, 0] + u[g, 1] * x + u[g, 2] * z + rng.normal(size=len(g))
    return pd.DataFrame({"y": y, "x": x, "z": z, "g": [f"g{i}" for i in g]})


def constrained(fit, order: list[int], head) -> float:
    """Least deviance over Cholesky factors whose first entries are `head(parameters)`, by a general optimiser."""
    design = fit.model.design
    X = np.column_stack([np.ones(design.n) if c is None else c for c in design.fixed_columns])
    Z = np.column_stack([np.ones(design.n) if c is None else c for c in design.groups[0].columns])
    rows = [np.flatnonzero(design.groups[0].codes == level) for level in range(25)]

    def deviance(parameters: np.ndarray) -> float:
        inner = head(parameters)
        lam = np.zeros_like(inner)
        lam[order] = inner
        A, b, total = 0.0, 0.0, design.n * np.log(2.0 * np.pi)
        inverse = []
        for i in rows:
            V = Z[i] @ lam @ lam.T @ Z[i].T + np.exp(2.0 * parameters[-1]) * np.eye(len(i))
            inverse.append(np.linalg.inv(V))
            total += np.linalg.slogdet(V)[1]
            A, b = A + X[i].T @ inverse[-1] @ X[i], b + X[i].T @ inverse[-1] @ design.response[i]
        beta = np.linalg.solve(A, b)
        for i, V in zip(rows, inverse, strict=True):
            r = design.response[i] - X[i] @ beta
            total += r @ V @ r
        return float(total)

    starts = [np.array([0.5, 0.1, 0.5, 0.2, 0.1, 0.5, 0.0])[-6:], np.array([0.8, -0.2, 0.3, 0.2, 0.4, 0.0])]
    found = [minimize(deviance, s, method="BFGS", options={"gtol": 1e-6}) for s in starts]
    return min(f.fun for f in found)


def test_limits_of_three_coefficients_are_constrained_optima():
    """With three correlated coefficients lme4's profile loses its way (it reports (−1, 0.18) here): another optimiser
    confirms ours."""
    fit = ml.fit("y ~ x + z + (x + z | g)", three(), estimator="ml")
    found = limits(profile(fit, which=["sd(z | g)", "cor(Intercept, z | g)"]))
    low = found["sd(z | g)"][0]

    def pinned_sd(p: np.ndarray) -> np.ndarray:
        return np.array([[low, 0.0, 0.0], [p[0], p[1], 0.0], [p[2], p[3], p[4]]])

    assert constrained(fit, [2, 0, 1], pinned_sd) - fit.objective == pytest.approx(3.841459, abs=2e-4)
    high = found["cor(Intercept, z | g)"][1]

    def pinned_correlation(p: np.ndarray) -> np.ndarray:
        a, b = abs(p[0]), abs(p[1])
        return np.array([[a, 0.0, 0.0], [b * high, b * np.sqrt(1.0 - high**2), 0.0], [p[2], p[3], p[4]]])

    assert constrained(fit, [2, 0, 1], pinned_correlation) - fit.objective == pytest.approx(3.841459, abs=2e-4)


def test_a_correlation_beside_a_variance_that_may_be_zero_is_not_bounded():
    """Where the standard deviation's interval holds zero, no correlation can be excluded on the way there."""
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(25), 9)
    x = rng.normal(size=225) + 1.0
    rng = np.random.default_rng(11)
    u = rng.normal(size=(25, 2)) * [0.25, 0.5]
    y = 2.0 + x + u[g, 0] + u[g, 1] * x + rng.normal(size=225)
    found = profile(ml.fit("y ~ x + (x | g)", {"y": y, "x": x, "g": g.astype(str)}))
    assert limits(found)["sd(Intercept | g)"][0] == 0.0
    assert limits(found)["cor(Intercept, x | g)"] == (-1.0, 1.0)
    # the plateau of the curve is what a zero costs
    assert found["cor(Intercept, x | g)"].zeta[0] == pytest.approx(found["sd(Intercept | g)"].zeta[0], abs=1e-6)


@pytest.mark.parametrize("term", ["cs(0 + f | g)", "cs(0 + f | g, hom=True)"])
def test_compound_symmetry(term):
    rng = np.random.default_rng(3)
    g, f = np.repeat(np.arange(30), 6), np.tile(np.repeat([0, 1, 2], 2), 30)
    y = (0.4 * rng.normal(size=30)[:, None] + 0.8 * rng.normal(size=(30, 3)))[g, f] + rng.normal(size=180)
    data = {"y": y, "g": g.astype(str), "f": np.array(["a", "b", "c"])[f]}
    fit = ml.fit(f"y ~ f + {term}", data, estimator="ml")
    found = profile(fit)
    pairs = [low_high for label, low_high in limits(found).items() if label.startswith("cor(")]
    assert len(pairs) == 3
    assert np.ptp(np.array(pairs), axis=0) == pytest.approx([0.0, 0.0], abs=1e-4)  # one ρ
    assert np.all(found.lower < found.estimate)
    assert np.all(found.estimate < found.upper)
    if "hom" in term:  # with equal variances, ρ ≥ 0 is (1 | g) + (1 | g:f): its test is the end of the curve at zero
        curve = next(c for label, c in found.items() if label.startswith("cor("))
        without = ml.fit("y ~ f + (1 | g:f)", data, estimator="ml").objective - fit.objective
        assert curve.value[0] < 0.0
        assert np.interp(0.0, curve.value, curve.zeta) == pytest.approx(-np.sqrt(without), abs=0.02)


# --- the record --------------------------------------------------------------------------------------------------
def test_table_text_and_json(profiled):
    table = profiled.table
    assert list(table.columns) == ["parameter", "group", "term", "estimate", "lower", "upper"]
    assert table["parameter"].tolist() == ["fixed", "fixed", "sd", "sd", "sigma", "correlation"]
    assert table["term"].tolist() == ["Intercept", "Days", "Intercept", "Days", "", "Intercept, Days"]
    assert "Days" in profiled.summary()
    assert "<table>" in profiled._repr_html_()
    record = json.loads(json.dumps(profiled.to_dict(), allow_nan=False))
    assert record["intervals"][1]["upper"] == pytest.approx(SLEEPSTUDY["Days"][1], rel=1e-4)
    assert len(record["curves"]["sigma"]["value"]) == len(profiled["sigma"].zeta)


def test_frames_are_of_the_kind_of_the_data(sleepstudy):
    data = pl.from_pandas(ml.datasets.load("schools"))
    assert isinstance(profile(ml.fit("score ~ 1 + (1 | school)", data), which="sigma").table, pl.DataFrame)


def test_units_and_labels_do_not_matter():
    data = ml.datasets.load("lme4/sleepstudy")
    other = data.assign(Reaction=1e6 * data["Reaction"] - 3e7, Days=1e-3 * data["Days"] + 2.0)
    a = limits(profile(ml.fit("Reaction ~ Days + (Days | Subject)", data), which=["sd(Days | Subject)", "Days"]))
    b = limits(profile(ml.fit("Reaction ~ Days + (Days | Subject)", other), which=["sd(Days | Subject)", "Days"]))
    for label, ends in a.items():
        assert b[label] == pytest.approx(tuple(1e9 * end for end in ends), rel=1e-5)


def test_a_loaded_fit_profiles_alike(sleepstudy, tmp_path):
    sleepstudy.save(tmp_path / "a.fit")
    again = profile(ml.load(tmp_path / "a.fit"), which="fixed")
    assert again.lower == pytest.approx(profile(sleepstudy, which="fixed").lower, rel=1e-9)


def test_dropped_columns_have_no_interval():
    data = ml.datasets.load("lme4/sleepstudy").assign(Twice=lambda d: 2.0 * d["Days"])
    with pytest.warns(ml.errors.RankDeficiencyWarning):
        fit = ml.fit("Reaction ~ Days + Twice + (1 | Subject)", data)
    found = profile(fit, which="fixed")
    assert np.isnan(found.lower).tolist() == [False, False, True]
    assert "Twice" not in found


def test_refusals(sleepstudy):
    with pytest.raises(SettingError, match="likelihood fit"):
        profile(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"), estimator="moments"))
    with pytest.raises(SettingError, match="Days"):
        profile(sleepstudy, which="Dayz")
    with pytest.raises(SettingError, match="probability"):
        profile(sleepstudy, 95)
