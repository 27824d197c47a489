"""How sure moment estimates are: the machinery of mixed models, with Morris's correction for one scalar factor.

Standard errors and degrees of freedom come from the restricted likelihood around the moment estimates (which are its
maximum in balanced designs). For the levels of a single factor with one coefficient each, the variance of x'β̂ + z'b̂
is the conditional one plus `core.morris.extra_variance`, on the degrees of freedom of σ²; new levels and several
factors follow Kackar & Harville (1984) with Satterthwaite's degrees of freedom, as for REML.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..core.information import unscaled_beta_covariance
from ..core.likelihood import State
from ..core.morris import extra_variance
from .estimates import Certainty, Combination, Spread
from .least_squares import chi_square_interval
from .mixed import MixedCertainty


class MomentsCertainty(Certainty):
    """Around moment estimates.

    Parameters
    ----------
    mixed : MixedCertainty
        Of the restricted likelihood, its state holding the moment estimate of σ².
    df : degrees of freedom of σ², inf when it is known
    """

    def __init__(self, mixed: MixedCertainty, df: float) -> None:
        self.mixed, self.df = mixed, df

    def beta_covariance(self) -> np.ndarray:
        return self.mixed.beta_covariance()

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        return self.mixed.contrast_df(contrasts)

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        profiled = self.mixed.information.restore().sigma2
        ratio = self.mixed.state.sigma2 / profiled
        return tuple(ratio * c for c in self.mixed.effect_covariances())

    def covariance(self, rows: Combination) -> np.ndarray:
        return self.mixed.covariance(rows)

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        extra = self._extra
        if not parameters or extra is None:
            return self.mixed.spread(rows, parameters)
        code, z = rows.codes[0], rows.z[0][:, 0]
        known = code >= 0
        variance, df = np.empty(len(code)), np.empty(len(code))
        if known.any():
            conditional = self.mixed.spread(_subset(rows, known), False).variance
            variance[known] = conditional + z[known] ** 2 * extra[code[known]]
            df[known] = self.df
        if not known.all():
            other = self.mixed.spread(_subset(rows, ~known), True)
            variance[~known], df[~known] = other.variance, other.df
        return Spread(variance, df)

    @cached_property
    def _extra(self) -> np.ndarray | None:
        """Morris's additional variance of each level's coefficient; None where it does not apply."""
        products, state = self.mixed.products, self.mixed.state
        if len(products.factors) != 1 or products.factors[0].k != 1:
            return None
        factor, p = products.factors[0], products.p
        precision, cross = factor.gram[:, 0, 0], factor.cross[:, 0]
        u = cross[:, :p] / precision[:, None]
        rank = _rank(u)
        if len(precision) - rank < 3 or not np.all(precision > 0.0):
            return None
        assert state.solution is not None
        deviations = (cross[:, p] - cross[:, :p] @ state.solution.beta) / precision
        variances = state.sigma2 / precision
        tau2 = state.sigma2 * float(state.lam[0][0, 0]) ** 2
        of_mean = state.sigma2 * np.einsum("lp,pq,lq->l", u, self._unscaled_beta, u)
        leverage = np.minimum(of_mean / (variances + tau2), 1.0)
        scale = self.mixed.unit * float(products.to_effects[factor.terms[0][0]][0, 0])
        return scale**2 * extra_variance(variances, tau2, leverage, deviations, rank)

    @cached_property
    def _unscaled_beta(self) -> np.ndarray:
        self.mixed.information.restore()
        return unscaled_beta_covariance(self.mixed.likelihood)

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        """Of the terms from the restricted likelihood; of the residual one from its χ²."""
        terms, _ = self.mixed.sd_intervals(level)
        return terms, chi_square_interval(self.mixed.state.sigma2 * self.mixed.unit**2, self.df, level)

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        return self.mixed.correlation_intervals(level)

    def sd_errors(self) -> tuple[list[list[float]], float]:
        terms, _ = self.mixed.sd_errors()
        return terms, float(np.sqrt(self.mixed.state.sigma2 / (2.0 * self.df))) * self.mixed.unit

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        return self.mixed.draw(n, rng)

    def residual_df(self) -> float:
        return self.df


def _rank(u: np.ndarray) -> int:
    """Fixed effects that differ between levels (or are their mean)."""
    size = np.linalg.norm(u, axis=0)
    unit = u[:, size > 1e-10 * max(float(size.max(initial=0.0)), 1e-300)]
    return int(np.linalg.matrix_rank(unit / np.linalg.norm(unit, axis=0), tol=1e-8)) if unit.size else 0


def _subset(rows: Combination, which: np.ndarray) -> Combination:
    return Combination(rows.x[which], tuple(c[which] for c in rows.codes), tuple(z[which] for z in rows.z))


def with_sigma2(state: State, sigma2: float) -> State:
    """The state with the moment estimate of σ² in place of the profiled one."""
    return State(state.theta, state.value, sigma2, state.solution, state.lam)
