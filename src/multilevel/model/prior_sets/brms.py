"""The defaults of brms 2.23: ``priors="brms"``.

    Intercept (at the predictors' means) ~ student_t(3, m, s);   slopes flat;   R ~ LKJ(1)
    sd, sigma ~ half_student_t(3, 0, s);    m = median(z), s = max(2.5, mad(z)), rounded to one digit, z = link(y)

Links other than identity, log, inverse, sqrt and 1/μ²: m = 0, s = 2.5. Older versions (2.18 for one) had
``gamma(0.01, 0.01)`` for the shape of a negative binomial: give it, ``{"set": "brms", "shape": "gamma(0.01, 0.01)"}``.

Source: documentation of ``set_prior`` and ``default_prior`` of brms (Bürkner 2017, J. Statistical Software 80).
"""

from __future__ import annotations

from ...priors.base import positive
from ...priors.covariance.lkj import LKJ
from ...priors.flat import Flat
from ...priors.inv_gamma import InvGamma
from ...priors.logistic import Logistic
from ...priors.normal import Normal
from ...priors.student_t import StudentT
from .base import PROBABILITIES, Choice, Parameter, Scales, usual_constant

SCALED = "scaled by the response's median absolute deviation"


def choose(parameter: Parameter, data: Scales) -> Choice:
    """The prior that brms gives a parameter."""
    location, scale = data.as_brms
    match parameter.kind:
        case "cov":
            return None, ""
        case "cor":
            return LKJ(1.0), "uniform over correlation matrices"
        case "beta":
            return Flat(), "brms leaves slopes flat"
        case "sd":
            return positive(StudentT(3.0, 0.0, scale)), SCALED
        case "Intercept":
            return _intercept(parameter, location, scale)
    if parameter.name == "sigma":
        return positive(StudentT(3.0, 0.0, scale)), SCALED
    if parameter.name == "shape" and "negative_binomial" in data.model.family:
        return InvGamma(0.4, 0.3), "brms 2.23; older versions had gamma(0.01, 0.01)"
    return usual_constant(parameter.name)


def _intercept(parameter: Parameter, location: float, scale: float) -> Choice:
    if parameter.location:
        return StudentT(3.0, location, scale), "median and scale of the response, at the predictors' means"
    if parameter.predictor in PROBABILITIES:
        return Logistic(0.0, 1.0), "uniform on the probability"
    if parameter.predictor == "nu":
        return Normal(2.7, 0.8), "on the logarithm"
    return StudentT(3.0, 0.0, 2.5), "on the scale of its link"


MEMBER = choose
