"""Do single groups decide the result? The findings of `checks/influence.py`, with thresholds that healthy data keep.

    Cook's distance beyond the median of F(p, J − p)    the estimate leaves the middle half of its confidence region,
                                                        and far beyond what the level's place in the design explains
    sd without the group below 0.6 of that with it      one level makes a third of the spread, in twelve levels or more

References: Cook (1977), Technometrics 19, for the median of F.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import printable
from .adjusted import Adjusted
from .base import ALPHA, Finding, quote
from .case import Case

ESTIMATORS = ("reml", "ml", "moments", "laplace", "agq")
MOST_ROWS, MOST_EFFECTS, MOST_NUMBERS = 50_000, 1500, 100_000_000
LEAST_RATIO, LEAST_LEVELS = 0.6, 12
SURE = 3.0  # standard errors of an sd between groups of a generalized model
REPLICATES = 30
SECONDS = 10.0  # that leaving out every group of a generalized model may take


@dataclass(frozen=True)
class Strongest:
    """The most influential level of one grouping factor, by both measures relative to their thresholds."""

    label: str
    level: str
    cook: float
    limit: float
    thin: str
    ratio: float
    component: str
    alarming: bool


def influence_findings(case: Case) -> list[Finding]:
    """One finding for all grouping factors that are small enough."""
    if case.fit.sampled and case.model.groups:
        case.skipped.append("influence of groups: importance weights on the draws answer; call influence(fit)")
        return []
    if not case.model.groups or case.fit.estimator.name not in ESTIMATORS:
        return []
    if np.isinf(case.fit.estimates.beta).any() or not (case.solvable if case.model.is_linear else _affordable(case)):
        return []
    if case.design.n > MOST_ROWS or sum(case.model.groups.values()) > MOST_EFFECTS:
        case.skipped.append("influence: so many groups would take long; call influence(fit, group)")
        return []
    found = [_strongest(case, label) for label, levels in case.model.groups.items() if levels > _p(case) + 1]
    if not found:
        return []
    worst = max(found, key=lambda s: (s.alarming, s.cook / s.limit))
    values = {"group": worst.label, "level": worst.level, "cooks_distance": worst.cook, "limit": worst.limit}
    values |= {"ratio": worst.ratio}
    text = (
        f"leaving out {printable(worst.level, 30)} ({quote(worst.label)}) moves the coefficients most: Cook's distance "
        f"{worst.cook:.2g} (beyond {worst.limit:.2g} is much)"
    )
    if not worst.alarming:
        text += ", as its place in the design makes likely" if worst.cook > worst.limit else ""
        return [Finding("N_INFLUENCE", "ok", "no group decides the result", f"{text}.", values=values)]
    if worst.ratio < LEAST_RATIO:
        text += f"; without {printable(worst.thin, 30)} the sd of {worst.component} is {worst.ratio:.2f} times as large"
    remedy = "Look at its rows and report the result without it too; ml.influence(fit) lists all."
    return [Finding("N_INFLUENCE", "caution", "one group decides the result", f"{text}.", remedy, values)]


def _affordable(case: Case) -> bool:
    certainty: Any = case.fit.estimates.certainty
    certainty = getattr(certainty, "_certainty", certainty)
    one = 6.0 * (certainty.criterion.seconds + 1e-6 * case.design.n)
    if len(case.model.groups) > 1 and one * sum(case.model.groups.values()) > SECONDS:
        case.skipped.append("influence: so many groups would take long; call influence(fit, group)")
        return False
    return True


def _surprising(case: Case, label: str, level: int, cook: float) -> bool:
    """Whether a distance is too large for the level's mean over replicated data (a level far out always moves much)."""
    from scipy.special import chdtrc

    if not case.model.is_linear:
        from .held_out import HeldOut

        codes, levels = next((g.codes, len(g.levels)) for g in case.design.groups if g.label == label)
        expected = float(HeldOut(case.fit).expected_cooks(codes, levels)[level])
        return bool(sum(case.model.groups.values()) * chdtrc(1.0, cook / max(expected, 1e-300)) < ALPHA)
    rows = np.flatnonzero(next(g.codes for g in case.design.groups if g.label == label) == level)
    if case.design.n * len(rows) > MOST_NUMBERS:
        return True
    kept = ~np.isnan(case.fit.estimates.beta)
    inverse = np.linalg.pinv(case.fit.vcov[np.ix_(kept, kept)], hermitian=True)
    shift = shifts(case.adjusted, rows, case.adjusted.null[:, :REPLICATES])[kept]
    expected = float(np.mean(np.einsum("pm,pq,qm->m", shift, inverse, shift))) / float(kept.sum())
    total = sum(case.model.groups.values())
    return bool(total * chdtrc(1.0, cook / max(expected, 1e-300)) < ALPHA)


def shifts(adjusted: Adjusted, rows: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """β̂ − β̂ without the rows, (p, m), for adjusted residuals P̃y (n, m).

    Rows s are left out by a column of their own for each: its coefficients are e_s = P̃_ss⁻¹ (P̃y)_s, and β̂ moves by
    the coefficients of the model fitted to e_s in those rows and 0 elsewhere.
    """
    unit = np.zeros((adjusted.n, len(rows)))
    unit[rows, np.arange(len(rows))] = 1.0
    own = adjusted.apply(unit)[rows]
    error = np.zeros((adjusted.n, residuals.shape[1]))
    error[rows] = np.linalg.lstsq(own, residuals[rows], rcond=1e-10)[0]
    return adjusted.external(adjusted.solve(error)[0])


def _p(case: Case) -> int:
    return int(np.sum(~np.isnan(case.fit.estimates.beta)))


def _determined(case: Case) -> np.ndarray:
    """Standard deviations of several standard errors: one that may be zero is lost with any level of little luck."""
    errors = np.array([error for term in case.fit.sd_errors[0] for error in term])
    sds = np.concatenate([np.sqrt(np.diag(c)) for c in case.fit.estimates.covariances])
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(sds > SURE * errors)


def _strongest(case: Case, label: str) -> Strongest:
    from scipy.special import fdtri

    from .influence import influence

    found = influence(case.fit, label)
    cooks = np.nan_to_num(found.cooks)
    levels, p = len(cooks), max(_p(case), 1)
    limit = float(fdtri(p, levels - p, 0.5))
    own = [j for j, (group, _) in enumerate(found.sd_names) if group == label]
    ratios = np.nan_to_num(found.sds[:, own], nan=1.0) if own else np.ones((levels, 1))
    if own and not case.model.is_linear:
        ratios[:, ~_determined(case)[own]] = 1.0
    i, j = np.unravel_index(int(np.argmin(ratios)), ratios.shape)
    most = int(np.argmax(cooks))
    component = printable(found.sd_names[own[int(j)]][1], 30) if own else ""
    ratio = float(ratios[i, j]) if levels >= LEAST_LEVELS else 1.0
    alarming = ratio < LEAST_RATIO or (cooks[most] > limit and _surprising(case, label, most, float(cooks[most])))
    return Strongest(
        label, found.units[most], float(cooks[most]), limit, found.units[int(i)], ratio, component, alarming
    )
