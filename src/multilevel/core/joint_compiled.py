"""The joint posterior as compiled code takes it: its arrays laid out once, for models whose every part has a kernel.

Which these are is decided by names: the family's row terms (`numerics/scores.py`), and what `compiled.py` says of
priors. All other models are evaluated by `joint.py`, which is also the test of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .compiled import Compiled, of_priors, of_terms

if TYPE_CHECKING:
    from .joint import JointPosterior


def compiled(target: JointPosterior) -> Compiled | None:
    """The compiled form of a posterior; None where a part of it has none."""
    from ..numerics.joint import FIELDS, gradient

    rows, priors = _likelihood(target), of_priors(target.coordinates)
    if rows is None or priors is None:
        return None
    terms = of_terms(target.coordinates, target.factors, target.inside)
    constants = [part.pop("constant") for part in (rows, priors, terms)]
    counts = np.array([target.coordinates.coefficients.start, rows.pop("code"), target.tail is not None], np.int64)
    given = {
        "counts": counts, "constant": np.array([sum(constants)]), **rows, **priors, **terms, **_places(target),
        **_quadratic(target), **_columns(target),
    }  # fmt: skip
    given |= _work(target, given)
    return Compiled(gradient, {name: given[name] for name in FIELDS}, target.d)


# --- parts ---------------------------------------------------------------------------------------------------------
def _likelihood(target: JointPosterior) -> dict[str, Any] | None:
    """Code, y, sizes and constants of the rows."""
    from ..numerics import further_scores, scores
    from .row_terms import kernel_of

    first, _, _ = target.rows.tiled(1)
    constant, order = target.rows.rows.log_constant, _order(target)
    if first.code >= 0:
        return {"code": first.code, "y": first.y[order], "size": first.weights[order], "constant": constant}
    name = kernel_of(target.model.distribution, first.obs)
    if name in scores.ALONE and first.terms.compiled:
        own = first.terms
        constant += float(own.constants.sum())
        return {"code": scores.ALONE[name], "y": own.y[order], "size": own.size[order], "constant": constant}
    obs, distribution = first.obs, target.model.distribution
    code = further_scores.CODES.get((distribution.family.name, distribution.links), -1)
    if code < 0 or not (obs.precision is None and obs.censored is None and obs.bounds is None and obs.trials is None):
        return None
    return {"code": code, "y": first.y[order], "size": first.weights[order], "constant": constant}


def _places(target: JointPosterior) -> dict[str, np.ndarray]:
    """Where coordinates stand, and the map of the outer ones."""
    a = target.anchor
    return {
        "mode": a.z, "outer": a.outer, "inner": a.inner, "mixed": target.mixed, "root": a.root, "centre": a.centre,
        "spread": a.spread.reshape(target.p, target.p), "beside": np.array(target.beside, np.int64),
    }  # fmt: skip


def _quadratic(target: JointPosterior) -> dict[str, np.ndarray]:
    """Factors and what the quadratic says of them; T, G and r with what depends on λ left open."""
    lead, tail, a = len(target.mixed), target.tail, target.anchor
    table, ends = [], np.zeros(4, np.int64)
    for j, (levels, k) in enumerate(target.shapes):
        led = j in target.led
        table.append((levels, k, ends[0], int(led), *ends[1:]))
        ends += (levels * k, levels * k * k, levels * k * (lead + 1) if led else 0, k * k)
    sides = a.t if tail is None else (np.concatenate([tail.C, np.zeros_like(tail.E), tail.t[:, :, None]], axis=2),)
    G, r = np.eye(lead), np.zeros(lead)
    out = {"factors": np.array(table, np.int64).reshape(-1, 7), "A": _flat(a.A), "T": _flat(sides), "G": G, "r": r}
    if tail is None:
        return out | {"E": np.zeros((0, 0, 0)), "D": np.zeros((0, 0)), "B": np.zeros((0, 0)), "linear": np.zeros(0)}
    G[: tail.p, : tail.p], r[: tail.p] = tail.G, tail.r
    return out | {"E": tail.E, "D": tail.D, "B": tail.B, "linear": tail.linear}


def _columns(target: JointPosterior) -> dict[str, np.ndarray]:
    """Columns of the rows, contiguous each, and which effect belongs to which."""
    rows = target.rows
    _, base, z = rows.tiled(1)
    x, owner = rows.rows.all_columns
    n, which = rows.rows.n, np.array(rows.which, np.int64)
    order = _order(target)
    return {
        "X": x[order].T, "X_owner": owner, "offsets": rows.rows.offsets[order].ravel(),
        "Z": np.zeros((0, n)) if z is None else z[order].T,
        "base": np.zeros((0, n), np.int64) if z is None else base[order].T, "start": rows.first,
        "owner": which[rows.owner],
    }  # fmt: skip


def _order(target: JointPosterior) -> np.ndarray:
    """Rows by their leading level, so that sums by level run through."""
    if not target.factors:
        return np.arange(target.rows.rows.n)
    return np.argsort(target.factors[max(target.anchor.lead, 0)].codes, kind="stable")


def _work(target: JointPosterior, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What every point overwrites."""
    n, m = target.rows.rows.n, target.rows.rows.m
    lead, q, q_tail, d = len(target.mixed), target.rows.q, len(given["linear"]), len(given["mode"])
    of_lam, wide = sum(k * k for _, k in target.shapes), len(given["T"])
    shapes: dict[str, int | tuple[int, ...]] = {
        "z": d, "by_z": d, "lam": of_lam, "by_lam": of_lam, "by_T": wide, "R": len(given["A"]), "Y": wide,
        "K": (lead, lead), "h": lead, "c": lead, "noise": lead, "by_c": lead, "by_noise": lead, "by_G": (lead, lead),
        "by_r": lead, "BL": (q_tail, q_tail), "u": q, "b": q, "by_b": q, "eta": (n, m), "value": n, "first": (n, m),
    }  # fmt: skip
    return {name: np.zeros(shape) for name, shape in shapes.items()}


def _flat(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.ravel(a) for a in arrays]) if arrays else np.zeros(0)
