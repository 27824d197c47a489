"""Average-information Newton with an active set for parameters on the boundary.

The objective is a smooth function of θ whose "positive" coordinates are square roots of variances: it is even in
each of them, so a zero is always stationary and has to be judged by the score of the variance itself. Steps are
taken in log θ (positive), logit θ (bounded) or θ (free, and entries of a triangular factor: there the criterion is
smooth through zero, and its Hessian includes the curvature of Λ ↦ ΛΛ'). One driver serves every criterion that answers

    evaluate(θ) -> state with .theta and .value        slope(state) -> gradient and a positive semidefinite Hessian
    zeroed(θ, j), tied(j), release(state, zeros) -> θ or None

and it ends where the exact gradient vanishes, with variances on the boundary exactly zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .secants import Secants

MAX_LOG_STEP = 1.5
NEGLIGIBLE = 1e-7  # share of a level's information below which a variance is tried at exactly zero
AFFORDABLE = 0.25  # seconds for a Hessian by differences when steps converge slowly
SMALL = 1e-2  # rise of the criterion accepted when a column is zeroed near the optimum: the rest is refitted
LAST, EXPENSIVE = 1e-9, 0.01  # decrement after which an expensive search takes its last step; seconds of a gradient
CONVERGED = 1e-4  # largest scaled gradient of a search that counts as converged
NEAR = 1.0  # decrement below which steps teach
FLAT = 1e-9  # eigenvalue of the scaled Hessian below which a direction counts as flat
TOLERANCE = 1e-13  # Newton decrement g'H⁻¹g, in units of the criterion


class Objective(Protocol):
    """What the driver needs of a criterion."""

    @property
    def kinds(self) -> Sequence[str]: ...
    @property
    def bounds(self) -> Sequence[tuple[float, float]]: ...
    @property
    def additive(self) -> np.ndarray:
        """Positive coordinates that are stepped in plain, not on the log scale."""
        ...

    @property
    def reach(self) -> np.ndarray:
        """How far a plain coordinate may move from zero at once."""
        ...

    @property
    def seconds(self) -> float:
        """Rough time of one gradient."""
        ...

    @property
    def learns(self) -> bool:
        """Whether steps correct the Hessian from the first one on (it is a model, not the curvature)."""
        ...

    @property
    def weight(self) -> np.ndarray:
        """Information a level holds about each coordinate: θ² weight is its share."""
        ...

    def evaluate(self, theta: np.ndarray) -> Any: ...
    def slope(self, state: Any) -> tuple[np.ndarray, np.ndarray]: ...
    def gradient(self, state: Any) -> np.ndarray: ...
    def canonical(self, theta: np.ndarray) -> np.ndarray: ...
    def zeroed(self, theta: np.ndarray, j: int) -> np.ndarray: ...
    def tied(self, j: int) -> tuple[int, ...]: ...
    def release(self, state: Any, zeros: set[int]) -> np.ndarray | None: ...


@dataclass
class Progress:
    """How the search went."""

    iterations: int = 0
    decrement: float = np.inf
    scaled_gradient: float = np.inf
    converged: bool = False
    definite: bool = True
    zeros: set[int] = field(default_factory=set)
    tried: set[tuple[int, int]] = field(default_factory=set)  # (coordinate, stage) already tried at zero


def minimise(
    objective: Objective,
    theta: np.ndarray,
    maxiter: int = 200,
    tick: Callable[[int, float], None] | None = None,
    polish: bool = True,
    tolerance: float = TOLERANCE,
) -> tuple[Any, Progress]:
    """The minimum, and how it was reached. Numerical failure at a trial point is a value (infinity), not an error."""
    progress = Progress()
    state = objective.evaluate(inside(objective, theta))
    if not np.isfinite(state.value):
        state = objective.evaluate(np.where(np.array(objective.kinds) == "free", 0.0, 0.3))
    judged: set[frozenset[int]] = set()
    for _ in range(8):  # rounds of: minimise over the free coordinates, then look at those on the boundary
        state = _newton(objective, state, progress, maxiter, tick, tolerance)
        if progress.iterations >= maxiter and not progress.converged:
            break
        state = _settle(objective, state, progress)
        if polish:
            state = _polish(objective, state, progress)
        released = objective.release(state, progress.zeros) if progress.zeros else None
        if released is None or frozenset(progress.zeros) in judged:
            break  # optimal, or the same zeros once more: what a release gains there is rounding
        judged.add(frozenset(progress.zeros))
        better = _descend_from(objective, state, released)
        if better is None:
            break
        progress.zeros = {j for j in progress.zeros if better.theta[j] == 0.0}
        progress.converged = False
        state = better
    return state, progress


def inside(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """A start off the boundary, where every coordinate can move."""
    out = np.array(theta, dtype=float)
    for j, kind in enumerate(objective.kinds):
        if kind == "bounded":
            low, high = objective.bounds[j]
            out[j] = min(max(out[j], low + 1e-6 * (high - low)), high - 1e-6 * (high - low))
        elif kind == "positive":
            # near zero an entry of a triangle is stationary whatever its variance wants
            least = 0.1 / np.sqrt(objective.weight[j]) if objective.additive[j] else 1e-3
            out[j] = max(abs(out[j]), least) if objective.additive[j] or out[j] == 0.0 else abs(out[j])
    return out


def _free(objective: Objective, zeros: set[int]) -> np.ndarray:
    fixed = set(zeros)
    for j in zeros:
        fixed.update(objective.tied(j))
    return np.array([j for j in range(len(objective.kinds)) if j not in fixed], dtype=int)


def _stretch(objective: Objective, theta: np.ndarray) -> np.ndarray:
    """dθ/dη of the working coordinates."""
    out = np.ones(len(theta))
    for j, kind in enumerate(objective.kinds):
        if kind == "positive" and not objective.additive[j]:
            out[j] = abs(theta[j])
        elif kind == "bounded":
            low, high = objective.bounds[j]
            out[j] = (theta[j] - low) * (high - theta[j]) / (high - low)
    return out


def _move(objective: Objective, theta: np.ndarray, free: np.ndarray, step: np.ndarray) -> np.ndarray:
    out = theta.copy()
    for j, s in zip(free, step, strict=True):
        kind = objective.kinds[j]
        if kind == "positive" and not objective.additive[j]:
            out[j] = theta[j] * np.exp(s)
        elif kind == "bounded":
            low, high = objective.bounds[j]
            t = np.log((theta[j] - low) / (high - theta[j])) + s
            out[j] = low + (high - low) / (1.0 + np.exp(-t))
        else:
            out[j] = theta[j] + s
    return objective.canonical(out)


def _solve(hessian: np.ndarray, gradient: np.ndarray, damping: float) -> np.ndarray:
    """Damped Newton step; directions the Hessian does not see are left alone by an eigenvalue floor."""
    curved = np.abs(np.diag(hessian))
    # a coordinate without curvature of its own gets no step (and no overflow)
    diagonal = np.sqrt(np.where(curved > 1e-28 * max(float(np.max(curved)), 1e-250), curved, np.inf))
    scaled = hessian / np.outer(diagonal, diagonal)
    values, vectors = np.linalg.eigh(scaled)
    part = vectors.T @ (gradient / diagonal)
    # no curvature: a rotation of Λ that leaves ΛΛ' alone; stay there
    step = np.where(np.abs(values) > FLAT, part / (np.maximum(np.abs(values), FLAT) + damping), 0.0)
    return -(vectors @ step) / diagonal


def _clip(objective: Objective, free: np.ndarray, step: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Shrink the whole step so that no coordinate moves too far."""
    ratio = 1.0
    for j, s in zip(free, step, strict=True):
        plain = objective.kinds[j] == "free" or objective.additive[j]
        limit = objective.reach[j] + 2.0 * abs(theta[j]) if plain else MAX_LOG_STEP
        ratio = max(ratio, abs(s) / limit)
    return step / ratio


def _newton(
    objective: Objective,
    state: Any,
    progress: Progress,
    maxiter: int,
    tick: Callable[[int, float], None] | None,
    tolerance: float = TOLERANCE,
) -> Any:
    damping = 0.0
    secants = Secants()
    while progress.iterations < maxiter:
        progress.iterations += 1
        free = _free(objective, progress.zeros)
        if len(free) == 0:
            progress.converged, progress.decrement, progress.scaled_gradient = True, 0.0, 0.0
            return state
        gradient, hessian = objective.slope(state)
        stretch = _stretch(objective, state.theta)[free]
        g = gradient[free] * stretch
        h = hessian[np.ix_(free, free)] * np.outer(stretch, stretch)
        secants.notice(free, g)
        before = progress.decrement
        if _worth_differences(secants, 2 * len(free) * objective.seconds, 5 if objective.learns else 2):
            h = hessian_by_differences(objective, state, free)
            state = objective.evaluate(state.theta)
        elif secants.slow_steps or objective.learns:
            h = secants.updated(h)
        full = _solve(h, g, 0.0)
        progress.decrement = float(-g @ full)
        secants.slow_steps = secants.slow_steps + 1 if progress.decrement > 0.1 * before else 0
        secants.near += progress.decrement < 0.1
        progress.scaled_gradient = scaled_gradient(g, h)
        if tick is not None:
            tick(progress.iterations, state.value)
        settled = progress.decrement < 1e-9 and progress.decrement > 0.25 * before
        wandering = secants.near > 12 and progress.decrement < 1e-8  # rounding of the criterion is all that is left
        if progress.decrement < tolerance or settled or wandering:
            # a small step is not enough: flat directions get none, whatever their gradient
            progress.converged = progress.scaled_gradient < max(CONVERGED, 2.0 * tolerance**0.5)
            return state
        step = _clip(objective, free, full if damping == 0.0 else _solve(h, g, damping), state.theta)
        if progress.decrement < LAST and objective.seconds > EXPENSIVE:
            # the gradient is verified as small here; one more step only adds digits, and its gradient would cost more
            last = objective.evaluate(_move(objective, state.theta, free, step))
            progress.converged = True
            worse = not last.value <= state.value + 1e-9 * (1.0 + abs(state.value))
            return objective.evaluate(state.theta) if worse else last
        snapped = _snap(objective, state, free, step, progress)
        if snapped is not None:
            state = snapped
            secants = Secants()
            continue
        start = state.theta
        state, damping, moved = _line(objective, state, free, g, h, step, damping, progress.decrement)
        if not moved:
            progress.converged = progress.scaled_gradient < CONVERGED
            return state
        if progress.decrement < NEAR or not objective.learns:  # curvature seen from afar misleads
            secants.moved(_distance(objective, start, state.theta, free))
    return state


def _worth_differences(secants: Secants, seconds: float, patience: int) -> bool:
    """Whether steps have been slow, or wandering near the end, for long enough to pay for an exact Hessian."""
    return (secants.slow_steps >= patience and seconds < AFFORDABLE) or (
        secants.near >= 6 and seconds < 40.0 * AFFORDABLE
    )


def _distance(objective: Objective, start: np.ndarray, end: np.ndarray, free: np.ndarray) -> np.ndarray:
    """The step between two θ in the working coordinates."""
    out = end[free] - start[free]
    with np.errstate(divide="ignore", invalid="ignore"):
        for place, j in enumerate(free):
            if objective.kinds[j] == "positive" and not objective.additive[j]:
                out[place] = np.log(end[j] / start[j])
            elif objective.kinds[j] == "bounded":
                low, high = objective.bounds[j]
                out[place] = np.log((end[j] - low) / (high - end[j])) - np.log((start[j] - low) / (high - start[j]))
    return out


def scaled_gradient(g: np.ndarray, h: np.ndarray) -> float:
    """Largest |g_j| in units of the criterion's curvature: how many standard errors the optimum is away."""
    return float(np.max(np.abs(g) / np.sqrt(np.maximum(np.diag(h), 1e-12 * max(1.0, float(np.max(np.diag(h))))))))


def _line(
    objective: Objective, state: Any, free: np.ndarray, g: np.ndarray, h: np.ndarray, step: np.ndarray,
    damping: float, decrement: float,
) -> tuple[Any, float, bool]:  # fmt: skip
    """Accept a step that does not worsen the criterion (beyond rounding); damp it until one does."""
    slack = 1e-11 * (1.0 + abs(state.value))
    for attempt in range(40):
        trial = objective.evaluate(_move(objective, state.theta, free, step))
        if trial.value <= state.value + (slack if decrement < 1e-6 else 0.0):
            return trial, (damping * 0.1 if attempt == 0 else damping) if damping > 1e-6 else 0.0, True
        damping = max(damping * 4.0, 1e-3)
        step = _clip(objective, free, _solve(h, g, damping), state.theta)
    return objective.evaluate(state.theta), damping, False


def _snap(objective: Objective, state: Any, free: np.ndarray, step: np.ndarray, progress: Progress) -> Any:
    """A variance too small to matter becomes exactly zero; its score is judged at the end.

    Early it has to be shrinking fast. Close to the optimum any column whose pivot hardly matters is tried: such
    columns make the problem flat, and the search would wander among representations of one covariance.
    """
    close = progress.decrement < 1e-3
    for place, j in enumerate(free):
        if objective.kinds[j] != "positive":
            continue
        share = state.theta[j] ** 2 * objective.weight[j]
        stage = 0 if share < NEGLIGIBLE else 1 if close else 2
        if share >= 1e-2 or (int(j), stage) in progress.tried:
            continue
        falling = step[place] < 0.0
        strong = step[place] <= (-0.5 * state.theta[j] if objective.additive[j] else -1.4)
        if not ((stage == 0 and falling) or (stage == 1 and objective.additive[j]) or strong):
            continue
        progress.tried.add((int(j), stage))
        trial = objective.evaluate(objective.zeroed(state.theta, j))
        if trial.value <= state.value + (SMALL if stage == 1 else 1e-7 * (1.0 + abs(state.value))):
            progress.zeros.add(int(j))
            # folding the column's remainder may have revived a later one
            progress.zeros.intersection_update(np.flatnonzero(trial.theta == 0.0).tolist())
            return trial
        objective.evaluate(state.theta)
    return None


def _settle(objective: Objective, state: Any, progress: Progress) -> Any:
    """Negligible variances become zeros at a point that counts as converged.

    There the gradient of their roots vanishes in any case; only the score of the variance (`release`) can tell
    whether zero is right.
    """
    for j in _free(objective, progress.zeros):
        if objective.kinds[j] == "positive" and state.theta[j] ** 2 * objective.weight[j] < NEGLIGIBLE:
            state = objective.evaluate(objective.zeroed(state.theta, j))
            progress.zeros.add(int(j))
            progress.zeros.intersection_update(np.flatnonzero(state.theta == 0.0).tolist())
    return state


def _descend_from(objective: Objective, state: Any, released: np.ndarray) -> Any:
    """From a boundary point, along a direction in which the variance's score is negative."""
    direction = released - state.theta
    for shrink in range(30):
        trial = objective.evaluate(state.theta + direction * 0.5**shrink)
        if trial.value < state.value - 1e-9:
            return trial
    objective.evaluate(state.theta)
    return None


def _polish(objective: Objective, state: Any, progress: Progress) -> Any:
    """Exact Newton steps with a Hessian by differences of the gradient, where that is cheap.

    The average information is not the observed one: its steps converge linearly on small samples. A saddle
    shows here as a negative eigenvalue and is left along it.
    """
    free = _free(objective, progress.zeros)
    settled = progress.converged and (progress.decrement < TOLERANCE or objective.seconds > EXPENSIVE)
    if len(free) == 0 or 2 * len(free) * objective.seconds > (0.05 if settled else 2.0):
        return state
    for _ in range(6):
        h = hessian_by_differences(objective, state, free)
        state = objective.evaluate(state.theta)
        g = objective.gradient(state)[free] * _stretch(objective, state.theta)[free]
        values, vectors = np.linalg.eigh(h)
        progress.definite = bool(values[0] > -1e-6 * max(values[-1], 1.0))
        if not progress.definite:
            left = _leave_saddle(objective, state, free, vectors[:, 0])
            if left is None:
                return state
            progress.converged = False
            state = _newton(objective, left, progress, progress.iterations + 100, None)
            free = _free(objective, progress.zeros)
            continue
        progress.scaled_gradient = scaled_gradient(g, h)
        state, done = _chord(objective, state, free, g, h, progress)
        if done:
            return state
    return state


def _chord(
    objective: Objective, state: Any, free: np.ndarray, g: np.ndarray, h: np.ndarray, progress: Progress
) -> tuple[Any, bool]:
    """Newton steps with one exact Hessian while the decrement falls fast; whether they ended at rounding level."""
    for _ in range(4):
        step = _solve(h, g, 0.0)
        progress.decrement = float(-g @ step)
        if progress.decrement < 1e-22:
            progress.converged = True
            return state, True
        trial = objective.evaluate(_move(objective, state.theta, free, _clip(objective, free, step, state.theta)))
        if not trial.value <= state.value + 1e-11 * (1.0 + abs(state.value)):
            objective.evaluate(state.theta)
            return state, progress.decrement < 1e-12
        new = objective.gradient(trial)[free] * _stretch(objective, trial.theta)[free]
        after = float(-new @ _solve(h, new, 0.0))
        if after >= progress.decrement:
            return objective.evaluate(state.theta), True
        fast = after < 1e-2 * progress.decrement
        state, g, progress.decrement = trial, new, after
        progress.scaled_gradient = scaled_gradient(g, h)
        progress.converged = progress.converged or progress.scaled_gradient < CONVERGED
        if not fast:
            return state, after < 1e-16
    return state, progress.decrement < 1e-16


def _leave_saddle(objective: Objective, state: Any, free: np.ndarray, direction: np.ndarray) -> Any:
    for size in (1.0, 0.3, 0.1, 0.03):
        for sign in (1.0, -1.0):
            step = _clip(objective, free, sign * size * direction, state.theta)
            trial = objective.evaluate(_move(objective, state.theta, free, step))
            if trial.value < state.value - 1e-9:
                return trial
    objective.evaluate(state.theta)
    return None


def hessian_by_differences(objective: Objective, state: Any, free: np.ndarray, size: float = 1e-4) -> np.ndarray:
    """∂²/∂η² over the free working coordinates by central differences of the exact gradient."""
    h = np.empty((len(free), len(free)))
    for i in range(len(free)):
        step = np.zeros(len(free))
        j = free[i]
        plain = objective.kinds[j] == "free" or objective.additive[j]
        step[i] = size * max(objective.reach[j], abs(state.theta[j])) if plain else size
        sides = []
        for sign in (1.0, -1.0):
            near = objective.evaluate(_move(objective, state.theta, free, sign * step))
            sides.append(objective.gradient(near)[free] * _stretch(objective, near.theta)[free])
        h[i] = (sides[0] - sides[1]) / (2.0 * step[i])
    return 0.5 * (h + h.T)
