"""The posterior of a linear model with its group effects, and its coefficients, integrated out.

    p(θ, σ | y) ∝ p(θ, σ) ∫∫ p(y | β, u, θ, σ) p(β) du dβ        (β integrated out: flat or normal priors)
    p(θ, σ, β | y) ∝ p(θ, σ, β) ∫ p(y | β, u, θ, σ) du           (`coefficients=True`: any prior of β)

in the coordinates z of `core/coordinates.py`, from cross-products: the cost does not depend on the number of rows. What
was integrated out is drawn back exactly (`complete`). All constants are kept: where the priors are proper, the integral
of the density is the probability of the data.

Reference: `docs/bayes.md`, "Collapsed".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from .completed import Completed
from .coordinates import Coordinates, coordinates

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts
    from ..model.model import Model
    from .compiled import Compiled


@dataclass(frozen=True)
class Restricted:
    """Restricted-likelihood estimates in the units of the data: sigma (None where known), covariances, β."""

    sigma: float | None
    covariances: tuple[np.ndarray, ...]
    beta: np.ndarray


LARGEST = 1e3  # relative standard deviation beyond which residuals are not taken from cross-products


class Engine(Protocol):
    """The likelihood of one form of the posterior; given at points z (N, d)."""

    weighted: bool  # whether completed draws carry weights

    @property
    def seconds(self) -> float:
        """Rough time of one value."""

    def start(self, point: Restricted) -> np.ndarray:
        """z (d,) of estimates."""

    def values(self, z: np.ndarray) -> np.ndarray:
        """log p(y | z) (N,)."""

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """log p(y | z) (N,), and its gradient (N, d)."""

    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        """A draw of what was integrated out for each point."""


class CollapsedPosterior:
    """The log posterior of a linear model in the coordinates z, up to the probability of the data.

    Parameters
    ----------
    model : Model
        A linear one, with its priors.
    coefficients : bool
        Whether coefficients stay coordinates. They have to for Markov chains where a prior of theirs is not normal;
        without, such priors enter by `Completed.log_weights`.

    Notes
    -----
    Not thread-safe: each evaluation overwrites one workspace.
    """

    def __init__(self, model: Model, coefficients: bool = False) -> None:
        self.model = model
        self._start: np.ndarray | None = None
        if coefficients:
            from .given_coefficients import GivenCoefficients, linear_coordinates

            self.coordinates = linear_coordinates(model)
            self.engine: Engine = GivenCoefficients(Units(model, self.coordinates))
        else:
            from .without_coefficients import WithoutCoefficients

            self.coordinates = coordinates(model, model.priors, False)
            self.engine = WithoutCoefficients(Units(model, self.coordinates))

    @property
    def d(self) -> int:
        """Number of coordinates."""
        return self.coordinates.d

    @property
    def exact(self) -> bool:
        """Whether completed draws need no weights."""
        return not self.engine.weighted

    @property
    def seconds(self) -> float:
        """Rough time of one evaluation, from sizes alone."""
        return self.engine.seconds

    @cached_property
    def compiled(self) -> Compiled | None:
        """The density in compiled code, where all its parts have a kernel."""
        from .collapsed_compiled import compiled

        return compiled(self)

    def start(self) -> np.ndarray:
        """z of the restricted-likelihood estimates, away from the boundary; coefficients at theirs."""
        if self._start is None:
            self._start = self.engine.start(restricted(self.model))
        return self._start.copy()

    def log_density(self, z: np.ndarray) -> np.ndarray:
        """log p(z | y) + log p(y) of points (N, d)."""
        z = np.atleast_2d(z)
        with np.errstate(all="ignore"):
            prior = self.coordinates.log_prior(z)[0]
            value = self.engine.values(z) + prior
        return np.where(np.isnan(value), -np.inf, value)

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """log p(z | y) + log p(y) of one point (d,), and its gradient; (−∞, 0) where the likelihood fails."""
        values, slopes = self.gradients(z[None, :])
        return float(values[0]), slopes[0]

    def gradients(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same of several points (N, d): (N,) and (N, d)."""
        with np.errstate(all="ignore"):
            values, slopes = self.engine.slopes(z)
            prior, by_z = self.coordinates.log_prior(z)
            values, slopes = values + prior, slopes + by_z
        bad = ~(np.isfinite(values) & np.isfinite(slopes).all(axis=1))
        values[bad], slopes[bad] = -np.inf, 0.0
        return values, slopes

    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        """Draws of coefficients and group effects given each point (N, d)."""
        with np.errstate(all="ignore"):
            return self.engine.complete(np.atleast_2d(z), rng)


class Units:
    """Between the units of the data and those of the cross-products.

    σ' = σ/s,   λ = T⁻¹ L / σ,   β = origin + s T_β β',   b = s T λ u     (s: the response's scale)
    """

    def __init__(self, model: Model, coords: Coordinates) -> None:
        self.model, self.coordinates = model, coords
        self.products: CrossProducts = model.products
        self.scale = self.products.y_shift.scale
        self.known = model.design.known_se is not None
        self.to_effects = self.products.to_effects
        self.inside = [np.linalg.inv(t) for t in self.to_effects]
        self.dropped = [j for j, _ in self.products.dropped]

    def lam(self, factors: Sequence[np.ndarray], sigma: np.ndarray) -> list[np.ndarray]:
        """λ (N, k, k) of every grouping factor, its terms' along the diagonal."""
        out = []
        for factor in self.products.factors:
            lam = np.zeros((len(sigma), factor.k, factor.k))
            for t, a, b in factor.terms:
                lam[:, a:b, a:b] = self.inside[t] @ factors[t] / sigma[:, None, None]
            out.append(lam)
        return out

    def by_term(self, by_lam: Sequence[np.ndarray], sigma: np.ndarray) -> list[np.ndarray]:
        """∂f/∂L (N, k, k) of every term from ∂f/∂λ (N, k, k) of every factor."""
        out: list[np.ndarray] = [np.zeros(0)] * len(self.to_effects)
        for factor, slope in zip(self.products.factors, by_lam, strict=True):
            for t, a, b in factor.terms:
                out[t] = self.inside[t].T @ slope[:, a:b, a:b] / sigma[:, None, None]
        return out

    def effects(self, u: Sequence[np.ndarray], factors: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """b (N, L, k) of every term from standard-normal effects u (N, L, k) of every factor: b = L u."""
        out: list[np.ndarray] = [np.zeros(0)] * len(self.to_effects)
        for f, factor in enumerate(self.products.factors):
            for t, a, b in factor.terms:
                out[t] = u[f][:, :, a:b] @ factors[t].transpose(0, 2, 1)
        return tuple(out)

    def beta(self, inside: np.ndarray) -> np.ndarray:
        """β (N, p) in the units of the data, zero for dropped columns."""
        return np.asarray(self.products.beta_origin + self.scale * (inside @ self.products.to_beta.T))

    def shown(self, beta: np.ndarray) -> np.ndarray:
        """β with NaN for dropped columns."""
        out = beta.copy()
        out[:, self.dropped] = np.nan
        return out


def restricted(model: Model) -> Restricted:
    """Estimates to start from: the search may stop short of its optimum, or a variance be zero."""
    from .fused import minimise_likelihood
    from .likelihood import Likelihood

    products = model.products
    unit = products.y_shift.scale
    known = None if model.design.known_se is None else 1.0 / unit**2
    likelihood = Likelihood(products, model.scales, True, known)
    with np.errstate(all="ignore"):
        state = likelihood.evaluate(likelihood.start())
        if likelihood.n_theta:
            try:
                found = minimise_likelihood(likelihood, likelihood.start(), 50, None)[0]
            except np.linalg.LinAlgError:
                found = state
            state = found if found.solution is not None and found.sigma2 > 0.0 else state
    sigma = float(np.sqrt(state.sigma2)) * unit if np.isfinite(state.sigma2) and state.sigma2 > 0.0 else unit
    covariances: list[np.ndarray] = [np.zeros((0, 0))] * len(model.scales)
    for f, factor in enumerate(products.factors):
        for t, a, b in factor.terms:
            root = sigma * (products.to_effects[t] @ state.lam[f][a:b, a:b])
            covariances[t] = root @ root.T
    beta = products.beta_origin.copy()
    if state.solution is not None:
        beta = beta + unit * (products.to_beta @ state.solution.beta)
    return Restricted(None if known is not None else sigma, tuple(covariances), beta)
