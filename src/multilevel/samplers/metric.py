"""Metrics of Hamiltonian Monte Carlo: a guess Σ of the posterior covariance, as velocities and momenta.

    velocity v = Σ p,    momentum p ~ N(0, Σ⁻¹),    kinetic energy ½ p'v

Σ is dense for few coordinates. For many it is low-rank around a diagonal, from draws and gradients together: the
directions in which draws vary most are long, those in which gradients vary most are short, and on both

    Σ = C_x # C_g⁻¹      (geometric mean of the draws' covariance and the inverse of the gradients')

References: Betancourt (2017), arXiv:1701.02434, section 4.2; Seyboldt, Carlson & Carpenter (2026), arXiv:2603.18845
(draws and gradients together).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

DENSE = 40  # coordinates up to which Σ is dense
CUTOFF = 2.0  # a direction is kept where its variance is off by so much
MOST_DIRECTIONS = 40


class Metric(ABC):
    """Σ as an operator."""

    @abstractmethod
    def velocity(self, p: np.ndarray) -> np.ndarray:
        """Σ p."""

    @abstractmethod
    def momentum(self, rng: np.random.Generator) -> np.ndarray:
        """p ~ N(0, Σ⁻¹)."""

    @property
    @abstractmethod
    def arrays(self) -> list[np.ndarray]:
        """Σ for compiled trajectories: the fields of a metric in `numerics/trajectory.py`."""

    @abstractmethod
    def learn(self, draws: np.ndarray, gradients: np.ndarray) -> Metric:
        """The metric of draws (n, d) and the gradients there."""


class Dense(Metric):
    """Σ in full."""

    def __init__(self, covariance: np.ndarray) -> None:
        from scipy.linalg import solve_triangular

        self.covariance = np.ascontiguousarray(covariance)
        self.root = np.linalg.cholesky(self.covariance)
        self.inverse_root = solve_triangular(self.root, np.eye(len(self.root)), lower=True)
        self._turned = np.ascontiguousarray(self.inverse_root.T)

    def velocity(self, p: np.ndarray) -> np.ndarray:
        return np.dot(self.covariance, p)

    def momentum(self, rng: np.random.Generator) -> np.ndarray:
        return np.dot(self._turned, rng.standard_normal(len(self._turned)))

    @property
    def arrays(self) -> list[np.ndarray]:
        none = np.zeros(0)
        return [self.covariance, self._turned, none, np.zeros((0, 0)), none, none]

    def learn(self, draws: np.ndarray, gradients: np.ndarray) -> Metric:
        """Their covariance, pulled to its diagonal in the coordinates of this metric: few draws say little else."""
        n, d = draws.shape
        y = (draws - draws.mean(axis=0)) @ self.inverse_root.T
        s = y.T @ y / max(n - 1, 1)
        own = np.diag(s) * n / (n + 5.0) + 1e-3 * 5.0 / (n + 5.0)
        s *= n / (n + 5.0 + d)
        np.fill_diagonal(s, own)
        try:
            return Dense(self.root @ s @ self.root.T)
        except np.linalg.LinAlgError:  # draws without spread: a chain that has not moved
            return self


class LowRank(Metric):
    """diag(s) (I + V diag(λ − 1) V') diag(s) with a few directions V (d, r)."""

    def __init__(self, scale: np.ndarray, directions: np.ndarray, variances: np.ndarray) -> None:
        self.scale, self.directions = scale, directions
        self.excess = variances - 1.0
        self.inverse_excess = 1.0 / np.sqrt(variances) - 1.0

    def velocity(self, p: np.ndarray) -> np.ndarray:
        w = self.scale * p
        if len(self.excess):
            w += self.directions @ (self.excess * (w @ self.directions))
        w *= self.scale
        return w

    def momentum(self, rng: np.random.Generator) -> np.ndarray:
        w = rng.standard_normal(len(self.scale))
        if len(self.excess):
            w += self.directions @ (self.inverse_excess * (w @ self.directions))
        w /= self.scale
        return w

    @property
    def arrays(self) -> list[np.ndarray]:
        none = np.zeros((0, 0))
        return [none, none, self.scale, self.directions.T, self.excess, self.inverse_excess]

    def learn(self, draws: np.ndarray, gradients: np.ndarray) -> Metric:
        n = len(draws)
        x, g = draws - draws.mean(axis=0), gradients - gradients.mean(axis=0)
        spread_x, spread_g = (x**2).mean(axis=0), (g**2).mean(axis=0)
        moved = (spread_x > 0.0) & (spread_g > 0.0)
        s = np.where(moved, (spread_x / np.where(moved, spread_g, 1.0)) ** 0.25, self.scale)
        x, g = x / s, g * s
        span = np.concatenate([_top(x), _top(g)]).T
        if span.size == 0:
            return LowRank(s, np.zeros((len(s), 0)), np.zeros(0))
        basis = np.linalg.qr(span)[0]
        ridge = 5.0
        c_x = _ridged((x @ basis).T @ (x @ basis), n, ridge)
        c_g = _ridged((g @ basis).T @ (g @ basis), n, ridge)
        values, vectors = np.linalg.eigh(_geometric_mean(c_x, c_g))
        keep = (values > CUTOFF) | (values < 1.0 / CUTOFF)
        return LowRank(s, np.ascontiguousarray(basis @ vectors[:, keep]), values[keep])


def _top(rows: np.ndarray) -> np.ndarray:
    """Directions (r, d) in which standardised rows vary more than noise does."""
    n, d = rows.shape
    _, singular, turned = np.linalg.svd(rows, full_matrices=False)
    edge = (1.0 + np.sqrt(d / n)) ** 2  # largest eigenvalue of noise
    found = singular**2 / n > 1.2 * edge
    return np.asarray(turned[found][:MOST_DIRECTIONS])


def _ridged(s: np.ndarray, n: int, ridge: float) -> np.ndarray:
    return np.asarray((s + ridge * np.eye(len(s))) / (n + ridge))


def _geometric_mean(c_x: np.ndarray, c_g: np.ndarray) -> np.ndarray:
    """The positive Σ with Σ C_g Σ = C_x."""
    root, inverse = _roots(c_g)
    middle, _ = _roots(root @ c_x @ root)
    return np.asarray(inverse @ middle @ inverse)


def _roots(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, vectors = np.linalg.eigh(a)
    root = np.sqrt(np.maximum(values, 1e-12))
    return (vectors * root) @ vectors.T, (vectors / root) @ vectors.T


def metric_of(guess: np.ndarray | None, d: int) -> Metric:
    """The metric to start from: a covariance (d, d), variances (d,), or ones."""
    if guess is None:
        guess = np.ones(d)
    guess = np.asarray(guess, dtype=float)
    if d <= DENSE:
        return Dense(guess if guess.ndim == 2 else np.diag(guess))
    return LowRank(np.sqrt(np.diag(guess) if guess.ndim == 2 else guess), np.zeros((d, 0)), np.zeros(0))
