"""New groups of generalized models from a few rows: against direct maximisation, linear models and refits."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize

import multilevel as ml
from multilevel.errors import MissingDataError, ResponseError, WeightsError

sys.path.insert(0, str(Path(__file__).parent))
from family_cases import CASES, fitted, rows, some

GROUPED = [c for c in CASES if c not in ("no groups", "complete", "none")]


def named(new: dict, label: str = "new") -> dict:
    return {**new, "g": np.array([label] * len(new["x"]))}


@pytest.mark.parametrize("case", GROUPED)
def test_a_new_group_is_told_from_its_rows(case):
    fit = fitted(case)
    new = named(some(slice(0, 4)))
    update = fit.update_groups(new)
    table = update.table
    mine = table[table["group"] == "g"]
    assert set(mine["level"]) == {"new"}
    assert not mine["known"].any()
    assert np.isfinite(mine["estimate"]).all()
    terms = zip(fit.model.design.groups, fit.estimates.covariances, strict=True)
    prior = np.sqrt(np.concatenate([np.diag(v) for g, v in terms if g.label == "g"]))
    assert np.all(mine["std_error"].to_numpy() <= prior * (1.0 + 1e-9))
    for kind in ("mean", "response"):
        predicted = update.predict(new, kind=kind)
        for name in predicted:
            if predicted[name].dtype == float:
                assert np.isfinite(predicted[name]).all()


@pytest.mark.parametrize("case", ["poisson", "bernoulli", "gamma", "zero_inflated_poisson"])
def test_many_rows_outweigh_the_prior(case):
    """With the coefficients known well, the mode is that of the group's own penalised likelihood."""
    fit = fitted(case)
    new = named(some(slice(0, 60)))
    table = fit.update_groups(new).table
    sds = np.sqrt([v[0, 0] for v in fit.estimates.covariances])
    rows_of_fit = {**new, "g": np.array(["g00"] * 60)}
    base = np.column_stack([_eta(fit, rows_of_fit, d) for d in range(len(fit.model.distribution.links))])
    obs = fit.model.observations.take(np.arange(60))
    predictors = [g.predictor for g in fit.model.design.groups]

    def penalised(b: np.ndarray) -> float:
        eta = base.copy()
        for d, value in zip(predictors, b, strict=True):
            eta[:, d] += value
        prior = 0.5 * np.sum((b / np.maximum(sds, 1e-6)) ** 2)
        return float(prior - fit.model.distribution.log_density(obs, eta).sum())

    options = {"xatol": 1e-8, "fatol": 1e-10}
    best = optimize.minimize(penalised, np.zeros(len(sds)), method="Nelder-Mead", options=options)
    np.testing.assert_allclose(table["estimate"], best.x, atol=0.12)


def _eta(fit, table, d: int) -> np.ndarray:
    """η of one predictor without group effects."""
    from multilevel.data.tables import as_table
    from multilevel.predictions.linear import linear_predictors

    built = fit.model.design.rebuild(as_table(table), groups=True)
    return linear_predictors(fit, built, groups=False)[:, d]


def test_a_normal_model_by_both_ways():
    """Laplace is exact for normal responses: the same update as that of the linear model's maximum likelihood."""
    data = rows()
    linear = ml.fit("level ~ x + (1 | g)", data, estimator="ml")
    other = ml.fit("level ~ x + (1 | g); sigma ~ 1", data)
    new = {"x": np.array([0.2, 1.0, -0.5, 0.0]), "level": np.array([4.0, 2.0, 3.0, 0.1])}
    new["g"] = np.array(["new"] * 3 + ["g01"])
    a, b = linear.update_groups(new), other.update_groups(new)
    for name in ("estimate", "std_error"):
        np.testing.assert_allclose(b.table[name], a.table[name], rtol=0.01)
        np.testing.assert_allclose(b.predict(new)[name], a.predict(new)[name], rtol=0.01)
        response = b.predict(new, kind="response")[name], a.predict(new, kind="response")[name]
        np.testing.assert_allclose(*response, rtol=0.01)


def test_a_known_group_is_updated_and_the_rest_stays():
    fit = fitted("poisson")
    new = {"x": np.array([0.0] * 8), "g": np.array(["g05"] * 8), "count": np.array([30] * 8)}
    update = fit.update_groups(new)
    before = fit.group_effects("g")
    row = update.table.iloc[0]
    was = before[before["level"] == "g05"].iloc[0]
    assert row["known"]
    assert row["estimate"] > was["estimate"] + 0.5
    one = {"x": [0.0], "g": ["g05"]}
    errors = [float(p(one, kind="linear")["std_error"].iloc[0]) for p in (update.predict, fit.predict)]
    assert errors[0] < 0.7 * errors[1]
    other = update.predict({"x": [0.0], "g": ["g06"]})
    assert float(other["estimate"].iloc[0]) == pytest.approx(
        float(fit.predict({"x": [0.0], "g": ["g06"]})["estimate"].iloc[0]), rel=0.1
    )


def test_responses_in_any_form():
    """The same rows as counts of successes, as pairs and as proportions; categories by label."""
    new = named(some(slice(0, 5)))
    tables = [fitted(case).update_groups(new).table for case in ("binomial", "binomial share")]
    np.testing.assert_allclose(tables[0]["estimate"], tables[1]["estimate"], rtol=1e-6)
    up, down = (fitted("cumulative").update_groups({**new, "rating": np.full(5, k)}).table for k in (4, 1))
    assert float(up["estimate"].iloc[0]) > 0.3 > -0.3 > float(down["estimate"].iloc[0])
    yes, no = (fitted("bernoulli").update_groups({**new, "yes": np.array([word] * 5)}).table for word in ("yes", "no"))
    assert float(yes["estimate"].iloc[0]) > 0.0 > float(no["estimate"].iloc[0])


def test_what_is_refused():
    new = named(some(slice(0, 3)))
    with pytest.raises(ResponseError, match="outside the support"):
        fitted("poisson").update_groups({**new, "count": np.array([1.5, 2.0, 1.0])})
    with pytest.raises(ResponseError, match="outside the support"):
        fitted("gamma").update_groups({**new, "amount": np.array([-1.0, 2.0, 1.0])})
    with pytest.raises(ResponseError, match="outside the support"):
        fitted("binomial").update_groups({**new, "k": new["n"] + 1})
    with pytest.raises(ResponseError, match="had not"):
        fitted("categorical").update_groups({**new, "choice": np.array(["bus", "rocket", "car"])})
    with pytest.raises(MissingDataError, match="missing"):
        fitted("poisson").update_groups({**new, "count": np.array([1.0, np.nan, 2.0])})
    without = {name: values for name, values in new.items() if name != "n"}
    with pytest.raises(WeightsError, match="trials"):
        fitted("binomial").update_groups(without)
