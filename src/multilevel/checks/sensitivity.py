"""How much the posterior owes to the priors: ``ml.prior_sensitivity(fit)``, by power-scaling.

    p(θ | y, α) ∝ p(θ)^α p(y | θ),    p(θ | y, α) ∝ p(θ) p(y | θ)^α,    α near 1

The posterior under a slightly weaker or stronger prior (likelihood) is the draws with weights p(θ)^(α − 1), smoothed
by PSIS. How far a parameter's distribution moves is the cumulative Jensen-Shannon distance between its distribution
functions, per doubling of α:

    D = [ D(α = 1/(1 + δ)) + D(α = 1 + δ) ] / (2 log₂(1 + δ))

Sensitivity to the prior above 0.05 calls for a look: together with sensitivity to the likelihood the two disagree, or
pull together; without it the data say little about the parameter, and the prior decides.

Densities of group effects given their covariance are part of the model, and stay as they are; only priors that
`model.priors` lists are scaled, on the parameters' natural scale.

Reference: Kallioinen, Paananen, Bürkner & Vehtari (2024), Statistics and Computing 34.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, printable
from ..numerics.psis import psis, threshold
from .posterior import draws_by_name, log_likelihood, log_prior

if TYPE_CHECKING:
    from ..fit.fit import Fit

DELTA = 0.01
SENSITIVE = 0.05
COLUMNS = ("parameter", "prior", "likelihood", "diagnosis")
"""E
cat > /dev/null <<'E'
