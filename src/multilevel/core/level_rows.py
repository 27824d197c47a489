"""The rows of one grouping factor, sorted by level, at many parameter points and effects at once.

Points are rows of φ = (λ row by row, c); effects are standard ones, η = offset + Xc + Zλu.
"""

from __future__ import annotations

import numpy as np

from ..families.base import Observations
from .laplace import Laplace


class Densities:
    """Log densities, and derivatives, of whole copies of the rows in a given order."""

    def __init__(self, criterion: Laplace, order: np.ndarray) -> None:
        self.criterion, self.order = criterion, order
        self.n = len(order)
        self.copies = 0
        self.obs: Observations | None = None
        self.numbers: tuple[np.ndarray, ...] = ()

    def __call__(self, eta: np.ndarray) -> np.ndarray:
        """ℓ (copies · n,) at linear predictors (copies · n, m)."""
        if self.criterion.terms.code >= 0:
            return self._compiled(eta)[0]
        return np.asarray(self.criterion.distribution.log_density(self._observations(eta), eta))

    def derivatives(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """ℓ, ∂ℓ (·, m) and −∂²ℓ (·, m, m)."""
        if self.criterion.terms.code >= 0:
            value, first, second = self._compiled(eta)
            return value, first[:, None], second[:, None, None]
        at = self.criterion.distribution.derivatives(self._observations(eta), eta, 2)
        assert at.first is not None
        assert at.second is not None
        return at.value, at.first, at.second

    def _compiled(self, eta: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self._tile(len(eta))
        terms = self.criterion.terms
        y, size, constants = (a[: len(eta)] for a in self.numbers)
        value, first, second, third = (np.empty(len(eta)) for _ in range(4))
        terms.kernels.fill_terms(
            terms.code, y, size, np.ascontiguousarray(eta[:, 0]), value, first, second, third
        )  # fmt: skip
        return value + constants, first, second

    def _observations(self, eta: np.ndarray) -> Observations:
        self._tile(len(eta))
        assert self.obs is not None
        return self.obs if len(eta) == self.copies * self.n else self.obs.take(slice(0, len(eta)))

    def _tile(self, count: int) -> None:
        if count <= self.copies * self.n:
            return
        self.copies = count // self.n
        index, terms = np.tile(self.order, self.copies), self.criterion.terms
        if terms.code >= 0:
            self.numbers = terms.y[index], terms.size[index], terms.constants[index]
        else:
            self.obs = self.criterion.rows.observations.take(index)


class LevelRows:
    """Sums over the levels of a criterion's only factor."""

    def __init__(self, criterion: Laplace) -> None:
        rows = criterion.rows
        (factor,) = rows.factors
        self.criterion = criterion
        self.n, self.levels, self.k, self.m = rows.n, factor.n_levels, factor.k, rows.m
        self.order = np.argsort(factor.codes, kind="stable")
        counts = np.bincount(factor.codes, minlength=factor.n_levels)
        self.seen = np.flatnonzero(counts)
        self.begin = np.concatenate([[0], np.cumsum(counts[self.seen])])[:-1]
        self.codes = factor.codes[self.order]
        self.z = factor.z[self.order]
        self.owner = [rows.latent[o] for o in factor.owner]
        self.x = [np.ascontiguousarray(x[self.order]) for x in rows.x]
        self.offsets = rows.offsets[self.order]
        self.densities = Densities(criterion, self.order)

    def lam(self, phi: np.ndarray) -> np.ndarray:
        """λ of the factor (N, k, k): its terms' along the diagonal."""
        out = np.zeros((len(phi), self.k, self.k))
        for t, a, b in self.criterion.rows.factors[0].terms:
            out[:, a:b, a:b] = phi[:, self.criterion.slices[t]].reshape(-1, b - a, b - a)
        return out

    def fixed(self, phi: np.ndarray) -> np.ndarray:
        """Linear predictors without effects, (N, n, m)."""
        c = phi[:, self.criterion.n_theta :]
        out = np.empty((len(phi), self.n, self.m))
        for d, (x, place) in enumerate(zip(self.x, self.criterion.rows.places, strict=True)):
            out[:, :, d] = c[:, place] @ x.T + self.offsets[:, d]
        return out

    def sums(self, by_row: np.ndarray) -> np.ndarray:
        """Sums over each level of (N, n, …): (N, levels, …)."""
        out = np.zeros((by_row.shape[0], self.levels, *by_row.shape[2:]))
        out[:, self.seen] = np.add.reduceat(by_row, self.begin, axis=1)
        return out

    def placed(self, lam: np.ndarray, fixed: np.ndarray, u: np.ndarray) -> np.ndarray:
        """η (N, n, m) at effects (N, levels, k)."""
        b = u @ np.swapaxes(lam, 1, 2)
        eta = fixed.copy()
        for a, d in enumerate(self.owner):
            eta[:, :, d] += self.z[:, a] * b[:, self.codes, a]
        return eta

    def densities_at(self, lam: np.ndarray, fixed: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Σ ℓ over the rows of each level, (N, levels)."""
        eta = self.placed(lam, fixed, u)
        return self.sums(self.densities(eta.reshape(-1, self.m)).reshape(len(u), self.n))

    def derivatives(
        self, lam: np.ndarray, fixed: np.ndarray, u: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """h = −Σℓ + ½u'u by level (N, levels), its negative gradient (·, k) and its curvature H (·, k, k)."""
        eta = self.placed(lam, fixed, u)
        value, first, second = self.densities.derivatives(eta.reshape(-1, self.m))
        shape = (len(u), self.n)
        h = 0.5 * (u * u).sum(axis=2) - self.sums(value.reshape(shape))
        pull = np.stack(
            [self.sums(self.z[:, a] * first[:, d].reshape(shape)) for a, d in enumerate(self.owner)], axis=-1
        )
        gram = np.empty((*h.shape, self.k, self.k))
        for a, d in enumerate(self.owner):
            for b, e in enumerate(self.owner[: a + 1]):
                gram[..., a, b] = self.sums(self.z[:, a] * self.z[:, b] * second[:, d, e].reshape(shape))
                gram[..., b, a] = gram[..., a, b]
        across = lam[:, None]
        information = np.swapaxes(across, 2, 3) @ gram @ across + np.eye(self.k)
        return np.where(np.isfinite(h), h, np.inf), pull @ lam - u, information
