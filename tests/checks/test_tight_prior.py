"""A prior that holds groups together is noticed before and after; one that does not is not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import multilevel as ml
from multilevel.errors import PriorWarning


def schools(priors: object) -> ml.Model:
    return ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"), priors=priors)


def codes(subject: object) -> list[str]:
    return [f.code for f in ml.advise(subject)]


def test_a_tight_prior_is_noticed() -> None:
    model = schools({"sd[school]": "half_normal(0.1)"})
    assert "N_TIGHT_PRIOR" in codes(model)
    with pytest.warns(PriorWarning, match="widen it"):
        fit = model.fit("map", draws=50, chains=1)
    assert "N_TIGHT_PRIOR" in codes(fit)
    assert any(w.code == "W_PRIOR" for w in fit.warnings)


@pytest.mark.parametrize("priors", [None, "brms", "rstanarm", {"sd": "exponential(0.1)"}, {"sigma": "exponential(1)"}])
def test_others_are_not(priors: object) -> None:
    assert "N_TIGHT_PRIOR" not in codes(schools(priors))


def test_covariances_and_counts() -> None:
    rng = np.random.default_rng(0)
    g = np.repeat(np.arange(12), 10)
    y = rng.poisson(np.exp(1.0 + 1.0 * rng.normal(size=12)[g])).astype(float)
    data = {"y": y, "g": g.astype(str)}
    tight = ml.Model("y ~ 1 + (1 | g)", data, family="poisson", priors={"cov[g]": "inv_wishart(100, 1)"})
    assert "N_TIGHT_PRIOR" in codes(tight)
    wide = ml.Model("y ~ 1 + (1 | g)", data, family="poisson", priors={"sd[g]": "exponential(1)"})
    assert "N_TIGHT_PRIOR" not in codes(wide)


def test_nothing_is_said_by_likelihood_fits() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", PriorWarning)
        schools({"sd[school]": "half_normal(0.1)"}).fit("reml")
