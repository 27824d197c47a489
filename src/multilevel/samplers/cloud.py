"""Points weighted by all proposals they came from, and proposals learned from them.

    w_i = p(z_i) / q(z_i),    q = Σ_k n_k q_k / Σ_k n_k

The first two proposals look at the density about its mode; mixtures of t are then fitted to the weighted points, with
components of their own for points of large weight: there the proposals were too thin.

References: Veach & Guibas (1995) and Cornuet, Marin, Mira & Robert (2012), Scand. J. Statist. 39, for weights by all
proposals; Raftery & Bao (2010), Biometrics 66, for components where weights are large.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..numerics.psis import Smoothed, psis
from .proposals import DF, Mixture, Proposal, Split, mixture, propose

GOOD_KHAT, GOOD_SHARE = 0.5, 0.5  # k̂, and effective share of the points, with which nothing has to be learned
COMPONENTS = 4  # of a mixture
TAILS = 3  # components for points of large weight at most
HEAVY = 1.5  # times the mean weight: points above get components of their own
DEFENSIVE = 0.15  # share of the wide proposal, and of components for large weights
STRETCHED = 2.5  # scales of the wide proposal over the first one's at least
LOOKS = np.array([0.5, 1.0, 1.5, 2.5, 4.0, 6.0, 9.0, 14.0])  # distances along an axis at which the density is looked at
CORE, TAIL = 5.0, 15.0  # falls of the log density that the first proposal and the wide one are fitted to
SHORTEST, LONGEST = 0.2, 10.0  # scales of a side, in standard deviations of the curvature

Parts = list[tuple[Proposal, int]]


@dataclass(frozen=True)
class Points:
    """Points z (N, d) with the logarithms of the density and of the proposals' (N,)."""

    z: np.ndarray
    log_density: np.ndarray
    log_proposed: np.ndarray

    def __len__(self) -> int:
        return len(self.z)

    @property
    def raw(self) -> np.ndarray:
        """Log weights as they are."""
        return np.asarray(self.log_density - self.log_proposed)

    @cached_property
    def smooth(self) -> Smoothed:
        return psis(self.raw)

    @property
    def khat(self) -> float:
        return float(self.smooth.khat[0])

    @property
    def ess(self) -> float:
        return float(self.smooth.ess[0])

    @property
    def share(self) -> float:
        """Effective share of the points."""
        return self.ess / len(self)

    @property
    def good(self) -> bool:
        """Whether the weights are even."""
        return self.khat < GOOD_KHAT and self.share > GOOD_SHARE

    @property
    def log_evidence(self) -> float:
        """log of the mean weight."""
        raw = self.raw
        return float(np.logaddexp.reduce(raw) - np.log(len(raw)))


class Cloud:
    """A growing set of points, weighted by all proposals together."""

    def __init__(self, target: Any, narrow: Proposal, wide: Proposal) -> None:
        self.target, self.narrow, self.wide = target, narrow, wide
        self.z = np.empty((0, target.d))
        self.log_density = np.empty(0)
        self.proposals: list[Proposal] = []
        self.counts: list[int] = []
        self.columns = np.empty((0, 0))  # log densities (points, proposals)

    def shares(self, best: Proposal, n: int) -> Parts:
        """Most of n points for the best proposal, some for the wide one."""
        some = int(DEFENSIVE * n)
        return [(best, n - some), (self.wide, some)]

    def add(self, parts: Parts, rng: np.random.Generator) -> Points:
        """More points; returned with weights by their own proposals alone."""
        fresh = propose(parts, self.target.d, rng)
        for proposal, n in parts:
            if not any(proposal is known for known in self.proposals):
                self.proposals.append(proposal)
                self.counts.append(0)
                self.columns = np.column_stack([self.columns, proposal.log_density(self.z)])
            self.counts[self._place(proposal)] += n
        columns = np.column_stack([proposal.log_density(fresh) for proposal in self.proposals])
        values = self.target.log_density(fresh)
        self.z = np.concatenate([self.z, fresh])
        self.log_density = np.concatenate([self.log_density, values])
        self.columns = np.concatenate([self.columns, columns])
        own = [self._place(proposal) for proposal, _ in parts]
        return Points(fresh, values, _mixed(columns[:, own], [n for _, n in parts]))

    def _place(self, proposal: Proposal) -> int:
        return next(i for i, known in enumerate(self.proposals) if known is proposal)

    def all(self) -> Points:
        """All points, weighted by all proposals."""
        return Points(self.z, self.log_density, _mixed(self.columns, self.counts))


def _mixed(columns: np.ndarray, counts: list[int]) -> np.ndarray:
    share = np.array(counts, dtype=float)
    return np.asarray(np.logaddexp.reduce(columns + np.log(share / share.sum()), axis=1))


def learned(points: Points) -> Mixture:
    """A mixture fitted to weighted points; weights are flattened until enough of them count."""
    d, n = points.z.shape[1], len(points)
    smooth = points.smooth.log_weights
    enough = min(20.0 * d, 0.5 * n)
    power, log_w = 1.0, smooth
    while _effective(log_w) < enough and power > 0.05:
        power *= 0.8
        log_w = power * smooth
        log_w = log_w - np.logaddexp.reduce(log_w)
    components = int(np.clip(_effective(log_w) / (15.0 * d), 1, COMPONENTS))
    found = mixture(points.z, np.exp(log_w), components)
    excess = np.maximum(np.exp(smooth + np.log(n)) - HEAVY, 0.0)
    count = np.count_nonzero(excess)
    if count > 2 * d:
        tails = mixture(points.z, excess / excess.sum(), int(np.clip(count / (5 * d), 1, TAILS)))
        found = found.joined(tails, DEFENSIVE)
    return found


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
