"""The second-order correction: against the formula written out, against the exact likelihood, and its estimator."""

from __future__ import annotations

import numpy as np
import pytest
from test_quadrature import table

from multilevel.core.laplace import Laplace
from multilevel.core.quadrature import Quadrature
from multilevel.core.second_order import SecondOrder, correction
from multilevel.model.model import Model

EXACT = {
    "one effect": ("y ~ x + (1 | b)", "bernoulli"),
    "slopes": ("y ~ x + (x | b)", "bernoulli"),
    "nested": ("k ~ x + (1 | a) + (1 | b)", "poisson"),
    "nested slopes": ("y ~ x + (x | a) + (x | b)", "bernoulli"),
    "three levels": ("y ~ x + (1 | a/b/c)", "bernoulli"),
    "two predictors": ("k ~ x + (1 | a) + (1 | b); zi ~ (1 | a)", "zero_inflated_poisson"),
    "ordinal": ("o ~ x + (1 | b)", "cumulative"),
}
CROSSED = {
    "two factors": ("y ~ x + (1 | b) + (1 | d)", "bernoulli"),
    "slopes": ("y ~ x + (1 | b) + (x | d)", "bernoulli"),
    "two predictors": ("k ~ x + (1 | b); zi ~ (1 | d)", "zero_inflated_poisson"),
}


def state_of(formula, family):
    model = Model(formula, table(), family=family)
    laplace = Laplace(model.rows, model.distribution, model.scales)
    phi = laplace.start() + 0.1 * np.random.default_rng(0).standard_normal(laplace.n_theta + laplace.n_coefficients)
    return laplace, laplace.evaluate(phi)


def written_out(laplace, state):
    """The three terms by row, with the dense covariance of all rows' linear predictors."""
    rows, latent, which = laplace.rows, laplace.latent, list(laplace.rows.latent)
    laplace.restore(state)
    at = laplace.distribution.derivatives(rows.observations, state.mode.eta, 4)
    z = np.stack([latent.row_effects(latent.scaled(state.lam, e)) for e in np.eye(latent.q)], axis=-1)
    w = at.second[:, which][:, :, which]
    h = np.einsum("naq,nab,nbr->qr", z, w, z) + np.eye(latent.q)
    cov = np.einsum("naq,qr,mbr->nmab", z, np.linalg.inv(h), z, optimize=True)
    third = at.third[:, which][:, :, which][:, :, :, which]
    fourth = at.fourth[:, which][:, :, which][:, :, :, which][:, :, :, :, which]
    a = cov[np.arange(rows.n), np.arange(rows.n)]
    t = np.einsum("nabc,nab->nc", third, a)
    quartic = -np.einsum("nabcd,nab,ncd->n", fourth, a, a) / 8.0
    pull = np.einsum("na,nmab,mb->n", t, cov, t) / 8.0
    cubic = np.einsum("nabc,mdef,nmad,nmbe,nmcf->n", third, third, cov, cov, cov, optimize=True) / 12.0
    return quartic + pull + cubic


@pytest.mark.parametrize("case", EXACT)
def test_nested_factors_equal_the_formula(case):
    laplace, state = state_of(*EXACT[case])
    found = correction(laplace, state)
    factor = laplace.rows.factors[found.factor]
    groups = np.log1p(np.bincount(factor.codes, written_out(laplace, state)))
    assert factor.n_levels == min(f.n_levels for f in laplace.rows.factors)
    assert found.groups == pytest.approx(groups, rel=1e-9, abs=1e-13)
    assert found.total == pytest.approx(groups.sum(), rel=1e-9)


@pytest.mark.parametrize("case", CROSSED)
def test_crossed_factors_come_close(case):
    """All but the covariance between effects of different levels is there."""
    laplace, state = state_of(*CROSSED[case])
    found = correction(laplace, state)
    factor = laplace.rows.factors[found.factor]
    groups = np.log1p(np.bincount(factor.codes, written_out(laplace, state)))
    assert factor.n_levels == max(f.n_levels for f in laplace.rows.factors)
    assert found.total == pytest.approx(groups.sum(), rel=0.02)


def test_nothing_is_missing_for_normal_responses():
    laplace, state = state_of("z ~ x + (x | a); sigma ~ x", "gaussian")
    assert correction(laplace, state).total == pytest.approx(0.0, abs=1e-12)


def binary_clusters(size, tau, groups=500, seed=1):
    rng = np.random.default_rng(seed)
    g = np.repeat(np.arange(groups), size)
    y = rng.random(groups * size) < 1.0 / (1.0 + np.exp(-tau * rng.standard_normal(groups)[g]))
    return Model("y ~ 1 + (1 | g)", {"y": y.astype(float), "g": g.astype(str)}, family="bernoulli")


@pytest.mark.parametrize(("size", "tau", "left"), [(2, 1.0, 0.16), (5, 1.0, 0.09), (5, 2.0, 0.15), (20, 1.0, 0.03)])
def test_most_of_the_error_of_laplace_is_taken_away(size, tau, left):
    model = binary_clusters(size, tau)
    phi = np.array([tau, 0.0])
    laplace = Laplace(model.rows, model.distribution, model.scales)
    exact = Quadrature(model.rows, model.distribution, model.scales, 61).evaluate(phi).value
    state = laplace.evaluate(phi)
    error = 0.5 * (exact - state.value)
    assert error < 0.0  # Laplace's log-likelihood is too low
    assert abs(error + correction(laplace, state).total) < left * abs(error)


def test_gradient():
    model = Model("y ~ x + (1 | a) + (1 | b)", table(), family="bernoulli")
    criterion = SecondOrder(model.rows, model.distribution, model.scales)
    phi = np.array([0.8, 0.9, 0.1, 0.4])
    gradient = criterion.slope(criterion.evaluate(phi)).gradient
    for j in range(len(phi)):
        up, down = phi.copy(), phi.copy()
        up[j], down[j] = phi[j] + 1e-4, phi[j] - 1e-4
        slope = (criterion.evaluate(up).value - criterion.evaluate(down).value) / 2e-4
        assert gradient[j] == pytest.approx(slope, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("size", "tau", "least"), [(2, 1.0, 0.08), (5, 1.0, 0.012), (5, 2.0, 0.025), (20, 1.0, 0.001)])
def test_estimates_move_to_those_of_quadrature(size, tau, least):
    """sd within a few per cent where Laplace is a quarter off."""
    model = binary_clusters(size, tau, groups=1000)
    sd = {
        name: model.fit(estimator, **settings).estimates.covariances[0][0, 0] ** 0.5
        for name, estimator, settings in (
            ("first", "laplace", {}),
            ("second", "laplace", {"order": 2}),
            ("exact", "agq", {"nodes": 41}),
        )
    }
    assert abs(sd["second"] / sd["exact"] - 1.0) < least
    assert abs(sd["second"] - sd["exact"]) < 0.35 * abs(sd["first"] - sd["exact"])


def test_standard_errors_are_those_of_the_criterion():
    model = Model("y ~ x + (1 | b) + (1 | d)", table(), family="bernoulli")
    fit = model.fit("laplace", order=2)
    criterion = SecondOrder(model.rows, model.distribution, model.scales)
    phi = np.array(fit.estimates.notes["phi"])
    h, size = np.empty((4, 4)), 1e-3
    for i in range(4):
        for j in range(4):
            d = size * np.eye(4)[[i, j]]
            corners = [criterion.evaluate(phi + s * d[0] + t * d[1]).value for s in (1, -1) for t in (1, -1)]
            h[i, j] = (corners[0] - corners[1] - corners[2] + corners[3]) / (4.0 * size**2)
    covariance = model.rows.to_beta @ (2.0 * np.linalg.inv(h))[2:, 2:] @ model.rows.to_beta.T
    assert fit.std_errors == pytest.approx(np.sqrt(np.diag(covariance)), rel=1e-3)
