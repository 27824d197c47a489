"""The No-U-Turn sampler: Hamiltonian trajectories that double until they turn back, and a point drawn from each.

    H(z, p) = −log π(z) + ½ p'Σp,    leapfrog steps of size ε,    point of a trajectory ∝ exp(−H)

Points are drawn multinomially: uniformly within a subtree, in favour of the new half between halves. A trajectory ends
where ρ'v ≤ 0 at one of its ends, v the velocity there and ρ the sum of its momenta without half of both ends: for it,
for all its subtrees, and for each half of these with the nearest leaf of the other half (else a trajectory of a full
period looks as if it had not turned). Subtrees are checked without recursion: at every second leaf, against the leaves
that began the subtrees which end there.

A step along which the energy varies by more than `COARSE` is divided: halved until it does not. From where it
ends the way back has to be divided as often, else the trajectory ends there as if it had turned: so steps may depend on
where they begin and the draws are still from π. Rough places that a chain meets once in thousands of draws, such as
correlations near ±1, then cost some small steps instead of a divergence.

A chain is a coroutine: it yields the point where it wants the density, and is sent value and gradient. So chains share
evaluations (`nuts.py`), and a target pays its overhead once for all of them. Where the density is compiled, whole
trajectories are (`trajectories.py`); the chain then yields None before some.

References: Hoffman & Gelman (2014), JMLR 15; Betancourt (2017), arXiv:1701.02434, appendix A; Phan, Pradhan & Jankowiak
(2019), arXiv:1912.11554 (iterative trees); Bou-Rabee, Carpenter, Kleppe & Liu (2025), arXiv:2506.18746 (step sizes
within an orbit); on such steps in general Bou-Rabee, Carpenter, Kleppe & Marsden (2024), arXiv:2408.08259.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .adaptation import StepSize, windows
from .metric import Metric
from .trajectories import Stride, Trajectories

Evaluations = Generator[np.ndarray | None, Any, Any]

DIVERGENT = 1000.0  # error of the energy that no sensible trajectory makes
COARSE = 2.0  # error of the energy in one step beyond which the step is divided
HALVINGS = 8  # times at most
DIVERGES, BARRED = "diverges", "barred"  # why no step is made: too coarse however divided; no way back
STATS = ("divergent", "tree_depth", "energy", "acceptance", "step_size", "n_steps")
SHORTEST, LONGEST = 1e-10, 1e7


@dataclass
class Record:
    """What a chain leaves behind; `done` draws of it are filled, warm-up not counted."""

    z: np.ndarray
    log_density: np.ndarray
    stats: dict[str, np.ndarray]
    done: int = 0
    warm: int = 0
    divergences: int = 0
    failed: str = ""


def blank(draws: int, d: int) -> Record:
    """An empty record."""
    kinds = {"divergent": bool, "tree_depth": np.int64, "n_steps": np.int64}
    stats = {name: np.zeros(draws, kinds.get(name, float)) for name in STATS}
    return Record(np.empty((draws, d)), np.empty(draws), stats)


@dataclass
class Walker:
    """One chain: where it is, its metric and step size."""

    q: np.ndarray
    metric: Metric
    rng: np.random.Generator
    max_depth: int
    target_accept: float
    value: float = 0.0
    slope: np.ndarray = field(default_factory=lambda: np.zeros(0))
    evaluations: int = 0
    compiled: Trajectories | None = None

    def run(self, record: Record, tune: int, draws: int) -> Evaluations:
        """Warm-up and draws into a record; yields points, is sent (log density, gradient)."""
        self.value, self.slope = yield self.q
        if not (math.isfinite(self.value) and np.isfinite(self.slope).all()):
            record.failed = "the log density is not finite at the start"
            return
        size = StepSize((yield from self._first_size(0.5)), self.target_accept)
        yield from self._warm_up(record, tune, size)
        while record.done < draws:
            stride = yield from self._stride(draws - record.done, size, False)
            new = slice(record.done, record.done + len(stride.points))
            record.z[new], record.log_density[new] = stride.points, stride.log_density
            for name, values in zip(STATS, stride.stats.T, strict=True):
                record.stats[name][new] = values
            record.divergences += int(record.stats["divergent"][new].sum())
            record.done = new.stop

    def _warm_up(self, record: Record, tune: int, size: StepSize) -> Evaluations:
        first, ends = windows(tune)
        draws = np.empty((tune, len(self.q)))
        slopes = np.empty_like(draws)
        for end in [*ends, tune]:
            while record.warm < end:
                stride = yield from self._stride(end - record.warm, size, True)
                new = slice(record.warm, record.warm + len(stride.points))
                draws[new], slopes[new] = stride.points, stride.slopes
                record.warm = new.stop
            if end in ends:
                self.metric = self.metric.learn(draws[first:end], slopes[first:end])
                first = end
                size.restart((yield from self._first_size(size.settled)))

    def _stride(self, count: int, size: StepSize, learning: bool) -> Evaluations:
        """So many trajectories, or fewer, with a step size that is still learning or settled."""
        if self.compiled is not None:
            yield None
            stride = self.compiled.walk(self, count, size, learning)
            self.q, self.slope, self.value = stride.points[-1], stride.slopes[-1], float(stride.log_density[-1])
            return stride
        step = size.now if learning else size.settled
        divergent, depth, energy, acceptance, steps = yield from self._transition(step)
        if learning:
            size.learn(acceptance)
        stats = np.array([[divergent, depth, energy, acceptance, step, steps]], dtype=float)
        return Stride(self.q[None], self.slope[None], np.array([self.value]), stats)

    def _first_size(self, size: float) -> Evaluations:
        """A step size whose single step is accepted about eight times out of ten: doubled or halved until it is."""
        up = 0
        while SHORTEST < size < LONGEST:
            p = self.metric.momentum(self.rng)
            before = self.value - 0.5 * float(p @ self.metric.velocity(p))
            half = p + 0.5 * size * self.slope
            value, slope = yield self.q + size * self.metric.velocity(half)
            half = half + 0.5 * size * slope
            gain = value - 0.5 * float(half @ self.metric.velocity(half)) - before
            better = gain > math.log(0.8) if math.isfinite(gain) else False
            if up and better != (up > 0):
                break
            up = 1 if better else -1
            size = 2.0 * size if better else 0.5 * size
        return size

    def _transition(self, size: float) -> Evaluations:
        """One trajectory: moves the walker, and says how it went."""
        metric, rng = self.metric, self.rng
        p = metric.momentum(rng)
        v = metric.velocity(p)
        start = 0.5 * float(p @ v) - self.value
        ends = [(self.q, p, v, self.slope, start), (self.q, p, v, self.slope, start)]
        total, log_weight, accepted, steps, depth = p, 0.0, 0.0, 0, 0
        energy, divergent, evaluated = start, False, self.evaluations
        while depth < self.max_depth:
            forward = rng.random() < 0.5
            found = yield from self._subtree(ends[forward], size if forward else -size, depth, start)
            end, near, sub_total, sub_weight, chosen, sub_accepted, sub_steps, turning, divergent = found
            accepted += sub_accepted
            steps += sub_steps
            if turning or divergent:
                depth += 1
                break
            if rng.random() < math.exp(min(0.0, sub_weight - log_weight)):
                self.q, self.value, self.slope, energy = chosen
            log_weight = _log_add(log_weight, sub_weight)
            (_, p0, v0, _, _), (_, p1, v1, _, _) = ends[not forward], ends[forward]  # far end; where the new half began
            ends[forward] = end
            depth += 1
            _, p, v, _, _ = end
            if (
                _turns(p0, v0, p, v, total + sub_total)
                or _turns(p0, v0, near[0], near[1], total + near[0])
                or _turns(p1, v1, p, v, sub_total + p1)
            ):
                break
            total = total + sub_total
        return divergent, depth, energy, accepted / max(steps, 1), self.evaluations - evaluated

    def _subtree(self, end: Any, size: float, depth: int, start: float) -> Evaluations:
        """2^depth steps from an end of the trajectory, or fewer where it turns or diverges."""
        state, random = end, self.rng.random
        total, log_weight, accepted, steps = np.zeros_like(end[1]), -math.inf, 0.0, 0
        held: list[Any] = [None] * (depth + 1)  # leaves that began subtrees: sum up to there, and the leaf before
        chosen: Any = None
        near: Any = None
        for leaf in range(2**depth):
            _, p_before, v_before, _, _ = state
            state, value, whole, taken, failed = yield from self._step(state, size)
            steps += 1
            self.evaluations += taken
            accepted += math.exp(min(0.0, start - whole))
            q, p, v, g, energy = state
            gain = start - energy
            if failed or not gain > -DIVERGENT:
                divergent = failed != BARRED
                return end, near, total, log_weight, chosen, accepted, steps, not divergent, divergent
            log_weight = _log_add(log_weight, gain)
            if gain >= log_weight or random() < math.exp(gain - log_weight):
                chosen = (q, value, g, energy)
            total = total + p
            ones = (leaf >> 1).bit_count()
            if leaf & 1 == 0:
                held[ones] = (p, v, total, p_before, v_before)
                near = near or (p, v)
                continue
            ending = (~leaf & (leaf + 1)).bit_length() - 1  # how many subtrees end at this leaf
            for k in range(ones, ones - ending, -1):
                if _turned(held[k], held[k + 1] if k < ones else None, p, v, total):
                    return end, near, total, log_weight, chosen, accepted, steps, True, False
        return state, near, total, log_weight, chosen, accepted, steps, False, False

    def _step(self, state: Any, size: float) -> Evaluations:
        """One step, divided where it is too coarse: state, log density, energy undivided, evaluations, failure."""
        taken, whole = 0, math.inf
        for level in range(HALVINGS + 1):
            new, value, count, error = yield from self._leapfrog(state, size / 2**level, 2**level)
            taken += count
            whole = new[4] if level == 0 else whole
            if error <= COARSE:
                break
        else:
            return new, value, whole, taken, DIVERGES
        q, p, v, g, energy = new
        for coarser in range(level):
            *_, count, error = yield from self._leapfrog((q, -p, -v, g, energy), size / 2**coarser, 2**coarser)
            taken += count
            if error <= COARSE:
                return new, value, whole, taken, BARRED
        return new, value, whole, taken, ""

    def _leapfrog(self, state: Any, size: float, count: int) -> Evaluations:
        """`count` leapfrog steps, or fewer where they are too coarse: state, log density, evaluations, range of H."""
        q, p, v, g, energy = state
        velocity, half, value, done = self.metric.velocity, 0.5 * size, math.nan, 0
        low = high = energy
        while done < count and high - low <= COARSE:
            p = p + half * g
            q = q + size * velocity(p)
            value, g = yield q
            p = p + half * g
            v = velocity(p)
            energy = 0.5 * float(np.dot(p, v)) - value
            energy = energy if math.isfinite(energy) else math.inf
            low, high = min(low, energy), max(high, energy)
            done += 1
        return (q, p, v, g, energy), value, done, high - low


def _turned(first: Any, middle: Any, p: np.ndarray, v: np.ndarray, total: np.ndarray) -> bool:
    """Whether a subtree turns: from its first leaf to its last, and across `middle`, where its second half begins."""
    p0, v0, total0, _, _ = first
    if _turns(p0, v0, p, v, total - total0 + p0):
        return True
    if middle is None:
        return False
    p1, v1, total1, p_before, v_before = middle
    return _turns(p0, v0, p1, v1, total1 - total0 + p0) or _turns(
        p_before, v_before, p, v, total - total1 + p1 + p_before
    )


def _turns(p0: np.ndarray, v0: np.ndarray, p1: np.ndarray, v1: np.ndarray, total: np.ndarray) -> bool:
    rho = total - 0.5 * (p0 + p1)
    return bool(np.dot(v0, rho) <= 0.0 or np.dot(v1, rho) <= 0.0)


def _log_add(a: float, b: float) -> float:
    high, low = (a, b) if a > b else (b, a)
    return high if low == -math.inf else high + math.log1p(math.exp(low - high))
