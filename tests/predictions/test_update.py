"""Updating groups equals fitting old and new rows together with the variance components held."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

import multilevel as ml
from multilevel import errors
from multilevel.core.likelihood import Likelihood
from multilevel.estimators.maximise import _estimates, internal_theta
from multilevel.fit.estimates import Combination
from multilevel.numerics.newton import Progress

FORMULAS = {
    "intercepts": "y ~ x + (1 | g)",
    "slopes": "y ~ x + (x | g)",
    "nested": "y ~ x + (1 | h/g)",
    "crossed": "y ~ x + (x | g) + (1 | c)",
    "diagonal": "y ~ x + (x || g)",
    "transformed": "log(y + 60) ~ poly(x, 2) + (1 | g)",
}


def data(seed: int = 0, n: int = 300) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    g, c = rng.integers(0, 20, n), rng.integers(0, 8, n)
    x = rng.normal(size=n) + 3.0
    y = 2.0 + x + 2.0 * rng.normal(size=20)[g] + rng.normal(size=20)[g] * x + rng.normal(size=8)[c]
    y = y + 1.5 * rng.normal(size=5)[g % 5] + rng.normal(size=n)
    labels = {"g": [f"g{i}" for i in g], "h": [f"h{i}" for i in g % 5], "c": [f"c{i}" for i in c]}
    return pd.DataFrame({"y": y, "x": x, "w": rng.uniform(0.5, 2.0, n), **labels})


def new_rows() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "y": [9.0, 7.5, 8.0, 3.0, 1.0], "x": [3.0, 2.0, 4.5, 1.0, 2.5], "w": [1.0, 2.0, 0.5, 1.0, 1.0],
            "g": ["fresh", "fresh", "fresh", "g3", "other"], "h": ["h1", "h1", "h1", "h3", "h9"],
            "c": ["c1", "c2", "c1", "c0", "c7"],
        }
    )  # fmt: skip


def together(fit: ml.Fit, table: pd.DataFrame) -> tuple[ml.Model, object]:
    """The estimates of all rows at the fit's variance components."""
    model = ml.Model(fit.model.design.memory.formula.text, table, weights=fit.model.design.memory.weights)
    likelihood = Likelihood(model.products, model.scales, True)
    state = likelihood.evaluate(internal_theta(model, likelihood, fit.theta))
    return model, _estimates(model, likelihood, state, Progress(converged=True))


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("name", [n for n in FORMULAS if n != "transformed"])
def test_equals_a_fit_of_all_rows_with_the_variances_held(name: str, weights: str | None) -> None:
    old, extra = data(), new_rows()
    fit = ml.fit(FORMULAS[name], old, weights=weights)
    update = fit.update_groups(extra)
    model, estimates = together(fit, pd.concat([old, extra], ignore_index=True))
    table = update.table
    scale = fit.sigma / estimates.sigma
    for row in table.itertuples(index=False):
        for t, group in enumerate(model.design.groups):
            if group.label == row.group and row.term in group.names and row.level in group.levels:
                code, j = group.levels.index(row.level), group.names.index(row.term)
                assert row.estimate == pytest.approx(estimates.effects[t][code, j], rel=1e-7, abs=1e-8)
                codes = [np.full(1, -1, np.int32) for _ in model.design.groups]
                z = [np.zeros((1, len(g.names))) for g in model.design.groups]
                codes[t][0], z[t][0, j] = code, 1.0
                unit = Combination(np.zeros((1, len(estimates.beta))), tuple(codes), tuple(z))
                error = np.sqrt(estimates.certainty.spread(unit, False).variance[0]) * scale
                assert row.std_error == pytest.approx(error, rel=1e-6)
    assert set(table.loc[~table["known"], "level"]) >= {"fresh", "other"} or name == "nested"


def test_predictions_equal_the_joint_fit() -> None:
    old, extra = data(), new_rows()
    fit = ml.fit(FORMULAS["slopes"], old)
    model, estimates = together(fit, pd.concat([old, extra], ignore_index=True))
    joint = ml.Fit(model, fit.estimator, estimates)
    ahead = pd.DataFrame({"x": [0.0, 5.0, 5.0, 2.0], "g": ["fresh", "fresh", "g3", "g7"]})
    found = fit.update_groups(extra).predict(ahead)
    expected = joint.predict(ahead, parameters=False)
    np.testing.assert_allclose(found["estimate"], expected["estimate"], rtol=1e-8)
    np.testing.assert_allclose(found["std_error"], expected["std_error"] * fit.sigma / joint.sigma, rtol=1e-6)
    wider = fit.update_groups(extra).predict(ahead, kind="response")
    np.testing.assert_allclose(wider["std_error"] ** 2 - found["std_error"] ** 2, fit.sigma**2, rtol=1e-9)


def test_one_new_group_is_the_textbook_formula() -> None:
    """β as good as known: b̂ = λ (ȳ − μ̂), λ = τ²/(τ² + σ²/n)."""
    rng = np.random.default_rng(1)
    g = np.repeat(np.arange(4000), 3)
    table = pd.DataFrame({"y": 5.0 + rng.normal(size=4000)[g] + rng.normal(size=12000), "g": g.astype(str)})
    fit = ml.fit("y ~ 1 + (1 | g)", table)
    row = fit.update_groups({"y": [7.0, 8.0], "g": ["new", "new"]}).table.iloc[0]
    tau2 = fit.estimates.covariances[0][0, 0]
    weight = tau2 / (tau2 + fit.sigma**2 / 2)
    assert row["estimate"] == pytest.approx(weight * (7.5 - fit.coefficients["Intercept"]), rel=1e-3)
    assert row["std_error"] == pytest.approx(np.sqrt(tau2 * (1 - weight)), rel=2e-3)
    assert row["n"] == 2
    assert not row["known"]


def test_known_standard_errors_and_loaded_fits(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = {"y": [30.0], "sigma": [5.0], "school": ["I"]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.MultilevelWarning)
        fit = ml.fit("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools"), estimator="ml")
        found = fit.update_groups(rows).table
        fit.save(tmp_path / "a.fit")
        loaded = ml.load(tmp_path / "a.fit").update_groups(rows).table
    pd.testing.assert_frame_equal(found, loaded)


def test_transformed_response() -> None:
    old = data()
    old["y"] = old["y"] - old["y"].min()
    fit = ml.fit(FORMULAS["transformed"], old)
    row = fit.update_groups({"y": [40.0], "x": [3.0], "g": ["new"]}).table.iloc[0]
    assert 0.0 < row["estimate"] < np.log(100.0) - fit.predict({"x": [3.0]}, target="reference")["estimate"].iloc[0]


def test_refusals() -> None:
    fit = ml.fit(FORMULAS["slopes"], data())
    with pytest.raises(errors.MissingDataError, match="y"):
        fit.update_groups({"y": [np.nan], "x": [1.0], "g": ["a"]})
    with pytest.raises(errors.MissingDataError, match="x"):
        fit.update_groups({"y": [1.0], "x": [np.nan], "g": ["a"]})
    with pytest.raises(errors.MissingDataError, match="g"):
        fit.update_groups(pd.DataFrame({"y": [1.0], "x": [1.0], "g": [None]}))
    with pytest.raises(errors.DataError, match="y"):
        fit.update_groups({"x": [1.0], "g": ["a"]})
    with pytest.raises(errors.SettingError, match="5000"):
        fit.update_groups({"y": np.ones(6000), "x": np.ones(6000), "g": ["a"] * 6000})
    with pytest.raises(errors.UnseenLevelError, match="nobody"):
        fit.update_groups(new_rows()).predict({"x": [1.0], "g": ["nobody"]})
    with pytest.raises(errors.SettingError, match="group terms"):
        ml.fit("y ~ x", data()).update_groups(new_rows())
    with pytest.raises(errors.SettingError, match="joint"):
        ml.fit("y ~ 1 + (1 | g)", data(), estimator="james_stein").update_groups(new_rows())
