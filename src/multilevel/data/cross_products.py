"""Everything a Gaussian model needs of its data: cross-products by level, from rows in memory.

With columns centred and scaled (y = c + s y', X = X' T⁻¹, Z = Z' T⁻¹; exact powers of two as scales)

    [X y]'W[X y],    Z_ℓ'W Z_ℓ and Z_ℓ'W[X y] for each level ℓ,    Z_ℓ'W Z_m for levels that meet.

Subtracting a pilot centre before accumulating is what keeps the digits: naive sums lose them all on the
NIST sets with 12 constant leading digits. Rows arrive in panels that fit the cache, so memory does not
grow with the number of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import DataError, printable
from ..formula.design import Column, Design, GroupColumns

PANEL_ROWS = 8192
SMALLEST, LARGEST = 1e-140, 1e140  # spreads whose squares, and products of squares with n, are ordinary numbers


@dataclass(frozen=True)
class Shift:
    """A column's pilot centre and power-of-two scale: x' = (x − centre) / scale."""

    centre: float
    scale: float


@dataclass(frozen=True)
class FactorProducts:
    """One grouping factor with the coefficients of all its terms side by side.

    gram : (L, k, k);  cross : (L, k, p + 1);  terms : (index of the term, first, last column) of each term.
    """

    label: str
    gram: np.ndarray
    cross: np.ndarray
    terms: tuple[tuple[int, int, int], ...]

    @property
    def n_levels(self) -> int:
        return self.gram.shape[0]

    @property
    def k(self) -> int:
        return self.gram.shape[1]


@dataclass(frozen=True)
class PairProducts:
    """Z_ℓ'W Z_m of the levels (ℓ of one factor, m of another) that share rows, as CSR over ℓ."""

    start: np.ndarray
    other: np.ndarray
    block: np.ndarray


@dataclass(frozen=True)
class CrossProducts:
    """The data side of a Gaussian model, in internal (centred, scaled) coordinates.

    Attributes
    ----------
    xy : (p + 1, p + 1), [X y]'W[X y]
    factors, pairs : per grouping factor, and per pair of factors
    n : number of rows, or the sum of frequency weights
    log_weights : Σ log w (0 for frequency weights)
    y_shift : centre and scale of the response
    to_beta : (p_all, p) map of internal to external fixed effects (times the response's scale); `beta_origin` is added
    to_effects : per term, (k, k) map of internal to external coefficients
    dropped : fixed columns left out for rank deficiency, each with the columns it depends on
    centres : pilot centre of each fixed column (0 for the intercept), or None without an intercept or when the columns
        were orthogonalised
    """

    xy: np.ndarray
    factors: tuple[FactorProducts, ...]
    pairs: dict[tuple[int, int], PairProducts]
    n: float
    n_rows: int
    log_weights: float
    y_shift: Shift
    to_beta: np.ndarray
    beta_origin: np.ndarray
    log_det_x: float
    to_effects: tuple[np.ndarray, ...]
    dropped: tuple[tuple[int, tuple[int, ...]], ...] = ()
    centres: tuple[float, ...] | None = None

    @property
    def p(self) -> int:
        return self.xy.shape[0] - 1


def pilot(x: np.ndarray, centred: bool = True, name: str = "") -> Shift:
    """Mean and the power of two nearest the largest deviation; (0, largest value) when not centred.

    Raises
    ------
    DataError
        Where squares of the deviations would underflow or overflow.
    """
    from ..numerics.panel import column_range

    mean, low, high = column_range(np.ascontiguousarray(x, dtype=np.float64))
    centre = mean if centred else 0.0
    spread = max(high - centre, centre - low)
    if spread == 0.0:
        return Shift(centre, 1.0)
    if not SMALLEST < spread < LARGEST:
        size = max(abs(low), abs(high))
        raise DataError(
            f'the values of "{printable(name)}" are of size {size:.1g}: their squares are no numbers',
            code="E_SCALE",
            hint="Use other units: multiply the column by a power of ten.",
        )
    return Shift(centre, 2.0 ** float(np.round(np.log2(spread))))


UNIT = Shift(0.0, 1.0)


class _Columns:
    """Distinct panel columns: an array used by X and by several terms stands once."""

    def __init__(self) -> None:
        self.items: list[tuple[Column, Shift]] = []
        self.index: dict[tuple[int, bool], int] = {}

    def add(self, column: Column, centred: bool, name: str = "") -> int:
        key = (0 if column is None else id(column), centred and column is not None)
        if key not in self.index:
            self.index[key] = len(self.items)
            self.items.append((column, UNIT if column is None else pilot(column, centred, name)))
        return self.index[key]

    def of_term(self, group: GroupColumns) -> tuple[int, ...]:
        """The columns of a term, each on a scale of its own where the covariance is closed under that."""
        pairs = list(zip(group.columns, group.names, strict=True))
        if len(pairs) == 1 or not _one_scale(group):
            return tuple(self.add(column, _centres(group), name) for column, name in pairs)
        own = [1.0 if column is None else pilot(column, False, name).scale for column, name in pairs]
        common = Shift(0.0, 1.0 if any(column is None for column, _ in pairs) else max(own))
        return tuple(self.add(None, False) if c is None else self.append(c, common) for c, _ in pairs)

    def append(self, column: np.ndarray, shift: Shift) -> int:
        self.items.append((column, shift))
        return len(self.items) - 1


def cross_products(design: Design, rank: str = "drop") -> CrossProducts:
    """Cross-products of a design's rows; ill-conditioned fixed columns are orthogonalised on the rows first.

    Parameters
    ----------
    rank : {"drop", "raise"}
        What to do with fixed columns that are linear combinations of earlier ones.

    Raises
    ------
    RankDeficiencyError
        If `rank` is "raise" and a column is redundant.
    """
    root = None if design.weights is None and design.known_se is None else np.sqrt(_weights(design))
    response = design.response if design.offset is None else design.response - design.offset
    intercept = any(c is None for c in design.fixed_columns)
    columns = _Columns()
    x = [columns.add(c, intercept, name) for c, name in zip(design.fixed_columns, design.fixed_names, strict=True)]
    y_shift = pilot(response, intercept, design.response_name)
    y = columns.append(response, y_shift)
    terms = tuple(columns.of_term(g) for g in design.groups)
    products = _accumulate(design, columns.items, [*x, y], terms, root)
    to_beta, origin, log_det_x = _fixed_map(columns.items, x, design.fixed_columns, y_shift)
    dropped: tuple[tuple[int, tuple[int, ...]], ...] = ()
    centres = tuple(columns.items[j][1].centre for j in x) if intercept else None
    if x and _ill_conditioned(products[0]):
        from .orthogonal import orthogonalised

        basis = orthogonalised([columns.items[j] for j in x], columns.items[y], root, rank, design.fixed_names)
        centres = None
        fresh = [columns.append(q, UNIT) for q in basis.columns]
        residual = columns.append(basis.residual, UNIT)
        products = _accumulate(design, columns.items, [*fresh, residual], terms, root)
        # zero by construction: its rounding would come back multiplied by the condition number
        products[0][-1, :-1] = products[0][:-1, -1] = 0.0
        origin = (origin + y_shift.scale * (to_beta[:, basis.kept] @ basis.beta)).astype(np.float64)
        to_beta = to_beta[:, basis.kept] @ basis.inverse_r
        log_det_x = sum((float(np.log(columns.items[x[j]][1].scale)) for j in basis.kept), 0.0) + basis.log_det
        dropped = basis.dropped
    xy, factors, pairs = products
    weights = design.weights
    frequency = weights is not None and design.weights_kind == "frequency"
    n = float(weights.sum()) if frequency and weights is not None else float(design.n)
    log_weights = 0.0 if root is None or frequency else 2.0 * float(np.log(root).sum())
    return CrossProducts(
        xy=xy,
        factors=factors,
        pairs=pairs,
        n=n,
        n_rows=design.n,
        log_weights=log_weights,
        y_shift=y_shift,
        to_beta=to_beta,
        beta_origin=origin,
        log_det_x=log_det_x,
        to_effects=tuple(_effect_map(columns.items, z, g) for z, g in zip(terms, design.groups, strict=True)),
        dropped=dropped,
        centres=centres,
    )


def _weights(design: Design) -> np.ndarray:
    w = np.ones(design.n) if design.weights is None else design.weights
    return w if design.known_se is None else w / design.known_se**2


def _centres(group: GroupColumns) -> bool:
    """Centring mixes slopes into the intercept: only an unstructured covariance is closed under that."""
    return group.scale == "unstructured" and any(c is None for c in group.columns)


def _one_scale(group: GroupColumns) -> bool:
    """Whether the coefficients share one variance: then only a common factor may be taken out of their columns."""
    return group.scale == "compound_symmetry" and bool(dict(group.options).get("hom"))


def _fixed_map(
    items: Sequence[tuple[Column, Shift]], x: Sequence[int], fixed: Sequence[Column], y: Shift
) -> tuple[np.ndarray, np.ndarray, float]:
    """β = s_y T β' + origin for centred, scaled columns, and log |T⁻¹|."""
    p = len(x)
    to_beta, origin = np.zeros((p, p)), np.zeros(p)
    log_det = 0.0
    ones = [j for j, c in enumerate(fixed) if c is None]
    for j, column in enumerate(x):
        shift = items[column][1]
        to_beta[j, j] = 1.0 / shift.scale
        log_det += float(np.log(shift.scale))
        if ones and j != ones[0]:
            to_beta[ones[0], j] = -shift.centre / shift.scale
    if ones:
        origin[ones[0]] = y.centre
    return to_beta, origin, log_det


def _effect_map(items: Sequence[tuple[Column, Shift]], z: Sequence[int], group: GroupColumns) -> np.ndarray:
    """b = T b' for one term."""
    k = len(z)
    back = np.zeros((k, k))
    ones = [j for j, c in enumerate(group.columns) if c is None]
    for j, column in enumerate(z):
        shift = items[column][1]
        back[j, j] = 1.0 / shift.scale
        if ones and j != ones[0]:
            back[ones[0], j] = -shift.centre / shift.scale
    return back


def _panels(
    items: Sequence[tuple[Column, Shift]], n: int, root: np.ndarray | None
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Slices of rows as dense (rows, columns) panels, centred, scaled and weighted."""
    for start in range(0, max(n, 1), PANEL_ROWS):
        stop = min(start + PANEL_ROWS, n)
        panel = np.empty((stop - start, len(items)))
        for j, (column, shift) in enumerate(items):
            if column is None:
                panel[:, j] = 1.0
            else:
                np.subtract(column[start:stop], shift.centre, out=panel[:, j])
                if shift.scale != 1.0:
                    panel[:, j] /= shift.scale
        if root is not None:
            panel *= root[start:stop, None]
        yield start, stop, panel


def _accumulate(
    design: Design,
    items: Sequence[tuple[Column, Shift]],
    x: Sequence[int],
    terms: Sequence[Sequence[int]],
    root: np.ndarray | None,
) -> tuple[np.ndarray, tuple[FactorProducts, ...], dict[tuple[int, int], PairProducts]]:
    """One pass over the rows."""
    xi = np.array(x, dtype=np.int64)
    if not design.groups:
        xy = np.zeros((len(xi), len(xi)))
        for _, _, panel in _panels(items, design.n, root):
            part = panel[:, xi]
            xy += part.T @ part
        return xy, (), {}
    from ..numerics import gram as kernels
    from ..numerics.grouping import meeting_pairs

    merged = _merge(design.groups, terms)
    sizes = [len(design.groups[m.first].levels) for m in merged]
    codes = [np.require(design.groups[m.first].codes, np.int32, ["C", "W"]) for m in merged]
    grams = [np.zeros((n, len(m.z), len(m.z))) for n, m in zip(sizes, merged, strict=True)]
    crosses = [np.zeros((n, len(m.z), len(xi))) for n, m in zip(sizes, merged, strict=True)]
    meetings = {}
    for i in range(len(merged)):
        for j in range(i + 1, len(merged)):
            a, b = (i, j) if sizes[i] * len(merged[i].z) >= sizes[j] * len(merged[j].z) else (j, i)
            start, other, pair = meeting_pairs(codes[a], codes[b], sizes[a], sizes[b])
            block = np.zeros((len(other), len(merged[a].z), len(merged[b].z)))
            meetings[a, b] = (start, other, pair, block)
    xy = np.zeros((len(xi), len(xi)))
    for start_row, stop, panel in _panels(items, design.n, root):
        part = np.ascontiguousarray(panel[:, xi])
        xy += part.T @ part
        for m, code, g, c in zip(merged, codes, grams, crosses, strict=True):
            kernels.add_levels(panel, code[start_row:stop], m.z, xi, g, c)
        for (a, b), (_, _, pair, block) in meetings.items():
            kernels.add_pairs(panel, pair[start_row:stop], merged[a].z, merged[b].z, block)
    for g in grams:
        kernels.mirror(g)
    factors = tuple(FactorProducts(m.label, g, c, m.terms) for m, g, c in zip(merged, grams, crosses, strict=True))
    return xy, factors, {key: PairProducts(s, o, block) for key, (s, o, _, block) in meetings.items()}


@dataclass(frozen=True)
class _Merged:
    """Terms over the same factor, their columns side by side."""

    label: str
    first: int
    z: np.ndarray
    terms: tuple[tuple[int, int, int], ...]


def _merge(groups: Sequence[GroupColumns], terms: Sequence[Sequence[int]]) -> list[_Merged]:
    by_label: dict[str, list[int]] = {}
    for t, group in enumerate(groups):
        by_label.setdefault(group.label, []).append(t)
    merged = []
    for label, members in by_label.items():
        z: list[int] = []
        places = []
        for t in members:
            places.append((t, len(z), len(z) + len(terms[t])))
            z.extend(terms[t])
        merged.append(_Merged(label, members[0], np.array(z, dtype=np.int64), tuple(places)))
    return merged


def _ill_conditioned(xy: np.ndarray) -> bool:
    """Whether a fixed column, or y, is within 1e-2 (as a root share) of the span of the columns before it.

    At that share the cross-products have lost four digits; Wampler's polynomials lose nine on the way.
    """
    work = xy.copy()
    for j in range(len(work)):
        if xy[j, j] <= 0.0 or work[j, j] <= 1e-4 * xy[j, j]:
            return True
        work[j + 1 :, j + 1 :] -= np.outer(work[j + 1 :, j], work[j, j + 1 :]) / work[j, j]
    return False
