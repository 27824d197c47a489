"""Log densities far out, with counts of 1e12 and dispersions at their limits, against 80-digit arithmetic (mpmath).

The textbook formulas cancel there: `log y!` of 1e12 alone has an error of 4e-3 in double precision.
"""

from __future__ import annotations

import numpy as np
import pytest

from multilevel.families.base import Distribution, Observations
from multilevel.registry import member

LINKS = {
    "poisson": ("log",),
    "binomial": ("logit",),
    "negative_binomial": ("log", "log"),
    "beta_binomial": ("logit", "log"),
    "gamma": ("log", "log"),
    "student": ("identity", "log", "logm1"),
    "beta": ("logit", "log"),
}
FAR = [  # family, y, trials, η, log p(y)
    ("poisson", 1000000000000.0, None, (27.63102211592855,), -15.23444925791589),
    ("poisson", 1000000000000.0, None, (27.631020615928573,), -14.85944905774392),
    ("poisson", 3000000.0, None, (14.9,), -306.1547194970075),
    ("poisson", 5, None, (-30.0,), -154.78749174278215),
    ("poisson", 0, None, (2.0,), -7.38905609893065),
    ("poisson", 1000000000000.0, None, (20.0,), -6631506281138.692),
    ("negative_binomial", 1000000000000.0, None, (27.6, 1.5), -27.820702252554167),
    ("negative_binomial", 1000000000000.0, None, (28.0, 20.0), -29301962.322662797),
    ("negative_binomial", 7, None, (2.0, 25.0), -1.9142174600436213),
    ("negative_binomial", 7, None, (2.0, 34.0), -1.9142174599960704),
    ("negative_binomial", 7, None, (2.0, -20.0), -21.945910191303494),
    ("negative_binomial", 0, None, (2.0, 30.0), -7.389056098928096),
    ("negative_binomial", 1000000.0, None, (13.8, 13.0), -45.38578835243077),
    ("negative_binomial", 3, None, (-40.0, 2.0), -121.4252866919632),
    ("binomial", 400000000000.0, 1000000000000.0, (-0.405465,), -14.022293398383455),
    ("binomial", 400000000000.0, 1000000000000.0, (-0.40546,), -17.152024261922563),
    ("binomial", 300, 1000, (-0.8,), -3.8291696834029607),
    ("binomial", 3, 7, (0.2,), -1.4316240241817293),
    ("binomial", 0, 1000000000.0, (-22.0,), -0.2789468092479868),
    ("binomial", 1000, 1000, (9.0,), -0.12340218972325881),
    ("beta_binomial", 3, 7, (0.2, 25.0), -1.4316240242124965),
    ("beta_binomial", 3, 7, (0.2, 34.0), -1.431624024181733),
    ("beta_binomial", 0, 7, (0.2, 30.0), -5.586972085668743),
    ("beta_binomial", 7, 7, (0.2, -20.0), -0.598138871654852),
    ("beta_binomial", 400, 1000, (-0.4, 8.0), -3.806732298343265),
    ("beta_binomial", 400000000.0, 1000000000.0, (-0.4, 3.0), -19.44128827786705),
    ("gamma", 2.5, None, (0.9, 20.0), -64721.35169532443),
    ("gamma", 2.5, None, (0.9163, 20.0), 8.143933401138886),
    ("gamma", 1e-05, None, (3.0, -10.0), 1.5118387837086933),
    ("gamma", 1000000000.0, None, (20.7, 12.0), -60.035334109959365),
    ("student", 2.5, None, (0.9, 0.3, 25.0), -1.921417427411401),
    ("student", 2.5, None, (0.9, 0.3, 34.0), -1.9214174274050273),
    ("student", 250.0, None, (0.9, -3.0, 1.0), -35.076891033708904),
    ("student", 1e200, None, (0.0, 0.0, 1.0), -2170.7363334961447),
    ("student", 0.9, None, (0.9, 0.0, -5.0), -1.1434357496588667),
    ("beta", 0.999999, None, (2.0, -6.0), 5.557574461792527),
    ("beta", 1e-09, None, (-20.0, 3.0), 3.723265104924796),
]


@pytest.mark.parametrize(("name", "y", "trials", "eta", "exact"), FAR)
def test_far_densities(name, y, trials, eta, exact):
    obs = Observations(np.array([float(y)]), trials=None if trials is None else np.array([float(trials)]))
    d = Distribution(member("families", name), LINKS[name]).derivatives(obs, np.array([eta]), 1)
    # a predictor's own rounding moves the density by its slope times that: no arithmetic can undo it
    rounding = 4e-16 * float(np.abs(d.first[0] * np.array(eta)).sum())
    assert abs(d.value[0] - exact) < 4e-15 * abs(exact) + 1e-12 + rounding + 1e-15 * (trials or 0)


def test_poisson_is_the_limit_of_both_negative_binomials():
    y = np.array([0.0, 1.0, 4.0, 30.0])
    eta = np.array([0.3, 1.0, 1.2, 3.5])
    obs = Observations(y)
    poisson = Distribution(member("families", "poisson"), ("log",)).log_density(obs, eta[:, None])
    for name, far in (("negative_binomial", 33.0), ("negative_binomial_1", -33.0)):
        both = np.column_stack([eta, np.full(4, far)])
        limit = Distribution(member("families", name), ("log", "log")).log_density(obs, both)
        np.testing.assert_allclose(limit, poisson, atol=1e-12)


def test_binomial_is_the_limit_of_the_beta_binomial():
    obs = Observations(np.array([0.0, 3.0, 7.0]), trials=np.full(3, 7.0))
    eta = np.array([-1.0, 0.2, 0.9])
    plain = Distribution(member("families", "binomial"), ("logit",)).log_density(obs, eta[:, None])
    limit = Distribution(member("families", "beta_binomial"), ("logit", "log")).log_density(
        obs, np.column_stack([eta, np.full(3, 33.0)])
    )
    np.testing.assert_allclose(limit, plain, atol=1e-12)


def test_trials_are_sums_of_single_ones():
    """A binomial row is its single trials, up to the number of their orders."""
    from scipy.special import gammaln

    many = Observations(np.array([3.0]), trials=np.array([8.0]))
    single = Observations(np.array([1.0] * 3 + [0.0] * 5))
    for link in ("logit", "probit", "cloglog", "cauchit"):
        one = Distribution(member("families", "binomial"), (link,)).derivatives(many, np.array([[0.4]]), 4)
        rows = Distribution(member("families", "bernoulli"), (link,)).derivatives(single, np.full((8, 1), 0.4), 4)
        orders = gammaln(9) - gammaln(4) - gammaln(6)
        assert one.value[0] == pytest.approx(rows.value.sum() + orders, rel=1e-13)
        for field in ("first", "second", "third", "fourth"):
            np.testing.assert_allclose(getattr(one, field)[0], getattr(rows, field).sum(axis=0), rtol=1e-12, atol=1e-13)


def test_disordered_thresholds_have_no_density():
    family = member("families", "cumulative")
    obs = Observations(np.array([0.0, 1.0, 2.0]), levels=("a", "b", "c"))
    for link in family.links:
        dist = Distribution(family, (link, "identity", "identity"))
        ordered = dist.log_density(obs, np.tile([0.0, -1.0, 1.0], (3, 1)))
        assert np.isfinite(ordered).all()
        assert dist.log_density(obs, np.tile([0.0, 1.0, -1.0], (3, 1)))[1] == -np.inf
        close = dist.log_density(obs, np.tile([0.0, 1.0, 1.0 + 1e-12], (3, 1)))  # nearly equal ones are possible
        assert -40 < close[1] < -20
