"""How sure a likelihood fit of a mixed model is: the `Certainty` of ML and REML.

Everything here is computed when first asked for, from the factorisation at the optimum and the observed
information of the variance parameters (`core/information.py`).

References: Satterthwaite (1946); Kackar & Harville (1984) for the extra variance of a prediction;
Kuznetsova, Brockhoff & Christensen (2017) for Satterthwaite in mixed models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from ..core.information import Information, unscaled_beta_covariance
from ..core.likelihood import Likelihood, State
from ..core.profile import SdProfile, interval
from .estimates import Certainty, Combination, Spread, correlation_pairs

PROFILE_SECONDS = 2.0  # profile intervals when expected to take less, Wald intervals on the log scale otherwise
BLOCK = 4_000_000  # numbers in one batch of right-hand sides


class MixedCertainty(Certainty):
    """Around the optimum `state` of `likelihood`; `zeros` are the parameters on the boundary."""

    def __init__(self, likelihood: Likelihood, state: State, zeros: set[int]) -> None:
        self.likelihood, self.state, self.zeros = likelihood, state, zeros
        self.products = likelihood.products
        self.unit = self.products.y_shift.scale

    @cached_property
    def information(self) -> Information:
        """Observed information of the variance parameters, made when first asked for."""
        return Information(self.likelihood, self.state, self.zeros)

    # --- fixed effects ---------------------------------------------------------------------------------------
    @cached_property
    def _unscaled(self) -> np.ndarray:
        self.likelihood.evaluate(self.state.theta)
        return unscaled_beta_covariance(self.likelihood)

    def _external(self, matrix: np.ndarray) -> np.ndarray:
        to = self.products.to_beta
        return self.state.sigma2 * self.unit**2 * (to @ matrix @ to.T)

    def beta_covariance(self) -> np.ndarray:
        out = self._external(self._unscaled)
        gone = [j for j, _ in self.products.dropped]
        out[gone, :] = np.nan
        out[:, gone] = np.nan
        return out

    def contrast_df(self, contrasts: np.ndarray) -> np.ndarray:
        if self.products.p == 0:
            return np.full(len(contrasts), np.inf)
        c = contrasts @ self.products.to_beta
        variance = np.einsum("mp,pq,mq->m", c, self._unscaled, c)
        slopes = np.einsum("mp,spq,mq->sm", c, self.information.beta_differences, c)
        return self.information.satterthwaite(variance, slopes)

    # --- group effects ---------------------------------------------------------------------------------------
    def effect_covariances(self) -> tuple[np.ndarray, ...]:
        state = self.information.restore()
        elimination = self.likelihood.elimination
        inverse = elimination.inverse(reml=False, keep=True)
        blocks: list[np.ndarray] = [inverse.PL] * len(self.products.factors)
        pt = elimination.pattern
        for place, f in zip(pt.place, pt.trail, strict=True):
            blocks[f] = _diagonal_blocks(inverse.P, pt, place, self.products.factors[f].k)
        out: list[np.ndarray] = [np.zeros(0)] * len(self.likelihood.scales)
        for f, factor in enumerate(self.products.factors):
            for t, a, b in factor.terms:
                lam = self.products.to_effects[t] @ state.lam[f][a:b, a:b]
                out[t] = state.sigma2 * self.unit**2 * np.einsum("ij,ljk,mk->lim", lam, blocks[f][:, a:b, a:b], lam)
        return tuple(out)

    # --- combinations ----------------------------------------------------------------------------------------
    def spread(self, rows: Combination, parameters: bool = True) -> Spread:
        state = self.information.restore()
        variance = self._conditional_variance(state, rows)
        if not parameters or self.information.n_psi == 0:
            return Spread(variance, np.full(len(variance), np.inf))
        slopes = np.zeros((self.information.n_psi, len(variance)))
        moves = np.zeros_like(slopes)
        n_free = len(self.information.free)
        if n_free:
            both = self.information.differences(
                lambda near: np.stack([self._conditional_variance(near, rows), self._value(near, rows)])
            )
            slopes[:n_free], moves[:n_free] = both[:, 0], both[:, 1]
        if self.information.with_sigma:
            slopes[-1] = 2.0 * variance
        # Kackar & Harville: the predictor itself moves with the estimated variances
        extra = np.einsum("sm,st,tm->m", moves, self.information.covariance, moves)
        df = self.information.satterthwaite(variance, slopes)
        return Spread(variance + extra, df)

    def _weights(self, state: State, rows: Combination) -> tuple[np.ndarray, list[np.ndarray]]:
        """Row weights on β' and on u (by term), internal coordinates."""
        x = rows.x @ self.products.to_beta
        u = []
        for t, z in enumerate(rows.z):
            f, a, b = self._place(t)
            u.append(z @ (self.products.to_effects[t] @ state.lam[f][a:b, a:b]))
        return x, u

    @cached_property
    def _places(self) -> dict[int, tuple[int, int, int]]:
        return {t: (f, a, b) for f, factor in enumerate(self.products.factors) for t, a, b in factor.terms}

    def _place(self, term: int) -> tuple[int, int, int]:
        return self._places[term]

    def _value(self, state: State, rows: Combination) -> np.ndarray:
        """x'β̂ + z'b̂ at a state (without the constant origin)."""
        assert state.solution is not None
        x, weights = self._weights(state, rows)
        u = self.likelihood.elimination.by_factor(state.solution.u)
        out = x @ state.solution.beta
        for t, (codes, w) in enumerate(zip(rows.codes, weights, strict=True)):
            f, a, b = self._place(t)
            known = codes >= 0
            out[known] += np.einsum("mk,mk->m", w[known], u[f][codes[known], a:b])
        return self.unit * out

    def _conditional_variance(self, state: State, rows: Combination) -> np.ndarray:
        """Var(x'(β̂ − β) + z'(b̂ − b)) given the variance parameters of `state`; new levels add z'Σz."""
        sigma2 = self.state.sigma2 * self.unit**2
        x, weights = self._weights(state, rows)
        out = np.zeros(len(x))
        for codes, w in zip(rows.codes, weights, strict=True):
            new = codes == -2
            out[new] += np.einsum("mk,mk->m", w[new], w[new])
        if len(self.products.factors) == 1:
            out += self._one_factor_variance(x, rows.codes, weights)
        else:
            out += self._many_factor_variance(x, rows.codes, weights)
        return sigma2 * out

    def _one_factor_variance(self, x: np.ndarray, codes: tuple[np.ndarray, ...], w: list[np.ndarray]) -> np.ndarray:
        inverse = self.likelihood.elimination.inverse(reml=True, keep=True)
        out = np.einsum("mp,pq,mq->m", x, inverse.PXX, x)
        z = np.zeros((len(x), self.products.factors[0].k))
        level = np.full(len(x), -1)
        for t, code in enumerate(codes):
            _, a, b = self._place(t)
            known = code >= 0
            z[known, a:b] = w[t][known]
            level[known] = code[known]
        known = level >= 0
        at = level[known]
        out[known] += 2.0 * np.einsum("mk,mkp,mp->m", z[known], inverse.PLX[at], x[known])
        out[known] += np.einsum("mk,mkj,mj->m", z[known], inverse.PL[at], z[known])
        return out

    def _many_factor_variance(self, x: np.ndarray, codes: tuple[np.ndarray, ...], w: list[np.ndarray]) -> np.ndarray:
        """‖L⁻¹ [weights; x]‖², in batches of rows."""
        out = np.empty(len(x))
        batch = self._batch()
        for start in range(0, len(x), batch):
            part = slice(start, min(start + batch, len(x)))
            head, tail = self._solved(x, codes, w, part)
            out[part] = (head**2).sum(axis=0) + (tail**2).sum(axis=0)
        return out

    def _batch(self) -> int:
        elimination = self.likelihood.elimination
        return max(1, BLOCK // max(elimination.q + elimination.products.p, 1))

    def _solved(
        self, x: np.ndarray, codes: tuple[np.ndarray, ...], w: list[np.ndarray], part: slice
    ) -> tuple[np.ndarray, np.ndarray]:
        """L⁻¹ [weights; x] for some of the rows, as columns."""
        elimination = self.likelihood.elimination
        m = part.stop - part.start
        blocks = [np.zeros((f.n_levels, f.k, m)) for f in self.products.factors]
        for t, code in enumerate(codes):
            f, a, b = self._place(t)
            rows = np.flatnonzero(code[part] >= 0)
            blocks[f][code[part][rows], a:b, rows] = w[t][part][rows]
        r = elimination.to_vector(blocks) if blocks else np.zeros((0, m))
        return elimination.forward(np.ascontiguousarray(r), np.ascontiguousarray(x[part].T))

    def covariance(self, rows: Combination) -> np.ndarray:
        """Given the variance components, over batches of rows against batches of rows."""
        state = self.information.restore()
        x, w = self._weights(state, rows)
        out = np.empty((len(x), len(x)))
        batch = self._batch()
        parts = [slice(a, min(a + batch, len(x))) for a in range(0, len(x), batch)]
        for i, part in enumerate(parts):
            head, tail = self._solved(x, rows.codes, w, part)
            for other in parts[: i + 1]:
                near, far = (head, tail) if other is part else self._solved(x, rows.codes, w, other)
                out[part, other] = head.T @ near + tail.T @ far
                out[other, part] = out[part, other].T
        return self.state.sigma2 * self.unit**2 * out

    # --- standard deviations and correlations ----------------------------------------------------------------
    def _sds(self, state: State) -> np.ndarray:
        """All sds of the terms (flat), over σ̂."""
        parts = []
        for t, scale in enumerate(self.likelihood.scales):
            lam = self.products.to_effects[t] @ scale.factor(state.theta[self.likelihood.slices[t]])
            parts.append(np.sqrt((lam**2).sum(axis=1)))
        return np.concatenate(parts) if parts else np.zeros(0)

    def _correlations(self, state: State) -> np.ndarray:
        parts: list[float] = []
        for t, scale in enumerate(self.likelihood.scales):
            lam = self.products.to_effects[t] @ scale.factor(state.theta[self.likelihood.slices[t]])
            cov = lam @ lam.T
            sd = np.sqrt(np.diag(cov))
            for i, j in correlation_pairs(scale.k):
                parts.append(float(cov[i, j] / (sd[i] * sd[j])) if sd[i] * sd[j] > 0 else np.nan)
        return np.array(parts)

    @cached_property
    def _log_sd_errors(self) -> np.ndarray:
        """Standard errors of log sd (terms flat), by the delta method; inf where the sd is zero."""
        info = self.information
        sds = self._sds(self.state)
        slopes = np.zeros((info.n_psi, len(sds)))
        if len(info.free):
            with np.errstate(divide="ignore", invalid="ignore"):
                slopes[: len(info.free)] = info.differences(self._sds) / np.where(sds > 0, sds, np.nan)
        if info.with_sigma:
            slopes[-1] = 1.0
        out = np.sqrt(np.einsum("sm,st,tm->m", slopes, info.covariance, slopes))
        return np.where(sds > 0, out, np.inf)

    def _by_term(self, flat: np.ndarray) -> list[np.ndarray]:
        ends = np.cumsum([s.k for s in self.likelihood.scales])
        return np.split(flat, ends[:-1]) if len(ends) else []

    def _log_sigma_error(self) -> float:
        info = self.information
        return float(np.sqrt(info.covariance[-1, -1])) if info.with_sigma and info.n_psi else 0.0

    def sd_errors(self) -> tuple[list[list[float]], float]:
        sigma = float(np.sqrt(self.state.sigma2)) * self.unit
        sds, errors = self._sds(self.state) * sigma, self._log_sd_errors
        out = [float(s * e) if s > 0 else float("nan") for s, e in zip(sds, errors, strict=True)]
        return [list(part) for part in self._by_term(np.array(out))], sigma * self._log_sigma_error()

    @property
    def profiles(self) -> bool:
        """Whether intervals of standard deviations are profile likelihood ones (Wald on the log scale otherwise)."""
        n = sum(s.k for s in self.likelihood.scales) + 1
        return self.likelihood.elimination.seconds * 150.0 * n < PROFILE_SECONDS

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2.0))
        sigma = float(np.sqrt(self.state.sigma2)) * self.unit
        errors = self._log_sd_errors
        sds = self._sds(self.state) * sigma
        flat: list[tuple[float, float]] = []
        j = 0
        for t, scale in enumerate(self.likelihood.scales):
            for row in range(scale.k):
                if self.profiles or sds[j] == 0.0:  # at zero there is no Wald interval
                    flat.append(self._profile(t, self.products.to_effects[t][row], half, float(errors[j])))
                else:
                    flat.append(_log_wald(float(sds[j]), float(errors[j]), half))
                j += 1
        ends = np.cumsum([0] + [s.k for s in self.likelihood.scales])
        terms = [flat[ends[t] : ends[t + 1]] for t in range(len(self.likelihood.scales))]
        return terms, self._sigma_interval(sigma, half)

    def _sigma_interval(self, sigma: float, half: float) -> tuple[float, float]:
        if not self.information.with_sigma:
            return sigma, sigma
        if not self.likelihood.scales:
            return _log_wald(sigma, self._log_sigma_error(), half)
        if self.profiles:
            return self._profile(None, np.zeros(0), half, self._log_sigma_error())
        return _log_wald(sigma, self._log_sigma_error(), half)

    def _profile(self, term: int | None, row: np.ndarray, half: float, error: float) -> tuple[float, float]:
        state = self.information.restore()
        profile = SdProfile(self.likelihood, state, term, row)
        low, high = interval(profile, half**2, half * error if np.isfinite(error) else 1.0)
        self.information.restore()
        return low * self.unit, high * self.unit

    def correlation_intervals(self, level: float) -> list[list[tuple[float, float]]]:
        from scipy.special import ndtri

        half = float(ndtri(0.5 + level / 2.0))
        info = self.information
        r = self._correlations(self.state)
        slopes = np.zeros((info.n_psi, len(r)))
        if len(info.free) and len(r):
            slopes[: len(info.free)] = info.differences(self._correlations)
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.sqrt(np.einsum("sm,st,tm->m", slopes, info.covariance, slopes)) / (1.0 - r**2)
            z = np.arctanh(r)
            ends = np.tanh(np.stack([z - half * error, z + half * error], axis=1))
        # a correlation on the boundary, or not identified, has no interval by this method
        ends[~np.isfinite(ends).all(axis=1) | (np.abs(r) > 1.0 - 1e-10)] = np.nan
        pairs = [len(correlation_pairs(s.k)) for s in self.likelihood.scales]
        bounds = np.cumsum([0, *pairs])
        return [
            [(float(a), float(b)) for a, b in ends[bounds[t] : bounds[t + 1]]] for t in range(len(pairs))
        ]

    def residual_df(self) -> float:
        return float(self.likelihood.nu)

    # --- draws -----------------------------------------------------------------------------------------------
    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        """ψ from its normal approximation (boundary parameters stay at zero), then (β, b) exactly given ψ."""
        info, products = self.information, self.products
        root = _root(info.covariance)
        n_free = len(info.free)
        beta = np.empty((n, products.to_beta.shape[0]))
        sigma = np.empty(n)
        covariances = [np.empty((n, s.k, s.k)) for s in self.likelihood.scales]
        effects = [np.empty((n, f.n_levels, b - a)) for t, (f, a, b) in self._term_factors()]
        for i in range(n):
            step = root @ rng.standard_normal(root.shape[1])
            state = info.near(np.clip(step[:n_free], -5.0, 5.0))
            if state.solution is None:
                state = info.restore()
            log_sigma = step[-1] if info.with_sigma else 0.0
            sigma2 = self.state.sigma2 * float(np.exp(2.0 * log_sigma))
            sigma[i] = np.sqrt(sigma2) * self.unit
            self._draw_given(i, state, sigma2, rng, beta, covariances, effects)
        info.restore()
        return {"beta": beta, "sigma": sigma, "covariances": covariances, "effects": effects}

    def _term_factors(self) -> list[tuple[int, tuple[Any, int, int]]]:
        return [(t, (self.products.factors[f], a, b)) for t, (f, a, b) in sorted(self._places.items())]

    def _draw_given(self, i, state, sigma2, rng, beta, covariances, effects) -> None:  # type: ignore[no-untyped-def]
        products, elimination = self.products, self.likelihood.elimination
        noise = rng.standard_normal((elimination.q + products.p, 1)) * np.sqrt(sigma2)
        r, rx = elimination.backward(
            np.ascontiguousarray(noise[: elimination.q]), np.ascontiguousarray(noise[elimination.q :])
        )
        assert state.solution is not None
        beta[i] = products.beta_origin + self.unit * (products.to_beta @ (state.solution.beta + rx[:, 0]))
        u = elimination.by_factor(state.solution.u + r[:, 0])
        for t, (f, a, b) in self._places.items():
            lam = products.to_effects[t] @ state.lam[f][a:b, a:b]
            covariances[t][i] = sigma2 * self.unit**2 * (lam @ lam.T)
            effects[t][i] = self.unit * (u[f][:, a:b] @ lam.T)


def _root(covariance: np.ndarray) -> np.ndarray:
    if len(covariance) == 0:
        return np.zeros((0, 0))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _log_wald(value: float, error: float, half: float) -> tuple[float, float]:
    if not value > 0.0 or not np.isfinite(error):
        return 0.0, float("nan")
    return value * float(np.exp(-half * error)), value * float(np.exp(half * error))


def _diagonal_blocks(P: np.ndarray, pt: Any, place: np.ndarray, k: int) -> np.ndarray:
    """Inverse blocks of trailing levels out of the flat values."""
    from ..numerics.layout import position

    out = np.empty((len(place), k, k))
    for level, first in enumerate(place):
        for a in range(k):
            for b in range(a + 1):
                where = position(int(first) + a, int(first) + b, pt.colptr, pt.rows, pt.ns, pt.nt, pt.sbase)
                out[level, a, b] = out[level, b, a] = P[where]
    return out
