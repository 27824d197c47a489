"""What a fit has to say about itself: warnings (issued once, when fitting) and notes (printed in summaries).

A variance of zero or a correlation of ±1 is an ordinary result, said in words: which term, what is zero, whether the
boundary is where the criterion is best, and what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MultilevelError, MultilevelWarning, RankDeficiencyWarning, SingularFitWarning, listed, printable
from ..model.describe import Note, advice
from .estimates import Estimates, correlation_pairs

if TYPE_CHECKING:
    from ..formula.design import GroupColumns
    from ..model.model import Model
    from .fit import Fit

DEGENERATE = 1e-6  # a correlation this close to ±1 is ±1
LOW_ICC = 0.05
FEWEST, CELLS = 10, 1_000_000  # draws from which it is told whether an ICC is low: rows times draws, and at least some


def fit_warnings(model: Model, estimates: Estimates) -> tuple[MultilevelWarning, ...]:
    """Columns dropped as redundant, and variance parameters on the boundary (not issued here)."""
    names = model.design.fixed_names
    found: list[MultilevelWarning] = []
    if np.isnan(estimates.beta).any():
        found += [_dropped(names, j, others or _constant(model, j)) for j, others in model.dropped]
    found += [_singular(model, estimates, label) for label in estimates.boundary]
    return tuple(found)


def _constant(model: Model, column: int) -> tuple[int, ...]:
    """The intercept, of which a constant column is a multiple: centring leaves nothing of it; () for zeros."""
    design = model.design
    values, owner = design.fixed_columns[column], design.fixed_predictor
    ones = [j for j, c in enumerate(design.fixed_columns) if c is None]
    same = [j for j in ones if not len(owner) or owner[j] == owner[column]]
    return tuple(same) if values is not None and np.any(values) else ()


def _dropped(names: Sequence[str], column: int, others: Sequence[int]) -> RankDeficiencyWarning:
    def quoted(name: str) -> str:
        return "intercept" if name == "Intercept" else f'"{printable(name)}"'

    what = f"a combination of {listed(map(quoted, (names[j] for j in others)), 4)}" if others else "zero everywhere"
    return RankDeficiencyWarning(
        f"column {quoted(names[column])} is {what} and was dropped",
        hint='Its coefficient is NaN; leave it out of the formula, or use rank="raise".',
        column=names[column],
        others=[names[j] for j in others],
    )


def _singular(model: Model, estimates: Estimates, label: str) -> SingularFitWarning:
    """One warning for all terms of a group."""
    facts, hints = [], []
    for group, covariance in zip(model.design.groups, estimates.covariances, strict=True):
        if group.label == label:
            fact, hint = _degenerate(group, covariance)
            facts += fact
            hints += hint
    best = "; this boundary is the optimum (the score was checked)" if estimates.criterion in LIKELIHOODS else ""
    return SingularFitWarning(
        f'boundary fit: for the group "{printable(label)}" {listed_all(facts) or "the covariance lost a rank"}{best}',
        hint=" ".join(dict.fromkeys(hints)),
        group=label,
        facts=facts,
    )


LIKELIHOODS = ("REML criterion", "deviance")


def listed_all(facts: Sequence[str], most: int = 3) -> str:
    more = f" (+{len(facts) - most} more)" if len(facts) > most else ""
    return " and ".join(facts[:most]) + more


def _degenerate(group: GroupColumns, covariance: np.ndarray) -> tuple[list[str], list[str]]:
    """What is zero or ±1 in one term, and what to do about it; nothing when the term is regular."""
    label = printable(group.label, 30)
    variances = np.diag(covariance)
    zero = variances == 0.0
    facts = [f"the sd of {printable(group.names[i], 30)} is exactly 0" for i in np.flatnonzero(zero)]
    if facts:
        gone = "the term" if zero.all() else listed((group.names[i] for i in np.flatnonzero(zero)), 2)
        return facts, [f"The rows show no variation of it between levels of {label}: {gone} can be dropped."]
    for i, j in correlation_pairs(len(variances)):
        r = covariance[i, j] / np.sqrt(variances[i] * variances[j])
        if abs(r) > 1.0 - DEGENERATE:
            pair = f"{printable(group.names[j], 30)}, {printable(group.names[i], 30)}"
            facts.append(f"corr({pair}) = {'-' if r < 0 else ''}1")
    if not facts and np.linalg.eigvalsh(covariance / np.sqrt(np.outer(variances, variances)))[0] < DEGENERATE:
        facts = [f"the {len(variances)}×{len(variances)} covariance matrix has lost a rank"]
    return facts, [f"Simplify it: uncorrelated coefficients (… || {label}), or fewer of them."] if facts else []


def notes(fit: Fit) -> tuple[Note, ...]:
    """Remarks of the design, a group that hardly matters, and an approximation that is too coarse."""
    found = list(advice(fit.model))
    for group, value in known_icc(fit, max(FEWEST, CELLS // fit.model.n_obs)).items():
        if 0.0 < value < LOW_ICC and group not in fit.boundary:
            message = f'"{printable(group, 40)}" holds {100.0 * value:.2g}% of the variance (ICC {value:.3f})'
            found.append(Note("N_LOW_ICC", message, "The level may be unnecessary; keep it if the design has it."))
    coarse = fit._approximation()
    if coarse is not None:
        message = (
            f"Laplace's approximation is {coarse.verdict}: log-likelihood off by about {coarse.error:+.2g}, estimates "
            f"by up to {coarse.largest_shift:.2g} standard errors"
        )
        found.append(Note("N_APPROXIMATION", message, f"{coarse.better} is better; fit.adequacy() has the details."))
    return tuple(found)


def known_icc(fit: Fit, most: int | None = None) -> dict[str, float]:
    """Intraclass correlations; nothing for models that have none. Of sampled fits from `most` draws."""
    try:
        return fit._rough_icc(most) if fit.sampled and most is not None else fit.icc()
    except MultilevelError:
        return {}
