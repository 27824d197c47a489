"""Whether one model is a special case of another, and what the larger one has more.

Both must describe the same rows and the same response. Fixed parts are compared by the spans of their columns; every
group term of the smaller model must stand within a term over the same levels of the larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..core.likelihood import Likelihood
from ..errors import SettingError, printable
from ..model.describe import formula_text
from ..predictions.targets import matrix

if TYPE_CHECKING:
    from ..formula.design import Column, Design, GroupColumns
    from ..model.model import Model

INSIDE = 1e-8  # share of a column outside a span that counts as rounding


@dataclass(frozen=True)
class Difference:
    """What the larger model has more.

    Parameters
    ----------
    fixed : int
        Fixed effects.
    variances : int
        Coefficients that vary by group in the larger model only: each is a variance on the boundary.
    covariances : int
        Further parameters of covariances, inside their range.
    structured : bool
        Whether a covariance structure other than diagonal and unstructured changes.
    """

    fixed: int
    variances: int
    covariances: int
    structured: bool = False

    @property
    def inside(self) -> int:
        """Parameters that are not on a boundary."""
        return self.fixed + self.covariances


def same_data(models: Sequence[Model]) -> None:
    """Refuse models of different rows, responses, weights or offsets.

    Raises
    ------
    SettingError
        With code E_NOT_COMPARABLE.
    """
    first = models[0].design
    for model in models[1:]:
        other = model.design
        if other.n != first.n or not _same_rows(first, other):
            why = f"one uses {first.n} rows, the other {other.n}" if other.n != first.n else "they use different rows"
            hint = "Drop the rows with missing values in any of the columns first, so that every model gets the same."
            raise _refusal(models[0], model, why, hint)
        if other.response_name != first.response_name or not np.array_equal(other.response, first.response):
            hint = "Likelihoods of different responses, or of transformed ones, say nothing about each other."
            raise _refusal(models[0], model, "their responses differ", hint)
        for name in ("weights", "known_se"):
            if not _equal(getattr(first, name), getattr(other, name)):
                raise _refusal(models[0], model, f"their {name.replace('_', ' ')} differ", "Use the same in both.")
        if first.weights_kind != other.weights_kind and first.weights is not None:
            raise _refusal(models[0], model, "their weights mean different things", "Use the same in both.")
        _same_measure(models[0], model)


def same_family(models: Sequence[Model]) -> None:
    """Refuse models of different families or links: none is a special case of another inside its range.

    Raises
    ------
    SettingError
        With code E_NOT_COMPARABLE.
    """
    first = models[0]
    for model in models[1:]:
        if (model.family, model.link) != (first.family, first.link) or model.is_linear != first.is_linear:
            raise _refusal(
                first, model, f"one is {_family(first)}, the other {_family(model)}",
                "A likelihood-ratio test needs nested models; compare() ranks families of one response by AIC.",
            )  # fmt: skip


def _family(model: Model) -> str:
    return (
        f"{model.family} ({model.link})"
        if model.is_linear
        else f"{model.family} ({', '.join(model.distribution.links)})"
    )


def _same_measure(a: Model, b: Model) -> None:
    """Refuse a probability beside a density, and different trials, censoring or truncation."""
    discrete = [m.distribution.family.discrete for m in (a, b)]
    if discrete[0] != discrete[1]:
        why = "one family gives probabilities, the other densities"
        raise _refusal(a, b, why, "Likelihoods compare between families of the same kind: counts, or amounts.")
    if a.is_linear and b.is_linear:
        return
    one, other = a.observations, b.observations
    for name in ("trials", "censored", "upper"):
        if not _equal(getattr(one, name), getattr(other, name)):
            raise _refusal(a, b, f"their {name} differ", "Use the same response in both.")
    ends = [m.bounds or (None, None) for m in (one, other)]
    if not all(_equal(x, y) for x, y in zip(*ends, strict=True)):
        raise _refusal(a, b, "their truncation differs", "Use the same response in both.")


def _refusal(a: Model, b: Model, why: str, hint: str) -> SettingError:
    return SettingError(
        f'"{printable(formula_text(a))}" and "{printable(formula_text(b))}" cannot be compared: {why}',
        code="E_NOT_COMPARABLE",
        hint=hint,
    )


def _same_rows(a: Design, b: Design) -> bool:
    return a.n_rows_given == b.n_rows_given and _equal(a.kept, b.kept)


def _equal(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return a is b or (a is not None and b is not None and np.array_equal(a, b))


def difference(small: Model, large: Model) -> Difference:
    """What `large` has more than `small`.

    Raises
    ------
    SettingError
        When `small` is no special case of `large`.
    """
    fixed = _fixed_difference(small, large) if small.is_linear else _by_predictor(small, large)
    if fixed is None:
        raise _not_nested(small, large, "the fixed part of the first is not within that of the second")
    places = [_container(group, large.design.groups) for group in small.design.groups]
    for group, place in zip(small.design.groups, places, strict=True):
        if place is None:
            what = f'the group term of "{printable(group.label)}" is not within one of the second'
            raise _not_nested(small, large, what)
    variances = _coefficients(large.design) - _coefficients(small.design)
    more = _parameters(large) - _parameters(small) - variances
    if variances < 0 or more < 0:
        raise _not_nested(small, large, "the second has fewer parameters")
    structured = _structure_changes(small, large, [place for place in places if place is not None])
    return Difference(fixed, variances, more, structured)


def _not_nested(small: Model, large: Model, why: str) -> SettingError:
    return SettingError(
        f'"{printable(formula_text(small))}" is no special case of "{printable(formula_text(large))}": {why}',
        code="E_NOT_COMPARABLE",
        hint="A likelihood-ratio test needs nested models; compare() ranks any by AIC, cAIC and leave-out scores.",
    )


def _coefficients(design: Design) -> int:
    return sum(len(g.names) for g in design.groups)


def _parameters(model: Model) -> int:
    return sum(len(scale.kinds()) for scale in model.scales)


def _fixed_difference(small: Model, large: Model) -> int | None:
    """Rank of the larger fixed part less that of the smaller; None when it does not contain it."""
    if _same_columns(small, large) and _equal(small.design.offset, large.design.offset):
        return 0
    a, b = (_unit_columns(m.design.fixed_columns, m.design.n) for m in (small, large))
    shift = _offset_shift(small.design, large.design)
    inside = a if shift is None else np.column_stack([a, shift])
    if not inside.shape[1]:
        return _rank(b)
    basis = _basis(b)
    outside = inside - basis @ (basis.T @ inside)
    if np.any(np.linalg.norm(outside, axis=0) > INSIDE):
        return None
    return basis.shape[1] - _rank(a)


def _by_predictor(small: Model, large: Model) -> int | None:
    """The same of generalized models: predictor by predictor, a constant as a column of ones."""
    total = 0
    for d in range(len(small.distribution.links)):
        parts = [_predictor_part(model, d) for model in (small, large)]
        found = _fixed_difference(*parts)  # type: ignore[arg-type]
        if found is None:
            return None
        total += found
    return total


@dataclass(frozen=True)
class _Part:
    """One predictor of a model, in the place of a model."""

    design: Design


def _predictor_part(model: Model, d: int) -> _Part:
    design = model.design
    columns = tuple(c for c, at in zip(design.fixed_columns, design.fixed_predictor, strict=True) if at == d)
    if (not columns and d >= len(design.layout.locations)) or (design.layout.ordered and d == 0):
        columns = (None, *columns)  # a constant, or the thresholds
    offset = design.offsets[d] if design.offsets else None
    return _Part(replace(design, fixed_columns=columns, offset=offset))


def _same_columns(small: Model, large: Model) -> bool:
    a, b = small.design.fixed_columns, large.design.fixed_columns
    return len(a) == len(b) and all(_equal(x, y) for x, y in zip(a, b, strict=True))


def _offset_shift(a: Design, b: Design) -> np.ndarray | None:
    """Difference of two offsets, which must lie within the larger fixed part; None when they are equal."""
    zero = np.zeros(a.n)
    shift = (zero if a.offset is None else a.offset) - (zero if b.offset is None else b.offset)
    size = float(np.linalg.norm(shift))
    return shift / size if size > 0.0 else None


def _unit_columns(columns: Sequence[Column], n: int) -> np.ndarray:
    out = matrix(tuple(columns), n)
    norms = np.linalg.norm(out, axis=0)
    return np.asarray(out / np.where(norms > 0.0, norms, 1.0))


def _basis(columns: np.ndarray) -> np.ndarray:
    """Orthonormal basis of a span."""
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(u[:, s > 1e-10 * max(float(s[0]), 1e-300)]) if len(s) else u


def _rank(columns: np.ndarray) -> int:
    return int(_basis(columns).shape[1]) if columns.shape[1] else 0


# --- group terms -------------------------------------------------------------------------------------------------
def _container(group: GroupColumns, others: Sequence[GroupColumns]) -> int | None:
    """The term of the larger model that holds a term of the smaller one."""
    for place, other in enumerate(others):
        if group.predictor == other.predictor and _same_levels(group, other) and _holds(other, group):
            return place
    return None


def _same_levels(a: GroupColumns, b: GroupColumns) -> bool:
    if len(a.levels) != len(b.levels):
        return False
    seen = np.full(len(a.levels), -1, dtype=np.int64)
    seen[a.codes] = b.codes
    return bool(np.all(seen[a.codes] == b.codes)) and len(np.unique(seen)) == len(b.levels)


def _holds(other: GroupColumns, group: GroupColumns) -> bool:
    for name, column in zip(group.names, group.columns, strict=True):
        if name not in other.names or not _equal(column, other.columns[other.names.index(name)]):
            return False
    if len(group.names) == 1 or other.scale == "unstructured":
        return True
    if group.scale == other.scale == "diagonal":
        return True
    return group.scale == other.scale and len(group.names) == len(other.names) and group.options == other.options


def _structure_changes(small: Model, large: Model, places: Sequence[int]) -> bool:
    """Whether a compound-symmetric term of the larger model has no equal in the smaller one."""
    kept = {place for place, group in zip(places, small.design.groups, strict=True) if _equal_term(large, place, group)}
    return any(
        group.scale not in ("unstructured", "diagonal") and len(group.names) > 1 and place not in kept
        for place, group in enumerate(large.design.groups)
    ) or any(
        group.scale not in ("unstructured", "diagonal") and len(group.names) > 1 and place not in kept
        for place, group in zip(places, small.design.groups, strict=True)
    )


def _equal_term(large: Model, place: int, group: GroupColumns) -> bool:
    other = large.design.groups[place]
    return group.scale == other.scale and group.names == other.names and group.options == other.options


def volume(likelihood: Likelihood) -> float:
    """log |X'WX| in the units of the data: what a restricted likelihood owes to the choice of columns."""
    p = likelihood.products.p
    if not p:
        return 0.0
    return float(np.linalg.slogdet(likelihood.products.xy[:p, :p])[1]) + 2.0 * likelihood.products.log_det_x
