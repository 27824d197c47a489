"""Linear mixed models against R: lme4 (and nlme where the model is the same), fit by fit.

The numbers come from `lme4_fits.json` (made by `collect.py`, each with its origin). Their own precision sets the
tolerances: the fits were polished, yet lme4 stops at gradients of about 1e-6, so likelihoods agree to 1e-9 relative,
fixed effects to 1e-6 standard errors and standard deviations to 1e-5; lmerTest's degrees of freedom come from
numerical derivatives and profile intervals from interpolation.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reference_data import prepared

import multilevel as ml
from multilevel.errors import MultilevelWarning

HERE = Path(__file__).parent
FITS = {fit["id"]: fit for fit in json.loads((HERE / "lme4_fits.json").read_text(encoding="utf-8"))}
ALL = pytest.mark.parametrize("name", FITS)


@cache
def fitted(name: str) -> ml.Fit:
    fit = FITS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)  # singular fits, many levels: not what is tested here
        return ml.fit(fit["formula"], prepared(fit), estimator=fit["method"].lower())


def group_key(label: str) -> frozenset[str]:
    """lme4 calls ``batch/cask`` `cask:batch`, and repeats of a factor `Subject.1`; nlme calls it `cask`."""
    return frozenset(label.removesuffix(".1").split(":"))


def our_term(fit: ml.Fit, label: str) -> list[int]:
    """Positions of the group terms that lme4's label speaks of."""
    groups = fit.model.design.groups
    found = [t for t, g in enumerate(groups) if group_key(g.label) == group_key(label)]
    return found or [t for t, g in enumerate(groups) if label in g.label.split(":")][-1:]


@ALL
def test_data_are_the_same(name: str) -> None:
    assert fitted(name).n_obs == FITS[name]["n_obs"]


@ALL
def test_likelihood(name: str) -> None:
    """Not below R's by more than 1e-7 relative; above it by 1e-4 would be another model or another constant."""
    ours, theirs = fitted(name).log_likelihood, FITS[name]["loglik"]
    assert ours > theirs - 1e-7 * abs(theirs)
    assert ours < theirs + 1e-4
    assert ours == pytest.approx(theirs, rel=1e-8)


@ALL
def test_fixed_effects(name: str) -> None:
    fit, rows = fitted(name), FITS[name]["fixef"]
    table = pd.DataFrame(fit.fixed_effects)
    ours = table["estimate"].to_numpy()
    theirs, errors = np.array([r[1] for r in rows]), np.array([r[2] for r in rows])
    assert len(ours) == len(theirs)
    assert np.max(np.abs(ours - theirs) / errors) < 1e-5
    np.testing.assert_allclose(table["std_error"].to_numpy(), errors, rtol=1e-4)


@ALL
def test_standard_deviations(name: str) -> None:
    fit, reference = fitted(name), FITS[name]
    if not reference["sd"]:
        pytest.skip("the reference parametrises the covariance in another way")
    sigma = reference["sigma"]
    assert fit.sigma == pytest.approx(sigma, rel=1e-6)
    theirs = np.sort([v for values in reference["sd"].values() for v in values])
    ours = np.sort([v for c in fit.estimates.covariances for v in np.sqrt(np.diag(c))])
    np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6 * sigma if reference["singular"] else 0.0)
    assert fit.singular == reference["singular"]
    for label, values in reference["cor"].items():
        (t,) = our_term(fit, label)
        v = fit.estimates.covariances[t]
        correlation = v / np.sqrt(np.outer(np.diag(v), np.diag(v)))
        pairs = [correlation[i, j] for j in range(len(v)) for i in range(j + 1, len(v))]
        by_rows = [correlation[i, j] for i in range(len(v)) for j in range(i)]
        near = [np.max(np.abs(np.sort(p) - np.sort(values))) for p in (pairs, by_rows)]
        assert min(near) < 1e-4


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if "df" in f])
def test_satterthwaite_degrees_of_freedom(name: str) -> None:
    df = pd.DataFrame(fitted(name).fixed_effects)["df"].to_numpy()
    np.testing.assert_allclose(df, FITS[name]["df"], rtol=1e-2)


def level_label(label: str, theirs: str, level: str) -> str:
    """lme4's `a:A` of `cask:batch` is `A:a` of our `batch:cask`; nlme writes `I/Victory`."""
    if "/" in level:
        return level.replace("/", ":")
    if label == theirs.removesuffix(".1") or ":" not in theirs:
        return level
    return ":".join(reversed(level.split(":")))


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if f["ranef"]])
def test_group_effects(name: str) -> None:
    fit, reference = fitted(name), FITS[name]
    effects, covariances = fit.estimates.effects, fit.effect_covariances
    checked = 0
    for theirs, levels in reference["ranef"].items():
        for t in our_term(fit, theirs):
            group = fit.model.design.groups[t]
            names = {"Intercept": "(Intercept)"}
            for level, values in levels.items():
                row = group.levels.index(level_label(group.label, theirs, level))
                for k, coefficient in enumerate(group.names):
                    key = names.get(coefficient, coefficient)
                    if key not in values:  # a factor's level: Machine[A] is MachineA
                        key = key.replace("[T.", "").replace("[", "").replace("]", "")
                    if key not in values:
                        continue
                    sd = np.sqrt(fit.estimates.covariances[t][k, k])
                    assert abs(effects[t][row, k] - values[key]["mode"]) < 1e-4 * sd + 1e-6 * reference["sigma"]
                    if values[key]["sd"] is not None and sd > 0:
                        assert np.sqrt(covariances[t][row, k, k]) == pytest.approx(values[key]["sd"], rel=1e-4)
                    checked += 1
    assert checked > 0


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if f["fitted_head"] and f["origin"].startswith("lme4")])
def test_fitted_values(name: str) -> None:
    head = FITS[name]["fitted_head"]
    np.testing.assert_allclose(fitted(name).fitted_values[: len(head)], head, rtol=1e-6)


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if "profile_ci_95" in f])
def test_profile_intervals_of_standard_deviations(name: str) -> None:
    fit, reference = fitted(name), FITS[name]["profile_ci_95"]
    intervals, residual = fit.sd_intervals(0.95)

    def same(ours: tuple[float, float], theirs: dict[str, float]) -> None:
        width = theirs["upper"] - theirs["lower"]
        assert ours[0] == pytest.approx(theirs["lower"], abs=1e-2 * width)
        assert ours[1] == pytest.approx(theirs["upper"], abs=1e-2 * width)

    same(residual, reference["sigma"])
    for key, interval in reference.items():
        if not key.startswith("sd_"):
            continue
        term, label = key.removeprefix("sd_").split("|")
        for t in our_term(fit, label):
            k = fit.model.design.groups[t].names.index(term.replace("(Intercept)", "Intercept"))
            same(intervals[t][k], interval)


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if "predict_new" in f])
def test_predictions_for_new_rows(name: str) -> None:
    fit, reference = fitted(name), FITS[name]["predict_new"]
    rows = pd.DataFrame(reference["newdata"])
    population = fit.predict(rows, target="reference", interval=None)
    np.testing.assert_allclose(np.asarray(population["estimate"]), reference["population"], rtol=1e-7)
    known = rows[rows["Subject"] != "new"]
    conditional = fit.predict(known, interval=None)
    theirs = [
        v for v, subject in zip(reference["with_group_effects"], rows["Subject"], strict=True) if subject != "new"
    ]
    np.testing.assert_allclose(np.asarray(conditional["estimate"]), theirs, rtol=1e-7)


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if "icc" in f])
def test_intraclass_correlation_and_r2(name: str) -> None:
    """R's performance: all groups together; with varying slopes averaged over the rows, as ours."""
    fit, reference = fitted(name), FITS[name]
    assert sum(fit.icc().values()) == pytest.approx(reference["icc"]["adjusted"], abs=1e-5)
    found = fit.r2()
    assert found["marginal"] == pytest.approx(reference["r2_nakagawa"]["marginal"], abs=1e-5)
    assert found["conditional"] == pytest.approx(reference["r2_nakagawa"]["conditional"], abs=1e-5)
    for label, share in reference.get("icc_by_group", {}).items():
        assert fit.icc()[label] == pytest.approx(share, abs=1e-5)
