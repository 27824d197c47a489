"""The compiled search for models it serves, with the general driver behind it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..numerics.dense import Bordered
from ..numerics.newton import NEGLIGIBLE, Progress, inside, minimise
from ..numerics.threads import threads_for
from .gaussian import Solution
from .large import LARGE_TAIL, minimise_large
from .likelihood import Likelihood, State
from .objective import GaussianObjective

LARGEST_TAIL = 48  # beyond this the dense tail belongs to LAPACK
PATIENCE = 15  # iterations after which the general driver, which learns curvature from its steps, does better
MANY_EFFECTS = 20_000  # from here the average information is as good as the Hessian, and cheaper
MOST_NUMBERS = 20_000_000  # effects times parameters of the search's right-hand sides


def minimise_likelihood(
    likelihood: Likelihood, start: np.ndarray, maxiter: int, tick: Callable[[int, float], None] | None
) -> tuple[State, Progress]:
    """Minimum of the criterion: in one compiled call where possible."""
    objective = GaussianObjective(likelihood)
    if likelihood.elimination.pattern.nt >= LARGE_TAIL:
        return minimise_large(likelihood, start, maxiter, tick)
    if not _serves(likelihood, objective):
        with threads_for(likelihood.elimination.pattern.nt):
            return minimise(objective, start, maxiter, tick)
    from ..numerics import fused

    start = inside(objective, start)  # an entry of a triangle that starts at zero would stay there
    static, work = _arrays(likelihood, objective)
    status, theta, value, sigma2, iterations, evaluations, decrement, scaled, hessian = fused.search(
        static, work, start, min(maxiter, PATIENCE), likelihood.elimination.q <= MANY_EFFECTS
    )
    likelihood.evaluations += evaluations
    likelihood.current = None  # the search used the workspace
    if status == fused.INTERIOR and _definite(hessian) and not _negligible(objective, theta):
        progress = Progress(iterations, decrement, scaled, True, True)
        likelihood.current = _state(likelihood, static, work, theta, value, sigma2)
        return likelihood.current, progress
    if iterations >= maxiter:
        return likelihood.evaluate(theta), Progress(iterations, decrement, _scaled(objective, likelihood, theta))
    with threads_for(likelihood.elimination.pattern.nt):
        state, progress = minimise(objective, theta, maxiter - iterations, tick)
    progress.iterations += iterations
    return state, progress


def _scaled(objective: GaussianObjective, likelihood: Likelihood, theta: np.ndarray) -> float:
    from ..numerics.newton import _stretch, scaled_gradient

    state = likelihood.evaluate(theta)
    if state.solution is None:
        return float("inf")
    gradient, hessian = objective.slope(state)
    stretch = _stretch(objective, theta)
    return scaled_gradient(gradient * stretch, hessian * np.outer(stretch, stretch))


def _serves(likelihood: Likelihood, objective: GaussianObjective) -> bool:
    pt = likelihood.elimination.pattern
    return (
        pt.lead >= 0
        and pt.nt + likelihood.products.p <= LARGEST_TAIL
        and likelihood.elimination.q * likelihood.n_theta <= MOST_NUMBERS
        and all(s.triangular for s in likelihood.scales)
    )


def _negligible(objective: GaussianObjective, theta: np.ndarray) -> bool:
    """Whether a variance is next to nothing: its root is stationary there, right or wrong."""
    positive = np.array(objective.kinds) == "positive"
    return bool(np.any((theta**2 * objective.weight)[positive] < NEGLIGIBLE))


def _definite(hessian: np.ndarray) -> bool:
    values = np.linalg.eigvalsh(hessian)
    return bool(values[0] > -1e-6 * max(values[-1], 1.0))


def _arrays(likelihood: Likelihood, objective: GaussianObjective):  # type: ignore[no-untyped-def]
    from ..numerics.fused import Static, Work

    e, pt, products = likelihood.elimination, likelihood.elimination.pattern, likelihood.products
    order = [pt.lead, *pt.trail]
    ks = np.array([products.factors[f].k for f in order], dtype=np.int64)
    offsets = np.concatenate([[0], np.cumsum(ks * ks)[:-1]]).astype(np.int64)
    entries = _entries(likelihood, order)
    level_first = [np.arange(e.n_lead, dtype=np.int64) * e.k1]
    level_factor = [np.zeros(e.n_lead, np.int64)]
    for i, place in enumerate(pt.place):
        level_first.append(e.q1 + place.astype(np.int64))
        level_factor.append(np.full(len(place), i + 1, np.int64))
    entry_place = offsets[entries[0]] + entries[1] * ks[entries[0]] + entries[2]
    p, n, q = products.p, likelihood.n_theta, e.q
    static = Static(
        e.A, e.B, pt.T, pt.at, pt.col, pt.where, pt.width, pt.shift, pt.group, pt.block, pt.begin, pt.high,
        pt.low, pt.target, pt.diagonal, pt.border, pt.colptr, pt.rows, products.xy,
        entry_place, *entries, np.array([k == "positive" for k in objective.kinds]), objective.weight, ks, offsets,
        np.concatenate(level_first), np.concatenate(level_factor),
        pt.ns, pt.nt, pt.sbase, p, e.n_lead, float(likelihood.nu),
        -1.0 if likelihood.known_sigma2 is None else float(likelihood.known_sigma2), likelihood.reml,
    )  # fmt: skip
    work = Work(
        e.L, e.W, e.WX, e.S, e.SX, e.XX, np.zeros((pt.nt + p, pt.nt + p)), np.empty(q), np.empty(p),
        np.empty(len(e.S)), np.zeros((pt.n_trailing, p if likelihood.reml else 0)), np.empty(q),
        np.empty((q, n)), np.empty((q, n)), np.empty((q, n)), np.empty((p + 1, n)), np.empty((p, n)),
    )  # fmt: skip
    return static, work


def _entries(likelihood: Likelihood, order: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(factor in elimination order, row, column) of every parameter's place in its factor's λ."""
    out = np.zeros((3, likelihood.n_theta), np.int64)
    for f, factor in enumerate(likelihood.products.factors):
        for t, first, _ in factor.terms:
            rows, cols = likelihood.scales[t].entries()
            part = likelihood.slices[t]
            out[0, part], out[1, part], out[2, part] = order.index(f), rows + first, cols + first
    return out[0], out[1], out[2]


def _state(likelihood: Likelihood, static, work, theta: np.ndarray, value: float, sigma2: float) -> State:  # type: ignore[no-untyped-def]
    """The search left its factorisation at the optimum in the shared workspace: read it off."""
    e, p, nt = likelihood.elimination, static.p, static.nt
    lam = likelihood.factors(theta)
    e.lam = lam
    e._flat = np.concatenate([lam[f].ravel() for f in e.pattern.trail]) if e.pattern.trail else np.zeros(0)
    tail = work.tail
    e.tail = Bordered(tail[:nt, :nt], tail[nt:, :nt], tail[nt:, nt:])
    log_det_x = 2.0 * float(np.log(np.diagonal(work.tail)[nt:]).sum()) if p else 0.0
    r2 = sigma2 * likelihood.nu if likelihood.known_sigma2 is None else np.nan
    if likelihood.known_sigma2 is None:
        log_det = value - likelihood.nu * (1.0 + np.log(2.0 * np.pi * sigma2))
        log_det -= log_det_x if likelihood.reml else 0.0
        solution = Solution(log_det, log_det_x, r2, work.beta, work.u)
        return State(theta, float(value), float(sigma2), solution, tuple(lam))
    return likelihood.evaluate(theta)
