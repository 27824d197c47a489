"""Shrinkage of k independent means towards their precision-weighted mean.

    ȳ_j ~ N(θ_j, V_j),    θ̂_j = μ̂ + (1 − B)(ȳ_j − μ̂),    μ̂ = Σ(ȳ_j/V_j) / Σ(1/V_j)

    B = min(1, c (k − 3) / S),   S = Σ (ȳ_j − μ̂)²/V_j,   c = ν/(ν + 2) for V_j estimated on ν degrees of freedom

the positive-part James–Stein estimator towards the mean. With unequal variances every mean is shrunk by the same
fraction (the standardised form, minimax under the loss weighted by 1/V_j); empirical Bayes shrinks noisy means more.

References: Efron & Morris (1975), JASA 70, 311-319, for the form towards the mean, k − 3 and c;
Brown (2008), Ann. Appl. Stat. 2, and Xie, Kou & Brown (2012), JASA 107, 1465-1479, section 2, for unequal variances.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 4  # k − 3 must be positive


@dataclass(frozen=True)
class Shrinkage:
    """fraction B;  mean μ̂;  deviations ȳ_j − μ̂;  statistic S;  between: the variance of θ that B implies."""

    fraction: float
    mean: float
    deviations: np.ndarray
    statistic: float
    between: float


def james_stein(means: np.ndarray, precision: np.ndarray, sigma2: float, df: float) -> Shrinkage:
    """Shrinkage of `means` with V_j = sigma2/precision_j, sigma2 estimated on `df` degrees of freedom (inf: known).

    The between variance is the τ² with E S = (k − 1)(1 + τ²/Ṽ) ~ (k − 1)/B, 1/Ṽ = (Σ1/V − Σ1/V²/Σ1/V)/(k − 1);
    for equal variances τ²/(τ² + V) = 1 − B.
    """
    k, total = len(means), precision.sum()
    mean = float(precision @ means / total)
    mean += float(precision @ (means - mean) / total)
    deviations = means - mean
    spread = float(precision @ deviations**2)
    c = 1.0 if np.isinf(df) else df / (df + 2.0)
    noise = c * (k - 3) * sigma2
    typical = float((total - float(precision @ precision) / total) / (k - 1))
    if spread <= noise:
        statistic = spread / sigma2 if sigma2 > 0.0 else 0.0
        return Shrinkage(1.0, mean, deviations, statistic, 0.0)
    statistic = spread / sigma2 if sigma2 > 0.0 else np.inf
    between = float(spread / (c * (k - 3)) - sigma2) / float(typical)
    return Shrinkage(noise / spread, mean, deviations, statistic, between)
