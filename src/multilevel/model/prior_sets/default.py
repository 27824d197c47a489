"""Our own defaults: weakly informative, in the units of the data.

    Intercept (at the predictors' means) ~ student_t(3, m, 2.5 s);   slope of x ~ normal(0, 2.5 s/s_x)
    sd of a coefficient of z ~ half_student_t(3, 0, s/s_z);   sigma ~ half_student_t(3, 0, s);   R ~ LKJ(2)

s is the response's sd where the link is the identity, and 1 on other links (one unit of a logit or a logarithm; the sd
of log y for continuous positive responses, if larger; for standard deviations beside a yes or no, the sd of the latent
error: 1.8 for logit, 1 for probit). s_x is the predictor's sd; half the difference if it has two
values. The standard deviation of an intercept is about levels at z = 0, which may be far from the data: its scale is
s (1 + Σ (mean z/s_z)²)^½ over the slopes beside it.

`docs/priors.md` gives the reasons. The tails of Student's t with three degrees of freedom let the data overrule the
scale: no default here is tight enough to suppress differences between groups.
"""

from __future__ import annotations

import math

import numpy as np

from ...priors.base import positive
from ...priors.covariance.lkj import LKJ
from ...priors.inv_gamma import InvGamma
from ...priors.logistic import Logistic
from ...priors.normal import Normal
from ...priors.student_t import StudentT
from .base import PROBABILITIES, Choice, Parameter, Scales, digits, near, unit, usual_constant

WIDTH = 2.5


def choose(parameter: Parameter, data: Scales) -> Choice:
    """The default prior of a parameter."""
    spread = data.spread if parameter.location else 1.0
    what = "sd(y)" if parameter.location and data.linear else "the link's unit"
    match parameter.kind:
        case "cov":
            return None, ""
        case "cor":
            return LKJ(2.0), "keeps a little off ±1"
        case "beta":
            return Normal(0.0, digits(WIDTH * spread / unit(parameter.column))), f"2.5 × {what}/spread of the predictor"
        case "sd":
            return _sd(parameter, data, spread, what)
        case "Intercept":
            return _intercept(parameter, data, spread)
    if parameter.name == "sigma":
        return positive(StudentT(3.0, 0.0, digits(data.moments[1]))), "sd(y): wide, and no more than all there is"
    if parameter.name in ("shape", "phi"):
        return InvGamma(0.4, 0.3), "from strong dispersion to nearly none"
    return usual_constant(parameter.name)


def _sd(parameter: Parameter, data: Scales, spread: float, what: str) -> Choice:
    group = data.model.design.groups[parameter.term]
    if parameter.location and not data.linear:
        spread *= data.latent
    if parameter.column is not None:
        scale = spread / unit(parameter.column)
        return positive(StudentT(3.0, 0.0, digits(scale))), f"{what}/spread of the predictor"
    away = sum((float(np.mean(z)) / unit(z)) ** 2 for z in group.columns if z is not None)
    scale = spread * math.sqrt(1.0 + away)
    why = f"{what}: wide, and heavy-tailed" + (", levels at zero of the slopes" if away > 0.1 else "")
    return positive(StudentT(3.0, 0.0, digits(scale))), why


def _intercept(parameter: Parameter, data: Scales, spread: float) -> Choice:
    if not parameter.location:
        if parameter.predictor in PROBABILITIES:
            return Logistic(0.0, 1.0), "uniform on the probability"
        if parameter.predictor == "nu":
            return Normal(2.7, 0.8), "from heavy tails to nearly normal"
        centre = math.log(data.moments[1]) if parameter.predictor == "sigma" else 0.0
        return StudentT(3.0, near(centre, 1.0), WIDTH), "on the scale of its link"
    why = "centre and spread of the response, at the predictors' means"
    return StudentT(3.0, near(data.centre, spread), digits(WIDTH * spread)), why


MEMBER = choose
