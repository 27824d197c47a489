"""The joint posterior of parameters, coefficients and group effects of any model, as gradient-based samplers want it.

    log p(θ, c, u | y) = Σ ℓ_i(η_i) − ½ Σ u'u + log p(θ, c) + constant,    b = Λ(θ) u

Coordinates x are white noise, were the log-likelihood the quadratic of `anchor.py`: given θ, the coefficients and
effects of a quadratic likelihood are normal, and ξ is that normal's noise.

    x = (ξ_θ, ξ_c, ξ_u),    θ = θ̂ + T ξ_θ,    c = K'⁻¹(K⁻¹f + ξ_c),    u = R'⁻¹(a − Bc + ξ_u)        (numerics/whitened.py)

So groups about which the rows say much are centred on what they say, groups about which they say little on their
population, each level to the degree that it has information, for any value of their standard deviation: the funnels of
both usual parametrisations are gone, and coefficients that effects compete with move with them. The Jacobian
−Σ log|R| − log|K| and all derivatives are exact: draws are from the posterior, however rough the quadratic.

With several grouping factors each is treated as if the others were known, and c by the curvature at the mode.

References: Betancourt & Girolami (2015), in *Current Trends in Bayesian Methodology*, chapter 4 (centred and
non-centred); Papaspiliopoulos, Roberts & Sköld (2007), Statistical Science 22 (partial centring by information).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .anchor import anchor
from .completed import Completed
from .joint_rows import JointRows
from .marginal import LaplacePosterior

if TYPE_CHECKING:
    from ..model.model import Model


@dataclass
class _Way:
    """What one point's way from noise to effects left behind, for the way back."""

    R: list[np.ndarray]
    Y: list[np.ndarray]
    K: np.ndarray
    h: np.ndarray
    c: np.ndarray
    log_jacobian: float


class JointPosterior:
    """The log density of x up to a constant, with exact gradient.

    Parameters
    ----------
    model : Model
        Of any family, with any grouping factors or none; linear ones without known standard errors.
    """

    def __init__(self, model: Model) -> None:
        from ..numerics import whitened

        self.kernels = whitened
        self.model = model
        marginal = LaplacePosterior(model)
        self.coordinates = marginal.coordinates
        self.rows = JointRows(marginal.criterion.rows, model.distribution)
        self.anchor = anchor(model, marginal, self.rows)
        self.factors = self.rows.rows.factors
        self.inside = marginal.maps
        self.p = len(self.anchor.inner)
        self.coupled = len(self.factors) == 1
        self.own = self.anchor.inner - self.coordinates.coefficients.start  # places of the inner ones in c
        self.fixed_root = None if self.coupled else np.linalg.cholesky(self.anchor.G)

    @property
    def d(self) -> int:
        """Number of coordinates x: those of z, and one for each effect."""
        return self.coordinates.d + self.rows.q

    @property
    def names(self) -> tuple[str, ...]:
        return self.coordinates.names

    def start(self) -> np.ndarray:
        """The anchor."""
        return np.zeros(self.d)

    def starts(self, chains: int, rng: np.random.Generator) -> np.ndarray:
        """Points (chains, d) drawn from the anchor's normal distribution, its far tails cut."""
        return np.clip(rng.standard_normal((chains, self.d)), -2.0, 2.0)

    # --- from noise to parameters ----------------------------------------------------------------------------------
    def _outer(self, x: np.ndarray) -> np.ndarray:
        """z (N, d) with its outer coordinates filled in."""
        z = np.zeros((len(x), self.coordinates.d))
        a = self.anchor
        z[:, a.outer] = a.z[a.outer] + x[:, a.outer] @ a.root.T
        return z

    def _lam(self, factors: list[np.ndarray]) -> list[np.ndarray]:
        """λ (N, k, k) of every grouping factor."""
        out = []
        for factor in self.factors:
            lam = np.zeros((len(factors[0]), factor.k, factor.k))
            for t, a, b in factor.terms:
                lam[:, a:b, a:b] = self.inside[t] @ factors[t]
            out.append(lam)
        return out

    def _forth(self, lam: list[np.ndarray], x: np.ndarray, u: np.ndarray) -> _Way:
        """One point: u (q,) is filled in; c and the Jacobian are in what is returned."""
        a, kernels = self.anchor, self.kernels
        F, f = (a.G.copy(), a.r.copy()) if self.coupled else (a.G, a.r)
        R, Y, log_jacobian = [], [], 0.0
        none = (np.zeros((0, 0)), np.zeros(0))
        for j, v in enumerate(lam):
            R.append(np.zeros_like(a.A[j]))
            Y.append(np.empty_like(a.T[j]))
            into = (F, f) if self.coupled else none
            log_jacobian -= kernels.eliminate(v, a.A[j], a.T[j], R[j], Y[j], *into)
        root = np.linalg.cholesky(F) if self.fixed_root is None else self.fixed_root
        h = np.linalg.solve(root, f)
        c = np.linalg.solve(root.T, h + x[a.inner])
        log_jacobian -= float(np.log(np.diag(root)).sum())
        noise = x[self.coordinates.d :]
        for j, span in enumerate(self.rows.spans):
            shape = Y[j].shape[:2]
            shift = c if self.coupled else none[1]
            kernels.effects(R[j], Y[j], shift, noise[span].reshape(shape), u[span].reshape(shape))
        return _Way(R, Y, root, h, c, log_jacobian)

    def _placed(self, x: np.ndarray) -> tuple[np.ndarray, list[np.ndarray], list[np.ndarray], np.ndarray, list[_Way]]:
        """z, L of every term, λ of every factor, u (N, q) and the ways of points x."""
        z = self._outer(x)
        factors = self.coordinates.factors(z)
        lam = [np.ascontiguousarray(v) for v in self._lam(factors)]
        u = np.empty((len(x), self.rows.q))
        ways = [self._forth([v[i] for v in lam], x[i], u[i]) for i in range(len(x))]
        for i, way in enumerate(ways):
            z[i, self.anchor.inner] = way.c
        return z, factors, lam, u, ways

    def _effects(self, lam: list[np.ndarray], u: np.ndarray) -> np.ndarray:
        """b = λu (N, q), in the units of the core."""
        parts = []
        for factor, span, v in zip(self.factors, self.rows.spans, lam, strict=True):
            own = u[:, span].reshape(len(u), factor.n_levels, factor.k)
            parts.append((own @ v.transpose(0, 2, 1)).reshape(len(u), -1))
        return np.concatenate(parts, axis=1) if parts else u

    # --- densities -------------------------------------------------------------------------------------------------
    def log_density(self, x: np.ndarray) -> np.ndarray:
        """log p(x | y) of points (N, d), up to a constant."""
        return self.gradients(np.atleast_2d(x))[0]

    def gradient(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """The same of one point (d,), and its gradient."""
        value, slope = self.gradients(x[None])
        return float(value[0]), slope[0]

    def gradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log densities (N,) and gradients (N, d) of several points; −∞ where the density fails."""
        try:
            z, factors, lam, u, ways = self._placed(x)
        except np.linalg.LinAlgError:  # overflow of one of them
            return self._each(x)
        b = self._effects(lam, u)
        c = z[:, self.coordinates.coefficients]
        value, by_c, by_b = self.rows.evaluate(c, b)
        prior, by_z = self.coordinates.log_prior(z)
        by_z[:, self.coordinates.coefficients] += by_c
        value = value + prior - 0.5 * np.einsum("nq,nq->n", u, u)
        value += np.array([way.log_jacobian for way in ways])
        slope = np.zeros_like(x)
        by_factor = [np.zeros_like(f) for f in factors]
        for i, way in enumerate(ways):
            self._back([v[i] for v in lam], way, u[i], by_b[i], by_z[i], slope[i], [s[i] for s in by_factor])
        by_z += self.coordinates.pull(z, factors, by_factor)
        slope[:, self.anchor.outer] = by_z[:, self.anchor.outer] @ self.anchor.root
        good = np.isfinite(value) & np.isfinite(slope).all(axis=1)
        if not good.all():
            value, slope = np.where(good, value, -np.inf), np.where(good[:, None], slope, 0.0)
        return value, slope

    def _each(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if len(x) == 1:
            return np.array([-np.inf]), np.zeros_like(x)
        parts = [self.gradients(row[None]) for row in x]
        return np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts])

    def _back(self, lam, way, u, by_b, by_z, slope, by_factor) -> None:  # type: ignore[no-untyped-def]
        """Derivatives by x (but the outer ones) into `slope`, by L of every term into `by_factor`; one point."""
        a, kernels = self.anchor, self.kernels
        by_c = by_z[a.inner]
        by_lam = []
        for j, (factor, span) in enumerate(zip(self.factors, self.rows.spans, strict=True)):
            shape = (factor.n_levels, factor.k)
            own_u, own_b = u[span].reshape(shape), by_b[span].reshape(shape)
            by_lam.append(own_b.T @ own_u)
            noise = slope[self.coordinates.d :][span].reshape(shape)
            into = by_c if self.coupled else np.zeros(0)
            kernels.effects_back(way.R[j], way.Y[j], own_b @ lam[j] - own_u, noise, into)
        noise_c = np.linalg.solve(way.K, by_c)
        slope[a.inner] = noise_c
        if self.coupled:
            by_f = np.linalg.solve(way.K.T, noise_c)
            by_F = -np.tril(np.outer(way.c, noise_c) + np.outer(by_f, way.h)) - np.diag(1.0 / np.diag(way.K))
            kernels.cholesky_back(way.K, by_F)
            rest = (way.c, by_F, by_f)
        else:
            rest = (np.zeros(0), np.zeros((0, 0)), np.zeros(0))
        for j, (factor, span) in enumerate(zip(self.factors, self.rows.spans, strict=True)):
            shape = (factor.n_levels, factor.k)
            noise = slope[self.coordinates.d :][span].reshape(shape)
            c, by_F, by_f = rest
            kernels.eliminate_back(
                lam[j], a.A[j], a.T[j], way.R[j], way.Y[j], u[span].reshape(shape), noise, c, by_F, by_f, by_lam[j]
            )
            for t, first, last in factor.terms:
                by_factor[t][:] = self.inside[t].T @ by_lam[j][first:last, first:last]

    # --- draws -----------------------------------------------------------------------------------------------------
    def points(self, x: np.ndarray) -> np.ndarray:
        """z (N, d) of points x."""
        return self._placed(x)[0]

    def complete(self, x: np.ndarray, rng: np.random.Generator | None = None) -> Completed:
        """Everything at points x (N, d), in the units of the data; nothing is left to be drawn."""
        z, factors, _, u, _ = self._placed(x)
        effects: list[np.ndarray] = [np.zeros(0)] * len(factors)
        for factor, span in zip(self.factors, self.rows.spans, strict=True):
            own = u[:, span].reshape(len(x), factor.n_levels, factor.k)
            for t, a, b in factor.terms:
                effects[t] = own[:, :, a:b] @ factors[t].transpose(0, 2, 1)
        beta = self.coordinates.beta(z)
        beta[:, [j for j, _ in self.rows.rows.dropped]] = np.nan
        constants = self.coordinates.natural(z)
        sigma = constants.pop("sigma", None) if self.model.is_linear else None
        covariances = tuple(v @ v.transpose(0, 2, 1) for v in factors)
        return Completed(beta, sigma, covariances, tuple(effects), constants, np.zeros(len(x)))
