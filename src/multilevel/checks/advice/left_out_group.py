"""A grouping column that was left out: residuals cluster by a column of the data that the formula does not mention.

    T = Σ_ℓ (Σ_{i in ℓ} (P̃y)_i)²  against its moments in replicated data, Holm over the columns

Every unused column of text, categories, truth values or whole numbers with two levels or more and two rows a level on
average is asked. Whole numbers are asked for what a straight line in them leaves. The variance is that of a refit with
the term where the data are small enough, the score's own estimate otherwise.

Reference: Silvapulle & Silvapulle (1995), J. Amer. Statist. Assoc. 90, for one-sided score tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...errors import listed, printable
from ...fit.fit import Fit
from ...formula.design import GroupColumns
from ...variance.icc import group_variances, residual_variance
from ..adjusted import Sums
from ..base import ALPHA, Finding, holm, p_text, percent, quote
from ..case import Unused
from ..refit import LIKELIHOODS, extended, refitted, with_fixed, with_group
from ..score_tests import TermScore, term_score
from .base import Advice

if TYPE_CHECKING:
    from ..case import Case

LEAST_SHARE = 0.01  # of the variance of a row
FIXED = 5  # levels below which a fixed factor serves better
MOST = 3  # columns that are refitted and named
FEW_VALUES = 5  # whole numbers of more values than this have their line taken out


@dataclass(frozen=True)
class LeftOutGroup(Advice):
    """Asks every unused column whether residuals cluster by it."""

    def after(self, case: Case) -> list[Finding]:
        if not case.solvable:
            return []
        asked = [(column, _score(case, column)) for column in _candidates(case)]
        if not asked:
            return []
        p = holm([score.p_value for _, score in asked])
        total = sum(group_variances(case.fit).values()) + residual_variance(case.fit)
        hits = [(q, column, s) for q, (column, s) in zip(p, asked, strict=True) if q < ALPHA]
        hits = [hit for hit in sorted(hits, key=lambda h: h[0]) if hit[2].variance > 0.25 * LEAST_SHARE * total]
        found = [_finding(case, column, float(q), s, total) for q, column, s in hits[:MOST]]
        alarms = [finding for finding in found if finding is not None]
        if alarms:
            return alarms
        names = listed((column.name for column, _ in asked), 4)
        text = f"residuals cluster by none of {names} enough to matter (smallest {p_text(float(p.min()))})."
        values = {"p_value": float(p.min())}
        return [Finding("N_LEFT_OUT_GROUP", "ok", "no grouping column left out", text, values=values)]


def _candidates(case: Case) -> Iterator[Unused]:
    """Unused columns that could group, each partition of the rows once."""
    seen = [] if case.fit.estimator.name == "complete" else [g.codes for g in case.design.groups]
    columns = list(case.unused)
    if case.fit.estimator.name == "complete":
        own = {g.label: g for g in case.design.groups}.values()
        columns = [Unused(g.label, "text", g.codes, len(g.levels), None) for g in own] + columns
    for column in columns:
        codes = column.codes
        if codes is None or column.labels < 2 or 2 * column.labels > int((codes >= 0).sum()):
            continue
        if not any(_same(codes, other) for other in seen):
            seen.append(codes)
            yield column


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two columns of codes divide the rows in the same way."""
    if a.min() < 0 or a.max() != b.max():
        return False
    place = np.full(int(a.max()) + 1, -1, dtype=np.int64)
    place[a] = b
    return bool(np.array_equal(place[a], b) and len(np.unique(place)) == len(place))


def _score(case: Case, column: Unused) -> TermScore:
    assert column.codes is not None
    clear = None
    if column.kind == "numeric" and column.labels > FEW_VALUES and column.numbers is not None:
        clear = np.nan_to_num(column.numbers - np.nanmean(column.numbers))
    return term_score(case, Sums(column.codes, column.labels), clear=clear)


def _finding(case: Case, column: Unused, p: float, score: TermScore, total: float) -> Finding | None:
    found = _refitted(case, column)
    variance = max(score.variance, 0.0)
    share = variance / (total + variance)
    if found is not None:
        variance, share = _size(found, column)
    if share < LEAST_SHARE:
        return None
    name, few = column.name, column.labels < FIXED
    text = (
        f"residuals cluster by {quote(name)} ({column.labels} levels, {p_text(p)}): it would explain {percent(share)} "
        f"of the variance (sd {variance**0.5:.3g}){_gain(case, found)}."
    )
    formula = with_fixed(case.model.formula, name) if few else with_group(case.model.formula, name)
    remedy = f"Add it: {printable(formula, 300)}"
    if name in case.model.groups:
        remedy = 'The formula has the term and complete pooling leaves it out: fit with "reml".'
    values = {"column": name, "levels": column.labels, "p_value": p, "variance": variance, "share": share}
    title = f"a {'factor' if few else 'grouping column'} was left out: {quote(name)}"
    return Finding("N_LEFT_OUT_GROUP", "problem" if share > 0.05 else "caution", title, text, remedy, values)


def _refitted(case: Case, column: Unused) -> Fit | None:
    """The fit with (1 | column) besides; None where it is too costly or rows have no level."""
    codes = column.codes
    if codes is None or codes.min() < 0:
        return None
    levels = tuple(map(str, range(column.labels)))
    term = GroupColumns(column.name, ("Intercept",), (None,), codes, levels)
    own = () if case.fit.estimator.name == "complete" else case.design.groups
    model = extended(case.model, (*own, term))
    estimates = refitted(case.fit, model)
    return None if estimates is None else Fit(model, case.fit.estimator, estimates)


def _size(found: Fit, column: Unused) -> tuple[float, float]:
    """Variance between levels, and its share of that of a row; of a few levels, that of the rows at hand."""
    variance = float(found.estimates.covariances[-1][0, 0])
    if column.labels < FIXED:
        variance = float(np.var(found.estimates.effects[-1][column.codes, 0]))
    others = [v for label, v in group_variances(found).items() if label != column.name]
    return variance, variance / (variance + sum(others) + residual_variance(found))


def _gain(case: Case, found: Fit | None) -> str:
    if found is None or case.fit.estimator.name not in LIKELIHOODS:
        return ""
    return f", and the log-likelihood would rise by {found.log_likelihood - case.fit.log_likelihood:.1f}"


MEMBER = LeftOutGroup()
