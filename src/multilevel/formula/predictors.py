"""The columns of all linear predictors side by side (see `layout.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .coding import model_columns
from .columns import Columns
from .formula import Expression, Formula, GroupTerm, Part, Terms
from .layout import Layout
from .records import Column


@dataclass(frozen=True)
class _Block:
    """The columns of one predictor: its index, the prefix of its names, and what describes it."""

    predictor: int
    prefix: str
    fixed: Terms
    groups: tuple[GroupTerm, ...]
    offsets: tuple[Expression, ...]


def blocks(formula: Formula, layout: Layout) -> list[_Block]:
    """One block for each predictor with a formula, locations first."""
    several = len(layout.locations) > 1
    main: Formula | Part = formula
    out = [
        _Block(d, f"{name}_" if several else "", main.fixed, main.groups, main.offsets)
        for d, name in enumerate(layout.locations)
    ]
    names = layout.names
    out += [_Block(names.index(p.name), f"{p.name}_", p.fixed, p.groups, p.offsets) for p in formula.further]
    return out


def fixed_columns(
    formula: Formula, layout: Layout, columns: Columns
) -> tuple[tuple[str, ...], tuple[Column, ...], np.ndarray]:
    """Names, columns and predictor of every fixed coefficient: thresholds, locations, then further predictors."""
    names: list[str] = list(layout.thresholds)
    values: list[Column] = [None] * len(names)
    owner = [layout.names.index(name) for name in names]
    for block in blocks(formula, layout):
        location = block.predictor < len(layout.locations)
        # thresholds are the intercept: factors keep the coding they have beside one
        fixed = replace(block.fixed, intercept=True) if layout.ordered and location else block.fixed
        own, arrays = model_columns(fixed, columns)
        for name, array in zip(own, arrays, strict=True):
            if layout.ordered and location and array is None:
                continue
            names.append(block.prefix + name)
            values.append(array)
            owner.append(block.predictor)
    return tuple(names), tuple(values), np.array(owner, dtype=np.int64)


def group_terms(formula: Formula, layout: Layout) -> list[tuple[int, str, GroupTerm]]:
    """(predictor, prefix of coefficient names, term) of every group term, locations first."""
    return [(b.predictor, b.prefix, term) for b in blocks(formula, layout) for term in b.groups]


def offset_expressions(formula: Formula, layout: Layout) -> list[Sequence[Expression]]:
    """The offsets in the formula of every predictor, in the order of η's columns."""
    out: list[Sequence[Expression]] = [()] * len(layout.names)
    for block in blocks(formula, layout):
        out[block.predictor] = block.offsets
    return out
