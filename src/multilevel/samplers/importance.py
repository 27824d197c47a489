"""Importance sampling with even points, certified by the shape of its largest weights.

The first proposal is a split t about the mode, beside a wider one. Where the weights it gives are uneven, mixtures are
learned from the weighted points (`cloud.py`); the points that count are then new ones, so that k̂, the Pareto shape of
the weights, judges a proposal by points that it has not seen. Points are drawn in proportion to their weights, and what
was integrated out is drawn for each, so that no two draws are equal; where those draws carry weights of their own, more
are made than needed and a part of them kept.

Reference: Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72), for k̂.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.completed import Completed
from ..numerics.psis import psis
from .cloud import Cloud, Points, first_proposals, learned
from .mode import find_mode

PILOT, SMALL_PILOT = 1024, 256  # points that judge a proposal: a quarter of what is made at least, within these
LEAST, MOST = 4096, 2**16  # points in the end
ROUNDS = 6  # of learning at most
ATTEMPTS, FAIR_KHAT = 3, 0.5  # times that what was learned is tried on new points, while k̂ is above
SMALLEST_SHARE = 0.02  # of effective points that is planned with
TAIL = 0.05  # of the quantiles that effective draws in the tails are about
SPARE = 4.0  # completed draws for each one kept at most, where they carry weights


@dataclass(frozen=True)
class Weighted:
    """Points with weights.

    Parameters
    ----------
    z : (N, d);  log_density : (N,)
    log_weights : (N,), smoothed, normalised
    khat, ess : of the weights
    log_evidence : log of the density's integral;  error : its standard error
    mode : (d,)
    rounds : of adaptation
    surface_error : the largest seen, where a fitted surface took the density's place (`surface.py`)
    """

    z: np.ndarray
    log_density: np.ndarray
    log_weights: np.ndarray
    khat: float
    ess: float
    log_evidence: float
    error: float
    mode: np.ndarray
    rounds: int
    surface_error: float | None = None


@dataclass(frozen=True)
class Drawn:
    """Independent draws: points z (n, d) with what belongs to each, and how they came about."""

    z: np.ndarray
    log_density: np.ndarray
    completed: Completed
    khat: float
    ess: float
    log_evidence: float
    points: int
    rounds: int
    ess_tail: float


def importance(target: Any, wanted: int = 8000, seed: Any = 0, least: int = LEAST, most: int = MOST) -> Weighted:
    """Weighted points of a target.

    Parameters
    ----------
    target :
        With `d`, `start`, `log_density` and `gradient`.
    wanted : int
        Effective number of points to aim at.
    seed : int or numpy.random.SeedSequence
    least, most : int
        Bounds of the number of points that count.
    """
    if target.d == 0:  # nothing is left to draw
        nothing = np.zeros((1, 0))
        value = target.log_density(nothing)
        return Weighted(nothing, value, np.zeros(1), 0.0, float(wanted), float(value[0]), 0.0, nothing[0], 0)
    rng = np.random.default_rng(seed)
    mode, _, curvature = find_mode(target)
    cloud = Cloud(target, *first_proposals(target, mode, curvature))
    pilot = int(np.clip(least // 4, SMALL_PILOT, PILOT))
    points = cloud.add(cloud.shares(cloud.narrow, pilot), rng)
    if points.good:
        cloud.add(cloud.shares(cloud.narrow, _needed(points, wanted, least, most)), rng)
        points = cloud.all()
        if points.khat <= FAIR_KHAT:
            return _weighted(points, mode, 0)
    rounds = 0
    while rounds < ROUNDS and not (rounds and points.good):
        points = cloud.add(cloud.shares(learned(cloud.all()), 2 * pilot), rng)
        rounds += 1
    for _ in range(ATTEMPTS):
        points = cloud.add(cloud.shares(learned(cloud.all()), _needed(points, wanted, least, most)), rng)
        rounds += 1
        if points.khat <= FAIR_KHAT:
            break
    return _weighted(points, mode, rounds)


def _needed(points: Points, wanted: int, least: int, most: int) -> int:
    """How many points are effectively as many as are wanted; a power of two where it may be."""
    need = int(np.clip(wanted / max(points.share, SMALLEST_SHARE), least, most))
    even = 1 << (need - 1).bit_length()
    return even if even <= min(most, 1.25 * need) else need


def _weighted(points: Points, mode: np.ndarray, rounds: int) -> Weighted:
    error = float(np.sqrt(max(1.0 / points.ess - 1.0 / len(points), 0.0)))
    return Weighted(
        points.z, points.log_density, points.smooth.log_weights, points.khat, points.ess, points.log_evidence, error,
        mode, rounds,
    )  # fmt: skip


def draw(
    target: Any, wanted: int, seed: Any = 0, least: int = LEAST, most: int = MOST, plenty: float = 2.0,
    points: Weighted | None = None,
) -> Drawn:  # fmt: skip
    """Independent draws of everything: points in proportion to their weights, completed.

    Parameters
    ----------
    target :
        With `complete` besides; of draws that it weights (`exact` missing or false) more are made than are wanted.
    wanted : int
        Number of draws.
    least, most : int
        Bounds of the number of points.
    plenty : float
        Effective number of points for each draw: the more, the fewer points are drawn twice.
    points : Weighted, optional
        From `importance`; found here unless given.
    """
    root = np.random.SeedSequence(seed) if not isinstance(seed, np.random.SeedSequence) else seed
    for_points, for_draws = root.spawn(2)
    points = points or importance(target, int(plenty * wanted), for_points, least, most)
    rng = np.random.default_rng(for_draws)
    index, completed = _completions(target, points, wanted, rng)
    khat, evidence = points.khat, points.log_evidence
    if not getattr(target, "exact", False):
        more = int(wanted * (min(SPARE, 1.1 * _largest(completed.log_weights)) - 1.0)) + 1
        extra, further = _completions(target, points, more, rng)
        index, completed = np.concatenate([index, extra]), completed.joined(further)
        given = completed.log_weights
        smooth = psis(given)
        evidence += float(np.logaddexp.reduce(given) - np.log(len(given)))
        khat = max(khat, float(smooth.khat[0]))
        points = again(points, index, smooth.log_weights)
        kept = rng.permutation(systematic(smooth.log_weights, wanted, rng))
        index, completed = index[kept], completed.take(kept)
    log_density = points.log_density[index] + completed.log_weights
    ess = min(points.ess, float(wanted))
    tail = min(ess, tail_ess(getattr(target, "coordinates", None), points))
    return Drawn(points.z[index], log_density, completed, khat, ess, evidence, len(points.z), points.rounds, tail)


def _completions(target: Any, points: Weighted, n: int, rng: np.random.Generator) -> tuple[np.ndarray, Completed]:
    """n points in proportion to their weights, completed; a failed completion weighs nothing."""
    index = rng.permutation(systematic(points.log_weights, n, rng))
    completed = target.complete(points.z[index], rng)
    weights = completed.log_weights if len(completed.log_weights) else np.zeros(n)
    return index, replace(completed, log_weights=np.where(np.isnan(weights), -np.inf, weights))


def again(points: Weighted, index: np.ndarray, log_weights: np.ndarray) -> Weighted:
    """The points with the weights that they have in a sample of them whose members were weighted once more.

    What undoes an approximation is much the same for all members that are the same point, so the two weights multiply;
    each by itself would make the sample look better than it is.
    """
    both = np.bincount(index, np.exp(log_weights - np.max(log_weights)), len(points.z))
    with np.errstate(divide="ignore"):
        log_both = np.log(both / both.sum())
    return replace(points, log_weights=log_both, ess=float(both.sum() ** 2 / np.sum(both**2)))


def tail_ess(coordinates: Any, points: Weighted) -> float:
    """What the weights are worth for the 5 % and 95 % quantiles of the worst coordinate or coefficient.

    The weighted share of points below a quantile has the variance Σ w²(1 − p)² + … = Σ w² (I − p)²; p(1 − p) over it is
    the number of independent draws of the same precision. Where proposals are thin in a tail, its few points carry
    large weights, and this is far below the effective number of all points.
    """
    w = np.exp(points.log_weights)
    columns = points.z
    if coordinates is not None and coordinates.coefficients.stop > coordinates.coefficients.start:
        columns = np.concatenate([columns, coordinates.beta(points.z)], axis=1)
    worst = np.inf
    for x in columns.T[columns.std(axis=0) > 0.0]:
        order = np.argsort(x)
        below = np.cumsum(w[order])
        squares = np.cumsum(w[order] ** 2)
        for p in (TAIL, 1.0 - TAIL):
            at = int(np.searchsorted(below, p * below[-1]))
            inside = squares[min(at, len(squares) - 1)]
            variance = inside * (1.0 - p) ** 2 + (squares[-1] - inside) * p**2
            worst = min(worst, p * (1.0 - p) / max(float(variance), 1e-300))
    return float(min(worst, len(w)))


def _largest(log_weights: np.ndarray) -> float:
    """The largest weight over their mean."""
    top = float(np.max(log_weights))
    return 1.0 / float(np.mean(np.exp(log_weights - top))) if np.isfinite(top) else 1.0


def systematic(log_weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (n,): each point floor(n w) or one more times."""
    ends = np.cumsum(np.exp(log_weights))
    places = (np.arange(n) + rng.random()) / n * ends[-1]
    return np.searchsorted(ends, places, side="right").clip(max=len(ends) - 1)
