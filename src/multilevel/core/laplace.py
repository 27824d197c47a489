"""Laplace's approximation of the marginal likelihood, with its exact gradient.

    d(θ, c) = −2 Σ ℓ_i(η̂_i) + û'û + log|H|,    H = Λ'Z'WZΛ + I at the conditional mode û

over the covariance parameters θ and the coefficients c of all linear predictors (dispersions among them) jointly. With
s = ∂ℓ/∂η, W = −∂²ℓ/∂η², W' = −∂³ℓ/∂η³ by row, A_i = z̃_i'H⁻¹z̃_i, t_i = W'_i A_i, v = H⁻¹Λ'Z't and g = t − W ZΛv:

    ∂d/∂c = X'(g − 2s)
    ∂d/∂Λ = 2 (Z'WZΛH⁻¹) − 2 (Z's) û' + (Z'g) û' + (Z's) v'      in each factor's blocks

The mode's own dependence on the parameters is in it. With several predictors a row, W_i, W'_i and A_i are blocks.

References: Tierney & Kadane (1986), JASA 81; Pinheiro & Chao (2006), JCGS 15; `docs/numerics.md`, section 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Derivatives, Distribution
from ..scales.base import Scale
from .latent import Latent
from .likelihood import Slope
from .mode import TOLERANCE, Mode, conditional_mode, positive_part
from .row_terms import RowTerms

DEAR = 0.005  # seconds of a factorisation from which an old one is used for the first steps towards a mode
LOOSE = 1e-10  # decrement of a mode far from the optimum
# curves of a population are flatter than those of its groups: β ≈ β/(1 + c²τ²)^½ (Zeger, Liang & Albert 1988)
FLATTENED, MOST_SPREAD = {"logit": 0.346, "probit": 1.0}, 4.0
FAR = 1.0  # step of a parameter beyond which the tangent of the mode says little


@dataclass(frozen=True)
class LaplaceState:
    """The criterion at one point: φ = (θ, c) in `theta`, value d, and the mode there (None where d is infinite)."""

    theta: np.ndarray
    value: float
    lam: tuple[np.ndarray, ...]
    mode: Mode | None
    sigma2: float = 1.0

    @property
    def solution(self) -> Mode | None:
        """The mode, under the name that search drivers know."""
        return self.mode


class Laplace:
    """The criterion over φ = (θ, c).

    Parameters
    ----------
    rows : LatentRows
    distribution : Distribution
    scales : one Scale a term
    """

    near: ClassVar[float] = 1e-2  # decrement of the coefficients that is good enough to start from

    def __init__(self, rows: LatentRows, distribution: Distribution, scales: Sequence[Scale]) -> None:
        self.rows, self.distribution, self.scales = rows, distribution, tuple(scales)
        self.terms = RowTerms(distribution, rows.observations, rows.start)
        counts = [len(s.kinds()) for s in self.scales]
        bounds = np.concatenate([[0], np.cumsum(counts)]).astype(int)
        self.slices = [slice(bounds[t], bounds[t + 1]) for t in range(len(counts))]
        self.n_theta = int(bounds[-1])
        self.n_coefficients = rows.n_coefficients
        self.evaluations = 0
        self.current: LaplaceState | None = None  # whose factorisation the workspace holds
        self.fine = TOLERANCE  # decrement of the mode
        self._warm = np.zeros(sum(f.n_levels * f.k for f in rows.factors))
        self._tangent: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None  # φ, û and ∂û/∂φ there

    @cached_property
    def latent(self) -> Latent:
        """The workspace of the group effects."""
        return Latent(self.rows)

    def by_factor(self, u: np.ndarray) -> list[np.ndarray]:
        """A vector of effects as (levels, k) arrays, one a factor."""
        return self.latent.elimination.by_factor(u) if self.rows.factors else []

    @property
    def seconds(self) -> float:
        """Rough time of one factorisation with gradient."""
        return self.latent.elimination.seconds

    # --- the criterion -------------------------------------------------------------------------------------------
    def factors(self, theta: np.ndarray) -> list[np.ndarray]:
        """λ of every grouping factor: its terms' λ along the diagonal."""
        out = []
        for factor in self.rows.factors:
            lam = np.zeros((factor.k, factor.k))
            for t, a, b in factor.terms:
                lam[a:b, a:b] = self.scales[t].factor(theta[self.slices[t]])
            out.append(lam)
        return out

    def evaluate(self, theta: np.ndarray) -> LaplaceState:
        """d at φ; infinite where the density or the curvature fails (a value, not an error)."""
        if self.current is not None and np.array_equal(theta, self.current.theta):
            return self.current
        if self._tangent is not None and self.fine <= LOOSE:  # a mode as exact as the step is long needs no more
            step = float(np.max(np.abs(theta - self._tangent[0]), initial=0.0))
            self.fine = max(TOLERANCE, min(LOOSE, 1e-8 * step * step))
        self.current = self._evaluate(theta, self._predicted(theta))
        return self.current

    def _predicted(self, theta: np.ndarray) -> np.ndarray:
        """Where the mode is expected: along its tangent from the last gradient with information, or where it was."""
        if self._tangent is None:
            return self._warm
        at, u, slopes = self._tangent
        step = theta - at
        return np.asarray(u + slopes @ step) if np.max(np.abs(step), initial=0.0) < FAR else self._warm

    def touch(self, state: LaplaceState) -> None:
        """Take the tangent of the mode at a state: modes close to it then start where they end."""
        if self._tangent is None or not np.array_equal(self._tangent[0], state.theta):
            self.slope(state)

    def _evaluate(self, theta: np.ndarray, warm: np.ndarray) -> LaplaceState:
        self.evaluations += 1
        with np.errstate(all="ignore"):
            lam, fixed = self.factors(theta), self.rows.fixed(theta[self.n_theta :])
            if not self.rows.factors:
                return self._without_groups(theta, fixed)
            mode = conditional_mode(self.latent, self.terms, lam, fixed, warm, self._factored(lam), self.fine)
        if mode is None or not np.isfinite(mode.log_det):
            return LaplaceState(theta, np.inf, tuple(lam), None)
        self._warm = mode.u
        value = 2.0 * mode.h + mode.log_det - 2.0 * self.rows.log_constant
        return LaplaceState(theta, float(value), tuple(lam), mode)

    def _factored(self, lam: Sequence[np.ndarray]) -> bool:
        """Whether the factorisation at hand, of a nearby point, should serve for the first steps."""
        known = self.latent.factored and self.latent.elimination.seconds > DEAR
        return known and all(not np.any((a == 0.0) != (b == 0.0)) for a, b in zip(lam, self.latent.lam, strict=True))

    def _without_groups(self, theta: np.ndarray, fixed: np.ndarray) -> LaplaceState:
        at = self.terms.derivatives(self.rows.observations, fixed, 2)
        h = -float(at.value.sum())
        if not np.isfinite(h):
            return LaplaceState(theta, np.inf, (), None)
        mode = Mode(np.zeros(0), fixed, at, h, 0.0, 0)
        return LaplaceState(theta, 2.0 * h - 2.0 * self.rows.log_constant, (), mode)

    def search(self, phi: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray | None, int]:
        """A faster search before the general driver's: its end, the Hessian over ψ there if it is done, iterations."""
        return phi, None, 0

    def restore(self, state: LaplaceState) -> None:
        """Put the workspace back to a state."""
        if self.current is state or not self.rows.factors:
            return
        assert state.mode is not None
        self._warm = state.mode.u
        self.current = self._evaluate(state.theta, state.mode.u)

    # --- its gradient --------------------------------------------------------------------------------------------
    def slope(self, state: LaplaceState, sigma2: float | None = None, information: bool = True) -> Slope:
        """Gradient over φ and, on request, a positive model of the Hessian; `scores` hold ½ ∂d/∂Λ by term."""
        mode = state.mode
        if mode is None:
            raise np.linalg.LinAlgError("no gradient where the criterion is infinite")
        self.restore(state)
        at = mode.at
        if self.rows.factors and at.third is None:
            at = self.terms.derivatives(self.rows.observations, mode.eta, 3)
        assert at.first is not None
        assert at.second is not None
        pieces = self._pieces(state, at) if self.rows.factors else None
        by_row = -2.0 * at.first if pieces is None else pieces.g - 2.0 * at.first
        gradient = np.zeros(self.n_theta + self.n_coefficients)
        for d, (x, place) in enumerate(zip(self.rows.x, self.rows.places, strict=True)):
            gradient[self.n_theta + place.start : self.n_theta + place.stop] = by_row[:, d] @ x
        scores: tuple[np.ndarray, ...] = ()
        if pieces is not None:
            scores = self._lambda_scores(pieces, mode.u)
            for t, scale in enumerate(self.scales):
                slopes = scale.derivative(state.theta[self.slices[t]])
                gradient[self.slices[t]] = 2.0 * np.tensordot(slopes, scores[t])
        none = np.zeros(0)
        if not information:
            return Slope(gradient, np.zeros((0, 0)), none, scores)
        return Slope(gradient, self._hessian(state, at, pieces), none, scores)

    def _pieces(self, state: LaplaceState, at: Derivatives) -> _Pieces:
        """t, v, g and the sums over levels that the gradient is made of."""
        latent, which = self.latent, list(self.rows.latent)
        assert at.first is not None
        assert at.second is not None
        assert at.third is not None
        inverse = latent.inverse()
        a = latent.leverages(inverse)
        if self.rows.m == 1:
            t = at.third[:, :, 0, 0] * a[:, 0]
        else:
            t = np.einsum("nabd,nab->nd", at.third[:, which][:, :, which], a)
        v = latent.solve(latent.pulled(np.ascontiguousarray(t[:, which])))
        zv = latent.row_effects(latent.scaled(state.lam, v))
        g = t - (at.second[:, 0] * zv if self.rows.m == 1 else np.einsum("nda,na->nd", at.second[:, :, which], zv))
        zs = state.mode.scores if state.mode is not None else None
        if zs is None:
            zs = latent.level_sums(np.ascontiguousarray(at.first[:, which]))
        zg = latent.level_sums(np.ascontiguousarray(g[:, which]))
        return _Pieces(t, v, g, zs, zg, inverse.sums)

    def _lambda_scores(self, pieces: _Pieces, u: np.ndarray) -> tuple[np.ndarray, ...]:
        """½ ∂d/∂Λ of every term, in full."""
        e = self.latent.elimination
        us, vs, zs, zg = (e.by_factor(x) for x in (u, pieces.v, pieces.zs, pieces.zg))
        out: list[np.ndarray] = [np.zeros(0)] * len(self.scales)
        for f, factor in enumerate(self.rows.factors):
            full = pieces.sums[f] - zs[f].T @ us[f] + 0.5 * (zg[f].T @ us[f] + zs[f].T @ vs[f])
            for t, a, b in factor.terms:
                out[t] = full[a:b, a:b]
        return tuple(out)

    # --- a model of its Hessian ----------------------------------------------------------------------------------
    def _hessian(self, state: LaplaceState, at: Derivatives, pieces: _Pieces | None) -> np.ndarray:
        """Average information of θ as if the working response were normal, and twice the information of c."""
        assert at.second is not None
        p = self.n_theta
        out = np.zeros((p + self.n_coefficients, p + self.n_coefficients))
        full = self.latent.fixed_information(at.second)
        if pieces is None:
            out[p:, p:] = 2.0 * self._definite(full, at)
            return out
        pulled = self.latent.transposed_columns(self.latent.borders(at.second))
        moves, zz, drift = self._directions(state, pieces)
        half = self.latent.forward(np.concatenate([self.latent.transposed_columns(zz), pulled], axis=1))
        of_theta, of_fixed = half[:, :p], half[:, p:]
        out[:p, :p] = moves.T @ zz - of_theta.T @ of_theta
        out[p:, p:] = 2.0 * self._definite(full - of_fixed.T @ of_fixed, at)
        slopes = -self.latent.backward(half)
        slopes[:, :p] += drift
        assert state.mode is not None
        self._tangent = state.theta, state.mode.u, slopes
        return out

    def _definite(self, information: np.ndarray, at: Derivatives) -> np.ndarray:
        """The information of c, or one from the positive parts of the rows' curvatures where it is not definite."""
        if len(information) == 0 or np.linalg.eigvalsh(information)[0] > 0.0:
            return information
        assert at.second is not None
        x, owner = self.rows.all_columns
        w = positive_part(at.second)[:, owner, owner] if len(owner) else np.zeros((len(x), 0))
        return np.asarray(np.diag(np.maximum((w * x**2).sum(axis=0), 1e-8)))

    def _directions(self, state: LaplaceState, pieces: _Pieces) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """c_t = Λ̇û + ΛΛ̇'Z's, Z'WZ c_t and Λ̇'Z's for every θ_t, as columns.

        c_t'Z' V⁻¹ Z c_t with V = W⁻¹ + ZΛΛ'Z' is the average information; ∂û/∂θ_t = Λ̇'Z's − H⁻¹Λ'Z'WZ c_t.
        """
        e = self.latent.elimination
        assert state.mode is not None
        us, zs = e.by_factor(state.mode.u), e.by_factor(pieces.zs)
        moves = [np.zeros((*u.shape, self.n_theta)) for u in us]
        drift = [np.zeros((*u.shape, self.n_theta)) for u in us]
        for f, factor in enumerate(self.rows.factors):
            for t, a, b in factor.terms:
                lam = state.lam[f][a:b, a:b]
                for j, slope in enumerate(self.scales[t].derivative(state.theta[self.slices[t]])):
                    place = self.slices[t].start + j
                    pull = zs[f][:, a:b] @ slope
                    drift[f][:, a:b, place] = pull
                    moves[f][:, a:b, place] = us[f][:, a:b] @ slope.T + pull @ lam.T
        c = e.to_vector(moves)
        return c, e.multiply(c)[0], e.to_vector(drift)

    # --- starts --------------------------------------------------------------------------------------------------
    @cached_property
    def level_weights(self) -> np.ndarray:
        """Mean Z'WZ of a level for each covariance parameter, at the starting linear predictors."""
        at = self.at_start
        assert at.second is not None
        w = np.maximum(np.einsum("naa->na", at.second), 0.0)
        out = np.ones(self.n_theta)
        for factor in self.rows.factors:
            owners = [self.rows.latent[o] for o in factor.owner]
            mean = np.einsum("nk,nk->k", w[:, owners], factor.z**2) / factor.n_levels
            for t, a, b in factor.terms:
                slopes = self.scales[t].derivative(self.scales[t].start())
                out[self.slices[t]] = np.einsum("jab,a->j", slopes**2, mean[a:b])
        return np.maximum(out, 1e-300)

    @cached_property
    def at_start(self) -> Derivatives:
        """Derivatives without group effects, at the coefficients to start from."""
        eta = self.rows.fixed(self.start_coefficients)
        return self.terms.derivatives(self.rows.observations, eta, 2)

    @cached_property
    def start_coefficients(self) -> np.ndarray:
        """Coefficients without group effects: some Newton steps of the fixed part alone."""
        from .fixed import fit_fixed

        return fit_fixed(self.rows, self.terms, self.near)

    def start(self) -> np.ndarray:
        """φ to start from; variances from the scatter of levels' scores: E S²/I = 1 + τ² I for S = z's, I = z'Wz."""
        at = self.at_start
        assert at.first is not None
        assert at.second is not None
        parts: list[np.ndarray] = [np.zeros(0)] * len(self.scales)
        flat = FLATTENED.get(self.distribution.links[0], 0.0) if self.rows.m == 1 else 0.0
        spread = 0.0
        for factor in self.rows.factors:
            owners = [self.rows.latent[o] for o in factor.owner]
            ratio = np.empty(factor.k)
            for a, d in enumerate(owners):
                z = factor.z[:, a]
                score = np.bincount(factor.codes, z * at.first[:, d], factor.n_levels)
                info = np.bincount(factor.codes, z**2 * np.maximum(at.second[:, d, d], 0.0), factor.n_levels)
                told = info > 0.0
                excess = float((score[told] ** 2 / info[told]).sum()) - float(told.sum())
                ratio[a] = excess / max(float(info.sum()), 1e-300)
            ratio = np.clip(np.nan_to_num(ratio, nan=0.1), 0.1**2, 2.0**2)
            ratio = ratio * (1.0 + flat * ratio)
            spread += float(ratio @ np.mean(factor.z**2, axis=0))
            for t, a, b in factor.terms:
                free = np.array(self.scales[t].kinds()) != "bounded"
                theta = self.scales[t].from_covariance(np.diag(ratio[a:b]))
                parts[t] = np.where(free, theta, self.scales[t].start())
        return np.concatenate([*parts, self.start_coefficients * np.sqrt(1.0 + flat * min(spread, MOST_SPREAD))])


@dataclass(frozen=True)
class _Pieces:
    """By row t, g (n, m); by effect v, Z's, Z'g; by factor Σ (Z'WZΛH⁻¹)_ℓℓ."""

    t: np.ndarray
    v: np.ndarray
    g: np.ndarray
    zs: np.ndarray
    zg: np.ndarray
    sums: list[np.ndarray]
