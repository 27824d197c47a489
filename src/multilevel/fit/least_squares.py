"""How sure a least-squares fit is: the `Certainty` of complete pooling, no pooling and the within estimator.

    t = c'(β̂ − β) / (σ̂ √c'Vc)  ~  t(ν),      ν σ̂²/σ²  ~  χ²(ν)

exactly, for normal errors; with known standard errors σ = 1 and the statistics are normal. The standard deviations
of group terms are descriptive here (estimated coefficients, sampling noise included), so they get no interval.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.linear import LinearFit, gaussian_log_likelihood
from ..core.projection import log_weights, n_observations
from ..errors import IdentifiabilityError
from ..formula.design import Design
from .estimates import Certainty, Combination, Estimates, Spread, correlation_pairs


class LeastSquaresCertainty(Certainty):
    """Around a linear fit.

    Parameters
    ----------
    fit : LinearFit
    beta, effects, covariances : the estimates themselves (for draws)
    sigma2 : residual variance (1 when the rows carry their standard errors)
    df : its degrees of freedom, inf when it is known
    """

    def __init__(
        self,
        fit: LinearFit,
        beta: np.ndarray,
        effects: Sequence[np.ndarray],
        covariances: Sequence[np.ndarray],
        sigma2: float,
        df: float,
    ) -> None:
        self.linear, self.beta, self.effects, self.covariances = fit, beta, tuple(effects), tuple(covariances)
        self.sigma2, self.df = sigma2, df

    def beta_covariance(self) -> np.ndarray:
        return self.sigma2 * self.linear.beta_covariance()

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        return np.full(len(contrasts), self.df)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        """Sampling covariance of each level's effects (nothing is random but the errors)."""
        return tuple(self.sigma2 * c for c in self.linear.effect_covariances())

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        variance = self.linear.variance(rows.x, rows.codes, rows.z)
        with np.errstate(invalid="ignore"):
            variance = np.where(np.isinf(variance), np.inf, self.sigma2 * variance)
        return Spread(variance, np.full(len(variance), self.df if parameters else np.inf))

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        nan = (float("nan"), float("nan"))
        return [[nan] * len(c) for c in self.covariances], chi_square_interval(self.sigma2, self.df, level)

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        nan = (float("nan"), float("nan"))
        return [[nan] * len(correlation_pairs(len(c))) for c in self.covariances]

    def sd_errors(self) -> tuple[list[list[float]], float]:
        terms = [[float("nan")] * len(c) for c in self.covariances]
        return terms, float(np.sqrt(self.sigma2 / (2.0 * self.df))) if self.df > 0 else float("nan")

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """σ² from ν σ̂²/χ²(ν), then (β, b) normal around the estimates: the posterior under the flat prior."""
        scale = 1.0 if np.isinf(self.df) else self.df / rng.chisquare(self.df, n)
        sigma = np.sqrt(self.sigma2 * np.broadcast_to(scale, (n,)))
        beta = np.empty((n, len(self.beta)))
        effects = [np.empty((n, *e.shape)) for e in self.effects]
        for i in range(n):
            noise, moves = self.linear.noise(rng)
            beta[i] = self.beta + sigma[i] * noise
            for out, estimate, move in zip(effects, self.effects, moves, strict=True):
                out[i] = estimate + sigma[i] * move
        covariances = [np.broadcast_to(c, (n, *c.shape)).copy() for c in self.covariances]
        return {"beta": beta, "sigma": sigma, "covariances": covariances, "effects": effects}

    def residual_df(self) -> float:
        return self.df


def chi_square_interval(variance: float, df: float, level: float) -> tuple[float, float]:
    """Exact interval of a standard deviation: σ̂ √(ν/χ²) at both tails."""
    from scipy.special import gammaincinv

    sd = float(np.sqrt(variance))
    if np.isinf(df):
        return sd, sd
    if not df > 0.0:
        return float("nan"), float("nan")
    low, high = (2.0 * float(gammaincinv(df / 2.0, 0.5 + side * level / 2.0)) for side in (-1.0, 1.0))
    return sd * float(np.sqrt(df / high)), sd * float(np.sqrt(df / low))


def least_squares_estimates(
    design: Design,
    linear: LinearFit,
    beta: np.ndarray,
    effects: Sequence[np.ndarray],
    rss: float,
    rank: int,
    warnings: Sequence[Any] = (),
    notes: Mapping[str, Any] | None = None,
) -> Estimates:
    """Estimates of a regression with `rank` coefficients, group coefficients among them; covariances are descriptive.

    Raises
    ------
    IdentifiabilityError
        When the rows leave nothing for the residual variance.
    """
    known = design.known_se is not None
    n = n_observations(design)
    df = float("inf") if known else n - rank
    if not df > 0:
        raise IdentifiabilityError(
            f"{n:g} rows leave no residual degrees of freedom beside {rank} coefficients",
            code="E_NO_RESIDUAL_DF",
            hint="Use fewer coefficients by group, give known standard errors with se(), or pool partially (reml).",
        )
    sigma2 = 1.0 if known else rss / df
    covariances = tuple(descriptive_covariance(e) for e in effects)
    return Estimates(
        criterion="weighted residual sum of squares" if known else "residual sum of squares",
        beta=beta,
        sigma=None if known else float(np.sqrt(sigma2)),
        covariances=covariances,
        effects=tuple(effects),
        log_likelihood=gaussian_log_likelihood(rss, n, log_weights(design), known),
        objective=rss,
        n_parameters=rank + int(not known),
        certainty=LeastSquaresCertainty(linear, beta, effects, covariances, sigma2, df),
        warnings=tuple(warnings),
        notes={"rank": rank, "df_residual": df, **(notes or {})},
    )


def descriptive_covariance(effects: np.ndarray) -> np.ndarray:
    """Sample covariance (over J − 1) of the coefficients of the levels that have them; zeros for a single level."""
    used = effects[~np.isnan(effects).any(axis=1)]
    if len(used) < 2:
        return np.zeros((effects.shape[1], effects.shape[1]))
    centred = used - used.mean(axis=0)
    return np.asarray(centred.T @ centred / (len(used) - 1))
