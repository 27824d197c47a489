"""The joint posterior of parameters, coefficients and group effects of any model, as gradient-based samplers want it.

    log p(θ, c, u | y) = Σ ℓ_i(η_i) − ½ Σ u'u + log p(θ, c) + constant,    b = Λ(θ) u

Coordinates x are white noise, were the log-likelihood the quadratic of `anchor.py`: given θ, the coefficients and
effects of a quadratic likelihood are normal, and ξ is that normal's noise.

    x = (ξ_θ, ξ_c, ξ_u),    θ = θ̂ + T ξ_θ,    c = K'⁻¹(K⁻¹f + ξ_c),    u = R'⁻¹(a − Bc + ξ_u)

with the matrices of `numerics/whitened.py`. So groups about which the rows say much are centred on what they say,
groups about which they say little on their population, each level to the degree that it has information, for any value
of their standard deviation: the funnels of both usual parametrisations are gone, and coefficients that effects compete
with move with them. The Jacobian −Σ log|R| − log|K| and all derivatives are exact: draws are from the posterior,
however rough the quadratic.

With several grouping factors the one with most effects is treated so, and the effects of the others like coefficients
(`joint_tail.py`). Where these are too many, each factor is treated as if the others were known, and c by the curvature
at the mode.

References: Betancourt & Girolami (2015), in *Current Trends in Bayesian Methodology*, chapter 4 (centred and
non-centred); Papaspiliopoulos, Roberts & Sköld (2007), Statistical Science 22 (partial centring by information).
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from .anchor import anchor
from .compiled import Compiled
from .completed import Completed
from .joint_compiled import compiled
from .joint_rows import JointRows
from .marginal import LaplacePosterior

if TYPE_CHECKING:
    from ..model.model import Model


class _Way:
    """What one point's way from noise to the effects of one factor leaves behind, for the way back."""

    __slots__ = ("K", "R", "T", "Y", "c", "h", "held", "quadratic")

    def __init__(self, a: np.ndarray, T: np.ndarray, G: np.ndarray, r: np.ndarray) -> None:
        p = len(r)
        self.T, self.quadratic = T, (G, r)
        self.R, self.Y = np.zeros_like(a), np.empty_like(T)
        self.K, self.h, self.c = np.empty((p, p)), np.empty(p), np.empty(p)
        self.held = np.zeros(0)  # precisions of priors that move


_NOTHING = np.zeros((0, 0, 0))


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
        marginal = self._marginal(model)
        self.coordinates = self.reported = marginal.coordinates  # `reported`: the model's own, the first of them
        self.rows = JointRows(marginal.criterion.rows, model.distribution)
        self.anchor = anchor(model, marginal, self.rows)
        self._widen()
        self.factors = self.rows.rows.factors
        self.inside = marginal.maps
        self.p = len(self.anchor.inner)
        self.shapes = [(f.n_levels, f.k) for f in self.factors]
        lead, every = self.anchor.lead, range(len(self.factors))
        self.tail = self.anchor.tail
        self.led = [lead] if self.tail is not None else list(every)  # factors that are treated level by level
        self.beside = [j for j in every if j not in self.led]
        # where the noise of c and of the effects beside the leading factor's stands in x
        first = self.coordinates.d
        places = [first + np.arange(self.rows.q)[self.rows.spans[j]] for j in self.beside]
        self.mixed = np.concatenate([self.anchor.inner, *places]) if self.tail is not None else np.zeros(0, np.int64)
        self.still: tuple[Any, ...] = self.tail.at([]) if self.tail is not None and not self.beside else ()
        self.alone = [np.ascontiguousarray(t[:, :, None]) for t in self.anchor.t]

    def _marginal(self, model: Model) -> LaplacePosterior:
        """The posterior whose mode is the anchor."""
        return LaplacePosterior(model)

    def _widen(self) -> None:
        """Coordinates beyond those of the anchor: none."""

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

    @cached_property
    def compiled(self) -> Compiled | None:
        """The density in compiled code, where all its parts have a kernel."""
        return compiled(self)

    # --- from noise to parameters ----------------------------------------------------------------------------------
    def _outer(self, x: np.ndarray) -> np.ndarray:
        """z (N, d) with its outer coordinates filled in."""
        z = np.zeros((len(x), self.coordinates.d))
        a = self.anchor
        z[:, a.outer] = a.z[a.outer] + x[:, a.outer] @ a.root.T
        return z

    def _lam(self, factors: list[np.ndarray]) -> list[np.ndarray]:
        """λ (N, k, k) of every grouping factor, its columns, and so a level's u, from the last effect to the first."""
        out = []
        for factor in self.factors:
            lam = np.zeros((len(factors[0]), factor.k, factor.k))
            for t, a, b in factor.terms:
                lam[:, a:b, a:b] = self.inside[t] @ factors[t]
            out.append(np.ascontiguousarray(lam[:, :, ::-1]))
        return out

    def _way(self, j: int, lam: list[np.ndarray], i: int, z: np.ndarray) -> _Way:
        if self.tail is None:
            return _Way(self.anchor.A[j], self.alone[j], np.zeros((0, 0)), np.zeros(0))
        moving = self.tail.at([lam[g][i] for g in self.beside]) if self.beside else self.still
        return _Way(self.anchor.A[j], *moving)

    def _placed(self, x: np.ndarray) -> tuple[Any, ...]:
        """z, L of every term, λ of every factor, u (N, q), log Jacobians and the ways of points x."""
        a, first = self.anchor, self.coordinates.d
        z = self._outer(x)
        factors = self.coordinates.factors(z)
        lam = self._lam(factors)
        u, log_jacobian = np.empty((len(x), self.rows.q)), np.zeros(len(x))
        if self.tail is None:
            z[:, a.inner] = a.centre + x[:, a.inner] @ a.spread
        noise = np.ascontiguousarray(x[:, self.mixed])
        ways = []
        for i in range(len(x)):
            for j in self.led:
                span, shape = self.rows.spans[j], self.shapes[j]
                way = self._way(j, lam, i, z[i])
                log_jacobian[i] += self.kernels.forth(
                    lam[j][i], a.A[j], way.T, *way.quadratic, noise[i], x[i, first:][span].reshape(shape),
                    way.R, way.Y, way.K, way.h, way.c, u[i, span].reshape(shape),
                )  # fmt: skip
                ways.append(way)
            if self.tail is not None:
                z[i, a.inner], rest = way.c[: self.p], way.c[self.p :]
                u[i, self.mixed[self.p :] - first] = rest
        return z, factors, lam, u, log_jacobian, ways

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
        if self.compiled is not None:
            return self.compiled.gradient(x)
        value, slope = self.gradients(x[None])
        return float(value[0]), slope[0]

    def gradients(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log densities (N,) and gradients (N, d) of several points; −∞ where the density fails."""
        z, factors, lam, u, log_jacobian, ways = self._placed(x)
        b = self._effects(lam, u)
        c = z[:, self.coordinates.coefficients]
        value, by_c, by_b = self.rows.evaluate(c, b)
        prior, by_z = self.coordinates.log_prior(z)
        by_z[:, self.coordinates.coefficients] += by_c
        value = value + prior + log_jacobian - 0.5 * np.einsum("nq,nq->n", u, u)
        slope = np.empty_like(x)
        by_factor = self._back(lam, ways, u, by_b, by_z, slope)
        by_z += self.coordinates.pull(z, factors, by_factor)
        slope[:, self.anchor.outer] = by_z[:, self.anchor.outer] @ self.anchor.root
        good = np.isfinite(value) & np.isfinite(slope).all(axis=1)
        if not good.all():
            value, slope = np.where(good, value, -np.inf), np.where(good[:, None], slope, 0.0)
        return value, slope

    def _back(self, lam, ways, u, by_b, by_z, slope) -> list[np.ndarray]:  # type: ignore[no-untyped-def]
        """Derivatives by the noise of c and u into `slope`; by L of every term (N, k, k) as the result."""
        a, first, p = self.anchor, self.coordinates.d, self.p
        by_lam = [np.zeros_like(v) for v in lam]
        if self.tail is None:
            slope[:, a.inner] = by_z[:, a.inner] @ a.spread.T
        by_c = np.empty((len(u), len(self.mixed)))
        if self.tail is not None:
            by_c[:, :p] = by_z[:, a.inner]
            self._beside(lam, u, by_b, by_c, by_lam)
        by_noise = np.empty_like(by_c)
        steps = iter(ways)
        for i in range(len(u)):
            for j in self.led:
                span, shape, way = self.rows.spans[j], self.shapes[j], next(steps)
                by_T = np.empty_like(way.T) if self.beside else _NOTHING
                by_G, by_r = np.empty_like(way.K), np.empty_like(way.c)
                self.kernels.back(
                    lam[j][i], a.A[j], way.T, way.R, way.Y, way.K, way.h, way.c, u[i, span].reshape(shape),
                    by_b[i, span].reshape(shape), by_c[i], by_noise[i], slope[i, first:][span].reshape(shape),
                    by_lam[j][i], by_T, by_G, by_r,
                )  # fmt: skip
                self._by_precision(way, by_G, by_z[i])
                if self.tail is not None and self.beside:
                    passed = self.tail.back([lam[g][i] for g in self.beside], by_T, by_G, by_r)
                    for g, more in zip(self.beside, passed, strict=True):
                        by_lam[g][i] += more
        if self.tail is not None:
            slope[:, self.mixed] = by_noise
        by_factor: list[np.ndarray] = [np.zeros(0)] * len(self.inside)
        for factor, v in zip(self.factors, by_lam, strict=True):
            for t, begin, end in factor.terms:
                by_factor[t] = self.inside[t].T @ v[:, begin:end, ::-1][:, :, begin:end]
        return by_factor

    def _by_precision(self, way: _Way, by_G: np.ndarray, by_z: np.ndarray) -> None:
        """Adds to ∂/∂z what comes through the quadratic's precision G of the coefficients: it is constant here."""

    def _beside(self, lam, u, by_b, by_c, by_lam) -> None:  # type: ignore[no-untyped-def]
        """Derivatives by the effects beside the leading factor's, and directly by their λ: b = λu."""
        at = self.p
        for g in self.beside:
            span, shape = self.rows.spans[g], (len(u), *self.shapes[g])
            own_b, own_u = by_b[:, span].reshape(shape), u[:, span].reshape(shape)
            by_lam[g] += own_b.transpose(0, 2, 1) @ own_u
            size = own_u[0].size
            by_c[:, at : at + size] = (own_b @ lam[g] - own_u).reshape(len(u), -1)
            at += size

    # --- draws -----------------------------------------------------------------------------------------------------
    def points(self, x: np.ndarray) -> np.ndarray:
        """z (N, d) of points x."""
        return self._settled(x)[0]

    def _settled(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z and u (N, q) of points x."""
        if self.compiled is not None:
            z, u = self.compiled.left(x, ("z", "u"))
            return z, u
        z, _, _, u, *_ = self._placed(x)
        return z, u

    def complete(self, x: np.ndarray, rng: np.random.Generator | None = None) -> Completed:
        """Everything at points x (N, d), in the units of the data; nothing is left to be drawn."""
        z, u = self._settled(x)
        factors = self.coordinates.factors(z)
        effects: list[np.ndarray] = [np.zeros(0)] * len(factors)
        for factor, span in zip(self.factors, self.rows.spans, strict=True):
            own = u[:, span].reshape(len(x), factor.n_levels, factor.k)[:, :, ::-1]
            for t, a, b in factor.terms:
                effects[t] = own[:, :, a:b] @ factors[t].transpose(0, 2, 1)
        beta = self.coordinates.beta(z)
        beta[:, [j for j, _ in self.rows.rows.dropped]] = np.nan
        constants = self.coordinates.natural(z)
        sigma = constants.pop("sigma", None) if self.model.is_linear else None
        covariances = tuple(v @ v.transpose(0, 2, 1) for v in factors)
        return Completed(beta, sigma, covariances, tuple(effects), constants, np.zeros(len(x)))
