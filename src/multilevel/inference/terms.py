"""Does each term matter? Every term of a fit dropped in turn.

    group terms    likelihood ratio against the model without the term, or without one predictor of it
    fixed terms    F = β̂'L'(L Cov(β̂) L')⁻¹Lβ̂ / q with Satterthwaite's denominator degrees of freedom

For q > 1 the contrasts are rotated to be uncorrelated; with their degrees of freedom ν_m, E = Σ ν_m/(ν_m − 2) over
ν_m > 2 gives 2E/(E − q). Terms contained in others (main effects of an interaction, the intercept beside slopes)
stay: dropping them would not be a special case.

In generalized models fixed terms have Wald's χ² = β̂'L'(L Cov(β̂) L')⁻¹Lβ̂ (q degrees of freedom), or with
``fixed="lrt"`` likelihood ratios of refits, which do not depend on how far the likelihood is from quadratic.
``type="III"`` tests every term given all others as they are coded; ``"II"`` a contained term without those that
contain it: the χ² of both less that of the containing ones.

References: Fox & Weisberg (2019), *An R Companion to Applied Regression*, section 5.3; Fai & Cornelius (1996), J.
Statist. Comput. Simul. 54; Kuznetsova et al. (2017), J. Statist. Softw. 82(13).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import MultilevelError, SettingError, nearest, printable
from ..fit import numbers
from ..fit.blocks import Block, Grid, Lines, to_text
from ..fit.html import to_html
from .criterion import require_likelihood
from .lrt import LRT, lrt, refitted
from .term_columns import removable, term_columns, without
from .variants import variant

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.formula import Formula, GroupTerm


@dataclass(frozen=True, eq=False)
class TermTest:
    """The test of one term.

    Parameters
    ----------
    kind : {"group", "fixed"}
    group, term : str
        Grouping factor (empty for fixed terms) and what was dropped; ``"Intercept"`` for a whole ``(1 | g)``.
    statistic : float
        Likelihood ratio, or F.
    df, df_residual : float
        Parameters dropped, and the denominator's degrees of freedom of F (NaN for likelihood ratios).
    method : str
    reduced : str
        The group term that is left, as a formula writes it; empty when nothing is.
    lrt : LRT or None
    """

    kind: str
    group: str
    term: str
    statistic: float
    df: float
    df_residual: float
    p_value: float
    method: str
    reduced: str = ""
    lrt: LRT | None = None


@dataclass(frozen=True, eq=False)
class TermTests:
    """Tests of all terms of a fit."""

    tests: tuple[TermTest, ...]
    notes: tuple[str, ...] = ()
    native: str = "pandas"

    def _columns(self) -> dict[str, Any]:
        names = ("kind", "group", "term", "statistic", "df", "df_residual", "p_value", "method")
        return {name: [getattr(test, name) for test in self.tests] for name in names}

    @property
    def table(self) -> Any:
        """Table: kind, group, term, statistic, df, df_residual, p_value, method."""
        return frame(self.native, self._columns())

    def _blocks(self) -> list[Block]:
        rows = []
        for test in self.tests:
            what = f"{test.term} by {test.group}" if test.group else test.term
            den = "" if math.isnan(test.df_residual) else numbers.degrees(test.df_residual)
            name = "LR" if test.kind == "group" else "χ²" if math.isnan(test.df_residual) else "F"
            name = "LR" if test.lrt is not None else name
            cells = (name, numbers.fixed(test.statistic, 3), f"{test.df:g}", den, numbers.probability(test.p_value))
            rows.append((printable(what), *cells, test.method))
        header = ("", "", "statistic", "df", "den df", "p value", "method")
        blocks: list[Block] = [Grid("Tests of single terms:", header, tuple(rows), labels=2)]
        return [*blocks, Lines("", self.notes)] if self.notes else blocks

    def summary(self) -> str:
        """The tests as text."""
        return to_text(self._blocks())

    __str__ = summary
    __repr__ = summary

    def _repr_html_(self) -> str:
        return to_html(self._blocks())

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        columns = self._columns()
        rows = [{name: _plain(values[i]) for name, values in columns.items()} for i in range(len(self.tests))]
        return {"tests": rows, "notes": list(self.notes)}


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) or math.isfinite(value) else None


def term_tests(
    fit: Fit, term: str | None = None, *, method: str = "auto", n: int | None = None, seed: int = 0, parallel: int = 1,
    fixed: str = "wald", type: str = "II",
) -> TermTests:  # fmt: skip
    """Tests of the terms of a fit, each dropped in turn.

    Parameters
    ----------
    fit : Fit
        By ``"reml"``, ``"ml"``, ``"laplace"`` or ``"agq"``.
    term : str, optional
        One term alone: a fixed term (``"Days"``), a grouping factor (``"Subject"``), as they stand in the table.
    method, n, seed, parallel :
        Of the likelihood-ratio tests, as for `lrt`.
    fixed : {"wald", "lrt"}
        How generalized models test fixed terms; linear ones have F.
    type : {"II", "III"}
        Of Wald's tests in generalized models.

    Returns
    -------
    TermTests

    Raises
    ------
    SettingError

    Examples
    --------
    >>> import multilevel as ml
    >>> from multilevel.inference.terms import term_tests
    >>> tests = term_tests(ml.fit("score ~ ses + (ses | school)", ml.datasets.load("classes")))
    >>> tests.table["term"].tolist()
    ['ses', 'ses']
    """
    require_likelihood(fit, "tests of terms")
    formula = fit.model.formula
    free = removable(formula.fixed) if fit.model.is_linear else formula.fixed.terms
    known = [
        *(str(t) for t in free),
        *(f"{p.name} ~ {t}" for p in formula.further for t in p.fixed.terms),
        *fit.model.groups,
    ]
    if term is not None and term not in known:
        hint = nearest(str(term), known) or f"Terms that can be dropped: {', '.join(map(printable, known)) or 'none'}."
        raise SettingError(f'"{printable(term)}" is no term that can be dropped', hint=hint)
    settings = {"method": method, "n": n, "seed": seed, "parallel": parallel}
    tests, notes = _group_tests(fit, term, settings)
    if fit.model.is_linear:
        return TermTests(tuple(tests) + tuple(_fixed_tests(fit, term)), tuple(notes), fit.model.native)
    from .generalized_terms import fixed_tests

    found, more = fixed_tests(fit, term, fixed, type)
    return TermTests((*tests, *found), (*notes, *more), fit.model.native)


# --- group terms -------------------------------------------------------------------------------------------------
def _group_tests(fit: Fit, term: str | None, settings: dict[str, Any]) -> tuple[list[TermTest], list[str]]:
    tests, notes = [], []
    if len(fit.model.design.layout.locations) > 1:
        return [], ["Group terms of several categories at once are not tested: compare() ranks the models."]
    for t, (part, group) in enumerate(_group_terms(fit.model.formula)):
        if term is not None and term != group.label and term not in map(str, group.coefficients.terms):
            continue
        for own, keep, reduced in _reductions(fit, t, group):
            name = own if part is None else f"{fit.model.formula.further[part].name} ~ {own}"
            try:
                small = _smaller(fit, t, keep, _with_group(fit.model.formula, part, t, reduced))
                test = lrt(small, fit, **settings)
            except MultilevelError as error:
                notes.append(f"{printable(name)} by {printable(group.label)} was not tested: {error}")
                continue
            shown = "" if reduced is None else str(reduced)
            numbers_of = (test.statistic, float(test.df), math.nan, test.p_value)
            tests.append(TermTest("group", group.label, name, *numbers_of, test.method, shown, test))
    return tests, notes


def _group_terms(formula: Formula) -> list[tuple[int | None, GroupTerm]]:
    """All group terms in the order of the design: those of the location, then of the further predictors by number."""
    found: list[tuple[int | None, GroupTerm]] = [(None, group) for group in formula.groups]
    return found + [(i, group) for i, part in enumerate(formula.further) for group in part.groups]


def _reductions(fit: Fit, t: int, group: GroupTerm) -> list[tuple[str, tuple[int, ...], GroupTerm | None]]:
    """What is dropped of a group term: (name, columns kept, the term that is left)."""
    columns = fit.model.design.groups[t].columns
    pieces = term_columns(group.coefficients, fit.model.design.memory)
    out: list[tuple[str, tuple[int, ...], GroupTerm | None]] = []
    whole = group.scale not in ("unstructured", "diagonal")
    free = () if whole else removable(group.coefficients)
    for piece, places in pieces:
        keep = tuple(j for j in range(len(columns)) if j not in places)
        if piece in free and keep:
            left = replace(group, coefficients=without(group.coefficients, piece))
            out.append((str(piece), keep, left))
    if not out:
        names = ", ".join(fit.model.design.groups[t].names) if whole or len(columns) > 1 else "Intercept"
        name = names if group.coefficients.intercept or whole else str(group.coefficients.terms[0])
        out.append((name, (), None))
    return out


def _with_group(formula: Formula, part: int | None, t: int, group: GroupTerm | None) -> Formula:
    owner = formula if part is None else formula.further[part]
    groups = list(owner.groups)
    place = t if part is None else t - sum(p is None or p < part for p, _ in _group_terms(formula))
    groups[place : place + 1] = [] if group is None else [group]
    if part is None:
        return replace(formula, groups=tuple(groups), text="")
    further = list(formula.further)
    further[part] = replace(further[part], groups=tuple(groups))
    return replace(formula, further=tuple(further), text="")


def _smaller(fit: Fit, t: int, keep: Sequence[int], formula: Formula) -> Fit:
    groups = list(fit.model.design.groups)
    own = groups[t]
    if keep:
        names, columns = tuple(own.names[j] for j in keep), tuple(own.columns[j] for j in keep)
        groups[t] = replace(own, names=names, columns=columns)
    else:
        del groups[t]
    return refitted(variant(fit.model, groups=groups, formula=formula), fit.estimator)


# --- fixed terms -------------------------------------------------------------------------------------------------
def _fixed_tests(fit: Fit, term: str | None) -> list[TermTest]:
    fixed = fit.model.formula.fixed
    free = removable(fixed)
    tests = []
    for piece, places in term_columns(fixed, fit.model.design.memory):
        kept = [j for j in places if not np.isnan(fit.estimates.beta[j])]
        if piece in free and kept and term in (None, str(piece)):
            f, df, p = f_test(fit, np.eye(len(fit.estimates.beta))[kept])
            tests.append(TermTest("fixed", "", str(piece), f, float(len(kept)), df, p, "F, Satterthwaite"))
    return tests


def f_test(fit: Fit, contrasts: np.ndarray) -> tuple[float, float, float]:
    """F of Lβ = 0, its denominator's degrees of freedom, and the p-value.

    Parameters
    ----------
    contrasts : (q, p), of full rank
    """
    from scipy.special import fdtrc

    beta = np.nan_to_num(fit.estimates.beta)
    cov = contrasts @ np.nan_to_num(fit.vcov) @ contrasts.T
    values, vectors = np.linalg.eigh(cov)
    rotated = vectors.T @ contrasts
    statistic = float(np.mean((rotated @ beta) ** 2 / values))
    df = _joint_df(np.asarray(fit.estimates.certainty.contrast_df(rotated)))
    if math.isinf(df):
        from scipy.special import chdtrc

        return statistic, df, float(chdtrc(len(contrasts), statistic * len(contrasts)))
    return statistic, df, float(fdtrc(len(contrasts), df, statistic))


def _joint_df(df: np.ndarray) -> float:
    """Denominator degrees of freedom out of those of uncorrelated contrasts."""
    q = len(df)
    if q == 1 or np.ptp(df) < 1e-8 * df[0]:
        return float(df.mean())
    used = df[df > 2.0]
    expected = float(np.sum(np.where(np.isinf(used), 1.0, used / (used - 2.0))))
    if math.isclose(expected, q) and np.all(np.isinf(used)):
        return math.inf
    return 2.0 * expected / (expected - q) if expected > q else 0.0
