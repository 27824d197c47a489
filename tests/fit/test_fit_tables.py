"""Tables of a fit: columns as the glossary names them, in the frames that the data came in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy.special import stdtr, stdtrit

import multilevel as ml
from multilevel import glossary
from multilevel.errors import SettingError

MAKERS = {pd.DataFrame: pd.DataFrame, pl.DataFrame: pl.DataFrame, pa.Table: pa.table}


def names(table) -> tuple[str, ...]:
    return tuple(getattr(table, "column_names", None) or table.columns)


@pytest.mark.parametrize("kind", MAKERS, ids=lambda kind: kind.__module__.partition(".")[0])
def test_columns_and_kind(kind, rows):
    fit = ml.fit("y ~ x + (x | g)", MAKERS[kind](rows))
    tables = {
        glossary.FIXED_EFFECTS: fit.fixed_effects,
        glossary.GROUP_EFFECTS: fit.group_effects("g"),
        glossary.VARIANCE_COMPONENTS: fit.variance_components,
        glossary.CORRELATIONS: fit.correlations,
        glossary.INTERVALS: fit.confint(),
        glossary.SHRINKAGE: fit.shrinkage(),
    }
    for expected, table in tables.items():
        assert isinstance(table, kind)
        assert names(table) == expected
        assert set(expected) <= set(glossary.MEANING)


def test_fixed_effects_are_t_intervals(sleepstudy):
    table = sleepstudy.fixed_effects
    assert table["term"].tolist() == ["Intercept", "Days"]
    assert table["df"].to_numpy() == pytest.approx([17.0, 17.0], abs=1e-3)
    assert table["statistic"].to_numpy() == pytest.approx([36.838, 6.771], abs=1e-3)
    assert table["p_value"].to_numpy() == pytest.approx(2.0 * stdtr(table["df"], -table["statistic"].abs()))
    half = stdtrit(table["df"], 0.975) * table["std_error"]
    assert (table["upper"] - table["estimate"]).to_numpy() == pytest.approx(half)


def test_satterthwaite_of_varying_intercepts():
    table = ml.fit("Reaction ~ Days + (1 | Subject)", ml.datasets.load("lme4/sleepstudy")).fixed_effects
    assert table["df"].to_numpy() == pytest.approx([22.81, 161.0], abs=5e-3)  # lmerTest


def test_variance_components_end_with_the_residual(sleepstudy):
    table = sleepstudy.variance_components
    assert table["group"].tolist() == ["Subject", "Subject", "Residual"]
    assert table["term"].tolist() == ["Intercept", "Days", ""]
    assert table["sd"].to_numpy() == pytest.approx([24.7405, 5.9221, 25.5918], abs=1e-3)
    assert table["variance"].to_numpy() == pytest.approx(table["sd"] ** 2)
    assert ((table["lower"] < table["sd"]) & (table["sd"] < table["upper"])).all()
    assert sleepstudy.correlations["correlation"][0] == pytest.approx(0.0656, abs=1e-3)


def test_terms_of_one_group_stand_together(rows):
    fit = ml.fit("y ~ x + (1 | g) + (0 + x | g)", rows)
    assert fit.variance_components["group"].tolist() == ["g", "g", "Residual"]
    assert len(fit.correlations) == 0
    table = fit.group_effects("g")
    assert table["term"].tolist()[:4] == ["Intercept", "x", "Intercept", "x"]
    assert table["level"].tolist()[:4] == ["0", "0", "1", "1"]
    together = ml.fit("y ~ x + (x || g)", rows)
    assert table["estimate"].to_numpy() == pytest.approx(together.group_effects("g")["estimate"], abs=1e-6)
    assert fit.shrinkage()["lambda"].to_numpy() == pytest.approx(together.shrinkage()["lambda"], abs=1e-6)


def test_several_groups_have_a_group_column():
    fit = ml.fit("diameter ~ 1 + (1 | plate) + (1 | sample)", ml.datasets.load("lme4/Penicillin"))
    table = fit.group_effects()
    assert names(table) == ("group", *glossary.GROUP_EFFECTS)
    assert table["group"].unique().tolist() == ["plate", "sample"]
    assert names(fit.group_effects("plate")) == glossary.GROUP_EFFECTS
    with pytest.raises(SettingError, match='did you mean "sample"'):
        fit.group_effects("sampel")


def test_group_effects_are_conditional_modes(sleepstudy):
    table = sleepstudy.group_effects("Subject")
    assert len(table) == 36
    assert table["estimate"][:2].to_numpy() == pytest.approx([2.2585, 9.1990], abs=1e-3)  # lme4: ranef, Subject 308
    assert table["std_error"][:2].to_numpy() == pytest.approx([12.0709, 2.3048], abs=1e-3)  # attr(, "postVar")


def test_confint_follows_the_level(sleepstudy):
    wide, narrow = sleepstudy.confint(0.99), sleepstudy.confint(0.8)
    assert wide["parameter"].tolist() == ["fixed", "fixed", "sd", "sd", "sigma"]
    assert (wide["lower"] < narrow["lower"]).all()
    assert (wide["upper"] > narrow["upper"]).all()


def test_icc_of_one_group():
    fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    variance = fit.variance_components["variance"]
    assert fit.icc()["school"] == pytest.approx(variance[0] / variance.sum())
    assert fit.icc("correlation") == fit.icc()
    with pytest.raises(SettingError, match="correlation"):
        fit.icc("corelation")


def test_icc_of_nested_groups_accumulates():
    fit = ml.fit("strength ~ 1 + (1 | batch/cask)", ml.datasets.load("lme4/Pastes"))
    share, correlation = fit.icc(), fit.icc("correlation")
    assert correlation["batch"] == share["batch"]
    assert correlation["batch:cask"] == pytest.approx(share["batch"] + share["batch:cask"])


def test_icc_averages_slopes_over_rows(slopes, rows):
    z = np.column_stack([np.ones(96), rows["x"]])
    between = np.einsum("ni,ij,nj->n", z, slopes.estimates.covariances[0], z).mean()
    assert slopes.icc()["g"] == pytest.approx(between / (between + slopes.sigma**2))


def test_shrinkage_of_varying_intercepts(rows):
    fit = ml.fit("y ~ 1 + (1 | g)", {**rows, "g": np.minimum(rows["g"], 9)})
    table, variance = fit.shrinkage(), fit.variance_components["variance"]
    n = table["n"].to_numpy()
    assert n.tolist() == [8] * 9 + [24]
    assert table["lambda"].to_numpy() == pytest.approx(n * variance[0] / (n * variance[0] + variance[1]))


def test_shrinkage_at_both_ends(rows):
    for estimator, expected in (("none", 1.0), ("complete", 0.0)):
        fit = ml.fit("y ~ x + (1 | g)", rows, estimator=estimator)
        assert fit.shrinkage()["lambda"].tolist() == [expected] * 12


def test_frequency_weights_count_as_rows(rows):
    counts = np.arange(96) % 3 + 1
    weighted = ml.fit("y | weights(w) ~ x + (x | g)", {**rows, "w": counts})
    repeated = ml.fit("y ~ x + (x | g)", {name: np.repeat(v, counts) for name, v in rows.items()})
    assert weighted.n_obs == repeated.n_obs == counts.sum()
    assert weighted.bic == pytest.approx(repeated.bic, rel=1e-10)
    assert weighted.icc()["g"] == pytest.approx(repeated.icc()["g"], rel=1e-6)
    assert weighted.shrinkage()["n"].tolist() == repeated.shrinkage()["n"].tolist()
