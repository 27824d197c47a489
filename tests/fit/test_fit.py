"""The fit object: numbers, conventions, residuals, aliases, laziness."""

from __future__ import annotations

import time
import warnings

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import ConvergenceError, RankDeficiencyWarning, SettingError, SingularFitWarning
from multilevel.fit.fit import Fit


def test_numbers_of_sleepstudy(sleepstudy):
    # lme4 2.0: REML criterion 1743.628, AIC and BIC by logLik with 6 parameters
    assert sleepstudy.objective == pytest.approx(1743.6282719, abs=1e-6)
    assert sleepstudy.log_likelihood == pytest.approx(-871.8141359, abs=1e-6)
    assert sleepstudy.aic == pytest.approx(1755.6282719, abs=1e-6)
    assert sleepstudy.bic == pytest.approx(1774.7860, abs=1e-3)
    assert (sleepstudy.n_obs, sleepstudy.n_parameters, sleepstudy.df_residual) == (180, 6, 174)
    assert sleepstudy.converged
    assert not sleepstudy.singular
    assert sleepstudy.boundary == []
    assert not sleepstudy.sampled
    assert sleepstudy.theta == pytest.approx([0.96674177, 0.01516906, 0.23090995], abs=2e-5)
    assert sleepstudy.sigma == pytest.approx(25.591796, abs=1e-4)
    assert sleepstudy.coefficients["Days"] == pytest.approx(10.4672860)
    assert np.sqrt(np.diag(sleepstudy.vcov)) == pytest.approx([6.824597, 1.545790], abs=1e-4)


def test_residual_degrees_of_freedom_by_convention(rows):
    assert ml.fit("y ~ x", rows).df_residual == 94  # as R's lm
    assert ml.fit("y ~ x + (1 | g)", rows).df_residual == 92  # as lme4
    assert ml.fit("y ~ x + (1 | g)", rows, estimator="none").df_residual == 83


def test_a_fit_does_not_change(sleepstudy):
    with pytest.raises(AttributeError, match="does not change"):
        sleepstudy.seconds = 0.0
    with pytest.raises(ValueError, match="read-only"):
        sleepstudy.vcov[0, 0] = 0.0


def test_making_a_fit_computes_nothing(sleepstudy):
    parts = (sleepstudy.model, sleepstudy.estimator, sleepstudy.estimates, 0.0, ())
    clock = time.perf_counter()
    for _ in range(1000):
        Fit(*parts)
    assert time.perf_counter() - clock < 0.1
    assert set(vars(Fit(*parts))) == {"model", "estimator", "estimates", "seconds", "level", "_noticed"}


def test_level_must_be_a_probability(sleepstudy):
    for level in (0.0, 1.0, 95, "high"):
        with pytest.raises(SettingError, match="probability"):
            sleepstudy.summary(level)


def test_fitted_values_are_the_predictions_of_the_training_rows(slopes, rows):
    assert np.array_equal(slopes.fitted_values, slopes.predict(rows, interval=None)["estimate"])
    assert slopes.residuals() == pytest.approx(rows["y"] - slopes.fitted_values)


def test_residuals_by_kind(rows):
    weights = np.linspace(0.5, 2.0, len(rows["y"]))
    fit = ml.fit("y ~ x + (1 | g)", rows, weights=weights)
    plain = fit.residuals("response")
    assert fit.residuals("pearson") == pytest.approx(plain * np.sqrt(weights))
    assert fit.residuals("standardized") == pytest.approx(plain * np.sqrt(weights) / fit.sigma)
    with pytest.raises(SettingError, match='did you mean "pearson"'):
        fit.residuals("person")


def test_known_standard_errors_leave_no_residual_row():
    data = ml.datasets.load("eight_schools")
    se = next(name for name in data.columns if data[name].dtype.kind in "if" and name != "y")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SingularFitWarning)
        fit = ml.fit(f"y | se({se}) ~ 1 + (1 | school)", data)
    assert fit.sigma is None
    assert list(fit.variance_components["group"]) == ["school"]
    assert fit.to_dict()["dispersion"] == []
    assert fit.residuals("standardized") == pytest.approx((data["y"] - fit.fitted_values) / data[se])
    assert "known" in str(fit.summary())


def test_boundary_is_said_once_and_kept(flat):
    with pytest.warns(SingularFitWarning, match=r'"g".*exactly 0') as caught:
        fit = ml.fit("y ~ x + (1 | g)", flat)
    assert [w.code for w in fit.warnings] == ["W_BOUNDARY"]
    assert len(caught) == 1
    assert fit.boundary == ["g"]
    assert fit.singular
    assert fit.variance_components["sd"][0] == 0.0
    assert "score was checked" in str(caught[0].message)
    assert fit.shrinkage()["lambda"].tolist() == [0.0] * 12


def test_degenerate_correlation():
    rng = np.random.default_rng(1)
    g, b = np.repeat(np.arange(30), 6), rng.normal(size=30)
    x = rng.normal(size=180)
    y = b[g] * (1.0 + 0.5 * x) + rng.normal(size=180)
    with pytest.warns(SingularFitWarning, match=r"corr\(Intercept, x\) = 1"):
        fit = ml.fit("y ~ x + (x | g)", {"y": y, "x": x, "g": g})
    assert fit.correlations["correlation"][0] == pytest.approx(1.0)
    assert np.isfinite(fit.fixed_effects["std_error"]).all()


def test_dropped_columns_are_named(flat):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = ml.fit("y ~ x + x2 + k + (1 | g)", flat)
    told = [str(w.message) for w in caught if issubclass(w.category, RankDeficiencyWarning)]
    assert told[0].startswith('column "x2" is a combination of "x" and was dropped')
    assert told[1].startswith('column "k" is a combination of intercept and was dropped')
    assert np.isnan(fit.coefficients["x2"])
    table = fit.fixed_effects
    assert np.isnan(table.loc[table["term"] == "k", ["estimate", "std_error", "df", "p_value"]]).all(axis=None)
    assert np.isfinite(fit.predict(flat)["upper"]).all()


def test_not_converged_carries_what_was_reached(rows):
    with pytest.raises(ConvergenceError) as error:
        ml.Model("y ~ x + (x | g)", rows).fit(maxiter=1)
    partial = error.value.partial
    assert isinstance(partial, Fit)
    assert not partial.converged
    assert "NOT CONVERGED" in str(partial.summary())


def test_familiar_names(sleepstudy):
    assert sleepstudy.ranef("Subject").equals(sleepstudy.group_effects("Subject"))
    assert sleepstudy.fixef.equals(sleepstudy.fixed_effects)
    assert sleepstudy.VarCorr.equals(sleepstudy.variance_components)


def test_simulate_delegates(slopes):
    assert slopes.simulate(3, seed=1).shape == (3, 96)
    assert np.array_equal(slopes.simulate(seed=1), slopes.simulate(seed=1))


def test_draws_are_named_and_repeatable(slopes):
    draws = slopes.draws
    assert list(draws) == ["beta", "sd", "cor", "sigma", "r_g"]
    assert draws["r_g"].shape == (1000, 12, 2)
    assert draws.coordinates["sd"] == {"group": ["g", "g"], "term": ["Intercept", "x"]}
    assert draws.coordinates["cor"] == {"group": ["g"], "term_1": ["Intercept"], "term_2": ["x"]}
    assert draws.coordinates["r_g"]["level"][:2] == ["0", "1"]
    assert draws["beta"].std(axis=0) == pytest.approx(slopes.std_errors, rel=0.25)
    assert "r_g (1000, 12, 2)" in repr(draws)
