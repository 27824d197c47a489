"""Group effects drawn given the parameters, and their integral estimated without bias.

Given z the effects fall into independent groups: levels of a single factor, or sets of levels that share rows. In each
group M proposals around the mode are weighted and one of them is taken,

    w_m = p(y_g | u_m) N(u_m; 0, I) / q(u_m),    Î_g = Σ_m w_m / M,    P(u = u_m) = w_m / Σ w

so that E Î_g is the group's integral and (z, u) weighted by Π_g Î_g is the posterior itself, for every M: more
proposals only make Π Î_g less scattered. `draw` reports Σ_g log Î_g minus the log integral that the target used.

For one factor the proposals are a lattice with a random shift, bent to Student-t's with 4 degrees of freedom in the
coordinates that make H the identity: the weights then vanish smoothly at the ends of the unit cube, where lattices
converge faster than any power of M. For other designs they are pairs of opposite normal draws around the mode moved by
half of v (`core/laplace.py`), the mean to second order.

References: Andrieu, Doucet & Holenstein (2010), JRSS B 72; Tran, Scharth, Pitt & Kohn, arXiv 1309.3339 (importance
sampling with estimated likelihoods); Sloan & Joe (1994), Lattice Methods for Multiple Integration; Shaw (2006),
J. Computational Finance 9.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from .exact_draws import ChosenDraws, ExactDraws, LateDraws
from .laplace import LaplaceState
from .level_rows import Densities, LevelRows
from .one_factor import OneFactorLaplace

if TYPE_CHECKING:
    from .marginal import LaplacePosterior

POINTS = {1: 8, 2: 16, 3: 64}  # proposals a group to begin with, by the number of effects
MANY, JOINT = 256, 32  # the same for more effects, and for groups with several levels
MOST = 4096
SCATTER = 0.2  # sd of Σ log Î_g beyond which proposals are doubled
PILOT = 12  # points at which that is measured
MANY_LEVELS = 5000  # levels beyond which log weights are a fitted function of z
SURFACE = 32  # proposals a level for that
CHUNK = 400_000  # rows times proposals at once


def latent_draws(target: LaplacePosterior) -> LatentDraws | LateDraws:
    """The way that suits a target's groups."""
    factors = target.criterion.rows.factors
    if target.exact:
        return ExactDraws(target) if isinstance(target.criterion, OneFactorLaplace) else ChosenDraws(target)
    if not factors:
        return NoDraws(target)
    if len(factors) > 1:
        return SetDraws(target)
    return level_draws(target)


def level_draws(target: LaplacePosterior) -> LevelDraws:
    """Of a single grouping factor."""
    return CompiledDraws(target) if isinstance(target.criterion, OneFactorLaplace) else LevelDraws(target)


class LatentDraws(ABC):
    """Draws of the effects of one target."""

    def __init__(self, target: LaplacePosterior) -> None:
        self.target, self.criterion = target, target.criterion
        self.rows = self.criterion.rows
        self.points = 0  # proposals a group; found by the first draws

    def draw(self, z: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Effects of every term (N, L, k) in the units of the data, and log weights (N,), given points (N, d)."""
        phi = self.target.phi(z)
        if not self.points:
            self.points = self._first() if self.smooth else self._enough(phi, rng)
        order = np.lexsort(phi.T)  # points drawn several times need their modes once
        log_weights = np.empty(len(z))
        u, log_weights[order] = self._drawn(phi[order], rng)
        if self.target.surface is not None:  # the target has them already
            log_weights = np.where(np.isfinite(log_weights), 0.0, -np.inf)
        out: list[np.ndarray] = [np.zeros(0)] * len(self.target.maps)
        roots = self.target.coordinates.factors(z)
        for f, factor in enumerate(self.rows.factors):
            for t, a, b in factor.terms:
                out[t] = np.empty((len(z), factor.n_levels, b - a))
                out[t][order] = u[f][:, :, a:b] @ np.swapaxes(roots[t][order], 1, 2)
        return out, log_weights

    @property
    def smooth(self) -> bool:
        """Whether there are so many levels that their sum is a quadratic function of z over the whole posterior."""
        factors = self.rows.factors
        return len(factors) == 1 and factors[0].n_levels > MANY_LEVELS

    def surface(self, z: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """log weights as a quadratic function of z, fitted at points (N, d) with the same random numbers for all.

        The estimates' errors are then nearly the same everywhere, and what is the same in all weights does not matter.
        """
        phi, few = self.target.phi(z), self.points
        self.points = SURFACE
        values = np.array([self._drawn(row[None], np.random.default_rng(0))[1][0] for row in phi])
        self.points = few
        centre, scale = z.mean(axis=0), np.maximum(z.std(axis=0), 1e-12)
        low = np.tril_indices(z.shape[1])

        def columns(at: np.ndarray) -> np.ndarray:
            x = (at - centre) / scale
            return np.column_stack([np.ones(len(x)), x, x[:, low[0]] * x[:, low[1]]])

        fine = np.isfinite(values)
        fitted = np.linalg.lstsq(columns(z[fine]), values[fine], rcond=1e-10)[0]
        return lambda at: np.asarray(columns(at) @ fitted)

    def _enough(self, phi: np.ndarray, rng: np.random.Generator) -> int:
        """Proposals with which the weights hardly scatter, as two estimates at the same points tell."""
        phi = phi[np.linspace(0, len(phi) - 1, min(PILOT, len(phi))).astype(int)]
        self.points = self._first()
        while self.points < MOST:
            with np.errstate(all="ignore"):
                gap = self._drawn(phi, rng)[1] - self._drawn(phi, rng)[1]
            gap = gap[np.isfinite(gap)]
            if len(gap) == 0 or np.sqrt(0.5 * np.mean(gap**2)) < SCATTER:
                break
            self.points *= 2
        return self.points

    @abstractmethod
    def _first(self) -> int:
        """Proposals to begin with."""

    @abstractmethod
    def _drawn(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        """Standard effects by factor (N, L, k), and log weights."""


class NoDraws(LatentDraws):
    """Models without group effects: nothing was integrated out."""

    def _first(self) -> int:
        return 1

    def _drawn(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        return [], np.zeros(len(phi))


class LevelDraws(LatentDraws):
    """One grouping factor: every level by itself, many points at once."""

    def __init__(self, target: LaplacePosterior) -> None:
        super().__init__(target)
        self.level_rows = LevelRows(self.criterion)

    def _first(self) -> int:
        return POINTS.get(self.rows.factors[0].k, MANY)

    def _drawn(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        factor = self.rows.factors[0]
        u, log_weights = np.empty((len(phi), factor.n_levels, factor.k)), np.empty(len(phi))
        size = max(1, CHUNK // (self.rows.n * self.points))
        for first in range(0, len(phi), size):
            part = slice(first, min(first + size, len(phi)))
            u[part], log_weights[part] = self._chunk(phi[part], rng)
        return [u], log_weights

    def _chunk(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        modes = self.target.modes(phi)
        n, levels, k = modes.u.shape
        roots = np.linalg.cholesky(modes.information)
        log_roots = np.log(np.diagonal(roots, axis1=2, axis2=3)).sum(axis=2)
        x, log_q = proposals(self.points, rng.random((n, levels, k)))  # (n, levels, M, k)
        u = modes.u[:, :, None] + x @ np.linalg.inv(roots)  # rows: (L'⁻¹x)' = x'L⁻¹
        log_w = self._by_level(phi, u) - 0.5 * (u * u).sum(axis=3) - log_q
        log_w -= log_roots[:, :, None] + 0.5 * k * np.log(2.0 * np.pi)
        top = np.max(log_w, axis=2)
        w = np.exp(log_w - top[:, :, None])
        total = w.cumsum(axis=2)
        log_integrals = (top + np.log(total[:, :, -1] / self.points)).sum(axis=1)
        pick = (total < (rng.random((n, levels)) * total[:, :, -1])[:, :, None]).sum(axis=2)
        chosen = np.take_along_axis(u, np.minimum(pick, self.points - 1)[:, :, None, None], axis=2)[:, :, 0]
        log_weights = log_integrals + self.rows.log_constant + 0.5 * modes.value
        return chosen, np.where(np.isfinite(log_weights), log_weights, -np.inf)

    def _by_level(self, phi: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Σ ℓ_i over the rows of each level at effects (N, levels, M, k): (N, levels, M)."""
        n, levels, points, k = u.shape
        lam = np.repeat(self.level_rows.lam(phi), points, axis=0)
        fixed = np.repeat(self.level_rows.fixed(phi), points, axis=0)
        each = np.moveaxis(u, 2, 1).reshape(n * points, levels, k)
        return np.moveaxis(self.level_rows.densities_at(lam, fixed, each).reshape(n, points, levels), 1, 2)


class CompiledDraws(LevelDraws):
    """The same by a kernel, point by point."""

    def _drawn(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        from ..numerics.level_draws import draw_levels

        criterion, factor = self.criterion, self.rows.factors[0]
        assert isinstance(criterion, OneFactorLaplace)
        points = lattice(self.points, factor.k)
        u, log_weights = np.zeros((len(phi), factor.n_levels, factor.k)), np.full(len(phi), -np.inf)
        for i in range(len(phi)):
            shift, height = rng.random((factor.n_levels, factor.k)), rng.random(factor.n_levels)
            state = self.target.evaluate(phi[i])
            if state.mode is None:
                continue
            root = criterion.root_at(state)
            fixed = np.ascontiguousarray(self.rows.fixed(phi[i, criterion.n_theta :])[:, 0])
            modes = state.mode.u.reshape(factor.n_levels, factor.k)
            found = criterion.shared_sum(
                draw_levels, (criterion.code, criterion.level_start, criterion.y, criterion.size, fixed, criterion.z,
                              state.lam[0], modes, root, points, shift, height, u[i])
            )  # fmt: skip
            log_weights[i] = found + criterion.constant + self.rows.log_constant + 0.5 * state.value
        return [u], np.where(np.isfinite(log_weights), log_weights, -np.inf)


class SetDraws(LatentDraws):
    """Several grouping factors: sets of levels that share rows are drawn together, point by point."""

    def __init__(self, target: LaplacePosterior) -> None:
        super().__init__(target)
        self.rows_in, self.effects_in = self._sets()
        self.sets = int(self.effects_in.max()) + 1
        self.size = np.bincount(self.effects_in, minlength=self.sets)
        self.densities = Densities(self.criterion, np.arange(self.rows.n))

    def _sets(self) -> tuple[np.ndarray, np.ndarray]:
        """The set of every row and of every effect: connected components of levels that meet."""
        from scipy.sparse import coo_matrix
        from scipy.sparse.csgraph import connected_components

        factors = self.rows.factors
        start = np.cumsum([0, *(f.n_levels for f in factors)])
        first = factors[0].codes.astype(np.int64)
        links = [(first, start[f] + factor.codes) for f, factor in enumerate(factors) if f]
        ends = [np.concatenate(side) for side in zip(*links, strict=True)]
        size = int(start[-1])
        graph = coo_matrix((np.ones(len(ends[0])), (ends[0], ends[1])), shape=(size, size))
        _, label = connected_components(graph, directed=False)
        by_factor = [
            np.repeat(label[start[f] : start[f + 1], None], factor.k, axis=1).astype(float)
            for f, factor in enumerate(factors)
        ]
        return label[first], self.criterion.latent.elimination.to_vector(by_factor).astype(np.int64)

    def _first(self) -> int:
        return JOINT

    def _drawn(self, phi: np.ndarray, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray]:
        u = [np.zeros((len(phi), f.n_levels, f.k)) for f in self.rows.factors]
        log_weights = np.full(len(phi), -np.inf)
        for i in range(len(phi)):
            state = self.target.evaluate(phi[i])
            draws = rng.standard_normal((len(self.effects_in), self.points // 2))
            heights, which = rng.random((self.sets, 1)), rng.chisquare(self._df, (self.points // 2, self.sets)).T
            if state.mode is None:
                continue
            chosen, log_weights[i] = self._one(state, draws, which, heights)
            for f, part in enumerate(self.criterion.by_factor(chosen)):
                u[f][i] = part
        return u, log_weights

    @property
    def _df(self) -> np.ndarray:
        """Degrees of freedom: tails heavier than normal ones, less so in many dimensions."""
        return 8.0 + 4.0 * self.size

    def _one(
        self, state: LaplaceState, draws: np.ndarray, squares: np.ndarray, heights: np.ndarray
    ) -> tuple[np.ndarray, float]:
        mode, latent = state.mode, self.criterion.latent
        assert mode is not None
        self.criterion.restore(state)
        at = self.criterion.terms.derivatives(self.rows.observations, mode.eta, 3)
        centre = mode.u - 0.5 * self.criterion._pieces(state, at).v
        df = self._df[:, None]
        stretch = np.sqrt(df / squares)  # of a set, (sets, M/2)
        x = draws * stretch[self.effects_in]
        step = latent.backward(x)
        u = np.concatenate([centre[:, None] + step, centre[:, None] - step], axis=1)
        eta = np.empty((u.shape[1], self.rows.n, self.rows.m))
        eta[:] = self.rows.fixed(state.theta[self.criterion.n_theta :])
        for m in range(u.shape[1]):
            effects = latent.row_effects(latent.scaled(state.lam, u[:, m]))
            eta[m][:, list(self.rows.latent)] += effects
        by_row = self.densities(eta.reshape(-1, self.rows.m)).reshape(len(eta), -1)
        log_w = self._sums(by_row.T, self.rows_in) - 0.5 * self._sums(u * u, self.effects_in)
        log_w -= np.tile(log_student(self._sums(x * x, self.effects_in), df, self.size[:, None]), 2)
        log_w -= 0.5 * self.size[:, None] * np.log(2.0 * np.pi)
        top = log_w.max(axis=1)
        total = np.exp(log_w - top[:, None]).cumsum(axis=1)
        pick = np.minimum((total < heights * total[:, -1:]).sum(axis=1), self.points - 1)
        value = float((top + np.log(total[:, -1] / self.points)).sum()) - 0.5 * mode.log_det
        chosen = u[np.arange(len(u)), pick[self.effects_in]]
        return chosen, value + self.rows.log_constant + 0.5 * state.value

    def _sums(self, values: np.ndarray, sets: np.ndarray) -> np.ndarray:
        """Sums of the rows (·, M) over each set."""
        out = np.zeros((self.sets, values.shape[1]))
        for m in range(values.shape[1]):
            out[:, m] = np.bincount(sets, values[:, m], self.sets)
        return out


# --- proposals ---------------------------------------------------------------------------------------------------
def proposals(points: int, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lattice points shifted by (…, k) and bent to Student-t's: x (…, M, k) and log q(x) (…, M)."""
    p = (lattice(points, shift.shape[-1]) + shift[..., None, :]) % 1.0
    x = student_quantile(p)
    log_q = -2.5 * np.log1p(0.25 * x * x).sum(axis=-1) + shift.shape[-1] * np.log(0.375)
    return x, log_q


def student_quantile(p: np.ndarray) -> np.ndarray:
    """Quantiles of Student's t with 4 degrees of freedom, in closed form (Shaw 2006)."""
    q = np.clip(p, 1e-14, 1.0 - 1e-14)
    root = 2.0 * np.sqrt(q * (1.0 - q))
    size = np.cos(np.arccos(np.minimum(root, 1.0)) / 3.0) / root
    return np.asarray(np.copysign(2.0 * np.sqrt(np.maximum(size - 1.0, 0.0)), q - 0.5))


def log_student(squares: np.ndarray, df: np.ndarray, size: np.ndarray) -> np.ndarray:
    """log density of the multivariate Student-t at points with x'x = `squares`."""
    from scipy.special import gammaln

    half = 0.5 * (df + size)
    constant = gammaln(half) - gammaln(0.5 * df) - 0.5 * size * np.log(df * np.pi)
    return np.asarray(constant - half * np.log1p(squares / df))


@lru_cache(maxsize=64)
def lattice(points: int, k: int) -> np.ndarray:
    """A rank-1 lattice of Korobov's form, the generator with the least error for smooth periodic integrands."""
    at = np.arange(points)
    if k == 1:
        return (at / points)[:, None]
    best, found = np.inf, np.zeros((points, k))
    for a in range(1, points // 2 + 1, max(1, points // 1024)):
        if np.gcd(a, points) != 1:
            continue
        powers = np.array([pow(a, j, points) for j in range(k)])
        x = (at[:, None] * powers % points) / points
        error = float(np.prod(1.0 + 2.0 * np.pi**2 * (x * x - x + 1.0 / 6.0), axis=1).mean())
        if error < best:
            best, found = error, x
    return found
