"""The densities as textbooks and SciPy have them: what every family is held against.

Each takes the natural parameters (mean first) of one row and gives a frozen SciPy distribution, or a function of y.
"""

from __future__ import annotations

import numpy as np
from scipy import special, stats


def negative_binomial(mu, shape):
    return stats.nbinom(shape, shape / (shape + mu))


class ZeroInflated:
    """A distribution with a share of zeros added."""

    def __init__(self, base, share):
        self.base, self.share = base, share

    def logpmf(self, y):
        return np.log(self.share * (np.asarray(y) == 0) + (1 - self.share) * self.base.pmf(y))


class Hurdle:
    """A share of zeros, and the distribution above zero."""

    def __init__(self, base, share):
        self.base, self.share = base, share

    def logpmf(self, y):
        above = np.log1p(-self.share) + self.base.logpmf(y) - np.log1p(-self.base.pmf(0))
        return np.where(np.asarray(y) == 0, np.log(self.share), above)


class Categories:
    """Given probabilities."""

    def __init__(self, p):
        self.p = np.asarray(p)

    def logpmf(self, y):
        return np.log(self.p[np.asarray(y).astype(int)])


DISTRIBUTION = {"logit": special.expit, "probit": special.ndtr, "cloglog": lambda x: -np.expm1(-np.exp(x))}


def cumulative(link, eta, *thresholds):
    steps = DISTRIBUTION[link](np.array(thresholds) - eta)
    return Categories(np.diff([0.0, *steps, 1.0]))


def softmax(*eta):
    return Categories(special.softmax([0.0, *eta]))


ORACLES = {
    "gaussian": lambda mu, sigma: stats.norm(mu, sigma),
    "student": lambda mu, sigma, nu: stats.t(nu, mu, sigma),
    "lognormal": lambda mu, sigma: stats.lognorm(sigma, scale=np.exp(mu)),
    "gamma": lambda mu, shape: stats.gamma(shape, scale=mu / shape),
    "inverse_gaussian": lambda mu, shape: stats.invgauss(mu / shape, scale=shape),
    "beta": lambda mu, phi: stats.beta(mu * phi, (1 - mu) * phi),
    "bernoulli": lambda p: stats.bernoulli(p),
    "binomial": lambda p: stats.binom(7, p),
    "beta_binomial": lambda p, phi: stats.betabinom(7, p * phi, (1 - p) * phi),
    "poisson": lambda mu: stats.poisson(mu),
    "negative_binomial": negative_binomial,
    "negative_binomial_1": lambda mu, phi: negative_binomial(mu, mu / phi),
    "zero_inflated_poisson": lambda mu, zi: ZeroInflated(stats.poisson(mu), zi),
    "zero_inflated_negative_binomial": lambda mu, shape, zi: ZeroInflated(negative_binomial(mu, shape), zi),
    "hurdle_poisson": lambda mu, hu: Hurdle(stats.poisson(mu), hu),
    "hurdle_negative_binomial": lambda mu, shape, hu: Hurdle(negative_binomial(mu, shape), hu),
}
