"""A covariance that lost a rank: which combination of coefficients does not vary, and the simpler formula.

The degenerate direction is the eigenvector v of the smallest eigenvalue of the coefficients' correlation matrix: v'D⁻¹b
is the same for every level (D holds the standard deviations).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ...errors import printable
from ..base import Finding, quote
from ..refit import with_groups
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

OTHER = "The term can be dropped from this predictor; of categories without order, from all of them or none."
RATIO = 1e-8  # of eigenvalues below which a direction is degenerate


@dataclass(frozen=True)
class Singular(Advice):
    """Boundary fits in words, with a formula that estimates what is left."""

    def after(self, case: Case) -> list[Finding]:
        if not case.design.groups or case.fit.estimator.name == "complete":
            return []
        lost = [t for t, c in enumerate(case.fit.estimates.covariances) if _rank(c) < len(c)]
        if not lost:
            text = "every covariance has full rank."
            return [Finding("W_BOUNDARY", "ok", "no variance at zero, no correlation at ±1", text)]
        return [_finding(case, t) for t in lost]


def _rank(covariance: np.ndarray) -> int:
    variances = np.diag(covariance)
    keep = variances > 0.0
    if not keep.any():
        return 0
    sd = np.sqrt(variances[keep])
    return int(np.sum(np.linalg.eigvalsh(covariance[np.ix_(keep, keep)] / np.outer(sd, sd)) > RATIO))


def _finding(case: Case, t: int) -> Finding:
    group, covariance = case.design.groups[t], case.fit.estimates.covariances[t]
    names = [printable(name, 30) for name in group.names]
    variances = np.diag(covariance)
    values = {"group": group.label, "terms": list(group.names), "rank": _rank(covariance)}
    text, direction = _words(names, covariance)
    plain = len(case.design.layout.locations) == 1 and case.design.groups[t].predictor == 0
    remedy = f"A simpler formula: {printable(_simpler(case, t, variances), 300)}" if plain else OTHER
    values["direction"] = direction
    severity = "caution" if variances.any() else "note"
    return Finding("W_BOUNDARY", severity, f"singular covariance by {quote(group.label)}", text, remedy, values)


def _words(names: Sequence[str], covariance: np.ndarray) -> tuple[str, list[float]]:
    """The direction without variance, in words and as weights on the coefficients."""
    variances = np.diag(covariance)
    zero = np.flatnonzero(variances == 0.0)
    if len(zero):
        which = " and ".join(names[int(i)] for i in zero)
        return f"the standard deviation of {which} is exactly 0.", [float(v == 0.0) for v in variances]
    sd = np.sqrt(variances)
    vectors = np.linalg.eigh(covariance / np.outer(sd, sd))[1]
    weights = vectors[:, 0] / sd
    weights = weights / weights[int(np.argmax(np.abs(vectors[:, 0])))]
    least = 1e-6 * float(np.abs(weights).max())
    parts = [f"{w:+.3g}·{name}" for w, name in zip(weights, names, strict=True) if abs(w) > least]
    combination = " ".join(parts).removeprefix("+")
    return f"{combination} is the same for every level: these coefficients move on one line.", weights.tolist()


def _simpler(case: Case, t: int, variances: np.ndarray) -> str:
    """Without the coefficients of zero variance; else uncorrelated ones."""
    groups = list(case.model.formula.groups)
    if not variances.any():
        return with_groups(case.model.formula, groups[:t] + groups[t + 1 :])
    coefficients = groups[t].coefficients
    gone = {case.design.groups[t].names[i] for i in np.flatnonzero(variances == 0.0)}
    if gone:
        terms = tuple(term for term in coefficients.terms if str(term) not in gone)
        kept = replace(coefficients, intercept=coefficients.intercept and "Intercept" not in gone, terms=terms)
        groups[t] = replace(groups[t], coefficients=kept)
        if len(terms) + int(kept.intercept) < 2:
            groups[t] = replace(groups[t], scale="unstructured")
    else:
        groups[t] = replace(groups[t], scale="diagonal", options=())
    return with_groups(case.model.formula, groups)


MEMBER = Singular()
