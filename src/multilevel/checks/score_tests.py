"""Score tests of what a model leaves out, from its adjusted residuals.

    fixed column w        S = (w'P̃y)² / (σ² w'P̃w),   R² = S/(df + 1),   F = df R²/(1 − R²) on 1 and df
    random term Z₂        T = Σ_ℓ ‖Z₂ℓ'P̃y‖²                           scaled χ² with the moments of simulated T*

Each costs products with P̃ and no refit. A column that is constant within groups has the groups' degrees of freedom,
not the rows'; with those, F is exactly that of a regression of group means where groups are balanced. T* is regressed
on the scores of the variances that were estimated, which are zero at the optimum, so that a term that resembles an
estimated one is judged by what it adds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .adjusted import Sums
from .case import Case

FLAT = 1e-8  # share of a column's sum of squares below which nothing of it is left


@dataclass(frozen=True)
class ColumnScore:
    """Adding a column: coefficient, standard error, degrees of freedom, p-value, and the share it explains.

    `share` is R²: the part of the variance at the column's own level, between groups if it is constant within them.
    """

    estimate: float
    std_error: float
    df: float
    p_value: float
    share: float


@dataclass(frozen=True)
class TermScore:
    """Adding a random term: p-value and a first estimate of its variance."""

    statistic: float
    p_value: float
    variance: float


def column_scores(case: Case, columns: np.ndarray) -> list[ColumnScore | None]:
    """Score tests of fixed columns (n, m), each alone; None for one that the model's columns span."""
    if columns.shape[1] == 0:
        return []
    adjusted = case.adjusted
    moved = adjusted.apply(columns)
    top, below = columns.T @ adjusted.residual, np.einsum("nm,nm->m", columns, moved)
    size = np.einsum("nm,nm,n->m", columns, columns, adjusted.w)
    out: list[ColumnScore | None] = []
    for j in range(columns.shape[1]):
        df = column_df(case, columns[:, j])
        spanned = below[j] <= FLAT * size[j] or df < 1.0
        out.append(None if spanned else _column_score(top[j], below[j], adjusted.sigma2, df))
    return out


def _column_score(top: float, below: float, sigma2: float, df: float) -> ColumnScore:
    from scipy.special import fdtrc

    # the variances were estimated without the column, so S holds what it explains in its denominator
    share = float(min(top * top / (sigma2 * below) / (df + 1.0), 1.0 - 1e-12))
    f = df * share / (1.0 - share)
    error = float(np.sqrt(sigma2 / below * (1.0 - share) * (df + 1.0) / df))
    return ColumnScore(float(top / below), error, df, float(fdtrc(1.0, df, f)), share)


def column_df(case: Case, column: np.ndarray) -> float:
    """Degrees of freedom left for a column: those of the coarsest grouping factor within which it is constant."""
    fixed = [c for c in case.adjusted.design.fixed_columns if c is not None]
    df = case.adjusted.products.n - case.adjusted.products.p - 1.0
    if case.fit.estimator.name == "complete":
        return df
    for label, sums in case.sums.items():
        if constant_within(column, sums):
            own = sum(constant_within(c, sums) for c in fixed)
            df = min(df, case.model.groups[label] - 2.0 - own)
    return df


def constant_within(column: np.ndarray, sums: Sums) -> bool:
    """Whether a column has no variation within the levels."""
    within = column - sums.means(column)[sums.codes]
    return bool(np.sum(within**2) <= 1e-16 * max(np.sum((column - column.mean()) ** 2), np.sum(column**2) * 1e-6))


def term_score(case: Case, sums: Sums, column: np.ndarray | None = None, clear: np.ndarray | None = None) -> TermScore:
    """Score test of a variance component with one effect for each level.

    Parameters
    ----------
    sums : Sums
        Over the levels; rows of code −1 belong to none.
    column : (n,), optional
        The predictor whose slope varies; the intercept otherwise.
    clear : (n,), optional
        A column whose linear effect is taken out first.
    """
    from scipy.special import chdtrc

    adjusted = case.adjusted
    both = np.column_stack([adjusted.residual, adjusted.null])
    if clear is not None:
        both = _cleared(case, both, clear)
    values = np.sum(sums(both if column is None else both * column[:, None]) ** 2, axis=0)
    observed, null = float(values[0]), values[1:]
    mean, variance = float(null.mean()), _efficient(null, adjusted.own_scores(adjusted.null))
    if not variance > 0.0 or not mean > 0.0:
        return TermScore(observed, 1.0, 0.0)
    # a scaled χ² with these two moments, shifted so that the quantile is that of the efficient score
    df = 2.0 * mean**2 / variance
    p = float(chdtrc(df, max(df * observed / mean, 0.0)))
    return TermScore(observed, p, 2.0 * adjusted.sigma2**2 * (observed - mean) / variance)


def _cleared(case: Case, both: np.ndarray, clear: np.ndarray) -> np.ndarray:
    moved = case.adjusted.apply(clear)
    size = float(clear @ moved)
    if size <= FLAT * float(clear @ (case.adjusted.w * clear)):
        return both
    return np.asarray(both - np.outer(moved, clear @ both) / size)


def _efficient(null: np.ndarray, own: np.ndarray) -> float:
    """Variance of T* that the estimated variances' scores do not explain."""
    if own.shape[1] == 0 or len(null) < 4 * own.shape[1] + 8:
        return float(null.var(ddof=1))
    x = np.column_stack([np.ones(len(null)), (own - own.mean(axis=0)) / np.maximum(own.std(axis=0), 1e-300)])
    left = null - x @ np.linalg.lstsq(x, null, rcond=None)[0]
    return float(left @ left) / (len(null) - x.shape[1])
