"""What a design remembers of its training rows: enough to build the same columns for new ones, and JSON-able."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .formula import Formula
from .layout import Layout


@dataclass(frozen=True)
class DesignMemory:
    """Facts learned from the training rows.

    Parameters
    ----------
    formula : Formula
        What was built.
    kinds : mapping
        Column → ``table.kind`` of bare names in the fixed part and left of the bars.
    levels : mapping
        Column → labels that occurred, in order.
    transforms : mapping
        Text of a call → memory of its transform.
    crossed : mapping
        ``"a:b"`` → int64 keys of the combinations that occurred, ascending (see `groups.combine`).
    weights, offset : str or None
        Column given beside the formula.
    offset_array : bool
        An array was given as offset: new rows need one too.
    layout : Layout
        The linear predictors.
    """

    formula: Formula
    kinds: Mapping[str, str]
    levels: Mapping[str, tuple[str, ...]]
    transforms: Mapping[str, Any]
    crossed: Mapping[str, tuple[np.ndarray, ...]]
    weights: str | None = None
    offset: str | None = None
    offset_array: bool = False
    layout: Layout = field(default_factory=Layout)
    _labels: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _places: dict[str, dict[str, int]] = field(default_factory=dict, repr=False, compare=False)

    def place(self, name: str) -> dict[str, int]:
        """Label → code of a column; made once, because a million labels take a while."""
        if name not in self._places:
            self._places[name] = {level: i for i, level in enumerate(self.levels[name])}
        return self._places[name]

    def labels(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Labels of the levels of a group term, joined with ``:`` for combinations."""
        key = ":".join(names)
        if len(names) == 1:
            return self.levels[key]
        if key not in self._labels:
            self._labels[key] = combined_labels([self.levels[name] for name in names], self.crossed[key])
        return self._labels[key]

    def to_dict(self) -> dict[str, Any]:
        """Numbers, strings, lists and dictionaries only."""
        return {
            "formula": str(self.formula),
            "kinds": dict(self.kinds),
            "levels": {name: list(levels) for name, levels in self.levels.items()},
            "transforms": dict(self.transforms),
            "crossed": {label: [k.tolist() for k in keys] for label, keys in self.crossed.items()},
            "weights": self.weights,
            "offset": self.offset,
            "offset_array": self.offset_array,
            "layout": self.layout.to_dict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> DesignMemory:
        """The inverse of `to_dict`."""
        from .grammar import parse

        return cls(
            formula=parse(record["formula"]),
            kinds=dict(record["kinds"]),
            levels={name: tuple(levels) for name, levels in record["levels"].items()},
            transforms=dict(record["transforms"]),
            crossed={
                label: tuple(np.array(k, dtype=np.int64) for k in keys) for label, keys in record["crossed"].items()
            },
            weights=record["weights"],
            offset=record["offset"],
            offset_array=record["offset_array"],
            layout=Layout.from_dict(record.get("layout")),
        )


def combined_labels(levels: list[tuple[str, ...]], keys: tuple[np.ndarray, ...]) -> tuple[str, ...]:
    """``a:b`` for each key a · L_b + b, column after column."""
    labels = levels[0]
    for other, present in zip(levels[1:], keys, strict=True):
        left, right = np.divmod(present, len(other))
        labels = tuple(f"{labels[i]}:{other[j]}" for i, j in zip(left.tolist(), right.tolist(), strict=True))
    return labels
