"""All checks of a fit, worst first: ``ml.check(fit)``; and advice about a model or a fit: ``ml.advise(model)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import SettingError
from ..registry import member, members
from .autocorrelation import autocorrelation_findings
from .base import Checks, Finding
from .case import Case
from .influential import influence_findings
from .normality import normality_findings
from .overdispersion import overdispersion_findings
from .predictive import predictive_findings
from .residuals import residual_findings
from .working import case_of
from .zero_inflation import zero_inflation_findings

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model

FOLDER = "checks.advice"
SEVERE = {"W_SEPARATION": "problem"}  # of warnings; the others are cautions
RESIDUALS: tuple[Callable[[Case], list[Finding]], ...] = (
    overdispersion_findings,
    zero_inflation_findings,
    residual_findings,
    normality_findings,
    autocorrelation_findings,
    predictive_findings,
    influence_findings,
)


def check(fit: Fit, seed: int = 0, *, data: Any = None) -> Checks:
    """Every check that applies to a fit, worst first, each with its evidence and its remedy.

    Parameters
    ----------
    fit : Fit
    seed : int
        Of the simulations behind the checks.
    data : table, optional
        The table of the model, for columns that the formula does not mention; needed only when the fit was loaded
        from a file.

    Returns
    -------
    Checks
        Prints as text; `.table`, `.to_dict()`, HTML in notebooks.

    Raises
    ------
    SettingError
        For an estimator without a model of the groups (``"none"``, ``"within"``), and for `data` of another length.

    Notes
    -----
    Each check has level 1% after adjustment for everything it looks at, and reports nothing that is too small to
    matter, so that a healthy fit shows an alarm rarely, however large the data.

    Examples
    --------
    >>> import multilevel as ml
    >>> found = check(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> found.worst
    'ok'
    """
    case = case_of(fit, seed, data)
    found = [*_noticed(fit), *(f for check in RESIDUALS for f in _asked(case, check)), *_after(case)]
    return Checks.of(found, fit.model.native, case.skipped)


def advise(subject: Model | Fit, seed: int = 0, *, data: Any = None) -> list[Finding]:
    """Advice about a model before fitting, or about a fit: only what is worth saying.

    Parameters
    ----------
    subject : Model or Fit
        A model is asked about its design alone (few groups, imbalance, scales); a fit about everything.
    seed, data :
        As for `check`.

    Returns
    -------
    list of Finding
        Worst first; empty when there is nothing to say.

    Examples
    --------
    >>> import multilevel as ml
    >>> [f.code for f in advise(ml.Model("y | se(sigma) ~ 1 + (1 | school)", ml.datasets.load("eight_schools")))]
    ['N_FEW_GROUPS']
    """
    if "estimates" in vars(subject):
        case = case_of(subject, seed, data)  # type: ignore[arg-type]
        found = _after(case)
    else:
        found = [f for name in members(FOLDER) for f in member(FOLDER, name).before(subject)]
    return [finding for finding in Checks.of(found, "pandas") if finding.severity != "ok"]


def _after(case: Case) -> list[Finding]:
    return [finding for name in members(FOLDER) for finding in _asked(case, member(FOLDER, name).after)]


def _asked(case: Case, check: Callable[[Case], list[Finding]]) -> list[Finding]:
    """What a check finds; one that is not defined for the model says so among the skipped ones."""
    try:
        return check(case)
    except SettingError as error:
        if error.code != "E_NOT_DEFINED":
            raise
        case.skipped.append(error.message)
        return []


def _noticed(fit: Fit) -> list[Finding]:
    """What the fit warned about already; a boundary has an advice of its own."""
    found = [
        Finding(w.code, SEVERE.get(w.code, "caution"), "noticed when fitting", f"{w.message}.", w.hint)
        for w in fit.warnings
        if w.code != "W_BOUNDARY"
    ]
    if not fit.converged:
        remedy = "Do not use its numbers: raise maxiter, rescale predictors, or simplify the group terms."
        found.append(Finding("W_CONVERGENCE", "problem", "not converged", "the search stopped short.", remedy))
    return found
