"""What a fit would predict for rows that it had not seen, without refitting: `core/deletion.py` at a fit's variances.

With the variance components held, the error of predicting the rows s from all others, β and b estimated anew, is
e_s = P_ss⁻¹ (Py)_s, with variance P_ss⁻¹ (the uncertainty of β included).

References: Cook (1977), Technometrics 19; Christensen, Pearson & Johnson (1992), Technometrics 34;
Haslett & Dillane (2004), J. R. Statist. Soc. B 66.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core import deletion as core
from .adjusted import Adjusted

if TYPE_CHECKING:
    from ..fit.fit import Fit

SINGULAR = core.LOST  # 1 − leverage below which a coefficient is not identified without the row


@dataclass(frozen=True, eq=False)
class Deleted:
    """What leaving each level out does; rows in the order of the data.

    Parameters
    ----------
    sizes : (L,) observations of each level
    elpd : (L,) log predictive density of the level's rows given all others; NaN where X loses rank without them
    error : (n,) prediction errors
    shift : (L, p) β̂ − β̂ without the level, on the columns of the data
    log_det : (L,) log|Cov(β̂ without)|/|Cov(β̂)|: elpd + log_det/2 is what the unrestricted likelihood loses
    """

    sizes: np.ndarray
    elpd: np.ndarray
    error: np.ndarray
    shift: np.ndarray
    log_det: np.ndarray


class Deletion:
    """Leave-out predictions of a fit at its variance components.

    Parameters
    ----------
    fit : Fit
        Of an estimator whose covariances describe the rows: reml, ml, moments, james_stein, complete.
    """

    def __init__(self, fit: Fit) -> None:
        self.fit = fit
        self.core = core.Deletion(fit)

    @cached_property
    def adjusted(self) -> Adjusted:
        """Products with P̃ of the fit."""
        return Adjusted(self.fit)

    @property
    def residual(self) -> np.ndarray:
        """y − ŷ of every row; may be set, to ask about another response."""
        return np.asarray(self.core.rows.unit * self.core.residual / self.core.rows.root)

    @residual.setter
    def residual(self, values: np.ndarray) -> None:
        cache = self.core.__dict__
        cache.pop("_level_sums", None)
        cache["residual"] = values * self.core.rows.root / self.core.rows.unit

    @cached_property
    def _rows(self) -> core.RowsOut:
        return self.core.rows_out()

    @property
    def spare(self) -> np.ndarray:
        """1 − h_i = P̃_ii / w_i of every row."""
        return 1.0 - self._rows.leverage

    @property
    def row_shift(self) -> np.ndarray:
        """β̂ − β̂ without the row, (n, p)."""
        return -self._rows.beta

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """(error, log density) of every observation predicted from all others; NaN where a coefficient hangs on it.

        Where a row stands for several equal observations, one of them is left out.
        """
        return self._rows.error, self._rows.log_density

    def groups(self, codes: np.ndarray, levels: int) -> Deleted:
        """Leave out the rows of each level of a factor (any codes of the rows, −1 for never)."""
        labels = list(self.fit.model.groups)
        groups = self.fit.model.design.groups
        if len(labels) == 1 and codes is groups[0].codes:
            found = self.core.groups_out(0)
        else:
            found = self.core.sets_out(codes, levels)
        return Deleted(whole(found.count), found.log_density, found.error, -found.beta, found.log_det)


def whole(counts: np.ndarray) -> np.ndarray:
    """Numbers of observations as integers, unless weights make them fractions."""
    rounded = np.rint(counts)
    return rounded.astype(np.int64) if np.array_equal(rounded, counts) else counts
