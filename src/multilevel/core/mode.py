"""The conditional mode of the group effects: Newton's method with a line search.

    û = argmin h(u),    h(u) = −Σ ℓ_i(η_i) + ½ u'u,    η = fixed + ZΛu

Each step solves H u = Λ'Z'(s + W ZΛu) with the curvature H = Λ'Z'WZΛ + I at the last point. Where the observed W is
not positive (far from the mode, in families that are not log-concave) its positive part takes its place, which still
gives a direction of descent. h decreases with every step, so that Newton's method arrives from any start.

References: Bates & DebRoy (2004), J. Multivariate Analysis 91; Nocedal & Wright (2006), chapter 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..families.base import Derivatives, Distribution
from .latent import Latent
from .row_terms import RowTerms

TOLERANCE = 1e-18  # Newton decrement at the mode: log|H| is wrong by its root
SETTLED = 1e-10
MOST_STEPS = 500  # down an exponential tail Newton's method moves by one at a time
SUFFICIENT = 1e-4
MOST_CHORDS, SHRINKS = 25, 0.5


@dataclass(frozen=True)
class Mode:
    """Where h is least: effects, linear predictors, derivatives there up to order 2, log|H|; H is left factored.

    `scores` are Z's, the sums of the scores by effect, where they were computed on the way.
    """

    u: np.ndarray
    eta: np.ndarray
    at: Derivatives
    h: float
    log_det: float
    steps: int
    scores: np.ndarray | None = None


def conditional_mode(
    latent: Latent,
    distribution: Distribution | RowTerms,
    lam: Sequence[np.ndarray],
    fixed: np.ndarray,
    start: np.ndarray,
    chords: bool = False,
    tolerance: float = TOLERANCE,
) -> Mode | None:
    """The mode from a start; None where no point with a finite density was found.

    `chords`: the factorisation at hand belongs to a nearby point; it serves for the first steps. `tolerance` is that of
    the Newton decrement.
    """
    rows, which = latent.rows, list(latent.rows.latent)
    obs = rows.observations

    def place(effects: np.ndarray) -> np.ndarray:
        eta = fixed.copy()
        eta[:, which] += effects
        return eta

    u = start
    zb = latent.row_effects(latent.scaled(lam, u))
    found = _evaluate(distribution, obs, place(zb), u)
    if found is None and np.any(u):
        u, zb = np.zeros_like(start), np.zeros_like(zb)
        found = _evaluate(distribution, obs, place(zb), u)
    if found is None:
        return None
    at, h = found
    if chords:
        u, zb, at, h = _chords(latent, distribution, lam, place, (u, zb, at, h), which, tolerance)
    before = np.inf
    for step in range(1, MOST_STEPS + 1):
        observed, solution = _direction(latent, lam, at, zb, which)
        if solution is None:
            return None
        delta = solution.u - u
        sums = latent.level_sums(np.ascontiguousarray(_first(at)[:, which]))
        pull = latent.transposed(sums) - u
        decrement = float(delta @ pull)
        # rounding of the gradient is all that is left
        settled = decrement < SETTLED + rounding(h) and decrement > 0.1 * before
        before = decrement
        if observed and (settled or decrement <= tolerance * (1.0 + 1e-3 * abs(h))):
            return Mode(u, place(zb), at, h, solution.log_det, step, sums)
        moved = _search(latent, distribution, lam, place, u, zb, delta, h, decrement)
        if moved is None:  # rounding: no lower point can be told
            return Mode(u, place(zb), at, h, solution.log_det, step, sums) if observed else None
        u, zb, at, h = moved
    return None


def _chords(latent, distribution, lam, place, point, which, tolerance):  # type: ignore[no-untyped-def]
    """Steps with an old factorisation while each is much shorter than the one before it."""
    latent.lam = [np.ascontiguousarray(v) for v in lam]
    before = np.inf
    for _ in range(MOST_CHORDS):
        u, zb, at, h = point
        pull = latent.pulled(np.ascontiguousarray(_first(at)[:, which])) - u
        delta = latent.solve(pull)
        decrement = float(delta @ pull)
        if not 0.0 < decrement < SHRINKS * before or decrement <= 1e-2 * tolerance * (1.0 + 1e-3 * abs(h)):
            break
        before = decrement
        change = latent.row_effects(latent.scaled(lam, delta))
        found = _evaluate(distribution, latent.rows.observations, place(zb + change), u + delta)
        if found is None or found[1] > h + 1e-13 * (1.0 + abs(h)):
            break
        point = u + delta, zb + change, *found
    return point


def rounding(h: float) -> float:
    """Differences of h that its rounding hides."""
    return 1e-14 * (1.0 + abs(h))


def _first(at: Derivatives) -> np.ndarray:
    assert at.first is not None
    return at.first


def _evaluate(distribution: Distribution | RowTerms, obs, eta: np.ndarray, u: np.ndarray):  # type: ignore[no-untyped-def]
    """Derivatives and h, or None where h is not finite."""
    at = distribution.derivatives(obs, eta, 2)
    h = 0.5 * float(u @ u) - float(at.value.sum())
    return (at, h) if np.isfinite(h) else None


def _direction(latent: Latent, lam, at: Derivatives, zb: np.ndarray, which: list[int]):  # type: ignore[no-untyped-def]
    """Newton's new u, and whether the observed curvature served."""
    assert at.second is not None
    s = _first(at)[:, which]
    w = at.second if at.second.shape[1] == len(which) else at.second[:, which][:, :, which]
    solution = latent.factorise(lam, w, s + np.einsum("nab,nb->na", w, zb))
    if solution is not None:
        return True, solution
    w = positive_part(w)
    return False, latent.factorise(lam, w, s + np.einsum("nab,nb->na", w, zb))


def positive_part(w: np.ndarray) -> np.ndarray:
    """The nearest positive semidefinite curvature of every row."""
    if w.shape[1] == 1:
        return np.asarray(np.maximum(w, 0.0))
    values, vectors = np.linalg.eigh(w)
    return np.asarray(np.einsum("nab,nb,ncb->nac", vectors, np.maximum(values, 0.0), vectors))


def _search(latent, distribution, lam, place, u, zb, delta, h, decrement):  # type: ignore[no-untyped-def]
    """The first point along the step that lowers h enough."""
    change = latent.row_effects(latent.scaled(lam, delta))
    slack = rounding(h)
    size = 1.0
    for _ in range(60):
        trial_u, trial_zb = u + size * delta, zb + size * change
        found = _evaluate(distribution, latent.rows.observations, place(trial_zb), trial_u)
        if found is not None and (decrement < slack or found[1] <= h - SUFFICIENT * size * decrement + slack):
            return trial_u, trial_zb, *found  # what is below the rounding of h is taken on trust
        if size * decrement < slack:
            return None
        size *= 0.5
    return None
