"""What a profile holds fixed: a fixed effect, a standard deviation, σ, a correlation; each answers D(c).

    fixed effect   β = a c'/(a'a) + N γ: its column goes to the response, the others stay (`criterion.recombined`)
    sd, σ          `core/profile.py`
    correlation    θ is pinned (`core/pinned.py`)

Searches start at the θ of the nearest value already known.
"""

from __future__ import annotations

import math

import numpy as np

from ..core.likelihood import Likelihood, State
from ..core.objective import GaussianObjective
from ..core.pinned import pinned_correlation, pinned_start
from ..core.profile import PinnedSd, SdProfile, anchor
from ..numerics.newton import minimise
from .criterion import minimum, recombined, with_scales
from .parameters import CORRELATION, FIXED, SD, Parameter

INFINITE = (-math.inf, math.inf)


class Nearest:
    """θ at values already computed: the start at the next one."""

    def __init__(self, value: float, theta: np.ndarray) -> None:
        self.known = [(value, np.array(theta))]

    def __call__(self, c: float) -> np.ndarray:
        return min(self.known, key=lambda item: abs(item[0] - c))[1]

    def add(self, c: float, theta: np.ndarray) -> None:
        self.known.append((c, np.array(theta)))


class FixedEffect:
    """Profile of one fixed effect under maximum likelihood."""

    range = INFINITE

    def __init__(self, likelihood: Likelihood, state: State, column: int, step: float) -> None:
        products = likelihood.products
        self.likelihood, self.least, self.step = likelihood, state.value, step
        self.unit, self.origin = products.y_shift.scale, float(products.beta_origin[column])
        self.a = products.to_beta[column]
        assert state.solution is not None
        self.estimate = self.origin + self.unit * float(self.a @ state.solution.beta)
        # columns of N span what is orthogonal to a
        self.rest = np.linalg.svd(self.a[None, :])[2][1:].T
        self.near = Nearest(self.estimate, state.theta)

    def drop(self, c: float) -> float:
        p = len(self.a)
        T = np.zeros((p + 1, p))
        T[:p, : p - 1] = self.rest
        T[:p, p - 1] = -self.a * ((c - self.origin) / self.unit / float(self.a @ self.a))
        T[p, p - 1] = 1.0
        state, _ = minimum(recombined(self.likelihood, T), self.near(c))
        if np.isfinite(state.value):
            self.near.add(c, state.theta)
        return float(state.value - self.least)


class StandardDeviation:
    """Profile of a standard deviation between levels, or of the residual one (`term` None)."""

    range = (0.0, math.inf)

    def __init__(self, likelihood: Likelihood, state: State, term: int | None, i: int, step: float) -> None:
        self.unit, self.term = likelihood.products.y_shift.scale, term
        row = np.zeros(0) if term is None else likelihood.products.to_effects[term][i]
        self.inner = SdProfile(likelihood, state, term, row)
        self.estimate = self.inner.estimate * self.unit
        self.step = step if math.isfinite(step) and step > 0.0 else anchor(self.inner) * self.unit

    def drop(self, c: float) -> float:
        return math.inf if c == 0.0 and self.term is None else self.inner.drop(c / self.unit)


class Correlation:
    """Profile of the correlation of coefficients `i` and `j` of a term.

    Where one of the two has no variance every correlation is the same, so D never exceeds what that costs; searches
    from inside would stop at local minima beside it.
    """

    range = (-1.0, 1.0)

    def __init__(
        self, likelihood: Likelihood, state: State, term: int, i: int, j: int, value: float, step: float
    ) -> None:
        self.likelihood, self.least, self.estimate = likelihood, state.value, value
        self.step = step if math.isfinite(step) and step > 0.0 else 0.1
        self.term, self.i, self.j = term, i, j
        self.scale, self.to = likelihood.scales[term], likelihood.products.to_effects[term]
        part = likelihood.slices[term]
        lam = self.to @ self.scale.factor(state.theta[part])
        start = pinned_start(self.scale, self.to, lam @ lam.T, (i, j))
        self.near = Nearest(value, np.concatenate([state.theta[: part.start], start, state.theta[part.stop :]]))
        with np.errstate(all="ignore"):
            flat = [PinnedSd(likelihood, state, term, self.to[place]).value(0.0) for place in (i, j)]
        self.most = min(flat) - self.least

    def drop(self, c: float) -> float:
        scales = list(self.likelihood.scales)
        scales[self.term] = pinned_correlation(self.scale, self.to, self.i, self.j, c)
        self.likelihood.current = None  # the workspace is shared
        pinned = with_scales(self.likelihood, scales)
        with np.errstate(all="ignore"):
            state, _ = minimise(GaussianObjective(pinned), self.near(c), maxiter=100, polish=False)
        if np.isfinite(state.value):
            self.near.add(c, state.theta)
        return min(float(state.value - self.least), self.most)


Profiled = FixedEffect | StandardDeviation | Correlation


def target(likelihood: Likelihood, state: State, name: Parameter, value: float, step: float) -> Profiled | None:
    """What to hold fixed for one parameter; None where it has no value."""
    if math.isnan(value):
        return None
    if name.kind == FIXED:
        return FixedEffect(likelihood, state, name.place[0], step)
    if name.kind == CORRELATION:
        t, i, j = name.place
        return Correlation(likelihood, state, t, i, j, value, step)
    term, i = name.place if name.kind == SD else (None, 0)
    return StandardDeviation(likelihood, state, term, i, step)
