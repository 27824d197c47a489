"""A fitted model with one thing more or less, refitted: what a score test promised, in the likelihood's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConvergenceError, IdentifiabilityError
from ..formula.design import Column, GroupColumns
from ..formula.formula import Formula, GroupTerm, Name, Term, Terms
from ..registry import make_estimator

if TYPE_CHECKING:
    from ..fit.estimates import Estimates
    from ..fit.fit import Fit
    from ..model.model import Model

ROWS = 300_000  # beyond it nothing is refitted
SECONDS = 0.3  # of one evaluation
LIKELIHOODS = ("reml", "ml", "laplace", "agq")
MOST_ROWS = 30_000  # of a generalized model that is refitted


def extended(
    model: Model, groups: Sequence[GroupColumns] | None = None, fixed: dict[str, Column] | None = None
) -> Model:
    """The model with other group terms, or with more fixed columns; nothing is read or checked again."""
    design = model.design
    if groups is not None:
        design = replace(design, groups=tuple(groups))
    if fixed:
        names, columns = (*design.fixed_names, *fixed), (*design.fixed_columns, *fixed.values())
        owner = design.fixed_predictor
        owner = np.concatenate([owner, np.zeros(len(fixed), np.int64)]) if len(owner) else owner
        design = replace(design, fixed_names=names, fixed_columns=columns, fixed_predictor=owner)
    return model.with_design(design)


def refitted(fit: Fit, model: Model) -> Estimates | None:
    """Estimates by the fit's criterion (the default one unless it has a likelihood); None when they are too costly or
    do not converge."""
    if _dear(fit, model):
        return None
    default = "reml" if fit.model.is_linear else "laplace"
    estimator = make_estimator(fit.estimator.name if fit.estimator.name in LIKELIHOODS else default, {})
    try:
        found: Estimates = estimator.estimate(model)
    except (ConvergenceError, IdentifiabilityError, np.linalg.LinAlgError):
        return None
    return found


def _dear(fit: Fit, model: Model) -> bool:
    from .adjusted import Adjusted

    if not fit.model.is_linear:
        return model.design.n > MOST_ROWS
    return model.design.n > ROWS or Adjusted(fit).seconds > SECONDS


def likelihood_ratio(fit: Fit, other: Estimates, more: bool) -> float:
    """2 Δ log-likelihood between a refit with a term more (or less) and the fit; NaN where the fit has none."""
    if fit.estimator.name not in LIKELIHOODS:
        return float("nan")
    gain = other.log_likelihood - fit.log_likelihood
    return float(2.0 * max(gain if more else -gain, 0.0))


def boundary_p(ratio: float, more: int = 0) -> float:
    """p-value of one variance (and `more` covariances with it): the mixture ½ χ²_more + ½ χ²_(more + 1)."""
    from scipy.special import chdtrc

    least = float(ratio <= 0.0) if more == 0 else float(chdtrc(more, ratio))
    return 0.5 * least + 0.5 * float(chdtrc(more + 1, ratio))


# --- formulas as text --------------------------------------------------------------------------------------------
def with_group(formula: Formula, name: str) -> str:
    """The formula with ``(1 | name)``."""
    return str(replace(formula, groups=(*formula.groups, GroupTerm(Terms(True), (name,)))))


def with_slope(formula: Formula, label: str, name: str) -> str:
    """The formula with a slope on `name` in the first term of that group."""
    groups, done = list(formula.groups), False
    for i, group in enumerate(groups):
        if group.label == label and not done:
            terms = (*group.coefficients.terms, Term((Name(name),)))
            groups[i] = replace(group, coefficients=replace(group.coefficients, terms=terms))
            done = True
    return str(replace(formula, groups=tuple(groups)))


def with_fixed(formula: Formula, name: str) -> str:
    """The formula with a column more."""
    terms = (*formula.fixed.terms, Term((Name(name),)))
    return str(replace(formula, fixed=replace(formula.fixed, terms=terms)))


def with_groups(formula: Formula, groups: Sequence[GroupTerm]) -> str:
    """The formula with these group terms instead."""
    return str(replace(formula, groups=tuple(groups)))
