"""Nothing said: ``priors="flat"``.

    β, sd, sigma flat on their natural scale;   R ~ LKJ(1)

The posterior then is the likelihood. Improper priors can make improper posteriors: those known to do so are refused
(standard deviations of fewer levels than coefficients + 2), and dispersions whose likelihood does not vanish at
infinity have a proper prior.

Reference: Gelman (2006), Bayesian Analysis 1, section 2.2.
"""

from __future__ import annotations

from ...priors.covariance.lkj import LKJ
from ...priors.flat import Flat
from ...priors.inv_gamma import InvGamma
from .base import Choice, Parameter, Scales, usual_constant


def choose(parameter: Parameter, data: Scales) -> Choice:
    """Flat wherever that leads to a posterior."""
    if parameter.kind == "cov":
        return None, ""
    if parameter.kind == "cor":
        return LKJ(1.0), "uniform over correlation matrices"
    if parameter.kind == "constant" and parameter.name != "sigma":
        if parameter.name in ("shape", "phi"):
            return InvGamma(0.4, 0.3), "a flat one has no posterior: the likelihood does not vanish at infinity"
        return usual_constant(parameter.name)
    return Flat(), "nothing said"


MEMBER = choose
