"""Autocorrelations: expectation under independence, orders, and serial errors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deserving import FORMULA, dense, healthy, unhealthy

import multilevel as ml
from multilevel.checks.autocorrelation import acf
from multilevel.checks.check import check
from multilevel.errors import SettingError


def test_expectation_is_that_of_the_residuals_not_zero():
    """E r_1 = mean of neighbouring entries of P̃, scaled by leverages, over their mean square."""
    data = healthy(1, levels=20, rows=5)
    fit = ml.fit("y ~ x + (1 | g)", data)
    found = acf(fit, lags=2)
    _, projection = dense(fit)
    scaled = projection / np.trace(projection) * len(data)
    rows = [i for i in range(len(data) - 1) if i % 5 != 4]
    assert found.expected[0] == pytest.approx(np.mean([scaled[i, i + 1] for i in rows]), abs=0.03)
    assert found.expected[0] < -0.1
    assert found.pairs.tolist() == [80, 60]


def test_correlation_by_hand():
    data = healthy(2, levels=6, rows=8)
    fit = ml.fit("y ~ 1 + (1 | g)", data)
    from multilevel.checks.case import Case

    s = Case(fit).studentized.reshape(6, 8)
    expected = np.mean(s[:, 1:] * s[:, :-1]) / np.mean(s**2)
    assert acf(fit).correlation[0] == pytest.approx(expected, rel=1e-10)


def test_levels_of_the_interval():
    outside = []
    for seed in range(60):
        found = acf(ml.fit(FORMULA, healthy(seed)), lags=3, seed=seed)
        lower, upper = found.bounds
        outside += ((found.correlation < lower) | (found.correlation > upper)).tolist()
    assert np.mean(outside) == pytest.approx(0.05, abs=0.045)


def test_serial_errors_are_found_in_row_order_and_along_a_column():
    data = unhealthy("serial").assign(time=lambda d: d.groupby("g").cumcount())
    (finding,) = check(ml.fit(FORMULA, data)).code("N_AUTOCORRELATION")
    assert finding.severity == "problem"
    shuffled = data.sample(frac=1.0, random_state=1)
    fit = ml.fit(FORMULA, shuffled)
    assert abs(acf(fit).correlation[0] - acf(fit).expected[0]) < 0.12
    found = acf(fit, order="time", data=shuffled)
    assert found.correlation[0] - found.expected[0] > 0.25
    assert found.p_values[0] < 1e-6
    assert found.order == "time"


def test_table_and_refusals():
    data = healthy(1)
    fit = ml.fit(FORMULA, data)
    table = acf(fit).table
    assert isinstance(table, pd.DataFrame)
    assert list(table.columns) == ["lag", "n", "correlation", "lower", "upper", "p_value"]
    assert table["n"].tolist()[:2] == [270, 240]
    with pytest.raises(SettingError, match="no grouping factor"):
        acf(fit, group="h")
    with pytest.raises(SettingError, match="did you mean"):
        acf(fit, order="noise_grup", data=data)
    with pytest.raises(SettingError, match="too short"):
        acf(ml.fit("y ~ x + (1 | g)", healthy(2, levels=18, rows=2)))


def test_without_groups_all_rows_are_one_series():
    rng = np.random.default_rng(1)
    e = rng.normal(size=300)
    for i in range(1, 300):
        e[i] += 0.5 * e[i - 1]
    found = acf(ml.fit("y ~ 1", {"y": e}))
    assert found.group is None
    e = e - e.mean()
    assert found.correlation[0] == pytest.approx(np.mean(e[1:] * e[:-1]) / np.mean(e**2), rel=0.02)
    assert found.expected[0] == pytest.approx(0.0, abs=0.02)
