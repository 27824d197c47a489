"""Horseshoe and R2-D2 with their local scales as coordinates: the same prior, an exact gradient, the same posterior."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad

import multilevel as ml
from multilevel.core.coordinates import coordinates
from multilevel.core.joint_shrinkage import ShrunkenPosterior, expanded, joint_posterior, shrinks

PRIORS = ("horseshoe(0.5)", "r2d2(0.4, 2)")


def table(n: int = 90) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 3))
    g = np.repeat(np.arange(9), n // 9)
    eta = 0.8 * x[:, 0] + 0.5 * rng.normal(size=9)[g]
    y = (rng.random(n) < 1.0 / (1.0 + np.exp(-eta))).astype(int)
    return {"y": y, "count": rng.poisson(np.exp(eta)), "a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "g": g, "h": g % 4}


def model(prior: str, response: str = "y", family: str = "bernoulli", groups: str = "(1 | g)") -> ml.Model:
    return ml.Model(f"{response} ~ a + b + c + {groups}", table(), family=family, priors={"beta": prior})


@pytest.mark.parametrize("prior", PRIORS)
def test_the_local_scales_integrate_to_the_prior(prior: str) -> None:
    m = model(prior)
    whole, parts = coordinates(m, m.priors, True), coordinates(m, expanded(m.priors), True)
    z = np.random.default_rng(1).normal(size=whole.d)
    more = parts.d - whole.d
    assert more == 3

    def of(local: float, j: int) -> float:
        """Density of one local scale with the others at zero, over the density with all there."""
        at = np.concatenate([z, np.zeros(more)])
        base = parts.log_prior(at[None])[0][0]
        at[whole.d + j] = local
        return float(np.exp(parts.log_prior(at[None])[0][0] - base))

    # given τ the local scales are independent, each with the density of its own coefficient
    log_total = sum(np.log(quad(of, -60.0, 30.0, args=(j,), points=(-5, 0, 3), limit=400)[0]) for j in range(more))
    at = np.concatenate([z, np.zeros(more)])
    found = parts.log_prior(at[None])[0][0] + log_total
    assert found == pytest.approx(whole.log_prior(z[None])[0][0], abs=1e-6)


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("groups", ["(1 | g)", "(1 + a | g)", "(1 | g) + (1 | h)"])
def test_the_gradient_is_that_of_the_density(prior: str, groups: str) -> None:
    target = ShrunkenPosterior(model(prior, "count", "poisson", groups))
    rng = np.random.default_rng(2)
    for spread in (0.5, 1.5):
        x = spread * rng.normal(size=target.d)
        slope = target.gradient(x)[1]
        width = 1e-5
        around = np.concatenate([x + width * np.eye(target.d), x - width * np.eye(target.d)])
        value = target.log_density(around)
        differences = (value[: target.d] - value[target.d :]) / (2.0 * width)
        assert np.abs(slope - differences).max() < 1e-5 * (1.0 + np.abs(slope).max())


def test_other_priors_keep_the_plain_coordinates() -> None:
    plain = ml.Model("y ~ a + (1 | g)", table(), family="bernoulli")
    assert not shrinks(plain)
    assert not isinstance(joint_posterior(plain), ShrunkenPosterior)
    assert isinstance(joint_posterior(model(PRIORS[0])), ShrunkenPosterior)


@pytest.mark.filterwarnings("ignore::multilevel.errors.ConvergenceWarning")
@pytest.mark.parametrize("prior", [PRIORS[0], pytest.param(PRIORS[1], marks=pytest.mark.slow)])
def test_nuts_draws_what_gibbs_draws(prior: str) -> None:
    m = model(prior)
    chains = m.fit("nuts", draws=300, tune=300, chains=2)
    sweeps = m.fit("gibbs", draws=600, tune=300)
    assert chains.sample.stats["divergent"].sum() == 0
    assert chains.sample.z.shape[2] == sweeps.sample.z.shape[2]
    assert chains.sample.names == sweeps.sample.names
    a, b = (f.diagnostics().table.set_index("parameter") for f in (chains, sweeps))
    rows = [r for r in a.index if not str(r).startswith("r_")]
    assert a.loc[rows, "rhat"].max() < 1.03
    for column, error in (("estimate", "mcse_mean"), ("std_error", "mcse_sd")):
        gap = (a.loc[rows, column] - b.loc[rows, column]).abs()
        allowed = np.hypot(a.loc[rows, error], b.loc[rows, error])
        assert (gap / allowed).max() < 4.5, column
