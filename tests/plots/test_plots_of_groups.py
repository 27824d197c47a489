"""Shrinkage, caterpillar, pooling: the numbers drawn are those of the fit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import SettingError
from multilevel.plots.shrinkage import compare
from multilevel.predictions.deviations import half_widths


# --- shrinkage ---------------------------------------------------------------------------------------------------
def test_no_pooling_estimates_are_group_means(schools):
    pooling = compare(schools)
    means = ml.datasets.load("schools").groupby("school")["score"].mean()
    np.testing.assert_allclose(pooling.own, means[pooling.levels], rtol=1e-12)
    assert np.all(np.diff(pooling.own) >= 0)


def test_intercepts_move_by_the_shrinkage_factor(schools):
    pooling, weight = compare(schools), schools.shrinkage()["lambda"][0]
    np.testing.assert_allclose(pooling.pooled - pooling.centre, weight * (pooling.own - pooling.centre), rtol=1e-9)


def test_a_second_factor_is_held_at_its_estimates(classes):
    pooling = compare(classes, "classroom")
    variance = pooling.n * classes.estimates.covariances[1][0, 0]
    weight = variance / (variance + classes.sigma**2)
    np.testing.assert_allclose(pooling.pooled - pooling.centre, weight * (pooling.own - pooling.centre), atol=1e-7)


def test_slopes_are_each_groups_own_regression():
    data = ml.datasets.load("classes")
    fit = ml.fit("score ~ ses + (ses | school)", data)
    pooling = compare(fit, term="ses")
    own = {s: np.polyfit(d["ses"], d["score"], 1)[0] for s, d in data.groupby("school")}
    np.testing.assert_allclose(pooling.own, [own[s] for s in pooling.levels], rtol=1e-8)
    assert pooling.centre == fit.coefficients["ses"]


@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
def test_levels_with_too_few_rows_are_left_out_and_counted(words, groups_of_any_size):
    data = groups_of_any_size(12)
    data["x"] = np.linspace(-1, 1, len(data))
    data = pd.concat([data, pd.DataFrame({"g": ["lone"], "y": [0.3], "x": [0.2]})])
    fit = ml.fit("y ~ x + (x | g)", data)
    pooling = compare(fit, term="x")
    assert "lone" not in pooling.levels
    assert pooling.left_out == 1
    assert "1 level left out" in words(ml.plot.shrinkage(fit, term="x"))


def test_the_points_drawn_are_the_estimates(schools, words):
    pooling, figure = compare(schools), ml.plot.shrinkage(schools)
    ax = figure.axes[0]
    own, pooled = ax.collections[1], ax.collections[2]
    np.testing.assert_allclose(own.get_offsets()[:, 0], pooling.own)
    np.testing.assert_allclose(pooled.get_offsets()[:, 0], pooling.pooled)
    assert [t.get_text() for t in ax.get_yticklabels()] == pooling.levels
    assert len(ax.texts) == 3  # the levels that move most
    assert "from 4.76 to 4.35" in words(figure)
    np.testing.assert_allclose([np.std(pooling.own, ddof=1), np.std(pooling.pooled, ddof=1)], [4.76, 4.35], atol=5e-3)


def test_areas_grow_with_rows(classes):
    pooling, ax = compare(classes, "classroom"), ml.plot.shrinkage(classes, "classroom").axes[0]
    sizes = ax.collections[1].get_sizes()
    assert sizes[np.argmax(pooling.n)] == sizes.max()
    assert sizes.max() > 2 * sizes.min()


def test_names_give_way_when_there_are_too_many(fits):
    ax = ml.plot.shrinkage(fits["many"]).axes[0]
    assert ax.get_yticklabels() == []
    assert ax.get_ylabel() == "150 levels of g"
    assert ax.get_figure().get_size_inches()[1] < 10


def test_estimates_far_out_do_not_squeeze_the_others(groups_of_any_size, words):
    data = groups_of_any_size(150, slope=0.5)
    data = pd.concat([data, pd.DataFrame({"g": ["odd"] * 2, "x": [0.0, 0.01], "y": [0.0, 2.0]})])  # a slope of 200
    fit = ml.fit("y ~ x + (x | g)", data)
    pooling, figure = compare(fit, term="x"), ml.plot.shrinkage(fit, term="x")
    low, high = figure.axes[0].get_xlim()
    assert low < pooling.pooled.min() < pooling.pooled.max() < high < pooling.own.max()
    assert "Beyond the picture: own estimates of" in words(figure)
    assert any(t.get_text().startswith("odd") for t in figure.axes[0].texts)


def test_an_unknown_term_is_refused(classes):
    with pytest.raises(SettingError, match="does not vary"):
        ml.plot.shrinkage(classes, "school", "funding")


def test_complete_pooling_is_said(fits, words):
    assert "all 8 levels are pooled completely" in words(ml.plot.shrinkage(fits["eight"]))


# --- caterpillar -------------------------------------------------------------------------------------------------
def test_caterpillar_shows_effects_and_intervals_in_order(schools, words):
    figure = ml.plot.caterpillar(schools, level=0.8)
    ax = figure.axes[0]
    table = schools.group_effects("school").sort_values("estimate", kind="stable")
    assert [t.get_text() for t in ax.get_yticklabels()] == table["level"].tolist()
    codes = [schools.model.design.groups[0].levels.index(v) for v in table["level"]]
    half = half_widths(schools, 0, 0, level=0.8)[codes]
    assert (half > 1.2815515655446004 * table["std_error"]).all()  # more is uncertain than these standard errors hold
    # balanced means, λ the weight of their own: τ²(1 − λ) + λ² Var(μ̂), before the variances' uncertainty
    weight, between = schools.shrinkage()["lambda"][0], schools.variance_components["variance"][0]
    plain = np.sqrt(between * (1 - weight) + weight**2 * schools.vcov[0, 0])
    assert (half > 1.2815515655446004 * plain).all()
    assert (half < 1.08 * 1.2815515655446004 * plain).all()
    ends = np.concatenate([s for c in ax.collections[::2] for s in c.get_segments()])
    expected = np.concatenate([table["estimate"] - half, table["estimate"] + half])
    np.testing.assert_allclose(np.sort(ends[:, 0]), np.sort(expected), rtol=1e-9)
    apart = int(np.sum(np.abs(table["estimate"]) > half))
    assert f"{apart} of 30 levels are clearly above or below" in words(figure)


def test_caterpillar_has_a_panel_for_each_coefficient(classes):
    titles = [ax.get_title(loc="left") for ax in ml.plot.caterpillar(classes, "school").axes]
    assert titles == ["Intercept by school", "ses by school"]
    titles = [ax.get_title(loc="left") for ax in ml.plot.caterpillar(classes, "school", term="ses").axes]
    assert titles == ["ses by school"]


def test_the_extremes_of_many_levels_are_named(fits):
    effects = fits["many"].group_effects("g")
    effects = effects[effects["term"] == "x"].sort_values("estimate")["level"].tolist()
    ax = ml.plot.caterpillar(fits["many"], term="x").axes[0]
    assert {t.get_text() for t in ax.texts} == {*effects[:3], *effects[-3:]}


# --- pooling -----------------------------------------------------------------------------------------------------
def test_dumbbells_are_the_estimates_of_the_comparison(classes):
    found = ml.pooling(classes)
    table = found.table[found.table["term"] == "ses"].sort_values("none")
    figure = ml.plot.pooling(found, term="ses")
    for ax, own, partial in zip(figure.axes, ("none", "none_se"), ("partial", "partial_se"), strict=True):
        np.testing.assert_allclose(ax.collections[1].get_offsets()[:, 0], table[own])
        np.testing.assert_allclose(ax.collections[2].get_offsets()[:, 0], table[partial])
    assert [t.get_text() for t in figure.axes[0].get_yticklabels()] == table["level"].tolist()
    complete = figure.axes[0].lines[0].get_xdata()[0]
    np.testing.assert_allclose(complete, table["complete"])


def test_complete_pooling_differs_between_levels_with_their_predictors(classes):
    table = ml.pooling(classes).table
    table = table[table["term"] == "Intercept"].sort_values("none")
    ax = ml.plot.pooling(classes).axes[0]
    marks = np.array([segment[0, 0] for segment in ax.collections[3].get_segments()])
    np.testing.assert_allclose(marks, table["complete"])
    assert np.ptp(marks) > 1


def test_the_heading_is_the_comparison(classes, words):
    scores = ml.pooling(classes).scores.set_index("estimator")["loo_difference"]
    text = words(ml.plot.pooling(classes))
    assert f"ahead by {-scores['none']:.0f} ±" in text
    assert "as well as any" in words(ml.plot.pooling(ml.fit("y ~ 1 + (1 | g)", weak())))


def weak() -> pd.DataFrame:
    """Groups that differ by about as much as noise makes them."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(6), 5)
    return pd.DataFrame({"g": g, "y": rng.normal(0, 1, 30) + rng.normal(0, 0.6, 6)[g]})


def test_a_model_does_as_well_as_a_fit():
    model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    assert len(ml.plot.pooling(model).axes) == 2
    with pytest.raises(SettingError, match='did you mean "school"'):
        ml.plot.pooling(ml.pooling(model), group="shcool")
