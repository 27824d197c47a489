"""What an estimator hands over: point estimates, and how sure it is of them.

Everything that users see (tables, summaries, predictions, JSON) is made from these two records in `fit.py`, so
that each estimator is one file that returns them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .sample import Sample
    from .sensitivity import Sensitivity


@dataclass(frozen=True)
class Combination:
    """Linear combinations x'β + Σ_t z_t'b_t[level], one a row.

    Parameters
    ----------
    x : (m, p)
    codes : per term (m,), the level; -1 leaves that term out, -2 is a new level drawn from the population
    z : per term (m, k)
    """

    x: np.ndarray
    codes: tuple[np.ndarray, ...]
    z: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Spread:
    """Variance of each combination, and the degrees of freedom of that variance (inf when it is known)."""

    variance: np.ndarray
    df: np.ndarray


class Certainty(ABC):
    """How sure an estimator is. Computed when asked for: small fits never pay for it."""

    @abstractmethod
    def beta_covariance(self) -> np.ndarray:
        """Covariance of the fixed effects, (p, p); NaN in the rows of dropped columns."""

    @abstractmethod
    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        """Degrees of freedom of c'β̂ for each row of `contrasts` (m, p)."""

    @abstractmethod
    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        """Conditional covariance of the group effects given the parameters, per term (L, k, k)."""

    @abstractmethod
    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        """Variance of x'β + z'b around its estimate.

        `parameters` carries the uncertainty of the variance components too (as extra variance and finite df).
        """

    def covariance(self, rows: Combination) -> np.ndarray:
        """Covariance of several x'β + z'b around their estimates, given the variance components, (m, m).

        Raises
        ------
        SettingError
            Where the estimator has no joint distribution of β and b.
        """
        from ..errors import SettingError

        raise SettingError(
            "this estimator has no joint distribution of coefficients and group effects",
            hint='Fit with "reml", "ml" or "moments".',
        )

    @abstractmethod
    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        """Intervals of the standard deviations: per term and coefficient, and of the residual one."""

    @abstractmethod
    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        """Per term, intervals of the correlations in the order (1,0), (2,0), (2,1), …"""

    @abstractmethod
    def sd_errors(self) -> tuple[list[list[float]], float]:
        """Standard errors of the standard deviations: per term and coefficient, and of the residual one."""

    def constants(self, level: float) -> Mapping[str, tuple[float, float, float, float]]:
        """Constants of the family on their natural scale: name → (estimate, standard error, lower, upper)."""
        return {}

    @property
    def sample(self) -> Sample | None:
        """The draws of a sampler, of Bayesian fits; None for approximations of likelihood fits."""
        return None

    @property
    def sensitivity(self) -> Sensitivity | None:
        """How the estimates move with the parameters, of generalized models; None where that is not known."""
        return None

    @property
    def hessian(self) -> np.ndarray | None:
        """What a saved fit keeps so that standard errors are found again to the last digit; None where all is exact."""
        return None

    def restored(self, hessian: np.ndarray | None, profiles: bool) -> Certainty:
        """The same with the Hessian that was kept, and intervals of the kind that they were."""
        return self

    def effect_variance(self, rows: Combination) -> np.ndarray:
        """Var(z'(b − b̂)) given all parameters; x is not looked at, and new levels add z'Σz.

        Raises
        ------
        SettingError
            Where the estimator has no conditional distribution of b.
        """
        from ..errors import SettingError

        raise SettingError(
            "this estimator has no conditional distribution of group effects",
            hint='Fit with "laplace", "reml" or "ml".',
        )

    @abstractmethod
    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """Draws from the approximate joint distribution: beta (n, p), sigma (n,), covariances and effects per term.

        Generalized models have `constants`, name → (n,), in place of sigma.
        """

    def residual_df(self) -> float:
        """Degrees of freedom of the residual variance."""
        return float("inf")

    @property
    def profiles(self) -> bool:
        """Whether intervals of standard deviations come from the profile likelihood."""
        return False


@dataclass(frozen=True)
class Estimates:
    """Point estimates in the units of the data.

    Parameters
    ----------
    criterion : str
        What `objective` is: ``"REML criterion"``, ``"deviance"``, ``"residual sum of squares"``.
    beta : (p,), NaN for columns dropped as redundant
    sigma : float or None
        Residual standard deviation; None when every row's standard error is known.
    covariances, effects :
        Per group term Cov(b_ℓ) (k, k) and the conditional modes (L, k).
    log_likelihood : float
        Restricted for REML; NaN where the estimator has none.
    dispersion : mapping
        Parameters of the family that are constants (shape, phi, zi, …), on their natural scale.
    boundary : tuple of str
        Groups with a variance of zero or a correlation of ±1.
    """

    criterion: str
    beta: np.ndarray
    sigma: float | None
    covariances: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    log_likelihood: float
    objective: float
    n_parameters: int
    certainty: Certainty
    converged: bool = True
    boundary: tuple[str, ...] = ()
    iterations: int = 0
    evaluations: int = 0
    scaled_gradient: float = 0.0
    warnings: tuple[Any, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    dispersion: Mapping[str, float] = field(default_factory=dict)


def correlation_pairs(k: int) -> Sequence[tuple[int, int]]:
    """(later, earlier) pairs of coefficients in the order of every correlation table."""
    return [(i, j) for i in range(k) for j in range(i)]
