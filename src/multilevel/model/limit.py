"""The rows of a separated model at the end of the direction that separates them (`separation.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..data.latent_rows import LatentRows
from .separation import Separation


def limited(rows: LatentRows, found: Separation) -> LatentRows:
    """The rows at the end of the direction: certain ones stay so, and coefficients that nothing else needs are gone.

    Coefficients left out are zero, one for each free direction: what is left determines all others given that.
    """
    gone = _pivots(rows, found.free)
    keep = np.setdiff1d(np.arange(rows.n_coefficients), gone)
    place = {int(old): new for new, old in enumerate(keep)}
    x, places, at = [], [], 0
    for columns, old in zip(rows.x, rows.places, strict=True):
        own = [j - old.start for j in range(old.start, old.stop) if j in place]
        x.append(np.ascontiguousarray(columns[:, own]))
        places.append(slice(at, at + len(own)))
        at += len(own)
    start = np.where(found.rows[:, None], rows.offsets + found.moves, rows.start)
    lost = [(int(j), ()) for j in np.flatnonzero(found.signs != 0.0)]
    return replace(
        rows,
        x=tuple(x),
        places=tuple(places),
        offsets=rows.offsets + found.moves,
        to_beta=rows.to_beta[:, keep],
        constants=tuple((name, d, place[j]) for name, d, j in rows.constants),
        start=start,
        dropped=(*rows.dropped, *lost),
    )


def _pivots(rows: LatentRows, free: np.ndarray) -> Sequence[int]:
    """One coefficient for each free direction, slopes before intercepts and thresholds."""
    constant = np.array([not np.any(x[:, j] != x[0, j]) for x in rows.x for j in range(x.shape[1])], dtype=bool)
    chosen: list[int] = []
    rest = free.copy()
    while len(chosen) < free.shape[1]:
        size = np.abs(rest).max(axis=1)
        varying = np.where(constant, 0.0, size)  # the largest: what is kept stays as well conditioned as it was
        j = int(np.argmax(varying if varying.max() > 1e-6 * size.max() else size))
        chosen.append(j)
        turned = np.linalg.qr(rest[[j]].T, mode="complete")[0]  # the first column takes all of row j
        rest = (rest @ turned)[:, 1:]
        if rest.shape[1] == 0:
            break
    return chosen
