"""Tables and printed summaries of generalized models."""

from __future__ import annotations

import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import multilevel as ml
from multilevel import glossary

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))
from family_cases import CASES, fitted


@pytest.mark.parametrize("case", CASES)
def test_every_summary_prints(case):
    fit = fitted(case)
    text = str(fit.summary())
    assert text.startswith("Generalized linear m")
    assert max(map(len, text.splitlines()[:12])) <= 140
    assert "z value" in text
    assert "t value" not in text
    assert " nan" not in text.lower()
    for name in fit.estimates.dispersion:
        assert f" {name} " in text
    assert fit.summary(level=0.5).to_markdown()
    HTMLParser().feed(fit.summary().to_html())


def test_content_of_cbpp():
    """R: summary(glmer(cbind(incidence, size - incidence) ~ period + (1 | herd), cbpp, binomial))."""
    data = ml.datasets.load("lme4/cbpp")
    fit = ml.fit("cbind(incidence, size - incidence) ~ C(period) + (1 | herd)", data, family="binomial")
    text = str(fit.summary())
    for part in (
        "Generalized linear mixed model fitted by Laplace's approximation",
        "~ Binomial(trials, mu)",
        "logit(mu) = b0 + b1·",
        "Family: binomial (logit link)",
        "56 rows, 842 trials",
        "logLik -92.03",
        "AIC 194.05",
        "BIC 204.18",
        "deviance 184.05",
        "Standard deviations between groups",
        "0.642",
        "groups: herd 15",
        "-1.398",
    ):
        assert part in text, part


def test_blocks_of_further_predictors_and_thresholds():
    text = str(fitted("zero_inflated_poisson").summary())
    assert "Coefficients of zi, probability" in text
    assert "logit(zi) = b2 + b3·x + u1[g]" in text
    assert text.index("Regression coefficients") < text.index("Coefficients of zi")
    ordered = str(fitted("cumulative").summary())
    assert "logit P(rating ≤ k) = Intercept[k] - mu,  k = 1 … 3" in ordered
    assert ordered.index("Regression coefficients") < ordered.index("Thresholds:")
    assert "P(yes = yes)" in str(fitted("bernoulli").summary())
    assert "Categorical(softmax(0, mucar, muwalk))" in str(fitted("categorical").summary())
    assert "shape: shape a" in str(fitted("gamma").summary())
    assert "maximum likelihood (complete pooling)" in str(fitted("complete").summary())
    assert "adaptive Gauss–Hermite quadrature" in str(fitted("agq").summary())
    assert "fitted by maximum likelihood" in str(fitted("no groups").summary())
    assert "precisions: they divide the variance of a row" in str(fitted("gamma weights").summary())
    assert "a row of weight w stands for w equal rows" in str(fitted("poisson weights").summary())


def test_statistics_are_z():
    table = fitted("poisson").fixed_effects
    assert np.isinf(table["df"]).all()
    half = table["upper"] - table["estimate"]
    np.testing.assert_allclose(half / table["std_error"], 1.959963984540054, rtol=1e-9)


def test_constants_stand_in_intervals_and_in_the_table_of_dispersion():
    fit = fitted("student")
    found = fit.confint(0.9)
    assert found["parameter"].tolist()[-2:] == ["sigma", "nu"]
    wide = fit.confint(0.99)
    assert np.all(found["lower"] > wide["lower"])
    from multilevel.fit.tables import dispersion

    columns = dispersion(fit, 0.9)
    assert tuple(columns) == glossary.DISPERSION
    assert columns["estimate"].tolist() == list(fit.estimates.dispersion.values())
    assert np.all((columns["lower"] < columns["estimate"]) & (columns["estimate"] < columns["upper"]))
    assert fitted("poisson").to_dict()["dispersion"] == []


def test_draws_hold_constants_by_name():
    fit = fitted("student")
    draws = fit.draws
    assert "sigma" in draws
    assert draws["nu"].shape == (draws.n,)
    assert np.median(draws["sigma"]) == pytest.approx(fit.estimates.dispersion["sigma"], rel=0.05)
    assert "sigma" not in fitted("poisson").draws
    assert fitted("zero_inflated_poisson").draws.coordinates["r_g"]["term"] == ["Intercept", "zi_Intercept"]


def test_theta_is_that_of_the_covariances():
    np.testing.assert_allclose(fitted("poisson").theta ** 2, fitted("poisson").estimates.covariances[0][0, 0])
    assert fitted("poisson").sigma is None
    assert fitted("poisson").df_residual == 480 - 3
    assert fitted("poisson weights").n_obs == int(fitted("poisson weights").model.design.weights.sum())
    assert fitted("poisson").aic == pytest.approx(-2.0 * fitted("poisson").log_likelihood + 6.0)


def test_a_summary_needs_no_intraclass_correlation(monkeypatch):
    from multilevel.errors import SettingError
    from multilevel.fit.answers import Answers

    def refuse(self, kind="share"):
        raise SettingError("not for this family")

    monkeypatch.setattr(Answers, "icc", refuse)
    data = {"y": [1, 2, 0, 3, 1, 4, 2, 2], "x": list(range(8)), "g": [0, 1] * 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = ml.fit("y ~ x + (1 | g)", data, family="poisson")
    assert "Poisson" in str(fit.summary())
    assert fit.to_dict()["icc"] == {}
