"""Trajectories of one chain in compiled code, for targets whose density is compiled.

`walker.py` says what a trajectory is, and walks on any target; with the same random numbers both come to the same
points.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from .adaptation import StepSize
from .metric import Metric

BLOCK = 0.03  # seconds that a stride may take: between strides a chain hears of Ctrl-C
LONGEST = 200  # trajectories of a stride


@dataclass(frozen=True)
class Stride:
    """Some trajectories, one after the other: where each ended, and how it went.

    Parameters
    ----------
    points, slopes : (m, d), q and the gradient there;  log_density : (m,)
    stats : (m, 6), in the order of `walker.STATS`
    """

    points: np.ndarray
    slopes: np.ndarray
    log_density: np.ndarray
    stats: np.ndarray


class Trajectories:
    """The arrays of one chain and its own random numbers.

    Parameters
    ----------
    target : Compiled
        `density`, a kernel of (`at`, `reals`, point, gradient to be filled) that returns the log density, and `d`
    rng : np.random.Generator
        The chain's own
    """

    def __init__(self, target: Any, rng: np.random.Generator, max_depth: int) -> None:
        from ..numerics import packed, trajectory

        self.kernels, self.pack, self.target = trajectory, packed.pack, target
        self.tree = trajectory.leaves(target.d, max_depth)
        self.found = np.zeros(9)
        self.seed = rng.integers(0, 2**64, 1, dtype=np.uint64)
        self.rng, self.max_depth = rng, max_depth
        self.metric: tuple[Metric | None, Any] = None, None
        self.pace = BLOCK  # seconds of a trajectory, as the last ones went

    def walk(self, walker: Any, count: int, size: StepSize, learning: bool) -> Stride:
        """So many trajectories from where a walker is, or fewer; how many does not change them."""
        k, d = self.kernels, len(walker.q)
        if self.metric[0] is not walker.metric:
            self.metric = walker.metric, self.pack(walker.metric.arrays)
        count = max(1, min(count, LONGEST, int(BLOCK / self.pace)))
        self.tree[k.KEPT], self.tree[k.KEPT + 1], self.found[k.VALUE] = walker.q, walker.slope, walker.value
        noise, state = self.rng.standard_normal((count, d)), np.array(size.state)
        points, slopes, told = np.empty((count, d)), np.empty((count, d)), np.empty((count, 7))
        clock = time.perf_counter()
        k.stride(
            self.target.density, self.target.at, self.target.reals, *self.metric[1], self.tree, self.found, self.seed,
            noise, state, learning, self.max_depth, points, slopes, told,
        )  # fmt: skip
        self.pace = max((time.perf_counter() - clock) / count, 1e-9)
        size.state = state.tolist()
        order = [k.DIVERGED, k.DEPTH, k.ENERGY, k.ACCEPTANCE, 6, k.STEPS]
        return Stride(points, slopes, told[:, k.VALUE], told[:, order])
