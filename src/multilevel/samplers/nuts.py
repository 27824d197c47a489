"""The No-U-Turn sampler on many chains: from starts to one record of all (`walker.py` is one chain).

Chains go in bundles, one a process. Where evaluations of several points at once are cheaper a bundle shares them, and
which chains form a bundle depends on the target alone; chains of compiled targets share nothing. A chain's draws depend
on its bundle's seeds at most: so they are the same on any number of cores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import ConvergenceError, FitInterrupted
from ..numerics.threads import cores as available
from .metric import Metric, metric_of
from .parallel import PULSE, Pulse, run
from .trajectories import Trajectories
from .walker import STATS, Record, Walker, blank

TOGETHER = 2  # chains of a bundle where the target evaluates several points at once


@dataclass(frozen=True)
class Chains:
    """Draws of all chains.

    Parameters
    ----------
    z : (C, S, d);  log_density : (C, S)
    stats : name → (C, S): "divergent", "tree_depth", "energy", "acceptance", "step_size", "n_steps"
    info : "partial" (interrupted), "seconds", "tune", "seed", "lost" (chains whose process died), "max_depth"
    """

    z: np.ndarray
    log_density: np.ndarray
    stats: Mapping[str, np.ndarray]
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def flat(self) -> np.ndarray:
        """All draws, the chains one after another: (C·S, d)."""
        return self.z.reshape(-1, self.z.shape[2])


def sample(
    target: Any,
    *,
    draws: int = 1000,
    tune: int = 1000,
    chains: int = 4,
    seed: int = 0,
    starts: np.ndarray | None = None,
    cores: int | None = None,
    progress: bool = True,
    target_accept: float = 0.8,
    max_depth: int = 10,
    metric: np.ndarray | None = None,
    title: str = "NUTS",
) -> Chains:
    """Draw from a density by the No-U-Turn sampler.

    π(z) ∝ exp(log_density(z)), with the gradient of its logarithm.

    Parameters
    ----------
    target :
        `gradient(z (d,)) -> (log density, its gradient)`; `d`; and, where they exist, `gradients(z (N, d))` of several
        points at once, `start()`, and `compiled`: the same as a kernel (`core/joint_compiled.py`), or None.
    draws, tune : int
        Kept and thrown away, a chain.
    chains : int
    seed : int
        The same draws for the same seed, whatever the number of cores.
    starts : (chains, d) array, optional
        Otherwise `target.start()` with noise of a tenth of the metric's standard deviations.
    cores : int, optional
        Processes at most (Linux; one elsewhere); all that the process may use by default.
    progress : bool
        Whether a terminal shows draws, divergences and the time left.
    target_accept : float
        Mean acceptance that the step size is adapted to: larger means shorter steps and fewer divergences.
    max_depth : int
        Trajectories have 2^max_depth − 1 steps at most.
    metric : (d,) or (d, d) array, optional
        A guess of the posterior variances or covariance.

    Returns
    -------
    Chains

    Raises
    ------
    ConvergenceError
        When the density is not finite where the chains start.
    FitInterrupted
        When interrupted before the first draw; later the draws made so far are returned, marked partial.
    WorkerDiedError
        When no chain's process survived; if some did, a warning names the number lost.

    Notes
    -----
    Divergences mean that the draws miss a part of the posterior; they are counted in `stats`, not hidden.

    Examples
    --------
    >>> import numpy as np
    >>> from multilevel.samplers.nuts import sample
    >>> class Normal:
    ...     d = 2
    ...     def gradient(self, z): return -0.5 * float(z @ z), -z
    ...     def start(self): return np.zeros(2)
    >>> sample(Normal(), draws=50, tune=100, chains=2, cores=1).z.shape
    (2, 50, 2)

    References
    ----------
    Hoffman & Gelman (2014), JMLR 15, 1593–1623; Betancourt (2017), arXiv:1701.02434.
    """
    begun = time.perf_counter()
    first = metric_of(metric, target.d)
    seeds = np.random.SeedSequence(seed).spawn(chains + 1)
    points = _starts(target, starts, chains, first, np.random.default_rng(seeds[-1]))
    compiled = getattr(target, "compiled", None)
    together = TOGETHER if hasattr(target, "gradients") else 1
    if compiled is not None:
        from ..numerics import trajectory  # noqa: F401 — before processes are forked: each would load it again

        together = -(-chains // max(1, min(chains, available() if cores is None else cores)))
    bundles = [list(range(a, min(a + together, chains))) for a in range(0, chains, together)]
    jobs = [([points[c] for c in own], [seeds[c] for c in own]) for own in bundles]
    walk = Bundle(target if compiled is None else compiled, draws, tune, first, target_accept, max_depth)
    records, interrupted, lost = run(walk, jobs, draws + tune, cores, progress, title)
    info = {
        "partial": interrupted, "tune": tune, "seed": seed, "lost": lost, "max_depth": max_depth,
        "seconds": time.perf_counter() - begun,
    }  # fmt: skip
    return _gathered(records, info, title)


def _starts(target: Any, starts: Any, chains: int, metric: Metric, rng: np.random.Generator) -> np.ndarray:
    if starts is not None:
        return np.array(starts, dtype=float).reshape(chains, target.d)
    centre = np.asarray(target.start(), dtype=float)
    return np.array([centre + 0.1 * metric.velocity(metric.momentum(rng)) for _ in range(chains)])


@dataclass(frozen=True)
class Bundle:
    """Chains of one process; called with starts, seeds and a pulse, it runs them side by side."""

    target: Any
    draws: int
    tune: int
    metric: Metric
    target_accept: float
    max_depth: int

    def __call__(self, points: Sequence[Any], seeds: Sequence[Any], pulse: Pulse) -> tuple[list[Record], bool]:
        """The chains' records, and whether Ctrl-C or the pulse ended them early."""
        records = [blank(self.draws, self.target.d) for _ in points]
        walkers = [self._walker(q, np.random.default_rng(s)) for q, s in zip(points, seeds, strict=True)]
        runs = [w.run(r, self.tune, self.draws) for w, r in zip(walkers, records, strict=True)]
        try:
            with np.errstate(all="ignore"):
                return records, not self._advance(runs, records, pulse)
        except KeyboardInterrupt:
            return records, True

    def _walker(self, q: np.ndarray, rng: np.random.Generator) -> Walker:
        compiled = Trajectories(self.target, rng, self.max_depth) if hasattr(self.target, "density") else None
        return Walker(np.array(q), self.metric, rng, self.max_depth, self.target_accept, compiled=compiled)

    def _advance(self, runs: list[Any], records: list[Record], pulse: Pulse) -> bool:
        """All chains to their ends; False where the pulse stopped them."""
        wanted = [next(run) for run in runs]
        evaluate = _evaluator(self.target)
        heard = time.perf_counter()
        while runs:
            over = False
            for i, answer in enumerate(evaluate(wanted)):
                try:
                    wanted[i] = runs[i].send(answer)
                except StopIteration:
                    wanted[i], over = _NOWHERE, True
            if over:
                runs, wanted = _unfinished(runs, wanted)
            now = time.perf_counter()
            if now - heard > PULSE:
                heard = now
                if not pulse(records):
                    return False
        return True


_NOWHERE = np.zeros(0)
_UNASKED = 0.0, _NOWHERE


def _unfinished(runs: list[Any], wanted: list[np.ndarray]) -> tuple[list[Any], list[np.ndarray]]:
    left = [(run, q) for run, q in zip(runs, wanted, strict=True) if q is not _NOWHERE]
    return [run for run, _ in left], [q for _, q in left]


def _evaluator(target: Any) -> Callable[[list[np.ndarray]], list[tuple[float, np.ndarray]]]:
    """Densities and gradients of a list of points, in one call where the target can; for None, nothing."""

    def one_by_one(points: list[np.ndarray]) -> list[tuple[float, np.ndarray]]:
        return [_UNASKED if z is None else target.gradient(z) for z in points]

    def at_once(points: list[np.ndarray]) -> list[tuple[float, np.ndarray]]:
        values, slopes = target.gradients(np.array(points))
        return [(float(v), s) for v, s in zip(values, slopes, strict=True)]

    return at_once if hasattr(target, "gradients") else one_by_one


def _gathered(records: Sequence[Record], info: dict[str, Any], title: str) -> Chains:
    """All records as arrays; of interrupted chains those draws that make the most of them."""
    there = [r for r in records if not r.failed]
    if not there:
        failed = records[0].failed if records else "interrupted before its chains began"
        raise ConvergenceError(f"{title}: {failed}", hint="Look at the priors and at the scale of the predictors.")
    counts = np.array(sorted((r.done for r in there), reverse=True))
    best = int(np.argmax(counts * np.arange(1, len(counts) + 1)))
    kept = int(counts[best])
    if kept == 0:
        warm = max(r.warm for r in there)
        raise FitInterrupted(f"{title} was interrupted after {warm} draws of its warm-up; nothing was fitted")
    there = [r for r in there if r.done >= kept]
    return Chains(
        z=np.array([r.z[:kept] for r in there]),
        log_density=np.array([r.log_density[:kept] for r in there]),
        stats={name: np.array([r.stats[name][:kept] for r in there]) for name in STATS},
        info=info,
    )
