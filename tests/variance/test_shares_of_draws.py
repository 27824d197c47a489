"""Variance partitions of sampled fits: of draws that are all alike those of the estimates, otherwise draw by draw."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic import Synthetic, sample_of, sampled

import multilevel as ml
from multilevel.fit.fit import Fit
from multilevel.fit.sample import Sample
from multilevel.fit.sampled import estimates_of
from multilevel.variance.effective import effective_parameters
from multilevel.variance.r2 import r2_table

sys.path.insert(0, str(Path(__file__).parents[1] / "predictions"))
from family_cases import fitted

NESTED = "score ~ ses + funding + (ses | school) + (1 | school:classroom)"


def constant(fit: Fit) -> Fit:
    """A posterior that is certain of the estimates."""
    e, size = fit.estimates, (2, 10)

    def every(a) -> np.ndarray:
        return np.broadcast_to(np.asarray(a, dtype=float), (*size, *np.shape(a))).copy()

    likelihood = sample_of(fit, 5, 2)
    sample = Sample(
        every(e.beta), tuple(map(every, e.covariances)), tuple(map(every, e.effects)),
        None if fit.sigma is None else every(fit.sigma), {name: every(v) for name, v in e.dispersion.items()},
        every(np.zeros(0)), (), every(0.0), every(0.0), info=likelihood.info,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Fit(fit.model, Synthetic(), replace(estimates_of(fit.model, sample), warnings=()))


@pytest.mark.parametrize("case", ["linear", "poisson", "binomial", "negative_binomial_1", "cumulative"])
def test_of_draws_that_are_all_alike_everything_is_that_of_the_estimates(case):
    fit = ml.fit(NESTED, ml.datasets.load("classes")) if case == "linear" else fitted(case)
    same = constant(fit)
    for kind in ("share", "correlation"):
        for scale in ("link",) if case in ("linear", "cumulative") else ("link", "delta", "response"):
            a, b = fit.icc(kind, scale), same.icc(kind, scale)
            assert list(a) == list(b)
            np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=1e-7)
    np.testing.assert_allclose(list(fit.r2().values()), list(same.r2().values()), rtol=1e-7)
    np.testing.assert_allclose(fit.variance_shares()["share"], same.variance_shares()["share"], rtol=1e-7)
    np.testing.assert_allclose(fit.icc_table()["estimate"], same.icc_table()["estimate"], rtol=1e-7)
    np.testing.assert_allclose(fit.shrinkage()["lambda"], same.shrinkage()["lambda"], rtol=1e-5)
    np.testing.assert_allclose(fit.design_effect()["icc"], same.design_effect()["icc"], rtol=1e-7)
    if case == "linear":
        np.testing.assert_allclose(effective_parameters(fit), effective_parameters(same), rtol=1e-6)
        np.testing.assert_allclose(fit.icc_along()["icc"], same.icc_along()["icc"], rtol=1e-7)
    else:
        np.testing.assert_allclose(effective_parameters(fit), effective_parameters(same), rtol=0.1)


def test_shares_are_computed_in_every_draw():
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 250)
    sample = fit.estimates.certainty.sample
    icc = sample.covariances[0][..., 0, 0] / (sample.covariances[0][..., 0, 0] + sample.sigma**2)
    np.testing.assert_allclose(fit.icc()["school"], icc.mean())
    table = fit.variance_shares()
    np.testing.assert_allclose(table["lower"][0], np.quantile(icc, 0.025))
    np.testing.assert_allclose(table["upper"][0], np.quantile(icc, 0.975))
    np.testing.assert_allclose(table["variance"][1], np.mean(sample.sigma**2))


def test_r2_by_hand():
    fit = sampled(ml.fit("score ~ ses + (1 | school)", ml.datasets.load("classes")), 250)
    sample = fit.estimates.certainty.sample
    x = fit.model.design.fixed_columns[1]
    fixed = sample.beta[..., 1] ** 2 * np.var(x, ddof=1)
    groups, residual = sample.covariances[0][..., 0, 0], sample.sigma**2
    total = fixed + groups + residual
    table = r2_table(fit)
    np.testing.assert_allclose(table["estimate"], [(fixed / total).mean(), ((fixed + groups) / total).mean()])
    np.testing.assert_allclose(table["lower"][0], np.quantile(fixed / total, 0.025))


def test_shrinkage_by_hand():
    fit = sampled(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")), 25)
    sample = fit.estimates.certainty.sample
    n = np.bincount(fit.model.design.groups[0].codes)
    tau2, sigma2 = sample.covariances[0].ravel(), sample.sigma.ravel() ** 2
    expected = np.mean(n * tau2[:, None] / (n * tau2[:, None] + sigma2[:, None]), axis=0)
    np.testing.assert_allclose(fit.shrinkage()["lambda"], expected, rtol=1e-6)


def test_median_ratios_are_those_of_every_draw():
    from scipy.stats import norm

    fit = sampled(fitted("binomial"), 100)
    sd = np.sqrt(fit.estimates.certainty.sample.covariances[0].ravel())
    ratio = np.exp(np.sqrt(2.0) * norm.ppf(0.75) * sd)
    table = fit.median_ratio()
    np.testing.assert_allclose(table["estimate"][0], ratio.mean())
    np.testing.assert_allclose([table["lower"][0], table["upper"][0]], np.quantile(ratio, [0.025, 0.975]))
