"""Covariance of coefficients that vary by level: Swamy's moment estimator, with group-level predictors.

    γ̂_ℓ = U_ℓ β + b_ℓ + e_ℓ,    Cov b_ℓ = Σ,    Cov e_ℓ = σ² A_ℓ⁻¹ (+ what estimated common slopes add)
    E Σ_ℓ r_ℓ r_ℓ' = 𝓜(Σ + σ² A_ℓ⁻¹),    r the residuals of γ̂ on U

γ̂_ℓ are the level's own least-squares coefficients and 𝓜 the linear map of covariances through the residuals, solved
for Σ. When the fixed part holds the same columns as the group term, U_ℓ = I and this is Swamy's

    Σ̂ = Σ (γ̂_ℓ − γ̄)(γ̂_ℓ − γ̄)'/(J − 1) − σ² Σ A_ℓ⁻¹/J.

A difference of covariances need not be positive semidefinite: negative eigenvalues, relative to the mean sampling
covariance so that the units of the columns do not matter, are set to zero.

References: Swamy (1970), Econometrica 38, 311-323.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import IdentifiabilityError


@dataclass(frozen=True)
class LevelCoefficients:
    """Of the J levels that can be fitted, in any common coordinates.

    gamma : (J, k);  u : (J, k, s) coefficients of the absorbed fixed columns;  unscaled : A_ℓ⁻¹ (J, k, k)
    h : (J, k, c) coefficients of the common columns;  common : (c, c) Cov(β̂_c)/σ²
    """

    gamma: np.ndarray
    u: np.ndarray
    unscaled: np.ndarray
    h: np.ndarray
    common: np.ndarray


def swamy(levels: LevelCoefficients, sigma2: float) -> np.ndarray:
    """The moment estimate of Σ, before projection.

    Raises
    ------
    IdentifiabilityError
        When too few levels can be fitted to determine it.
    """
    residuals = _Residuals(levels.u)
    r = residuals.of(levels.gamma)
    moved = residuals.of_columns(levels.h)
    noise = residuals.moment(sigma2 * levels.unscaled)
    noise = noise + sigma2 * np.einsum("lic,cd,ljd->ij", moved, levels.common, moved)
    target = np.einsum("li,lj->ij", r, r) - noise
    k = levels.gamma.shape[1]
    pairs = [(i, j) for i in range(k) for j in range(i + 1)]
    system = np.empty((len(pairs), len(pairs)))
    for column, (i, j) in enumerate(pairs):
        unit = np.zeros((k, k))
        unit[i, j] = unit[j, i] = 1.0
        image = residuals.moment(np.broadcast_to(unit, levels.unscaled.shape))
        system[:, column] = [image[a, b] for a, b in pairs]
    if np.linalg.matrix_rank(system, tol=1e-8 * len(levels.gamma)) < len(pairs):
        raise IdentifiabilityError(
            f"{len(levels.gamma)} levels with coefficients of their own cannot determine a {k}×{k} covariance beside "
            f"{levels.u.shape[2]} fixed effects",
            code="E_UNFIT_GROUPS",
            hint="Use reml, which does not need a regression in every level, or fewer coefficients.",
        )
    solved = np.linalg.solve(system, [target[a, b] for a, b in pairs])
    out = np.empty((k, k))
    for value, (i, j) in zip(solved, pairs, strict=True):
        out[i, j] = out[j, i] = value
    return out


class _Residuals:
    """The residual map of the stacked regression on U."""

    def __init__(self, u: np.ndarray) -> None:
        self.u = u
        self.q = np.linalg.pinv(np.einsum("lis,lit->st", u, u)) if u.shape[2] else np.zeros((0, 0))

    def of(self, gamma: np.ndarray) -> np.ndarray:
        return self.of_columns(gamma[:, :, None])[:, :, 0]

    def of_columns(self, columns: np.ndarray) -> np.ndarray:
        beta = self.q @ np.einsum("lis,lic->sc", self.u, columns)
        return np.asarray(columns - self.u @ beta)

    def moment(self, omega: np.ndarray) -> np.ndarray:
        """𝓜(Ω) = Σ_ℓ Cov(r_ℓ) for independent vectors with covariances Ω_ℓ."""
        hat = self.u @ self.q @ self.u.transpose(0, 2, 1)
        across = np.einsum("lij,ljk->ik", hat, omega)
        middle = np.einsum("lis,lij,ljt->st", self.u, omega, self.u)
        spread = np.einsum("lis,st,tv,vw,ljw->ij", self.u, self.q, middle, self.q, self.u, optimize=True)
        return np.asarray(omega.sum(axis=0) - across - across.T + spread)


def semidefinite(covariance: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, bool]:
    """The covariance with negative eigenvalues relative to `noise` set to zero, and whether there were any."""
    factor = np.linalg.cholesky(noise)
    half = np.linalg.solve(factor, covariance)
    values, vectors = np.linalg.eigh(np.linalg.solve(factor, half.T))
    if values[0] > 0.0:
        return covariance, False
    root = factor @ (vectors * np.sqrt(np.maximum(values, 0.0)))
    return np.asarray(root @ root.T), True
