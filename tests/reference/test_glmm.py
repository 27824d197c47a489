"""Generalized models against R: lme4, glmmTMB and ordinal, fit by fit.

The numbers come from `glmm_fits.json` (made by `collect.py`, each with its origin). The reference fits are the best of
several optimisers, polished by Newton steps; where two engines fitted the same model, the higher likelihood counts.
lme4 with a link that is not the canonical one maximises another criterion (`docs/engines.md`): its fits are in
`test_engines.py`. Tolerances are what the reference fits are worth: their standard errors come from numerical
differences, in two of them with errors that `REFERENCE_ERRORS` tells.
"""

from __future__ import annotations

import json
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from reference_data import prepared

import multilevel as ml
from multilevel.errors import MultilevelWarning

HERE = Path(__file__).parent
RECORDS = json.loads((HERE / "glmm_fits.json").read_text(encoding="utf-8"))
FITS = {fit["id"]: fit for fit in RECORDS if fit["information"] == "observed"}
# glmmTMB's differences are good to three digits there (ours agree with those of several steps to six); clmm's errors
# with a variance on the boundary are two per cent off those of the same model without it
REFERENCE_ERRORS = {"gasoline_beta": ("gasoline_beta", 2e-3), "wine_clmm_crossed": ("wine_clmm_laplace", 1e-3)}
QUADRATURE = [name for name, fit in FITS.items() if fit["nodes"] > 1]
ALL = pytest.mark.parametrize("name", FITS)


def having(key: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name, fit in FITS.items() if fit.get(key)])


@cache
def fitted(name: str) -> ml.Fit:
    fit = FITS[name]
    settings = {"estimator": "agq", "nodes": fit["nodes"]} if fit["nodes"] > 1 else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)  # singular fits, two groups: not what is tested here
        return ml.fit(fit["formula"], prepared(fit), family=fit["family"], link=fit["link"], **settings)


def saturated(name: str) -> float:
    """The log-likelihood with every mean at its response, which lme4 leaves out of quadrature."""
    from scipy.stats import binom, poisson

    obs = fitted(name).model.observations
    if FITS[name]["family"] == "poisson":
        return float(poisson.logpmf(obs.y, obs.y).sum())
    trials = np.ones(len(obs.y)) if obs.trials is None else obs.trials
    return float(binom.logpmf(obs.y, trials, obs.y / trials).sum())


def key(label: str) -> frozenset[str]:
    return frozenset(label.removesuffix(".1").split(":"))


def terms(fit: ml.Fit, label: str, predictor: int) -> list[int]:
    """Positions of the group terms of one predictor that R's label speaks of."""
    groups = fit.model.design.groups
    return [t for t, g in enumerate(groups) if g.predictor == predictor and key(g.label) == key(label)]


def further(fit: ml.Fit, name: str) -> int:
    return fit.model.design.layout.names.index(name)


@ALL
def test_data_are_the_same(name: str) -> None:
    assert fitted(name).n_obs == FITS[name]["n_obs"]


@pytest.mark.parametrize("name", [n for n in FITS if n not in QUADRATURE])
def test_likelihood(name: str) -> None:
    """Not below the best of R's by more than 1e-10 relative; above it by 1e-6 would be another model or constant."""
    ours, theirs = fitted(name).log_likelihood, FITS[name]["loglik"]
    assert ours > theirs - 1e-10 * abs(theirs)
    assert ours < theirs + 1e-6


@pytest.mark.parametrize("name", [n for n in QUADRATURE if FITS[n]["origin"].startswith("lme4")])
def test_likelihood_by_quadrature(name: str) -> None:
    """The same criterion with the same number of nodes."""
    theirs = FITS[name]["loglik_nodes"] + saturated(name)
    assert fitted(name).log_likelihood == pytest.approx(theirs, rel=1e-8)


@pytest.mark.parametrize("name", [n for n in QUADRATURE if FITS[n]["loglik"] is not None])
def test_quadrature_comes_near_the_exact_likelihood(name: str) -> None:
    assert fitted(name).log_likelihood == pytest.approx(FITS[name]["loglik"], abs=1e-2)


@ALL
def test_coefficients(name: str) -> None:
    fit, rows = fitted(name), FITS[name]["fixef"]
    if FITS[name]["id"] == "bcg_or_glmm":  # a coefficient of each trial, which the reference does not tell
        place = [list(fit.coefficients).index("treat")]
    else:
        place = list(range(len(rows)))
        assert len(fit.coefficients) == len(rows)
    ours = np.array(list(fit.coefficients.values()))[place]
    errors = fit.std_errors[place]
    source, tolerance = REFERENCE_ERRORS.get(name, (name, 1e-3))
    theirs = np.array([r[1] for r in rows])
    reference = np.array([r[2] for r in FITS[source]["fixef"]], dtype=float)
    known = np.isfinite(reference)
    assert np.max(np.abs(ours - theirs) / np.where(known, reference, errors)) < 1e-4
    np.testing.assert_allclose(errors[known], reference[known], rtol=tolerance)


@ALL
def test_standard_deviations(name: str) -> None:
    fit, reference = fitted(name), FITS[name]
    assert fit.sigma is None
    covariances = fit.estimates.covariances
    for predictor, by_group in (("mu", reference["sd"]), ("zi", reference["sd_zi"])):
        for label in {key(label): label for label in by_group}.values():
            same = [values for other, values in by_group.items() if key(other) == key(label)]
            theirs = np.sort(np.concatenate(same))
            at = terms(fit, label, further(fit, predictor))
            ours = np.sort([v for t in at for v in np.sqrt(np.diag(covariances[t]))])
            np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * max(1.0, float(theirs.max())))
    for label, values in reference["cor"].items():
        if not reference["singular"]:
            (t,) = terms(fit, label, 0)
            v = covariances[t]
            assert v[1, 0] / np.sqrt(v[0, 0] * v[1, 1]) == pytest.approx(values[0], abs=1e-4)


@having("dispersion")
def test_dispersions(name: str) -> None:
    ours, theirs = fitted(name).estimates.dispersion, FITS[name]["dispersion"]
    assert set(ours) == set(theirs)
    for parameter, value in theirs.items():
        assert ours[parameter] == pytest.approx(value, rel=1e-5)


@having("singular")
def test_boundaries_are_told(name: str) -> None:
    assert fitted(name).singular


@pytest.mark.parametrize("name", [n for n, f in FITS.items() if f["ranef"]])
def test_group_effects(name: str) -> None:
    """Modes; lme4's and ordinal's standard errors take the parameters as known, glmmTMB's do not."""
    fit, reference = fitted(name), FITS[name]
    effects, covariances = fit.estimates.effects, fit.effect_covariances
    checked = 0
    for part, predictor in (("ranef", "mu"), ("ranef_zi", "zi")):
        for label, levels in (reference[part] or {}).items():
            for t in terms(fit, label, further(fit, predictor)):
                group = fit.model.design.groups[t]
                for level, values in levels.items():
                    row = group.levels.index(level)
                    for k, coefficient in enumerate(group.names):
                        theirs = values[r_name(coefficient.removeprefix("zi_"), values)]
                        sd = np.sqrt(fit.estimates.covariances[t][k, k])
                        assert abs(effects[t][row, k] - theirs["mode"]) < 2e-4 * sd + 1e-6
                        if theirs["sd"] is not None and not reference["origin"].startswith("glmmTMB") and sd > 0:
                            assert np.sqrt(covariances[t][row, k, k]) == pytest.approx(theirs["sd"], rel=1e-4)
                        checked += 1
    assert checked > 0


def r_name(coefficient: str, names: dict) -> str:
    plain = coefficient.replace("[T.", "").replace("]", "")
    return "(Intercept)" if coefficient == "Intercept" else coefficient if coefficient in names else plain


@having("fitted_head")
def test_fitted_values(name: str) -> None:
    fit, head = fitted(name), FITS[name]["fitted_head"]
    values = fit.fitted_values
    if values.ndim == 2:  # ordinal tells the probability of the category observed
        values = values[np.arange(len(values)), fit.model.observations.y.astype(int)]
    np.testing.assert_allclose(values[: len(head)], head, rtol=2e-5)


@having("icc")
def test_intraclass_correlation_and_r2(name: str) -> None:
    """R's performance, on the scale of the link."""
    fit, reference = fitted(name), FITS[name]
    assert sum(fit.icc().values()) == pytest.approx(reference["icc"]["adjusted"], abs=1e-3)
    found = fit.r2()
    assert found["marginal"] == pytest.approx(reference["r2_nakagawa"]["marginal"], abs=1e-3)
    assert found["conditional"] == pytest.approx(reference["r2_nakagawa"]["conditional"], abs=1e-3)
