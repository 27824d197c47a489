"""Importance sampling with even points, certified by the shape of its largest weights.

    w_i = p(z_i) / q(z_i),    q = Σ_k n_k q_k / Σ_k n_k      over all proposals used so far

The first proposal is a split t about the mode; where the weights it gives are uneven, mixtures of t are fitted to the
weighted points and propose more, and every point is weighted by all proposals together. Pareto-smoothed weights say by
their k̂ whether the result can be trusted. Points are then drawn in proportion to their weights, and what was
integrated out is drawn for each, so that no two draws are equal; where those draws carry weights of their own, more are
made than needed and a part of them kept.

References: Veach & Guibas (1995) and Cornuet, Marin, Mira & Robert (2012), Scand. J. Statist. 39, for weights by all
proposals; Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72), for k̂.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..core.completed import Completed
from ..numerics.psis import psis
from .mode import find_mode
from .proposals import DF, Mixture, Proposal, Split, mixture, propose

PILOT = 1024  # points that judge a proposal
LEAST, MOST = 4096, 2**16  # points in the end
GOOD_KHAT, GOOD_SHARE = 0.5, 0.5  # k̂, and effective share of the points, with which nothing is adapted
FAIR_KHAT = 0.6  # k̂ above which points are added in the end
ROUNDS = 6  # of adaptation at most
COMPONENTS = 4
DEFENSIVE = 0.15  # share of the wide proposal in every round
STRETCHED = 2.5  # scales of the wide proposal over the first one's
LOOKS = np.array([0.5, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0])  # distances along an axis at which the density is looked at
CORE, TAIL = 5.0, 15.0  # falls of the log density that the first proposal and the wide one are fitted to
SHORTEST, LONGEST = 0.2, 10.0  # scales of a side, in standard deviations of the curvature
TAILS = 3  # components for points of large weight at most
HEAVY = 1.5  # times the mean weight: points above get a component of their own
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


def importance(target: Any, wanted: int = 4000, seed: Any = 0, least: int = LEAST, most: int = MOST) -> Weighted:
    """Weighted points of a target.

    Parameters
    ----------
    target :
        With `d`, `start`, `log_density` and `gradient`.
    wanted : int
        Effective number of points to aim at.
    seed : int or numpy.random.SeedSequence
    least, most : int
        Bounds of the number of points.
    """
    rng = np.random.default_rng(seed)
    mode, _, curvature = find_mode(target)
    cloud = Cloud(target, *first_proposals(target, mode, curvature))
    cloud.add(cloud.shares(cloud.narrow, PILOT), rng)
    rounds = 0
    while not cloud.good and rounds < ROUNDS:
        rounds += 1
        cloud.add(cloud.shares(cloud.fitted(), 2 * PILOT), rng)
    _fill(cloud, wanted, least, most, rounds, rng)
    while cloud.khat > FAIR_KHAT and rounds < 2 * ROUNDS and len(cloud.z) + 2 * PILOT <= most:
        rounds += 1
        cloud.add(cloud.shares(cloud.fitted(), 2 * PILOT), rng)
    return cloud.weighted(mode, rounds)


def _fill(cloud: Cloud, wanted: int, least: int, most: int, rounds: int, rng: np.random.Generator) -> None:
    """The rest of the points, from the best proposal known: twice as many as are wanted, effectively."""
    share = max(cloud.ess / len(cloud.z), 0.02)
    need = int(np.clip(2.0 * wanted / share, least, most)) - len(cloud.z)
    if need <= 0:
        return
    size = max(1 << (need - 1).bit_length(), PILOT)
    size = size if len(cloud.z) + size <= most else need
    cloud.add(cloud.shares(cloud.fitted() if rounds else cloud.narrow, size), rng)


class Cloud:
    """Points from several proposals, weighted by all of them together."""

    def __init__(self, target: Any, narrow: Proposal, wide: Proposal) -> None:
        self.target, self.narrow, self.wide = target, narrow, wide
        self.z = np.empty((0, target.d))
        self.log_density = np.empty(0)
        self.proposals: list[tuple[Proposal, int]] = []
        self.by_proposal = np.empty((0, 0))  # log densities (points, proposals)

    def shares(self, best: Proposal, n: int) -> list[tuple[Proposal, int]]:
        """Most of n points for the best proposal, some for the wide one."""
        some = int(DEFENSIVE * n)
        return [(best, n - some), (self.wide, some)]

    def add(self, parts: list[tuple[Proposal, int]], rng: np.random.Generator) -> None:
        """More points, and the weights of all."""
        fresh = propose(parts, self.target.d, rng)
        known = [proposal for proposal, _ in self.proposals]
        for proposal, n in parts:
            if any(proposal is other for other in known):
                at = next(i for i, other in enumerate(known) if other is proposal)
                self.proposals[at] = (proposal, self.proposals[at][1] + n)
            else:
                self.proposals.append((proposal, n))
                old = proposal.log_density(self.z) if len(self.z) else np.empty(0)
                self.by_proposal = np.column_stack([self.by_proposal, old])
        columns = np.column_stack([proposal.log_density(fresh) for proposal, _ in self.proposals])
        self.by_proposal = np.concatenate([self.by_proposal, columns])
        self.log_density = np.concatenate([self.log_density, self.target.log_density(fresh)])
        self.z = np.concatenate([self.z, fresh])
        self._weigh()

    def _weigh(self) -> None:
        counts = np.array([n for _, n in self.proposals], dtype=float)
        log_q = np.logaddexp.reduce(self.by_proposal + np.log(counts / counts.sum()), axis=1)
        self.raw = self.log_density - log_q
        smooth = psis(self.raw)
        self.log_weights, self.khat, self.ess = smooth.log_weights, float(smooth.khat[0]), float(smooth.ess[0])

    @property
    def good(self) -> bool:
        """Whether the weights are even."""
        return self.khat < GOOD_KHAT and self.ess > GOOD_SHARE * len(self.z)

    def fitted(self) -> Mixture:
        """A mixture fitted to the points; weights are flattened until enough of them count."""
        enough = min(20.0 * self.target.d, 0.5 * len(self.z))
        power, log_w = 1.0, self.log_weights
        while _effective(log_w) < enough and power > 0.05:
            power *= 0.8
            log_w = power * self.log_weights
            log_w = log_w - np.logaddexp.reduce(log_w)
        components = int(np.clip(_effective(log_w) / (15.0 * self.target.d), 1, COMPONENTS))
        found = mixture(self.z, np.exp(log_w), components)
        ratio = np.exp(self.log_weights + np.log(len(self.z)))
        excess = np.maximum(ratio - HEAVY, 0.0)
        count = np.count_nonzero(excess)
        if count > 2 * self.target.d:
            tails = mixture(self.z, excess / excess.sum(), int(np.clip(count / (5 * self.target.d), 1, TAILS)))
            found = found.joined(tails, DEFENSIVE)
        return found

    def weighted(self, mode: np.ndarray, rounds: int) -> Weighted:
        top = float(np.max(self.raw))
        evidence = top + float(np.log(np.mean(np.exp(self.raw - top))))
        error = float(np.sqrt(max(1.0 / self.ess - 1.0 / len(self.z), 0.0)))
        return Weighted(
            self.z, self.log_density, self.log_weights, self.khat, self.ess, evidence, error, mode, rounds
        )


def _effective(log_weights: np.ndarray) -> float:
    return float(1.0 / np.exp(2.0 * log_weights).sum())


def first_proposals(target: Any, mode: np.ndarray, curvature: np.ndarray) -> tuple[Split, Split]:
    """About the mode, with the scales that the density's fall on each side of each axis of the curvature asks for: near
    the mode, and, wide, as far as there is anything.
    """
    values, vectors = np.linalg.eigh(curvature)
    axes = vectors / np.sqrt(values)
    d = len(mode)
    steps = np.concatenate([sign * LOOKS for sign in (-1.0, 1.0)])
    away = steps[None, :, None] * axes.T[:, None, :]  # (axes, looks, d)
    top = float(target.log_density(mode[None])[0])
    drop = top - target.log_density((mode + away).reshape(-1, d)).reshape(d, 2, len(LOOKS))
    near, far = _scales(drop, CORE), _scales(drop, TAIL)
    far = np.maximum(far, STRETCHED * near)
    return Split(mode, axes, near[:, 0], near[:, 1]), Split(mode, axes, far[:, 0], far[:, 1])


def _scales(drop: np.ndarray, largest: float) -> np.ndarray:
    """Scales (d, 2) of t_ν that falls as slowly as the density does where it has fallen by no more than `largest`."""
    with np.errstate(all="ignore"):
        scale = LOOKS / np.sqrt(DF * np.expm1(2.0 * np.maximum(drop, 1e-3) / (DF + 1.0)))
    counted = (drop > 0.1) & (drop < largest)
    best = np.max(np.where(counted, scale, 0.0), axis=2)
    nearest = np.take_along_axis(scale, np.argmax(drop > 0.1, axis=2)[..., None], axis=2)[..., 0]
    return np.clip(np.nan_to_num(np.where(counted.any(axis=2), best, nearest), nan=1.0), SHORTEST, LONGEST)


def draw(
    target: Any, wanted: int, seed: Any = 0, least: int = LEAST, most: int = MOST, points: Weighted | None = None
) -> Drawn:
    """Independent draws of everything: points in proportion to their weights, completed.

    Parameters
    ----------
    target :
        With `complete` besides; of draws that it weights (`exact` missing or false) more are made than are wanted.
    wanted : int
        Number of draws.
    points : Weighted, optional
        From `importance`; found here unless given.
    """
    root = np.random.SeedSequence(seed) if not isinstance(seed, np.random.SeedSequence) else seed
    for_points, for_draws = root.spawn(2)
    points = points or importance(target, wanted, for_points, least, most)
    rng = np.random.default_rng(for_draws)
    index, completed = _completions(target, points, wanted, rng)
    khat, ess, evidence = points.khat, min(points.ess, float(wanted)), points.log_evidence
    if not getattr(target, "exact", False):
        more = int(wanted * (min(SPARE, 1.1 * _largest(completed.log_weights)) - 1.0)) + 1
        extra, further = _completions(target, points, more, rng)
        index, completed = np.concatenate([index, extra]), completed.joined(further)
        given = completed.log_weights
        smooth = psis(given)
        evidence += float(np.logaddexp.reduce(given) - np.log(len(given)))
        khat = max(khat, float(smooth.khat[0]))
        ess = min(points.ess, float(smooth.ess[0]), float(wanted))
        kept = rng.permutation(systematic(smooth.log_weights, wanted, rng))
        index, completed = index[kept], completed.take(kept)
    log_density = points.log_density[index] + completed.log_weights
    return Drawn(points.z[index], log_density, completed, khat, ess, evidence, len(points.z), points.rounds)


def _completions(
    target: Any, points: Weighted, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, Completed]:
    """n points in proportion to their weights, completed; a failed completion weighs nothing."""
    index = rng.permutation(systematic(points.log_weights, n, rng))
    completed = target.complete(points.z[index], rng)
    weights = completed.log_weights if len(completed.log_weights) else np.zeros(n)
    return index, replace(completed, log_weights=np.where(np.isnan(weights), -np.inf, weights))


def _largest(log_weights: np.ndarray) -> float:
    """The largest weight over their mean."""
    top = float(np.max(log_weights))
    return 1.0 / float(np.mean(np.exp(log_weights - top))) if np.isfinite(top) else 1.0


def systematic(log_weights: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Indices (n,): each point floor(n w) or one more times."""
    ends = np.cumsum(np.exp(log_weights))
    places = (np.arange(n) + rng.random()) / n * ends[-1]
    return np.searchsorted(ends, places, side="right").clip(max=len(ends) - 1)
