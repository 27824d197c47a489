"""Are residuals and group effects normal? QQ points and Anderson and Darling's statistic.

    A² = −n − Σ (2i − 1)/n [log Φ(z_(i)) + log(1 − Φ(z_(n+1−i)))],   mean and sd estimated

Group effects are divided by the standard deviation that shrinkage leaves them, √(Σ_kk − C_ℓ,kk), so that levels of
different size are alike under the model; a level that is shrunk to nothing says nothing. With few rows in each group
residuals are tied to each other; their A² is measured by that of replicates.

References: Anderson & Darling (1954), J. Amer. Statist. Assoc. 49; Stephens (1986) for its p-value, in D'Agostino &
Stephens, *Goodness-of-Fit Techniques*; Lange & Ryan (1989), Ann. Statist. 17, for shrunken effects.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import listed, printable
from .base import ALPHA, Finding, holm, p_text, quote
from .case import Case, Effects
from .replicates import gumbel, upper_p

LEAST_LEVELS = 8
MOST_ROWS = 5000
EXPECTED = 0.378  # mean of A² under normality with estimated mean and sd (large n)
SKEW, TAILS = 0.3, 0.6  # of residuals, below which departures are of no consequence
EFFECT_SKEW, EFFECT_TAILS = 0.3, 0.6


@dataclass(frozen=True)
class Normality:
    """Anderson-Darling statistic with its p-value, skewness and excess kurtosis."""

    statistic: float
    p_value: float
    skewness: float
    kurtosis: float


def normality(values: np.ndarray, inflation: float = 1.0) -> Normality:
    """Test of normality with estimated mean and standard deviation.

    Parameters
    ----------
    values : (n,) array, n ≥ 5
    inflation : float
        How much larger A² is on average than for independent values.

    Examples
    --------
    >>> import numpy as np
    >>> normality(np.random.default_rng(1).standard_normal(200)).p_value > 0.05
    True
    >>> normality(np.random.default_rng(1).exponential(size=200)).p_value < 1e-6
    True
    """
    z = (values - values.mean()) / values.std(ddof=1)
    moments = z - z.mean()
    spread = float(np.mean(moments**2))
    statistic = anderson_darling(z[:, None])[0] / inflation
    return Normality(
        float(statistic),
        _p_value(float(statistic)),
        float(np.mean(moments**3) / spread**1.5),
        float(np.mean(moments**4) / spread**2 - 3.0),
    )


def anderson_darling(columns: np.ndarray) -> np.ndarray:
    """A² with Stephens's factor for small n, of each column of standardised values (n, m)."""
    from scipy.special import log_ndtr

    z = np.sort(columns, axis=0)
    n = len(z)
    weight = (2.0 * np.arange(1, n + 1) - 1.0)[:, None]
    a2 = -n - np.sum(weight * (log_ndtr(z) + log_ndtr(-z[::-1])), axis=0) / n
    return np.asarray(a2 * (1.0 + 0.75 / n + 2.25 / n**2))


def _p_value(a: float) -> float:
    """Stephens's approximation."""
    if a >= 0.6:
        a = min(a, 20.0)
        return float(np.exp(1.2937 - 5.709 * a + 0.0186 * a * a))
    if a >= 0.34:
        return float(np.exp(0.9177 - 4.279 * a - 1.38 * a * a))
    if a >= 0.2:
        return float(1.0 - np.exp(-8.318 + 42.796 * a - 59.938 * a * a))
    return float(1.0 - np.exp(-13.436 + 101.14 * a - 223.73 * a * a))


def qq_points(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Normal quantiles, sorted values, and a pointwise 95% band for standard normal values.

    Returns
    -------
    theoretical, ordered, lower, upper : (n,) arrays
        The band is that of order statistics: Φ⁻¹ of Beta(i, n + 1 − i) quantiles.
    """
    from scipy.special import betaincinv, ndtri

    n = len(values)
    i = np.arange(1.0, n + 1.0)
    theoretical = ndtri((i - 0.375) / (n + 0.25))
    lower, upper = (ndtri(betaincinv(i, n + 1.0 - i, q)) for q in (0.025, 0.975))
    return theoretical, np.sort(np.asarray(values, dtype=float)), lower, upper


def normality_findings(case: Case) -> list[Finding]:
    """Residuals, effects of every level, and levels that stand far out."""
    found = [_residuals(case)] if case.by_row and case.shaped and case.design.n >= 8 else []
    return [*found, *_effects(case)]


def _residuals(case: Case) -> Finding:
    s, replicates = case.studentized, case.replicated
    if len(s) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(case.seed).choice(len(s), MOST_ROWS, replace=False))
        s, replicates = s[rows], replicates[rows]
    z = (replicates - replicates.mean(axis=0)) / replicates.std(axis=0, ddof=1)
    inflation = max(float(anderson_darling(z).mean()) / EXPECTED, 1.0)
    test = normality(s, inflation)
    shape = f"skewness {test.skewness:.2f}, excess kurtosis {test.kurtosis:.2f}"
    values = {"statistic": test.statistic, "p_value": test.p_value}
    values |= {"skewness": test.skewness, "kurtosis": test.kurtosis}
    if not (test.p_value < ALPHA and (abs(test.skewness) > SKEW or abs(test.kurtosis) > TAILS)):
        text = f"{shape} (Anderson-Darling {test.statistic:.2f}, {p_text(test.p_value)})."
        return Finding("N_RESIDUAL_SHAPE", "ok", "residuals look normal", text, values=values)
    remedy = "Coefficients hardly suffer; prediction intervals do. Transform the response or look for outliers."
    if not case.model.is_linear:
        remedy = "The response is distributed otherwise than the family says: try another one, or look for outliers."
    elif abs(test.skewness) <= SKEW:
        remedy = "Coefficients hardly suffer; prediction intervals do. Look for outliers or a few noisy groups."
    severity = "caution" if abs(test.skewness) > 1.0 or test.kurtosis > 3.0 else "note"
    text = f"{shape} ({p_text(test.p_value)})."
    return Finding("N_RESIDUAL_SHAPE", severity, "residuals are not normal", text, remedy, values)


# --- group effects -------------------------------------------------------------------------------------------------
def _effects(case: Case) -> list[Finding]:
    tested = [e for e in case.effects if len(e.z) >= LEAST_LEVELS]
    if not tested:
        return []
    tests = _tests(case, tested)
    adjusted = holm([t.p_value for t in tests])
    out = [_shape(e, t, float(q)) for e, t, q in zip(tested, tests, adjusted, strict=True)]
    return [*out, _outlying(case, tested)]


def _tests(case: Case, tested: list[Effects]) -> list[Normality]:
    """Of each coefficient; against replicated effects where there are some, whose modes are not quite normal."""
    if case.null is None:
        return [normality(e.z) for e in tested]
    star = [null for e, null in zip(case.effects, case.null.effects, strict=True) if len(e.z) >= LEAST_LEVELS]
    return [_replicated(e.z, null) for e, null in zip(tested, star, strict=True)]


def _replicated(z: np.ndarray, star: np.ndarray) -> Normality:
    """A² of effects against that of replicated ones (L, draws); skewness and kurtosis beyond theirs."""
    both = np.column_stack([z, star])
    both = (both - both.mean(axis=0)) / np.maximum(both.std(axis=0, ddof=1), 1e-12)
    statistic = anderson_darling(both)
    centred = both - both.mean(axis=0)
    spread = np.maximum(np.mean(centred**2, axis=0), 1e-300)
    skewness = np.mean(centred**3, axis=0) / spread**1.5
    kurtosis = np.mean(centred**4, axis=0) / spread**2 - 3.0
    beyond = [float(values[0] - values[1:].mean()) for values in (skewness, kurtosis)]
    return Normality(float(statistic[0]), upper_p(float(statistic[0]), statistic[1:]), *beyond)


def _shape(effects: Effects, test: Normality, p: float) -> Finding:
    what = f"{printable(effects.term, 30)} by {quote(effects.label)}"
    shape = f"skewness {test.skewness:.2f}, excess kurtosis {test.kurtosis:.2f}"
    values = {"group": effects.label, "term": effects.term, "statistic": test.statistic, "p_value": p}
    values |= {"skewness": test.skewness, "kurtosis": test.kurtosis, "n": len(effects.z)}
    text = f"{len(effects.z)} effects: {shape} ({p_text(p)})."
    large = abs(test.skewness) > EFFECT_SKEW or abs(test.kurtosis) > EFFECT_TAILS
    if not (p < ALPHA and large):
        return Finding("N_EFFECT_SHAPE", "ok", f"effects of {what} look normal", text, values=values)
    remedy = (
        "Fixed effects hardly suffer; shrinkage of the extreme levels and intervals for new ones do. "
        "Look for a predictor at that level, for outlying levels, or for two kinds of them."
    )
    return Finding("N_EFFECT_SHAPE", "caution", f"effects of {what} are not normal", text, remedy, values)


def _outlying(case: Case, tested: list[Effects]) -> Finding:
    """Levels further out than the largest of so many normal ones (of replicated ones, where there are some)."""
    from scipy.special import ndtr

    total = sum(len(e.z) for e in tested)
    each = [(z, level, e) for e in tested for z, level in zip(e.z, e.levels, strict=True)]
    furthest = None if case.null is None else np.max([np.abs(star).max(axis=0) for star in case.null.effects], axis=0)

    def chance(z: float) -> float:
        own = 2.0 * total * float(ndtr(-abs(z)))
        return own if furthest is None else max(own, gumbel(abs(z), furthest))

    rows = [(chance(z), z, level, e) for z, level, e in each]
    rows.sort(key=lambda row: row[0])
    rows = sorted(rows, key=lambda row: -abs(row[1])) if rows[0][0] >= ALPHA else rows
    p, z, level, effects = rows[0]
    out = [row for row in rows if row[0] < ALPHA]
    values = {"largest": float(z), "p_value": min(p, 1.0), "levels": [str(row[2]) for row in out[:20]]}
    where = f"{printable(level, 30)} ({quote(effects.label)}, {printable(effects.term, 30)})"
    if not out:
        text = f"the most distant is {where} at {z:.2f} sd ({p_text(min(p, 1.0))} for the most distant of {total})."
        return Finding("N_OUTLYING_LEVELS", "ok", "no outlying levels", text, values=values)
    more = f"; also {listed((row[2] for row in out[1:]), 3)}" if out[1:] else ""
    text = f"{where} lies {z:.1f} sd from the mean of its kind ({p_text(p)}){more}."
    remedy = "Look at its rows; refit without it and see what changes. Partial pooling pulls it to the others."
    return Finding("N_OUTLYING_LEVELS", "caution", "outlying levels", text, remedy, values)
