"""What leaving rows out tells: one at a time, level by level, or any set of them. Made by `core/deletion.py`.

e_s = P_ss⁻¹ (P y)_s,    Cov(e_s) = P_ss⁻¹,    log p(y_s | y₍₋ₛ₎) = log N(e_s; 0, P_ss⁻¹)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .internal import InternalRows
from .structured import Structured

LOG_TWO_PI = float(np.log(2.0 * np.pi))


@dataclass(frozen=True, eq=False)
class RowsOut:
    """Every observation left out alone (of a row that stands for several equal ones, one of them).

    leverage : (n,) diagonal of I − σ²W^-½PW^-½;  error : (n,) prediction errors;  variance : (n,) of them
    log_density : (n,);  beta : (n, p_all) changes β̂₍₋ᵢ₎ − β̂;  cooks_distance : (n,)
    NaN where a fixed column would be lost.
    """

    leverage: np.ndarray
    error: np.ndarray
    variance: np.ndarray
    log_density: np.ndarray
    beta: np.ndarray
    cooks_distance: np.ndarray


@dataclass(frozen=True, eq=False)
class GroupsOut:
    """Every level of a factor left out alone; NaN where `lost`, that is where X without its rows loses a column.

    log_density : (J,) joint density of the level's rows;  error : (n,) of every row, its level left out
    beta : (J, p_all) changes β̂₍₋ⱼ₎ − β̂;  cooks_distance : (J,);  log_det : (J,) log|Cov(β̂₍₋ⱼ₎)|/|Cov(β̂)|
    quadratic : (J,) e'Cov(e)⁻¹e, a χ² of `count` (J,) observations when the model holds
    """

    log_density: np.ndarray
    error: np.ndarray
    beta: np.ndarray
    cooks_distance: np.ndarray
    log_det: np.ndarray
    quadratic: np.ndarray
    count: np.ndarray
    lost: np.ndarray


@dataclass(frozen=True, eq=False)
class LeftOut:
    """A set of rows and what all others say about it.

    Attributes
    ----------
    error : (n_s,) y − prediction
    log_density, quadratic, log_det : as in `GroupsOut`
    shift : (p,) change of β̂ in internal coordinates
    """

    rows: InternalRows
    index: np.ndarray
    sigma2: float
    matrix: Structured  # σ² W^-½ P W^-½
    weighted: np.ndarray  # W^½ e over the unit of the response
    log_density: float
    quadratic: float
    shift: np.ndarray
    log_det: float

    @property
    def error(self) -> np.ndarray:
        return np.asarray(self.rows.unit * self.weighted / self.rows.root[self.index])

    @property
    def variance(self) -> np.ndarray:
        """Of each prediction error, (n_s,)."""
        scale = self.sigma2 * self.rows.unit**2 / self.rows.root[self.index] ** 2
        return np.asarray(scale * self.matrix.inverse.diagonal)

    def covariance(self) -> np.ndarray:
        """Of the prediction errors, (n_s, n_s)."""
        inverse = 1.0 / self.rows.root[self.index]
        return self.sigma2 * self.rows.unit**2 * self.matrix.inverse.dense() * np.outer(inverse, inverse)

    def log_density_of(self, part: np.ndarray) -> float:
        """Joint log density of some of the set's rows, given the rows outside the set."""
        covariance, e = self.matrix.inverse.part(part), self.weighted[part]
        quadratic = float(e @ covariance.solve(e[:, None])[:, 0]) / self.sigma2
        return log_density(self.rows, self.index[part], self.sigma2, -covariance.log_det, quadratic)

    def log_densities(self) -> np.ndarray:
        """Log density of each row alone, given the rows outside the set, (n_s,)."""
        rows, index = self.rows, self.index
        spread, count = self.matrix.inverse.diagonal, rows.count[index]
        scale = LOG_TWO_PI + np.log(self.sigma2 * rows.unit**2)
        quadratic = self.weighted**2 / (self.sigma2 * spread)
        return np.asarray(-0.5 * (count * scale - rows.log_weight[index] + np.log(spread) + quadratic))


def log_density(rows: InternalRows, index: np.ndarray, sigma2: float, log_det: float, quadratic: float) -> float:
    """Joint density of rows whose weighted errors have precision B/σ², log|B| = `log_det`, e'Be/σ² = `quadratic`."""
    constant = float(rows.count[index].sum()) * (LOG_TWO_PI + float(np.log(sigma2 * rows.unit**2)))
    return -0.5 * (constant - float(rows.log_weight[index].sum()) - log_det + quadratic)
