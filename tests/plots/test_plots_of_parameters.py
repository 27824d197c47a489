"""Variance shares, ICC along a slope, profiles, forests, new groups: the numbers drawn are those of the fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.plots.new_group import predicted


# --- variance shares ---------------------------------------------------------------------------------------------
def test_bars_are_the_shares_and_add_up(classes, words):
    figure = ml.plot.variance_shares(classes)
    ax = figure.axes[0]
    widths = [bar.get_width() for bar in ax.patches]
    icc = classes.icc()
    np.testing.assert_allclose(widths, [icc["school"], icc["classroom"], 1 - sum(icc.values())], rtol=1e-10)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["school", "classroom", "within all groups"]
    assert words(figure).startswith(f"{100 * icc['school']:.0f}% of the variance lies between levels of school")
    for bar, line in zip(ax.patches, ax.lines, strict=True):
        low, high = line.get_xdata()
        assert 0 <= low < bar.get_width() < high <= 1


def test_no_variance_is_said(fits, words):
    assert "None of the variance lies between groups" in words(ml.plot.variance_shares(fits["eight"]))


# --- ICC along a slope -------------------------------------------------------------------------------------------
def test_the_curve_is_the_closed_form(classes):
    ax = ml.plot.icc_along(classes, values=[-1.0, 0.0, 2.0]).axes[0]
    at, icc = ax.lines[0].get_data()
    covariance, classroom = classes.estimates.covariances
    for x, found in zip(at, icc, strict=True):
        z = np.array([1.0, x])
        own = z @ covariance @ z
        np.testing.assert_allclose(found, own / (own + classroom[0, 0] + classes.sigma**2), rtol=1e-10)


def test_an_unknown_slope_is_refused(classes):
    with pytest.raises(SettingError, match='did you mean "ses"'):
        ml.plot.icc_along(classes, "sse")
    with pytest.raises(SettingError, match="no slope varies"):
        ml.plot.icc_along(classes, group="classroom")


# --- profile -----------------------------------------------------------------------------------------------------
def test_profiles_are_those_of_the_fit(schools, words):
    from multilevel.inference.profile import profile

    found = profile(schools, which="sd")
    figure = ml.plot.profile(found)
    ax = figure.axes[0]
    curve = found.curves["sd(Intercept | school)"]
    np.testing.assert_allclose(ax.lines[0].get_xdata(), curve.value)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), np.abs(curve.zeta))
    ends = sorted(c.get_segments()[0][0, 0] for c in ax.collections if len(getattr(c, "get_segments", list)()) == 1)
    np.testing.assert_allclose(ends, [found.lower[0], found.upper[0]])
    assert "the standard deviation is not zero" in words(figure)


def test_parameters_can_be_chosen(classes):
    figure = ml.plot.profile(classes, ["sigma", "ses"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["ses", "sigma"]
    with pytest.raises(SettingError, match="no parameter"):
        ml.plot.profile(classes, "sgima")


def test_a_zero_standard_deviation_has_one_side(fits, words):
    figure = ml.plot.profile(fits["eight"])
    assert "may be zero" in words(figure)
    assert figure.axes[0].lines[0].get_xdata().min() == 0.0


# --- forest ------------------------------------------------------------------------------------------------------
def test_forest_leaves_the_intercept_out_unless_asked(classes):
    table = classes.fixed_effects.set_index("term")
    for terms, names in ((None, ["funding", "ses"]), (["Intercept", "ses"], ["ses", "Intercept"])):
        ax = ml.plot.forest(classes, terms).axes[0]
        assert [t.get_text() for t in ax.get_yticklabels()] == names
        np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 0], table.loc[names, "estimate"])
        segments = np.array(ax.collections[0].get_segments())[:, :, 0]
        np.testing.assert_allclose(segments, table.loc[names, ["lower", "upper"]])


def test_standardized_coefficients_share_a_unit(classes):
    plain = ml.plot.forest(classes).axes[0].collections[1].get_offsets()[:, 0]
    scaled = ml.plot.forest(classes, standardize=True).axes[0].collections[1].get_offsets()[:, 0]
    data = ml.datasets.load("classes")
    np.testing.assert_allclose(scaled / plain, [data["funding"].std(ddof=0), data["ses"].std(ddof=0)], rtol=1e-10)


def test_an_unknown_coefficient_is_refused(classes):
    with pytest.raises(SettingError, match='did you mean "funding"'):
        ml.plot.forest(classes, "fundign")


# --- new group ---------------------------------------------------------------------------------------------------
def test_a_new_group_is_what_predict_says(schools):
    one = pd.DataFrame({"school": ["another"]})
    mean, row, known = predicted(schools, "school", None, 0.9)
    for outlook, kind in ((mean, "mean"), (row, "response")):
        said = schools.predict(one, target="new_group", kind=kind, interval=0.9).iloc[0]
        assert [outlook.centre, outlook.error, outlook.lower, outlook.upper] == pytest.approx(
            [said["estimate"], said["std_error"], said["lower"], said["upper"]], rel=1e-12
        )
    effects = schools.group_effects("school")["estimate"]
    np.testing.assert_allclose(known, schools.coefficients["Intercept"] + effects)


def test_densities_integrate_to_one(schools):
    ax = ml.plot.new_group(schools).axes[0]
    for line in ax.lines[:2]:
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1.0, abs=2e-3)


def test_a_row_of_predictors_moves_the_picture(classes):
    row = pd.DataFrame({"ses": [1.5], "funding": [-0.5]})
    mean, _, _ = predicted(classes, "school", row, 0.95)
    b = classes.coefficients
    assert mean.centre == pytest.approx(b["Intercept"] + 1.5 * b["ses"] - 0.5 * b["funding"])
    at = predicted(classes, "school", None, 0.95)[0].centre
    assert at == pytest.approx(float(np.mean(classes.predict(target="reference", interval=None)["estimate"])))
    with pytest.raises(SettingError, match="2 rows"):
        ml.plot.new_group(classes, new_data=pd.concat([row, row]))


def test_known_standard_errors_have_no_new_observation(fits):
    ax = ml.plot.new_group(fits["eight"]).axes[0]
    assert not [t for t in ax.texts if "observation" in t.get_text()]
