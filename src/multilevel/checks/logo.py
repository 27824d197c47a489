"""Leave-one-group-out: the rows of every group predicted from all other groups, without refits.

What a model is worth for groups that it has not seen. In linear models the predictive distribution of a group's rows is
their joint normal one, in closed form: β estimated without the group, its effects drawn from their distribution. In
generalized ones it is the group's integrated likelihood at parameters moved by one Newton step of the criterion without
it (`core/levels_out.py` where groups are independent, `core/sets_out.py` where they share others). Of sampled fits
importance weights leave the group out, its effects integrated (`psis_logo.py`).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ConvergenceError, MultilevelError, MultilevelWarning, SettingError, nearest, printable
from .deletion import Deletion
from .score import Score, named, nothing

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..formula.design import Design


def logo(fit: Fit, group: str | None = None, refit: bool = False) -> Score:
    """Leave-one-group-out score of a fit.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor whose levels are left out; the one with the fewest levels otherwise (the outermost).
    refit : bool
        Estimate anew without each group (as many fits as groups). Otherwise linear models hold the variance
        components, generalized ones take one Newton step, and of sampled fits only the groups whose importance weights
        are not reliable are fitted again.

    Returns
    -------
    Score
        One unit a level. ``none`` cannot speak about a group without data: its score is missing, with the reason.

    Raises
    ------
    SettingError
        For a model without groups, or an unknown one.

    Examples
    --------
    >>> import multilevel as ml
    >>> score = ml.logo(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> len(score.units)
    30
    """
    design = fit.model.design
    label = outermost(fit, group)
    place = next(t for t, g in enumerate(design.groups) if g.label == label)
    codes, levels = design.groups[place].codes, design.groups[place].levels
    count = observations(design)
    sizes = np.bincount(codes, count, len(levels))
    if fit.estimator.name in ("none", "within"):
        reason = "no pooling has no estimate for a group without data"
        return nothing("logo", named(fit), label, tuple(levels), sizes, reason)
    if fit.sampled:
        from .psis_logo import logo_of_draws

        return logo_of_draws(fit, label, codes, tuple(levels), refit)
    if not fit.model.is_linear:
        elpd, error, squares = _held_out(fit, codes, len(levels), refit, len(fit.model.groups) == 1)
    elif refit:
        elpd, error = _refitted(fit, codes, len(levels))
        squares = error**2
    else:
        found = Deletion(fit).groups(design.groups[place].codes, len(levels))
        elpd, error, squares = found.elpd, found.error, found.error**2
    square = np.bincount(codes, count * squares, len(levels))
    mean = np.bincount(codes, count * error, len(levels)) / sizes
    lost = [levels[i] for i in np.flatnonzero(np.isnan(elpd))]
    what = "the model cannot be estimated without" if refit else "a coefficient of the fixed part hangs on"
    reason = f"{what} {len(lost)} groups ({_some(lost)})" if lost else ""
    return Score("logo", named(fit), label, tuple(levels), sizes, elpd, mean, square, reason)


def observations(design: Design) -> np.ndarray:
    """How many observations each row stands for: its frequency, or one."""
    counted = design.weights is not None and design.weights_kind == "frequency"
    return np.asarray(design.weights if counted else np.ones(design.n), dtype=float)


def outermost(fit: Fit, group: str | None) -> str:
    """The grouping factor asked for, or the one with the fewest levels.

    Raises
    ------
    SettingError
    """
    sizes = fit.model.groups
    if not sizes:
        raise SettingError("the model has no grouping factor to leave levels out of", hint="Add one: (1 | group).")
    if group is None:
        return min(sizes, key=lambda label: sizes[label])
    if group not in sizes:
        message = f'no grouping factor "{printable(group)}"'
        raise SettingError(message, hint=nearest(str(group), list(sizes)) or f"Use one of {', '.join(sizes)}.")
    return group


def _held_out(
    fit: Fit, codes: np.ndarray, sets: int, refit: bool, independent: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log density of each set of rows of a generalized model, errors of the rows and their squares."""
    from .held_out import HeldOut, errors, squares
    from .refits import refitted_out

    found = refitted_out(fit, codes, sets, independent) if refit else HeldOut(fit).groups_out(codes, sets)
    return found.log_density, errors(fit, found.mean), squares(fit, found.mean)


def _refitted(fit: Fit, codes: np.ndarray, levels: int) -> tuple[np.ndarray, np.ndarray]:
    """As the closed form, at variance components estimated without each level."""
    from ..fit.fit import Fit
    from .subsets import check_levels, without

    elpd, error = np.full(levels, np.nan), np.full(len(codes), np.nan)
    for level in range(levels):
        rows = codes == level
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MultilevelWarning)
            try:
                model = without(fit.model, rows)
                check_levels(model)  # a variance between one level and nothing is no estimate
                estimates = fit.estimator.estimate(model)
            except (ConvergenceError, MultilevelError, np.linalg.LinAlgError):
                continue
        if np.isnan(estimates.beta).any() and not np.isnan(fit.estimates.beta).any():
            continue  # X lost rank
        whole = Fit(fit.model, fit.estimator, _with_variances(fit, estimates))
        found = Deletion(whole).groups(np.where(rows, 0, -1).astype(np.int32), 1)
        elpd[level], error[rows] = found.elpd[0], found.error[rows]
    return elpd, error


def _with_variances(fit: Fit, other):  # type: ignore[no-untyped-def]
    """The fit's estimates at other variance components (its coefficients do not enter a deletion)."""
    from dataclasses import replace

    return replace(fit.estimates, sigma=other.sigma, covariances=other.covariances)


def _some(names: list[str]) -> str:
    shown = ", ".join(f'"{printable(n)}"' for n in names[:3])
    return shown + (", …" if len(names) > 3 else "")
