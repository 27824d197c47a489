"""Conditional modes of one factor's levels at many parameter points at once, for any family.

Given the parameters, levels are independent, and so are points: Newton's method runs on all of them side by side, each
level with its own line search. What is gained is the overhead of array arithmetic, which on a few hundred rows costs
more than the arithmetic. The same modes and criterion as `Laplace`, which is its test.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .laplace import Laplace
from .level_rows import LevelRows

CHUNK = 40_000  # rows at once: they stay in the cache
MOST_STEPS, HALVINGS = 80, 40
HOPELESS = 1e10  # h of a level, and d, at which rounding hides where the mode is
CLOSE = 1e-7  # Newton decrement after which one more step is the last


@dataclass(frozen=True, eq=False)
class Modes:
    """At every point: û (N, L, k), H (N, L, k, k) and d (N,), infinite where the likelihood fails."""

    u: np.ndarray
    information: np.ndarray
    value: np.ndarray


class BatchModes:
    """Finds the modes.

    Parameters
    ----------
    criterion : Laplace
        With one grouping factor; its parameters are square roots of the covariance row by row, and c.
    """

    def __init__(self, criterion: Laplace) -> None:
        self.criterion = criterion
        self.rows = LevelRows(criterion)
        self.warm = np.zeros((self.rows.levels, self.rows.k))
        self.tangent: tuple[np.ndarray, np.ndarray] | None = None  # φ and ∂û/∂φ (L, k, ·) where `warm` is the mode

    def settle(self, phi: np.ndarray) -> None:
        """Start from the mode at φ, and its tangent, from now on."""
        state = self.criterion.evaluate(phi)
        if state.mode is None:
            return
        self.warm = self.criterion.by_factor(state.mode.u)[0].copy()
        self.criterion.touch(state)
        known = self.criterion._tangent
        if known is not None:
            columns = [self.criterion.by_factor(np.ascontiguousarray(s))[0] for s in known[2].T]
            self.tangent = phi.copy(), np.stack(columns, axis=-1)

    def find(self, phi: np.ndarray) -> Modes:
        """Modes at points (N, ·)."""
        n, levels, k = len(phi), self.rows.levels, self.rows.k
        out = Modes(np.zeros((n, levels, k)), np.tile(np.eye(k), (n, levels, 1, 1)), np.full(n, np.inf))
        size = max(1, CHUNK // self.rows.n)
        good = np.flatnonzero(np.all(np.isfinite(phi), axis=1))
        for first in range(0, len(good), size):
            part = good[first : first + size]
            out.u[part], out.information[part], out.value[part] = self._chunk(phi[part])
        return out

    def _start(self, phi: np.ndarray) -> np.ndarray:
        u = np.tile(self.warm, (len(phi), 1, 1))
        if self.tangent is not None:
            step = phi - self.tangent[0]
            near = np.max(np.abs(step), axis=1, initial=0.0) < 1.0
            u[near] += np.moveaxis(self.tangent[1] @ step[near].T, 2, 0)
        return u

    def _chunk(self, phi: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows, k = self.rows, self.rows.k
        lam, fixed = rows.lam(phi), rows.fixed(phi)
        u = self._start(phi)
        h, pull, information = rows.derivatives(lam, fixed, u)
        lost = ~(h < HOPELESS)
        if np.any(lost):
            u[lost] = 0.0
            h, pull, information = rows.derivatives(lam, fixed, u)
        active = np.arange(len(phi))
        for _ in range(MOST_STEPS):
            step, decrement = _newton(pull[active], information[active])
            last = decrement <= CLOSE
            moved = self._search(active, lam, fixed, u, (h, pull, information), step, decrement)
            done = np.all(last | ~moved, axis=1)
            active = active[~done]
            if len(active) == 0:
                break
        values = np.linalg.eigvalsh(information)[..., 0] if k > 1 else information[..., 0, 0]
        fine = np.all((values > 0.0) & np.isfinite(h), axis=1)
        information[~fine] = np.eye(k)
        value = 2.0 * h.sum(axis=1) + np.linalg.slogdet(information)[1].sum(axis=1)
        value -= 2.0 * self.criterion.rows.log_constant
        return u, information, np.where(fine & (value < HOPELESS), value, np.inf)

    def _search(self, active, lam, fixed, u, state, step, decrement):  # type: ignore[no-untyped-def]
        """Levels go along their steps to the first point that is low enough, in place; which of them moved."""
        h, pull, information = state
        slack = 1e-13 * (1.0 + np.abs(h[active]))
        size = np.ones(decrement.shape)
        waiting = np.isfinite(decrement) & (decrement > 0.0)
        moved = np.zeros(decrement.shape, dtype=bool)
        for _ in range(HALVINGS):
            trial = u[active] + np.where(waiting, size, 0.0)[..., None] * step
            new_h, new_pull, new_information = self.rows.derivatives(lam[active], fixed[active], trial)
            taken = waiting & (new_h <= h[active] - 1e-4 * size * decrement + slack)
            for old, new in ((u, trial), (h, new_h), (pull, new_pull), (information, new_information)):
                old[active] = np.where(taken.reshape(taken.shape + (1,) * (new.ndim - 2)), new, old[active])
            moved |= taken
            waiting &= ~taken
            size = np.where(waiting, 0.5 * size, size)
            waiting &= size * decrement > slack
            if not np.any(waiting):
                break
        return moved


def _newton(pull: np.ndarray, information: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Newton's steps and decrements; where the curvature is not positive its positive part takes its place."""
    if pull.shape[-1] == 1:
        step = pull / np.maximum(information[..., 0], 1.0) if np.any(information <= 0.0) else pull / information[..., 0]
        return step, (step * pull).sum(axis=-1)
    sound = np.isfinite(information).all(axis=(2, 3))
    safe = np.where(sound[..., None, None], information, np.eye(pull.shape[-1]))
    values, vectors = np.linalg.eigh(safe)
    values = np.where(values <= 0.0, 1.0, values)
    turned = np.einsum("nlab,nla->nlb", vectors, pull)
    step = np.einsum("nlab,nlb->nla", vectors, turned / values)
    return step, (step * pull).sum(axis=-1)
