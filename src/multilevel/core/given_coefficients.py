"""The likelihood of a linear model with its group effects integrated out, at given (θ, σ, β).

    −2 log p(y | θ, σ, β) = log|C| + n log 2πσ² + r²/σ² − Σ log w + constants of the units,   y − Xβ in place of y

    ∂/∂Λ as in `gaussian.py` (plain, σ given);   ∂/∂log σ (Λ given) = 2n − 2r²/σ²;   ∂/∂β = −2 X'Wê/σ²

The elimination is that of a model without fixed columns; only its response changes from point to point.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from .collapsed import LARGEST, Restricted, Units
from .completed import Completed
from .coordinates import Coordinates, coordinates
from .gaussian import TWO_PI, Elimination, Solution
from .likelihood import Likelihood, State
from .pattern import pattern

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts
    from ..model.model import Model


@dataclass(frozen=True)
class At:
    """Points as the cross-products need them: L of every term, σ, σ'², λ of every factor, and (−β, 1): (N, …)."""

    factors: list[np.ndarray]
    sigma: np.ndarray
    s2: np.ndarray
    lam: list[np.ndarray]
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.sigma)


class GivenCoefficients:
    """log p(y | θ, σ, β), its gradient, and draws of b."""

    weighted = False

    def __init__(self, units: Units) -> None:
        self.units = units
        whole = units.products
        # own arrays of one column, y − Xβ, written anew at every point
        factors = tuple(replace(f, cross=np.zeros((f.n_levels, f.k, 1))) for f in whole.factors)
        self.reduced: CrossProducts = replace(
            whole, xy=np.zeros((1, 1)), factors=factors, to_beta=np.zeros((0, 0)), beta_origin=np.zeros(0)
        )
        self.likelihood = Likelihood(
            self.reduced, units.model.scales, False, 1.0, Elimination(self.reduced, pattern(self.reduced))
        )
        self.elimination = self.likelihood.elimination
        self.border = pattern(whole).border  # (trailing effects, p + 1)
        self.one_factor = len(factors) <= 1  # kernels for many points serve
        self.inside_of = np.linalg.pinv(units.scale * whole.to_beta) if whole.p else np.zeros((0, 0))
        c = units.coordinates
        at = [place for name, _, place in c.constants if name == "sigma"]
        self.sigma_at = c.coefficients.start + at[0] if at else -1  # place of log σ in z
        # the density is one of c: |∂β/∂c|
        of_c = np.delete(c.to_beta, [place for _, _, place in c.constants], axis=1)
        kept = np.delete(of_c, units.dropped, axis=0)
        self.log_jacobian = float(np.linalg.slogdet(kept)[1]) if kept.size else 0.0

    @property
    def seconds(self) -> float:
        return self.elimination.seconds / 2.0

    def start(self, point: Restricted) -> np.ndarray:
        coords = self.units.coordinates
        c = np.linalg.pinv(coords.to_beta) @ point.beta if coords.to_beta.size else np.zeros(coords.to_beta.shape[1])
        z = coords.at(point, c)  # type: ignore[arg-type]
        if self.sigma_at >= 0:
            z[self.sigma_at] = np.log(point.sigma or 1.0)
        return z

    # --- points --------------------------------------------------------------------------------------------------
    def _at(self, z: np.ndarray) -> At:
        coords, units = self.units.coordinates, self.units
        sigma = np.exp(z[:, self.sigma_at]) if self.sigma_at >= 0 else np.ones(len(z))
        factors = coords.factors(z)
        lam = [np.ascontiguousarray(v) for v in units.lam(factors, sigma)]
        inside = (coords.beta(z) - units.products.beta_origin) @ self.inside_of.T
        weights = np.ascontiguousarray(np.column_stack([-inside, np.ones(len(z))]))
        return At(factors, sigma, (sigma / units.scale) ** 2, lam, weights)

    def _solve(self, at: At, i: int) -> Solution | None:
        """The factorisation at one of the points; None where it fails."""
        lam = [v[i] for v in at.lam]
        if not (0.0 < at.s2[i] < np.inf and all(np.all(np.isfinite(v)) for v in lam)):
            return None
        self._respond(at.weights[i])
        solution = self.elimination.solve(lam)
        return solution if solution is not None and solution.r2 >= 0.0 else None

    def _respond(self, weights: np.ndarray) -> None:
        """Write y − Xβ in place of [X y]: `weights` = (−β, 1)."""
        whole = self.units.products
        self.reduced.xy[0, 0] = weights @ whole.xy @ weights
        for to, source in zip(self.reduced.factors, whole.factors, strict=True):
            np.matmul(source.cross, weights, out=to.cross[:, :, 0])
        if len(self.border):
            np.matmul(self.border, weights, out=self.elimination.pattern.border[:, 0])

    def _assembled(self, found: np.ndarray, at: At) -> np.ndarray:
        """log p(y | z) (N,) from log|C| and r² (N, 2)."""
        p = self.reduced
        r2 = np.where(found[:, 1] >= 0.0, found[:, 1], np.nan)
        value = found[:, 0] + p.n * np.log(TWO_PI * at.s2) + r2 / at.s2 - p.log_weights
        value = -0.5 * (value + 2.0 * p.n * np.log(p.y_shift.scale)) + self.log_jacobian
        return np.where(np.isfinite(value), value, -np.inf)

    # --- values and gradients ------------------------------------------------------------------------------------
    def values(self, z: np.ndarray) -> np.ndarray:
        at = self._at(z)
        if self.one_factor:
            return self._assembled(self._together(at)[0], at)
        found = np.full((len(z), 2), np.nan)
        for i in range(len(z)):
            solution = self._solve(at, i)
            if solution is not None:
                found[i] = solution.log_det, solution.r2
        return self._assembled(found, at)

    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        at, coords = self._at(z), self.units.coordinates
        kernels = self.one_factor and all(np.max(np.abs(v), initial=0.0) <= LARGEST for v in at.lam)
        found, by_lam, by_inside = self._together(at) if kernels else self._one_by_one(at)
        out = coords.pull(z, at.factors, self.units.by_term(by_lam, at.sigma))
        out[:, coords.coefficients] += (by_inside / at.s2[:, None]) @ self.inside_of @ coords.to_beta
        if self.sigma_at >= 0:
            through = sum(((slope * lam).sum(axis=(1, 2)) for slope, lam in zip(by_lam, at.lam, strict=True)), 0.0)
            out[:, self.sigma_at] += found[:, 1] / at.s2 - self.reduced.n - through
        return self._assembled(found, at), out

    def _together(self, at: At) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """log|C| and r² (N, 2), −½ ∂d/∂λ of every factor, and X'Wê (N, p), by one call."""
        from ..numerics import collapsed as kernels

        whole = self.units.products
        if whole.factors:
            gram, cross, lam = whole.factors[0].gram, whole.factors[0].cross, at.lam[0]
        else:
            gram, cross, lam = np.zeros((0, 1, 1)), np.zeros((0, 1, whole.p + 1)), np.zeros((len(at), 1, 1))
        found, by_lam, by_inside = np.empty((len(at), 2)), np.empty_like(lam), np.empty((len(at), whole.p))
        static = (np.ascontiguousarray(a) for a in (gram, cross, whole.xy))
        kernels.slopes_given(*static, at.weights, lam, at.s2, found, by_lam, by_inside)
        return found, [by_lam] if whole.factors else [], by_inside

    def _one_by_one(self, at: At) -> tuple[np.ndarray, list[np.ndarray], np.ndarray]:
        """The same by the elimination."""
        whole = self.units.products
        found, by_lam = np.full((len(at), 2), np.nan), [np.zeros_like(v) for v in at.lam]
        by_inside = np.zeros((len(at), whole.p))
        for i in range(len(at)):
            solution = self._solve(at, i)
            if solution is None:
                continue
            found[i] = solution.log_det, solution.r2
            by_inside[i] = whole.xy[:-1] @ at.weights[i]
            if not by_lam:
                continue
            u, sums = self.elimination.by_factor(solution.u), self.elimination.inverse(False).sums
            state = State(np.zeros(0), 0.0, float(at.s2[i]), solution, tuple(self.elimination.lam))
            ze = self.likelihood.scores(state, u)
            for f, factor in enumerate(whole.factors):
                by_lam[f][i] = ze[f].T @ u[f] / at.s2[i] - sums[f]
                by_inside[i] -= np.einsum("lkp,lk->p", factor.cross[:, :, :-1], u[f] @ at.lam[f][i].T)
        return found, by_lam, by_inside

    # --- draws ---------------------------------------------------------------------------------------------------
    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        units, elimination, at = self.units, self.elimination, self._at(z)
        u = [np.zeros((len(z), f.n_levels, f.k)) for f in units.products.factors]
        for i in range(len(z) if u else 0):
            noise = rng.standard_normal((elimination.q, 1))
            solution = self._solve(at, i)
            if solution is None:
                continue
            drawn = elimination.backward(noise, np.zeros((0, 1)))[0][:, 0]
            for out, value in zip(u, elimination.by_factor(solution.u / np.sqrt(at.s2[i]) + drawn), strict=True):
                out[i] = value
        return Completed(
            beta=units.shown(units.coordinates.beta(z)),
            sigma=None if units.known else at.sigma,
            covariances=tuple(f @ f.transpose(0, 2, 1) for f in at.factors),
            effects=units.effects(u, at.factors),
            log_weights=np.zeros(len(z)),
        )


def linear_coordinates(model: Model) -> Coordinates:
    """The coordinates with coefficients; σ is none of them where the rows' standard errors are known."""
    whole = coordinates(model, model.priors, True)
    if model.design.known_se is None:
        return whole
    gone = [place for name, _, place in whole.constants if name == "sigma"]
    if not gone:
        return whole
    first, width = whole.coefficients.start, whole.to_beta.shape[1] - len(gone)
    names = tuple(name for j, name in enumerate(whole.names) if j - first not in gone)
    return replace(
        whole,
        coefficients=slice(first, first + width),
        extras=slice(first + width, first + width + len(whole.priors.extras)),
        to_beta=np.delete(whole.to_beta, gone, axis=1),
        constants=(),
        names=names,
    )
