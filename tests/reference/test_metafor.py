"""Meta-analysis as a hierarchical model with known standard errors, ``y | se(s) ~ 1 + (1 | study)``, against metafor.

metafor's REML log-likelihood adds ½ log |X'X|; ours, like lme4's, does not.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import MultilevelWarning

HERE = Path(__file__).parent
FITS = {fit["id"]: fit for fit in json.loads((HERE / "metafor_fits.json").read_text(encoding="utf-8"))}
ALL = pytest.mark.parametrize("name", FITS)


def rows(reference: dict) -> pd.DataFrame:
    data = pd.DataFrame({"yi": reference["yi"], "sei": np.sqrt(reference["vi"])})
    data["study"] = [f"s{i:02d}" for i in range(len(data))]
    if "ablat" in reference["formula"]:
        data["ablat"] = pd.read_csv(HERE / "data" / "bcg.csv")["ablat"].astype(float)
    return data


@cache
def fitted(name: str) -> ml.Fit:
    reference = FITS[name]
    formula = reference["formula"].replace("yi | vi", "yi | se(sei)")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)
        return ml.fit(formula, rows(reference), estimator=reference["method"].lower())


def test_effect_sizes_of_the_trials_follow_from_the_counts() -> None:
    """The stored log risk ratios are those of the 13 trials."""
    d = pd.read_csv(HERE / "data" / "bcg.csv")
    treated, control = d.tpos + d.tneg, d.cpos + d.cneg
    np.testing.assert_allclose(np.log((d.tpos / treated) / (d.cpos / control)), FITS["bcg_ml"]["yi"], rtol=1e-12)
    np.testing.assert_allclose(1 / d.tpos - 1 / treated + 1 / d.cpos - 1 / control, FITS["bcg_ml"]["vi"], rtol=1e-12)


@ALL
def test_likelihood(name: str) -> None:
    reference, fit = FITS[name], fitted(name)
    theirs = reference["loglik"]
    if reference["method"] == "REML":
        columns = [np.ones(fit.n_obs)]
        if "ablat" in reference["formula"]:
            columns.append(rows(reference)["ablat"].to_numpy())
        x = np.column_stack(columns)
        theirs -= 0.5 * np.linalg.slogdet(x.T @ x)[1]
    assert fit.log_likelihood == pytest.approx(theirs, rel=1e-9)


@ALL
def test_effects_and_heterogeneity(name: str) -> None:
    reference, fit = FITS[name], fitted(name)
    table = pd.DataFrame(fit.fixed_effects)
    errors = np.array([v["se"] for v in reference["fixef"].values()])
    theirs = np.array([v["est"] for v in reference["fixef"].values()])
    assert np.max(np.abs(table["estimate"].to_numpy() - theirs) / errors) < 1e-5
    np.testing.assert_allclose(table["std_error"].to_numpy(), errors, rtol=1e-5)
    tau2 = float(fit.estimates.covariances[0][0, 0])
    assert tau2 == pytest.approx(reference["tau2"], rel=1e-5)
    assert fit.sigma is None
    if reference["tau2"] == 0.0:
        assert tau2 == 0.0
        assert fit.boundary == ["study"]


@ALL
def test_study_effects(name: str) -> None:
    reference, fit = FITS[name], fitted(name)
    head = [v["pred"] for v in reference["blup_head"].values()]
    np.testing.assert_allclose(fit.fitted_values[: len(head)], head, rtol=1e-5)
