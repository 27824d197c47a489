"""No pooling: ``model.fit("none")``.

    y_i = z_i'γ_ℓ + x_i'β_c + ε_i        every level ℓ has its own least-squares coefficients γ_ℓ (Λ → ∞)
    g(μ_i) = z_i'γ_ℓ + x_i'β_c           or, in other families, its own generalized linear model

Columns of the group term get a coefficient for each level; fixed columns outside it stay common and are estimated
from the variation within levels. ``y ~ x + (x | g)`` is a separate regression for each level with one residual
variance; ``y ~ x + (1 | g)`` gives group means adjusted for x.

What is reported
----------------
fixed effects
    For columns in both parts, the unweighted mean of the levels' coefficients; common slopes as estimated. Fixed
    columns that the levels' coefficients absorb (a group-level predictor) are NaN and named.
group effects
    γ_ℓ minus that mean, so that x'β + z'b is the level's own fit.
covariances
    The sample covariance of the estimated coefficients. Descriptive: it includes their sampling noise, and so
    overstates the variation between levels.

Levels whose rows cannot determine their coefficients get NaN effects, with the reason in ``notes["unfit"]`` and a
warning. Nothing is said about new levels: no pooling does not shrink, and it does not generalise either.

In families such as binomial and Poisson a level whose rows are all alike, or which a column separates, has no finite
coefficients: they are −∞ or ∞, with undefined standard errors, and stay out of the means and covariances, which a
warning says with their number. Common slopes of small levels are biased away from zero (Neyman & Scott 1948).

Errors: `IdentifiabilityError` for several grouping factors, for no residual degrees of freedom, and when no level can
be fitted.

References: Gelman & Hill (2007), section 12.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..core.absorb import absorb
from ..core.projection import Coefficients, LevelProjector, coefficients_of, response, row_weights
from ..core.separate import SeparateFit
from ..errors import IdentifiabilityError, IdentifiabilityWarning, RankDeficiencyWarning, listed, printable
from ..fit import separate as generalized
from ..fit.estimates import Estimates
from ..fit.least_squares import least_squares_estimates
from ..formula.design import Column, Design
from .base import Estimator, require_groups

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass(frozen=True)
class NoPooling(Estimator):
    """No settings."""

    linear_only: ClassVar[bool] = False

    def check(self, model: Model) -> None:
        require_groups(model, "none")
        require_one_factor(model, "none", 'Use "reml", "ml" or "moments" (or "within" for intercepts only).')

    def estimate(self, model: Model) -> Estimates:
        design = model.design
        levels = coefficients_of(design.groups)
        if not model.is_linear:
            return _generalized(model, levels)
        projector = LevelProjector(levels, row_weights(design))
        if not projector.fits.any():
            raise nothing_fits(design, levels)
        omega = projector.fits / projector.fits.sum()
        fit = separate_fit(design, levels, projector, omega)
        unfit = _unfit(design, levels, projector)
        warnings = (*_unfit_warning(design, unfit), *absorbed_warning(design, fit.common.absorbed))
        return separate_estimates(design, fit, warnings, {"unfit": unfit})


def _generalized(model: Model, levels: Coefficients) -> Estimates:
    """A generalized linear model for each level."""
    design = model.design
    linear, common, converged = generalized.separate_likelihood(model, levels, _shared(design, levels))
    own = linear.fit.groups
    if not own.fits.any():
        raise nothing_fits(design, levels)
    unfit = _reasons(design, levels, own.ranks)
    infinite = {design.groups[0].levels[i]: own.estimates[i].tolist() for i in np.flatnonzero(own.fits & ~own.finite)}
    warnings = (
        *_unfit_warning(design, unfit),
        *_infinite_warning(design, infinite),
        *absorbed_warning(design, common.absorbed),
    )
    notes = {"unfit": unfit, "infinite": list(infinite)}
    return generalized.separate_estimates(model, linear, common, converged, warnings, notes)


def _infinite_warning(design: Design, infinite: Mapping[str, Sequence[float]]) -> tuple[IdentifiabilityWarning, ...]:
    if not infinite:
        return ()
    total = len(design.groups[0].levels)
    return (
        IdentifiabilityWarning(
            f'{len(infinite)} of {total} levels of "{printable(design.groups[0].label)}" have infinite estimates: '
            f"their rows are all alike, or a column separates them ({listed(infinite)})",
            code="W_INFINITE_GROUPS",
            hint="They are −∞ or ∞ and left out of averages; partial pooling (laplace) keeps them finite.",
            levels=list(infinite),
        ),
    )


def require_one_factor(model: Model, estimator: str, hint: str) -> None:
    """Refuse a model with several grouping factors."""
    labels = list(model.groups)
    if len(labels) > 1:
        raise IdentifiabilityError(
            f'the estimator "{estimator}" takes one grouping factor, and the formula has {listed(labels)}',
            code="E_ONE_FACTOR",
            hint=hint,
        )


def separate_fit(design: Design, levels: Coefficients, projector: LevelProjector, omega: np.ndarray) -> SeparateFit:
    """Common slopes from the within regression, then each level's coefficients."""
    own = _shared(design, levels)
    candidates = [j for j in range(len(design.fixed_names)) if j not in own.values()]
    common = absorb(design.fixed_columns, candidates, response(design), projector.w, projector)
    return SeparateFit(levels, projector, common, own, len(design.fixed_names), omega)


def _shared(design: Design, levels: Coefficients) -> dict[int, int]:
    """Group coefficients whose column is also in the fixed part."""
    found: dict[int, int] = {}
    for i, (name, column) in enumerate(zip(levels.names, levels.columns, strict=True)):
        for j, (other, fixed) in enumerate(zip(design.fixed_names, design.fixed_columns, strict=True)):
            if j not in found.values() and _same(name, column, other, fixed) and _one_predictor(design, i, j):
                found[i] = j
                break
    return found


def _one_predictor(design: Design, i: int, j: int) -> bool:
    """Whether group coefficient `i` and fixed column `j` belong to the same linear predictor."""
    if not len(design.fixed_predictor):
        return True
    return [g.predictor for g in design.groups for _ in g.names][i] == int(design.fixed_predictor[j])


def _same(name: str, column: Column, other: str, fixed: Column) -> bool:
    if column is None or fixed is None:
        return column is fixed
    return column is fixed or (name == other and np.array_equal(column, fixed))


def separate_estimates(
    design: Design, fit: SeparateFit, warnings: Sequence[Any], notes: Mapping[str, Any]
) -> Estimates:
    """Estimates of a separate fit, whatever its average is."""
    effects = tuple(fit.effects[:, a:b] for a, b in fit.design.terms)
    rank = fit.projector.rank + len(fit.common.kept)
    return least_squares_estimates(design, fit, fit.beta, effects, fit.common.rss, rank, warnings, notes)


def absorbed_warning(design: Design, absorbed: Sequence[int]) -> tuple[RankDeficiencyWarning, ...]:
    """Fixed columns without variation of their own within the levels."""
    if not absorbed:
        return ()
    names = [design.fixed_names[j] for j in absorbed]
    labels = listed(dict.fromkeys(g.label for g in design.groups))
    return (
        RankDeficiencyWarning(
            f"fixed columns absorbed by the coefficients of {labels}, and dropped: {listed(names)}",
            code="W_ABSORBED",
            hint="Group-level predictors need partial pooling: use reml, ml or moments.",
            columns=names,
        ),
    )


def _unfit(design: Design, levels: Coefficients, projector: LevelProjector) -> dict[str, str]:
    """Label → reason, for the levels that cannot be fitted."""
    return _reasons(design, levels, projector.ranks)


def _reasons(design: Design, levels: Coefficients, ranks: np.ndarray) -> dict[str, str]:
    counts = np.bincount(levels.codes, minlength=levels.n_levels)
    labels = design.groups[0].levels
    out = {}
    for i in np.flatnonzero(ranks < levels.k):
        rows, rank = int(counts[i]), int(ranks[i])
        few = f"{rows} row{'s' if rows > 1 else ''} for {levels.k} coefficients"
        out[labels[i]] = few if rows < levels.k else f"its columns determine {rank} of {levels.k} coefficients"
    return out


def _unfit_warning(design: Design, unfit: Mapping[str, str]) -> tuple[IdentifiabilityWarning, ...]:
    if not unfit:
        return ()
    level, reason = next(iter(unfit.items()))
    return (
        IdentifiabilityWarning(
            f'{len(unfit)} of {len(design.groups[0].levels)} levels of "{printable(design.groups[0].label)}" cannot be '
            f"fitted on their own: {listed(unfit)} ({printable(level)}: {reason})",
            code="W_UNFIT_GROUPS",
            hint="Their effects and predictions are NaN; partial pooling covers them.",
            levels=list(unfit),
        ),
    )


def nothing_fits(design: Design, levels: Coefficients) -> IdentifiabilityError:
    return IdentifiabilityError(
        f'no level of "{printable(design.groups[0].label)}" has the rows to determine its {levels.k} coefficients '
        f"({listed(levels.names)})",
        code="E_UNFIT_GROUPS",
        hint="Use fewer coefficients by group, or partial pooling (reml).",
    )


MEMBER = NoPooling
