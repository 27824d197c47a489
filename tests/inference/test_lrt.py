"""Likelihood-ratio tests: lme4's statistics, exact tests by another route, error rates under the null hypothesis.

lme4's numbers: R 4.5, `anova(…, refit = FALSE)`, `anova(…)` of lme4 2.0.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import stats

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.inference import exact
from multilevel.inference.lrt import lrt
from multilevel.inference.nested import difference
from multilevel.inference.responses import Responses

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")


def fit(formula, data=None, estimator=None, **settings):
    return ml.fit(
        formula, ml.datasets.load("lme4/sleepstudy") if data is None else data, estimator=estimator, **settings
    )


@pytest.fixture(scope="module")
def slopes():
    return fit("Reaction ~ Days + (Days | Subject)")


@pytest.fixture(scope="module")
def intercepts():
    return fit("Reaction ~ Days + (1 | Subject)")


# --- statistics and reference distributions ----------------------------------------------------------------------
def test_a_slope_variance_on_the_boundary(slopes, intercepts):
    test = lrt(intercepts, slopes)
    assert test.statistic == pytest.approx(42.83681, abs=1e-4)  # lme4, refit = FALSE
    assert (test.method, test.df, test.criterion) == ("mixture", 2, "REML")
    assert test.p_value == pytest.approx(
        0.5 * stats.chi2.sf(test.statistic, 1) + 0.5 * stats.chi2.sf(test.statistic, 2)
    )
    assert lrt(intercepts, slopes, "chi2").p_value == pytest.approx(4.99004143e-10, rel=1e-4)  # lme4's, too large
    assert lrt(slopes, intercepts).statistic == test.statistic  # either order


def test_fixed_effects_are_refitted_by_maximum_likelihood(slopes):
    test = lrt(fit("Reaction ~ 1 + (Days | Subject)"), slopes)
    assert test.statistic == pytest.approx(23.53654, abs=1e-4)  # lme4, which refits as well
    assert test.p_value == pytest.approx(1.2256e-6, rel=1e-3)
    assert (test.method, test.df, test.criterion) == ("chi2", 1, "ML")
    assert "refitted by maximum likelihood" in test.notes[0]
    assert test.table["aic"].tolist() == pytest.approx([1785.475882, 1763.939345], abs=1e-5)
    assert test.table["bic"].tolist() == pytest.approx([1801.440666, 1783.097086], abs=1e-5)
    by_ml = lrt(
        fit("Reaction ~ 1 + (Days | Subject)", estimator="ml"),
        fit("Reaction ~ Days + (Days | Subject)", estimator="ml"),
    )
    assert by_ml.notes == ()
    assert by_ml.statistic == pytest.approx(test.statistic, abs=1e-6)


def test_against_a_regression(intercepts):
    by_ml = lrt(fit("Reaction ~ Days"), fit("Reaction ~ Days + (1 | Subject)", estimator="ml"), "mixture")
    assert by_ml.statistic == pytest.approx(106.21441, abs=1e-4)  # lme4
    assert by_ml.p_value == pytest.approx(0.5 * stats.chi2.sf(106.21441, 1), rel=1e-3)
    # complete pooling of the same formula is that regression
    pooled = fit("Reaction ~ Days + (1 | Subject)", estimator="complete")
    assert lrt(pooled, intercepts).statistic == pytest.approx(lrt(fit("Reaction ~ Days"), intercepts).statistic)


def test_a_covariance_alone_is_no_boundary(slopes):
    test = lrt(fit("Reaction ~ Days + (Days || Subject)"), slopes)
    assert (test.method, test.df) == ("chi2", 1)
    assert test.p_value == pytest.approx(stats.chi2.sf(test.statistic, 1))


def test_several_variances_are_simulated(slopes):
    test = lrt(fit("Reaction ~ Days"), slopes, n=60)
    assert (test.method, test.df, test.draws) == ("bootstrap", 3, 60)
    assert test.p_value == pytest.approx(1.0 / 61.0)
    bound = lrt(fit("Reaction ~ Days"), slopes, "chi2")
    assert "upper bound" in bound.sentence


def test_columns_of_the_same_span_in_other_units(slopes):
    """A restricted likelihood depends on the columns; what it owes to them is taken out."""
    data = ml.datasets.load("lme4/sleepstudy").assign(Weeks=lambda d: (d["Days"] - 4.5) / 7.0)
    small = ml.fit("Reaction ~ Weeks + (1 | Subject)", data)
    assert small.objective != pytest.approx(fit("Reaction ~ Days + (1 | Subject)").objective, abs=0.1)
    assert lrt(small, ml.fit("Reaction ~ Days + (Days | Subject)", data)).statistic == pytest.approx(42.83681, abs=1e-4)


# --- the exact distribution --------------------------------------------------------------------------------------
@pytest.mark.parametrize("estimator", ["reml", "ml"])
@pytest.mark.parametrize("seed", [2, 15])
def test_balanced_one_way_layouts_are_f_tests(estimator, seed):
    """With equal groups the statistic is a monotone function of F, so both have the same p-value."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(8, 5)) + 0.5 * rng.normal(size=8)[:, None]
    data = {"y": y.ravel(), "g": np.repeat(np.arange(8), 5).astype(str)}
    test = lrt(fit("y ~ 1", data), fit("y ~ 1 + (1 | g)", data, estimator), n=100_000)
    assert test.method == "exact"
    assert test.statistic > 0.0
    p = stats.f_oneway(*y).pvalue
    assert test.p_value == pytest.approx(p, abs=5.0 * test.std_error)


def test_a_zero_estimate_is_no_evidence():
    data = ml.datasets.load("lme4/Dyestuff2")
    test = lrt(fit("Yield ~ 1", data), fit("Yield ~ 1 + (1 | Batch)", data))
    assert (test.statistic, test.p_value) == (0.0, 1.0)


def unbalanced(rng):
    g = np.repeat(np.arange(6), [3, 5, 4, 8, 2, 6])
    return {"y": rng.normal(size=28), "x": rng.normal(size=28), "g": g.astype(str)}


def null_statistics(small, large, reml, responses):
    a, b = (np.array([r.deviance for r in Responses(m, reml, ()).refits(responses)]) for m in (small, large))
    return np.maximum(a - b, 0.0)


@pytest.mark.parametrize(("reml", "extra"), [(True, 0), (False, 0), (False, 1)])
def test_exact_draws_are_distributed_as_refits(reml, extra):
    rng = np.random.default_rng(8)
    data = unbalanced(rng)
    large, small = ml.Model("y ~ x + (1 | g)", data), ml.Model("y ~ 1" if extra else "y ~ x", data)
    refits = null_statistics(small, large, reml, rng.normal(size=(600, 28)))
    draws = exact.null_draws(large.products, reml, extra, 20_000, np.random.default_rng(0))
    if extra:
        assert stats.ks_2samp(refits, draws).pvalue > 0.01
    else:
        assert np.mean(refits < 1e-8) == pytest.approx(np.mean(draws < 1e-8), abs=0.06)
        assert stats.ks_2samp(refits[refits > 1e-8], draws[draws > 1e-8]).pvalue > 0.01


def test_probability_of_zero_in_balanced_layouts():
    """RLRT = 0 exactly when F ≤ 1 (Crainiceanu & Ruppert 2004, section 4)."""
    data = {"y": np.arange(30.0) % 7, "g": np.repeat(np.arange(5), 6).astype(str)}
    draws = exact.null_draws(ml.Model("y ~ 1 + (1 | g)", data).products, True, 0, 40_000, np.random.default_rng(0))
    assert np.mean(draws == 0.0) == pytest.approx(stats.f.cdf(1.0, 4, 25), abs=0.01)


# --- error rates -------------------------------------------------------------------------------------------------
def rejections(small, large, reml, responses, p_value, level=0.05) -> float:
    return float(np.mean([p_value(t) <= level for t in null_statistics(small, large, reml, responses)]))


def test_size_of_the_exact_test():
    rng = np.random.default_rng(2)
    data = unbalanced(rng)
    small, large = ml.Model("y ~ x", data), ml.Model("y ~ x + (1 | g)", data)
    draws = exact.null_draws(large.products, True, 0, 20_000, np.random.default_rng(1))
    size = rejections(small, large, True, rng.normal(size=(800, 28)), lambda t: np.mean(draws >= t - 1e-8))
    assert 0.03 < size < 0.075


@pytest.mark.slow
def test_size_of_the_mixture_for_a_slope():
    """It holds for many groups; with 40 it rejects in some 3.5%."""
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(100), 10)
    data = {"y": rng.normal(size=1000), "x": rng.normal(size=1000), "g": g.astype(str)}
    responses = rng.normal(size=(2000, 1000)) + rng.normal(size=(2000, 100))[:, g]
    small, large = ml.Model("y ~ x + (1 | g)", data), ml.Model("y ~ x + (x | g)", data)
    statistics = null_statistics(small, large, True, responses)
    mixture = 0.5 * stats.chi2.sf(statistics, 1) + 0.5 * stats.chi2.sf(statistics, 2)
    assert 0.035 < np.mean(mixture <= 0.05) < 0.06
    assert np.mean(stats.chi2.sf(statistics, 2) <= 0.05) < np.mean(mixture <= 0.05)


@pytest.mark.slow
def test_size_of_the_bootstrap():
    rng = np.random.default_rng(6)
    g = np.repeat(np.arange(12), 5)
    x = rng.normal(size=60)
    p_values = []
    for _ in range(120):
        data = {"y": rng.normal(size=60), "x": x, "g": g.astype(str)}
        p_values.append(lrt(fit("y ~ x", data), fit("y ~ x + (x | g)", data), n=59).p_value)
    assert 0.0 < np.mean(np.array(p_values) <= 0.05) < 0.11  # two standard errors of 120 tests


# --- what is nested ----------------------------------------------------------------------------------------------
def models(*formulas):
    rng = np.random.default_rng(0)
    n = 120
    data = {name: rng.normal(size=n) for name in ("y", "x", "z")}
    data["f"] = np.tile(["a", "b", "c"], 40)
    data["g"], data["h"] = np.repeat(np.arange(12), 10).astype(str), np.tile(np.arange(8), 15).astype(str)
    return [ml.Model(formula, data) for formula in formulas]


@pytest.mark.parametrize(
    ("small", "large", "expected"),
    [
        ("y ~ x + (1 | g)", "y ~ x + z + (1 | g)", (1, 0, 0)),
        ("y ~ f + (1 | g)", "y ~ f * x + (1 | g)", (3, 0, 0)),
        ("y ~ 0 + f + (1 | g)", "y ~ f + x + (1 | g)", (1, 0, 0)),
        ("y ~ x + (1 | g)", "y ~ x + (x | g)", (0, 1, 1)),
        ("y ~ x + (1 | g)", "y ~ x + (x || g)", (0, 1, 0)),
        ("y ~ x + (x || g)", "y ~ x + (x | g)", (0, 0, 1)),
        ("y ~ x + (1 | g) + (0 + x | g)", "y ~ x + (x | g)", (0, 0, 1)),
        ("y ~ x + (1 | g)", "y ~ x + (1 | g) + (1 | h)", (0, 1, 0)),
        ("y ~ x", "y ~ x + (x | g)", (0, 2, 1)),
        ("y ~ x + (x | g)", "y ~ x + (x + z | g)", (0, 1, 2)),
    ],
)
def test_what_the_larger_model_has_more(small, large, expected):
    more = difference(*models(small, large))
    assert (more.fixed, more.variances, more.covariances) == expected
    with pytest.raises(SettingError, match="no special case"):
        difference(*models(large, small))


@pytest.mark.parametrize(
    ("small", "large"),
    [
        ("y ~ x + (1 | g)", "y ~ z + (1 | g)"),
        ("y ~ x + (1 | g)", "y ~ x + (1 | h)"),
        ("y ~ x + (0 + x | g)", "y ~ x + (1 | g) + (1 | h)"),
        ("y ~ x + (x | g)", "y ~ x + z + (x || g)"),
    ],
)
def test_models_that_are_not_nested(small, large):
    with pytest.raises(SettingError) as error:
        difference(*models(small, large))
    assert error.value.code == "E_NOT_COMPARABLE"


def test_different_data_are_refused(slopes):
    data = ml.datasets.load("lme4/sleepstudy")
    for other in (
        fit("Reaction ~ Days", data[:100]),
        fit("log(Reaction) ~ Days", data),
        fit("Reaction ~ Days", data, weights="Days"),
    ):
        with pytest.raises(SettingError) as error:
            lrt(other, slopes)
        assert error.value.code == "E_NOT_COMPARABLE"
    shifted = data.assign(Days=data["Days"].where(data["Days"] < 9))
    with pytest.raises(SettingError, match="rows"):
        lrt(fit("Reaction ~ Days", shifted), slopes)


def test_refusals(slopes, intercepts):
    with pytest.raises(SettingError, match="same model"):
        lrt(slopes, slopes)
    with pytest.raises(SettingError, match="bootstrap"):
        lrt(intercepts, slopes, "boot")
    with pytest.raises(SettingError, match="exact"):
        lrt(intercepts, slopes, "exact")
    with pytest.raises(SettingError, match="mixture"):
        lrt(fit("Reaction ~ Days"), slopes, "mixture")
    with pytest.raises(SettingError, match="likelihood fit"):
        lrt(fit("Reaction ~ Days + (1 | Subject)", estimator="moments"), slopes)


def test_the_record(slopes, intercepts):
    test = lrt(intercepts, slopes)
    assert "likelihood ratio 42.84 (REML), p < 0.0001" in test.sentence
    assert "½χ²(1) + ½χ²(2)" in test.summary()
    assert "<table>" in test._repr_html_()
    record = json.loads(json.dumps(test.to_dict(), allow_nan=False))
    assert record["df"] == 2
    assert list(test.table.columns) == [
        "model", "n_parameters", "aic", "bic", "log_likelihood", "statistic", "df", "p_value",
    ]  # fmt: skip
