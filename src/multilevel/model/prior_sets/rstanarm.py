"""The defaults of rstanarm 2.32: ``priors="rstanarm"``.

    Intercept (at the predictors' means) ~ normal(m, 2.5 s);   slope of x ~ normal(0, 2.5 s/s_x)
    sigma ~ exponential(1/s);   Σ ~ decov(1, 1, 1, 1), times sigma² for normal responses

m and s are mean and sd of a normal response, 0 and 1 in other models. What rstanarm does not fit (zero inflation,
predictors of sigma) has the priors of slopes and intercepts, and ours for its constants.

Source: rstanarm, "Prior distributions for rstanarm models" (Gabry & Goodrich 2020).
"""

from __future__ import annotations

from ...priors.covariance.decov import Decov
from ...priors.covariance.lkj import LKJ
from ...priors.exponential import Exponential
from ...priors.normal import Normal
from .base import PROBABILITIES, Choice, Parameter, Scales, digits, near, standard_deviation, usual_constant

WIDTH = 2.5


def choose(parameter: Parameter, data: Scales) -> Choice:
    """The prior that rstanarm gives a parameter."""
    gaussian = data.model.distribution.family.is_gaussian and data.model.link == "identity"
    mean, sd = data.moments if gaussian and parameter.location else (0.0, 1.0)
    match parameter.kind:
        case "cov":
            return Decov(), "trace, its shares and correlations apart" + (", times sigma²" if gaussian else "")
        case "cor":
            return LKJ(1.0), "part of decov"
        case "sd":
            return Exponential(digits(1.0 / sd, 5)), "1/sd(y)" if gaussian else "one unit of the link"
        case "beta":
            width = digits(WIDTH * sd / standard_deviation(parameter.column), 5)
            return Normal(0.0, width), "2.5 sd(y)/sd(x)" if gaussian else "2.5/sd(x)"
        case "Intercept":
            return Normal(near(mean, 0.1 * sd), digits(WIDTH * sd, 5)), "at the predictors' means"
    if parameter.name in (*PROBABILITIES, "nu"):
        return usual_constant(parameter.name)
    rate = 1.0 / data.moments[1] if parameter.name == "sigma" else 1.0
    return Exponential(digits(rate, 5)), "1/sd(y)" if parameter.name == "sigma" else "rstanarm's for such parameters"


MEMBER = choose
