"""How sure a fit of a generalized model is: the `Certainty` of Laplace's approximation and of quadrature.

Coefficients and variances: observed information of the approximate likelihood, all parameters jointly. Group effects:
the curvature at the conditional mode given the parameters, and for combinations of both the delta method on top:

    Var(x'β + z'b) ≈ z'Λ H⁻¹ Λ'z + J Cov(ψ̂) J',    J = ∂(x'β̂ + z'b̂)/∂ψ

References: Kass & Steffey (1989), JASA 84; Booth & Hobert (1998), JASA 93.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..core.curvature import Curvature
from ..core.laplace import Laplace, LaplaceState
from .estimates import Certainty, Combination, Spread, correlation_pairs
from .mixed import BLOCK, PROFILE_SECONDS, _diagonal_blocks, _log_wald, _root
from .sensitivity import Sensitivity, sensitivity

ROW_SECONDS = 1e-6  # of a row's derivatives where no kernel is compiled
EVALUATIONS = 300  # of the criterion's gradient, about, in the profile of one standard deviation
LARGEST_STEP = 5.0  # of a draw of a working parameter, in its units: a flat direction is no licence to overflow


class GeneralizedCertainty(Certainty):
    """Around the optimum `state` of `criterion`; `zeros` are the parameters on the boundary.

    `ignored` are the (levels, coefficients) of the model's terms where the criterion has none (complete pooling).
    """

    def __init__(
        self,
        criterion: Laplace,
        state: LaplaceState,
        zeros: set[int],
        ignored: tuple[tuple[int, int], ...] = (),
        curvature: Curvature | None = None,
    ) -> None:
        self.criterion, self.state, self.zeros, self.ignored = criterion, state, zeros, ignored
        self.rows = criterion.rows
        if curvature is not None:
            self.__dict__["curvature"] = curvature

    @cached_property
    def curvature(self) -> Curvature:
        """Observed information of all parameters, made when first asked for."""
        return Curvature(self.criterion, self.state, self.zeros)

    @property
    def hessian(self) -> np.ndarray:
        """The Hessian of the criterion, which differences find to some six digits."""
        return self.curvature.hessian

    def restored(self, hessian: np.ndarray | None, profiles: bool) -> GeneralizedCertainty:
        if hessian is not None and hessian.shape == (self.curvature.n_psi,) * 2:
            self.curvature.__dict__["hessian"] = hessian
        self.__dict__["profiles"] = profiles
        return self

    # --- fixed effects -------------------------------------------------------------------------------------------
    def beta_covariance(self) -> np.ndarray:
        to = self.rows.to_beta
        out = to @ self.curvature.coefficient_covariance @ to.T
        gone = [j for j, _ in self.rows.dropped]
        out[gone, :] = np.nan
        out[:, gone] = np.nan
        return np.asarray(out)

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        return np.full(len(contrasts), np.inf)

    # --- group effects -------------------------------------------------------------------------------------------
    @cached_property
    def _places(self) -> dict[int, tuple[int, int, int]]:
        return {t: (f, a, b) for f, factor in enumerate(self.rows.factors) for t, a, b in factor.terms}

    def _lam(self, state: LaplaceState, term: int) -> np.ndarray:
        """λ of one term, external coefficients."""
        f, a, b = self._places[term]
        return np.asarray(self.rows.to_effects[term] @ state.lam[f][a:b, a:b])

    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        if not self.criterion.scales:
            return tuple(np.zeros((levels, k, k)) for levels, k in self.ignored)
        state = self.curvature.restore()
        latent = self.criterion.latent
        inverse = latent.elimination.inverse(reml=False, keep=True)
        blocks: list[np.ndarray] = [inverse.PL] * len(self.rows.factors)
        pt = latent.pattern
        for place, f in zip(pt.place, pt.trail, strict=True):
            blocks[f] = _diagonal_blocks(inverse.P, pt, place, self.rows.factors[f].k)
        out = []
        for t in range(len(self.criterion.scales)):
            f, a, b = self._places[t]
            lam = self._lam(state, t)
            out.append(np.einsum("ij,ljk,mk->lim", lam, blocks[f][:, a:b, a:b], lam))
        return tuple(out)

    @cached_property
    def sensitivity(self) -> Sensitivity:
        """Slopes of all estimates by the working parameters."""
        return sensitivity(self)

    # --- combinations --------------------------------------------------------------------------------------------
    def _terms(self, rows: Combination) -> list[tuple[np.ndarray, np.ndarray]]:
        """Codes and coefficients of the terms that the criterion has."""
        return list(zip(rows.codes, rows.z, strict=True)) if self.criterion.scales else []

    def slopes(self, rows: Combination) -> np.ndarray:
        """∂(x'β̂ + z'b̂)/∂ψ, (ψ, m)."""
        out = np.asarray(self.sensitivity.beta @ rows.x.T)
        if len(out):
            for (codes, z), effects in zip(self._terms(rows), self.sensitivity.effects, strict=False):
                known = codes >= 0
                out[:, known] += np.einsum("mk,smk->sm", z[known], effects[:, codes[known]])
        return out

    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        variance = self.effect_variance(rows)
        j = self.slopes(rows)
        if not parameters:  # coefficients alone, the variances as known
            keep = self.curvature.coefficients
            j = j[keep]
            covariance = 2.0 * _inverse(self.curvature.hessian[np.ix_(keep, keep)])
        else:
            covariance = self.curvature.covariance
        variance = variance + np.einsum("sm,st,tm->m", j, covariance, j)
        return Spread(variance, np.full(len(variance), np.inf))

    def effect_variance(self, rows: Combination) -> np.ndarray:
        """Var(z'(b − b̂)) given all parameters; new levels add z'Σz."""
        state = self.curvature.restore()
        out = np.zeros(len(rows.x))
        for t, (codes, z) in enumerate(self._terms(rows)):
            new = codes == -2
            out[new] += ((z[new] @ self._lam(state, t)) ** 2).sum(axis=1)
        if not any(np.any(codes >= 0) for codes, _ in self._terms(rows)):
            return out
        if len(self.rows.factors) == 1:
            return out + self._one_factor_variance(state, rows)
        for part in self._batches(len(out)):
            out[part] += (self._solved(state, rows, part) ** 2).sum(axis=0)
        return out

    def _one_factor_variance(self, state: LaplaceState, rows: Combination) -> np.ndarray:
        """The same where all rows need is the block of their own level."""
        blocks = self.criterion.latent.elimination.inverse(reml=False, keep=True).PL
        z = np.zeros((len(rows.x), self.rows.factors[0].k))
        level = np.full(len(z), -1)
        for t, (codes, columns) in enumerate(self._terms(rows)):
            _, a, b = self._places[t]
            known = codes >= 0
            z[known, a:b] = (columns @ self._lam(state, t))[known]
            level[known] = codes[known]
        return np.where(level >= 0, np.einsum("mk,mkj,mj->m", z, blocks[level], z), 0.0)

    def _batches(self, m: int) -> list[slice]:
        size = max(1, BLOCK // max(self.criterion.latent.q, 1))
        return [slice(a, min(a + size, m)) for a in range(0, m, size)]

    def _solved(self, state: LaplaceState, rows: Combination, part: slice) -> np.ndarray:
        """L⁻¹Λ'z for some of the rows, as columns."""
        m = part.stop - part.start
        blocks = [np.zeros((f.n_levels, f.k, m)) for f in self.rows.factors]
        for t, (codes, z) in enumerate(self._terms(rows)):
            f, a, b = self._places[t]
            index = np.flatnonzero(codes[part] >= 0)
            blocks[f][codes[part][index], a:b, index] = (z[part] @ self._lam(state, t))[index]
        latent = self.criterion.latent
        return latent.forward(latent.elimination.to_vector(blocks))

    def covariance(self, rows: Combination) -> np.ndarray:
        j = self.slopes(rows)
        out = np.einsum("sm,st,tn->mn", j, self.curvature.covariance, j)
        if any(np.any(codes >= 0) for codes, _ in self._terms(rows)):
            state = self.curvature.restore()
            parts = self._batches(len(rows.x))
            for i, part in enumerate(parts):
                near = self._solved(state, rows, part)
                for other in parts[: i + 1]:
                    far = near if other is part else self._solved(state, rows, other)
                    block = near.T @ far
                    out[part, other] += block
                    if other is not part:
                        out[other, part] += block.T
        return np.asarray(out)

    # --- standard deviations and correlations --------------------------------------------------------------------
    def _sds(self, state: LaplaceState) -> np.ndarray:
        """All standard deviations, flat."""
        parts = [np.sqrt((self._lam(state, t) ** 2).sum(axis=1)) for t in range(len(self.criterion.scales))]
        return np.concatenate(parts) if parts else np.zeros(0)

    def _correlations(self, state: LaplaceState) -> np.ndarray:
        out = []
        for t in range(len(self.criterion.scales)):
            lam = self._lam(state, t)
            covariance = lam @ lam.T
            sd = np.sqrt(np.diag(covariance))
            for i, j in correlation_pairs(len(sd)):
                out.append(covariance[i, j] / (sd[i] * sd[j]) if sd[i] * sd[j] > 0 else np.nan)
        return np.array(out, dtype=float)

    def _delta(self, f: Any) -> np.ndarray:
        """Standard errors of f(state) by the delta method."""
        if self.curvature.n_psi == 0:
            return np.zeros(len(f(self.state)))
        j = self.curvature.differences(f)
        return np.asarray(np.sqrt(np.maximum(np.einsum("sm,st,tm->m", j, self.curvature.covariance, j), 0.0)))

    @cached_property
    def _sd_errors(self) -> np.ndarray:
        errors = self._delta(self._sds)
        return np.where(self._sds(self.state) > 0.0, errors, np.nan)

    def _by_term(self, flat: Any) -> list[list[Any]]:
        ends = np.cumsum([0, *(s.k for s in self.criterion.scales)])
        return [list(flat[a:b]) for a, b in itertools.pairwise(ends)]

    def sd_errors(self) -> tuple[list[list[float]], float]:
        if not self.criterion.scales:
            return [[float("nan")] * k for _, k in self.ignored], float("nan")
        return self._by_term(self._sd_errors.tolist()), float("nan")

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2.0))
        nowhere = (float("nan"), float("nan"))
        if not self.criterion.scales:
            return [[nowhere] * k for _, k in self.ignored], nowhere
        flat = []
        for j, (sd, error) in enumerate(zip(self._sds(self.state), self._sd_errors, strict=True)):
            if self.profiles:
                flat.append(self._profile(j, float(sd), float(error), half))
            else:
                flat.append(_log_wald(float(sd), float(error / sd), half) if sd > 0.0 else (0.0, self._reach(j, half)))
        return self._by_term(flat), nowhere

    @cached_property
    def profiles(self) -> bool:  # type: ignore[override]  # times are measured once
        """Whether intervals of standard deviations are profile likelihood ones (Wald on the log scale otherwise)."""
        n = sum(s.k for s in self.criterion.scales)
        of_rows = 0.0 if self.criterion.terms.compiled else ROW_SECONDS * self.rows.n * self.rows.m**2
        return (self.criterion.seconds + of_rows) * EVALUATIONS * n < PROFILE_SECONDS  # by sizes, not by the clock

    def _profile(self, flat: int, sd: float, error: float, half: float) -> tuple[float, float]:
        from ..core.pinned_phi import HeldSd, sd_interval

        t, row = self._rows_of_terms[flat]
        step = error if np.isfinite(error) and error > 0.0 else self._reach(flat, 1.0)
        found = sd_interval(HeldSd(self.criterion, self.state, t, (row,), sd, step), half)
        self.curvature.restore()
        return found

    @property
    def _rows_of_terms(self) -> list[tuple[int, int]]:
        """Term and coefficient of every standard deviation."""
        return [(t, row) for t, s in enumerate(self.criterion.scales) for row in range(s.k)]

    def _reach(self, flat: int, half: float) -> float:
        """How large a standard deviation estimated as zero may be: where d has risen by half², the rest held."""
        t, row = self._rows_of_terms[flat]
        scale, part = self.criterion.scales[t], self.criterion.slices[t]
        kinds = scale.kinds()
        lam = scale.factor(self.state.theta[part])
        slopes = scale.derivative(self.state.theta[part])
        candidates = [j for j, k in enumerate(kinds) if k == "positive" and np.any(slopes[j][row] != 0.0)]
        if not candidates or not np.isfinite(half):
            return float("nan")
        back = float(self.rows.to_effects[t][row, row])
        out = self._rise(part.start + candidates[-1], half) * abs(back)
        self.curvature.restore()
        return float(np.hypot(out, np.linalg.norm((self.rows.to_effects[t] @ lam)[row])))

    def _rise(self, j: int, half: float) -> float:
        """θ_j where d is half² above its minimum along that coordinate."""
        from scipy.optimize import brentq

        def excess(value: float) -> float:
            theta = self.state.theta.copy()
            theta[j] = value
            return float(min(self.criterion.evaluate(theta).value, 1e300) - self.state.value - half**2)

        high = 1.0 / float(np.sqrt(self.curvature.objective.weight[j]))
        for _ in range(60):
            if excess(high) > 0.0:
                return float(brentq(excess, 0.0, high, rtol=1e-6))
            high *= 2.0
        return float("inf")

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        from scipy.special import ndtri

        if not self.criterion.scales:
            return [[(float("nan"), float("nan"))] * len(correlation_pairs(k)) for _, k in self.ignored]
        half = float(ndtri(0.5 + level / 2.0))
        r = self._correlations(self.state)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = self._delta(self._correlations) / (1.0 - r**2) if len(r) else r
            z = np.arctanh(r)
            ends = np.tanh(np.stack([z - half * error, z + half * error], axis=1))
        ends[~np.isfinite(ends).all(axis=1) | (np.abs(r) > 1.0 - 1e-10)] = np.nan
        pairs = np.cumsum([0, *(len(correlation_pairs(s.k)) for s in self.criterion.scales)])
        return [[(float(a), float(b)) for a, b in ends[first:last]] for first, last in itertools.pairwise(pairs)]

    def constants(self, level: float) -> dict[str, tuple[float, float, float, float]]:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2.0))
        out = {}
        for name, predictor, place in self.rows.constants:
            position = int(self.curvature.coefficients[place])
            error = float(np.sqrt(self.curvature.covariance[position, position]))
            centre = float(self.state.theta[self.criterion.n_theta + place])
            family, link = self.criterion.distribution.family, self.criterion.distribution.links[predictor]
            at = [family.natural(name, centre + s * half * error, link) for s in (0.0, -1.0, 1.0)]
            step = 1e-5 * max(1.0, abs(centre))
            up, down = (family.natural(name, centre + s * step, link) for s in (1.0, -1.0))
            for key in at[0]:
                slope = (up[key] - down[key]) / (2.0 * step)
                low, high = sorted((at[1][key], at[2][key]))
                out[key] = (at[0][key], abs(slope) * error, low, high)
        return out

    # --- draws ---------------------------------------------------------------------------------------------------
    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """ψ from its normal approximation, then group effects around their modes at these ψ, to first order.

        Their variance is that of `spread`.
        """
        curvature = self.curvature
        root = _root(curvature.covariance)
        steps = np.clip(rng.standard_normal((n, root.shape[1])) @ root.T, -LARGEST_STEP, LARGEST_STEP)
        terms = range(len(self.criterion.scales))
        sizes = [self._effects(self.state, t).shape for t in terms] or list(self.ignored)
        covariances = [np.zeros((n, k, k)) for _, k in sizes]
        effects = [np.zeros((n, levels, k)) for levels, k in sizes]
        beta = np.empty((n, self.rows.to_beta.shape[0]))
        constants = {name: np.empty(n) for name in self.constants(0.5)}
        drift = [np.zeros((len(steps.T), *size)) for size in sizes]
        if curvature.n_psi:
            drift = [curvature.differences(lambda near, t=t: self._effects(near, t)) for t in terms]  # type: ignore[misc]
        state = curvature.restore()
        for i, step in enumerate(steps):
            phi = self._moved(step)
            beta[i] = self.rows.to_beta @ phi[self.criterion.n_theta :]
            self._draw_constants(constants, i, phi)
            if not terms:
                continue
            noise = self.criterion.by_factor(
                self.criterion.latent.backward(_column(rng, self.criterion.latent.q))[:, 0]
            )
            for t in terms:
                f, a, b = self._places[t]
                lam = self.rows.to_effects[t] @ self.criterion.scales[t].factor(phi[self.criterion.slices[t]])
                covariances[t][i] = lam @ lam.T
                moved = np.tensordot(step, drift[t], axes=1)
                effects[t][i] = self._effects(state, t) + moved + noise[f][:, a:b] @ self._lam(state, t).T
        return {"beta": beta, "covariances": covariances, "effects": effects, "constants": constants}

    def _effects(self, state: LaplaceState, term: int) -> np.ndarray:
        """Modes of a term's effects at a state, (levels, k)."""
        assert state.mode is not None
        f, a, b = self._places[term]
        return np.asarray(self.criterion.by_factor(state.mode.u)[f][:, a:b] @ self._lam(state, term).T)

    def _draw_constants(self, constants: dict[str, np.ndarray], draw: int, phi: np.ndarray) -> None:
        distribution = self.criterion.distribution
        for name, predictor, place in self.rows.constants:
            value = float(phi[self.criterion.n_theta + place])
            for key, natural in distribution.family.natural(name, value, distribution.links[predictor]).items():
                constants[key][draw] = natural

    def _moved(self, step: np.ndarray) -> np.ndarray:
        from ..numerics.newton import _move

        return _move(self.curvature.objective, self.state.theta, self.curvature.free, step)


def _inverse(matrix: np.ndarray) -> np.ndarray:
    return np.linalg.pinv(matrix, hermitian=True) if len(matrix) else matrix


def _column(rng: np.random.Generator, size: int) -> np.ndarray:
    return rng.standard_normal((size, 1))
