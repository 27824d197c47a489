"""What the demo prints: the script's output in its order, every number beside its correct counterpart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from textwrap import wrap
from typing import TYPE_CHECKING

import numpy as np

from .textbook import BETWEEN, MEAN, WITHIN, Script

if TYPE_CHECKING:
    from ..checks.pooling import Pooling
    from ..fit.fit import Fit

SHOWN = 10  # schools in the table
Z = 1.96


# --- estimates ---------------------------------------------------------------------------------------------------
def estimates(fit: Fit, script: Script) -> Iterator[str]:
    """Overall mean and the two standard deviations."""
    fixed, sds = fit.fixed_effects, fit.variance_components
    found = [(fixed, 0, "estimate"), (sds, 0, "sd"), (sds, 1, "sd")]
    by_hand = (script.overall, script.between, script.within)
    names = ("overall mean", "sd between schools", "sd within schools")
    yield f"{'':<20}{'truth':>8}{'by hand':>10}{'REML':>10}   95% interval"
    for name, true, hand, (table, i, column) in zip(names, (MEAN, BETWEEN, WITHIN), by_hand, found, strict=True):
        value, low, high = (float(np.asarray(table[c])[i]) for c in (column, "lower", "upper"))
        yield f"{name:<20}{true:>8.2f}{hand:>10.4f}{value:>10.4f}   {low:.2f} to {high:.2f}"
    yield "The script gives no intervals. Its estimates agree with REML because every school has fifty students;"
    yield "with unequal schools its formulas do not hold, and it replaces a negative variance by 0.01,"
    yield "where REML reports an exact zero and says so."


# --- schools -----------------------------------------------------------------------------------------------------
def schools(fit: Fit, alone: Fit, everyone: Fit, script: Script, truth: dict[str, float]) -> Iterator[str]:
    """Estimates and standard errors of the first schools, and the errors over all of them."""
    levels = fit.model.design.groups[0].levels
    rows = {"school": list(levels)}
    true = np.array([truth[level] for level in levels])
    own, partial = _means(alone, rows), _means(fit, rows)
    grand = everyone.coefficients["Intercept"]
    yield f"{'':<8}{'':>8}{'no':>11}{'complete':>11}{'partial':>11}   {'std. error':>10}   {'by hand':>8}"
    pooling = f"{'pooling':>11}" * 3
    yield f"{'school':<8}{'truth':>8}{pooling}   {'of partial':>10}   {'std. err':>8}"
    for i, level in enumerate(levels[:SHOWN]):
        estimates = f"{own[0][i]:>11.2f}{grand:>11.2f}{partial[0][i]:>11.2f}"
        yield f"{level:<8}{true[i]:>8.2f}{estimates}   {partial[1][i]:>10.2f}   {script.error:>8.2f}"
    yield ""
    yield f"Root mean squared error over all {len(levels)} schools, which only a simulation knows:"
    for name, estimate in (("complete pooling", grand), ("no pooling", own[0]), ("partial pooling", partial[0])):
        yield f"  {name:<18}{_rms(estimate - true):6.3f}"


def _means(fit: Fit, rows: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray]:
    """Estimated mean of each school and its standard error."""
    table = fit.predict(rows)
    return np.asarray(table["estimate"], dtype=float), np.asarray(table["std_error"], dtype=float)


def _rms(difference: np.ndarray) -> float:
    return float(np.sqrt(np.mean(difference**2)))


# --- shrinkage ---------------------------------------------------------------------------------------------------
def shrinkage(fit: Fit, script: Script) -> Iterator[str]:
    """The factor, what it means, and the standard errors."""
    from ..variance.effective import effective_parameters

    weight = float(np.mean(fit.shrinkage()["lambda"]))
    _, errors = _means(fit, {"school": list(fit.model.design.groups[0].levels)})
    pulled = 100.0 * (1.0 - weight)
    yield f"Shrinkage factor           {weight:.3f}   by hand {script.weight:.3f}"
    own = 100.0 * weight
    yield f"  A school's own mean weighs {own:.1f}%: it is pulled {pulled:.1f}% of the way to the overall mean."
    yield f'  (The script says "pulled {100.0 * script.weight:.1f}% toward overall mean": the wrong way round.)'
    yield f"Std. error, partial        {errors.mean():.3f}   by hand {script.error:.3f}"
    yield "  By hand takes the overall mean and both sds for known; REML's standard error does not."
    yield f"Std. error, no pooling     {fit.sigma / np.sqrt(50.0):.3f}   by hand {script.error_alone:.3f}"
    yield f"Effective parameters       {effective_parameters(fit):.1f}    of 30 school means"
    yield '  (The text guesses "10-20". With fifty students in each school the data leave little to share.)'


# --- variance ----------------------------------------------------------------------------------------------------
def variance(fit: Fit, script: Script) -> Iterator[str]:
    """Where the variance is."""
    from ..variance.shares import icc_table

    found = icc_table(fit)  # its first row is the share of school
    icc, low, high = (float(found[name][0]) for name in ("estimate", "lower", "upper"))
    truth = BETWEEN**2 / (BETWEEN**2 + WITHIN**2)
    yield f"ICC {icc:.3f}, 95% interval {low:.3f} to {high:.3f} (by hand {script.icc:.3f}, truth {truth:.3f}):"
    yield f"  {100.0 * icc:.1f}% of the variance of scores is between schools, {100.0 * (1.0 - icc):.1f}% within."


# --- scores ------------------------------------------------------------------------------------------------------
def scores(compared: Pooling) -> Iterator[str]:
    """Which pooling predicts best, without knowing the truth."""
    table = {name: np.asarray(compared.scores[name]) for name in ("estimator", "loo_elpd", "logo_elpd")}
    yield f"{'':<18}{'new students':>14}{'new schools':>14}   (elpd of what was left out: higher is better)"
    for name, rows, groups in zip(*table.values(), strict=True):
        cells = [f"{v:>14.1f}" if v == v else f"{'cannot':>14}" for v in (rows, groups)]
        yield f"{name.replace('_', '-'):<18}{''.join(cells)}"
    yield from wrap(compared.sentence, 100)
    yield 'No pooling does not "overshrink new groups", as the text has it: it shrinks nothing and cannot predict them.'


# --- a new school ------------------------------------------------------------------------------------------------
def new_school(fit: Fit, script: Script) -> Iterator[str]:
    """Prediction, with the uncertainty of the overall mean and both standard deviations."""
    mean, student = (_new(fit, kind) for kind in ("mean", "response"))
    drawn = " ".join(f"{v:.1f}" for v in script.new_students)
    low, high = script.overall - Z * script.between, script.overall + Z * script.between
    short = 1.0 - (high - low) / (mean[2] - mean[1])
    yield f"mean of a new school         {_interval(mean)}"
    yield f"one student of a new school  {_interval(student)}"
    yield "These intervals (95%) carry the uncertainty of the overall mean and of both standard deviations."
    yield f"The script takes them for known: {script.overall:.2f} with sd {script.between:.2f}, that is {low:.2f} to"
    yield f"{high:.2f} for the school: {100.0 * short:.0f}% too short. It draws one school, {script.new_school:.2f},"
    yield f"and ten students of it, {drawn} (mean {script.new_students.mean():.2f}):"
    yield "an example of what may happen, not a prediction."


def _new(fit: Fit, kind: str) -> tuple[float, float, float]:
    table = fit.predict({"school": ["new"]}, target="new_group", kind=kind)
    return tuple(float(np.asarray(table[name])[0]) for name in ("estimate", "lower", "upper"))  # type: ignore[return-value]


def _interval(values: Sequence[float]) -> str:
    return f"{values[0]:6.2f}   {values[1]:6.2f} to {values[2]:6.2f}"
