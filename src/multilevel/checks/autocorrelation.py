"""Autocorrelation of residuals within groups, in row order or along a column.

    r_k = mean over pairs of rows k apart in one group of s_i s_j / mean s²

Residuals of short series are negatively correlated even when errors are independent (each group's mean, or line, was
taken out). So r_k is compared with its mean and scatter in replicated data, not with zero and 1/√n.

Reference: Pinheiro & Bates (2000), *Mixed-Effects Models in S and S-PLUS*, section 5.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.frames import frame
from ..errors import SettingError, listed, nearest, printable
from .base import ALPHA, Finding, holm, p_text, quote
from .case import Case
from .working import case_of

if TYPE_CHECKING:
    from ..fit.fit import Fit

LAGS = 10
FEWEST_PAIRS = 20
LEAST = 0.1  # autocorrelation beyond what is expected, below which it is not reported


@dataclass(frozen=True, eq=False)
class Autocorrelation:
    """Autocorrelations of one fit.

    Attributes
    ----------
    group : str or None
        The grouping factor within which rows follow each other; None is all rows.
    lag, correlation, expected, std_error, pairs : (lags,) arrays
        `expected` and `std_error` are those under independent errors.
    """

    group: str | None
    order: str | None
    lag: np.ndarray
    correlation: np.ndarray
    expected: np.ndarray
    std_error: np.ndarray
    pairs: np.ndarray
    native: str = "pandas"

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95% interval of each lag under independence."""
        return self.expected - 1.96 * self.std_error, self.expected + 1.96 * self.std_error

    @cached_property
    def p_values(self) -> np.ndarray:
        """Two-sided, for each lag alone."""
        from scipy.special import ndtr

        return np.asarray(2.0 * ndtr(-np.abs(self.correlation - self.expected) / self.std_error))

    @property
    def table(self) -> Any:
        """Table: lag, n (pairs of rows), correlation, lower, upper (95% under independent errors), p_value."""
        lower, upper = self.bounds
        columns = {"lag": self.lag, "n": self.pairs, "correlation": self.correlation}
        return frame(self.native, {**columns, "lower": lower, "upper": upper, "p_value": self.p_values})


def acf(
    fit: Fit, group: str | None = None, order: str | None = None, lags: int = LAGS, *, data: Any = None, seed: int = 0
) -> Autocorrelation:
    """Autocorrelation of the residuals within groups.

    Parameters
    ----------
    fit : Fit
    group : str, optional
        The grouping factor whose levels are series; the one with the most levels otherwise.
    order : str, optional
        A column that orders the rows of a group, such as a time; row order otherwise.
    lags : int
        Largest lag; fewer when groups are short.
    data : table, optional
        Holds `order` when the model does not keep its data.

    Returns
    -------
    Autocorrelation

    Raises
    ------
    SettingError
        For an unknown grouping factor or column, or when groups are too short for any lag.

    Examples
    --------
    >>> import multilevel as ml
    >>> fit = ml.fit("score ~ 1 + (1 | school)", ml.datasets.load("schools"))
    >>> acf(fit, lags=2).lag.tolist()
    [1, 2]
    """
    case = case_of(fit, seed, data)
    if not case.by_row:
        raise SettingError(f"no autocorrelations for this fit: {case.skipped[-1]}", hint="See fit.residuals().")
    if group is not None and group not in fit.model.groups:
        hint = nearest(str(group), fit.model.groups) or f"It has: {listed(fit.model.groups)}."
        raise SettingError(f'"{printable(group)}" is no grouping factor of this model', hint=hint)
    found = correlations(case, group or finest(case), None if order is None else case.column(order), lags, order)
    if found is None:
        raise SettingError("groups are too short for autocorrelations", hint="Use a factor with longer series.")
    return found


def finest(case: Case) -> str | None:
    """The grouping factor with the most levels."""
    groups = case.model.groups
    return max(groups, key=lambda label: groups[label]) if groups else None


def correlations(
    case: Case, group: str | None, order: np.ndarray | None, lags: int, order_name: str | None = None
) -> Autocorrelation | None:
    """r_k for lags with pairs enough; None when there is none."""
    codes = np.zeros(case.design.n, dtype=np.int32)
    if group is not None:
        codes = next(g.codes for g in case.design.groups if g.label == group)
    index = np.lexsort((np.arange(len(codes)) if order is None else order, codes))
    series, same = case.studentized[index][:, None], codes[index]
    null = case.replicated[index]
    rows = []
    for k in range(1, min(lags, len(same) - 1) + 1):
        pairs = same[k:] == same[:-k]
        if pairs.sum() < FEWEST_PAIRS:
            break
        star = _lagged(null, pairs, k)
        rows.append((k, _lagged(series, pairs, k)[0], star.mean(), star.std(ddof=1), int(pairs.sum())))
    if not rows:
        return None
    lag, r, mean, sd, n = (np.array(column) for column in zip(*rows, strict=True))
    return Autocorrelation(group, order_name, lag, r, mean, np.maximum(sd, 1e-12), n, case.model.native)


def _lagged(series: np.ndarray, pairs: np.ndarray, k: int) -> np.ndarray:
    """Mean product of rows k apart over the mean square, of each column."""
    products = np.einsum("nm,nm,n->m", series[k:], series[:-k], pairs.astype(float)) / pairs.sum()
    return np.asarray(products / np.mean(series**2, axis=0))


def autocorrelation_findings(case: Case) -> list[Finding]:
    """Lags 1 to 5 in row order within the finest groups."""
    if not case.by_row:
        return []
    group = finest(case)
    found = correlations(case, group, None, 5)
    if found is None:
        return []
    p = holm(found.p_values)
    excess = found.correlation - found.expected
    large = np.flatnonzero((p < ALPHA) & (np.abs(excess) > LEAST))
    k = int(large[0]) if len(large) else 0
    where = f"within {quote(group)}" if group else "over all rows"
    lag = f"at lag {found.lag[k]} it is {found.correlation[k]:.2f} ({found.expected[k]:.2f} expected; {p_text(p[k])})"
    values: dict[str, Any] = {"group": group, "lag": found.lag, "p_value": float(p[k])}
    values |= {"correlation": found.correlation, "expected": found.expected}
    if not len(large):
        text = f"in row order {where}, {lag}."
        return [Finding("N_AUTOCORRELATION", "ok", "no autocorrelation of the residuals", text, values=values)]
    text = f"residuals in row order {where} are correlated: {lag}."
    remedy = (
        "If rows are in order of time, neighbours are alike and standard errors of what changes within groups are too "
        "small: add the time, a slope on it, or a finer group. If rows were sorted by the response, this says nothing."
    )
    severity = "problem" if abs(excess[k]) > 0.3 else "caution"
    return [Finding("N_AUTOCORRELATION", severity, "autocorrelated residuals", text, remedy, values)]
