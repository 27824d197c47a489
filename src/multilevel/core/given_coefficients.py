"""The likelihood of a linear model with its group effects integrated out, at given (θ, σ, β).

    −2 log p(y | θ, σ, β) = log|C| + n log 2πσ² + r²/σ² − Σ log w + constants of the units,   y − Xβ in place of y

    ∂/∂Λ as in `gaussian.py` (plain, σ given);   ∂/∂log σ (Λ given) = 2n − 2r²/σ²;   ∂/∂β = −2 X'Wê/σ²

The elimination is that of a model without fixed columns; only its response changes from point to point.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from .collapsed import LARGEST, Restricted, Units, each
from .completed import Completed
from .coordinates import Coordinates, coordinates
from .gaussian import TWO_PI, Elimination, Solution
from .likelihood import Likelihood, State
from .pattern import pattern

if TYPE_CHECKING:
    from ..data.cross_products import CrossProducts
    from ..model.model import Model


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
        for name, _, place in coords.constants:
            if name == "sigma":
                c[place] = np.log(point.sigma or 1.0)
        return coords.at(point, c)  # type: ignore[arg-type]

    def _sigma(self, z: np.ndarray) -> np.ndarray:
        values = self.units.coordinates.natural(z)
        return values["sigma"] if "sigma" in values else np.ones(len(z))

    def _inside(self, z: np.ndarray) -> np.ndarray:
        """Coefficients of the cross-products (N, p)."""
        beta = self.units.coordinates.beta(z)
        return np.asarray((beta - self.units.products.beta_origin) @ self.inside_of.T)

    # --- values --------------------------------------------------------------------------------------------------
    def values(self, z: np.ndarray) -> np.ndarray:
        if self.one_factor:
            return self._together(z)[0]
        inside = self._inside(z)
        out = np.empty(len(z))
        for i, row in enumerate(z):
            point = self._solve(row, inside[i])
            out[i] = -np.inf if point is None else self._assembled(point[0].log_det, point[0].r2, point[1])
        return out

    def _together(self, z: np.ndarray):  # type: ignore[no-untyped-def]
        """log p(y | z), and what its gradient is made of: L, ∂/∂λ, λ, X'Wê, r² and σ (N, …)."""
        from ..numerics import collapsed as kernels

        units, whole = self.units, self.units.products
        sigma = self._sigma(z)
        s2 = (sigma / units.scale) ** 2
        factors = units.coordinates.factors(z)
        if whole.factors:
            gram, cross = whole.factors[0].gram, whole.factors[0].cross
            lam = np.ascontiguousarray(units.lam(factors, sigma)[0])
        else:
            gram, cross, lam = np.zeros((0, 1, 1)), np.zeros((0, 1, whole.p + 1)), np.zeros((len(z), 1, 1))
        weights = np.ascontiguousarray(np.column_stack([-self._inside(z), np.ones(len(z))]))
        out, by_lam, by_inside = np.empty((len(z), 2)), np.empty_like(lam), np.empty((len(z), whole.p))
        kernels.slopes_given(
            np.ascontiguousarray(gram), np.ascontiguousarray(cross), np.ascontiguousarray(whole.xy), weights, lam, s2,
            out, by_lam, by_inside,
        )  # fmt: skip
        r2 = np.where(out[:, 1] >= 0.0, out[:, 1], np.nan)
        values = self._assembled(out[:, 0], r2, s2)
        return np.where(np.isfinite(values), values, -np.inf), factors, by_lam, lam, by_inside, r2, sigma

    def _assembled(self, log_det, r2, s2):  # type: ignore[no-untyped-def]
        p = self.reduced
        value = log_det + p.n * np.log(TWO_PI * s2) + r2 / s2 - p.log_weights
        return -0.5 * (value + 2.0 * p.n * np.log(p.y_shift.scale)) + self.log_jacobian

    def _solve(self, z: np.ndarray, inside: np.ndarray) -> tuple[Solution, float] | None:
        """The factorisation at one point, and σ'²; None where it fails."""
        units, coords = self.units, self.units.coordinates
        sigma = self._sigma(z[None])
        s2 = float(sigma[0] / units.scale) ** 2
        lam = [v[0] for v in units.lam(coords.factors(z[None]), sigma)]
        if not (s2 > 0.0 and np.isfinite(s2) and all(np.all(np.isfinite(v)) for v in lam)):
            return None
        self._respond(np.append(-inside, 1.0))
        solution = self.elimination.solve(lam)
        if solution is None or not np.isfinite(solution.r2) or solution.r2 < 0.0:
            return None
        return solution, s2

    def _respond(self, weights: np.ndarray) -> None:
        """Write y − Xβ in place of [X y]: `weights` = (−β, 1)."""
        whole = self.units.products
        self.reduced.xy[0, 0] = weights @ whole.xy @ weights
        for to, source in zip(self.reduced.factors, whole.factors, strict=True):
            np.matmul(source.cross, weights, out=to.cross[:, :, 0])
        if len(self.border):
            np.matmul(self.border, weights, out=self.elimination.pattern.border[:, 0])

    # --- the gradient --------------------------------------------------------------------------------------------
    def slopes(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.one_factor:
            return each(self.slope, z)
        values, factors, by_lam, lam, by_inside, r2, sigma = self._together(z)
        if np.max(np.abs(lam), initial=0.0) > LARGEST:
            return each(self.slope, z)
        coords, slopes = self.units.coordinates, np.zeros_like(z)
        if self.units.products.factors:
            slopes += coords.pull(z, factors, self.units.by_term([by_lam], sigma))
        s2 = (sigma / self.units.scale) ** 2
        slopes[:, coords.coefficients] += (by_inside / s2[:, None]) @ self.inside_of @ coords.to_beta
        through = (by_lam * lam).sum(axis=(1, 2))
        for name, _, place in coords.constants:
            if name == "sigma":
                slopes[:, coords.coefficients.start + place] += r2 / s2 - self.reduced.n - through
        return values, slopes

    def slope(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """One point, by the elimination."""
        out = np.zeros_like(z)
        inside = self._inside(z[None])[0]
        point = self._solve(z, inside)
        if point is None:
            return -np.inf, out
        solution, s2 = point
        coords, units, elimination = self.units.coordinates, self.units, self.elimination
        sigma = self._sigma(z[None])
        u = elimination.by_factor(solution.u) if units.products.factors else []
        state = State(z, 0.0, s2, solution, tuple(elimination.lam))
        ze = self.likelihood.scores(state, u)
        sums = elimination.inverse(False).sums if u else []
        by_lam = [zz.T @ uu / s2 - total for zz, uu, total in zip(ze, u, sums, strict=True)]
        factors = coords.factors(z[None])
        out += coords.pull(z[None], factors, units.by_term([v[None] for v in by_lam], sigma))[0]
        through = sum(float((slope * lam).sum()) for slope, lam in zip(by_lam, state.lam, strict=True))
        out[coords.coefficients] += coords.to_beta.T @ (self.inside_of.T @ self._by_inside(inside, u, state.lam) / s2)
        for name, _, place in coords.constants:
            if name == "sigma":
                out[coords.coefficients.start + place] += solution.r2 / s2 - self.reduced.n - through
        return float(self._assembled(solution.log_det, solution.r2, s2)), out

    def _by_inside(self, inside: np.ndarray, u: list[np.ndarray], lam: tuple[np.ndarray, ...]) -> np.ndarray:
        """X'W(y − Xβ − ZΛû)."""
        whole = self.units.products
        out = whole.xy[:-1] @ np.append(-inside, 1.0)
        for factor, uu, v in zip(whole.factors, u, lam, strict=True):
            out = out - np.einsum("lkp,lk->p", factor.cross[:, :, :-1], uu @ v.T)
        return np.asarray(out)

    # --- draws ---------------------------------------------------------------------------------------------------
    def complete(self, z: np.ndarray, rng: np.random.Generator) -> Completed:
        coords, units, elimination = self.units.coordinates, self.units, self.elimination
        factors, sigma, inside = coords.factors(z), self._sigma(z), self._inside(z)
        u = [np.zeros((len(z), f.n_levels, f.k)) for f in units.products.factors]
        for i, row in enumerate(z):
            noise = rng.standard_normal((elimination.q, 1))
            point = self._solve(row, inside[i])
            if point is None or not u:
                continue
            drawn = elimination.backward(noise, np.zeros((0, 1)))[0][:, 0]
            for out, value in zip(u, elimination.by_factor(point[0].u / np.sqrt(point[1]) + drawn), strict=True):
                out[i] = value
        return Completed(
            beta=units.shown(coords.beta(z)),
            sigma=None if units.known else sigma,
            covariances=tuple(f @ f.transpose(0, 2, 1) for f in factors),
            effects=units.effects(u, factors),
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
