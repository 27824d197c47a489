"""K-fold cross-validation: the model estimated anew without each fold, and the fold predicted.

Unlike leave-one-out in closed form, the variance components are estimated anew as well. Folds of rows keep the groups
known; folds of whole groups (`by`) ask for prediction of new groups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import SettingError
from .logo import _held_out, _refitted, observations, outermost
from .score import Score, named, nothing

if TYPE_CHECKING:
    from ..fit.fit import Fit
    from ..model.model import Model


def kfold(
    model: Model, k: int = 10, by: str | None = None, seed: int = 0, estimator: str | None = None, **settings: Any
) -> Score:
    """Score of a model by K-fold cross-validation.

    Parameters
    ----------
    model : Model
    k : int
        Number of folds, from 2 to the number of rows (or levels of `by`).
    by : str, optional
        A grouping factor whose levels stay together in a fold; rows are shuffled singly otherwise.
    seed : int
        Of the assignment to folds.
    estimator, settings :
        As for `Model.fit`.

    Returns
    -------
    Score
        One unit a fold.

    Raises
    ------
    SettingError
        For an unknown factor, or a number of folds that the data cannot fill.

    Examples
    --------
    >>> import multilevel as ml
    >>> model = ml.Model("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> len(ml.kfold(model, k=5, by="school").units)
    5
    """
    fit = model.fit(estimator, **settings)
    codes = folds(fit, k, by, np.random.default_rng(seed))
    units = tuple(f"fold {i + 1}" for i in range(k))
    count = observations(fit.model.design)
    sizes = np.bincount(codes, count, k)
    unit = "fold" if by is None else f"fold of {by}"
    if fit.estimator.name in ("none", "within"):
        reason = f'"{fit.estimator.name}" has no predictive distribution'
        return nothing("kfold", named(fit), unit, units, sizes, reason)
    if fit.sampled:
        from .psis_logo import kfold_of_draws

        return kfold_of_draws(fit, unit, codes, k)
    if fit.model.is_linear:
        elpd, error = _refitted(fit, codes, k)
        squares = error**2
    else:
        elpd, error, squares = _held_out(fit, codes, k, True, False)
    square = np.bincount(codes, count * squares, k)
    lost = int(np.isnan(elpd).sum())
    reason = f"{lost} folds could not be left out: the rest does not determine the model" if lost else ""
    mean = np.bincount(codes, count * error, k) / sizes
    return Score("kfold", named(fit), unit, units, sizes, elpd, mean, square, reason)


def folds(fit: Fit, k: int, by: str | None, rng: np.random.Generator) -> Any:
    """Fold of each row, as even as possible."""
    design = fit.model.design
    if by is None:
        n, of_row = design.n, np.arange(design.n)
    else:
        group = next(g for g in design.groups if g.label == outermost(fit, by))
        n, of_row = len(group.levels), group.codes
    if not (isinstance(k, int) and 2 <= k <= n):
        what = "rows" if by is None else f"levels of {by}"
        raise SettingError(f"k={k} folds cannot be made of {n} {what}", hint=f"Use a whole number from 2 to {n}.")
    fold = np.empty(n, dtype=np.int32)
    fold[rng.permutation(n)] = np.arange(n) % k
    return fold[of_row]
