"""Leave-one-out: every row predicted from all others, without refits.

    e_i = (y_i − ŷ_i) / (1 − h_i),    Var e_i = σ² / (w_i (1 − h_i)),    h_i = leverage, of β̂ and b̂ together

Exact for linear models with the variance components held; a single row hardly moves them. In generalized models the
density of y_i is integrated over the cavity of its linear predictors (`core/cavity.py`), at variances moved by one
Newton step; rows that matter much are left out by such a step of the whole criterion (`core/sets_out.py`).

Sampled fits: importance weights on their draws (`psis_loo.py`).

Reference: Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), JMLR 17(103).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import SettingError
from .deletion import SINGULAR, Deletion
from .score import Score, named

if TYPE_CHECKING:
    from ..fit.fit import Fit


def loo(fit: Fit, refit: bool = False) -> Score:
    """Leave-one-out score of a fit.

    Parameters
    ----------
    fit : Fit
    refit : bool
        Of sampled fits: fit again without each row whose importance weights are not reliable (`psis_loo.py`). Others
        have no need of it.

    Returns
    -------
    Score
        One unit a row used. Rows that alone identify a coefficient cannot be predicted: NaN, counted in `reason`.
        Of sampled fits with p_loo and Pareto's k̂ of every row.

    Raises
    ------
    SettingError
        With frequency weights, where a row stands for several observations, and for ``within``.

    Examples
    --------
    >>> import multilevel as ml
    >>> score = ml.loo(ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools")))
    >>> len(score.units)
    1500
    """
    design = fit.model.design
    if design.weights is not None and design.weights_kind == "frequency":
        raise SettingError(
            "leave-one-out needs one row for each observation, and frequency weights make a row several",
            hint="Expand the rows, or leave groups out (ml.logo).",
        )
    if fit.estimator.name == "within":
        raise SettingError('there is no leave-one-out score for "within"', hint='Use "none", "reml" or "complete".')
    if fit.sampled:
        from .psis_loo import loo_of_draws

        return loo_of_draws(fit, refit)
    elpd, error, square = _held_out(fit) if not fit.model.is_linear else _linear(fit)
    lost, never = int(np.isnan(elpd).sum()), int(np.isneginf(elpd).sum())
    reasons = [f"{lost} rows alone identify a coefficient and cannot be predicted from the others"] * bool(lost)
    reasons += [f"{never} rows are impossible by what the other rows of their group say, which are all alike"] * bool(
        never
    )
    reason = "; ".join(reasons)
    units = tuple(map(str, range(design.n) if design.kept is None else design.kept.tolist()))
    return Score("loo", named(fit), "row", units, np.ones(design.n), elpd, error, square, reason)


def _linear(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log density, error and its square of every row."""
    error, elpd = _separate(fit) if fit.estimator.name == "none" else Deletion(fit).rows()
    return elpd, error, error**2


def _held_out(fit: Fit) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same in a generalized model."""
    from .held_out import HeldOut, errors, squares

    if fit.estimator.name == "none":
        from .separate import rows_out

        elpd, mean = rows_out(fit)
    else:
        elpd, mean = HeldOut(fit).rows_predicted()
    return elpd, errors(fit, mean), squares(fit, mean)


def _separate(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Least squares level by level: its own leverages."""
    design = fit.model.design
    sigma2 = 1.0 if fit.sigma is None else fit.sigma**2
    w = np.ones(design.n) if design.weights is None else design.weights
    w = w if design.known_se is None else w / design.known_se**2
    h = w * np.asarray(fit.predict(parameters=False)["std_error"], dtype=float) ** 2 / sigma2
    spare = np.where(1.0 - h > SINGULAR, 1.0 - h, np.nan)
    error = (design.response - fit.fitted_values) / spare
    variance = sigma2 / (w * spare)
    return error, -0.5 * (np.log(2.0 * np.pi * variance) + error**2 / variance)
