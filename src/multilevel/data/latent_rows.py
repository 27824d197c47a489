"""The rows of a generalized linear model in internal coordinates: what Laplace and quadrature work on.

    η_id = x_id'c + z_i'b + offset_id,    one column of η for each predictor d

Columns are centred and scaled as in `cross_products.py`; c holds the coefficients of all predictors, constants (a
dispersion without a formula) among them. Terms by one factor stand side by side, whatever predictor they belong to.
Rows that share everything but the response are merged where the family's log density is linear in y: the likelihood is
the same up to a constant, and the fit costs what the distinct rows cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..families.base import Distribution, Observations
from ..formula.design import Column, Design
from .cross_products import Shift, _Columns, _effect_map, _merge, cross_products

FEW = 5000  # rows from which a look at a sample decides whether merging is tried
SAMPLE = 1000
SORT = 20_000  # rows from which they are brought into the order of the largest factor


@dataclass(frozen=True)
class RowFactor:
    """One grouping factor: the level of each row, the columns of all its terms, and the predictor of each column.

    z : (n, k);  owner : (k,) position in `LatentRows.latent`;  terms : (index, first, last column) of each term
    """

    label: str
    n_levels: int
    codes: np.ndarray
    z: np.ndarray
    owner: np.ndarray
    terms: tuple[tuple[int, int, int], ...]

    @property
    def k(self) -> int:
        return self.z.shape[1]


@dataclass(frozen=True)
class LatentRows:
    """Rows of all predictors.

    Parameters
    ----------
    x : per predictor (n, p_d);  places : its coefficients in c
    offsets : (n, m)
    latent : predictors that group terms enter
    to_beta : (fixed coefficients, len(c)): β = to_beta c
    constants : (name, predictor, position in c) of parameters without a formula
    to_effects : per term, internal to external coefficients
    start : linear predictors to start from (n, m)
    log_constant : what merging left out of the log density
    """

    observations: Observations
    x: tuple[np.ndarray, ...]
    places: tuple[slice, ...]
    offsets: np.ndarray
    latent: tuple[int, ...]
    factors: tuple[RowFactor, ...]
    to_beta: np.ndarray
    constants: tuple[tuple[str, int, int], ...]
    to_effects: tuple[np.ndarray, ...]
    start: np.ndarray
    dropped: tuple[tuple[int, tuple[int, ...]], ...] = ()
    log_constant: float = 0.0

    @property
    def n(self) -> int:
        return len(self.offsets)

    @property
    def m(self) -> int:
        return self.offsets.shape[1]

    @property
    def n_coefficients(self) -> int:
        return self.to_beta.shape[1]

    @cached_property
    def all_columns(self) -> tuple[np.ndarray, np.ndarray]:
        """The columns of all predictors side by side, and whose each is."""
        owner = [np.full(x.shape[1], d, np.int64) for d, x in enumerate(self.x)]
        return np.ascontiguousarray(np.concatenate(self.x, axis=1)), np.concatenate(owner)

    def fixed(self, c: np.ndarray) -> np.ndarray:
        """η without group effects, (n, m)."""
        out = self.offsets.copy()
        for d, (x, place) in enumerate(zip(self.x, self.places, strict=True)):
            out[:, d] += x @ c[place]
        return out


def latent_rows(
    design: Design, distribution: Distribution, rank: str = "drop", merge: bool = True, sort: bool = True
) -> LatentRows:
    """The rows of a design.

    Parameters
    ----------
    rank : {"drop", "raise"}
        What to do with redundant fixed columns.
    merge : bool
        Whether equal rows may be merged.
    sort : bool
        Whether many rows may be brought into the order of a factor.
    """
    observed = _observed(design)
    start = distribution.family.start(observed, distribution.links)
    x, places, to_beta, constants, dropped = _fixed(design, distribution, rank)
    columns = _Columns()
    terms = tuple(columns.of_term(g) for g in design.groups)
    latent = tuple(sorted({g.predictor for g in design.groups}))
    factors = tuple(_factor(design, m, columns.items, latent) for m in _merge(design.groups, terms))
    rows = LatentRows(
        observations=observed,
        x=x,
        places=places,
        offsets=_offsets(design, start.shape[1]),
        latent=latent,
        factors=factors,
        to_beta=to_beta,
        constants=constants,
        to_effects=tuple(_effect_map(columns.items, z, g) for z, g in zip(terms, design.groups, strict=True)),
        start=start,
        dropped=dropped,
    )
    if merge and distribution.family.mergeable:
        rows = _merged(rows, distribution)
    return _sorted(rows) if sort and rows.n > SORT and factors else rows


def _observed(design: Design) -> Observations:
    if design.observations is not None:
        return design.observations  # type: ignore[no-any-return]
    counts = design.weights if design.weights_kind == "frequency" else None
    return Observations(design.response, weights=counts, precision=None if counts is not None else design.weights)


def _offsets(design: Design, m: int) -> np.ndarray:
    out = np.zeros((design.n, m))
    given = design.offsets or (design.offset,)
    for d, offset in enumerate(given):
        if offset is not None:
            out[:, d] = offset
    return out


def _fixed(design: Design, distribution: Distribution, rank: str) -> tuple[Any, ...]:
    """Internal columns of every predictor, their places in c, the way back, constants, and redundant columns."""
    m = len(distribution.links)
    owner = design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)
    x: list[np.ndarray] = []
    places, constants, blocks = [], [], []
    dropped: list[tuple[int, tuple[int, ...]]] = []
    at = 0
    names = design.layout.names
    if len(names) != m:  # a linear model's layout has the mean alone
        names = ("mu", *(p.name for p in distribution.family.further))
    for d in range(m):
        mine = np.flatnonzero(owner == d)
        if len(mine):
            columns, back, gone = _standardised(design, mine, rank)
            dropped += [(int(mine[j]), tuple(int(mine[i]) for i in others)) for j, others in gone]
        elif d >= len(design.layout.locations) and not _described(design, d):
            columns, back = np.ones((design.n, 1)), np.zeros((0, 1))
            constants.append((names[d], d, at))
        else:
            columns, back = np.zeros((design.n, 0)), np.zeros((0, 0))
        x.append(columns)
        places.append(slice(at, at + columns.shape[1]))
        blocks.append((mine, back))
        at += columns.shape[1]
    to_beta = np.zeros((len(design.fixed_names), at))
    for (mine, back), place in zip(blocks, places, strict=True):
        to_beta[mine, place] = back
    return tuple(x), tuple(places), to_beta, tuple(constants), tuple(dropped)


def _described(design: Design, predictor: int) -> bool:
    """Whether a predictor without fixed columns has a formula all the same: ``nu ~ 0 + offset(c)``."""
    known = predictor < len(design.offsets) and design.offsets[predictor] is not None
    return known or any(g.predictor == predictor for g in design.groups)


def _standardised(
    design: Design, mine: np.ndarray, rank: str
) -> tuple[np.ndarray, np.ndarray, tuple[tuple[int, tuple[int, ...]], ...]]:
    """Centred and scaled (or orthogonalised) columns of one predictor, β = back c, and what was redundant."""
    fixed = tuple(design.fixed_columns[j] for j in mine)
    alone = replace(
        design,
        response=np.random.default_rng(0).standard_normal(design.n),  # any column: only the map of the others is used
        fixed_names=tuple(design.fixed_names[j] for j in mine),
        fixed_columns=fixed,
        groups=(),
        offset=None,
        weights=None,
        known_se=None,
    )
    products = cross_products(alone, rank)
    back = products.to_beta
    if products.centres is not None:
        shifts = [Shift(c, 1.0 / b) for c, b in zip(products.centres, np.diag(back), strict=True)]
        return _columns(fixed, shifts, design.n), back, ()
    return _columns(fixed, [Shift(0.0, 1.0)] * len(fixed), design.n) @ back, back, products.dropped


def _columns(columns: Sequence[Column], shifts: Sequence[Shift], n: int) -> np.ndarray:
    out = np.ones((n, len(columns)))
    for j, (column, shift) in enumerate(zip(columns, shifts, strict=True)):
        if column is not None:
            out[:, j] = (column - shift.centre) / shift.scale
    return out


def _factor(design: Design, merged: Any, items: Sequence[tuple[Column, Shift]], latent: tuple[int, ...]) -> RowFactor:
    group = design.groups[merged.first]
    z = np.ones((design.n, len(merged.z)))
    for j, item in enumerate(merged.z):
        column, shift = items[item]
        if column is not None:
            z[:, j] = (column - shift.centre) / shift.scale
    owner = np.empty(len(merged.z), np.int64)
    for t, first, last in merged.terms:
        owner[first:last] = latent.index(design.groups[t].predictor)
    codes = np.ascontiguousarray(group.codes, dtype=np.int32)
    return RowFactor(merged.label, len(group.levels), codes, z, owner, merged.terms)


def held(rows: LatentRows, name: str, value: float) -> LatentRows:
    """The rows with a constant held at a value, as part of the offset."""
    ((predictor, place),) = [(d, p) for n, d, p in rows.constants if n == name]
    offsets = rows.offsets.copy()
    offsets[:, predictor] += value
    keep = np.arange(rows.n_coefficients) != place
    x = tuple(np.zeros((rows.n, 0)) if d == predictor else c for d, c in enumerate(rows.x))
    ends = np.cumsum([0, *(c.shape[1] for c in x)])
    return replace(
        rows,
        x=x,
        places=tuple(slice(int(a), int(b)) for a, b in itertools.pairwise(ends)),
        offsets=offsets,
        to_beta=rows.to_beta[:, keep],
        constants=tuple((n, d, p - int(p > place)) for n, d, p in rows.constants if n != name),
    )


# --- merging and sorting -----------------------------------------------------------------------------------------
def _merged(rows: LatentRows, distribution: Distribution) -> LatentRows:
    """One row for each distinct combination of columns, groups and offsets."""
    obs = rows.observations
    if obs.precision is not None or obs.censored is not None or obs.bounds is not None:
        return rows
    columns = [rows.offsets[:, d] for d in range(rows.m)]
    columns += [x[:, j] for x in rows.x for j in range(x.shape[1])]
    columns += [f.z[:, j] for f in rows.factors for j in range(f.k)]
    columns += [f.codes for f in rows.factors]
    columns = [c for c in columns if len(c) and not np.all(c == c[0])]
    if rows.n > FEW and _mostly_distinct(columns):
        return rows
    first, inverse = _distinct(columns, rows.n)
    if len(first) > 0.9 * rows.n:
        return rows
    merged = _combined(obs, first, inverse)
    start = np.zeros((len(first), rows.m))
    np.add.at(start, inverse, rows.start)
    start /= np.bincount(inverse)[:, None]
    whole = distribution.log_density(obs, np.ascontiguousarray(start[inverse])).sum()
    left_out = whole - distribution.log_density(merged, start).sum()
    small = _take(rows, first)
    return replace(small, observations=merged, log_constant=float(left_out), start=start)


def _mostly_distinct(columns: Sequence[np.ndarray]) -> bool:
    """Whether a sample already shows a column that hardly repeats."""
    return any(len(np.unique(c[:SAMPLE])) > SAMPLE // 2 for c in columns if c.dtype == np.float64)


def _distinct(columns: Sequence[np.ndarray], n: int) -> tuple[np.ndarray, np.ndarray]:
    """First row of each distinct combination, and the combination of every row."""
    if not columns:
        return np.zeros(1, np.int64), np.zeros(n, np.int64)
    weights = np.random.default_rng(0).standard_normal(len(columns))
    key = np.zeros(n)
    for column, weight in zip(columns, weights, strict=True):
        key += weight * column
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    if all(np.array_equal(column, column[first][inverse]) for column in columns):
        return first, inverse
    table = np.column_stack(columns)  # two combinations fell on one key
    _, first, inverse = np.unique(table, axis=0, return_index=True, return_inverse=True)
    return first, inverse.ravel()


def _combined(obs: Observations, first: np.ndarray, inverse: np.ndarray) -> Observations:
    """Sums of successes and trials; otherwise weighted means of y with the sum of the weights."""
    weights = np.ones(len(obs)) if obs.weights is None else obs.weights
    if obs.trials is not None:
        y, trials = np.bincount(inverse, weights * obs.y), np.bincount(inverse, weights * obs.trials)
        return replace(obs.take(first), y=y, trials=trials, weights=None)
    total = np.bincount(inverse, weights)
    return replace(obs.take(first), y=np.bincount(inverse, weights * obs.y) / total, weights=total)


def _take(rows: LatentRows, index: np.ndarray) -> LatentRows:
    """Some rows, in that order."""
    factors = tuple(
        replace(f, codes=np.ascontiguousarray(f.codes[index]), z=np.ascontiguousarray(f.z[index])) for f in rows.factors
    )
    return replace(
        rows,
        observations=rows.observations.take(index),
        x=tuple(np.ascontiguousarray(x[index]) for x in rows.x),
        offsets=rows.offsets[index],
        factors=factors,
        start=rows.start[index],
    )


def _sorted(rows: LatentRows) -> LatentRows:
    """Rows of one level next to each other: its blocks then stay in the cache."""
    return sorted_by(rows, max(rows.factors, key=lambda f: f.n_levels * f.k).codes)


def sorted_by(rows: LatentRows, codes: np.ndarray) -> LatentRows:
    """Rows in the order of their codes."""
    if np.all(codes[1:] >= codes[:-1]):
        return rows
    return _take(rows, np.argsort(codes, kind="stable"))
