"""The criterion of a model in a workspace of its own, and with other columns or another response.

Everything is linear in the columns [X y]: replacing them by [X y]T changes [X y]'W[X y] and Z'W[X y] only, so neither
rows nor the elimination's pattern are touched again. That makes a refit cost what its search costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.fused import minimise_likelihood
from ..core.gaussian import Elimination
from ..core.likelihood import Likelihood, State
from ..core.pattern import Pattern, pattern
from ..data.cross_products import CrossProducts
from ..errors import SettingError, printable
from ..fit.remarks import LIKELIHOODS
from ..numerics.newton import Progress
from ..scales.base import Scale

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model

MAXITER = 200
INSTEAD = {  # of what a sampled fit has no likelihood for
    "profile": "Its intervals are quantiles of its draws: fit.confint(), fit.variance_components.",
    "bootstrap": "Its intervals are quantiles of its draws: fit.confint(), fit.variance_components.",
    "tests of terms": 'Ask the posterior: fit.hypothesis("x > 0"); or compare fits without the term: ml.compare.',
    "a likelihood-ratio test": "Compare the fits by leave-one-out: ml.compare(fit_1, fit_2).",
}


def criterion(model: Model, reml: bool, known: Pattern | None = None) -> Likelihood:
    """The model's criterion; its workspace is shared with nobody."""
    products = model.products
    sigma2 = None if model.design.known_se is None else 1.0 / products.y_shift.scale**2
    return Likelihood(products, model.scales, reml, sigma2, Elimination(products, known or pattern(products)))


def minimum(likelihood: Likelihood, start: np.ndarray | None = None) -> tuple[State, Progress]:
    """The optimum of a criterion, from `start` or from moments."""
    if not likelihood.n_theta:
        return likelihood.evaluate(np.zeros(0)), Progress(converged=True, decrement=0.0, scaled_gradient=0.0)
    with np.errstate(all="ignore"):
        first = likelihood.start() if start is None else start
        return minimise_likelihood(likelihood, first, MAXITER, None)


def recombined(likelihood: Likelihood, T: np.ndarray, scales: Sequence[Scale] | None = None) -> Likelihood:
    """The criterion with [X y] replaced by [X y]T, T (p + 1, q + 1): the fixed part and the response change."""
    products = likelihood.products
    crosses = [factor.cross @ T for factor in products.factors]
    return with_products(likelihood, T.T @ products.xy @ T, crosses, likelihood.elimination.pattern.border @ T, scales)


def with_products(
    likelihood: Likelihood,
    xy: np.ndarray,
    crosses: Sequence[np.ndarray],
    border: np.ndarray,
    scales: Sequence[Scale] | None = None,
) -> Likelihood:
    """The criterion with other [X y]'W[X y], Z'W[X y] by factor, and the latter in the order of the pattern."""
    products, known = likelihood.products, likelihood.elimination.pattern
    factors = tuple(
        replace(factor, cross=np.ascontiguousarray(cross))
        for factor, cross in zip(products.factors, crosses, strict=True)
    )
    new: CrossProducts = replace(products, xy=np.ascontiguousarray(xy), factors=factors)
    elimination = Elimination(new, replace(known, border=np.ascontiguousarray(border)))
    chosen = likelihood.scales if scales is None else scales
    return Likelihood(new, chosen, likelihood.reml, likelihood.known_sigma2, elimination)


def with_scales(likelihood: Likelihood, scales: Sequence[Scale]) -> Likelihood:
    """The criterion with other covariances of the terms, in the same workspace."""
    return Likelihood(likelihood.products, scales, likelihood.reml, likelihood.known_sigma2, likelihood.elimination)


def is_likelihood(fit: Fit) -> bool:
    """Whether the fit maximised a (restricted) likelihood, or has no groups so that its likelihood is plain."""
    return not fit.sampled and (fit.estimates.criterion in LIKELIHOODS or not fit.model.design.groups)


def require_likelihood(fit: Fit, what: str) -> None:
    """Refuse fits by other estimators.

    Raises
    ------
    SettingError
    """
    if fit.sampled:
        raise SettingError(
            f"{what} needs a likelihood fit, and this one has draws from a posterior",
            code="E_SAMPLED",
            hint=INSTEAD.get(what, "hypothesis() and ml.compare() answer from the draws."),
        )
    if not is_likelihood(fit):
        raise SettingError(
            f'{what} needs a likelihood fit, and this one was made by "{printable(fit.estimator.name)}"',
            hint='Fit with "reml" or "ml".' if fit.model.is_linear else 'Fit with "laplace".',
        )


def is_reml(fit: Fit) -> bool:
    """Whether the fit maximised the restricted likelihood."""
    return fit.estimates.criterion == LIKELIHOODS[0]
