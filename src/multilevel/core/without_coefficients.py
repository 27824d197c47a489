"""The likelihood of a linear model with group effects and coefficients integrated out, at given (θ, σ).

    −2 log p(y | θ, σ) = log|C| + log|X'V⁻¹X + Σ_j q_j a_j a_j'| + (n − p) log 2πσ² + r²/σ² + Σ_j log 2πs_j²
                         − Σ log w + constants of the units,       q_j = σ²/s_j²

    ∂/∂Λ as in `gaussian.py` (restricted, σ given);   with h_j = q_j (a_j'M⁻¹a_j + (a_j'β̂ − m_j)²/σ²):
    ∂/∂log σ (Λ given) = 2 (n − p) − 2r²/σ² + 2 Σ_j h_j,    ∂/∂log s_j = 2 − 2 h_j

    a draw:  [u; β] = [û; β̂] + σ L'⁻¹ ε,   ε ~ N(0, I)

Normal priors of coefficients, a_j'β ~ N(m_j, s_j²), count as observations; without any, β is flat.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .collapsed import LARGEST, Restricted, Units, each
from .completed import Completed
from .gaussian import TWO_PI, Elimination, Solution
from .likelihood import Likelihood, State
from .normal_priors import NormalPriors, normal_priors, with_stand_ins

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts

CHUNK = 2**22  # random numbers held at once


class WithoutCoefficients:
    """log p(y | θ, σ), its gradient, and draws of (β, b)."""

    def __init__(self, units: Units) -> None:
        self.units = units
        products = units.products
        self.likelihood = Likelihood(products, units.model.scales, True, 1.0)
        self.elimination: Elimination = self.likelihood.elimination
        self._exact = normal_priors(units.coordinates.priors, products)
        self.weighted = bool(self._exact.others)
        self.one_factor = len(products.factors) <= 1  # kernels for many points serve

    @cached_property
    def normals(self) -> NormalPriors:
        """Normal priors of coefficients, and matched ones in place of others."""
        if not self.weighted:
            return self._exact
        from .collapsed import restricted

        z = self.start(restricted(self.units.model))
        point = self._solve(z, self._exact)
        if point is None:
            return self._exact
        solution, s2 = point
        inside = self.units.scale * self.units.products.to_beta
        covariance = s2 * inside @ self.elimination.inverse(True).PXX @ inside.T
        return with_stand_ins(self._exact, self.units.products, self.units.beta(solution.beta[None])[0], covariance)

    @property
    def seconds(self) -> float:
        return 1e-7 + 5e-10 * self.elimination.operations if self.one_factor else self.elimination.seconds / 2.0

    def start(self, point: Restricted) -> np.ndarray:
        return self.units.coordinates.at(point)  # type: ignore[arg-type]

    # --- values --------------------------------------------------------------------------------------------------
    def values(self, z: np.ndarray) -> np.ndarray:
        if self.one_factor:
            return self._together(z)
        return np.array([self._value(row) for row in z])

    def _together(self, z: np.ndarray) -> np.ndarray:
        from ..numerics import collapsed as kernels

        static, q, lam, sigma, _ = self._arrays(z)
        out = np.empty((len(z), 3))
        kernels.evaluate(*static, q, lam, out)
        r2 = np.where(out[:, 2] >= 0.0, out[:, 2], np.nan)
        spreads = self.normals.spreads(self._extras(z))
        value = np.asarray(self._assembled(out[:, 0], out[:, 1], r2, sigma**2, spreads))
        return np.where(np.isfinite(value), value, -np.inf)

    def _arrays(
        self, z: np.ndarray
    ) -> tuple[tuple[np.ndarray, ...], np.ndarray, np.ndarray, np.ndarray, list[np.ndarray]]:
        """For the kernels: the data and priors, then q, λ, internal σ and L of every point."""
        coords, units, normals = self.units.coordinates, self.units, self.normals
        sigma = coords.sigmas(z)
        inside = sigma / units.scale
        factors = coords.factors(z)
        if units.products.factors:
            only = units.products.factors[0]
            gram, cross, lam = only.gram, only.cross, units.lam(factors, sigma)[0]
        else:
            gram, cross = np.zeros((0, 1, 1)), np.zeros((0, 1, units.products.p + 1))
            lam = np.zeros((len(z), 1, 1))
        q = np.ascontiguousarray((inside[:, None] / normals.spreads(self._extras(z))) ** 2)
        static = (gram, cross, units.products.xy, normals.rows)
        return tuple(np.ascontiguousarray(a) for a in static), q, np.ascontiguousarray(lam), inside, factors

    def _value(self, z: np.ndarray) -> float:
        point = self._solve(z, self.normals)
        if point is None:
            return -np.inf
        solution, s2 = point
        spreads = self.normals.spreads(self._extras(z[None]))
        return float(self._assembled(solution.log_det, solution.log_det_x, solution.r2, s2, spreads)[0])

    def _assembled(self, log_det, log_det_x, r2, s2, spreads):  # type: ignore[no-untyped-def]
        """log p(y | z) (N,) from what one factorisation tells."""
        p: CrossProducts = self.units.products
        nu = p.n - p.p
        value = log_det + log_det_x + nu * np.log(TWO_PI * s2) + r2 / s2 - p.log_weights
        value = value + 2.0 * nu * np.log(p.y_shift.scale) + 2.0 * p.log_det_x
        return -0.5 * (value + np.log(TWO_PI * spreads**2).sum(axis=1))

    def _extras(self, z: np.ndarray) -> np.ndarray:
        return z[:, self.units.coordinates.extras]

    def _solve(self, z: np.ndarray, normals: NormalPriors) -> tuple[Solution, float] | None:
        """The factorisation at one point, and σ'²; None where it fails."""
        coords, units = self.units.coordinates, self.units
        sigma = coords.sigmas(z[None])
        s2 = float(sigma[0] / units.scale) ** 2
        lam = [v[0] for v in units.lam(coords.factors(z[None]), sigma)]
        if not (s2 > 0.0 and np.isfinite(s2) and all(np.all(np.isfinite(v)) for v in lam)):
            return None
        if len(normals):
            q = s2 / normals.spreads(self._extras(z[None]))[0] ** 2
            xy = units.products.xy + (normals.rows.T * q) @ normals.rows
            self.elimination.products = replace(units.products, xy=xy)
        else:
            self.elimination.products = units.products
        solution = self.elimination.solve(lam)
        if solution is None or not np.isfinite(solution.r2) or solution.r2 < 0.0:
            return None
        return solution, s2

    # --- the gradient --------------------------------------------------------------------------------------------
    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.one_factor:
            return each(self.slope, z)
        from ..numerics import collapsed as kernels

        static, q, lam, sigma, factors = self._arrays(z)
        if np.max(np.abs(lam), initial=0.0) > LARGEST:
            return each(self.slope, z)
        coords, s2 = self.units.coordinates, sigma**2
        out, by_lam, h = np.empty((len(z), 3)), np.empty_like(lam), np.empty_like(q)
        kernels.slopes(*static, q, lam, s2, out, by_lam, h)
        spreads = self.normals.spreads(self._extras(z))
        values = self._assembled(out[:, 0], out[:, 1], np.where(out[:, 2] >= 0.0, out[:, 2], np.nan), s2, spreads)
        slopes = np.zeros_like(z)
        if self.units.products.factors:
            slopes += coords.pull(z, factors, self.units.by_term([by_lam], sigma * self.units.scale))
        if coords.sigma >= 0:
            p = self.units.products
            through = (by_lam * lam).sum(axis=(1, 2))
            slopes[:, coords.sigma] += out[:, 2] / s2 - (p.n - p.p) - h.sum(axis=1) - through
        for j in np.flatnonzero(self.normals.scale >= 0):
            slopes[:, coords.extras.start + self.normals.scale[j]] += h[:, j] - 1.0
        return np.asarray(values), slopes

    def slope(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """One point, by the elimination."""
        out = np.zeros_like(z)
        normals = self.normals
        point = self._solve(z, normals)
        if point is None:
            return -np.inf, out
        solution, s2 = point
        coords, elimination = self.units.coordinates, self.elimination
        spreads = normals.spreads(self._extras(z[None]))
        value = float(self._assembled(solution.log_det, solution.log_det_x, solution.r2, s2, spreads)[0])
        sigma = coords.sigmas(z[None])
        inverse = elimination.inverse(True)
        u = elimination.by_factor(solution.u) if self.units.products.factors else []
        state = State(z, value, s2, solution, tuple(elimination.lam))
        ze = self.likelihood.scores(state, u)
        by_lam = [zz.T @ uu / s2 - total for zz, uu, total in zip(ze, u, inverse.sums, strict=True)]
        factors = coords.factors(z[None])
        out += coords.pull(z[None], factors, self.units.by_term([v[None] for v in by_lam], sigma))[0]
        h = _of_priors(normals, solution.beta, inverse.PXX, s2, spreads[0])
        if coords.sigma >= 0:
            p = self.units.products
            through = sum(float((slope * lam).sum()) for slope, lam in zip(by_lam, state.lam, strict=True))
            out[coords.sigma] += solution.r2 / s2 - (p.n - p.p) - float(h.sum()) - through
        for j in np.flatnonzero(normals.scale >= 0):
            out[coords.extras.start + normals.scale[j]] += h[j] - 1.0
        return value, out

    # --- draws ---------------------------------------------------------------------------------------------------
    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        coords, units = self.units.coordinates, self.units
        factors, sigma = coords.factors(z), coords.sigmas(z)
        shapes = [(f.n_levels, f.k) for f in units.products.factors]
        u = [np.empty((len(z), *shape)) for shape in shapes]
        inside = np.empty((len(z), units.products.p))
        step = max(1, CHUNK // max(self.elimination.q, 1))
        for first in range(0, len(z), step):
            part = slice(first, min(first + step, len(z)))
            self._draw(z[part], rng, [v[part] for v in u], inside[part])
        beta = units.beta(inside)
        log_weights = self.normals.log_weights(beta, self._extras(z))
        return Completed(
            beta=units.shown(beta),
            sigma=None if units.known else sigma,
            covariances=tuple(f @ f.transpose(0, 2, 1) for f in factors),
            effects=units.effects(u, factors),
            log_weights=log_weights,
        )

    def _draw(self, z: np.ndarray, rng: np.random.Generator, u: list[np.ndarray], inside: np.ndarray) -> None:
        """Standard-normal effects and internal coefficients of some points, into `u` and `inside`."""
        elimination, p = self.elimination, self.units.products.p
        noise = rng.standard_normal((len(z), elimination.q + p))
        if self.one_factor:
            from ..numerics import collapsed as kernels

            static, q, lam, sigma, _ = self._arrays(z)
            effects = u[0] if u else np.empty((len(z), 0, 1))
            kernels.draw(*static, q, lam, sigma, noise, effects, inside)
            return
        for i, row in enumerate(z):
            point = self._solve(row, self.normals)
            if point is None:
                inside[i] = np.nan
                continue
            solution, s2 = point
            root = float(np.sqrt(s2))
            of_u, of_beta = elimination.backward(*np.vsplit(noise[i][:, None].copy(), [elimination.q]))
            inside[i] = solution.beta + root * of_beta[:, 0]
            if elimination.q:
                for out, drawn in zip(u, elimination.by_factor(solution.u / root + of_u[:, 0]), strict=True):
                    out[i] = drawn


def _of_priors(
    normals: NormalPriors, beta: np.ndarray, inverse: np.ndarray, s2: float, spreads: np.ndarray
) -> np.ndarray:
    """h_j of every normal prior."""
    a, m = normals.rows[:, :-1], normals.rows[:, -1]
    spread = np.einsum("ja,ab,jb->j", a, inverse, a) + (a @ beta - m) ** 2 / s2
    return np.asarray(s2 / spreads**2 * spread)
