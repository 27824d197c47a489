"""Models without groups against R, family by family: what `tests/reference` has no fit of. Numbers: `fits.R`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import multilevel as ml

NONE: dict[str, float] = {}
FITS = {  # formula, family, link, log-likelihood, coefficients, dispersion
    "right": ("right | cens(cr) ~ x", "gaussian", None, -150.371900573, [0.835134171, 0.806096764],
              {"sigma": 0.928368813}),
    "interval": ("lo | cens(two, hi) ~ x", "gaussian", None, -170.221260443, [0.817255535, 0.801148329],
                 {"sigma": 0.956606389}),
    "lognormal": ("ep | cens(cr) ~ x", "lognormal", None, -182.384900573, [0.835134171, 0.806096764],
                  {"sigma": 0.928368813}),
    "truncated": ("above | trunc(lb=0) ~ x", "gaussian", None, -82.778240448, [0.80102473, 1.07078748],
                  {"sigma": 0.93281115}),
    "negative binomial": ("k ~ x", "negative_binomial", None, -178.559350363, [0.226240848, 0.441174977],
                          {"shape": 2.34769711}),
    "categorical": ("r ~ x", "categorical", None, -140.365522551,
                    [0.351766066, 0.4607000697, 0.2840366986, 1.514988438, -0.6934740316, 2.874154655], NONE),
    "logit": ("r ~ x", "cumulative", "logit", -142.521323515, [-1.490817517, 0.162662632, 1.802538541, 1.415277182],
              NONE),
    "probit": ("r ~ x", "cumulative", "probit", -142.390473756, [-0.87279011, 0.10922184, 1.07533271, 0.83460742],
               NONE),
    "cloglog": ("r ~ x", "cumulative", "cloglog", -141.913252669, [-1.45548366, -0.26193496, 0.69128100, 0.86426441],
                NONE),
    "gamma": ("p ~ x", "gamma", None, -255.68503135, [1.27292175, 0.81456093], {"shape": 1 / 0.867785726**2}),
    "inverse gaussian": ("p ~ x", "inverse_gaussian", None, None, [1.22307847, 0.69523968], NONE),
    "sigma ~ x": ("y ~ x; sigma ~ x", "gaussian", None, -161.761318561,
                  [0.85461956, 0.83719946, -0.144341182 / 2, -0.016940317 / 2], NONE),
    "t with 4": ("y ~ x; nu ~ 0 + offset(c4)", "student", None, -167.319788525, [0.85342518, 0.87091653],
                 {"sigma": 0.80069956}),
}  # fmt: skip


def rows() -> pd.DataFrame:
    data = pd.read_csv(Path(__file__).with_name("rows.csv"))
    return data.assign(ep=np.exp(data.right), c4=np.log(3.0), two=2, above=data.y.where(data.y > 0))


@pytest.mark.filterwarnings("ignore::multilevel.errors.MultilevelWarning")
@pytest.mark.parametrize("name", FITS)
def test_fits_are_those_of_r(name):
    formula, family, link, log_likelihood, beta, dispersion = FITS[name]
    fit = ml.fit(formula, rows(), family=family, link=link)
    if log_likelihood is not None:
        assert fit.log_likelihood == pytest.approx(log_likelihood, abs=2e-8 * abs(log_likelihood))
    errors = np.sqrt(np.diag(fit.vcov))
    assert np.all(np.abs(fit.estimates.beta - beta) < 1e-4 * errors)
    for parameter, value in dispersion.items():
        assert fit.estimates.dispersion[parameter] == pytest.approx(value, rel=1e-5)


def test_lognormal_is_gaussian_of_the_logarithm():
    data = rows()
    plain = ml.fit("log(p) ~ x", data, estimator="ml")
    fit = ml.fit("p ~ x", data, family="lognormal")
    assert fit.log_likelihood == pytest.approx(plain.log_likelihood - np.log(data.p).sum(), abs=1e-9)
    np.testing.assert_allclose(fit.estimates.beta, plain.estimates.beta, rtol=1e-6)


def test_hurdles_are_two_models_side_by_side():
    """The zeros' part is a logistic regression: its likelihood and coefficients come out of the joint fit."""
    data = rows()
    joint = ml.fit("k ~ x; hu ~ x", data, family="hurdle_poisson")
    zero = ml.fit("z ~ x", data.assign(z=(data.k == 0) * 1), family="bernoulli")
    np.testing.assert_allclose(joint.estimates.beta[2:], zero.estimates.beta, rtol=1e-6)
