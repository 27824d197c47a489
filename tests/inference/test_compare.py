"""Comparison of models: criteria as lme4's, conditional AIC as the derivative of refits, refusals."""

from __future__ import annotations

import json

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.inference.compare import COLUMNS, compare
from multilevel.inference.conditional_aic import conditional_aic
from multilevel.inference.variants import variant

pytestmark = pytest.mark.filterwarnings("ignore::multilevel.errors.SingularFitWarning")


def fit(formula, data="lme4/sleepstudy", **settings):
    return ml.fit(formula, ml.datasets.load(data) if isinstance(data, str) else data, **settings)


@pytest.fixture(scope="module")
def fits():
    return (
        fit("Reaction ~ Days + (1 | Subject)"),
        fit("Reaction ~ Days"),
        fit("Reaction ~ Days + (Days | Subject)"),
    )


@pytest.fixture(scope="module")
def compared(fits):
    return compare(*fits)


def test_best_first_with_akaike_weights(compared, fits):
    table = compared.table
    assert tuple(table.columns) == COLUMNS
    assert table["aic"].tolist() == pytest.approx([1755.628272, 1794.465085, 1899.663663], abs=1e-4)  # lme4 (REML)
    assert table["delta_aic"].to_numpy() == pytest.approx(table["aic"] - table["aic"].min())
    weights = np.exp(-0.5 * table["delta_aic"])
    assert table["weight"].to_numpy() == pytest.approx(weights / weights.sum())
    assert compared.best == "Reaction ~ Days + (Days | Subject)"
    assert compared.criterion == "REML"
    assert table["aic"][0] == pytest.approx(fits[2].aic)


def test_nested_models_are_tested_in_turn(compared):
    assert [(small, large, test.method) for small, large, test in compared.tests] == [
        (2, 1, "exact"),
        (1, 0, "mixture"),
    ]
    assert compared.table["against"].tolist()[:2] == ["Reaction ~ Days + (1 | Subject)", "Reaction ~ Days"]
    assert compared.table["statistic"][0] == pytest.approx(42.83681, abs=1e-4)


def test_leave_out_scores_are_those_of_the_fits(compared, fits):
    table = compared.table
    assert table["loo"][0] == pytest.approx(ml.loo(fits[2]).elpd)
    assert table["logo"][0] == pytest.approx(ml.logo(fits[2]).elpd)
    other = ml.loo(fits[0]).compare(ml.loo(fits[2]))
    assert (table["loo_difference"][1], table["loo_se"][1]) == pytest.approx((other["difference"], other["std_error"]))
    # the regression is complete pooling of the subjects that the others have
    assert table["logo"][2] == pytest.approx(ml.logo(fit("Reaction ~ Days + (1 | Subject)", estimator="complete")).elpd)


def test_different_fixed_parts_go_by_maximum_likelihood(fits):
    found = compare(fits[2], fit("Reaction ~ 1 + (Days | Subject)"))
    assert found.criterion == "ML"
    assert found.table["aic"].tolist() == pytest.approx([1763.939345, 1785.475882], abs=1e-5)  # lme4's anova
    assert found.table["bic"].tolist() == pytest.approx([1783.097086, 1801.440666], abs=1e-5)
    assert any("maximum likelihood" in note for note in found.notes)


def test_several_variances_at_once_are_bounded_not_simulated(fits):
    found = compare(fits[1], fits[2])
    ((_, _, test),) = found.tests
    assert (test.method, test.draws) == ("chi2", 0)
    assert "upper bound" in found.summary()


def test_other_estimators_take_part_in_prediction_only(fits):
    found = compare(fits[2], fit("Reaction ~ Days + (Days | Subject)", estimator="none"), names=["partial", "none"])
    table = found.table
    assert table["model"].tolist() == ["partial", "none"]
    assert np.isnan(table["aic"][1])
    assert np.isfinite(table["loo"][1])
    assert np.isnan(table["logo"][1])
    assert any("without data" in note for note in found.notes)


def test_the_record(compared):
    assert "Preferred by AIC" in compared.summary()
    assert "<table>" in compared._repr_html_()
    record = json.loads(json.dumps(compared.to_dict(), allow_nan=False))
    assert [row["n_parameters"] for row in record["models"]] == [6, 4, 3]
    assert record["models"][2]["p_value"] is None


def test_names_tell_estimators_apart(fits):
    found = compare(fits[2], fit("Reaction ~ Days + (Days | Subject)", estimator="ml"))
    assert sorted(found.table["model"]) == [
        "Reaction ~ Days + (Days | Subject) by ml",
        "Reaction ~ Days + (Days | Subject) by reml",
    ]


def test_refusals(fits):
    data = ml.datasets.load("lme4/sleepstudy")
    for other in (fit("Reaction ~ Days", data[:100]), fit("log(Reaction) ~ Days", data)):
        with pytest.raises(SettingError) as error:
            compare(fits[0], other)
        assert error.value.code == "E_NOT_COMPARABLE"
    with pytest.raises(SettingError, match="two or more"):
        compare(fits[0])
    with pytest.raises(SettingError, match="names"):
        compare(fits[0], fits[1], names=["a"])


# --- conditional AIC ---------------------------------------------------------------------------------------------
def derivative(fitted, estimator: str) -> float:
    """Σ ∂ŷ_i/∂y_i by refitting to responses moved one row at a time."""
    y = fitted.model.design.response
    step, total = 1e-3 * float(y.std()), 0.0
    for i in range(len(y)):
        ends = []
        for sign in (1.0, -1.0):
            moved = y.copy()
            moved[i] += sign * step
            ends.append(variant(fitted.model, response=moved).fit(estimator).fitted_values[i])
        total += (ends[0] - ends[1]) / (2.0 * step)
    return total


def weighted():
    data = ml.datasets.load("lme4/sleepstudy")
    return data.assign(w=np.random.default_rng(0).uniform(0.3, 3.0, len(data)))


def spread_schools():
    data = ml.datasets.load("eight_schools").rename(columns={"sigma": "se"})
    return data.assign(y=2.0 * data["y"])


@pytest.mark.parametrize("estimator", ["reml", "ml"])
@pytest.mark.parametrize(
    ("formula", "data", "settings"),
    [
        ("Reaction ~ Days + (Days | Subject)", weighted, {}),
        ("Reaction ~ Days + (1 | Subject)", weighted, {"weights": "w"}),
        ("diameter ~ 1 + (1 | plate) + (1 | sample)", lambda: ml.datasets.load("lme4/Penicillin"), {}),
        ("y | se(se) ~ 1 + (1 | school)", spread_schools, {}),
        ("Yield ~ 1 + (1 | Batch)", lambda: ml.datasets.load("lme4/Dyestuff2"), {}),
    ],
)
def test_effective_parameters_are_the_derivative_of_refits(formula, data, settings, estimator):
    """Greven & Kneib's correction in closed form against Stein's definition, tr ∂ŷ/∂y."""
    fitted = fit(formula, data(), estimator=estimator, **settings)
    found = conditional_aic(fitted)
    assert found.effective + found.correction == pytest.approx(derivative(fitted, estimator), abs=2e-6)


def test_conditional_aic_of_a_regression_is_its_aic_up_to_sigma():
    """σ̂² is over n − p there: otherwise both are the same number."""
    plain = fit("Reaction ~ Days")
    n, rss = 180, plain.sigma**2 * 178
    log_likelihood = -0.5 * (n * np.log(2 * np.pi * plain.sigma**2) + rss / plain.sigma**2)
    assert conditional_aic(plain).value == pytest.approx(-2.0 * log_likelihood + 2.0 * 3.0)


def test_conditional_log_likelihood():
    """−824.51 is the conditional log-likelihood that R's cAIC4 documents for this fit."""
    assert conditional_aic(fit("Reaction ~ Days + (Days | Subject)")).log_likelihood == pytest.approx(
        -824.51, abs=0.005
    )
