"""Plots of generalized models: every plot of every kind of response, on the right scale, infinities marked."""

from __future__ import annotations

import io
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.checks.own_rows import own_rows
from multilevel.errors import SettingError
from multilevel.plots.distribution import counted
from multilevel.plots.fitted import fitted_lines
from multilevel.plots.shrinkage import compare
from multilevel.registry import members

OTHERS = ("trace", "rank", "pair", "energy", "calibration", "prior_predictive")  # not of likelihood fits
PLOTS = tuple(name for name in members("plots") if name not in OTHERS)
FAMILIES = {
    "poisson": "count ~ x + (x | g)",
    "bernoulli": "yes ~ x + (1 | g)",
    "binomial": "k | trials(n) ~ x + (1 | g)",
    "cumulative": "rating ~ x + (1 | g)",
    "categorical": "choice ~ x + (1 | g)",
    "gamma": "amount ~ x + (1 | g)",
    "zero_inflated_poisson": "count ~ x + (1 | g); zi ~ x",
}
NO_SLOPE = {("icc_along", family): "no slope varies" for family in FAMILIES if family != "poisson"}
REFUSED = {
    **NO_SLOPE,
    **{(name, "categorical"): "linear predictor" for name in ("fitted", "targets", "new_group", "variance_shares")},
    ("acf", "categorical"): "categories without order",
}


@cache
def table() -> pd.DataFrame:
    """Sixteen groups of ten; g00 all zeros, g01 all successes."""
    rng = np.random.default_rng(3)
    g = np.repeat(np.arange(16), 10)
    x = rng.normal(size=160)
    eta = 0.5 + 0.6 * x + 0.6 * rng.normal(size=16)[g]
    p = 1.0 / (1.0 + np.exp(-eta))
    out = pd.DataFrame({"g": [f"g{i:02d}" for i in g], "x": x})
    out["count"] = np.where(g == 0, 0, rng.poisson(np.exp(eta)))
    out["yes"] = np.select([g == 0, g == 1], [0, 1], rng.random(160) < p).astype(int)
    out["n"] = rng.integers(2, 12, 160)
    out["k"] = rng.binomial(out.n, p)
    out["rating"] = np.digitize(eta + rng.logistic(size=160), [-1.0, 0.0, 1.0])
    out["choice"] = np.array(list("abc"))[np.digitize(eta + rng.logistic(size=160), [0.0, 1.0])]
    out["amount"] = rng.gamma(2.0, np.exp(eta) / 2.0)
    return out


@cache
def fit(family: str) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.fit(FAMILIES[family], table(), family=family)


def separated() -> ml.Fit:
    data = table().assign(kind=np.where(np.arange(160) % 3 == 0, "b", "a"))
    data["yes"] = np.where(data.kind == "b", 1, data.yes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ml.fit("yes ~ x + kind + (1 | g)", data, family="bernoulli")


def words(figure) -> str:
    return " ".join(" ".join(t.get_text() for t in figure.texts).split())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", PLOTS)
def test_every_plot_of_every_family(name: str, family: str) -> None:
    if (name, family) in REFUSED:
        with pytest.raises(SettingError, match=REFUSED[name, family]) as error:
            getattr(ml.plot, name)(fit(family))
        assert error.value.hint
        return
    figure = getattr(ml.plot, name)(fit(family))
    figure.set_dpi(40)
    figure.savefig(io.BytesIO(), format="png")
    assert words(figure)
    limits = np.array([(*ax.get_xlim(), *ax.get_ylim()) for ax in figure.axes])
    assert np.isfinite(limits).all()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.02
    assert box.y0 > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02
    if figure.axes and name != "fitted":  # panels keep their width, whatever lies at infinity
        assert all(ax.get_position().width > 0.06 for ax in figure.axes if ax.get_visible())


# --- scales -----------------------------------------------------------------------------------------------------
def test_fitted_lines_are_means_of_the_response() -> None:
    lines = fitted_lines(fit("bernoulli"), "x")
    assert lines.groups.min() >= 0
    assert lines.groups.max() <= 1
    beta = fit("bernoulli").coefficients
    mean_x = table().x.mean()
    at = np.interp(mean_x, lines.grid, lines.population)
    assert at == pytest.approx(1 / (1 + np.exp(-beta["Intercept"] - beta["x"] * mean_x)), rel=1e-3)
    i = lines.levels.index("g03")
    effect = fit("bernoulli").estimates.effects[0][i, 0]
    at = np.interp(mean_x, lines.grid, lines.groups[i])
    assert at == pytest.approx(1 / (1 + np.exp(-beta["Intercept"] - beta["x"] * mean_x - effect)), rel=1e-3)


def test_fitted_lines_of_zero_inflated_counts_hold_the_zeros() -> None:
    lines = fitted_lines(fit("zero_inflated_poisson"), "x")
    mean = np.asarray(fit("zero_inflated_poisson").predict(interval=None)["estimate"]).mean()
    assert np.median(lines.groups) == pytest.approx(mean, rel=0.5)


def test_headings_speak_of_the_links_scale() -> None:
    assert "(log odds)" in words(ml.plot.fitted(fit("bernoulli")))
    axis = ml.plot.caterpillar(fit("bernoulli")).get_supxlabel()
    assert axis == "effect of each g on log odds of P(yes = 1)"
    assert ml.plot.shrinkage(fit("poisson")).axes[0].get_xlabel().startswith("log of count")
    assert ml.plot.targets(fit("binomial")).axes[0].get_xlabel() == "proportion of k"


def test_targets_are_the_predictions() -> None:
    from multilevel.predictions.typical import typical, typical_rows

    for family in ("poisson", "bernoulli"):
        found = typical(fit(family), typical_rows(fit(family)), "new_group")
        row = {"x": [float(table().x.mean())], "g": ["another"]}
        expected = fit(family).predict(row, target="new_group")
        assert float(found["estimate"][0]) == pytest.approx(float(expected["estimate"].iloc[0]), rel=1e-6)
        assert float(found["upper"][0]) == pytest.approx(float(expected["upper"].iloc[0]), rel=0.05)
    lines = ml.plot.targets(fit("poisson")).axes[0].get_yticklabels()
    assert any("average over groups" in t.get_text() for t in lines)


# --- ratios, infinities --------------------------------------------------------------------------------------------
def test_odds_ratios() -> None:
    figure = ml.plot.forest(fit("bernoulli"), exponentiate=True)
    ax = figure.axes[0]
    assert ax.get_xscale() == "log"
    assert "odds ratio of" in ax.get_xlabel()
    point = ax.collections[-1].get_offsets()[0, 0]
    assert point == pytest.approx(np.exp(fit("bernoulli").coefficients["x"]))
    assert "ratio of count" in ml.plot.forest(fit("poisson"), exponentiate=True).axes[0].get_xlabel()


def test_ratios_are_refused_where_they_mean_nothing() -> None:
    linear = ml.fit("amount ~ x + (1 | g)", table())
    for subject in (linear, fit("zero_inflated_poisson")):  # the latter has log and logit coefficients together
        with pytest.raises(SettingError, match="exponentiate"):
            ml.plot.forest(subject, exponentiate=True)
    assert ml.plot.forest(fit("zero_inflated_poisson"), "x", exponentiate=True)


def test_infinite_coefficients_are_triangles() -> None:
    figure = ml.plot.forest(separated())
    assert "infinite: separation" in words(figure)
    markers = [line.get_marker() for line in figure.axes[0].lines]
    assert ">" in markers
    assert any("infinite" in t.get_text() for t in figure.axes[0].texts)


def test_levels_at_infinity_are_marked_and_not_averaged() -> None:
    found = compare(fit("bernoulli"))
    own = dict(zip(found.levels, found.own, strict=True))
    assert own["g00"] == -np.inf
    assert own["g01"] == np.inf
    figure = ml.plot.shrinkage(fit("bernoulli"))
    assert "levels back from infinity" in words(figure)
    assert {"<", ">"} <= {line.get_marker() for line in figure.axes[0].lines}
    assert {"<", ">"} <= {line.get_marker() for line in ml.plot.pooling(fit("bernoulli")).axes[0].lines}


def test_own_rows_are_the_groups_means_in_a_model_of_intercepts() -> None:
    alone = ml.fit("count ~ 1 + (1 | g)", table(), family="poisson")
    found = own_rows(alone, "g")
    mean = table().groupby("g")["count"].mean().to_numpy()
    with np.errstate(divide="ignore"):
        expected = np.log(mean) - alone.coefficients["Intercept"]
    np.testing.assert_allclose(found.deviations[:, 0], expected, atol=1e-6)


def test_own_rows_solve_the_scores_of_each_group() -> None:
    found = own_rows(fit("poisson"), "g")
    data, beta = table(), fit("poisson").coefficients
    codes = fit("poisson").model.design.groups[0].codes
    deviation = found.deviations[codes]
    keep = np.isfinite(deviation).all(axis=1)
    eta = beta["Intercept"] + beta["x"] * data.x + deviation[:, 0] + deviation[:, 1] * data.x
    score = np.where(keep, data["count"] - np.exp(eta), 0.0)
    for column in (np.ones(160), data.x):
        np.testing.assert_allclose(np.bincount(codes, score * column), 0.0, atol=1e-5)


# --- distributions ----------------------------------------------------------------------------------------------
def test_bars_count_the_rows() -> None:
    bars = counted(fit("poisson"), 20)
    values = np.bincount(table()["count"])
    np.testing.assert_array_equal(bars.observed[: len(values)], values)
    assert (bars.simulated.sum(axis=0) == 160).all()
    assert bars.counts
    bars = counted(fit("categorical"), 20)
    assert bars.names == ("a", "b", "c")
    np.testing.assert_array_equal(bars.observed[:3], table().choice.value_counts().loc[list("abc")])


def test_too_many_zeros_show_in_the_bars() -> None:
    rng = np.random.default_rng(1)
    data = pd.DataFrame({"g": np.repeat(np.arange(30), 20).astype(str)})
    data["y"] = np.where(rng.random(600) < 0.4, 0, rng.poisson(4.0, 600))
    figure = ml.plot.distribution(ml.fit("y ~ 1 + (1 | g)", data, family="poisson"))
    assert "most of all 0: more rows than it makes" in words(figure)


def test_binary_means_stay_between_zero_and_one() -> None:
    from multilevel.checks.predictive import predictive_checks

    low, high = predictive_checks(fit("bernoulli"), 50).groups[0].band("mean")
    assert low.min() >= 0
    assert high.max() <= 1
