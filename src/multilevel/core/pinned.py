"""Covariances of one term with a standard deviation or a correlation held at a value: what a profile fixes.

    λ(θ) = T⁻¹ (Λ_0 + Σ_j θ_j Λ_j)        linear in what is left free; T maps internal to external coefficients

Standard deviation of coefficient i: with i first, the Cholesky factor begins with it, Λ = [c 0; ℓ L]. Correlation c
of i and j: with these two first it begins [s_i 0; s_j c, s_j √(1−c²)], which stays regular at c = ±1. The core takes
any square root, so the rest of the criterion does not notice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..scales.base import Kind, Scale
from ..scales.compound_symmetry import CompoundSymmetry
from ..scales.unstructured import semidefinite_cholesky


@dataclass(frozen=True, eq=False)
class Pinned(Scale):
    """λ(θ) = constant + Σ θ_j basis_j.

    Parameters
    ----------
    constant : (k, k)
    basis : (parameters, k, k)
    sorts : kinds of the parameters
    ties : for each parameter, those that vanish with it
    """

    constant: np.ndarray
    basis: np.ndarray
    sorts: tuple[Kind, ...]
    ties: tuple[tuple[int, ...], ...] = field(default=())

    def kinds(self) -> tuple[Kind, ...]:
        return self.sorts

    def start(self) -> np.ndarray:
        return np.array([1.0 if kind == "positive" else 0.0 for kind in self.sorts])

    def factor(self, theta: np.ndarray) -> np.ndarray:
        return np.asarray(self.constant + np.tensordot(theta, self.basis, axes=1))

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        return self.basis

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        raise TypeError("a pinned covariance is started from the parameters of a neighbour")

    def tied(self, j: int) -> tuple[int, ...]:
        return self.ties[j] if self.ties else ()


@dataclass(frozen=True, eq=False)
class Held(Scale):
    """Another scale with its parameter `j` held at `value`."""

    base: Scale
    j: int
    value: float

    def _full(self, theta: np.ndarray) -> np.ndarray:
        return np.insert(theta, self.j, self.value)

    def kinds(self) -> tuple[Kind, ...]:
        return tuple(kind for j, kind in enumerate(self.base.kinds()) if j != self.j)

    def bounds(self) -> tuple[float, float]:
        return self.base.bounds()

    def start(self) -> np.ndarray:
        return np.delete(self.base.start(), self.j)

    def factor(self, theta: np.ndarray) -> np.ndarray:
        return self.base.factor(self._full(theta))

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        return np.delete(self.base.derivative(self._full(theta)), self.j, axis=0)

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        return np.delete(self.base.from_covariance(covariance), self.j)


Entries = list[tuple[int, int]]


@dataclass(frozen=True, eq=False)
class Polar(Scale):
    """Homogeneous compound symmetry with its standard deviation held at `c`.

    The two eigenvalues are squares of θ = (c √(k/(k−1)) cos φ, c √k sin φ); φ is left free.
    """

    base: CompoundSymmetry
    c: float

    def kinds(self) -> tuple[Kind, ...]:
        return ("bounded",)

    def bounds(self) -> tuple[float, float]:
        return 0.0, 0.5 * np.pi

    def start(self) -> np.ndarray:
        return np.array([0.25 * np.pi])

    @property
    def _axes(self) -> np.ndarray:
        return self.c * np.sqrt([self.k / (self.k - 1.0), self.k])

    def factor(self, theta: np.ndarray) -> np.ndarray:
        return self.base.factor(self._axes * [np.cos(theta[0]), np.sin(theta[0])])

    def derivative(self, theta: np.ndarray) -> np.ndarray:
        return self.base.factor(self._axes * [-np.sin(theta[0]), np.cos(theta[0])])[None]

    def from_covariance(self, covariance: np.ndarray) -> np.ndarray:
        apart, mean = self.base.from_covariance(covariance) / np.sqrt([self.k / (self.k - 1.0), self.k])
        return np.array([np.arctan2(mean, apart)])


def pinned_sd(scale: Scale, to_effects: np.ndarray, i: int, c: float) -> Scale:
    """The scale with the standard deviation of coefficient `i` (relative to σ) held at `c`.

    Parameters
    ----------
    scale : the term's own scale
    to_effects : (k, k), internal to external coefficients
    """
    if isinstance(scale, CompoundSymmetry) and scale.k > 1:
        value = c / float(to_effects[i, i])
        return Polar(scale.k, scale, value) if scale.hom else Held(scale.k, scale, i, value)
    order = _first(scale.k, i)
    # at zero the rest of the first column is zero too: it would only repeat what the other columns can do
    known = [(a, 0) for a in range(scale.k if c == 0.0 else 1)]
    entries = _entries(scale, order, known)
    constant = np.zeros((scale.k, scale.k))
    constant[0, 0] = c
    return _assembled(scale.k, to_effects, order, constant, [], entries)


def pinned_correlation(scale: Scale, to_effects: np.ndarray, i: int, j: int, c: float) -> Scale:
    """The scale with the correlation of coefficients `i` and `j` held at `c` between −1 and 1."""
    k = scale.k
    if isinstance(scale, CompoundSymmetry):
        root = scale._root(c)
        rows = [np.eye(k)] if scale.hom else [np.outer(e, e) for e in np.eye(k)]
        inverse = np.linalg.inv(to_effects)
        basis = np.array([inverse @ (to_effects[0, 0] * (row @ root)) for row in rows])
        kinds: tuple[Kind, ...] = tuple("positive" for _ in rows)
        return Pinned(k, np.zeros((k, k)), basis, kinds)
    order = _first(k, i, j)
    first, second = np.zeros((k, k)), np.zeros((k, k))
    first[0, 0] = 1.0
    second[1, :2] = c, np.sqrt(max(1.0 - c * c, 0.0))
    entries = _entries(scale, order, ((0, 0), (1, 0), (1, 1)))
    return _assembled(k, to_effects, order, np.zeros((k, k)), [first, second], entries)


def pinned_start(
    scale: Scale, to_effects: np.ndarray, covariance: np.ndarray, places: Sequence[int], zero: bool = False
) -> np.ndarray:
    """Parameters of a pinned scale near a covariance (external, relative to σ²); `places` are what is pinned.

    One place is a standard deviation (at `zero` or not), two are a correlation.
    """
    k = scale.k
    sds = np.sqrt(np.maximum(np.diag(covariance), 0.0))
    if isinstance(scale, CompoundSymmetry) and k > 1:
        sds = sds / float(to_effects[0, 0])  # these columns share one unit
        if len(places) == 1 and scale.hom:
            return Polar(k, scale, 1.0).from_covariance(covariance)
        if len(places) == 1:
            return np.append(np.delete(sds, places[0]), scale.from_covariance(covariance)[k])
        return np.atleast_1d(np.mean(sds) if scale.hom else sds)
    order = _first(k, *places)
    units = _units(to_effects)[order]
    factor = semidefinite_cholesky(covariance[np.ix_(order, order)])
    known = [(0, 0), (1, 0), (1, 1)] if len(places) == 2 else [(a, 0) for a in range(k if zero else 1)]
    heads = [] if len(places) == 1 else [sds[order[0]] / units[0], sds[order[1]] / units[1]]
    return np.array([*heads, *(factor[a, b] / units[a] for a, b in _entries(scale, order, known))])


def _first(k: int, *places: int) -> np.ndarray:
    return np.array([*places, *(a for a in range(k) if a not in places)], dtype=int)


def _entries(scale: Scale, order: np.ndarray, known: Sequence[tuple[int, int]]) -> Entries:
    """Free entries of the lower triangle: all of them, or the diagonal where coefficients are uncorrelated."""
    k = scale.k
    diagonal = len(scale.entries()[0]) == k
    places = [(a, a) for a in range(k)] if diagonal else [(a, b) for b in range(k) for a in range(b, k)]
    return [place for place in places if place not in known]


def _units(to_effects: np.ndarray) -> np.ndarray:
    """Size of each external coefficient when the internal ones have variance one: parameters near one."""
    return np.sqrt((to_effects**2).sum(axis=1))


def _assembled(
    k: int, to_effects: np.ndarray, order: np.ndarray, constant: np.ndarray, heads: list[np.ndarray], entries: Entries
) -> Pinned:
    """T⁻¹ P' Λ with parameters in the units of the coefficients."""
    units = _units(to_effects)[order]
    back = np.linalg.inv(to_effects)[:, order]
    parts = [units[a] * head for a, head in enumerate(heads)]
    sorts: list[Kind] = ["positive"] * len(heads)
    for a, b in entries:
        part = np.zeros((k, k))
        part[a, b] = units[a]
        parts.append(part)
        sorts.append("positive" if a == b else "free")
    n = len(heads)
    ties = [tuple(n + e for e, (a, b) in enumerate(entries) if b == d and a > d) for c, d in entries if c == d]
    columns = iter(ties)
    tied = [()] * n + [next(columns) if a == b else () for a, b in entries]
    basis = np.array([back @ part for part in parts]) if parts else np.zeros((0, k, k))
    return Pinned(k, back @ constant, basis, tuple(sorts), tuple(tied))
