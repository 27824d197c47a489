"""The inverse-Wishart prior of a covariance: ``inv_wishart(df, scale)``, or with one scale for each coefficient.

    p(Σ) ∝ |Σ|^(−(ν + k + 1)/2) exp(−½ tr ΨΣ⁻¹),    Ψ = diag(scale)

Conjugate, and what blocked Gibbs samplers need. One number ν holds for all variances, and large variances go with
strong correlations; LKJ with priors of their own for standard deviations says what one means (Barnard, McCulloch &
Meng 2000, Statistica Sinica 10). It is proper for ν > k − 1; with ν = k + 1 each correlation is uniform. For one
coefficient it is sd² ~ inv_gamma(ν/2, scale/2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ...errors import SettingError
from ..base import refused
from ..terms import TermPrior
from .base import CovariancePrior


@dataclass(frozen=True)
class InvWishart(CovariancePrior):
    """Σ ~ IW(df, diag(scale)); one scale serves all coefficients."""

    df: float = 3.0
    scale: float | tuple[float, ...] = 1.0

    def of(self, k: int, eta: float) -> TermPrior:
        if not self.df > k - 1:
            raise refused(self.name, "df", self.df, f"above {k - 1}, as {k} coefficients need")
        scales = self.scale if isinstance(self.scale, tuple) else (self.scale,) * k
        if len(scales) != k:
            raise SettingError(
                f"{self} has {len(scales)} scales and the term {k} coefficients",
                code="E_PRIOR",
                hint="Give one for all, or one for each coefficient.",
            )
        return InvWishartTerm(1.0, self.df, scales)


@dataclass(frozen=True)
class InvWishartTerm(TermPrior):
    """The density of Σ (k, k); `scales` is the diagonal of Ψ."""

    df: float
    scales: tuple[float, ...]

    @property
    def whole(self) -> bool:
        return True

    @property
    def psi(self) -> np.ndarray:
        """Ψ (k, k)."""
        return np.diag(np.array(self.scales))

    def of_factor(self, factor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        k, df = len(self.scales), self.df
        inverse = np.linalg.inv(factor)  # (N, k, k)
        scaled = np.sqrt(np.array(self.scales))
        traces = ((inverse * scaled) ** 2).sum(axis=(1, 2))  # tr ΨΣ⁻¹ = |L⁻¹Ψ^½|²
        log_det = np.linalg.slogdet(factor)[1]
        value = self._constant() - (df + k + 1.0) * log_det - 0.5 * traces
        turned = np.swapaxes(inverse, 1, 2)
        slopes = turned @ (inverse * np.array(self.scales)) @ turned - (df + k + 1.0) * turned
        return value, slopes

    def _constant(self) -> float:
        k, half = len(self.scales), 0.5 * self.df
        gamma = 0.25 * k * (k - 1) * math.log(math.pi) + sum(math.lgamma(half - 0.5 * j) for j in range(k))
        return half * sum(math.log(s) for s in self.scales) - half * k * math.log(2.0) - gamma

    def evaluate(self, sd: np.ndarray, sigma: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        raise NotImplementedError("a density of Σ: of_factor")

    def draw(self, n: int, sigma: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return np.sqrt(np.einsum("nkk->nk", self.draw_covariances(n, rng)))

    def draw_covariances(self, n: int, rng: np.random.Generator) -> np.ndarray:
        # Bartlett: W = AA' ~ Wishart(ν, I), A lower triangular with χ on its diagonal; Σ = Ψ^½ W⁻¹ Ψ^½
        k = len(self.scales)
        a = np.zeros((n, k, k))
        rows, cols = np.tril_indices(k, -1)
        a[:, rows, cols] = rng.standard_normal((n, len(rows)))
        at = np.arange(k)
        a[:, at, at] = np.sqrt(rng.chisquare(self.df - at, (n, k)))
        root = np.linalg.inv(a) * np.sqrt(np.array(self.scales))
        return np.asarray(np.swapaxes(root, 1, 2) @ root)


MEMBER = InvWishart
