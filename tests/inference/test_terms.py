"""Tests of single terms: lmerTest's `ranova` and `drop1(ddf = "Satterthwaite")` (R 4.5, lmerTest 3.1)."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import chi2

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.inference.terms import f_test, term_tests


def cake(every: bool = True):
    """lme4's cake; or 246 of its rows, those with 7 i not divisible by 11."""
    data = ml.datasets.load("lme4/cake")
    data["temp"] = data["temperature"].astype(str)
    i = np.arange(1, len(data) + 1)
    return data if every else data[(7 * i) % 11 != 0]


def by_term(found, kind):
    return {test.term: test for test in found.tests if test.kind == kind}


def test_sleepstudy():
    found = term_tests(ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy")))
    group, fixed = by_term(found, "group")["Days"], by_term(found, "fixed")["Days"]
    assert group.statistic == pytest.approx(42.836813435, abs=1e-4)
    assert (group.df, group.method, group.reduced) == (2.0, "mixture", "(1 | Subject)")
    assert (fixed.statistic, fixed.df, fixed.df_residual) == pytest.approx((45.85296, 1.0, 16.99998), rel=1e-5)
    assert fixed.p_value == pytest.approx(3.2638e-6, rel=1e-3)


def test_factors_have_joint_tests():
    found = term_tests(ml.fit("angle ~ recipe + temp + (1 | recipe:replicate)", cake()))
    assert by_term(found, "group")["Intercept"].statistic == pytest.approx(176.217794882, abs=1e-4)
    fixed = by_term(found, "fixed")
    assert (fixed["recipe"].statistic, fixed["recipe"].df_residual) == pytest.approx((0.248788786, 42.0), rel=1e-5)
    assert fixed["recipe"].p_value == pytest.approx(0.780885605, rel=1e-5)
    assert (fixed["temp"].statistic, fixed["temp"].df_residual) == pytest.approx((20.514081080, 220.0), rel=1e-5)


def test_unequal_degrees_of_freedom_are_joined():
    found = term_tests(ml.fit("angle ~ recipe + temp + (1 | recipe:replicate)", cake(every=False)))
    assert by_term(found, "group")["Intercept"].statistic == pytest.approx(151.365327199, abs=1e-4)
    fixed = by_term(found, "fixed")
    recipe, temp = fixed["recipe"], fixed["temp"]
    assert (recipe.statistic, recipe.df_residual) == pytest.approx((0.245676791508, 42.0842632617), rel=1e-5)
    assert (temp.statistic, temp.df_residual) == pytest.approx((18.563561526744, 196.8065484532), rel=1e-5)
    assert temp.p_value == pytest.approx(4.31499923e-15, rel=1e-4)


def test_main_effects_stay_while_their_interaction_is_there():
    found = term_tests(ml.fit("angle ~ recipe * temp + (1 | recipe:replicate)", cake()))
    fixed = by_term(found, "fixed")
    assert list(fixed) == ["recipe:temp"]
    assert (fixed["recipe:temp"].statistic, fixed["recipe:temp"].df) == pytest.approx((1.0062, 10.0), rel=1e-4)
    assert fixed["recipe:temp"].p_value == pytest.approx(0.43927, rel=1e-4)


def test_each_group_term_in_turn():
    found = term_tests(ml.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.datasets.load("lme4/Penicillin")))
    assert [(t.group, t.term, t.method) for t in found.tests] == [
        ("plate", "Intercept", "mixture"),
        ("sample", "Intercept", "mixture"),
    ]


def test_terms_of_several_columns_are_reduced_whole():
    """A factor's columns go together: five parameters of (1 + recipe | replicate) against (1 | replicate)."""
    with pytest.warns(ml.errors.SingularFitWarning):
        fit = ml.fit("angle ~ recipe + (1 + recipe | replicate)", cake())
    (test,) = [t for t in term_tests(fit, n=40).tests if t.kind == "group"]
    assert (test.term, test.df, test.method, test.reduced) == ("recipe", 5.0, "bootstrap", "(1 | replicate)")
    assert test.lrt is not None
    assert test.lrt.n_parameters == (5, 10)


def test_one_term_alone():
    fit = ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))
    assert [t.kind for t in term_tests(fit, "Subject").tests] == ["group"]
    assert {t.term for t in term_tests(fit, "Days").tests} == {"Days"}
    with pytest.raises(SettingError, match="Days"):
        term_tests(fit, "Day")


def test_known_variances_give_a_chi_square():
    data = ml.datasets.load("eight_schools").rename(columns={"sigma": "se"})
    data["x"] = np.arange(8.0)
    with pytest.warns(ml.errors.SingularFitWarning):
        fit = ml.fit("y | se(se) ~ x + (1 | school)", data)
    f, df, p = f_test(fit, np.array([[0.0, 1.0]]))
    table = fit.fixed_effects
    assert f == pytest.approx(table["statistic"][1] ** 2)
    assert df == np.inf
    assert p == pytest.approx(chi2.sf(f, 1))
    assert p == pytest.approx(table["p_value"][1])


def test_the_record():
    found = term_tests(ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy")))
    assert list(found.table.columns) == [
        "kind", "group", "term", "statistic", "df", "df_residual", "p_value", "method",
    ]  # fmt: skip
    assert "Days by Subject" in found.summary()
    assert "<table>" in found._repr_html_()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["tests"][0]["df_residual"] is None
