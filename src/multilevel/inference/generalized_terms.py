"""Tests of the fixed terms of generalized models: Wald's χ² from one fit, or likelihood ratios of refits.

    W(S) = β̂_S' Cov(β̂_S)⁻¹ β̂_S        III: W(term)        II: W(term and those that contain it) − W(those)

References: Fox & Weisberg (2019), *An R Companion to Applied Regression*, section 5.3; Nelder (1977), JRSS A 140.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import MultilevelError, SettingError, nearest, printable
from .lrt import lrt, refitted
from .term_columns import term_columns, without
from .terms import TermTest
from .variants import variant

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.formula import Formula, Term, Terms
    from ..model.model import Model

HOW, TYPES = ("wald", "lrt"), ("II", "III")


@dataclass(frozen=True)
class Fixed:
    """A term of one predictor's formula: its name, its columns, and those of the terms that contain it."""

    name: str
    columns: tuple[int, ...]
    containing: tuple[int, ...]
    formula: Formula  # without it
    rest: Formula  # without those that contain it


def fixed_tests(fit: Fit, term: str | None, how: str, kind: str) -> tuple[list[TermTest], list[str]]:
    """One test for each fixed term, of all predictors; and notes."""
    for value, known, what in ((how, HOW, "fixed"), (kind, TYPES, "type")):
        if value not in known:
            hint = nearest(str(value), known) or f"Use {' or '.join(known)}."
            raise SettingError(f'unknown {what}="{printable(value)}"', hint=hint)
    tests, notes = [], []
    for piece in fixed_terms(fit.model):
        if term not in (None, piece.name):
            continue
        kept = [j for j in piece.columns if not math.isnan(fit.estimates.beta[j])]
        if not kept:
            continue
        if how == "wald" and np.isinf(fit.estimates.beta[kept]).any():
            notes.append(f'{printable(piece.name)} has coefficients at infinity: fixed="lrt" tests it.')
            continue
        try:
            tests.append(_wald(fit, piece, kept, kind) if how == "wald" else _ratio(fit, piece, kept))
        except MultilevelError as error:
            notes.append(f"{printable(piece.name)} was not tested: {error}")
    return tests, notes


def fixed_terms(model: Model) -> Iterator[Fixed]:
    """The terms of all predictors with their columns."""
    formula, design = model.formula, model.design
    layout, at = design.layout, design.fixed_predictor
    thresholds = len(layout.thresholds)
    of_location = [
        [j for j in range(thresholds if d == 0 else 0, len(at)) if at[j] == d] for d in range(len(layout.locations))
    ]
    for piece, places, relatives in _pieces(formula.fixed, model):
        less = int(layout.ordered and not formula.fixed.intercept)
        offset = -1 if layout.ordered else 0  # thresholds stand for the intercept
        columns = tuple(mine[p + offset + less] for mine in of_location for p in places)
        containing = tuple(mine[p + offset + less] for mine in of_location for p in relatives)
        rest = _less(formula, _containing(formula.fixed, piece))
        yield Fixed(str(piece), columns, containing, _less(rest, (piece,)), rest)
    for number, part in enumerate(formula.further):
        own = [j for j in range(len(at)) if at[j] == layout.names.index(part.name)]
        for piece, places, relatives in _pieces(part.fixed, model):
            rest = _less_further(formula, number, _containing(part.fixed, piece))
            smaller = _less_further(rest, number, (piece,))
            columns, containing = tuple(own[p] for p in places), tuple(own[p] for p in relatives)
            yield Fixed(f"{part.name} ~ {piece}", columns, containing, smaller, rest)


def _pieces(terms: Terms, model: Model) -> Iterator[tuple[Term, tuple[int, ...], tuple[int, ...]]]:
    """Terms of a sum, the places of their columns, and those of the terms that contain them."""
    if model.design.layout.ordered and terms is model.formula.fixed:
        terms = replace(terms, intercept=True)
    found = term_columns(terms, model.design.memory)
    for piece, places in found:
        larger = _containing(terms, piece)
        yield piece, places, tuple(p for other, others in found if other in larger for p in others)


def _containing(terms: Terms, piece: Term) -> tuple[Term, ...]:
    own = frozenset(piece.factors)
    return tuple(t for t in terms.terms if own < frozenset(t.factors))


def _less(formula: Formula, gone: tuple[Term, ...]) -> Formula:
    fixed = formula.fixed
    for term in gone:
        fixed = without(fixed, term)
    return replace(formula, fixed=fixed, text="")


def _less_further(formula: Formula, number: int, gone: tuple[Term, ...]) -> Formula:
    parts = list(formula.further)
    fixed = parts[number].fixed
    for term in gone:
        fixed = without(fixed, term)
    parts[number] = replace(parts[number], fixed=fixed)
    return replace(formula, further=tuple(parts), text="")


def _wald(fit: Fit, piece: Fixed, kept: list[int], kind: str) -> TermTest:
    from scipy.special import chdtrc

    others = [j for j in piece.containing if not math.isnan(fit.estimates.beta[j])] if kind == "II" else []
    statistic = _quadratic(fit, [*kept, *others]) - (_quadratic(fit, others) if others else 0.0)
    p = float(chdtrc(len(kept), max(statistic, 0.0)))
    method = f"Wald χ², type {kind}"
    return TermTest("fixed", "", piece.name, statistic, float(len(kept)), math.nan, p, method)


def _quadratic(fit: Fit, places: list[int]) -> float:
    beta, covariance = fit.estimates.beta[places], fit.vcov[np.ix_(places, places)]
    return float(beta @ np.linalg.solve(covariance, beta))


def _ratio(fit: Fit, piece: Fixed, kept: list[int]) -> TermTest:
    """The fit, or the model without the terms that contain this one, against the model without both."""
    large = _refit(fit, piece.containing, piece.rest) if piece.containing else fit
    small = _refit(fit, (*piece.columns, *piece.containing), piece.formula)
    test = lrt(small, large)
    return TermTest(
        "fixed", "", piece.name, test.statistic, float(test.df), math.nan, test.p_value, test.method, "", test
    )


def _refit(fit: Fit, gone: tuple[int, ...], formula: Formula) -> Fit:
    keep = [j for j in range(len(fit.estimates.beta)) if j not in gone]
    return refitted(variant(fit.model, fixed=keep, formula=formula), fit.estimator)
