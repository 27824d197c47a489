"""The groups of one factor as separate integrals, all at once, each with parameters of its own if need be.

    ℓ_g = log ∫ exp(Σ_{i∈g} ℓ_i(fixed_i + z̃_i'u)) N(u; 0, I) du,    z̃_i = z_iΛ_g

by Laplace's approximation, or by adaptive Gauss–Hermite quadrature around each group's mode û_g with its curvature H_g.

References: Pinheiro & Bates (1995), JCGS 4; Liu & Pierce (1994), Biometrika 81.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..families.base import Derivatives, Distribution, Observations
from .cubature import log_mean_exp, product_rule
from .mode import positive_part

MOST_STEPS = 60
TOLERANCE = 1e-12
NODES = {1: (15,), 2: (9, 9), 3: (5, 5, 5), 4: (3, 3, 3, 3), 5: (3, 3, 3, 3, 3)}  # three are of second order


@dataclass(frozen=True, eq=False)
class Panels:
    """Rows in groups.

    Parameters
    ----------
    distribution, observations : of the rows
    z : (n, k) columns times Λ;  owner : (k,) predictor of each column
    codes : (n,) group of each row;  groups : their number
    prior : whether u has its standard normal distribution; without it the modes are maximum likelihood
    """

    distribution: Distribution
    observations: Observations
    z: np.ndarray
    owner: np.ndarray
    codes: np.ndarray
    groups: int
    prior: bool = True

    @property
    def k(self) -> int:
        return self.z.shape[1]

    def total(self, values: np.ndarray) -> np.ndarray:
        """Sums of rows' values by group."""
        return np.bincount(self.codes, values, self.groups)

    def eta(self, fixed: np.ndarray, u: np.ndarray) -> np.ndarray:
        """(n, m) linear predictors at the groups' u (groups, k)."""
        out = fixed.copy()
        for a in range(self.k):
            out[:, self.owner[a]] += self.z[:, a] * u[self.codes, a]
        return out

    def scores(self, first: np.ndarray) -> np.ndarray:
        """Σ z̃_i ∂ℓ_i by group, (groups, k)."""
        parts = [self.total(self.z[:, a] * first[:, self.owner[a]]) for a in range(self.k)]
        return np.stack(parts, axis=1) if parts else np.zeros((self.groups, 0))

    def information(self, w: np.ndarray) -> np.ndarray:
        """Σ z̃_i W_i z̃_i' by group, with the prior's identity, (groups, k, k)."""
        out = np.zeros((self.groups, self.k, self.k))
        for a in range(self.k):
            for b in range(a + 1):
                part = self.total(self.z[:, a] * self.z[:, b] * w[:, self.owner[a], self.owner[b]])
                out[:, a, b] = out[:, b, a] = part
        return out + np.eye(self.k) if self.prior else out

    def crossed(self, w: np.ndarray, x: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """Σ z̃_i W_i x_i' by group, (groups, k, p)."""
        out = np.zeros((self.groups, self.k, x.shape[1]))
        for a in range(self.k):
            for j in range(x.shape[1]):
                out[:, a, j] = self.total(self.z[:, a] * w[:, self.owner[a], owner[j]] * x[:, j])
        return out

    def height(self, value: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Σ ℓ_i − ½u'u by group."""
        out = self.total(value)
        return out - 0.5 * (u**2).sum(axis=1) if self.prior else out

    # --- modes ---------------------------------------------------------------------------------------------------
    def modes(self, fixed: np.ndarray, start: np.ndarray | None = None) -> tuple[np.ndarray, Derivatives]:
        """û of every group by Newton's method with step halving, and the derivatives (order 2) there."""
        u = np.zeros((self.groups, self.k)) if start is None else start.copy()
        at = self._at(fixed, u)
        height = self.height(at.value, u)
        if start is not None and not np.isfinite(height).all():
            return self.modes(fixed)
        for _ in range(MOST_STEPS if self.k else 0):
            assert at.first is not None
            assert at.second is not None
            pull = self.scores(at.first) - (u if self.prior else 0.0)
            step = self._step(at.second, pull)
            decrement = (step * pull).sum(axis=1)
            if not np.any(decrement > TOLERANCE * (1.0 + np.abs(height))):
                break
            u, at, height, moved = self._search(fixed, u, step, height)
            if not moved:
                break
        return u, at

    def _at(self, fixed: np.ndarray, u: np.ndarray) -> Derivatives:
        with np.errstate(all="ignore"):
            return self.distribution.derivatives(self.observations, self.eta(fixed, u), 2)

    def _step(self, w: np.ndarray, pull: np.ndarray) -> np.ndarray:
        information = self.information(w)
        bad = ~(np.linalg.eigvalsh(information)[:, 0] > 0.0)
        if bad.any():
            information[bad] = self.information(positive_part(w))[bad]
        return solve(information, pull)

    def _search(self, fixed, u, step, height):  # type: ignore[no-untyped-def]
        """Each group's own longest of the steps 1, ½, ¼, … that does not lower its height."""
        size = np.ones(self.groups)
        slack = 1e-13 * (1.0 + np.abs(height))
        for _ in range(30):
            trial = u + size[:, None] * step
            at = self._at(fixed, trial)
            found = self.height(at.value, trial)
            worse = ~(found >= height - slack)
            if not worse.any():
                return trial, at, found, True
            size[worse] *= 0.5
        size[worse] = 0.0
        trial = u + size[:, None] * step
        at = self._at(fixed, trial)
        return trial, at, self.height(at.value, trial), bool((size > 0.0).any())

    # --- integrals -----------------------------------------------------------------------------------------------
    def log_integrals(self, fixed: np.ndarray, u: np.ndarray, at: Derivatives, exact: bool = True) -> np.ndarray:
        """ℓ_g of every group around its mode; Laplace's value where not `exact` or with more than five effects."""
        assert at.second is not None
        information = self.information(at.second)
        log_det = np.linalg.slogdet(information)[1] if self.k else np.zeros(self.groups)
        if not exact or self.k not in NODES:
            return np.asarray(self.height(at.value, u) - 0.5 * log_det)
        nodes, weights = product_rule(NODES[self.k])
        root = np.linalg.inv(np.linalg.cholesky(information)).transpose(0, 2, 1)
        parts = np.empty((len(nodes), self.groups))
        with np.errstate(all="ignore"):
            for j, t in enumerate(nodes):
                near = u + root @ t
                value = self.distribution.log_density(self.observations, self.eta(fixed, near))
                parts[j] = self.height(value, near) + 0.5 * float(t @ t)
        parts = np.where(np.isnan(parts), -np.inf, parts)
        return np.asarray(log_mean_exp(parts, np.log(weights)) - 0.5 * log_det)


def solve(blocks: np.ndarray, right: np.ndarray) -> np.ndarray:
    """blocks⁻¹ right for (J, k, k) and (J, k) or (J, k, s); blocks without an inverse give NaN."""
    columns = right[:, :, None] if right.ndim == 2 else right
    try:
        out = np.linalg.solve(blocks, columns)
    except np.linalg.LinAlgError:
        out = np.full(columns.shape, np.nan)
        for i, (block, column) in enumerate(zip(blocks, columns, strict=True)):
            try:
                out[i] = np.linalg.solve(block, column)
            except np.linalg.LinAlgError:
                continue
    return out[:, :, 0] if right.ndim == 2 else out
