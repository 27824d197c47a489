"""Second-order Laplace: what the next term of the expansion adds to the approximate log-likelihood.

    log p(y) ≈ Laplace + Σ_g log(1 + c_g),    Σ_g c_g = Σ_i c_i  over the rows of a group,

    c = −⅛ Σ_i W''_i a_i² + ⅛ (Λ'Z't)'H⁻¹(Λ'Z't) + (1/12) Σ_ij W'_i W'_j A_ij³,    t = W'∘a,   A_ij = z̃_i'H⁻¹z̃_j

with W' = −∂³ℓ/∂η³, W'' = −∂⁴ℓ/∂η⁴ at the mode, tensors where a row has several predictors. All from what the fit has
already. For one factor, and for factors nested in each other, everything is exact: rows are written in independent
coordinates, u_g ~ N(0, S_g⁻¹) given what is above it, and the double sum is a sum over levels of squared k × k × k
tensors. Where factors cross, the first two terms and the pairs i = j are exact; in the other pairs, those that share a
level, effects of different levels are taken as independent.

Groups are the levels of the outermost factor; where factors cross, those of the factor with most levels.

References: Shun & McCullagh (1995), JRSS B 57; Raudenbush, Yang & Yosef (2000), JCGS 9.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from ..families.base import Derivatives
from .laplace import Laplace, LaplaceState
from .likelihood import Slope
from .mode import TOLERANCE
from .quadrature_levels import Level, chain_of

STEP = 3e-4  # of a parameter, in differences of the correction
FLAT = -0.5  # below it log(1 + c) goes on as a straight line: an expansion that bad tells only the direction


@dataclass(frozen=True, eq=False)
class Correction:
    """What is missing from Laplace's log-likelihood: `total`, and by group of `factor` (a position) log(1 + c_g)."""

    total: float
    groups: np.ndarray
    factor: int


@dataclass(frozen=True, eq=False)
class Coordinates:
    """Rows in independent standard coordinates: per factor (n, predictors, k) and the level of each row."""

    parts: Sequence[np.ndarray]
    codes: Sequence[np.ndarray]
    nested: bool


def correction(criterion: Laplace, state: LaplaceState) -> Correction:
    """The correction at a state of the criterion.

    Parameters
    ----------
    criterion : Laplace
    state : LaplaceState
        With a mode; the workspace is put there.
    """
    rows = criterion.rows
    assert state.mode is not None
    if not rows.factors:
        return Correction(0.0, np.zeros(0), -1)
    which = list(rows.latent)
    at = criterion.distribution.derivatives(rows.observations, state.mode.eta, 4)
    chain = chain_of(rows)
    with np.errstate(all="ignore"):
        by_row = _nested(criterion, state, at, chain, which) if chain else _crossed(criterion, state, at, which)
    f = chain[0] if chain else max(range(len(rows.factors)), key=lambda g: rows.factors[g].n_levels)
    groups = _log1p(np.bincount(rows.factors[f].codes, by_row, rows.factors[f].n_levels))
    return Correction(float(groups.sum()), groups, f)


def _log1p(c: np.ndarray) -> np.ndarray:
    below = c < FLAT
    return np.where(below, np.log1p(FLAT) + (c - FLAT) / (1.0 + FLAT), np.log1p(np.where(below, 0.0, c)))


# --- one factor, and nested ones ---------------------------------------------------------------------------------
def _nested(
    criterion: Laplace, state: LaplaceState, at: Derivatives, chain: Sequence[int], which: list[int]
) -> np.ndarray:
    place = independent(criterion, state, chain)
    third, fourth = _third(at, which), _fourth(at, which)
    a = sum(part @ np.swapaxes(part, 1, 2) for part in place.parts)
    t = np.einsum("nabc,nab->nc", third, a)
    pull = np.zeros(len(t))
    for part, codes in zip(place.parts, place.codes, strict=True):
        own = np.einsum("nak,na->nk", part, t)
        pull += (own * _level_sums(own, codes)).sum(axis=1)
    return _fourth_term(fourth, a) + pull / 8.0 + _pairs(third, place) / 12.0


def independent(criterion: Laplace, state: LaplaceState, chain: Sequence[int]) -> Coordinates:
    """Rows by the effects of each level given those above it, nested ones followed along, over their spread."""
    mode = state.mode
    assert mode is not None
    assert mode.at.first is not None
    assert mode.at.second is not None
    rows, which = criterion.rows, list(criterion.rows.latent)
    lam: Mapping[int, np.ndarray] = dict(enumerate(state.lam))
    w = np.ascontiguousarray(mode.at.second[:, which][:, :, which])
    first = np.ascontiguousarray(mode.at.first[:, which])
    level: Level | None = _levels(criterion, chain)
    parts, codes = [], []
    while level is not None:
        level.latent.factorise([lam[f] for f in level.order], w, first)
        root, follow = level._spread(lam)
        depends = level._dependence(level.f, lam[level.f], None)
        for f, part in follow.items():
            depends = depends + level._dependence(f, lam[f], part)
        turned = np.swapaxes(np.linalg.inv(root), 1, 2)
        parts.append(depends @ turned[rows.factors[level.f].codes])
        codes.append(rows.factors[level.f].codes)
        level = level.inner
    return Coordinates(parts, codes, True)


def _levels(criterion: Laplace, chain: Sequence[int]) -> Level:
    """The chain of workspaces, made once a criterion."""
    kept = criterion.__dict__.get("_levels")
    if kept is None:
        kept = criterion.__dict__["_levels"] = Level(criterion.rows, criterion.terms, chain, 1)
    return kept  # type: ignore[no-any-return]


# --- crossed factors ---------------------------------------------------------------------------------------------
def _crossed(criterion: Laplace, state: LaplaceState, at: Derivatives, which: list[int]) -> np.ndarray:
    criterion.restore(state)
    latent = criterion.latent
    inverse = latent.inverse()
    third, fourth = _third(at, which), _fourth(at, which)
    a = latent.leverages(inverse)
    t = np.ascontiguousarray(np.einsum("nabc,nab->nc", third, a))
    v = latent.solve(latent.pulled(t))
    pull = (t * latent.row_effects(latent.scaled(state.lam, v))).sum(axis=1)
    place = _marginal(criterion, state, inverse)
    near = sum(part @ np.swapaxes(part, 1, 2) for part in place.parts)
    alone = _cube(third, a) - _cube(third, near)
    return _fourth_term(fourth, a) + pull / 8.0 + (_pairs(third, place) + alone) / 12.0


def _marginal(criterion: Laplace, state: LaplaceState, inverse) -> Coordinates:  # type: ignore[no-untyped-def]
    """Rows by the effects of each factor over their own covariance, the blocks of H⁻¹."""
    rows, pt = criterion.rows, criterion.latent.pattern
    parts, begin = [], 0
    blocks = {pt.lead: inverse.PL}
    for f in pt.trail:
        n, k = rows.factors[f].n_levels, rows.factors[f].k
        low = np.tril(np.ones((k, k), dtype=bool))
        index = begin + np.arange(n * k * k).reshape(n, k, k)
        block = np.zeros((n, k, k))
        block[:, low] = inverse.P[pt.target[index[:, low]]]
        blocks[f] = block + np.swapaxes(np.tril(block, -1), 1, 2)
        begin += n * k * k
    for f, factor in enumerate(rows.factors):
        root = np.linalg.cholesky(blocks[f])
        own = np.zeros((rows.n, len(rows.latent), factor.k))
        for c in range(factor.k):
            own[:, factor.owner[c], :] += factor.z[:, c, None] * state.lam[f][c]
        parts.append(own @ root[factor.codes])
    return Coordinates(parts, [f.codes for f in rows.factors], False)


# --- tensors -----------------------------------------------------------------------------------------------------
def _third(at: Derivatives, which: list[int]) -> np.ndarray:
    assert at.third is not None
    return at.third[:, which][:, :, which][:, :, :, which]


def _fourth(at: Derivatives, which: list[int]) -> np.ndarray:
    assert at.fourth is not None
    return at.fourth[:, which][:, :, which][:, :, :, which][:, :, :, :, which]


def _fourth_term(fourth: np.ndarray, a: np.ndarray) -> np.ndarray:
    """−⅛ W''_i : A_i ⊗ A_i."""
    return -0.125 * np.einsum("nab,nab->n", np.einsum("nabcd,ncd->nab", fourth, a), a)


def _cube(third: np.ndarray, a: np.ndarray) -> np.ndarray:
    """W'_i W'_i A_ii³ of each row."""
    turned = third
    for axis in (1, 2, 3):
        turned = np.moveaxis(np.einsum("nabc,nad->ndbc", np.moveaxis(turned, axis, 1), a), 1, axis)
    return np.asarray((third * turned).sum(axis=(1, 2, 3)))


def _pairs(third: np.ndarray, place: Coordinates) -> np.ndarray:
    """Σ_j W'_i W'_j A_ij³ of each row: over triples of factors, tensors summed over the levels that all three share."""
    out = np.zeros(len(third))
    for triple in combinations_with_replacement(range(len(place.parts)), 3):
        f, g, h = triple
        times = {1: 1.0, 2: 3.0, 3: 6.0}[len(set(triple))]
        x = np.einsum("nabc,naf->nbcf", third, place.parts[f])
        x = np.einsum("nbcf,nbg->ncfg", x, place.parts[g])
        x = np.einsum("ncfg,nch->nfgh", x, place.parts[h]).reshape(len(third), -1)
        out += times * (x * _level_sums(x, _shared(place, triple))).sum(axis=1)
    return out


def _shared(place: Coordinates, triple: Sequence[int]) -> np.ndarray:
    """The level that rows have in common in all three factors: the innermost where they are nested."""
    if place.nested:
        return place.codes[max(triple)]
    out = place.codes[triple[0]].astype(np.int64)
    for f in sorted(set(triple[1:]) - {triple[0]}):
        other = place.codes[f].astype(np.int64)
        out = np.unique(out * (int(other.max()) + 1) + other, return_inverse=True)[1]
    return out


def _level_sums(x: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """For each row the sum of x (n, s) over its level."""
    levels = int(codes.max()) + 1
    return np.stack([np.bincount(codes, x[:, j], levels)[codes] for j in range(x.shape[1])], axis=1)


# --- as a criterion ----------------------------------------------------------------------------------------------
class SecondOrder(Laplace):
    """Laplace's criterion with the correction, −2 (Laplace + Σ log(1 + c_g)); the gradient of the correction by
    central differences, each with its own mode."""

    def _evaluate(self, theta: np.ndarray, warm: np.ndarray) -> LaplaceState:
        self.fine = TOLERANCE  # derivatives of the correction are differences
        found = super()._evaluate(theta, warm)
        if found.mode is None:
            return found
        self.current = found  # the workspace is there
        value = found.value - 2.0 * correction(self, found).total
        return LaplaceState(theta, value if np.isfinite(value) else np.inf, found.lam, found.mode)

    def restore(self, state: LaplaceState) -> None:
        """Put the workspace back to a state."""
        if self.current is not state:
            assert state.mode is not None
            super()._evaluate(state.theta, state.mode.u)
            self.current = state

    def slope(self, state: LaplaceState, sigma2: float | None = None, information: bool = True) -> Slope:
        """Laplace's gradient and that of the correction."""
        plain = super().slope(state, sigma2, information)
        gradient = plain.gradient + self._differences(state)
        self.restore(state)
        return Slope(gradient, plain.hessian, plain.b, plain.scores)

    def _differences(self, state: LaplaceState) -> np.ndarray:
        assert state.mode is not None
        out = np.empty(len(state.theta))
        for j in range(len(out)):
            sides = []
            size = STEP * (max(1.0, abs(state.theta[j])) if j >= self.n_theta else self._unit(j, state.theta[j]))
            for side in (1.0, -1.0):
                theta = state.theta.copy()
                theta[j] += side * size
                near = super()._evaluate(theta, state.mode.u)
                self.current = near
                sides.append(np.nan if near.mode is None else -2.0 * correction(self, near).total)
            out[j] = (sides[0] - sides[1]) / (2.0 * size)
        self.current = None
        return np.nan_to_num(out)

    def _unit(self, j: int, value: float) -> float:
        """A size of θ_j that matters: its own, or that at which a level's rows weigh as much as the prior."""
        return float(max(abs(value), 1.0 / np.sqrt(self.level_weights[j])))
