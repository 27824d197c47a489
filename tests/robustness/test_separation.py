"""R01: coefficients without a finite estimate are found before the search and reported as ±inf."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from base_data import base
from scipy.optimize import linprog

import multilevel as ml
from multilevel.core.one_factor import laplace
from multilevel.errors import IdentifiabilityError, SeparationWarning
from multilevel.model.separation import recession, separation
from multilevel.predictions.linear import linear_predictors

INF = float("inf")


def fitted(formula: str, data: pd.DataFrame, **settings: Any) -> tuple[ml.Fit, list[Any]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit = ml.fit(formula, data, **settings)
    return fit, [w.message for w in caught if isinstance(w.message, SeparationWarning)]


def with_factor(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    data = base()
    data["k"] = rng.choice(list("abc"), len(data))
    return data


def found_in(formula: str, data: pd.DataFrame, family: str) -> Any:
    model = ml.Model(formula, data, family=family)
    criterion = laplace(model.rows, model.distribution, model.scales)
    return separation(criterion.rows, criterion.distribution, criterion.at_start)


def test_r01_complete_separation_is_reported_as_infinite() -> None:
    data = base()
    data["z"] = (data.x > 0).astype(int)
    fit, noticed = fitted("z ~ x + (1|g)", data, family="binomial")
    assert [w.code for w in noticed] == ["W_SEPARATION"]
    assert all(word in str(noticed[0]) for word in ("x", "separat", "infinite", "prior"))
    assert fit.coefficients["x"] == INF
    assert np.isnan(fit.std_errors).all()
    assert fit.log_likelihood == pytest.approx(0.0, abs=1e-9)
    assert np.isnan(fit.estimates.covariances[0]).all(), "certain rows say nothing about the groups"


def test_r01_refused_on_request() -> None:
    data = base()
    data["z"] = (data.x > 0).astype(int)
    for formula in ("z ~ x + (1|g)", "z ~ x"):
        with pytest.raises(IdentifiabilityError) as caught:
            ml.fit(formula, data, family="binomial", separation="raise")
        assert caught.value.code == "E_SEPARATION"


def test_complete_separation_leaves_a_fit_that_answers() -> None:
    data = base()
    data["z"] = (data.x > 0).astype(int)
    fit, _ = fitted("z ~ x + (1|g)", data, family="binomial")
    assert "inf" in str(fit.summary())
    p = np.asarray(fit.predict(interval=None)["estimate"])
    np.testing.assert_allclose(p, data.z, atol=1e-12)


CASES = [
    ("binomial", "z", lambda d: np.where(d.k == "c", 1, d.z), {"k[T.c]": INF}),
    ("binomial", "z", lambda d: np.where(d.k == "c", 0, d.z), {"k[T.c]": -INF}),
    ("poisson", "c", lambda d: np.where(d.k == "b", 0, d.c), {"k[T.b]": -INF}),
    ("negative_binomial", "c", lambda d: np.where(d.k == "b", 0, d.c * (1 + d.index % 3)), {"k[T.b]": -INF}),
    ("cumulative", "o", lambda d: np.where(d.k == "c", 2, (np.arange(200) * 7 // 5) % 3), {"k[T.c]": INF}),
    ("categorical", "z", lambda d: np.where(d.k == "c", 1, d.z), {"k[T.c]": INF}),
]


@pytest.mark.parametrize(("family", "name", "response", "infinite"), CASES, ids=[f"{c[0]}{c[3]}" for c in CASES])
def test_quasi_complete_separation_is_the_fit_of_the_other_rows(
    family: str, name: str, response: Any, infinite: dict[str, float]
) -> None:
    data = with_factor()
    data[name] = response(data)
    fit, noticed = fitted(f"{name} ~ x + k + (1|g)", data, family=family)
    gone = next(iter(infinite)).split("T.")[1][0]
    other, none = fitted(f"{name} ~ x + k + (1|g)", data[data.k != gone], family=family)
    assert len(noticed) == 1
    assert not none
    assert {n: v for n, v in fit.coefficients.items() if np.isinf(v)} == infinite
    np.testing.assert_allclose([fit.coefficients[n] for n in other.coefficients], other.estimates.beta, atol=2e-6)
    assert fit.log_likelihood == pytest.approx(other.log_likelihood, abs=1e-7)
    finite = np.isfinite(fit.estimates.beta)
    np.testing.assert_allclose(fit.std_errors[finite], other.std_errors, rtol=1e-4)
    assert np.isnan(fit.std_errors[~finite]).all()
    for a, b in zip(fit.estimates.covariances, other.estimates.covariances, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_one_category_that_a_level_never_takes() -> None:
    """Coefficients that run off cancel where the level can take the category: fitted shares are the observed ones."""
    data = with_factor()
    rng = np.random.default_rng(5)
    data["o"] = np.where(data.k == "a", rng.choice(list("pq"), 200), rng.choice(list("pqr"), 200))
    fit, noticed = fitted("o ~ x + k", data, family="categorical")
    infinite = {n: v for n, v in fit.coefficients.items() if np.isinf(v)}
    assert infinite == {"mur_Intercept": -INF, "mur_k[T.b]": INF, "mur_k[T.c]": INF}
    assert len(noticed) == 1
    p = np.asarray(fit.model.distribution.mean(fit.model.observations, linear_predictors(fit)))
    assert (p[data.k == "a", 2] < 1e-12).all()
    for k in "abc":
        rows = (data.k == k).to_numpy()
        np.testing.assert_allclose(
            p[rows].sum(axis=0), data.o[rows].value_counts().reindex(list("pqr"), fill_value=0), atol=1e-6
        )


def test_several_infinite_coefficients_with_their_signs() -> None:
    data = with_factor()
    data["z"] = np.select([data.k == "c", data.k == "b"], [1, 0], data.z)
    fit, _ = fitted("z ~ x + k + (1|g)", data, family="binomial")
    assert (fit.coefficients["k[T.c]"], fit.coefficients["k[T.b]"]) == (INF, -INF)
    assert np.isfinite([fit.coefficients["Intercept"], fit.coefficients["x"]]).all()


def test_a_reference_category_moves_the_intercept_too() -> None:
    data = with_factor()
    data["z"] = np.where(data.k == "a", 1, data.z)
    fit, _ = fitted("z ~ x + k + (1|g)", data, family="binomial")
    assert [fit.coefficients[n] for n in ("Intercept", "k[T.b]", "k[T.c]")] == [INF, -INF, -INF]
    assert np.isfinite(fit.coefficients["x"])
    p = np.asarray(fit.predict(interval=None)["estimate"])
    assert (p[data.k == "a"] > 1 - 1e-12).all()
    assert ((p > 0.05) & (p < 0.95))[data.k != "a"].all()


def test_zero_probabilities_of_a_zero_inflated_model_separate() -> None:
    data = with_factor()
    data["c"] = np.where(data.k == "a", 0, np.where(data.k == "b", data.c + 1, data.c * (data.index % 2)))
    fit, _ = fitted("c ~ x + (1|g); hu ~ k", data, family="hurdle_poisson")
    assert fit.coefficients["hu_Intercept"] == INF
    assert fit.coefficients["hu_k[T.b]"] == -INF


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog", "cauchit"])
def test_every_link_of_probabilities(link: str) -> None:
    data = with_factor()
    data["z"] = np.where(data.k == "c", 1, data.z)
    fit, noticed = fitted("z ~ x + k", data, family="binomial", link=link)
    assert len(noticed) == 1
    assert fit.coefficients["k[T.c]"] == INF
    assert np.isfinite(fit.coefficients["x"])


def test_overlap_by_one_row_is_no_separation() -> None:
    data = base()
    data["z"] = (data.x > 0).astype(int)
    data.loc[data.x.idxmax(), "z"] = 0
    fit, noticed = fitted("z ~ x + (1|g)", data, family="binomial")
    assert not noticed
    assert 1.0 < fit.coefficients["x"] < 50.0


def test_groups_of_one_kind_are_harmless() -> None:
    data = base()
    data["z"] = np.select([data.g == "g00", data.g == "g01"], [0, 1], data.z)
    fit, noticed = fitted("z ~ x + (1|g)", data, family="binomial")
    assert not noticed
    assert np.isfinite(fit.estimates.effects[0]).all()


def test_saved_and_loaded(tmp_path: Any) -> None:
    data = with_factor()
    data["z"] = np.where(data.k == "c", 1, data.z)
    fit, _ = fitted("z ~ x + k + (1|g)", data, family="binomial")
    fit.save(tmp_path / "z.fit")
    again = ml.load(tmp_path / "z.fit")
    np.testing.assert_array_equal(again.estimates.beta, fit.estimates.beta)
    np.testing.assert_allclose(again.std_errors, fit.std_errors, rtol=1e-4)
    assert [w.code for w in again.warnings] == ["W_SEPARATION"]


# --- against the linear programme written out ---------------------------------------------------------------------
def separated(x: np.ndarray, y: np.ndarray) -> bool:
    """max Σ s_i x_i'd over s_i x_i'd ≥ 0 within a box, all rows at once."""
    a = np.where(y > 0, 1.0, -1.0)[:, None] * x
    found = linprog(-a.sum(axis=0), A_ub=-a, b_ub=np.zeros(len(a)), bounds=[(-1, 1)] * x.shape[1])
    return bool(-found.fun > 1e-7)


def test_small_tables_agree_with_the_whole_programme() -> None:
    rng = np.random.default_rng(3)
    verdicts = []
    for _ in range(120):
        n = int(rng.integers(6, 16))
        x = rng.integers(-2, 3, size=(n, 2)).astype(float)
        y = (x @ rng.normal(size=2) + rng.logistic(size=n) > 0).astype(int)
        if y.min() == y.max() or np.linalg.matrix_rank(np.column_stack([np.ones(n), x])) < 3:
            continue
        data = pd.DataFrame({"y": y, "a": x[:, 0], "b": x[:, 1]})
        truth = separated(np.column_stack([np.ones(n), x]), y)
        assert (found_in("y ~ a + b", data, "binomial") is not None) == truth
        verdicts.append(truth)
    assert 20 < sum(verdicts) < len(verdicts) - 20


def test_the_direction_separates_as_many_rows_as_any() -> None:
    """A staircase: each direction makes one more row strict once the others are."""
    a = np.tril(np.ones((4, 4))) - 2.0 * np.triu(np.ones((4, 4)), 1)
    found = recession(np.linalg.inv(np.triu(np.ones((4, 4)) * 3)) @ np.eye(4))
    assert found is not None
    assert found[1].all()
    assert recession(np.vstack([np.eye(4), -np.eye(4)])) is None
    part = recession(np.vstack([a[:2], -a[0]]))
    assert part is not None
    assert part[1].tolist() == [False, True, False]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["healthy", "steep", "quasi", "complete"])
def test_a_million_rows(kind: str) -> None:
    rng = np.random.default_rng(1)
    n = 1_000_000
    x = rng.normal(size=(n, 2))
    slope = 6.0 if kind == "steep" else 1.0
    y = rng.random(n) < 1.0 / (1.0 + np.exp(-slope * x[:, 0]))
    k = x[:, 1] > 1.5
    if kind == "quasi":
        y |= k
    if kind == "complete":
        y = x @ [1.0, 0.3] > 0.1
    data = pd.DataFrame({"y": y.astype(int), "x": x[:, 0], "v": x[:, 1], "k": k * 1.0})
    model = ml.Model("y ~ x + v + k" if kind == "quasi" else "y ~ x + v", data, family="binomial")
    criterion = laplace(model.rows, model.distribution, model.scales)
    at = criterion.at_start
    clock = time.perf_counter()
    found = separation(criterion.rows, criterion.distribution, at)
    seconds = time.perf_counter() - clock
    assert (found is not None) == (kind in ("quasi", "complete"))
    assert seconds < (10.0 if found else 0.5), "healthy data pay a look; a busy machine is allowed for"
