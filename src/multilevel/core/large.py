"""Crossed factors with thousands of levels in the dense tail: most iterations without the inverse.

The exact gradient inverts the tail, three times the cost of factoring it. Its traces are estimated instead with
fixed Rademacher probes z,

    Σ_ℓ (Z'ZΛP)_ℓℓ ≈ mean_z Σ_ℓ (Z'ZΛ P z)_ℓ z_ℓ',

a smooth function of θ, so Newton converges on it; then one exact gradient gives the probes' bias at that point, and
a second search with the bias taken out ends at the exact optimum up to the change of the bias over a last step of a
few hundredths of a standard error (second order).

References: Hutchinson (1990); Gilmour, Thompson & Cullis (1995).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..numerics.newton import Progress, minimise
from .iterated import Stalled, search
from .likelihood import Likelihood, State
from .objective import GaussianObjective

LARGE_TAIL = 2500
PROBES = 32
ROUGH, FINE = 1e-3, 1e-11  # Newton decrements of the two searches


class ProbedObjective(GaussianObjective):
    """The criterion with estimated traces: exact value, information and residual part, probed log-determinant part."""

    def __init__(self, likelihood: Likelihood) -> None:
        super().__init__(likelihood)
        rng = np.random.default_rng(20_240_611)  # any fixed seed: the same fit on every run
        self.probes = rng.choice([-1.0, 1.0], size=(likelihood.elimination.q, PROBES))
        self.bias: list[np.ndarray] = [np.zeros((f.k, f.k)) for f in likelihood.products.factors]

    def traces(self, state: State) -> list[np.ndarray]:
        """Σ (Z'ZΛP)_ℓℓ by factor, estimated."""
        elimination, p = self.likelihood.elimination, self.likelihood.products.p
        r = self.probes.copy()
        head, tail = elimination.forward(r, np.zeros((p, PROBES)))
        nt = elimination.pattern.nt
        if not self.likelihood.reml:
            tail[nt:] = 0.0  # P = C⁻¹: the fixed effects take no part
        x, fixed = elimination.backward(np.concatenate([head, tail[:nt]]), np.ascontiguousarray(tail[nt:]))
        scaled = self._times_lambda(x, state)
        zz, _ = elimination.multiply(scaled)
        products, probes = self._by_level(zz), self._by_level(self.probes)
        sums = []
        for factor, a, b in zip(self.likelihood.products.factors, products, probes, strict=True):
            if self.likelihood.reml:
                a = a + np.einsum("lkp,ps->lks", factor.cross[:, :, :-1], fixed)
            sums.append(np.einsum("lks,ljs->kj", a, b) / PROBES)
        return sums

    def _by_level(self, matrix: np.ndarray) -> list[np.ndarray]:
        return self.likelihood.split(matrix)

    def _times_lambda(self, x: np.ndarray, state: State) -> np.ndarray:
        parts = [np.einsum("ij,ljs->lis", lam, part) for lam, part in zip(state.lam, self._by_level(x), strict=True)]
        return np.ascontiguousarray(self.likelihood.elimination.to_vector(parts))

    def slope(self, state: State) -> tuple[np.ndarray, np.ndarray]:
        sums = [a + b for a, b in zip(self.traces(state), self.bias, strict=True)]
        slope = self.likelihood.slope(state, sums=sums)
        return slope.gradient, slope.hessian + self._bends(state, slope)

    def gradient(self, state: State) -> np.ndarray:
        return self.slope(state)[0]

    def correct(self, state: State) -> None:
        """Learn the bias at a state from one exact inverse."""
        exact = self.likelihood.elimination.inverse(self.likelihood.reml).sums
        self.bias = [e - t for e, t in zip(exact, self.traces(state), strict=True)]


def minimise_large(
    likelihood: Likelihood, start: np.ndarray, maxiter: int, tick: Callable[[int, float], None] | None
) -> tuple[State, Progress]:
    """The search without factorisations where it settles; otherwise a rough one on probed gradients, one exact
    inverse, and a fine one with the bias taken out."""
    try:
        theta, progress = search(likelihood, start, maxiter, tick)
    except (Stalled, np.linalg.LinAlgError):
        return _minimise_factored(likelihood, start, maxiter, tick)
    return likelihood.evaluate(theta), progress


def _minimise_factored(
    likelihood: Likelihood, start: np.ndarray, maxiter: int, tick: Callable[[int, float], None] | None
) -> tuple[State, Progress]:
    objective = ProbedObjective(likelihood)
    state, rough = minimise(objective, start, maxiter, tick, polish=False, tolerance=ROUGH)
    if not rough.converged:
        return state, rough
    objective.correct(state)
    state, fine = minimise(objective, state.theta, maxiter - rough.iterations + 1, tick, False, FINE)
    fine.iterations += rough.iterations
    fine.zeros |= rough.zeros
    return state, fine
