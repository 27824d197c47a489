"""Predictive checks by group: statistics by hand, levels, and groups that stand out."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from deserving import FORMULA, healthy, unhealthy

import multilevel as ml
from multilevel.checks.check import check
from multilevel.checks.predictive import STATISTICS, predictive_checks
from multilevel.errors import SettingError


def test_statistics_by_hand_with_rows_in_any_order():
    data = healthy(1).sample(frac=1.0, random_state=3)
    (part,) = predictive_checks(ml.fit(FORMULA, data), n=40).groups
    by = data.groupby("g")["y"]
    for name, values in zip(STATISTICS, (by.mean(), by.std(), by.min(), by.max()), strict=True):
        np.testing.assert_allclose(part.observed[name], values[list(part.levels)], atol=1e-12)
    assert part.n.tolist() == [10] * 30


def test_simulated_means_are_those_of_the_marginal_model():
    data = healthy(1)
    fit = ml.fit(FORMULA, data)
    (part,) = predictive_checks(fit, n=400).groups
    tau2, sigma2 = fit.estimates.covariances[0][0, 0], fit.sigma**2
    np.testing.assert_allclose(part.spread["mean"], np.sqrt(tau2 + sigma2 / 10), rtol=0.2)
    fixed = fit.predict(target="reference", interval=None)["estimate"].to_numpy()
    centre = pd.Series(fixed).groupby(data["g"]).mean()[list(part.levels)]
    np.testing.assert_allclose(part.centre["mean"], centre, atol=0.25)


def test_a_wild_group_is_named():
    checks = check(ml.fit(FORMULA, unhealthy("wild group")))
    (finding,) = checks.code("N_PREDICTIVE")
    assert finding.severity == "caution"
    assert finding.values["levels"] == ["g7"]
    assert finding.values["quantity"] == "sd"
    (part,) = predictive_checks(ml.fit(FORMULA, unhealthy("wild group"))).groups
    assert part.levels[part.outside("sd")[0]] == "g7"


def test_the_simultaneous_band_covers_all_levels_together():
    outside = {name: 0 for name in STATISTICS}
    for seed in range(60):
        (part,) = predictive_checks(ml.fit(FORMULA, healthy(seed, levels=15)), n=100, seed=seed).groups
        for name in STATISTICS:
            outside[name] += len(part.outside(name)) > 0
    # at most 5% each, fewer for means, to which the fit was adapted
    assert max(outside.values()) <= 8


def test_table_and_text_for_two_factors():
    fit = ml.fit("rating ~ 1 + (1 | rater) + (1 | item)", ml.datasets.load("ratings"))
    found = predictive_checks(fit, n=30)
    table = found.table
    assert list(table.columns) == [
        "group", "level", "n", "quantity", "observed", "expected", "lower", "upper", "p_value", "outside",
    ]  # fmt: skip
    assert len(table) == 4 * (40 + 25)
    assert (table["outside"] == ((table["observed"] < table["lower"]) | (table["observed"] > table["upper"]))).all()
    assert str(found).count("\n") == 8
    assert predictive_checks(fit, n=30).table.equals(table)


def test_levels_of_one_row_have_no_sd():
    data = healthy(1, levels=12, rows=3)
    data = data.drop(index=[0, 1])
    (part,) = predictive_checks(ml.fit("y ~ x + (1 | g)", data), n=30).groups
    i = part.levels.index("g0")
    assert np.isnan(part.observed["sd"][i])
    assert part.z["sd"][i] == 0.0


def test_refusals():
    with pytest.raises(SettingError, match="no grouping factor"):
        predictive_checks(ml.fit("y ~ x", healthy(1)))
    with pytest.raises(SettingError, match="too few"):
        predictive_checks(ml.fit(FORMULA, healthy(1)), n=5)
