"""James–Stein: ``model.fit("james_stein")``.

    θ̂_j = ȳ + (1 − (k − 3) σ²/‖y − ȳ‖²)₊ (y_j − ȳ)

Each group mean is shrunk towards the mean of all by a fraction that the spread of the means decides; for k ≥ 4 groups
the total squared error is smaller than that of the means themselves, whatever the true θ_j are. The shrinkage is
towards the mean, with k − 3 (one degree of freedom goes to ȳ); where the positive part is zero, all groups share ȳ.

σ² is known, with ``y | se(s) ~ 1 + (1 | g)``, or estimated from the variation within groups, with the factor
ν/(ν + 2) that keeps the dominance. Groups of unequal precision: see `core/shrunken.py`; all are shrunk by the same
fraction, towards the precision-weighted mean.

What is reported
----------------
fixed effect
    The mean ȳ (precision-weighted).
group effects
    (1 − B)(ȳ_j − ȳ), with standard errors after Morris (1983) in predictions.
covariances
    The between variance that B implies: τ²/(τ² + V) = 1 − B.
notes
    ``fraction`` (B), ``statistic`` (‖y − ȳ‖²/σ²), ``n_groups``. There is no likelihood.

Errors: `IdentifiabilityError` for fewer than four groups, several factors, slopes by group, or fixed columns other than
the intercept.

References: James & Stein (1961); Efron & Morris (1975, 1977); Morris (1983).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.projection import LevelProjector, coefficients_of, n_observations, response, row_weights
from ..core.shrunken import FEWEST, james_stein
from ..errors import IdentifiabilityError, printable
from ..fit.estimates import Estimates
from ..fit.shrunken import ShrunkenCertainty
from .base import Estimator, require_groups
from .none import require_one_factor
from .within import require_intercepts

if TYPE_CHECKING:
    from ..model.model import Model

INSTEAD = 'Use "moments" or "reml".'


@dataclass(frozen=True)
class JamesStein(Estimator):
    """No settings."""

    def check(self, model: Model) -> None:
        require_groups(model, "james_stein")
        require_one_factor(model, "james_stein", INSTEAD)
        require_intercepts(model, "james_stein", INSTEAD)
        _require_mean_only(model)
        _require_groups_to_shrink(model)

    def estimate(self, model: Model) -> Estimates:
        design = model.design
        projector = LevelProjector(coefficients_of(design.groups), row_weights(design))
        means, residual = projector.coefficients(response(design))
        known = design.known_se is not None
        df = np.inf if known else n_observations(design) - projector.rank
        if not df > 0:
            raise IdentifiabilityError(
                "one row for each group leaves nothing to estimate the variance within groups",
                code="E_NO_RESIDUAL_DF",
                hint="Give the standard errors of the rows: y | se(s) ~ 1 + (1 | g).",
            )
        sigma2 = 1.0 if known else float(projector.w @ residual**2) / df
        shrunk = james_stein(means[:, 0], projector.weight, sigma2, df)
        label = design.groups[0].label
        return Estimates(
            criterion="shrinkage fraction",
            beta=np.array([shrunk.mean]),
            sigma=None if known else float(np.sqrt(sigma2)),
            covariances=(np.array([[shrunk.between]]),),
            effects=(((1.0 - shrunk.fraction) * shrunk.deviations + 0.0)[:, None],),  # no negative zeros
            log_likelihood=float("nan"),
            objective=shrunk.fraction,
            n_parameters=2 + int(not known),
            certainty=ShrunkenCertainty(shrunk, projector.weight, sigma2, df),
            boundary=(label,) if shrunk.fraction == 1.0 else (),
            notes={"fraction": shrunk.fraction, "statistic": shrunk.statistic, "n_groups": len(means)},
        )


def _require_mean_only(model: Model) -> None:
    columns = model.design.fixed_columns
    if len(columns) == 1 and columns[0] is None:
        return
    others = [n for n, c in zip(model.design.fixed_names, columns, strict=True) if c is not None]
    found = f"has {printable(others[0])}" if others else "has no intercept"
    raise IdentifiabilityError(
        f'the estimator "james_stein" shrinks group means towards one mean, and the fixed part {found}',
        code="E_FIXED_PART",
        hint=f"Write y ~ 1 + (1 | g); for shrinkage towards a regression u{INSTEAD[1:]}",
    )


def _require_groups_to_shrink(model: Model) -> None:
    k = len(model.design.groups[0].levels)
    if k < FEWEST:
        raise IdentifiabilityError(
            f"James–Stein shrinkage towards the mean needs at least {FEWEST} groups, and "
            f'"{printable(model.design.groups[0].label)}" has {k}',
            code="E_FEW_GROUPS",
            hint='With so few groups use "complete", "none", or a model with a prior.',
        )


MEMBER = JamesStein
