"""How sure a generalized fit is: against dense inverses, against each other, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.fit.estimates import Combination
from multilevel.model.model import Model


def table(n=150, seed=4):
    rng = np.random.default_rng(seed)
    g, h = rng.integers(0, 12, n), rng.integers(0, 6, n)
    x = rng.normal(0.0, 1.0, n)
    eta = 0.6 + 0.4 * x + rng.normal(0.0, 0.6, 12)[g] + rng.normal(0.0, 0.4, 6)[h] + rng.normal(0.0, 0.3, 12)[g] * x
    return {"x": x, "g": g.astype(str), "h": h.astype(str), "c": rng.poisson(np.exp(eta)).astype(float)}


@pytest.fixture(scope="module", params=["c ~ x + (1 | g)", "c ~ x + (x | g)", "c ~ x + (1 | g) + (1 | h)"])
def fit(request):
    return Model(request.param, table(), family="poisson").fit()


def combination(fit, rows=40):
    design = fit.model.design
    x = np.column_stack([np.ones(design.n) if c is None else c for c in design.fixed_columns])[:rows]
    z = tuple(np.column_stack([np.ones(design.n) if c is None else c for c in g.columns])[:rows] for g in design.groups)
    return Combination(x, tuple(g.codes[:rows] for g in design.groups), z)


def test_effect_covariances_are_blocks_of_the_dense_inverse(fit):
    certainty = fit.estimates.certainty
    rows, state = certainty.rows, certainty.state
    parts = []
    for factor, root in zip(rows.factors, state.lam, strict=True):
        z = np.zeros((rows.n, factor.n_levels, factor.k))
        z[np.arange(rows.n), factor.codes] = factor.z @ root
        parts.append(z.reshape(rows.n, -1))
    a = np.concatenate(parts, axis=1)
    inverse = np.linalg.inv((a.T * state.mode.at.second[:, 0, 0]) @ a + np.eye(a.shape[1]))
    at = 0
    for t, found in enumerate(fit.effect_covariances):
        levels, k = found.shape[:2]
        lam = rows.to_effects[t] @ state.lam[t]
        for level in range(levels):
            place = slice(at + level * k, at + (level + 1) * k)
            np.testing.assert_allclose(found[level], lam @ inverse[place, place] @ lam.T, rtol=1e-8, atol=1e-12)
        at += levels * k


def test_spread_is_the_diagonal_of_the_covariance(fit):
    rows = combination(fit)
    certainty = fit.estimates.certainty
    np.testing.assert_allclose(np.diag(certainty.covariance(rows)), certainty.spread(rows).variance, rtol=1e-8)
    assert np.all(certainty.spread(rows, parameters=False).variance <= certainty.spread(rows).variance * (1.0 + 1e-6))


def test_spread_of_coefficients_alone_is_their_covariance(fit):
    p = len(fit.estimates.beta)
    nothing = tuple(np.zeros((p, len(g.names))) for g in fit.model.design.groups)
    away = tuple(np.full(p, -1, np.int32) for _ in fit.model.design.groups)
    spread = fit.estimates.certainty.spread(Combination(np.eye(p), away, nothing))
    np.testing.assert_allclose(np.sqrt(spread.variance), fit.std_errors, rtol=1e-6)


def test_a_new_level_adds_its_variance(fit):
    rows = combination(fit, 10)
    new = Combination(rows.x, tuple(np.full(10, -2, np.int32) for _ in rows.codes), rows.z)
    away = Combination(rows.x, tuple(np.full(10, -1, np.int32) for _ in rows.codes), rows.z)
    certainty = fit.estimates.certainty
    extra = sum(
        np.einsum("mk,kj,mj->m", z, covariance, z)
        for z, covariance in zip(rows.z, fit.estimates.covariances, strict=True)
    )
    np.testing.assert_allclose(certainty.spread(new).variance - certainty.spread(away).variance, extra, rtol=1e-6)


def test_draws_have_the_stated_moments(fit):
    drawn = fit.estimates.certainty.draw(4000, np.random.default_rng(1))
    error = np.abs(drawn["beta"].mean(axis=0) - fit.estimates.beta)
    assert np.all(error < 5.0 * fit.std_errors / np.sqrt(4000.0))
    np.testing.assert_allclose(drawn["beta"].std(axis=0), fit.std_errors, rtol=0.06)
    first = fit.estimates.certainty.spread(combination(fit, 20)).variance
    x, codes, z = (part for part in (combination(fit, 20).x, combination(fit, 20).codes, combination(fit, 20).z))
    values = drawn["beta"] @ x.T
    for effects, code, columns in zip(drawn["effects"], codes, z, strict=True):
        values += np.einsum("nmk,mk->nm", effects[:, code], columns)
    np.testing.assert_allclose(values.var(axis=0), first, rtol=0.1)


def test_interval_of_a_zero_variance_starts_there():
    rng = np.random.default_rng(8)
    data = {"g": np.repeat(np.arange(10), 8).astype(str), "c": rng.poisson(4.0, 80).astype(float)}
    with pytest.warns(UserWarning, match="boundary fit"):
        fit = Model("c ~ 1 + (1 | g)", data, family="poisson").fit()
    assert fit.singular
    ((low, high),) = fit.sd_intervals(0.95)[0][0]
    assert low == 0.0
    assert 0.0 < high < 1.0
