"""Estimates of separate generalized linear models, in the units of the data; found by `core/separate_likelihood.py`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.absorb import absorb
from ..core.own_groups import COLLINEAR
from ..core.panels import Panels
from ..core.projection import Coefficients, LevelProjector
from ..core.separate_likelihood import SeparateLikelihood, separate_fit
from ..families.base import Distribution
from ..formula.design import Design
from .estimates import Estimates
from .least_squares import LeastSquaresCertainty, descriptive_covariance

if TYPE_CHECKING:
    from ..model.model import Model


class SeparateCertainty(LeastSquaresCertainty):
    """Around separate maximum-likelihood fits; normal approximations, and nothing for what has no maximum."""

    def __init__(self, linear: SeparateLikelihood, distribution: Distribution, constants: dict[str, int]) -> None:
        effects = tuple(linear.effects[:, a:b] for a, b in linear.terms)
        covariances = tuple(map(between, effects))
        super().__init__(linear, linear.beta, effects, covariances, 1.0, float("inf"))
        self.distribution, self.places = distribution, constants

    def sd_intervals(self, level: float) -> tuple[list[list[tuple[float, float]]], tuple[float, float]]:
        nowhere = (float("nan"), float("nan"))
        return super().sd_intervals(level)[0], nowhere

    def sd_errors(self) -> tuple[list[list[float]], float]:
        return super().sd_errors()[0], float("nan")

    def constants(self, level: float) -> dict[str, tuple[float, float, float, float]]:
        from scipy.special import ndtri

        linear: Any = self.linear
        half, out = float(ndtri(0.5 + level / 2.0)), {}
        for name, place in self.places.items():
            centre, error = float(linear.fit.c[place]), float(np.sqrt(linear.inverse[place, place]))
            link = self.distribution.links[parameter(self.distribution, name)]
            step = 1e-5 * max(1.0, abs(centre))
            at, low, high, up, down = (
                self.distribution.family.natural(name, value, link)
                for value in (centre, centre - half * error, centre + half * error, centre + step, centre - step)
            )
            for key in at:
                slope = abs(up[key] - down[key]) / (2.0 * step)
                ends = sorted((low[key], high[key]))
                out[key] = (at[key], slope * error, ends[0], ends[1])
        return out

    def draw(self, n: int, rng: np.random.Generator) -> Mapping[str, Any]:
        found = dict(super().draw(n, rng))
        del found["sigma"]
        return {**found, "constants": {k: np.full(n, v[0]) for k, v in self.constants(0.5).items()}}


def between(effects: np.ndarray) -> np.ndarray:
    """Sample covariance of the levels with finite coefficients."""
    return descriptive_covariance(np.where(np.isfinite(effects).all(axis=1, keepdims=True), effects, np.nan))


def parameter(distribution: Distribution, name: str) -> int:
    """Place of a further parameter among the predictors (families with constants have one location)."""
    return 1 + [p.name for p in distribution.family.further].index(name)


@dataclass(frozen=True)
class _Common:
    """The common columns: values, predictor, fixed effect (−1 for constants), centre and scale of each."""

    x: np.ndarray
    owner: np.ndarray
    fixed: np.ndarray
    centre: np.ndarray
    scale: np.ndarray
    constants: dict[str, int]
    absorbed: tuple[int, ...]
    redundant: tuple[int, ...]


def separate_likelihood(
    model: Model, levels: Coefficients, own: dict[int, int]
) -> tuple[SeparateLikelihood, Any, bool]:
    """The fit, its common columns, and whether it converged.

    Parameters
    ----------
    own : position among the group coefficients → the same column among the fixed ones
    """
    design, distribution = model.design, model.distribution
    owner = np.array([g.predictor for g in design.groups for _ in g.names], dtype=np.int64)
    common = _common(model, levels, owner, own)
    z = np.stack([np.ones(design.n) if c is None else c for c in levels.columns], axis=1)
    panels = Panels(distribution, model.observations, z, owner, levels.codes.astype(np.int64), levels.n_levels, False)
    offsets = np.zeros((design.n, len(distribution.links)))
    for d, offset in enumerate(design.offsets):
        if offset is not None:
            offsets[:, d] = offset
    with np.errstate(all="ignore"):
        begin = distribution.start(model.observations)
        start = np.array([begin[:, d].mean() if p < 0 or design.fixed_columns[p] is None else 0.0
                          for d, p in zip(common.owner, common.fixed, strict=True)])  # fmt: skip
        found = separate_fit(panels, common.x, common.owner, offsets, start)
    return _in_units(design, found, common, levels, own, owner), common, found.converged


def _common(model: Model, levels: Coefficients, owner: np.ndarray, own: dict[int, int]) -> _Common:
    design, layout = model.design, model.design.layout
    at = design.fixed_predictor
    dropped = {j for j, _ in model.dropped}
    kept, absorbed, redundant = [], [], []
    for d in range(len(model.distribution.links)):
        mine = [j for j in range(len(design.fixed_names)) if at[j] == d and j not in own.values()]
        if d in owner:
            found = _net(design, levels, owner == d, mine)
            kept += found.kept
            absorbed += found.absorbed
            redundant += found.redundant
        else:
            kept += [j for j in mine if j not in dropped]
            redundant += [j for j in mine if j in dropped]
    columns = [design.fixed_columns[j] for j in kept]
    intercepts = {int(owner[i]) for i, j in own.items() if levels.columns[i] is None}
    if layout.ordered and any(levels.columns[i] is None for i in range(levels.k)):
        intercepts.add(0)
    x = np.ones((design.n, len(kept)))
    centre, scale = np.zeros(len(kept)), np.ones(len(kept))
    for i, (j, column) in enumerate(zip(kept, columns, strict=True)):
        if column is not None:
            centre[i] = column.mean() if int(at[j]) in intercepts else 0.0
            scale[i] = np.sqrt(np.mean((column - centre[i]) ** 2)) or 1.0
            x[:, i] = (column - centre[i]) / scale[i]
    predicted = {int(v) for v in at}
    alone = [(name, d) for d, name in enumerate(layout.names) if d >= len(layout.locations) and d not in predicted]
    alone = [(name, d) for name, d in alone if d not in owner]
    fixed = np.array([*kept, *[-1] * len(alone)], dtype=np.int64)
    ones = np.ones((design.n, len(alone)))
    constants = {name: len(kept) + i for i, (name, _) in enumerate(alone)}
    return _Common(
        np.concatenate([x, ones], axis=1),
        np.array([*(int(at[j]) for j in kept), *(d for _, d in alone)], np.int64),
        fixed,
        np.append(centre, np.zeros(len(alone))),
        np.append(scale, np.ones(len(alone))),
        constants,
        tuple(absorbed),
        tuple(redundant),
    )  # fmt: skip


def _net(design: Design, levels: Coefficients, mine: np.ndarray, candidates: Sequence[int]) -> Any:
    """Which columns of a predictor have variation that its group coefficients leave."""
    places = np.flatnonzero(mine)
    columns = tuple(levels.columns[i] for i in places)
    part = Coefficients(
        columns, tuple(levels.names[i] for i in places), levels.codes, levels.n_levels, ((0, len(places)),)
    )
    ones = np.ones(design.n)
    return absorb(design.fixed_columns, list(candidates), np.zeros(design.n), ones, LevelProjector(part, ones))


def _in_units(
    design: Design, found: Any, common: _Common, levels: Coefficients, own: dict[int, int], owner: np.ndarray
) -> SeparateLikelihood:
    """Maps from what was fitted to fixed effects and group effects."""
    n_fixed, k = len(design.fixed_names), levels.k
    to_beta, of_mean, centred = np.zeros((n_fixed, len(common.fixed))), np.zeros((n_fixed, k)), np.zeros((k, k))
    for i, j in enumerate(common.fixed):
        if j >= 0:
            to_beta[j, i] = 1.0 / common.scale[i]
    for i, j in own.items():
        of_mean[j, i] = centred[i, i] = 1.0
        if levels.columns[i] is None:
            same = common.owner == owner[i]
            to_beta[j, same] -= (common.centre / common.scale)[same]
    intercept = next((i for i in range(k) if levels.columns[i] is None and owner[i] == 0), None)
    if design.layout.ordered and intercept is not None:  # thresholds less the mean of the groups' intercepts
        centred[intercept, intercept] = 1.0
        for j in np.flatnonzero([name in design.layout.thresholds for name in design.fixed_names]):
            of_mean[j, intercept] = -1.0
            same = common.owner == 0
            to_beta[j, same] += (common.centre / common.scale)[same]
    of_mean[[*common.absorbed, *common.redundant]] = np.nan
    finite = found.groups.finite
    omega = finite / max(int(finite.sum()), 1)
    return SeparateLikelihood(found, to_beta, of_mean, centred, omega, levels.terms)


def separate_estimates(
    model: Model,
    linear: SeparateLikelihood,
    common: Any,
    converged: bool,
    warnings: Sequence[Any],
    notes: Mapping[str, Any],
) -> Estimates:
    """Estimates of separate fits."""
    distribution, found = model.distribution, linear.fit
    certainty = SeparateCertainty(linear, distribution, common.constants)
    constants = {name: float(found.c[place]) for name, place in common.constants.items()}
    dispersion: dict[str, float] = {}
    for name, value in constants.items():
        dispersion.update(distribution.family.natural(name, value, distribution.links[parameter(distribution, name)]))
    spare = len(found.c) - int(
        np.linalg.matrix_rank(found.information, tol=COLLINEAR * np.abs(found.information).max(initial=1.0))
    )
    return Estimates(
        criterion="deviance without pooling",
        beta=linear.beta,
        sigma=None,
        covariances=certainty.covariances,
        effects=certainty.effects,
        log_likelihood=found.log_likelihood,
        objective=-2.0 * found.log_likelihood,
        n_parameters=int(found.groups.ranks.sum()) + len(found.c) - spare,
        certainty=certainty,
        converged=converged,
        warnings=tuple(warnings),
        notes={"constants": constants, **notes},
        dispersion=dispersion,
    )
