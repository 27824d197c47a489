"""Draws of a posterior as predictions use them: linear predictors of rows, draw by draw.

    η_s = X β_s + Σ_t Z_t b_s,t + offset,      constants on their links' scales

A level that is new gets effects of its own in every draw, b_s = L_s u_s with L_s L_s' = Σ_s: one new group a draw, the
same u for all rows, so that a prediction does not depend on which rows are asked about together. The u of each
coefficient are a Latin hypercube: one from each of S slices of the normal distribution, in random order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..families.base import Observations
from ..formula.design import Column, GroupColumns, Rows
from ..links import forward
from .linear import owners
from .uncertain import NEW

if TYPE_CHECKING:
    from ..fit.fit import Fit

CELLS = 1_000_000  # draws × rows × predictors held at once, in each of a few arrays


@dataclass(frozen=True, eq=False)
class Posterior:
    """Equally weighted draws of one fit, the chains one after another.

    Parameters
    ----------
    fit : Fit
    beta : (S, p), 0 for dropped columns
    covariances, effects : per group term (S, k, k) and (S, L, k)
    constants : of the family, on their links' scales: place among the predictors → (S,)
    """

    fit: Fit
    beta: np.ndarray
    covariances: tuple[np.ndarray, ...]
    effects: tuple[np.ndarray, ...]
    constants: dict[int, np.ndarray]

    def __len__(self) -> int:
        return len(self.beta)

    @property
    def predictors(self) -> int:
        return len(self.fit.model.distribution.links)

    def take(self, index: np.ndarray) -> Posterior:
        """Some of the draws, in that order."""
        return Posterior(
            self.fit,
            self.beta[index],
            tuple(c[index] for c in self.covariances),
            tuple(b[index] for b in self.effects),
            {d: v[index] for d, v in self.constants.items()},
        )

    def thinned(self, most: int) -> Posterior:
        """At most so many of the draws, spread over all chains."""
        if len(self) <= most:
            return self
        return self.take(np.linspace(0, len(self) - 1, most).round().astype(np.int64))

    def chunk(self, draws: int | None = None) -> int:
        """Rows at once."""
        return max(1, CELLS // ((draws or len(self)) * self.predictors))

    # --- linear predictors -------------------------------------------------------------------------------------------
    def eta(self, rows: Rows, new: list[np.ndarray] | None = None, skip: tuple[int, ...] = ()) -> np.ndarray:
        """(S, n, m) of rows with all their terms; a level coded NEW has the effects `new` (S, k) of its term.

        Terms in `skip` add nothing.
        """
        out = np.zeros((len(self), rows.n, self.predictors))
        for d, place in self.constants.items():
            out[:, :, d] += place[:, None]
        owner = np.asarray(owners(self.fit))
        for d in range(self.predictors):
            mine = np.flatnonzero(owner == d)
            if len(mine):
                out[:, :, d] += self.beta[:, mine] @ np.stack([_filled(rows.fixed_columns[j], rows.n) for j in mine])
        for t, group in enumerate(rows.groups):
            if t not in skip:
                self._add_effects(out[:, :, group.predictor], t, group, None if new is None else new[t])
        for d, offset in enumerate(rows.offsets or (rows.offset,)):
            if offset is not None:
                out[:, :, d] += offset
        return out

    def _add_effects(self, out: np.ndarray, t: int, group: GroupColumns, new: np.ndarray | None) -> None:
        known, fresh = np.flatnonzero(group.codes >= 0), np.flatnonzero(group.codes == NEW)
        for k, column in enumerate(group.columns):
            if len(known):
                part = self.effects[t][:, group.codes[known], k]
                out[:, known] += part if column is None else part * column[known]
            if len(fresh) and new is not None:
                z = np.ones(len(fresh)) if column is None else column[fresh]
                out[:, fresh] += new[:, k, None] * z

    def new_groups(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Effects of one new level a draw, per term (S, k)."""
        out = []
        for covariance in self.covariances:
            u = hypercube(len(self), covariance.shape[1], rng)
            out.append(np.einsum("sjk,sk->sj", roots(covariance), u))
        return out

    def spread(self, rows: Rows, terms: list[int]) -> np.ndarray:
        """z'Σz of some terms, added up by predictor: (S, n, m)."""
        out = np.zeros((len(self), rows.n, self.predictors))
        for t in terms:
            group, covariance = rows.groups[t], self.covariances[t]
            columns = [_filled(column, rows.n) for column in group.columns]
            for i, a in enumerate(columns):
                for j, b in enumerate(columns):
                    out[:, :, group.predictor] += covariance[:, i, j, None] * (a * b)
        return out


def posterior(fit: Fit, effects: bool = True) -> Posterior:
    """The draws of a sampled fit, on request without those of group effects."""
    sample = fit.estimates.certainty.sample
    assert sample is not None
    model = fit.model
    links = model.distribution.links
    names = model.design.layout.names
    if len(names) != len(links):
        names = ("mu", *(p.name for p in model.distribution.family.further))
    constants = {
        names.index(name): forward(links[names.index(name)], sample.flat(values))
        for name, values in sample.constants.items()
        if name in names
    }
    if model.is_linear:
        total = sample.chains * sample.draws
        constants[1] = np.zeros(total) if sample.sigma is None else np.log(sample.flat(sample.sigma))
    return Posterior(
        fit,
        np.nan_to_num(sample.flat(sample.beta)),
        tuple(sample.flat(c) for c in sample.covariances),
        tuple(sample.flat(b) for b in sample.effects) if effects else (),
        constants,
    )


def training_observations(fit: Fit) -> Observations:
    """The response of the rows that were fitted; known standard errors of linear models as precisions."""
    design, known = fit.model.design, fit.model.observations
    if design.known_se is None:
        return known
    weights = np.ones(design.n) if known.precision is None else known.precision
    return replace(known, precision=weights / design.known_se**2)


def roots(covariance: np.ndarray) -> np.ndarray:
    """L with LL' = Σ of every draw, also of singular ones: (S, k, k)."""
    if covariance.shape[1] == 1:
        return np.sqrt(np.maximum(covariance, 0.0))
    values, vectors = np.linalg.eigh(covariance)
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def hypercube(n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    """n points of N(0, I_k), one in each of n slices of every coordinate."""
    from scipy.special import ndtri

    out = np.empty((n, k))
    for j in range(k):
        out[:, j] = ndtri((rng.permutation(n) + rng.random(n)) / n)
    return np.clip(out, -38.0, 38.0)


def tiled(obs: Observations, draws: int) -> Observations:
    """The rows once for each draw, as a (draws, rows) array is laid out."""
    return obs.take(np.tile(np.arange(len(obs)), draws))


def _filled(column: Column, n: int) -> np.ndarray:
    return np.ones(n) if column is None else column
