"""The posterior of a generalized model's parameters, its group effects integrated out by Laplace's approximation.

    log p̃(z | y) = log p(z) − ½ d(Λ(z), c) + constant,     d = −2 log ∫ p(y | c, u) N(u; 0, I) du  (approximated)

z are the coordinates of `core/coordinates.py` with the coefficients c among them. The gradient is exact: that of d by
the square root Λ and by c (`core/laplace.py`), carried on to z. `complete` draws the effects given z and says how far
the approximation was off there (`core/latent_draws.py`): weighted by that, points of z come from the posterior itself.

References: Tierney & Kadane (1986), JASA 81; Margossian, Vehtari, Simpson & Agrawal (2020), NeurIPS 33.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Distribution
from ..scales.base import Kind, Scale
from .batch_modes import BatchModes, Modes
from .coordinates import coordinates
from .exact_draws import LateDraws
from .laplace import Laplace, LaplaceState
from .level_rows import LevelRows
from .one_factor import OneFactorLaplace, laplace
from .one_factor_quadrature import MOST, NODES, OneFactorQuadrature
from .quadrature import Quadrature
from .row_terms import kernel_of
from .second_order import SecondOrder

if TYPE_CHECKING:
    from ..model.model import Model
    from .completed import Completed
    from .latent_draws import LatentDraws

MANY_LEVELS = 5000  # beyond which random estimates of the integrals are too noisy
HOPELESS = 1e10  # deviance at which rounding hides where the mode is
SUSPICIOUS = 300.0  # above the lowest deviance seen: the mode is searched again from zero
WIDTH = 1e-5  # of differences
FEW_NODES = {1: 15, 2: 7, 3: 5}  # along each axis where rows are not compiled
FINE = 0.02  # posterior standard deviations by which quadrature may be off
MANY = 32  # points for which the modes at the best point known are worth finding first


@dataclass(frozen=True)
class Root(Scale):
    """Any square root of a covariance: all entries of λ, row by row, are free."""

    def kinds(self) -> tuple[Kind, ...]:
        return tuple("free" for _ in range(self.k**2))

    def start(self) -> np.ndarray:
        return np.eye(self.k).ravel()

    def factor(self, theta: np.ndarray) -> np.ndarray:
        return theta.reshape(self.k, self.k)

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        return np.eye(self.k**2).reshape(-1, self.k, self.k)

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        return np.asarray(np.linalg.cholesky(covariance).ravel())


class LaplacePosterior:
    """The log density of z up to a constant (none where all priors are proper), with exact gradient.

    Parameters
    ----------
    model : Model
        Of any family, with any grouping factors or none.
    order : {1, 2}
        Of Laplace's approximation; 2 adds the next term of the expansion (`core/second_order.py`).
    quadrature : bool
        Integrals by quadrature instead, and effects drawn without weights; only where `many_levels` says that it can.
    """

    def __init__(self, model: Model, order: int = 1, quadrature: bool = False) -> None:
        self.model, self.order = model, order
        self.exact = quadrature  # draws of the effects have no weights
        self.quadrature_error = 0.0  # see `sharpen`
        self.coordinates = coordinates(model, model.priors, True)
        roots = [Root(scale.k) for scale in model.scales]
        make = _quadrature if quadrature else laplace if order == 1 or not roots else SecondOrder
        self.criterion: Laplace = make(model.rows, model.distribution, roots)
        self.maps = [np.linalg.inv(m) for m in model.rows.to_effects]  # L to the core's units
        self.names = self.coordinates.names
        self.surface: Callable[[np.ndarray], np.ndarray] | None = None  # added to log p̃, see `correct`
        self._lowest = np.inf  # deviance
        self._best = (-np.inf, np.zeros(0))  # the highest density whose gradient was asked for, and where

    @property
    def d(self) -> int:
        return self.coordinates.d

    @property
    def seconds(self) -> float:
        """Rough time of one of many evaluations, by sizes alone."""
        n = self.model.rows.n
        if not self.model.scales:
            return 2e-5 + 1e-6 * n
        if self.batch is not None:
            return 2e-5 + 3e-6 * n
        if isinstance(self.criterion, OneFactorLaplace):
            return 4e-5 + 2e-7 * n
        return 2e-3 + 4e-6 * n + 5.0 * self.criterion.seconds

    # --- points --------------------------------------------------------------------------------------------------
    def start(self) -> np.ndarray:
        """z to start from: variances from the scatter of the levels' scores, coefficients without group effects."""
        model = self.model
        plain = Laplace(model.rows, model.distribution, model.scales)
        phi = plain.start()
        z = np.zeros(self.d)
        at = self.coordinates
        for t, (block, part) in enumerate(zip(at.blocks, at.parts, strict=True)):
            root = model.rows.to_effects[t] @ model.scales[t].factor(phi[plain.slices[t]])
            z[part] = block.from_covariance(root @ root.T)
        z[at.coefficients] = phi[plain.n_theta :]
        return z

    def phi(self, z: np.ndarray) -> np.ndarray:
        """The criterion's parameters (N, …) of points (N, d): λ of every term row by row, and c."""
        factors = self.coordinates.factors(z)
        lam = [(m @ x).reshape(len(z), -1) for m, x in zip(self.maps, factors, strict=True)]
        return np.ascontiguousarray(np.concatenate([*lam, z[:, self.coordinates.coefficients]], axis=1))

    @cached_property
    def batch(self) -> BatchModes | None:
        """Modes of many points at once, where levels are independent and no compiled kernel finds them one by one."""
        one = len(self.criterion.rows.factors) == 1 and type(self.criterion) is Laplace
        return BatchModes(self.criterion) if one else None

    def modes(self, phi: np.ndarray) -> Modes:
        """Modes, information and d at points (N, …) of a model with one factor."""
        if self.batch is not None:
            return self.batch.find(phi)
        rows = self.level_rows
        u = np.zeros((len(phi), rows.levels, rows.k))
        value = np.full(len(phi), np.inf)
        for i, row in enumerate(phi):
            state = self.evaluate(row)
            if state.mode is not None:
                u[i], value[i] = self.criterion.by_factor(state.mode.u)[0], state.value
        fine = np.isfinite(value)
        information = np.tile(np.eye(rows.k), (len(phi), rows.levels, 1, 1))
        information[fine] = rows.derivatives(rows.lam(phi[fine]), rows.fixed(phi[fine]), u[fine])[2]
        return Modes(u, information, value)

    @cached_property
    def level_rows(self) -> LevelRows:
        return LevelRows(self.criterion)

    def evaluate(self, phi: np.ndarray) -> LaplaceState:
        """The approximation at one point, modes starting where they are expected; infinite where it fails."""
        try:
            if not np.all(np.isfinite(phi)):
                raise np.linalg.LinAlgError("overflow")
            state = self.criterion.evaluate(phi)
            self._lowest = min(self._lowest, state.value)
            if state.value > self._lowest + SUSPICIOUS and self.model.scales:  # searches from far away get stuck
                again = self.criterion._evaluate(phi, np.zeros_like(self.criterion._warm))
                state = again if again.value < state.value else state
                self.criterion.current = again
            if not state.value < HOPELESS:
                raise np.linalg.LinAlgError("overflow")
            return state
        except np.linalg.LinAlgError:
            return LaplaceState(phi, np.inf, (), None)

    # --- densities -----------------------------------------------------------------------------------------------
    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log p̃ of points (N, d); −∞ where the likelihood fails."""
        prior, _ = self.coordinates.log_prior(z)
        with np.errstate(all="ignore"):
            if len(z) >= MANY and len(self._best[1]):
                self.settle(self._best[1])
            phi, good = self.phi(z), np.flatnonzero(np.isfinite(prior))
            deviance = np.full(len(z), np.inf)
            if self.batch is not None and len(good) > 1:
                deviance[good] = self.batch.find(phi[good]).value
            else:
                for i in good:
                    deviance[i] = self.evaluate(phi[i]).value
        value = prior - 0.5 * deviance + (0.0 if self.surface is None else self.surface(z))
        return np.asarray(np.where(np.isfinite(deviance), value, -np.inf))

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """log p̃ and its gradient at one point (d,); (−∞, 0) where the likelihood fails."""
        row = z[None]
        prior, slope = self.coordinates.log_prior(row)
        with np.errstate(all="ignore"):
            factors = self.coordinates.factors(row)
            phi = self.phi(row)[0]
            state = self.evaluate(phi)
            if state.mode is None or not np.isfinite(prior[0] - state.value):
                return -np.inf, np.zeros(self.d)
            by_phi = -0.5 * self.criterion.slope(state, information=False).gradient
            by_factor = []
            for m, part, x in zip(self.maps, self.criterion.slices, factors, strict=True):
                by_factor.append((m.T @ by_phi[part].reshape(x.shape[1:]))[None])
            gradient = self.coordinates.pull(row, factors, by_factor)[0] + slope[0]
            gradient[self.coordinates.coefficients] += by_phi[self.criterion.n_theta :]
        value = float(prior[0] - 0.5 * state.value)
        if value > self._best[0]:
            self._best = value, z.copy()
        return value, gradient

    def information(self, z: np.ndarray) -> np.ndarray:
        """A positive model of −∂² log p̃ at a point (d,): J'HJ and the prior's curvature, J = ∂φ/∂z.

        H is the criterion's own model of its Hessian (`Laplace.slope`), good enough for a search.
        """
        away = WIDTH * np.eye(self.d)
        sides = np.concatenate([z + away, z - away])
        phi, slopes = self.phi(sides), self.coordinates.log_prior(sides)[1]
        jacobian = (phi[: self.d] - phi[self.d :]).T / (2.0 * WIDTH)
        bend = (slopes[self.d :] - slopes[: self.d]) / (2.0 * WIDTH)
        state = self.evaluate(self.phi(z[None])[0])
        h = 0.5 * jacobian.T @ self.criterion.slope(state).hessian @ jacobian
        values, vectors = np.linalg.eigh(h + np.where(np.isfinite(bend), 0.5 * (bend + bend.T), 0.0))
        return np.asarray((vectors * np.maximum(values, 1e-8 * max(values[-1], 1.0))) @ vectors.T)

    def helped(self) -> AbstractContextManager[Any]:
        """Within: threads that large evaluations share are started once."""
        return self.criterion.helped() if isinstance(self.criterion, OneFactorLaplace) else nullcontext()

    def sharpen(self, z: np.ndarray, scale: np.ndarray) -> None:
        """More nodes, of quadrature, until the gradient at z by the coordinates x, z = scale'x, hardly moves.

        `quadrature_error` keeps the last move: with twice the nodes, the mode of a density with unit curvature in x
        would be that far away.
        """
        criterion = self.criterion
        if isinstance(criterion, Quadrature):
            slope = self.gradient(z)[1]
            self.criterion = Quadrature(criterion.rows, criterion.distribution, criterion.scales, 2 * criterion.nodes)
            self.quadrature_error = float(np.max(np.abs(scale @ (self.gradient(z)[1] - slope))))
            if self.quadrature_error <= FINE:
                self.criterion = criterion
        if not isinstance(criterion, OneFactorQuadrature):
            return
        most = MOST[criterion.rows.factors[0].k]
        slope = self.gradient(z)[1]
        while True:
            few = criterion.count
            criterion.use(min(2 * few, most))
            finer = self.gradient(z)[1]
            self.quadrature_error = float(np.max(np.abs(scale @ (finer - slope))))
            if self.quadrature_error <= FINE:
                criterion.use(few)
            if self.quadrature_error <= FINE or criterion.count >= most:
                return
            slope = finer

    def settle(self, z: np.ndarray) -> None:
        """Take the modes around a point, the posterior's own say, as the start of those to come."""
        self._best = -np.inf, np.zeros(0)
        if not self.model.scales:
            return
        with np.errstate(all="ignore"):
            phi = self.phi(z[None])[0]
            state = self.evaluate(phi)
            if state.mode is None:
                return
            self.criterion.touch(state)
            if self.batch is not None:
                self.batch.settle(phi)

    def correct(self, z: np.ndarray) -> bool:
        """Add what Laplace leaves out, as a quadratic function fitted at points (N, d), to the densities from now on.

        Done where levels are so many that it is one, and that random estimates of it would be too noisy.
        """
        draws = self.draws
        if self.exact or isinstance(draws, LateDraws) or not draws.smooth:
            return False
        self.surface = draws.surface(z)
        return True

    # --- what was integrated out ---------------------------------------------------------------------------------
    @cached_property
    def draws(self) -> LatentDraws | LateDraws:
        """How the effects are drawn given z."""
        from .latent_draws import latent_draws

        return latent_draws(self)

    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        """Effects given points (N, d), and log weights that make (z, effects) draws from the posterior itself.

        A weight is the group effects' integral, estimated without bias, over Laplace's approximation of it.
        """
        from .completed import Completed

        at = self.coordinates
        with np.errstate(all="ignore"):
            effects, log_weights = self.draws.draw(z, rng)
            if self.exact:  # the integrals are
                log_weights = np.where(np.isfinite(log_weights), 0.0, -np.inf)
            factors = at.factors(z)
        beta = at.beta(z)
        beta[:, [j for j, _ in self.model.rows.dropped]] = np.nan
        return Completed(
            beta=beta,
            sigma=None,
            covariances=tuple(x @ np.swapaxes(x, 1, 2) for x in factors),
            effects=effects,
            constants=at.natural(z),
            log_weights=log_weights,
        )


def many_levels(model: Model) -> bool:
    """Whether the levels of one factor are so many that their integrals have to be exact, and whether they can be."""
    factors = model.rows.factors
    return len(factors) == 1 and factors[0].n_levels > MANY_LEVELS and factors[0].k in NODES


def _quadrature(rows: LatentRows, distribution: Distribution, scales: Sequence[Scale]) -> Laplace:
    """The criterion by quadrature, compiled where it may be."""
    if rows.m == 1 and kernel_of(distribution, rows.observations) is not None:
        return OneFactorQuadrature(rows, distribution, scales)
    return Quadrature(rows, distribution, scales, FEW_NODES[rows.factors[0].k])


def marginal_posterior(model: Model) -> LaplacePosterior:
    """The posterior of z that draws start from: by Laplace's approximation, or by quadrature with very many levels."""
    return LaplacePosterior(model, quadrature=many_levels(model))
