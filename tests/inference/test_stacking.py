"""Weights for averaging predictions, and sampled fits side by side."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize
from synthetic import sampled

import multilevel as ml
from multilevel.inference.stacking import proper, pseudo_bma, stacking


def scores(seed: int, models: int = 4, n: int = 80) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(-1.5, 0.4, (n, 1)) + rng.normal(0.0, 0.5, (n, models)) + rng.normal(0.0, 0.1, models)


@pytest.mark.parametrize("seed", range(4))
def test_stacking_is_the_best_mixture(seed):
    elpd = scores(seed)

    def lost(z: np.ndarray) -> float:
        w = np.exp(z - z.max())
        return -float(np.sum(np.log(np.exp(elpd) @ (w / w.sum()))))

    best = min(optimize.minimize(lost, z).fun for z in np.random.default_rng(0).normal(size=(3, 4)))
    w = stacking(elpd)
    assert w.min() >= 0.0
    np.testing.assert_allclose(w.sum(), 1.0)
    assert -np.sum(np.log(np.exp(elpd) @ w)) <= best + 1e-5


def test_stacking_splits_between_models_that_know_different_rows():
    elpd = np.log(np.where(np.arange(100)[:, None] < 50, [0.9, 0.1], [0.1, 0.9]))
    np.testing.assert_allclose(stacking(elpd), [0.5, 0.5], atol=1e-6)


def test_pseudo_bma_weighs_by_how_sure_the_ranking_is():
    rng = np.random.default_rng(1)
    base = rng.normal(-1.0, 0.5, 200)
    close = np.column_stack([base, base + rng.normal(0.0, 0.3, 200)])
    assert 0.02 < pseudo_bma(close)[0] < 0.98
    apart = np.column_stack([base, base - 0.2])
    assert pseudo_bma(apart)[0] > 0.999
    np.testing.assert_array_equal(pseudo_bma(close, 3), pseudo_bma(close, 3))


def test_sampled_fits_side_by_side():
    data = ml.datasets.load("classes")
    formulas = ("score ~ ses + (1 | school)", "score ~ ses + (ses | school)", "score ~ ses")
    fits = [sampled(ml.fit(f, data), 100) for f in formulas]
    found = ml.compare(*fits)
    table = found.table
    assert table["model"][0] == formulas[1]
    np.testing.assert_allclose(table["stacking"].sum(), 1.0)
    np.testing.assert_allclose(table["pseudo_bma"].sum(), 1.0)
    by = {f: ml.loo(fit) for f, fit in zip(formulas, fits, strict=True)}
    np.testing.assert_allclose(table["loo"], [by[m].elpd for m in table["model"]])
    np.testing.assert_allclose(table["effective_parameters"], [by[m].p_loo for m in table["model"]])
    difference = by[formulas[0]].compare(by[formulas[1]])
    row = table.index[table["model"] == formulas[0]][0]
    np.testing.assert_allclose([table["loo_difference"][row], table["loo_se"][row]], list(difference.values()))
    assert np.isfinite(table["logo"]).all()  # also of the model that does not know the schools
    assert table["aic"].isna().all()
    assert "stacking" in str(found)


def test_few_rows_and_similar_models_are_said():
    data = ml.datasets.load("schools")
    few = data[data["school"].isin(["S01", "S05", "S14", "S20"])].groupby("school").head(10)
    fits = [sampled(ml.fit(f, few), 50) for f in ("score ~ 1 + (1 | school)", "score ~ 1")]
    found = str(ml.compare(*fits))
    assert "With 40 rows" in found


def test_bayes_factors_ask_for_proper_priors():
    data = ml.datasets.load("schools")
    priors = {"set": "brms"}
    first = ml.Model("score ~ 1 + (1 | school)", data, priors=priors)
    assert proper(first)
    assert not proper(ml.Model("score ~ x + (1 | school)", data.assign(x=np.arange(len(data)) % 7), priors="brms"))
    second = ml.Model("score ~ 1 + (1 | half)", data.assign(half=np.arange(len(data)) % 9), priors=priors)
    fits = [model.fit("collapsed", draws=400) for model in (first, second)]
    table = ml.compare(*fits).table
    first, second = (fit.estimates.certainty.sample.info for fit in fits)
    gap = first["log_evidence"] - second["log_evidence"]
    np.testing.assert_allclose(table["bayes_factor"][0], 1.0)
    np.testing.assert_allclose(table["bayes_factor"][1], np.exp(-abs(gap)), rtol=1e-6)
