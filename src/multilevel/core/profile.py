"""Profile likelihood of a standard deviation.

    D(c) = min { d(θ, σ) : sd(θ, σ) = c } − min d,      interval { c : D(c) ≤ χ²_{1, level} }

sd_j = σ ρ_j(θ) with ρ_j² the j-th diagonal of λλ', so fixing it fixes σ = c/ρ_j(θ) and leaves a smooth problem in θ
for the same Newton driver. Where σ is known there is nothing to give way, and θ itself is pinned (`pinned.py`).
An interval that reaches zero says so exactly.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ..numerics.newton import minimise
from ..numerics.threads import threads_for
from .likelihood import TWO_PI, Likelihood, State
from .objective import GaussianObjective
from .pinned import pinned_sd, pinned_start


class FixedSd(GaussianObjective):
    """d(θ, σ = c/ρ(θ)) as the driver's objective.

    Parameters
    ----------
    term : int or None
        The group term of the standard deviation; None fixes the residual one.
    row : (k,) row of the map from internal to external coefficients
    """

    def __init__(self, likelihood: Likelihood, term: int | None, row: np.ndarray) -> None:
        super().__init__(likelihood)
        self.term, self.row = term, row
        self.c = 1.0
        if term is not None and likelihood.scales[term].k == 1:
            self.additive[likelihood.slices[term]] = False  # σ = c/ρ is no smooth function of ρ through zero

    def _sigma2(self, theta: np.ndarray) -> tuple[float, np.ndarray]:
        """σ² = c²/ρ², and ∂ log σ/∂θ."""
        slopes = np.zeros(self.likelihood.n_theta)
        if self.term is None:
            return self.c**2, slopes
        part = self.likelihood.slices[self.term]
        scale = self.likelihood.scales[self.term]
        half = scale.factor(theta[part]).T @ self.row
        rho2 = float(half @ half)
        if not rho2 > 0.0:
            return np.inf, slopes
        slopes[part] = -np.einsum("a,jab,b->j", self.row, scale.derivative(theta[part]), half) / rho2
        return self.c**2 / rho2, slopes

    def evaluate(self, theta: np.ndarray) -> State:
        state = self.likelihood.evaluate(theta)
        sigma2, _ = self._sigma2(theta)
        if state.solution is None or not 0.0 < sigma2 < np.inf:
            return State(theta, np.inf, np.nan, None)
        value = state.solution.log_det + self.likelihood.nu * math.log(TWO_PI * sigma2) + state.solution.r2 / sigma2
        if self.likelihood.reml:
            value += state.solution.log_det_x
        return State(theta, value, sigma2, state.solution, state.lam)

    def slope(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        assert state.solution is not None
        slope = self.likelihood.slope(state, sigma2=state.sigma2)
        _, by_theta = self._sigma2(state.theta)
        ratio = state.solution.r2 / state.sigma2
        gradient = slope.gradient + (2.0 * self.likelihood.nu - 2.0 * ratio) * by_theta
        # b = -∂r²/∂θ: the mixed derivative over (θ, log σ) is 2b/σ², and 4 r²/σ² over log σ
        mixed = np.outer(2.0 * slope.b / state.sigma2, by_theta)
        hessian = slope.hessian + self._bends(state, slope) + mixed + mixed.T
        hessian += 4.0 * ratio * np.outer(by_theta, by_theta)
        return gradient, 0.5 * (hessian + hessian.T)

    def gradient(self, state: State) -> np.ndarray:
        return self.slope(state)[0]


class PinnedSd:
    """min d(θ : sd(θ) = c) where σ is known, or for c = 0."""

    def __init__(self, likelihood: Likelihood, state: State, term: int, row: np.ndarray) -> None:
        self.likelihood, self.term, self.theta = likelihood, term, np.array(state.theta)
        self.to_effects = likelihood.products.to_effects[term]
        self.i = int(np.flatnonzero((self.to_effects == row).all(axis=1))[0])
        self.near = self._start(zero=False)

    def _start(self, zero: bool) -> np.ndarray:
        part, scale = self.likelihood.slices[self.term], self.likelihood.scales[self.term]
        lam = self.to_effects @ scale.factor(self.theta[part])
        start = pinned_start(scale, self.to_effects, lam @ lam.T, (self.i,), zero)
        return np.concatenate([self.theta[: part.start], start, self.theta[part.stop :]])

    def value(self, c: float) -> float:
        """Deviance at the best θ with the standard deviation at c; the next search starts there."""
        likelihood = self.likelihood
        scales = list(likelihood.scales)
        relative = c / math.sqrt(likelihood.known_sigma2 or 1.0)
        scales[self.term] = pinned_sd(likelihood.scales[self.term], self.to_effects, self.i, relative)
        likelihood.current = None  # the workspace is shared
        held = Likelihood(likelihood.products, scales, likelihood.reml, likelihood.known_sigma2, likelihood.elimination)
        if held.n_theta == 0:
            return held.evaluate(np.zeros(0)).value
        start = self.near if c > 0.0 else self._start(zero=True)
        state, _ = minimise(GaussianObjective(held), start, maxiter=60, polish=False)
        if np.isfinite(state.value) and c > 0.0:
            self.near = np.array(state.theta)
        return float(state.value)


class SdProfile:
    """D(c) with warm starts from the nearest point already computed."""

    def __init__(self, likelihood: Likelihood, state: State, term: int | None, row: np.ndarray) -> None:
        self.objective = FixedSd(likelihood, term, row)
        self.least = state.value
        self.known: list[tuple[float, np.ndarray]] = [(self._sd(state), np.array(state.theta))]
        self.estimate = self.known[0][0]
        self.pinned = None if term is None else PinnedSd(likelihood, state, term, row)

    def _sd(self, state: State) -> float:
        if self.objective.term is None:
            return math.sqrt(state.sigma2)
        part = self.objective.likelihood.slices[self.objective.term]
        scale = self.objective.likelihood.scales[self.objective.term]
        half = scale.factor(state.theta[part]).T @ self.objective.row
        return math.sqrt(state.sigma2 * float(half @ half))

    def drop(self, c: float) -> float:
        """D(c)."""
        if self.pinned is not None and (c == 0.0 or self.objective.likelihood.known_sigma2 is not None):
            return self.pinned.value(c) - self.least
        self.objective.c = c
        near = min(self.known, key=lambda item: abs(math.log((item[0] + 1e-300) / c)))
        start = near[1].copy()
        if self.objective.term is not None:
            # keep σ where it was: scale the term so that its standard deviation becomes c
            part = self.objective.likelihood.slices[self.objective.term]
            kinds = [self.objective.kinds[j] for j in range(part.start, part.stop)]
            if near[0] > 0.0:
                start[part] = np.where(np.array(kinds) == "bounded", start[part], start[part] * (c / near[0]))
            else:
                start[part] = self.objective.likelihood.scales[self.objective.term].start() * 0.1
        state, _ = minimise(self.objective, start, maxiter=60, polish=False)
        if np.isfinite(state.value):
            self.known.append((c, np.array(state.theta)))
        return float(state.value - self.least)


def interval(profile: SdProfile, drop: float, guess: float) -> tuple[float, float]:
    """Ends at which the profile has risen by `drop`; 0 when it does not rise that far on the way down.

    `guess` is the distance of the ends on the log scale (a Wald interval's half-width).
    """
    with threads_for(profile.objective.likelihood.elimination.pattern.nt):
        return _ends(profile, drop, min(max(guess, 0.05), 2.0))


def _ends(profile: SdProfile, drop: float, step: float) -> tuple[float, float]:
    top = _cross(profile, drop, anchor(profile), step)
    if profile.estimate == 0.0:
        return 0.0, top
    if profile.objective.term is not None and profile.drop(0.0) < drop:
        return 0.0, top
    return _cross(profile, drop, profile.estimate, -step), top


def anchor(profile: SdProfile) -> float:
    """Where to start looking for the upper end when the estimate itself is zero."""
    if profile.estimate > 0.0:
        return profile.estimate
    objective = profile.objective
    assert objective.term is not None
    part = objective.likelihood.slices[objective.term]
    size = math.sqrt(float(objective.row @ objective.row))
    return 0.1 * size * math.sqrt(objective.likelihood.known_sigma2 or _sigma2(profile)) / math.sqrt(
        float(np.max(objective.weight[part]))
    )


def _sigma2(profile: SdProfile) -> float:
    return float(profile.objective.likelihood.evaluate(profile.known[0][1]).sigma2)


def _cross(profile: SdProfile, drop: float, start: float, step: float) -> float:
    """Root of D(c) = drop on the side of `step`, on the log scale, by secants on √D inside a bracket."""
    target = math.sqrt(drop)

    def f(log_c: float) -> float:
        return math.sqrt(max(profile.drop(math.exp(log_c)), 0.0)) - target

    inside = math.log(start)
    value_inside = -target if profile.estimate > 0.0 else f(inside)
    if value_inside > 0.0:  # the anchor of a zero estimate lies beyond the end
        step = -abs(step)
        while value_inside > 0.0 and inside > math.log(start) - 40.0:
            outside, value_outside = inside, value_inside
            inside += step
            value_inside = f(inside)
        return math.exp(_root(f, inside, value_inside, outside, value_outside))
    for _ in range(40):
        outside = inside + step
        value_outside = f(outside)
        if value_outside > 0.0:
            return math.exp(_root(f, inside, value_inside, outside, value_outside))
        inside, value_inside, step = outside, value_outside, step * 1.5
    return math.inf if step > 0 else 0.0


def _root(f: Callable[[float], float], a: float, fa: float, b: float, fb: float) -> float:
    """Regula falsi with the Illinois rule; 1e-4 on the log scale is beyond what an interval can mean."""
    for _ in range(30):
        c = (a * fb - b * fa) / (fb - fa)
        fc = f(c)
        if abs(fc) < 1e-5 or abs(b - a) < 1e-6:
            return c
        if fc * fb < 0.0:
            a, fa = b, fb
        else:
            fa *= 0.5
        b, fb = c, fc
    return b
