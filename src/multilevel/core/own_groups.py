"""Coefficients of every group by itself, at given values of all others: maximum likelihood without a prior.

    γ̂_g = argmax Σ_{i∈g} ℓ_i(fixed_i + z_i'γ)

A group whose rows are all alike (no case among its trials, no count above zero), or that a column separates, has no
finite maximum: its likelihood rises without end in some direction, along which its information vanishes. Such
coefficients are reported as ±∞.

Reference: Albert & Anderson (1984), Biometrika 71.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..families.base import Derivatives
from .mode import positive_part
from .panels import Panels

MOST_STEPS = 60
FARTHEST = 5.0  # of a linear predictor in one step
SETTLED = 1e-10  # Newton decrement
VANISHED = (
    1e-6  # information along a direction of columns whose largest entry is one; a finite estimate has about ½ or more
)
COLLINEAR = 1e-10
INVOLVED = 1e-3  # share of a direction from which a coefficient takes part in it


@dataclass(frozen=True, eq=False)
class OwnGroups:
    """What separate fits found.

    gamma (J, k): where the search ended, finite;  at: derivatives (order 2) there;  information (J, k, k)
    reach (J, k): largest |z| of a group;  ranks (J,): coefficients that the rows determine
    """

    gamma: np.ndarray
    at: Derivatives
    information: np.ndarray
    reach: np.ndarray
    ranks: np.ndarray

    @property
    def fits(self) -> np.ndarray:
        """Groups whose rows determine all their coefficients, finite or not."""
        return np.asarray(self.ranks == self.gamma.shape[1])

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues and eigenvectors of the information of columns scaled to a largest entry of one."""
        if not self.gamma.shape[1]:
            return self.gamma, self.information
        values, vectors = np.linalg.eigh(self.information / (self.reach[:, :, None] * self.reach[:, None, :]))
        return values, vectors

    @cached_property
    def infinite(self) -> np.ndarray:
        """−1 or 1 where the estimate is −∞ or ∞, else 0, (J, k)."""
        values, vectors = self._axes
        gone = (values < VANISHED) & self.fits[:, None]
        involved = (np.abs(vectors) > INVOLVED) & gone[:, None, :]
        return np.asarray(np.where(involved.any(axis=2), np.sign(self.gamma), 0.0))

    @property
    def finite(self) -> np.ndarray:
        """Groups with finite estimates of all coefficients."""
        return np.asarray(self.fits & ~self.infinite.any(axis=1))

    @property
    def estimates(self) -> np.ndarray:
        """γ̂ with ±∞ where there is no maximum and NaN where the rows do not determine it, (J, k)."""
        with np.errstate(invalid="ignore"):
            out = np.where(self.infinite != 0.0, self.infinite * np.inf, self.gamma)
        return np.where(self.fits[:, None], out, np.nan)

    @cached_property
    def inverse(self) -> np.ndarray:
        """Inverse information; zero along directions without a maximum, and of groups that cannot be fitted."""
        values, vectors = self._axes
        if not self.gamma.shape[1]:
            return self.information
        known = (values >= VANISHED) & self.fits[:, None]
        scaled = np.where(known, 1.0 / np.where(known, values, 1.0), 0.0)
        out = (vectors * scaled[:, None, :]) @ vectors.transpose(0, 2, 1)
        return np.asarray(out / (self.reach[:, :, None] * self.reach[:, None, :]))


def own_groups(panels: Panels, fixed: np.ndarray, start: np.ndarray | None = None) -> OwnGroups:
    """Separate fits of all groups.

    Parameters
    ----------
    panels : without a prior
    fixed : (n, m) the part of η that is given
    start : (J, k), optional
    """
    ranks, reach = _ranks(panels), _reach(panels)
    u = np.zeros((panels.groups, panels.k)) if start is None else start.copy()
    at = panels._at(fixed, u)
    height = panels.total(at.value)
    if start is not None and not np.isfinite(height).all():
        return own_groups(panels, fixed)
    for _ in range(MOST_STEPS if panels.k else 0):
        assert at.first is not None
        assert at.second is not None
        pull = panels.scores(at.first)
        step = _step(panels, at.second, pull, reach)
        far = np.zeros(panels.groups)
        np.maximum.at(far, panels.codes, np.abs(panels.z * step[panels.codes]).sum(axis=1))
        step /= np.maximum(1.0, far / FARTHEST)[:, None]
        if not np.any((step * pull).sum(axis=1) > SETTLED):
            break
        u, at, height, moved = panels._search(fixed, u, step, height)
        if not moved:
            break
    assert at.second is not None
    return OwnGroups(u, at, panels.information(at.second), reach, ranks)


def _step(panels: Panels, w: np.ndarray, pull: np.ndarray, reach: np.ndarray) -> np.ndarray:
    """Newton's step; along directions that carry no information, none."""
    scale = reach[:, :, None] * reach[:, None, :]
    values, vectors = np.linalg.eigh(panels.information(w) / scale)
    if values.min() < -1e-8:
        values, vectors = np.linalg.eigh(panels.information(positive_part(w)) / scale)
    along = np.einsum("gka,gk->ga", vectors, pull / reach)
    part = np.where(values > 1e-13, along / np.maximum(values, 1e-13), 0.0)
    return np.asarray(np.einsum("gka,ga->gk", vectors, part) / reach)


def _reach(panels: Panels) -> np.ndarray:
    out = np.zeros((panels.groups, panels.k))
    for a in range(panels.k):
        np.maximum.at(out[:, a], panels.codes, np.abs(panels.z[:, a]))
    return np.where(out > 0.0, out, 1.0)


def _ranks(panels: Panels) -> np.ndarray:
    """Rank of each group's columns, predictor by predictor."""
    out = np.zeros(panels.groups, dtype=np.int64)
    for d in np.unique(panels.owner):
        mine = np.flatnonzero(panels.owner == d)
        gram = np.empty((panels.groups, len(mine), len(mine)))
        for i, a in enumerate(mine):
            for j, b in enumerate(mine):
                gram[:, i, j] = panels.total(panels.z[:, a] * panels.z[:, b])
        size = np.sqrt(np.maximum(np.einsum("gii->gi", gram), 0.0))
        size[size == 0.0] = 1.0
        values = np.linalg.eigvalsh(gram / size[:, :, None] / size[:, None, :])
        out += (values > COLLINEAR).sum(axis=1)
    return out
