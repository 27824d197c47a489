"""Covariance factors of group terms in coordinates without bounds, for many points at once.

Each block turns coordinates (N, d) into L with Σ = LL' (N, k, k), and derivatives by L into derivatives by the
coordinates. Standard deviations enter by their logarithms. Correlations enter by the partial correlations of a
canonical vine, r = tanh(x): every x is a correlation matrix, and LKJ's density is a product over the x.

    L_ij = sd_i r_ij Π_{m<j} (1 − r_im²)^½,    L_ii = sd_i Π_{m<i} (1 − r_im²)^½
    LKJ(η):  log p(x) = Σ_{i>j} (η + (k − 2 − j)/2) log(1 − r_ij²) + constant      (j from 0, Jacobian included)

Reference: Lewandowski, Kurowicka & Joe (2009), J. Multivariate Analysis 100.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache

import numpy as np

LARGEST = 18.0  # |x| beyond which tanh(x) is one


@cache
def _below(k: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns below the diagonal, row by row."""
    return np.tril_indices(k, -1)


@dataclass(frozen=True)
class Block(ABC):
    """One group term: `d` coordinates, the first `n_sds` of them log standard deviations."""

    k: int

    @property
    @abstractmethod
    def n_sds(self) -> int:
        """Number of standard deviations."""

    @property
    @abstractmethod
    def d(self) -> int:
        """Number of coordinates."""

    @abstractmethod
    def factor(self, x: np.ndarray) -> np.ndarray:
        """L (N, k, k)."""

    @abstractmethod
    def pull(self, x: np.ndarray, factor: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        """∂f/∂x (N, d) from ∂f/∂L (N, k, k)."""

    @abstractmethod
    def correlation_prior(self, x: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        """log p of the correlation coordinates under LKJ(η), and its gradient (N, d)."""

    @abstractmethod
    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        """Coordinates of a covariance (k, k), pulled inside where it is singular."""

    @abstractmethod
    def draw_correlations(self, n: int, eta: float, rng: np.random.Generator) -> np.ndarray:
        """Correlation coordinates (n, d − n_sds) drawn from LKJ(η)."""

    @property
    def log_volume(self) -> float:
        """log of the volume of the correlation matrices: LKJ(1) is one over it."""
        return 0.0

    def sds(self, x: np.ndarray) -> np.ndarray:
        """Standard deviations (N, k)."""
        return np.broadcast_to(np.exp(x[:, : self.n_sds]), (len(x), self.k))


@dataclass(frozen=True)
class Independent(Block):
    """Standard deviations alone."""

    @property
    def n_sds(self) -> int:
        return self.k

    @property
    def d(self) -> int:
        return self.k

    def factor(self, x: np.ndarray) -> np.ndarray:
        out = np.zeros((len(x), self.k, self.k))
        at = np.arange(self.k)
        out[:, at, at] = np.exp(x)
        return out

    def pull(self, x: np.ndarray, factor: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        at = np.arange(self.k)
        return np.asarray(slopes[:, at, at] * factor[:, at, at])

    def correlation_prior(self, x: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(x)), np.zeros_like(x)

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        return 0.5 * np.log(np.diag(_inside(covariance)))

    def draw_correlations(self, n: int, eta: float, rng: np.random.Generator) -> np.ndarray:
        return np.zeros((n, 0))


@dataclass(frozen=True)
class Correlated(Block):
    """Standard deviations and all correlations, by a canonical vine: x row by row, (1,0), (2,0), (2,1), …"""

    @property
    def n_sds(self) -> int:
        return self.k

    @property
    def d(self) -> int:
        return self.k * (self.k + 1) // 2

    def _parts(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Partial correlations, their (1 − r²)^½, and the products of those before each entry: (N, k, k)."""
        k, n = self.k, len(x)
        rows, cols = _below(k)
        r, s = np.zeros((n, k, k)), np.ones((n, k, k))
        turn = np.clip(x[:, k:], -LARGEST, LARGEST)
        r[:, rows, cols] = np.tanh(turn)
        s[:, rows, cols] = 1.0 / np.cosh(turn)
        before = np.ones((n, k, k))
        before[:, :, 1:] = np.cumprod(s[:, :, :-1], axis=2)
        return r, s, before

    def factor(self, x: np.ndarray) -> np.ndarray:
        if self.k == 2:  # most models, and samplers ask one point at a time
            out = np.zeros((len(x), 2, 2))
            sd, turn = np.exp(x[:, :2]), np.clip(x[:, 2], -LARGEST, LARGEST)
            out[:, 0, 0] = sd[:, 0]
            out[:, 1, 0] = sd[:, 1] * np.tanh(turn)
            out[:, 1, 1] = sd[:, 1] / np.cosh(turn)
            return out
        r, _, before = self._parts(x)
        at = np.arange(self.k)
        r[:, at, at] = 1.0
        return np.asarray(np.tril(r * before) * np.exp(x[:, : self.k])[:, :, None])

    def pull(self, x: np.ndarray, factor: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        k = self.k
        if k == 2:  # L_10 = sd r, L_11 = sd (1 − r²)^½: ∂L_10/∂x = L_11²/sd, ∂L_11/∂x = −r L_11
            out = np.empty_like(x)
            off, last = factor[:, 1, 0], factor[:, 1, 1]
            out[:, 0] = slopes[:, 0, 0] * factor[:, 0, 0]
            out[:, 1] = slopes[:, 1, 0] * off + slopes[:, 1, 1] * last
            sd = np.exp(x[:, 1])
            out[:, 2] = (slopes[:, 1, 0] * last - slopes[:, 1, 1] * off) * (last / sd)
            return out
        r, s, before = self._parts(x)
        weighted = slopes * factor
        out = np.empty_like(x)
        out[:, :k] = weighted.sum(axis=2)
        sd = np.exp(x[:, :k])
        rows, cols = _below(k)
        for place, (i, m) in enumerate(zip(rows, cols, strict=True), start=k):
            own = slopes[:, i, m] * sd[:, i] * before[:, i, m] * s[:, i, m] ** 2
            out[:, place] = own - r[:, i, m] * weighted[:, i, m + 1 : i + 1].sum(axis=1)
        return out

    def _powers(self, eta: float) -> np.ndarray:
        _, cols = _below(self.k)
        return np.asarray(eta + 0.5 * (self.k - 2 - cols))

    @property
    def log_volume(self) -> float:
        powers = self._powers(1.0)
        return sum(math.lgamma(b) - math.lgamma(b + 0.5) + 0.5 * math.log(math.pi) for b in powers)

    def correlation_prior(self, x: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        turn, powers = x[:, self.k :], self._powers(eta)
        # log(1 − tanh²) = −2 log cosh, without overflow
        size = np.abs(turn)
        log_left = -2.0 * (size + np.log1p(np.exp(-2.0 * size)) - math.log(2.0))
        constant = sum(math.lgamma(b + 0.5) - math.lgamma(b) - 0.5 * math.log(math.pi) for b in powers)
        gradient = np.zeros_like(x)
        gradient[:, self.k :] = -2.0 * powers * np.tanh(turn)
        return log_left @ powers + constant, gradient

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        inside = _inside(covariance)
        sd = np.sqrt(np.diag(inside))
        lower = np.linalg.cholesky(inside / np.outer(sd, sd))
        turns = []
        for i in range(1, self.k):
            left = 1.0
            for j in range(i):
                turns.append(math.atanh(float(np.clip(lower[i, j] / left, -0.999, 0.999))))
                left = math.sqrt(max(left**2 - lower[i, j] ** 2, 1e-12))
        return np.concatenate([np.log(sd), turns])

    def draw_correlations(self, n: int, eta: float, rng: np.random.Generator) -> np.ndarray:
        powers = self._powers(eta)
        r = 2.0 * rng.beta(powers, powers, (n, len(powers))) - 1.0
        return np.arctanh(np.clip(r, -1.0 + 1e-15, 1.0 - 1e-15))


@dataclass(frozen=True)
class Symmetric(Block):
    """Compound symmetry: one correlation ρ in (−1/(k − 1), 1), and k standard deviations or, `hom`, one."""

    hom: bool = False

    @property
    def n_sds(self) -> int:
        return 1 if self.hom else self.k

    @property
    def d(self) -> int:
        return self.n_sds + 1

    def _correlation(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        """ρ, its place in (0, 1), and the length of its interval."""
        low = -1.0 / (self.k - 1)
        place = 0.5 * (1.0 + np.tanh(0.5 * x[:, -1]))
        return low + (1.0 - low) * place, place, 1.0 - low

    def _roots(self, rho: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.sqrt(np.maximum(1.0 - rho, 1e-300)), np.sqrt(np.maximum(1.0 + (self.k - 1) * rho, 1e-300))

    def _projections(self) -> tuple[np.ndarray, np.ndarray]:
        mean = np.full((self.k, self.k), 1.0 / self.k)
        return np.eye(self.k) - mean, mean

    def factor(self, x: np.ndarray) -> np.ndarray:
        apart, mean = self._projections()
        a, b = self._roots(self._correlation(x)[0])
        return np.asarray(self.sds(x)[:, :, None] * (a[:, None, None] * apart + b[:, None, None] * mean))

    def pull(self, x: np.ndarray, factor: np.ndarray, slopes: np.ndarray) -> np.ndarray:
        apart, mean = self._projections()
        rho, place, length = self._correlation(x)
        a, b = self._roots(rho)
        out = np.empty_like(x)
        by_sd = (slopes * factor).sum(axis=2)
        out[:, : self.n_sds] = by_sd.sum(axis=1, keepdims=True) if self.hom else by_sd
        scaled = slopes * self.sds(x)[:, :, None]
        by_a, by_b = (scaled * apart).sum(axis=(1, 2)), (scaled * mean).sum(axis=(1, 2))
        by_rho = -0.5 / a * by_a + 0.5 * (self.k - 1) / b * by_b
        out[:, -1] = by_rho * length * place * (1.0 - place)
        return out

    def correlation_prior(self, x: np.ndarray, eta: float) -> tuple[np.ndarray, np.ndarray]:
        # |R| = (1 − ρ)^(k − 1) (1 + (k − 1) ρ); in the place p: 1 − ρ ∝ 1 − p, 1 + (k − 1) ρ ∝ p. So p ~ Beta
        first, second = eta, (eta - 1.0) * (self.k - 1) + 1.0
        turn = x[:, -1]
        log_p = -np.logaddexp(0.0, -turn)
        log_q = -np.logaddexp(0.0, turn)
        constant = math.lgamma(first + second) - math.lgamma(first) - math.lgamma(second)
        place = np.exp(log_p)
        gradient = np.zeros_like(x)
        gradient[:, -1] = first * (1.0 - place) - second * place
        return first * log_p + second * log_q + constant, gradient

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        inside = _inside(covariance)
        sd = np.sqrt(np.diag(inside))
        off = ~np.eye(self.k, dtype=bool)
        low = -1.0 / (self.k - 1)
        rho = float(np.mean((inside / np.outer(sd, sd))[off]))
        place = float(np.clip((rho - low) / (1.0 - low), 1e-3, 1.0 - 1e-3))
        sds = np.sqrt([np.mean(sd**2)]) if self.hom else sd
        return np.append(np.log(sds), math.log(place / (1.0 - place)))

    def draw_correlations(self, n: int, eta: float, rng: np.random.Generator) -> np.ndarray:
        place = rng.beta(eta, (eta - 1.0) * (self.k - 1) + 1.0, n)
        place = np.clip(place, 1e-300, 1.0 - 1e-16)
        return (np.log(place) - np.log1p(-place))[:, None]


def _inside(covariance: np.ndarray) -> np.ndarray:
    """A covariance without zero variances and correlations of one."""
    sd = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    largest = float(sd.max(initial=0.0)) or 1.0
    sd = np.maximum(sd, 1e-3 * largest)
    with np.errstate(invalid="ignore"):
        correlation = covariance / np.outer(sd, sd)
    correlation = 0.97 * correlation
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation * np.outer(sd, sd))


def block(kind: str, k: int, hom: bool = False) -> Block:
    """The block of a scale, by its file's name."""
    if k == 1 or kind == "diagonal":
        return Independent(k)
    return Symmetric(k, hom) if kind == "compound_symmetry" else Correlated(k)
