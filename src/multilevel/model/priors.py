"""From a model to its priors: named sets, and what the user gave instead.

    "brms"   Student-t with 3 degrees of freedom for the intercept at the predictors' means and, cut at zero, for standard
             deviations, scaled by the response's median absolute deviation; slopes flat; LKJ(1)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..priors.base import Prior, positive
from ..priors.gamma import Gamma
from ..priors.logistic import Logistic
from ..priors.record import LinearPrior, Priors
from ..priors.student_t import StudentT
from ..priors.terms import Separate

if TYPE_CHECKING:
    from .model import Model


def resolve(model: Model, given: Any = None) -> Priors:
    """The priors of a model: a named set, with what the user gave in place of its members."""
    return brms(model)


def brms(model: Model) -> Priors:
    """The defaults of brms 2.23."""
    location, scale = _response_scale(model)
    sd = positive(StudentT(3.0, 0.0, scale))
    design = model.design
    terms = tuple(Separate(1.0, tuple(sd for _ in g.names)) for g in design.groups)
    constants: dict[str, Prior] = {
        "sigma": sd, "shape": Gamma(0.01, 0.01), "phi": Gamma(0.01, 0.01), "nu": Gamma(2.0, 0.1),
    }  # fmt: skip
    linear = []
    for j, direction in intercepts(model):
        name = design.fixed_names[j]
        prior: Prior = StudentT(3.0, location, scale)
        if name.startswith(("zi_", "hu_")):
            prior = Logistic(0.0, 1.0)
        elif design.fixed_predictor.size and design.fixed_predictor[j] >= len(design.layout.locations):
            prior = StudentT(3.0, 0.0, 2.5)
        linear.append(LinearPrior(name, direction, prior))
    return Priors(terms, tuple(linear), constants, name="brms")


def intercepts(model: Model) -> list[tuple[int, np.ndarray]]:
    """Each intercept (or threshold) with the combination of β that is its value at the predictors' means."""
    design = model.design
    owner = design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)
    means = np.array([1.0 if column is None else float(np.mean(column)) for column in design.fixed_columns])
    names = design.layout.names
    out = []
    for j, column in enumerate(design.fixed_columns):
        if column is not None:
            continue
        direction = np.zeros(len(means))
        threshold = names[owner[j]] in design.layout.thresholds if len(names) > owner[j] else False
        others = (owner == 0) if threshold else (owner == owner[j])
        slopes = others & np.array([c is not None for c in design.fixed_columns])
        direction[slopes] = -means[slopes] if threshold else means[slopes]
        direction[j] = 1.0
        out.append((j, direction))
    return out


def _response_scale(model: Model) -> tuple[float, float]:
    """Median and scale of the response on the link's scale, as brms rounds them."""
    from ..links import link

    if model.link not in ("identity", "log", "inverse", "sqrt") or model.distribution.family.ordered:
        return 0.0, 2.5
    y = model.design.response
    if model.link == "log":
        y = np.where(y == 0.0, y + 0.1, y)
    z = link(model.link).eta(np.asarray(y, dtype=float))
    z = z[np.isfinite(z)]
    centre = float(np.median(z)) if len(z) else 0.0
    spread = float(1.4826 * np.median(np.abs(z - centre))) if len(z) else 0.0
    return round(centre, 1), max(2.5, round(spread, 1))
