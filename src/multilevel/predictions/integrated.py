"""Densities of rows given draws of the parameters, the effects of some levels integrated out.

    log p(y_R | φ_s) = log ∫ Π_{i∈R} p(y_i | η_i(φ_s, b)) N(b; 0, Σ_s) db,      s = 1, …, S

b are the effects of the levels that are integrated, φ_s everything else in draw s, effects of other levels included.
Exact for normal responses; otherwise by adaptive Gauss–Hermite quadrature around the mode of each draw
(`core/panels.py`), by Laplace's approximation beyond five effects.

References: Vehtari, Mononen, Tolvanen, Sivula & Winther (2016), JMLR 17(103); Merkle, Furr & Rabe-Hesketh (2019),
Psychometrika 84.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ..core.mode import positive_part
from ..core.panels import Panels
from ..families.base import Distribution, Observations
from ..formula.design import Column, Rows
from .linear import training_rows
from .posterior import Posterior, roots, tiled, training_observations
from .uncertain import OUT, part

CELLS = 2_000_000  # draws × rows × effects at once
STEPS, HALVINGS = 40, 12  # of the search for a mode
CLOSE = 1e-6  # Newton decrement there, relative to the log density
QUADRATURE = 5  # effects up to which integrals are by quadrature
Own = Mapping[int, np.ndarray]  # term → levels whose effects are integrated


@dataclass(frozen=True, eq=False)
class Densities:
    """Densities of some rows under draws.

    Parameters
    ----------
    draws : Posterior
    rows, obs : with their response
    """

    draws: Posterior
    rows: Rows
    obs: Observations

    @classmethod
    def of_training(cls, draws: Posterior) -> Densities:
        """Of the rows that were fitted; the draws may be those of a fit to fewer."""
        return cls(draws, training_rows(draws.fit), training_observations(draws.fit))

    @property
    def distribution(self) -> Distribution:
        return self.draws.fit.model.distribution

    def joint(self, index: np.ndarray, own: Own) -> np.ndarray:
        """log p(y of these rows | φ_s), (S,)."""
        parts = []
        for piece in self._pieces(len(index), own):
            fixed, z, owner = self._parts(piece, index, own)
            with np.errstate(all="ignore"):
                parts.append(self._integrate(self.obs.take(index), fixed, z, owner))
        return np.concatenate(parts)

    def single_rows(self, obs: Observations, eta: np.ndarray, variance: np.ndarray) -> np.ndarray:
        """log ∫ p(y_i | η_i + v) N(v; 0, variance_i) dv of rows one by one, (n,); variance (n, m) of one predictor."""
        axis = int(np.argmax(variance.max(axis=0)))
        if self.draws.fit.model.is_linear:
            return _normal_rows(obs, eta, variance[:, 0])
        out = []
        for first in range(0, len(eta), CELLS // 4):
            some = slice(first, first + CELLS // 4)
            own = obs.take(some)
            z, owner = np.sqrt(variance[some, axis])[:, None], np.array([axis])
            panels = Panels(self.distribution, own, z, owner, np.arange(len(own)), len(own))
            u, at = panels.modes(eta[some])
            out.append(panels.log_integrals(eta[some], u, replace(at, second=positive_part(np.asarray(at.second)))))
        return np.concatenate(out)

    def expected(self, index: np.ndarray, given: np.ndarray, own: Own) -> np.ndarray:
        """E y of some rows in each draw, (S, rows, K), at the mode of the effects that other rows give."""
        mean, out = self.distribution.mean, []
        for piece in self._pieces(len(index) + len(given), own):
            fixed, z, owner = self._parts(piece, index, own)
            if z.shape[2]:
                u = self._mode(piece, given, own)
                for a, d in enumerate(owner):
                    fixed[:, :, d] += z[:, :, a] * u[:, a, None]
            s, n, m = fixed.shape
            with np.errstate(all="ignore"):
                found = mean(tiled(self.obs.take(index), s), fixed.reshape(s * n, m))
            out.append(found.reshape(s, n, -1))
        return np.concatenate(out)

    def drawn(self, own: Own, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Standardised effects of the levels (S, q) given the rows, and the logarithms of their importance weights.

            u_s ~ N(û_s, H_s⁻¹),    w_s = p(y | φ_s, u_s) N(u_s; 0, I) / N(u_s; û_s, H_s⁻¹)

        exact for normal responses, whose w_s is p(y | φ_s) whatever u_s.
        """
        index = np.arange(self.rows.n)
        effects, weights = [], []
        for piece in self._pieces(self.rows.n, own):
            fixed, z, owner = self._parts(piece, index, own)
            s, n, m = fixed.shape
            flat, panels = fixed.reshape(s * n, m), self._panels(self.obs, s, z, owner)
            with np.errstate(all="ignore"):
                mode = self._modes(self.obs, fixed, z, owner)
                at = self.distribution.derivatives(panels.observations, panels.eta(flat, mode), 2)
                root = np.linalg.cholesky(panels.information(positive_part(np.asarray(at.second))))
                noise = rng.standard_normal(mode.shape)
                u = mode + np.linalg.solve(root.transpose(0, 2, 1), noise[:, :, None])[:, :, 0]
                value = self.distribution.log_density(panels.observations, panels.eta(flat, u))
            log_det = np.log(np.einsum("sqq->sq", root)).sum(axis=1)
            weights.append(panels.height(value, u) - log_det + 0.5 * (noise**2).sum(axis=1))
            effects.append(u)
        return np.concatenate(effects), np.concatenate(weights)

    # --- parts -------------------------------------------------------------------------------------------------------
    def _pieces(self, rows: int, own: Own) -> list[Posterior]:
        """The draws in portions that memory holds."""
        width = max(sum(len(v) * self.draws.covariances[t].shape[1] for t, v in own.items()), self.draws.predictors, 1)
        size = max(1, CELLS // max(rows * width, 1))
        return [self.draws.take(np.arange(a, min(a + size, len(self.draws)))) for a in range(0, len(self.draws), size)]

    def _integrate(self, obs: Observations, fixed: np.ndarray, z: np.ndarray, owner: np.ndarray) -> np.ndarray:
        s, n, m = fixed.shape
        if not z.shape[2]:
            flat = self.distribution.log_density(tiled(obs, s), fixed.reshape(s * n, m))
            return np.asarray(flat.reshape(s, n).sum(axis=1))
        if self.draws.fit.model.is_linear:
            return _normal(obs, fixed, z)
        panels, flat = self._panels(obs, s, z, owner), fixed.reshape(s * n, m)
        u = self._modes(obs, fixed, z, owner)
        at = self.distribution.derivatives(panels.observations, panels.eta(flat, u), 2)
        at = replace(at, second=positive_part(np.asarray(at.second)))
        return panels.log_integrals(flat, u, at, exact=z.shape[2] <= QUADRATURE)

    def _modes(self, obs: Observations, fixed: np.ndarray, z: np.ndarray, owner: np.ndarray) -> np.ndarray:
        """û of every draw, (S, q), by Newton's method with halving; draws that have arrived are left alone.

        Quadrature and importance weights are exact wherever they are centred, so that a rough mode serves them.
        """
        s, _, m = fixed.shape
        u = np.zeros((s, z.shape[2]))
        left = np.arange(s)
        for _ in range(STEPS):
            panels, flat = self._panels(obs, len(left), z[left], owner), fixed[left].reshape(-1, m)
            at = panels._at(flat, u[left])
            height = panels.height(at.value, u[left])
            pull = panels.scores(np.asarray(at.first)) - u[left]
            step = panels._step(np.asarray(at.second), pull)
            decrement = (step * pull).sum(axis=1)
            going = decrement > CLOSE * (1.0 + np.abs(height))
            left, step, height = left[going], step[going], height[going]
            if not len(left):
                break
            size = np.ones(len(left))
            rest = np.arange(len(left))
            for _ in range(HALVINGS):
                trial = u[left[rest]] + size[rest, None] * step[rest]
                part_ = self._panels(obs, len(rest), z[left[rest]], owner)
                value = self.distribution.log_density(
                    part_.observations, part_.eta(fixed[left[rest]].reshape(-1, m), trial)
                )
                worse = ~(part_.height(value, trial) >= height[rest])
                rest = rest[worse]
                if not len(rest):
                    break
                size[rest] *= 0.5
            size[rest] = 0.0
            u[left] += size[:, None] * step
            left = left[size > 0.0]
        return u

    def _panels(self, obs: Observations, s: int, z: np.ndarray, owner: np.ndarray) -> Panels:
        """The draws as groups of their own: each has its copy of the rows."""
        n = len(obs)
        return Panels(self.distribution, tiled(obs, s), z.reshape(s * n, -1), owner, np.repeat(np.arange(s), n), s)

    def _mode(self, piece: Posterior, given: np.ndarray, own: Own) -> np.ndarray:
        """Standardised effects given some rows, (S, q): their mode."""
        fixed, z, owner = self._parts(piece, given, own)
        if not len(given):
            return np.zeros((len(piece), z.shape[2]))
        with np.errstate(all="ignore"):
            return self._modes(self.obs.take(given), fixed, z, owner)

    def _parts(self, piece: Posterior, index: np.ndarray, own: Own) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """η without the effects that are integrated (S, n, m); their columns times L_s (S, n, q); their predictors."""
        rows, z, owner = part(self.rows, index), [], []
        groups = list(rows.groups)
        for t, levels in own.items():
            group, factor = rows.groups[t], roots(piece.covariances[t])
            columns = np.stack([_filled(c, rows.n) for c in group.columns], axis=1)
            for level in levels:
                mine = (group.codes == level)[:, None] * columns
                z.append(np.einsum("nk,skj->snj", mine, factor))
                owner += [group.predictor] * columns.shape[1]
            codes = np.where(np.isin(group.codes, levels), OUT, group.codes).astype(np.int32)
            groups[t] = replace(group, codes=codes)
        fixed = piece.eta(replace(rows, groups=tuple(groups)))
        together = np.concatenate(z, axis=2) if z else np.zeros((len(piece), rows.n, 0))
        return fixed, together, np.array(owner, dtype=np.int64)


def _normal(obs: Observations, fixed: np.ndarray, z: np.ndarray) -> np.ndarray:
    """The same of normal responses in closed form: N(y; η, Z̃Z̃' + σ²W⁻¹) by the matrix inversion lemma."""
    sigma2 = np.exp(2.0 * fixed[:, :1, 1])
    weight = np.ones(len(obs)) if obs.precision is None else obs.precision
    counts = np.ones(len(obs)) if obs.weights is None else obs.weights
    w = weight * counts / sigma2
    residual = obs.y - fixed[:, :, 0]
    pulled = np.einsum("snq,sn->sq", z, w * residual)
    inner = np.einsum("snq,sn,snp->sqp", z, w, z) + np.eye(z.shape[2])
    log_det = np.linalg.slogdet(inner)[1]
    explained = np.einsum("sq,sq->s", pulled, np.linalg.solve(inner, pulled[:, :, None])[:, :, 0])
    own = counts * (np.log(2.0 * np.pi) + np.log(sigma2) - np.log(weight)) + w * residual**2
    return np.asarray(-0.5 * (own.sum(axis=1) + log_det - explained))


def _normal_rows(obs: Observations, eta: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Normal rows one by one, with a variance more."""
    total = np.exp(2.0 * eta[:, 1]) / (1.0 if obs.precision is None else obs.precision) + variance
    return np.asarray(-0.5 * (np.log(2.0 * np.pi * total) + (obs.y - eta[:, 0]) ** 2 / total))


def _filled(column: Column, n: int) -> np.ndarray:
    return np.ones(n) if column is None else column
