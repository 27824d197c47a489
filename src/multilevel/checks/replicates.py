"""Responses simulated from a generalized fit, each fitted again: the null distributions of its checks.

    b* ~ N(0, Σ̂),   y* ~ family(η(β̂, b*)),   (β, b) re-estimated: argmax Σ ℓ_i(y*; η) − ½ u'u

with variances and dispersions held at their estimates. The observed response is treated in the same way, so that what
fitting does to a residual is in both: residuals of small groups are tied to each other, and those of few binary rows
have no distribution that a textbook knows. A statistic is any function of (y, η).

The fixed columns enter as effects of one more group with a prior a thousand times wider than their information, so that
one Newton search finds β and b together.

Reference: Gelman, Meng & Stern (1996), Statistica Sinica 6; Hartig (2022), *DHARMa*, for simulated residuals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from ..core.latent import Latent
from ..core.mode import conditional_mode
from ..data.latent_rows import LatentRows, RowFactor
from ..families.base import Observations
from ..predictions.linear import linear_predictors
from ..predictions.simulation import new_effects
from .held_out import plain_rows

if TYPE_CHECKING:
    from ..fit.fit import Fit

NUMBERS = 4_000_000  # simulated rows in all
WORK = 4e9  # operations in all
FEWEST, MOST = 30, 100
WIDE = 1e3  # prior of a coefficient in units of its own information
CLOSE = 1e-6  # Newton decrement of a replicate


@dataclass(frozen=True)
class Refit:
    """A response and its fit: η (n, m), and the effects of each term (L, k)."""

    observations: Observations
    eta: np.ndarray
    effects: tuple[np.ndarray, ...]


class Replicates:
    """Replicated data of one generalized fit.

    Parameters
    ----------
    fit : Fit
        By ``"laplace"``, ``"agq"`` or ``"complete"``.
    seed : int
    """

    def __init__(self, fit: Fit, seed: int = 0) -> None:
        self.fit, self.seed = fit, seed
        self.model = fit.model
        self.distribution = fit.model.distribution

    # --- the fit of one response ---------------------------------------------------------------------------------
    @cached_property
    def _rows(self) -> LatentRows:
        """The rows with their fixed columns as one more factor of a single level."""
        rows = plain_rows(self.model, self._grouped)
        constants = {place for _, _, place in rows.constants}
        owners, columns = [], []
        for d, (x, place) in enumerate(zip(rows.x, rows.places, strict=True)):
            free = [j for j in range(x.shape[1]) if place.start + j not in constants]
            columns += [x[:, j] for j in free]
            owners += [d] * len(free)
        latent = tuple(sorted({*rows.latent, *owners}))
        moved = np.array([latent.index(d) for d in rows.latent], dtype=np.int64)
        factors = [replace(f, owner=moved[f.owner]) for f in rows.factors]
        if columns:
            z = np.ascontiguousarray(np.column_stack(columns))
            owner = np.array([latent.index(d) for d in owners], dtype=np.int64)
            codes = np.zeros(rows.n, dtype=np.int32)
            factors.append(RowFactor("", 1, codes, z, owner, ((len(self.model.design.groups), 0, len(owners)),)))
        return replace(rows, latent=latent, factors=tuple(factors))

    @property
    def _grouped(self) -> bool:
        return bool(self.model.design.groups) and self.fit.estimator.name != "complete"

    @cached_property
    def _latent(self) -> Latent:
        return Latent(self._rows)

    @cached_property
    def _lam(self) -> list[np.ndarray]:
        """λ of the factors at the estimated covariances, and wide ones for the coefficients."""
        rows, out = self._rows, []
        covariances = [np.nan_to_num(c) for c in self.fit.estimates.covariances]
        at = self.distribution.derivatives(self.model.observations, self._center, 2)
        assert at.second is not None
        for factor in rows.factors:
            lam = np.zeros((factor.k, factor.k))
            if factor.label == "" and factor.n_levels == 1:
                d = np.array(rows.latent)[factor.owner]
                information = np.einsum("nk,nk->k", np.maximum(at.second[:, d, d], 0.0), factor.z**2)
                lam[np.diag_indices(factor.k)] = WIDE / np.sqrt(np.maximum(information, 1e-3))
            else:
                for t, a, b in factor.terms:
                    inner = np.linalg.solve(rows.to_effects[t], np.linalg.solve(rows.to_effects[t], covariances[t]).T)
                    values, vectors = np.linalg.eigh(0.5 * (inner + inner.T))
                    lam[a:b, a:b] = vectors * np.sqrt(np.maximum(values, 0.0))
            out.append(lam)
        return out

    @cached_property
    def _center(self) -> np.ndarray:
        """η at the estimated coefficients, without group effects."""
        return linear_predictors(self.fit, groups=False)

    def refit(self, obs: Observations, start: np.ndarray | None = None) -> tuple[Refit, np.ndarray] | None:
        """The mode of (β, b) for a response, and the search's own effects; None where there is none."""
        latent = self._latent
        if not latent.rows.factors:
            return Refit(obs, self._center, ()), np.zeros(0)
        latent.rows = replace(latent.rows, observations=obs)
        u = np.zeros(latent.q) if start is None else start
        with np.errstate(all="ignore"):
            mode = conditional_mode(latent, self.distribution, self._lam, self._center, u, tolerance=CLOSE)
        if mode is None:
            return None
        own = latent.elimination.by_factor(mode.u)
        effects: list[np.ndarray] = [np.zeros(0)] * len(self.model.design.groups)
        if self._grouped:
            for f, factor in enumerate(self._rows.factors):
                for t, a, b in factor.terms:
                    if t < len(effects):
                        effects[t] = own[f][:, a:b] @ self._lam[f][a:b, a:b].T @ self._rows.to_effects[t].T
        return Refit(obs, mode.eta, tuple(effects)), mode.u

    # --- observed and replicated ---------------------------------------------------------------------------------
    @cached_property
    def _own(self) -> tuple[Refit, np.ndarray] | None:
        return self.refit(self.model.observations)

    @property
    def observed(self) -> Refit:
        """The response that was observed, fitted like the replicates."""
        if self._own is None:
            return Refit(self.model.observations, linear_predictors(self.fit), self.fit.estimates.effects)
        return self._own[0]

    @cached_property
    def draws(self) -> int:
        """How many replicates are affordable; 0 when that is too few to say anything, and for censored rows."""
        if self.model.observations.censored is not None:
            return 0
        n, k = self.model.design.n, sum(f.k for f in self._rows.factors) + 1
        each = 6.0 * (n * (k * k + 20.0) + self._latent.elimination.seconds * 1e9)
        most = int(min(NUMBERS // max(n, 1), WORK / each, MOST))
        return most if most >= FEWEST else 0

    def __iter__(self) -> Iterator[Refit]:
        """The replicates, one after the other; the same every time."""
        rng = np.random.default_rng(self.seed)
        start = None if self._own is None else self._own[1]
        for _ in range(self.draws):
            found = self.refit(self.simulated(rng), start)
            if found is not None:
                yield found[0]

    def simulated(self, rng: np.random.Generator) -> Observations:
        """A new response with new group effects."""
        eta = self._center.copy()
        if self._grouped:
            for group, covariance in zip(self.model.design.groups, self.fit.estimates.covariances, strict=True):
                eta[:, group.predictor] += new_effects(group, np.nan_to_num(covariance), rng)
        obs = self.model.observations
        with np.errstate(all="ignore"):
            y = self.distribution.simulate(obs, eta, rng)
        return obs.with_y(y)


def upper_p(value: float, null: np.ndarray) -> float:
    """P(T ≥ value) by a gamma distribution with the moments of the replicated T (normal where they have no skew)."""
    from scipy.special import gammaincc, ndtr

    mean, sd = float(null.mean()), float(null.std(ddof=1)) * float(np.sqrt(1.0 + 1.0 / len(null)))
    if not sd > 0.0:
        return float(value <= mean)
    z = (value - mean) / sd
    skew = float(
        np.clip(np.mean((null - mean) ** 3) / max(float(np.mean((null - mean) ** 2)), 1e-300) ** 1.5, 0.0, 2.0)
    )
    if skew < 0.05:
        return float(ndtr(-z))
    k = 4.0 / skew**2
    return float(gammaincc(k, max(k + z * np.sqrt(k), 0.0)))


def gumbel(value: float, largest: np.ndarray) -> float:
    """P(M ≥ value) by a Gumbel distribution with the moments of the simulated maxima."""
    scale = max(float(largest.std(ddof=1)) * np.sqrt(6.0) / np.pi, 1e-12)
    place = float(largest.mean()) - np.euler_gamma * scale
    return float(-np.expm1(-np.exp(-(value - place) / scale)))
