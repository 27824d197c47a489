"""Fixed-effects panel estimator: ``model.fit("within")``.

    y_i = α_g(i) + x_i'β + ε_i          ỹ = y − ȳ_g,  x̃ = x − x̄_g,    β̂ = (x̃'Wx̃)⁻¹ x̃'Wỹ

Equal to the regression with a dummy variable for each level. Only variation within levels counts, so anything that is
constant within them, observed or not, cannot bias the slopes; for the same reason group-level predictors have no
coefficient (NaN, named in a warning). Several crossed factors, (1 | firm) + (1 | year), are taken out together,
exactly, components that no level connects included.

What is reported
----------------
intercept
    The grand mean convention of Stata's xtreg: ȳ − x̄'β̂, the average of the fixed effects weighted by rows.
group effects
    α̂ minus that average, with their standard errors. With crossed factors each factor has row-weighted mean zero,
    those other than the largest within each connected component.
sigma
    On n − rank(dummies) − slopes degrees of freedom.
notes
    ``r2_within``; ``n_groups``; ``f`` (statistic, df1, df2, p_value), the test that all group effects are zero.

The between variances reported are those of the estimated effects: descriptive, sampling noise included.

Errors: `IdentifiabilityError` for slopes in a group term, for nested factors, and without residual degrees of freedom.

References: Baltagi (2021), *Econometric Analysis of Panel Data*, sections 2.2 and 3.2; Mundlak (1978).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.absorb import Absorbed, absorb
from ..core.crossed import CrossedFit
from ..core.dummies import DummyProjector
from ..core.projection import LevelProjector, coefficients_of, n_observations, response, row_weights
from ..errors import IdentifiabilityError, printable
from ..fit.estimates import Estimates
from ..fit.least_squares import least_squares_estimates
from ..formula.design import Design
from .base import Estimator, require_groups
from .none import absorbed_warning, separate_estimates, separate_fit

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass(frozen=True)
class Within(Estimator):
    """No settings."""

    def check(self, model: Model) -> None:
        require_groups(model, "within")
        require_intercepts(model, "within", 'Use "none" for separate slopes by level, or reml.')

    def estimate(self, model: Model) -> Estimates:
        return _one_way(model.design) if len(model.groups) == 1 else _crossed(model.design)


def require_intercepts(model: Model, estimator: str, hint: str) -> None:
    """Refuse group terms with coefficients other than one intercept."""
    for g in model.design.groups:
        if len(g.columns) != 1 or g.columns[0] is not None:
            slopes = [n for n, c in zip(g.names, g.columns, strict=True) if c is not None]
            raise IdentifiabilityError(
                f'the estimator "{estimator}" takes group intercepts only, and the term by "{printable(g.label)}" has '
                f"the slope {printable(slopes[0])}",
                code="E_GROUP_SLOPES",
                hint=hint,
            )


def _one_way(design: Design) -> Estimates:
    levels = coefficients_of(design.groups)
    projector = LevelProjector(levels, row_weights(design))
    fit = separate_fit(design, levels, projector, projector.weight / projector.weight.sum())
    notes = _notes(design, fit.common, projector.w, projector.rank, fit.own.get(0))
    return separate_estimates(design, fit, absorbed_warning(design, fit.common.absorbed), notes)


def _crossed(design: Design) -> Estimates:
    w = row_weights(design)
    groups = design.groups
    sizes = [len(g.levels) for g in groups]
    projector = DummyProjector([g.label for g in groups], [g.codes for g in groups], sizes, w)
    intercept = next((j for j, c in enumerate(design.fixed_columns) if c is None), None)
    candidates = [j for j in range(len(design.fixed_names)) if j != intercept]
    common = absorb(design.fixed_columns, candidates, response(design), w, projector)
    fit = CrossedFit(projector, common, intercept, len(design.fixed_names))
    rank = projector.rank + len(common.kept)
    notes = _notes(design, common, w, projector.rank, intercept)
    warnings = absorbed_warning(design, common.absorbed)
    return least_squares_estimates(design, fit, fit.beta, fit.effects, common.rss, rank, warnings, notes)


def _notes(design: Design, common: Absorbed, w: np.ndarray, rank: int, intercept: int | None) -> dict[str, Any]:
    """Within R², number of groups, and F of all group effects against the pooled regression on the same columns."""
    known = design.known_se is not None
    df1 = rank - int(intercept is not None)
    df2 = np.inf if known else n_observations(design) - rank - len(common.kept)
    columns = ([None] if intercept is not None else []) + [design.fixed_columns[j] for j in common.kept]
    extra = max(_pooled_rss(columns, response(design), w) - common.rss, 0.0) / df1
    error = 1.0 if known else common.rss / df2 if df2 > 0 else np.nan
    statistic = extra / error if error > 0.0 else np.inf if extra > 0.0 else np.nan
    return {
        "r2_within": 1.0 - common.rss / common.tss if common.tss > 0.0 else float("nan"),
        "n_groups": {g.label: len(g.levels) for g in design.groups},
        "f": {"statistic": float(statistic), "df1": df1, "df2": float(df2), "p_value": _f_tail(statistic, df1, df2)},
    }


def _pooled_rss(columns: list[np.ndarray | None], y: np.ndarray, w: np.ndarray) -> float:
    root = np.sqrt(w)
    left = (y - y.mean() if any(c is None for c in columns) else y) * root
    if columns:
        q, _ = np.linalg.qr(np.column_stack([root if c is None else c * root for c in columns]))
        for _ in range(2):
            left = left - q @ (q.T @ left)
    return float(left @ left)


def _f_tail(statistic: float, df1: float, df2: float) -> float:
    """P(F > statistic); a chi-square when the residual variance is known."""
    from scipy.special import chdtrc, fdtrc

    if np.isnan(statistic):
        return float("nan")
    return float(chdtrc(df1, df1 * statistic) if np.isinf(df2) else fdtrc(df1, df2, statistic))


MEMBER = Within
