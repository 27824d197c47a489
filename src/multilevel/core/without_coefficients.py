"""The likelihood of a linear model with group effects and coefficients integrated out, at given (θ, σ).

    −2 log p(y | θ, σ) = log|C| + log|X'V⁻¹X + Σ_j q_j a_j a_j'| + (n − p) log 2πσ² + r²/σ² + Σ_j log 2πs_j²
                         − Σ log w + constants of the units,       q_j = σ²/s_j²

    ∂/∂Λ as in `gaussian.py` (restricted, σ given);   with h_j = q_j (a_j'M⁻¹a_j + (a_j'β̂ − m_j)²/σ²):
    ∂/∂log σ (Λ given) = 2 (n − p) − 2r²/σ² + 2 Σ_j h_j,    ∂/∂log s_j = 2 − 2 h_j

    a draw:  [u; β] = [û; β̂] + σ L'⁻¹ ε,   ε ~ N(0, I)

Normal priors of coefficients, a_j'β ~ N(m_j, s_j²), count as observations; without any, β is flat.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from .collapsed import LARGEST, Restricted, Units
from .completed import Completed
from .gaussian import TWO_PI, Elimination, Solution
from .likelihood import Likelihood, State
from .normal_priors import NormalPriors, normal_priors, with_stand_ins

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts

CHUNK = 2**22  # random numbers held at once


@dataclass(frozen=True)
class At:
    """Points as the cross-products need them: L of every term, σ, σ'², λ of every factor, s_j and q_j (N, …)."""

    factors: list[np.ndarray]
    sigma: np.ndarray
    s2: np.ndarray
    lam: list[np.ndarray]
    spreads: np.ndarray
    q: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma)


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

        at = self._at(self.start(restricted(self.units.model))[None], self._exact)
        solution = self._solve(at, 0, self._exact)
        if solution is None:
            return self._exact
        inside = self.units.scale * self.units.products.to_beta
        covariance = at.s2[0] * inside @ self.elimination.inverse(True).PXX @ inside.T
        return with_stand_ins(self._exact, self.units.products, self.units.beta(solution.beta[None])[0], covariance)

    @property
    def seconds(self) -> float:
        return 1e-7 + 5e-10 * self.elimination.operations if self.one_factor else self.elimination.seconds / 2.0

    def start(self, point: Restricted) -> np.ndarray:
        return self.units.coordinates.at(point)  # type: ignore[arg-type]

    # --- points --------------------------------------------------------------------------------------------------
    def _at(self, z: np.ndarray, normals: NormalPriors | None = None) -> At:
        coords, units = self.units.coordinates, self.units
        normals = self.normals if normals is None else normals
        factors, sigma = coords.factors(z), coords.sigmas(z)
        s2 = (sigma / units.scale) ** 2
        spreads = normals.spreads(z[:, coords.extras])
        lam = [np.ascontiguousarray(v) for v in units.lam(factors, sigma)]
        return At(factors, sigma, s2, lam, spreads, np.ascontiguousarray(s2[:, None] / spreads**2))

    def _solve(self, at: At, i: int, normals: NormalPriors) -> Solution | None:
        """The factorisation at one of the points; None where it fails."""
        lam = [v[i] for v in at.lam]
        if not (0.0 < at.s2[i] < np.inf and all(np.all(np.isfinite(v)) for v in lam)):
            return None
        products = self.units.products
        if len(normals):
            products = replace(products, xy=products.xy + (normals.rows.T * at.q[i]) @ normals.rows)
        self.elimination.products = products
        solution = self.elimination.solve(lam)
        return solution if solution is not None and solution.r2 >= 0.0 else None

    def _static(self, at: At) -> tuple[np.ndarray, ...]:
        """What the kernels need: data, priors, and the points' q and λ."""
        products = self.units.products
        if products.factors:
            gram, cross, lam = products.factors[0].gram, products.factors[0].cross, at.lam[0]
        else:
            gram, cross, lam = np.zeros((0, 1, 1)), np.zeros((0, 1, products.p + 1)), np.zeros((len(at), 1, 1))
        arrays = (gram, cross, products.xy, self.normals.rows, at.q, lam)
        return tuple(np.ascontiguousarray(a) for a in arrays)

    def _assembled(self, found: np.ndarray, at: At) -> np.ndarray:
        """log p(y | z) (N,) from log|C|, log|X'V⁻¹X| and r² (N, 3)."""
        p: CrossProducts = self.units.products
        nu = p.n - p.p
        r2 = np.where(found[:, 2] >= 0.0, found[:, 2], np.nan)
        value = found[:, 0] + found[:, 1] + nu * np.log(TWO_PI * at.s2) + r2 / at.s2 - p.log_weights
        value = value + 2.0 * nu * np.log(p.y_shift.scale) + 2.0 * p.log_det_x
        value = -0.5 * (value + np.log(TWO_PI * at.spreads**2).sum(axis=1))
        return np.where(np.isfinite(value), value, -np.inf)

    # --- values and gradients ------------------------------------------------------------------------------------
    def values(self, z: np.ndarray) -> np.ndarray:
        at = self._at(z)
        found = np.full((len(z), 3), np.nan)
        if self.one_factor:
            from ..numerics import collapsed as kernels

            kernels.evaluate(*self._static(at), found)
        else:
            for i in range(len(z)):
                solution = self._solve(at, i, self.normals)
                if solution is not None:
                    found[i] = solution.log_det, solution.log_det_x, solution.r2
        return self._assembled(found, at)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, coords, p = self._at(z), self.units.coordinates, self.units.products
        found, by_lam, h = self._derivatives(at)
        out = coords.pull(z, at.factors, self.units.by_term(by_lam, at.sigma))
        if coords.sigma >= 0:
            through = sum(((slope * lam).sum(axis=(1, 2)) for slope, lam in zip(by_lam, at.lam, strict=True)), 0.0)
            out[:, coords.sigma] += found[:, 2] / at.s2 - (p.n - p.p) - h.sum(axis=1) - through
        for j in np.flatnonzero(self.normals.scale >= 0):
            out[:, coords.extras.start + self.normals.scale[j]] += h[:, j] - 1.0
        return self._assembled(found, at), out

    def _derivatives(self, at: At) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """What values need (N, 3), −½ ∂d/∂λ of every factor (N, k, k), and h_j (N, J)."""
        found, by_lam, h = np.full((len(at), 3), np.nan), [np.zeros_like(v) for v in at.lam], np.zeros_like(at.q)
        if self.one_factor and all(np.max(np.abs(v), initial=0.0) <= LARGEST for v in at.lam):
            from ..numerics import collapsed as kernels

            static = self._static(at)
            kernels.slopes(*static, at.s2, found, by_lam[0] if by_lam else np.zeros_like(static[-1]), h)
            return found, by_lam, h
        for i in range(len(at)):
            solution = self._solve(at, i, self.normals)
            if solution is None:
                continue
            found[i] = solution.log_det, solution.log_det_x, solution.r2
            inverse = self.elimination.inverse(True)
            u = self.elimination.by_factor(solution.u) if by_lam else []
            state = State(np.zeros(0), 0.0, float(at.s2[i]), solution, tuple(self.elimination.lam))
            ze = self.likelihood.scores(state, u)
            for out, zz, uu, total in zip(by_lam, ze, u, inverse.sums, strict=True):
                out[i] = zz.T @ uu / at.s2[i] - total
            h[i] = _of_priors(self.normals, solution.beta, inverse.PXX, float(at.s2[i]), at.spreads[i])
        return found, by_lam, h

    # --- draws ---------------------------------------------------------------------------------------------------
    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        units = self.units
        u = [np.zeros((len(z), f.n_levels, f.k)) for f in units.products.factors]
        inside = np.full((len(z), units.products.p), np.nan)
        step = max(1, CHUNK // max(self.elimination.q, 1))
        for first in range(0, len(z), step):
            part = slice(first, min(first + step, len(z)))
            self._draw(self._at(z[part]), rng, [v[part] for v in u], inside[part])
        beta = units.beta(inside)
        factors = units.coordinates.factors(z)
        return Completed(
            beta=units.shown(beta),
            sigma=None if units.known else units.coordinates.sigmas(z),
            covariances=tuple(f @ f.transpose(0, 2, 1) for f in factors),
            effects=units.effects(u, factors),
            log_weights=self.normals.log_weights(beta, z[:, units.coordinates.extras]),
        )

    def _draw(self, at: At, rng: np.random.Generator, u: list[np.ndarray], inside: np.ndarray) -> None:
        """Standard-normal effects and internal coefficients of some points, into `u` and `inside`."""
        elimination, root = self.elimination, np.sqrt(at.s2)
        noise = rng.standard_normal((len(at), elimination.q + self.units.products.p))
        if self.one_factor:
            from ..numerics import collapsed as kernels

            kernels.draw(*self._static(at), root, noise, u[0] if u else np.empty((len(at), 0, 1)), inside)
            return
        for i in range(len(at)):
            solution = self._solve(at, i, self.normals)
            if solution is None:
                continue
            of_u, of_beta = elimination.backward(*np.vsplit(noise[i][:, None].copy(), [elimination.q]))
            inside[i] = solution.beta + root[i] * of_beta[:, 0]
            for out, drawn in zip(u, elimination.by_factor(solution.u / root[i] + of_u[:, 0]), strict=True):
                out[i] = drawn


def _of_priors(
    normals: NormalPriors, beta: np.ndarray, inverse: np.ndarray, s2: float, spreads: np.ndarray
) -> np.ndarray:
    """h_j of every normal prior."""
    a, m = normals.rows[:, :-1], normals.rows[:, -1]
    spread = np.einsum("ja,ab,jb->j", a, inverse, a) + (a @ beta - m) ** 2 / s2
    return np.asarray(s2 / spreads**2 * spread)
