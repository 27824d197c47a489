"""The collapsed posterior of a linear model as compiled code takes it, where it has at most one grouping factor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .compiled import Compiled, of_priors, of_terms
from .given_coefficients import GivenCoefficients
from .without_coefficients import WithoutCoefficients

if TYPE_CHECKING:
    from .collapsed import CollapsedPosterior


def compiled(target: CollapsedPosterior) -> Compiled | None:
    """The compiled form of a posterior; None where a part of it has none."""
    from ..numerics.marginal_linear import FIELDS, gradient

    coords, engine = target.coordinates, target.engine
    assert isinstance(engine, GivenCoefficients | WithoutCoefficients)
    priors = of_priors(coords)
    if priors is None or not engine.one_factor:
        return None
    units = engine.units
    products = units.products
    terms = of_terms(coords, products.factors, units.inside)
    own = _given(engine) if isinstance(engine, GivenCoefficients) else _without(engine)
    constant = priors.pop("constant") + terms.pop("constant") + own.pop("constant")
    sigma = engine.sigma_at if isinstance(engine, GivenCoefficients) else coords.sigma
    gram, cross = np.zeros((0, 1, 1)), np.zeros((0, 1, products.p + 1))
    if products.factors:
        gram, cross = products.factors[0].gram, products.factors[0].cross
    k = gram.shape[1]
    empty = {"shift": np.zeros(0), "map": np.zeros((0, 0)), "rows": np.zeros((0, 0)), "spreads": np.zeros(0),
             "scales": np.zeros(0, np.int64), "weights": np.zeros((1, 0)), "by_inside": np.zeros((1, 0)),
             "q": np.zeros((1, 0)), "h": np.zeros((1, 0))}  # fmt: skip
    given = {
        **empty, **priors, **terms, **own, "constant": np.array([constant]), "unit": np.array([units.scale]),
        "counts": np.array([coords.coefficients.start, sigma, isinstance(engine, GivenCoefficients)], np.int64),
        "gram": gram, "cross": cross, "xy": products.xy, "lam": np.zeros((1, k, k)), "by_lam": np.zeros((1, k, k)),
        "found": np.zeros((1, 3)), "s2": np.zeros(1), "z": np.zeros(coords.d), "by_z": np.zeros(coords.d),
    }  # fmt: skip
    return Compiled(gradient, {name: given[name] for name in FIELDS}, coords.d)


def _given(engine: GivenCoefficients) -> dict[str, Any]:
    """What the likelihood of given coefficients needs."""
    units, products = engine.units, engine.units.products
    constant = 0.5 * products.log_weights - products.n * np.log(products.y_shift.scale) + engine.log_jacobian
    return {
        "constant": float(constant), "degrees": np.array([float(products.n)]),
        "shift": -(engine.inside_of @ products.beta_origin), "map": engine.inside_of @ units.coordinates.to_beta,
        "weights": np.zeros((1, products.p + 1)), "by_inside": np.zeros((1, products.p)),
    }  # fmt: skip


def _without(engine: WithoutCoefficients) -> dict[str, Any]:
    """What the likelihood needs with coefficients integrated out."""
    units, products, normals = engine.units, engine.units.products, engine.normals
    degrees, j = products.n - products.p, len(normals)
    constant = 0.5 * products.log_weights - degrees * np.log(products.y_shift.scale) - products.log_det_x
    first = units.coordinates.extras.start
    return {
        "constant": float(constant), "degrees": np.array([float(degrees)]), "rows": normals.rows,
        "spreads": normals.sds, "scales": np.where(normals.scale >= 0, first + normals.scale, -1).astype(np.int64),
        "q": np.zeros((1, j)), "h": np.zeros((1, j)),
    }  # fmt: skip
