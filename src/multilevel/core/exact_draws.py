"""Group effects of the levels of one factor drawn exactly given the parameters, by rejection.

Draws of z are taken in blocks of nearly the same spread between levels; each block's envelopes touch the levels'
densities at its mean, and serve all its draws (`numerics/level_rejection.py` and `level_normals.py` say why). Levels
are shared between threads; what is drawn depends on the generator alone. Families without compiled rows, and levels of
several coefficients with so many rows that nearly all proposals would be refused, take one of some weighted proposals
(`core/latent_draws.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

from ..model.memory import check_effects
from ..numerics.threads import threads_for
from .completed import LateEffects
from .laplace import LaplaceState
from .one_factor_quadrature import OneFactorQuadrature
from .quadrature_levels import Integral

if TYPE_CHECKING:
    from .marginal import LaplacePosterior

BLOCK, RATIO = 1024, 1.05  # draws of a block, and of its largest spread to its smallest
MOST_ATTEMPTS = 100.0  # proposals for a draw that are worth while
CHOSEN = "chosen among weighted proposals"
CHUNK = 50  # draws at once where proposals are weighted


class LateDraws(ABC):
    """Draws of the effects of a target by quadrature, whose integrals leave nothing for weights to undo."""

    def __init__(self, target: LaplacePosterior) -> None:
        self.target, self.criterion = target, target.criterion
        self.factor = self.criterion.rows.factors[0]
        k = self.factor.k
        self.unit = np.zeros((k, k))  # b = λu in the units of the data
        for t, a, b in self.factor.terms:
            self.unit[a:b, a:b] = np.linalg.inv(target.maps[t])

    @property
    @abstractmethod
    def words(self) -> str:
        """How the effects are drawn."""

    @abstractmethod
    def made(self, phi: np.ndarray, key: np.uint64) -> np.ndarray:
        """The draws (N, L, k) given points of φ and the key of the random numbers; NaN where the likelihood fails."""

    @abstractmethod
    def _means(self, state: LaplaceState) -> np.ndarray:
        """E(u | y) of every level at a state, (L, k)."""

    def draw(self, z: np.ndarray, rng: np.random.Generator) -> tuple[LateEffects, np.ndarray]:
        """Effects of every term (N, L, k) in the units of the data, drawn when asked for, and log weights (N,): zero.

        A weight is −∞ where the likelihood fails.
        """
        phi = self.target.phi(z)
        key = rng.integers(2**64, dtype=np.uint64)
        log_weights = np.zeros(len(z))
        mean, sound = np.zeros((self.factor.n_levels, self.factor.k)), 0
        with threads_for(0), self.target.helped():
            for block in blocks(self._spread(phi)):
                state = self.target.evaluate(phi[block].mean(axis=0))
                if state.mode is None:
                    log_weights[block] = -np.inf
                    continue
                mean += len(block) * (self._means(state) @ state.lam[0].T)
                sound += len(block)
        mean = mean @ self.unit.T / max(sound, 1)
        return LateEffects(lambda: self._by_term(self.made(phi, key)), self._by_term(mean)), log_weights

    def _spread(self, phi: np.ndarray) -> np.ndarray:
        """|det λ|^(1/k) at points (N, ·)."""
        factors = [phi[:, part].reshape(len(phi), b - a, b - a) for part, (_, a, b) in self._parts]
        return np.asarray(np.abs(np.prod([np.linalg.det(lam) for lam in factors], axis=0)) ** (1.0 / self.factor.k))

    @property
    def _parts(self) -> list[tuple[slice, tuple[int, int, int]]]:
        return [(self.criterion.slices[t], (t, a, b)) for t, a, b in self.factor.terms]

    def _by_term(self, effects: np.ndarray) -> list[np.ndarray]:
        out = [np.zeros(0)] * len(self.target.maps)
        for t, a, b in self.factor.terms:
            out[t] = effects[..., a:b]
        return out

    def _room(self, draws: int) -> np.ndarray:
        check_effects(8.0 * draws * self.factor.n_levels * self.factor.k)
        return np.empty((draws, self.factor.n_levels, self.factor.k))


class ExactDraws(LateDraws):
    """By rejection, of compiled rows."""

    def __init__(self, target: LaplacePosterior) -> None:
        super().__init__(target)
        assert isinstance(target.criterion, OneFactorQuadrature)
        self.criterion: OneFactorQuadrature = target.criterion
        self.attempts = 0  # of all draws so far, refused ones among them
        self.expected = 0.0  # of a draw

    @property
    def words(self) -> str:
        return "by rejection" if self.expected < MOST_ATTEMPTS else CHOSEN

    def _means(self, state: LaplaceState) -> np.ndarray:
        self.expected = max(self.expected, self._expected(state))
        return self.criterion.means(state)

    def _expected(self, state: LaplaceState) -> float:
        """Proposals for a draw, on average over rows: |H|^½ under a single plane."""
        if self.factor.k == 1:
            return 1.0
        root = self.criterion.root_at(state)
        attempts = np.prod(np.diagonal(root, axis1=1, axis2=2), axis=1)
        return float(np.average(attempts, weights=1.0 + np.diff(self.criterion.level_start)))

    def made(self, phi: np.ndarray, key: np.uint64) -> np.ndarray:
        if self.expected >= MOST_ATTEMPTS:
            return ChosenDraws(self.target).made(phi, key)
        out = self._room(len(phi))
        one = self._block if self.factor.k > 1 else self._block_of_single
        for block in blocks(self._spread(phi)):
            state = self.target.evaluate(phi[block].mean(axis=0))
            if state.mode is None or not one(state, phi[block], block.astype(np.uint64), key, out):
                out[block] = np.nan
        return out

    def _block_of_single(
        self, state: LaplaceState, phi: np.ndarray, draws: np.ndarray, key: np.uint64, out: np.ndarray
    ) -> bool:
        from ..numerics.level_rejection import draw_levels, tangents

        assert state.mode is not None
        rows, levels, lam = self._rows(state), self.factor.n_levels, state.lam[0][0, 0]
        rows = *rows[:-1], np.ascontiguousarray(rows[-1][:, 0])
        mode, sd = lam * state.mode.u, np.abs(lam) / self.criterion.root_at(state)[:, 0, 0]
        at, height, slope = (np.empty((levels, 3)) for _ in range(3))
        planes = at, height, slope, np.empty((levels, 3, self.criterion.x.shape[1]))
        drawn = self._away(state, phi), 1.0 / phi[:, 0] ** 2, draws, key, float(self.unit[0, 0]), out[:, :, 0]

        def work(begin: int, end: int) -> int:
            tangents(*rows, mode, sd, *planes, begin, end)
            return int(draw_levels(*rows, *planes, *drawn, begin, end))

        return self._counted(self.criterion.shared(work, large=True))

    def _block(
        self, state: LaplaceState, phi: np.ndarray, draws: np.ndarray, key: np.uint64, out: np.ndarray
    ) -> bool:
        from ..numerics.level_normals import draw_levels, tangents

        assert state.mode is not None
        rows, levels, k = self._rows(state), self.factor.n_levels, self.factor.k
        at = np.ascontiguousarray(state.mode.u.reshape(levels, k) @ state.lam[0].T)
        planes = at, np.empty(levels), np.empty((levels, k)), np.empty((levels, self.criterion.x.shape[1]))
        lam = np.zeros((len(phi), k, k))
        for part, (_, a, b) in self._parts:
            lam[:, a:b, a:b] = phi[:, part].reshape(len(phi), b - a, b - a)
        roots = np.ascontiguousarray(lam.reshape(len(phi), -1).T)
        drawn = self._away(state, phi), roots, draws, key, self.unit, out

        def work(begin: int, end: int) -> int:
            tangents(*rows, *planes, begin, end)
            return int(draw_levels(*rows, *planes, *drawn, begin, end))

        return self._counted(self.criterion.shared(work, large=True))

    def _rows(self, state: LaplaceState) -> tuple[Any, ...]:
        c = self.criterion
        return c.code, c.level_start, c.y, c.size, c.fixed(state.theta), c.x, c.z

    def _away(self, state: LaplaceState, phi: np.ndarray) -> np.ndarray:
        """c − ĉ of the draws, (p, m)."""
        return np.ascontiguousarray((phi - state.theta)[:, self.criterion.n_theta :].T)

    def _counted(self, attempts: list[int]) -> bool:
        self.attempts += sum(attempts)
        return min(attempts) >= 0


class ChosenDraws(LateDraws):
    """One of some weighted proposals in each level, of any family."""

    words = CHOSEN

    def _means(self, state: LaplaceState) -> np.ndarray:
        integral = getattr(state, "integral", None)
        assert isinstance(integral, Integral)
        return np.asarray(np.einsum("rl,rlk->lk", integral.p, integral.at))

    def made(self, phi: np.ndarray, key: np.uint64) -> np.ndarray:
        from .latent_draws import level_draws
        from .marginal import LaplacePosterior

        out = self._room(len(phi))
        plain = LaplacePosterior(self.target.model)
        if plain.batch is not None:
            plain.batch.settle(phi.mean(axis=0))
        draws = level_draws(plain)
        draws.points = 2 * draws._first()
        rng = np.random.default_rng(int(key))
        for first in range(0, len(phi), CHUNK):
            part = phi[first : first + CHUNK]
            roots = np.stack([self.unit @ self.criterion.factors(row)[0] for row in part])
            out[first : first + CHUNK] = draws._drawn(part, rng)[0][0] @ np.swapaxes(roots, 1, 2)
        return out


def blocks(sd: np.ndarray) -> list[np.ndarray]:
    """Places of draws with nearly the same standard deviation, `BLOCK` at most."""
    order = np.argsort(sd, kind="stable")
    out, first = [], 0
    while first < len(order):
        last = int(np.searchsorted(sd[order], RATIO * sd[order[first]], side="right"))
        last = min(max(last, first + 1), first + BLOCK)
        out.append(order[first:last])
        first = last
    return out
