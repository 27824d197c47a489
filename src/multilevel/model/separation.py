"""Separation: directions of the coefficients along which the likelihood of a discrete response never falls.

    d ≠ 0 with  v_q'x_q d ≥ 0  for what moves a row towards certainty,   v_q'x_q d = 0  for what it cannot bear

A row y = 1 bears η → ∞, a count of zero η → −∞, 3 successes of 5 neither; a row of an ordinal response bears that its
upper threshold rises and its lower one falls. Where some row gains strictly, the maximum likelihood estimate lies at
infinity: complete separation if no row stays behind, quasi-complete otherwise. Group effects do not change that, since
the direction serves for every value of them; groups whose rows are all alike are no separation, their effects are
shrunk.

The search is a linear programme over the rows. It is needed rarely: at a finite maximum the scores of the rows are
positive weights λ with Σ λ_q v_q'x_q = 0, which proves that there is no such d (Stiemke's lemma).

References: Albert & Anderson (1984), Biometrika 71; Konis (2007), *Linear programming algorithms for detecting
separated data in binary logistic regression models*, thesis, Oxford.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..data.latent_rows import LatentRows
from ..families.base import Derivatives, Distribution, Observations

FAR = 60.0  # linear predictor that stands for infinity
SCALES = ("logit", "probit", "cloglog", "cauchit")  # links of probabilities: zi and hu separate too
SET = 500  # rows with which the linear programme starts, and that join it at a time
ROUNDS = 60
STEEP = 1e5  # largest element of a direction; closer calls than its inverse are ties
TIE = 1e-7


@dataclass(frozen=True)
class Conditions:
    """v_q'η'_i ≥ 0 for some rows i, = 0 for others.

    Parameters
    ----------
    row, v : (q,) rows and (q, m) weights on their predictors
    pull : (q,) how strongly the log density at hand pulls that way; positive for inequalities
    tied : (q,) bool, equalities
    """

    row: np.ndarray
    v: np.ndarray
    pull: np.ndarray
    tied: np.ndarray

    def columns(self, rows: LatentRows, use: np.ndarray | slice = slice(None)) -> np.ndarray:
        """v_q'x_q over all coefficients, (q, p); constants have no part in it."""
        row, v = self.row[use], self.v[use]
        out = np.zeros((len(row), rows.n_coefficients))
        for d, (x, place) in enumerate(zip(rows.x, rows.places, strict=True)):
            mine = v[:, d] != 0.0
            out[mine, place] = v[mine, d, None] * x[row[mine]]
        out[:, [place for _, _, place in rows.constants]] = 0.0
        return out


@dataclass(frozen=True)
class Separation:
    """What separates, in the internal coordinates of `LatentRows`.

    Parameters
    ----------
    direction : (p,) along which the likelihood rises to its supremum
    free : (p, r) basis of all directions that leave the other rows as they are
    rows : (n,) bool, those that become certain
    moves : (n, m) what the direction adds to their linear predictors, zero elsewhere
    signs : (fixed coefficients,) 1 for +∞, -1 for −∞, NaN where either can be, 0 for finite ones
    complete : bool
        Whether nothing is left that depends on any coefficient.
    """

    direction: np.ndarray
    free: np.ndarray
    rows: np.ndarray
    moves: np.ndarray
    signs: np.ndarray
    complete: bool


def separation(rows: LatentRows, distribution: Distribution, at: Derivatives) -> Separation | None:
    """What separates the rows; None, at the cost of a look, where nothing does.

    Parameters
    ----------
    at : derivatives of order 1 near the maximum of the model without groups
    """
    family = distribution.family
    if not family.discrete or not rows.n_coefficients:
        return None
    with np.errstate(all="ignore"):
        several = family.ordered or len(family.locations(rows.observations)) > 1
        if not several and _balanced(rows, distribution, at):
            return None
        conditions = conditions_of(rows, distribution, at)
        if several and _certified(rows, conditions):
            return None
        return _searched(rows, conditions)


def _which(rows: LatentRows, distribution: Distribution) -> list[int]:
    """Predictors that can run off: the location, and probabilities such as zi."""
    return [d for d in range(rows.m) if d == 0 or distribution.links[d] in SCALES]


def _balanced(rows: LatentRows, distribution: Distribution, at: Derivatives) -> bool:
    """Whether the rows' own scores prove that nothing separates, each predictor by itself.

    Σ s_i x_i = g is nearly zero; s_i (1 − x_i'δ sign s_i) with δ = (Σ |s_i| x_i x_i')⁻¹ g sums to zero and keeps all
    signs when |x_i'δ| < 1.
    """
    assert at.first is not None
    constant = {d for _, d, _ in rows.constants}
    for d in _which(rows, distribution):
        x, s = rows.x[d], at.first[:, d]
        if d in constant or x.shape[1] == 0:
            continue
        size = np.abs(s)
        gram = (x * size[:, None]).T @ x
        if not size.all() or not np.isfinite(gram).all():
            return False
        try:
            root = np.linalg.cholesky(gram)
        except np.linalg.LinAlgError:
            return False
        step = np.linalg.solve(root.T, np.linalg.solve(root, s @ x))
        if not np.abs(x @ step).max() < 0.9:
            return False
    return True


# --- what rows bear ----------------------------------------------------------------------------------------------
def conditions_of(rows: LatentRows, distribution: Distribution, at: Derivatives) -> Conditions:
    """The conditions of all rows that count."""
    obs, m = rows.observations, rows.m
    parts = _conditions(rows, distribution, at)
    row, v, pull, tied = (np.concatenate([part[i] for part in parts]) for i in range(4))
    counts = np.ones(len(row), dtype=bool) if obs.weights is None else obs.weights[row] > 0.0
    return Conditions(row[counts], v[counts].reshape(-1, m), pull[counts], tied[counts])


Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def _conditions(rows: LatentRows, distribution: Distribution, at: Derivatives) -> list[Part]:
    assert at.first is not None
    family, obs, m = distribution.family, rows.observations, rows.m
    y = obs.y.astype(np.int64)
    if family.ordered:  # thresholds 1 … m − 1 above and below each category
        upper = [_part(m, y == k, at.first[:, 1 + k], (1 + k, 1.0), (0, -1.0)) for k in range(m - 1)]
        return upper + [_part(m, y == k + 1, -at.first[:, 1 + k], (0, 1.0), (1 + k, -1.0)) for k in range(m - 1)]
    locations = len(family.locations(obs))
    if locations > 1:  # the chosen category against each other one
        return [
            _part(m, y == k, _pull(at.first, k, j), *(((k - 1, 1.0),) if k else ()), *(((j - 1, -1.0),) if j else ()))
            for k in range(locations + 1)
            for j in range(locations + 1)
            if j != k
        ]
    return [part for d in _which(rows, distribution) for part in _alone(rows, distribution, at.first, d)]


def _pull(first: np.ndarray, k: int, j: int) -> np.ndarray:
    """p_j of rows in category k: −∂ℓ/∂η_j, or what is left of 1 for the first category."""
    return np.asarray(-first[:, j - 1] if j else first.sum(axis=1))


def _part(m: int, mine: np.ndarray, pull: np.ndarray, *weights: tuple[int, float]) -> Part:
    row = np.flatnonzero(mine)
    v = np.zeros((len(row), m))
    for d, value in weights:
        v[:, d] = value
    return row, v, np.maximum(pull[row], 0.0), np.zeros(len(row), dtype=bool)


def _alone(rows: LatentRows, distribution: Distribution, first: np.ndarray, d: int) -> list[Part]:
    """Conditions on one predictor, found from the log density far out on both sides."""
    up, down = _bears(rows, distribution, d, 1.0), _bears(rows, distribution, d, -1.0)
    tied = ~up & ~down
    out = [
        _part(rows.m, up & ~down, first[:, d], (d, 1.0)),
        _part(rows.m, down & ~up, -first[:, d], (d, -1.0)),
    ]
    row, v, _, _ = _part(rows.m, tied, first[:, d], (d, 1.0))
    return [*out, (row, v, first[row, d], np.ones(len(row), dtype=bool))]


def _bears(rows: LatentRows, distribution: Distribution, d: int, sign: float) -> np.ndarray:
    """Whether the log density never falls on the way to η_d = ±∞; the same for rows with the same response."""
    obs, start, inverse = replace(rows.observations, weights=None), rows.start, None
    if obs.bounds is None and obs.censored is None:
        key = obs.y if obs.trials is None else obs.y + obs.trials * (float(obs.y.max()) + 1.0)
        _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
        obs, start = obs.take(first), start[first]
    out = _never_falls(obs, start, distribution, d, sign)
    return out if inverse is None else out[inverse]


def _never_falls(obs: Observations, start: np.ndarray, distribution: Distribution, d: int, sign: float) -> np.ndarray:
    eta = start.copy()
    before = distribution.log_density(obs, eta)
    slack = 1e-10 * (1.0 + np.abs(before))
    out = np.ones(len(obs), dtype=bool)
    for far in (0.2 * FAR, FAR):
        eta[:, d] = sign * far
        at = distribution.derivatives(obs, eta, 1)
        assert at.first is not None
        out &= np.isfinite(at.value) & (at.value >= before - slack) & (sign * at.first[:, d] >= 0.0)
        before = at.value
    return out


# --- proof that there is none --------------------------------------------------------------------------------------
def _certified(rows: LatentRows, conditions: Conditions) -> bool:
    """Whether positive weights on all conditions that sum to zero are near the scores at hand."""
    gram = np.zeros((rows.n_coefficients, rows.n_coefficients))
    total = np.zeros(rows.n_coefficients)
    weight = np.where(conditions.tied, 1.0, conditions.pull)
    parts = _parts(len(weight))
    for part in parts:
        columns = conditions.columns(rows, part)
        gram += columns.T @ (weight[part, None] * columns)
        total += columns.T @ conditions.pull[part]
    used = np.diag(gram) > 0.0
    if not used.any():
        return True
    scale = np.sqrt(np.diag(gram)[used])
    unit = gram[np.ix_(used, used)] / np.outer(scale, scale)
    if np.any(conditions.pull[~conditions.tied] <= 0.0) or np.linalg.eigvalsh(unit)[0] < 1e-10:
        return False
    step = np.zeros(len(total))
    step[used] = np.linalg.solve(unit, total[used] / scale) / scale
    free = ~conditions.tied
    return all(bool(np.all((conditions.columns(rows, part) @ step)[free[part]] < 0.5)) for part in parts)


def _parts(n: int, size: int = 200_000) -> list[slice]:
    return [slice(a, min(a + size, n)) for a in range(0, n, size)]


# --- the search ------------------------------------------------------------------------------------------------------
def _searched(rows: LatentRows, conditions: Conditions) -> Separation | None:
    fixed = np.setdiff1d(np.arange(rows.n_coefficients), [place for _, _, place in rows.constants])
    columns = conditions.columns(rows)[:, fixed]
    basis = null_space(columns[conditions.tied])
    inside = columns[~conditions.tied] @ basis
    inside[np.linalg.norm(inside, axis=1) < TIE * np.linalg.norm(columns[~conditions.tied], axis=1)] = 0.0
    found = recession(inside)
    if found is None:
        return None
    f, strict = found
    of_free = np.flatnonzero(~conditions.tied)
    stays = np.ones(len(columns), dtype=bool)
    stays[of_free[strict]] = False
    free = basis @ null_space(inside[~strict])
    direction, space = np.zeros(rows.n_coefficients), np.zeros((rows.n_coefficients, free.shape[1]))
    direction[fixed], space[fixed] = basis @ f, free
    gains = inside[strict] @ f
    direction *= FAR / float(gains.min())
    gains = gains * (FAR / float(gains.min()))
    certain, moves = _moves(rows, direction, conditions.row[of_free[strict]], gains)
    signs = _signs(rows, space, columns[of_free[strict]] @ free, direction)
    return Separation(direction, space, certain, moves, signs, bool(free.shape[1] == len(fixed)))


def null_space(a: np.ndarray) -> np.ndarray:
    """Orthonormal basis of {f: a f = 0}, by columns."""
    p = a.shape[1]
    if not len(a):
        return np.eye(p)
    size = np.sqrt((a**2).sum(axis=0))
    size[size <= TIE * size.max()] = 1.0
    values, vectors = np.linalg.eigh((a / size).T @ (a / size))
    out = vectors[:, values <= (TIE * TIE) * max(len(a), 1)] / size[:, None]
    return np.linalg.qr(out)[0] if out.shape[1] else np.zeros((p, 0))


def recession(a: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A direction f with a f ≥ 0 that is strict for as many rows as any, and these rows; None when it is zero for all.

    Found piece by piece: rows that a direction makes strict bear any other one on top of a multiple of it, so that
    only the rows that it leaves at zero are asked again.
    """
    n, p = a.shape
    f, strict = np.zeros(p), np.zeros(n, dtype=bool)
    for _ in range(p):
        left = np.flatnonzero(~strict)
        more = _one_direction(a[left])
        if more is None:
            break
        new = left[a[left] @ more > _slack(a[left], more)]
        if not len(new):
            break
        gained, lost = a[strict] @ f, a[strict] @ more
        f = f * max(1.0, 2.0 * float((-lost / gained).max(initial=0.0))) + more
        strict[new] = True
    return (f, strict) if strict.any() else None


def _one_direction(a: np.ndarray) -> np.ndarray | None:
    """f with a f ≥ 0, strict somewhere: a linear programme on some rows, that others join while they object."""
    if not a.size:
        return None
    part = _first(a)
    for _ in range(ROUNDS):
        f = _programme(a[part])
        if f is None:
            return None
        if not f.any():  # nothing to gain here: only rows that see what these do not could change that
            unseen = a @ null_space(a[part])
            wrong = np.flatnonzero(np.linalg.norm(unseen, axis=1) > TIE * np.linalg.norm(a, axis=1))
            if not len(wrong):
                return None
        else:
            margin = a @ f
            wrong = np.flatnonzero(margin < -_slack(a, f))
            if not len(wrong):
                return f
            wrong = wrong[np.argsort(margin[wrong])]
        part = np.unique(np.concatenate([part, wrong[:SET]]))
    return None


def _slack(a: np.ndarray, f: np.ndarray) -> np.ndarray:
    return np.asarray(TIE * np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(f), 1e-3))


def _first(a: np.ndarray) -> np.ndarray:
    """Rows to start with: spread evenly, and the extreme ones of every column."""
    n = len(a)
    if n <= SET:
        return np.arange(n)
    ends = [np.argsort(a[:, j])[[0, 1, -2, -1]] for j in range(min(a.shape[1], 100))]
    return np.unique(np.concatenate([np.linspace(0, n - 1, SET).astype(int), *ends]))


def _programme(a: np.ndarray) -> np.ndarray | None:
    """max Σ z with z ≤ a f, 0 ≤ z ≤ 1: z is 1 for every row that some direction makes strict."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, hstack

    n, p = a.shape
    left = hstack([csr_array(-a), eye_array(n)], format="csr")
    bounds = [(-STEEP, STEEP)] * p + [(0.0, 1.0)] * n
    cost = np.concatenate([np.zeros(p), -np.ones(n)])
    found = linprog(cost, A_ub=left, b_ub=np.zeros(n), bounds=bounds, method="highs")
    if found.x is None:
        return None
    f = np.asarray(found.x[:p])
    return f if -found.fun > 0.5 else np.zeros(p)


def _moves(
    rows: LatentRows, direction: np.ndarray, row: np.ndarray, gains: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The rows that become certain, and their linear predictors' shift by `FAR` or more in what they gain."""
    certain = np.zeros(rows.n, dtype=bool)
    certain[row] = True
    least = np.full(rows.n, np.inf)
    np.minimum.at(least, row, gains)
    moves = rows.fixed(direction) - rows.offsets
    moves[~certain] = 0.0
    moves[certain] *= (FAR / least[certain])[:, None]
    most = np.abs(moves).max(axis=1, keepdims=True)
    return certain, moves * np.minimum(1.0, 8.0 * FAR / np.maximum(most, 1.0))


def _signs(rows: LatentRows, space: np.ndarray, strict: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Where each coefficient goes: the extremes of it over all directions that separate."""
    outer = rows.to_beta @ space
    size = np.abs(rows.to_beta).sum(axis=1)
    out = np.zeros(len(outer))
    for j in np.flatnonzero(np.abs(outer).max(axis=1, initial=0.0) > 1e-9 * np.maximum(size, 1e-300)):
        low, high = (1.0, 1.0) if space.shape[1] == 1 else _extremes(outer[j], strict)
        if space.shape[1] == 1:
            out[j] = np.sign(rows.to_beta[j] @ direction)
        else:
            out[j] = np.nan if low < 0.0 < high else np.sign(low + high)
    return out


def _extremes(value: np.ndarray, strict: np.ndarray) -> tuple[float, float]:
    """Least and largest of value'f over a f ≥ 0 within a box; zero when it is rounding."""
    from scipy.optimize import linprog

    use = strict[_first(strict)]
    unit = use / np.maximum(np.abs(use).max(axis=1, keepdims=True), 1e-300)
    ends = []
    for sign in (1.0, -1.0):
        found = linprog(sign * value, A_ub=-unit, b_ub=np.zeros(len(unit)), bounds=[(-1.0, 1.0)] * len(value))
        ends.append(sign * float(found.fun) if found.fun is not None else 0.0)
    least = 1e-6 * float(np.abs(value).sum())
    low, high = (0.0 if abs(end) < least else end for end in ends)
    return low, high
