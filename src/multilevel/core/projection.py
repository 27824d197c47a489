"""Columns with the group coefficients taken out: the within transformation, with any coefficients by level.

    M v = v − Z (Z'WZ)⁻ Z'W v        Z: the columns of a group term, one block for each level

For an intercept alone this is demeaning by group (Frisch–Waugh–Lovell: regressing Mv on MX gives the coefficients of
the regression with dummy variables). It works on the rows, not on cross-products: Σ x² − n x̄² has no digits left for
a column whose levels differ much more than its rows within a level.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from ..formula.design import Column, Design, GroupColumns

CONSTANT = 64.0 * float(np.finfo(float).eps)  # relative variation that is rounding
COLLINEAR = 1e-10  # smallest eigenvalue of a level's correlation matrix


class Projector(ABC):
    """Takes the group coefficients out of a column; `rank` is how many they are."""

    rank: int

    @abstractmethod
    def coefficients(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Group coefficients of the regression of v on Z, and the residual Mv."""

    def project(self, v: np.ndarray) -> np.ndarray:
        """Mv."""
        return self.coefficients(v)[1]


def row_weights(design: Design) -> np.ndarray:
    """Weight of each row: precision or frequency, over the squared known standard error."""
    w = np.ones(design.n) if design.weights is None else np.asarray(design.weights, dtype=float)
    return w if design.known_se is None else w / design.known_se**2


def response(design: Design) -> np.ndarray:
    """y without the offset."""
    return design.response if design.offset is None else design.response - design.offset


def counts_rows(design: Design) -> bool:
    """Whether weights are numbers of equal rows."""
    return design.weights is not None and design.weights_kind == "frequency"


def n_observations(design: Design) -> float:
    """Rows, or the sum of their frequencies."""
    if design.weights is None or not counts_rows(design):
        return float(design.n)
    return float(design.weights.sum())


def log_weights(design: Design) -> float:
    """Σ log of the precisions, the part of the log-likelihood that they add; 0 for frequencies."""
    return 0.0 if counts_rows(design) else float(np.log(row_weights(design)).sum())


@dataclass(frozen=True)
class Coefficients:
    """The coefficients that each level of one factor has: all terms over that factor side by side.

    columns : length k;  names : length k;  terms : (first, last) column of each term
    """

    columns: tuple[Column, ...]
    names: tuple[str, ...]
    codes: np.ndarray
    n_levels: int
    terms: tuple[tuple[int, int], ...]

    @property
    def k(self) -> int:
        return len(self.columns)


def coefficients_of(groups: Sequence[GroupColumns]) -> Coefficients:
    """Terms over one grouping factor, merged."""
    ends = np.cumsum([0] + [len(g.names) for g in groups])
    return Coefficients(
        columns=tuple(c for g in groups for c in g.columns),
        names=tuple(name for g in groups for name in g.names),
        codes=groups[0].codes,
        n_levels=len(groups[0].levels),
        terms=tuple((int(a), int(b)) for a, b in pairwise(ends)),
    )


class LevelProjector(Projector):
    """k coefficients for each level of one factor.

    Attributes
    ----------
    ranks : (L,) number of coefficients that each level's rows determine
    weight : (L,) sum of the row weights
    """

    def __init__(self, design: Coefficients, w: np.ndarray) -> None:
        self.design, self.w = design, w
        self.codes, self.n_levels = design.codes, design.n_levels
        self.weight = self._sum(w)
        ones = [j for j, c in enumerate(design.columns) if c is None]
        self.one = ones[0] if ones else None
        self.slopes = [j for j in range(design.k) if j != self.one]
        given = [np.asarray(design.columns[j], dtype=float) for j in self.slopes]
        self.centres = np.array([self._mean(c) for c in given]).reshape(len(given), self.n_levels)
        if self.one is None:
            self.centres[:] = 0.0
        self.columns = [c - m[self.codes] for c, m in zip(given, self.centres, strict=True)]
        self.inverse, slope_ranks = self._slope_inverse(given)
        self.ranks = slope_ranks + (self.one is not None)
        self.rank = int(self.ranks.sum())

    def _sum(self, v: np.ndarray) -> np.ndarray:
        return np.bincount(self.codes, v, self.n_levels)

    def _mean(self, v: np.ndarray) -> np.ndarray:
        """Weighted mean by level, in two passes: the second returns the digits that the first lost."""
        mean = self._sum(self.w * v) / self.weight
        return np.asarray(mean + self._sum(self.w * (v - mean[self.codes])) / self.weight)

    def _slope_inverse(self, given: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Pseudo-inverse of each level's centred cross-products (L, k', k'), and its rank."""
        m = len(self.columns)
        if m == 0:
            return np.zeros((self.n_levels, 0, 0)), np.zeros(self.n_levels, dtype=int)
        gram = np.empty((self.n_levels, m, m))
        for i in range(m):
            for j in range(i + 1):
                gram[:, i, j] = gram[:, j, i] = self._sum(self.w * self.columns[i] * self.columns[j])
        size = np.sqrt(np.einsum("lii->li", gram))
        whole = np.sqrt(np.array([self._sum(self.w * c * c) for c in given])).T
        varies = size > CONSTANT * whole
        scale = np.where(varies, size, 1.0)
        unit = gram / (scale[:, :, None] * scale[:, None, :]) * (varies[:, :, None] & varies[:, None, :])
        values, vectors = np.linalg.eigh(unit)
        keep = values > COLLINEAR
        recip = np.where(keep, 1.0 / np.where(keep, values, 1.0), 0.0)
        inverse = np.einsum("lij,lj,lkj->lik", vectors, recip, vectors)
        return inverse / (scale[:, :, None] * scale[:, None, :]), keep.sum(axis=1)

    @cached_property
    def fits(self) -> np.ndarray:
        """Levels whose rows determine all their coefficients."""
        return np.asarray(self.ranks == self.design.k)

    def coefficients(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(L, k) coefficients (of smallest size where a level does not determine them), and the residual."""
        total = np.zeros((self.n_levels, self.design.k))
        left = np.asarray(v, dtype=float)
        for _ in range(2):
            mean, slopes = self._once(left)
            left = left - mean[self.codes]
            for column, s in zip(self.columns, slopes.T, strict=True):
                left = left - column * s[self.codes]
            total[:, self.slopes] += slopes
            if self.one is not None:
                total[:, self.one] += mean - np.einsum("jl,lj->l", self.centres, slopes)
        return total, left

    def _once(self, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.zeros(self.n_levels) if self.one is None else self._sum(self.w * v) / self.weight
        moments = np.array([self._sum(self.w * c * v) for c in self.columns]).reshape(-1, self.n_levels)
        return mean, np.einsum("lij,jl->li", self.inverse, moments)

    @cached_property
    def unscaled(self) -> np.ndarray:
        """(Z_ℓ'WZ_ℓ)⁻¹ for each level (L, k, k), in the order of the given columns."""
        k = self.design.k
        out = np.zeros((self.n_levels, k, k))
        out[np.ix_(range(self.n_levels), self.slopes, self.slopes)] = self.inverse
        if self.one is not None:
            across = -np.einsum("lij,jl->li", self.inverse, self.centres)
            out[:, self.one, self.slopes] = out[:, self.slopes, self.one] = across
            out[:, self.one, self.one] = 1.0 / self.weight - np.einsum("li,il->l", across, self.centres)
        return out
