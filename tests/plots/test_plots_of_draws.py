"""Trace, rank, pair and energy plots: the draws that are drawn, and what their headings say of them."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.figure import Figure
from sampled_helpers import fit_of, sample_of, sampled

import multilevel as ml
from multilevel.errors import SettingError

OF_DRAWS = ("trace", "rank", "pair", "energy")
pytestmark = pytest.mark.filterwarnings("ignore:Glyph")


@pytest.fixture(scope="module")
def likelihood():
    return ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))


@pytest.fixture(scope="module")
def healthy(likelihood):
    return fit_of(likelihood, sample_of(likelihood, draws=300))


@pytest.fixture(scope="module")
def bad(likelihood):
    """Slow chains with divergences at small standard deviations, and an energy that creeps."""
    sample = sample_of(likelihood, rho=0.97, draws=200)
    sd = np.sqrt(sample.covariances[0][..., 0, 0])
    walk = np.cumsum(np.random.default_rng(0).normal(size=(4, 200)), axis=1)
    stats = {**sample.stats, "divergent": sd < np.quantile(sd, 0.02), "energy": walk}
    return fit_of(likelihood, replace(sample, stats=stats))


@pytest.fixture(scope="module")
def difficult():
    """Names that are markup, a single chain, and many parameters."""
    rng = np.random.default_rng(5)
    names = ["$\\foo$", "a$b", "\x1b[31mred", "x" * 400, "{}%s", "line\nbreak"]
    code = np.repeat(np.arange(6), 8)
    data = {f"x$_{j}$": rng.normal(size=48) for j in range(8)} | {"g $\\bar{g}$": [names[c] for c in code]}
    data["y"] = rng.normal(size=6)[code] + rng.normal(size=48)
    formula = "y ~ " + " + ".join(f"`x$_{j}$`" for j in range(8)) + " + (1 | `g $\\bar{g}$`)"
    return sampled(formula, data, chains=2, draws=60)


@pytest.mark.parametrize("name", OF_DRAWS)
def test_every_plot_of_every_sample(name, healthy, bad, difficult, words):
    for fit in (healthy, bad, difficult):
        figure = getattr(ml.plot, name)(fit)
        figure.set_dpi(40)
        figure.savefig(io.BytesIO(), format="png")
        assert words(figure)
        assert figure.get_size_inches().max() < 16
        box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
        assert box.x0 > -0.02
        assert box.x1 < width + 0.02
        assert box.y1 < height + 0.02


@pytest.mark.parametrize("name", OF_DRAWS)
def test_fits_without_draws_are_refused(name, likelihood):
    with pytest.raises(SettingError, match="draws none") as error:
        getattr(ml.plot, name)(likelihood)
    assert error.value.code == "E_NOT_SAMPLED"


def test_trace_shows_the_draws(healthy, bad, words):
    figure = ml.plot.trace(healthy, "sigma")
    left, right = figure.axes
    sigma = healthy.draws.by_chain("sigma")
    for line, draws in zip(right.lines, sigma, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), draws)
    for line, draws in zip(left.lines, sigma, strict=True):
        x, height = line.get_data()
        assert np.trapezoid(height, x) == pytest.approx(1.0, abs=0.02)
        assert np.trapezoid(height * x, x) == pytest.approx(draws.mean(), abs=0.02 * draws.std())
    assert "The chains agree" in words(figure)
    assert "have not mixed" in words(ml.plot.trace(bad))
    assert len(figure.axes) == 2
    assert len(ml.plot.trace(bad, ["beta", "r_Subject[309, Days]"]).axes) == 6


def test_many_parameters_are_reduced_to_the_worst(healthy, words):
    figure = ml.plot.trace(healthy, "r_Subject", most=3)
    assert len(figure.axes) == 6
    assert "33 parameters with better diagnostics not shown" in words(figure)


def test_unknown_parameters_are_answered_with_the_nearest(healthy):
    with pytest.raises(SettingError, match=r"did you mean \"sd\[Subject, Days\]\""):
        ml.plot.trace(healthy, "sd[Subject, Day]")


def test_ranks_are_those_of_the_draws(healthy, bad):
    from scipy.stats import rankdata

    from multilevel.plots.rank import GRID, differences

    sigma = healthy.draws.by_chain("sigma")
    ranks = (rankdata(sigma).reshape(sigma.shape) - 0.5) / sigma.size
    known = np.array([[np.mean(row <= r) for r in GRID] for row in ranks]) - GRID
    np.testing.assert_allclose(differences(sigma), known)
    figure = ml.plot.rank(healthy, "sigma")
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), known[0])


def test_the_band_of_ranks_holds_95_percent():
    from multilevel.plots.rank import band, differences

    rng = np.random.default_rng(9)
    half = band(4, 100)
    held = [np.all(np.abs(differences(rng.normal(size=(4, 100))))[:, 2:-2] <= half[2:-2]) for _ in range(400)]
    assert np.mean(held) == pytest.approx(0.95, abs=0.035)


def test_ranks_need_chains(likelihood):
    fit = fit_of(likelihood, sample_of(likelihood, chains=1, draws=500))
    with pytest.raises(SettingError, match="compare chains"):
        ml.plot.rank(fit)
    assert ml.plot.trace(fit).axes


def test_pairs_mark_divergences(bad, healthy, words):
    figure = ml.plot.pair(bad, ["sd[Subject, Intercept]", "sigma"])
    usual, divergent = figure.axes[0].collections
    marked = np.asarray(bad.estimates.certainty.sample.stats["divergent"]).ravel()
    assert len(divergent.get_offsets()) == marked.sum() == 16
    assert len(usual.get_offsets()) == 800 - 16
    sd = bad.draws["sd"][:, 0]
    np.testing.assert_allclose(divergent.get_offsets()[:, 0], np.log10(sd[marked]))
    assert "gather at low sd[Subject, Intercept]" in words(figure)
    assert "gather at low sd[Subject, Intercept]" in words(ml.plot.pair(bad))
    assert "No two of these" in words(ml.plot.pair(healthy, ["sigma", "beta[Days]"]))
    with pytest.raises(SettingError, match="two parameters"):
        ml.plot.pair(healthy, "sigma")


def test_energies(healthy, bad, words, likelihood):
    assert "moves freely" in words(ml.plot.energy(healthy))
    assert "hardly moves in 4 of 4 chains" in words(ml.plot.energy(bad))
    ax = Figure().subplots()
    ml.plot.energy(healthy, ax=ax)
    assert ax.get_title(loc="left") == "The energy moves freely"
    still = replace(sample_of(likelihood), stats={})
    with pytest.raises(SettingError, match="no energy"):
        ml.plot.energy(fit_of(likelihood, still))
