"""How sure James–Stein estimates are: empirical Bayes intervals after Morris.

    Var θ̂_j ≈ V_j (1 − B) + B² Var μ̂ + 2/(k − 3) · B² (ȳ_j − μ̂)²

The first two terms are the posterior variance given the shrinkage B, with μ unknown; the last is the uncertainty of
B itself. James–Stein has no exact intervals; these are approximate, best for equal variances.

References: Morris (1983), JASA 78, 47-55, equations 1.16-1.17.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.shrunken import Shrinkage
from .estimates import Certainty, Combination, Spread
from .least_squares import chi_square_interval


class ShrunkenCertainty(Certainty):
    """Around shrunken means.

    Parameters
    ----------
    shrinkage : Shrinkage
    precision : (k,) sums of row weights; V_j = sigma2/precision_j
    sigma2, df : residual variance (1 when known) and its degrees of freedom (inf when known)
    """

    def __init__(self, shrinkage: Shrinkage, precision: np.ndarray, sigma2: float, df: float) -> None:
        self.shrinkage, self.precision, self.sigma2, self.df = shrinkage, precision, sigma2, df
        self.k = len(precision)
        self.variances = sigma2 / precision
        omega = precision / precision.sum()
        self.mean_variance = float(omega**2 @ (self.variances + shrinkage.between))

    def beta_covariance(self) -> np.ndarray:
        return np.array([[self.mean_variance]])

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        """k − 1: the mean's variance is estimated from the spread of the k means."""
        return np.full(len(contrasts), self.k - 1.0)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        return (((1.0 - self.shrinkage.fraction) * self.variances)[:, None, None],)

    def _fraction_variance(self) -> np.ndarray:
        """What not knowing B adds to each level's variance."""
        s = self.shrinkage
        return np.asarray(2.0 / (self.k - 3) * s.fraction**2 * s.deviations**2)

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        x, code, z = rows.x[:, 0], rows.codes[0], rows.z[0][:, 0]
        keep = 1.0 - self.shrinkage.fraction
        known, new = code >= 0, code == -2
        at = code[known]
        own = keep * self.variances + (self._fraction_variance() if parameters else 0.0)
        variance = np.where(known, (x - keep * z) ** 2, x**2) * self.mean_variance
        variance[known] += z[known] ** 2 * own[at]
        variance[new] += z[new] ** 2 * self.shrinkage.between
        df = np.where(known, self.df, self.k - 1.0) if parameters else np.full(len(x), np.inf)
        return Spread(variance, df)

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        return [[(float("nan"), float("nan"))]], chi_square_interval(self.sigma2, self.df, level)

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        return [[]]

    def sd_errors(self) -> tuple[list[list[float]], float]:
        return [[float("nan")]], float(np.sqrt(self.sigma2 / (2.0 * self.df)))

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """σ from its χ², then μ and θ from the normal approximation above."""
        s = self.shrinkage
        scale = 1.0 if np.isinf(self.df) else self.df / rng.chisquare(self.df, n)
        sigma = np.sqrt(self.sigma2 * np.broadcast_to(scale, (n,)))
        beta = s.mean + np.sqrt(self.mean_variance) * rng.standard_normal((n, 1))
        sd = np.sqrt((1.0 - s.fraction) * self.variances + self._fraction_variance())
        theta = s.mean + (1.0 - s.fraction) * s.deviations + s.fraction * (beta - s.mean)
        theta = theta + sd * rng.standard_normal((n, self.k))
        covariances = [np.full((n, 1, 1), s.between)]
        return {"beta": beta, "sigma": sigma, "covariances": covariances, "effects": [(theta - beta)[:, :, None]]}

    def residual_df(self) -> float:
        return self.df
