"""What new rows say about linear predictors whose joint prior is normal.

    f = η₀ + q,   q ~ N(0, K),   y | f         →    other combinations c with Cov(c, q) = C:
    mean shift C a,   covariance lost C M C'

Normal responses: a = (K + N)⁻¹ (y − η₀), M = (K + N)⁻¹. Others: Laplace's approximation at the mode f̂ of f | y, with s
and W the slope and curvature of Σ log p(y | f) there: a = s(f̂), M = W (I + K W)⁻¹.

Reference: Rasmussen & Williams (2006), *Gaussian Processes for Machine Learning*, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..core.mode import positive_part
from ..errors import ConvergenceError
from ..families.base import Distribution, Observations

STEPS, HALVINGS, TOLERANCE = 200, 40, 1e-12


@dataclass(frozen=True, eq=False)
class NormalEvidence:
    """Normal rows: residuals y − η₀ and their variances."""

    residuals: np.ndarray
    noise: np.ndarray

    def update(self, among: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C a and C M C' from K and C."""
        among = among.copy()
        among[np.diag_indices(len(among))] += self.noise
        weights = np.linalg.solve(among, across.T)
        return weights.T @ self.residuals, across @ weights


@dataclass(frozen=True, eq=False)
class ModeEvidence:
    """Rows of any family at the mode of their linear predictors: a and M."""

    pull: np.ndarray
    weight: np.ndarray

    def update(self, among: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """C a and C M C' from C."""
        return across @ self.pull, across @ self.weight @ across.T


def evidence(
    distribution: Distribution, obs: Observations, eta: np.ndarray, predictors: list[int], prior: np.ndarray
) -> ModeEvidence:
    """The mode by Newton's method with halving, and what it says.

    Parameters
    ----------
    eta : (n, m) before the rows were seen
    predictors : those that the rows may move
    prior : K (d n, d n), predictor after predictor

    Raises
    ------
    ConvergenceError
        When no mode is found, because the response is nearly impossible under the fit, say.
    """
    n, d = len(eta), len(predictors)

    def derivatives(q: np.ndarray, order: int):  # type: ignore[no-untyped-def]
        at = eta.copy()
        at[:, predictors] += q.reshape(d, n).T
        return distribution.derivatives(obs, at, order)

    pull = np.zeros(d * n)
    q, value = prior @ pull, np.inf
    for _ in range(STEPS):
        at = derivatives(q, 2)
        value = 0.5 * float(pull @ q) - float(at.value.sum())
        slope = _slope(at, predictors)
        curvature = _blocks(positive_part(at.second[:, predictors][:, :, predictors]))
        aim = np.linalg.solve(np.eye(d * n) + curvature @ prior, curvature @ q + slope)
        step = aim - pull
        if not np.isfinite(value) or not np.all(np.isfinite(step)):
            break
        size = 1.0
        for _ in range(HALVINGS):
            trial = pull + size * step
            moved = prior @ trial
            found = 0.5 * float(trial @ moved) - float(derivatives(moved, 0).value.sum())
            if found <= value + 1e-14 * (1.0 + abs(value)):
                break
            size *= 0.5
        pull, q = trial, moved
        if float(step @ (prior @ step)) <= TOLERANCE * (1.0 + float(pull @ q)):
            return ModeEvidence(_slope(derivatives(q, 1), predictors), _weight(derivatives(q, 2), predictors, prior))
    raise ConvergenceError(
        "no mode of the group effects was found for the new rows",
        hint="Look at their response: it may be nearly impossible under the fit. Else refit with all rows.",
    )


def _slope(at, predictors: list[int]) -> np.ndarray:  # type: ignore[no-untyped-def]
    return np.asarray(at.first[:, predictors].T.ravel())


def _weight(at, predictors: list[int], prior: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    """W (I + K W)⁻¹ with the observed curvature, or its positive part where that is no mode's."""
    observed = at.second[:, predictors][:, :, predictors]
    w = _blocks(observed)
    if np.linalg.eigvalsh(observed).min() < 0.0 and _indefinite(w, prior):
        w = _blocks(positive_part(observed))
    return np.asarray(np.linalg.solve(np.eye(len(w)) + w @ prior, w))


def _indefinite(w: np.ndarray, prior: np.ndarray) -> bool:
    """Whether K⁻¹ + W is not positive definite: I + R'WR of K = RR'."""
    values, vectors = np.linalg.eigh(prior)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    return bool(np.linalg.eigvalsh(np.eye(len(w)) + root.T @ w @ root)[0] <= 0.0)


def _blocks(curvature: np.ndarray) -> np.ndarray:
    """(n, d, d) of rows as one matrix, predictor after predictor."""
    n, d = curvature.shape[:2]
    out = np.zeros((d * n, d * n))
    rows = np.arange(n)
    for a in range(d):
        for b in range(d):
            out[a * n + rows, b * n + rows] = curvature[:, a, b]
    return out
