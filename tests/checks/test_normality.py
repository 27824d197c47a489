"""Normality: the statistic against SciPy's, its level, standardised effects, and what they catch."""

from __future__ import annotations

import numpy as np
import pytest
from deserving import EXPECTED, FORMULA, unhealthy
from scipy import stats

import multilevel as ml
from multilevel.checks.case import Case
from multilevel.checks.check import check
from multilevel.checks.normality import EXPECTED as MEAN_A2
from multilevel.checks.normality import anderson_darling, normality, qq_points


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_statistic_equals_scipys():
    x = np.random.default_rng(1).gamma(3.0, size=60)
    z = (x - x.mean()) / x.std(ddof=1)
    factor = 1.0 + 0.75 / 60 + 2.25 / 60**2
    assert anderson_darling(z[:, None])[0] / factor == pytest.approx(stats.anderson(x, "norm").statistic, rel=1e-10)


def test_p_values_are_uniform_under_normality():
    rng = np.random.default_rng(2)
    for n in (10, 60):
        p = np.array([normality(rng.standard_normal(n)).p_value for _ in range(2000)])
        assert np.mean(p < 0.01) == pytest.approx(0.01, abs=0.008)
        assert np.mean(p < 0.1) == pytest.approx(0.1, abs=0.025)


def test_the_mean_of_the_statistic():
    z = np.random.default_rng(3).standard_normal((400, 4000))
    z = (z - z.mean(axis=0)) / z.std(axis=0, ddof=1)
    assert anderson_darling(z).mean() == pytest.approx(MEAN_A2, rel=0.03)


def test_published_percentage_points():
    # Stephens (1986), table 4.7, case 3: A* = 0.752 at 5%, 1.035 at 1%
    from multilevel.checks.normality import _p_value

    assert _p_value(0.752) == pytest.approx(0.05, abs=0.001)
    assert _p_value(1.035) == pytest.approx(0.01, abs=0.0005)


def test_standardised_effects_have_unit_variance_whatever_the_size_of_the_level():
    rng = np.random.default_rng(5)
    sizes = np.tile([2, 4, 30], 40)
    g = np.repeat(np.arange(120), sizes)
    z = []
    for _ in range(30):
        y = rng.normal(size=120)[g] + 2.0 * rng.normal(size=len(g))
        (effects,) = Case(ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g})).effects
        z.append(effects.z)
    spread = np.array(z).std(axis=0)
    for rows in (2, 4, 30):
        assert np.sqrt(np.mean(spread[sizes == rows] ** 2)) == pytest.approx(1.0, abs=0.06), rows


def test_pairs_of_rows_are_not_taken_for_heavy_tails():
    rng = np.random.default_rng(6)
    alarms = 0
    for _ in range(30):
        g = np.repeat(np.arange(100), 2)
        y = 3.0 * rng.normal(size=100)[g] + rng.normal(size=200)
        (finding,) = check(ml.fit("y ~ 1 + (1 | g)", {"y": y, "g": g})).code("N_RESIDUAL_SHAPE")
        alarms += finding.severity != "ok"
    assert alarms <= 2  # residuals of a pair are nearly ±: half the rows say nothing new


@pytest.mark.parametrize("what", ["heavy tails", "skew groups", "far group"])
def test_it_fires_where_it_should(what):
    for seed in range(3):
        found = check(ml.fit(FORMULA, unhealthy(what, seed))).code(EXPECTED[what])
        assert any(f.severity != "ok" for f in found), (what, seed)


def test_outlying_levels_are_named():
    (finding,) = check(ml.fit(FORMULA, unhealthy("far group"))).code("N_OUTLYING_LEVELS")
    assert finding.values["levels"] == ["g3"]


def test_qq_band_is_that_of_order_statistics():
    theoretical, ordered, lower, upper = qq_points(np.array([0.3, -1.0, 2.0]))
    assert ordered.tolist() == [-1.0, 0.3, 2.0]
    assert theoretical[1] == pytest.approx(0.0, abs=1e-12)
    # the least of three uniform values lies below 1 − 0.025^(1/3) with probability 0.975
    assert upper[0] == pytest.approx(stats.norm.ppf(1 - 0.025 ** (1 / 3)))
    np.testing.assert_allclose(lower, -upper[::-1])
    x = np.random.default_rng(1).standard_normal((500, 40))
    inside = [(lambda q: (q[1] > q[2]) & (q[1] < q[3]))(qq_points(row)) for row in x]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.01)
