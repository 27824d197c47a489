"""The report of sampled fits: sampler, diagnostics, priors; nothing fails, and no test is shown."""

from __future__ import annotations

import shutil
import subprocess
import warnings

import numpy as np
import pytest
from report_pages import parse
from sampled_helpers import fit_of, sample_of, sampled

import multilevel as ml
from multilevel.reports.report import document, report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def likelihood():
    return ml.fit("Reaction ~ Days + (Days | Subject)", ml.datasets.load("lme4/sleepstudy"))


@pytest.fixture(scope="module")
def fit(likelihood):
    return fit_of(likelihood, sample_of(likelihood, draws=250))


def test_a_linear_model(fit):
    page = document(fit)
    assert 'class="failed"' not in page
    for part in (
        "Bayesian, by sampling",
        "synthetic draws",
        "largest R\u0302",
        "fewest effective draws",
        "The chains have mixed",
        "Trace of ",
        "Diagnostics of every parameter",
        "Priors",
        "Posterior sd",
        "Its mean ",
    ):
        assert part in page
    for part in ("Satterthwaite", "restricted", "REML", ">nan<", ">NaN<", "None"):
        assert part not in page
    heads = [node.text for node in parse(page).all("th")]
    assert "df" not in heads
    assert "ESS" in heads
    rhat = float(fit.fixed_effects["rhat"][1])
    assert f"{rhat:.3f}" in page
    for chosen in fit.model.priors.chosen:
        assert chosen.prior.split("(")[0] in page


@pytest.mark.parametrize("family", ["bernoulli", "cumulative", "categorical"])
def test_other_families(family):
    rng = np.random.default_rng(5)
    g = np.repeat(np.arange(12), 10)
    x = rng.normal(size=120)
    eta = 0.5 + 0.6 * x + 0.7 * rng.normal(size=12)[g]
    y = {
        "bernoulli": (rng.random(120) < 1.0 / (1.0 + np.exp(-eta))).astype(int),
        "cumulative": np.digitize(eta + rng.logistic(size=120), [-1.0, 1.0]),
        "categorical": np.array(list("abc"))[np.digitize(eta + rng.logistic(size=120), [-0.5, 1.0])],
    }[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = sampled("y ~ x + (1 | g)", {"y": y, "x": x, "g": g}, family, draws=100)
        page = document(found)
    assert 'class="failed"' not in page
    assert "Bayesian, by sampling" in page
    assert "of the hypothesis" not in page


def test_bad_draws_are_said(likelihood):
    bad = document(fit_of(likelihood, sample_of(likelihood, rho=0.97, draws=200)))
    assert "failed their diagnostics" in bad
    assert "the chains have not mixed" in bad
    assert "PARTIAL" in document(fit_of(likelihood, sample_of(likelihood, draws=300, partial=True)))


@pytest.mark.skipif(CHROMIUM is None, reason="no browser")
def test_a_browser_draws_it(fit, tmp_path):
    path, picture = report(fit, tmp_path / "report.html"), tmp_path / "page.png"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,2400", f"--screenshot={picture}"]
    subprocess.run([CHROMIUM, *flags, path.as_uri()], capture_output=True, timeout=120, check=True)
    assert picture.stat().st_size > 50_000
