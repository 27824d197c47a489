"""How well a model predicts what it did not see, unit by unit.

    elpd = Σ_u log p(y_u | all other units)        one unit a row, a group or a fold

Two models are compared on the same units; the standard error of a difference comes from the differences by unit, so
what is hard for both cancels.

Reference: Vehtari, Gelman & Gabry (2017), Statistics and Computing 27; Gneiting & Raftery (2007), JASA 102.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingError, printable

SIMILAR = 4.0  # |difference| below which models predict alike (conventions of the field)


@dataclass(frozen=True, eq=False)
class Score:
    """A leave-out score.

    Parameters
    ----------
    method : {"loo", "logo", "kfold"}
    model : str
        Formula and estimator.
    unit : str
        What is left out at a time: ``"row"``, a grouping factor, ``"fold"``.
    units : tuple of str
        Labels of the units.
    sizes : (u,) array
        Rows of each unit.
    elpd_each : (u,) array
        Log predictive density of each unit given all others; NaN where it cannot be predicted.
    error_each : (u,) array
        Prediction error of each unit's mean.
    square_each : (u,) array
        Sum of squared prediction errors of the unit's rows, on the scale of the mean: of a yes or no the Brier score,
        of categories its sum over them.
    reason : str
        Why there is no score, or not for some units; empty otherwise.
    khat_each : (u,) array or None
        Of sampled fits: Pareto's k̂ of the importance weights that leave each unit out; 0 where none were needed.
    fitted_each : (u,) array or None
        Log predictive density of each unit with its own rows in the data, where p_loo asks for it.
    limit : float
        k̂ above which a unit's score is not reliable.
    """

    method: str
    model: str
    unit: str
    units: tuple[str, ...]
    sizes: np.ndarray
    elpd_each: np.ndarray
    error_each: np.ndarray
    square_each: np.ndarray
    reason: str = ""
    khat_each: np.ndarray | None = None
    fitted_each: np.ndarray | None = None
    limit: float = 0.7
    native: str = "pandas"

    @property
    def p_loo(self) -> float:
        """Effective number of parameters, Σ log p(y_u | y) − log p(y_u | y₋ᵤ); NaN where it was not computed."""
        return float(np.sum(self._optimism)) if self.fitted_each is not None else float("nan")

    @property
    def p_loo_se(self) -> float:
        """Its standard error."""
        return _sum_error(self._optimism) if self.fitted_each is not None else float("nan")

    @property
    def _optimism(self) -> np.ndarray:
        assert self.fitted_each is not None
        return self.fitted_each - self.elpd_each

    @property
    def unreliable(self) -> np.ndarray:
        """Places of the units whose k̂ is above `limit`, the worst first."""
        if self.khat_each is None:
            return np.zeros(0, dtype=np.int64)
        bad = np.flatnonzero(self.khat_each > self.limit)
        return bad[np.argsort(-self.khat_each[bad], kind="stable")]

    @property
    def table(self) -> Any:
        """Table: unit, n, elpd, error, and of sampled fits pareto_k; one row a unit."""
        from ..data.frames import frame

        columns = {"unit": list(self.units), "n": self.sizes, "elpd": self.elpd_each, "error": self.error_each}
        return frame(self.native, columns if self.khat_each is None else {**columns, "pareto_k": self.khat_each})

    @property
    def elpd(self) -> float:
        """Expected log predictive density, summed over the units; −∞ where one of them was declared impossible."""
        if np.isneginf(self.elpd_each).any():
            return -float("inf")
        return float(np.sum(self.elpd_each)) if len(self.elpd_each) else float("nan")

    @property
    def elpd_se(self) -> float:
        """Its standard error, from the spread over units."""
        return _sum_error(self.elpd_each)

    @property
    def deviance(self) -> float:
        """−2 elpd."""
        return -2.0 * self.elpd

    @property
    def brier(self) -> float:
        """Mean squared prediction error of the rows: Brier's score where the response is a yes or no."""
        total = float(np.sum(self.sizes))
        return float(np.sum(self.square_each) / total) if total else float("nan")

    @property
    def rmse(self) -> float:
        """Root of the mean squared prediction error of the rows."""
        total = float(np.sum(self.sizes))
        return float(np.sqrt(np.sum(self.square_each) / total)) if total else float("nan")

    @property
    def mean_rmse(self) -> float:
        """Root of the mean squared error of the units' means, each unit counting once."""
        return float(np.sqrt(np.mean(self.error_each**2))) if len(self.error_each) else float("nan")

    def compare(self, other: Score) -> dict[str, float]:
        """This score less another on the same units: ``{"difference", "std_error"}``; positive favours this one.

        Raises
        ------
        SettingError
            When the scores are not of the same units.
        """
        if (self.method, self.unit) != (other.method, other.unit) or self.units != other.units:
            raise SettingError(
                f'a "{printable(self.method)}" score by {printable(self.unit)} ({len(self.units)} units) cannot be '
                f'compared with a "{printable(other.method)}" score by {printable(other.unit)} '
                f"({len(other.units)} units)",
                hint="Score both models on the same rows, with the same units left out.",
            )
        each = self.elpd_each - other.elpd_each
        return {"difference": float(np.sum(each)), "std_error": _sum_error(each)}

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; undefined numbers are None."""
        names = ("elpd", "elpd_se", "rmse", "mean_rmse") + ("p_loo", "p_loo_se") * (self.fitted_each is not None)
        numbers = {name: getattr(self, name) for name in names}
        if self.khat_each is not None:
            numbers["largest_pareto_k"] = float(np.max(self.khat_each, initial=0.0))
        found: dict[str, Any] = {k: v if np.isfinite(v) else None for k, v in numbers.items()}
        head = {"method": self.method, "model": self.model, "unit": self.unit, "units": len(self.units)}
        return {**head, **found, "reason": self.reason}

    def __str__(self) -> str:
        name = {"loo": "Leave-one-out", "logo": "Leave-one-group-out", "kfold": "K-fold"}[self.method]
        head = f"{name} score of {self.model} ({len(self.units)} units: {printable(self.unit)})"
        if self.elpd == -np.inf:
            return f"{head}\n  elpd  −∞: {self.reason}"
        if not np.isfinite(self.elpd):
            return f"{head}\n  not available: {self.reason}"
        lines = [head, f"  elpd  {self.elpd:.2f}  (standard error {self.elpd_se:.2f})"]
        if self.fitted_each is not None:
            lines.append(f"  p_loo  {self.p_loo:.2f}  (standard error {self.p_loo_se:.2f})")
        lines.append(f"  root mean squared error  {self.rmse:.4g} of rows, {self.mean_rmse:.4g} of unit means")
        if self.khat_each is not None:
            lines.append(f"  {self._certificate()}")
        return "\n".join([*lines, *([f"  {self.reason}"] if self.reason else [])])

    __repr__ = __str__


    def _certificate(self) -> str:
        """What the importance weights say about themselves."""
        assert self.khat_each is not None
        bad, n, largest = len(self.unreliable), len(self.khat_each), float(np.max(self.khat_each, initial=0.0))
        if not bad:
            return f"Pareto k̂ is at most {largest:.2f} (reliable up to {self.limit:.2f})"
        return f"Pareto k̂ is above {self.limit:.2f} for {bad} of {n} units, {largest:.2f} at most: not reliable there"


def _sum_error(each: np.ndarray) -> float:
    n = len(each)
    return float(np.sqrt(n * np.var(each, ddof=1))) if n > 1 else float("nan")


def nothing(method: str, model: str, unit: str, units: tuple[str, ...], sizes: np.ndarray, reason: str) -> Score:
    """The score of a model that cannot predict such units at all."""
    missing = np.full(len(units), np.nan)
    return Score(method, model, unit, units, sizes, missing, missing, missing, reason)


def named(fit: Any) -> str:
    """Formula and estimator of a fit, in one short text."""
    from ..model.describe import formula_text

    return f"{formula_text(fit.model)} by {fit.estimator.name}"
