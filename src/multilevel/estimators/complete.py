"""Complete pooling: ``model.fit("complete")``.

    y = Xβ + ε,    ε_i ~ N(0, σ²/w_i)        β̂ = (X'WX)⁻¹ X'Wy,    σ̂² = RSS/(n − p)

One regression for all rows: group terms are left out, so their effects are exactly zero. It is the default for a
formula without group terms, and the other end of no pooling: with groups that do differ its standard errors are
too small, because rows of one group are treated as independent.

`log_likelihood` is that of R's ``logLik(lm)``, with σ² = RSS/n. A perfect fit has σ̂ = 0 and an infinite
log-likelihood. With ``se()`` it is the generalised least squares of a fixed-effect meta-analysis.

Errors: `IdentifiabilityError` when no degrees of freedom are left for σ.

References: Gelman & Hill (2007), section 12.1; Longley (1967) for why the columns are orthogonalised when needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.linear import CommonFit, gaussian_log_likelihood, regression
from ..errors import IdentifiabilityError
from ..fit.estimates import Estimates
from ..fit.least_squares import LeastSquaresCertainty
from .base import Estimator

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass(frozen=True)
class Complete(Estimator):
    """No settings."""

    linear_only = False

    def check(self, model: Model) -> None:
        if not model.is_linear:
            return
        n, p = model.products.n, model.products.p
        if model.design.known_se is None and n <= p:
            raise IdentifiabilityError(
                f"{n:g} rows cannot estimate {p} fixed effects and a residual variance",
                code="E_N_LE_P",
                hint="Use fewer terms or more rows.",
            )

    def estimate(self, model: Model) -> Estimates:
        if not model.is_linear:
            from .approximate import without_groups

            return without_groups(model)
        products = model.products
        known = model.design.known_se is not None
        solved = regression(products)
        unit = products.y_shift.scale
        rss = solved.rss * unit**2
        df = np.inf if known else products.n - products.p
        sigma2 = 1.0 if known else rss / df
        beta = products.beta_origin + unit * (products.to_beta @ solved.beta)
        beta[[j for j, _ in products.dropped]] = np.nan
        sizes = tuple((len(g.levels), len(g.names)) for g in model.design.groups)
        effects = tuple(np.zeros(size) for size in sizes)
        covariances = tuple(np.zeros((k, k)) for _, k in sizes)
        linear = CommonFit(products, solved.inverse, sizes)
        return Estimates(
            criterion="weighted residual sum of squares" if known else "residual sum of squares",
            beta=beta,
            sigma=None if known else float(np.sqrt(sigma2)),
            covariances=covariances,
            effects=effects,
            log_likelihood=gaussian_log_likelihood(rss, products.n, products.log_weights, known),
            objective=rss,
            n_parameters=products.p + int(not known),
            certainty=LeastSquaresCertainty(linear, beta, effects, covariances, sigma2, float(df)),
        )


MEMBER = Complete
