"""Levels of group terms: one column, or the combinations of several that occur.

A combination is kept as one integer key, code_a · L_a + code_b; further columns are folded in one at a time. Nothing of
size L_a × L_b is made when that is large: crossing 10^5 students with 10^5 items must cost what the rows cost.
"""

from __future__ import annotations

import numpy as np

from ..errors import MissingDataError, UnseenLevelError, listed, printable
from .columns import NewColumns, TrainingColumns
from .memory import combined_labels

Keys = tuple[np.ndarray, ...]


def training_levels(names: tuple[str, ...], columns: TrainingColumns) -> tuple[np.ndarray, tuple[str, ...], Keys]:
    """Codes and labels of the levels that occur, and the keys of the combinations."""
    codes, levels = columns.group(names[0])
    if len(names) == 1:
        return codes, levels, ()
    count, keys = len(levels), []
    for name in names[1:]:
        more, other = columns.group(name)
        codes, present = combine(codes, count, more, len(other))
        count = len(present)
        keys.append(present)
    return codes, combined_labels([columns.group(name)[1] for name in names], tuple(keys)), tuple(keys)


def combine(a: np.ndarray, n_a: int, b: np.ndarray, n_b: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of the combinations that occur, in order of a, then b; and their keys a · n_b + b, ascending."""
    key = a.astype(np.int64) * n_b + b
    if n_a * n_b <= max(4 * len(key), 1024):
        seen = np.zeros(n_a * n_b, dtype=bool)
        seen[key] = True
        rank = np.cumsum(seen, dtype=np.int32) - np.int32(1)
        return rank[key], np.flatnonzero(seen).astype(np.int64)
    present, codes = np.unique(key, return_inverse=True)
    return codes.astype(np.int32), present


def row_labels(names: tuple[str, ...], columns: NewColumns) -> list[str]:
    """The label of each new row's level, known or not, as the training labels are written.

    Raises
    ------
    MissingDataError
        Where a label is missing.
    """
    parts = [columns.group(name) for name in names]
    for name, (_, new, _) in zip(names, parts, strict=True):
        rows = np.flatnonzero(new < 0)
        if len(rows):
            raise MissingDataError(
                f'column "{printable(name)}" is missing in {len(rows)} rows (first row {rows[0]})',
                hint="Drop these rows, or give them a label.",
            )
    return [":".join(labels) for labels in zip(*([levels[i] for i in new] for _, new, levels in parts), strict=True)]


def new_levels(names: tuple[str, ...], columns: NewColumns, keys: Keys, unseen: str) -> np.ndarray:
    """Codes by the training levels.

    A level that was not in the training data, or a missing label, is -1 if `unseen` is ``"mark"``.

    Raises
    ------
    UnseenLevelError
        Otherwise; code E_UNSEEN_GROUP.
    """
    parts = [columns.group(name) for name in names]
    codes = parts[0][0]
    for name, (more, _, _), present in zip(names[1:], parts[1:], keys, strict=True):
        key = codes.astype(np.int64) * len(columns.memory.levels[name]) + more
        place = np.minimum(np.searchsorted(present, key), len(present) - 1)
        found = (codes >= 0) & (more >= 0) & (present[place] == key)
        codes = np.where(found, place, -1).astype(np.int32)
    if unseen == "error" and len(codes) and codes.min() < 0:
        raise _unseen(names, codes, parts)
    return codes


def _unseen(names: tuple[str, ...], codes: np.ndarray, parts: list) -> UnseenLevelError:
    """The error for new or missing labels."""
    label = printable(":".join(names))
    rows = np.flatnonzero(codes < 0)
    absent = np.any([new[rows] < 0 for _, new, _ in parts], axis=0)
    hint = 'Use target="new_group" for groups like those seen, or target="reference" for the fixed part alone.'
    if absent.any():
        message = f'group "{label}" is missing in {int(absent.sum())} rows (first row {rows[absent][0]})'
    else:
        found = dict.fromkeys(":".join(levels[new[i]] for _, new, levels in parts) for i in rows[:1000])
        message = f'group "{label}": {listed(found)} not in the training data (first row {rows[0]})'
    return UnseenLevelError(message, code="E_UNSEEN_GROUP", hint=hint, group=":".join(names))
