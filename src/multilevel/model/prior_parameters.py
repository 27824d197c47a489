"""The parameters of a model that have priors, with the addresses by which users reach them.

sd[g, x]   sd[g]   sd             standard deviations of group terms
cor[g]   cor                      their correlations;   cov[g]   cov   the whole covariance
beta[x]   beta                    slopes (beta: those of the main formula; zi_beta: those of a further predictor)
Intercept   zi_Intercept   Intercept[k]      intercepts and thresholds at the predictors' means
beta[Intercept]                   the coefficient itself, predictors at zero
sigma   shape   phi   nu   zi   hu           constants of the family
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from .prior_sets.base import Parameter

if TYPE_CHECKING:
    from ..formula.design import GroupColumns
    from .model import Model


def parameters(model: Model) -> tuple[Parameter, ...]:
    """All of them, in the order in which they are printed."""
    return (*_coefficients(model), *_terms(model), *_constants(model))


def intercepts(model: Model) -> list[tuple[int, np.ndarray]]:
    """Each intercept (or threshold) with the combination of β that is its value at the predictors' means."""
    design = model.design
    owner = _owners(model)
    means = np.array([1.0 if column is None else float(np.mean(column)) for column in design.fixed_columns])
    varies = np.array([column is not None for column in design.fixed_columns], dtype=bool)
    varies[[j for j, _ in model.dropped]] = False
    out = []
    for j in np.flatnonzero([column is None for column in design.fixed_columns]):
        threshold = _is_threshold(model, int(j))
        slopes = varies & ((owner == 0) if threshold else (owner == owner[j]))
        direction = np.zeros(len(means))
        direction[slopes] = -means[slopes] if threshold else means[slopes]
        direction[j] = 1.0
        out.append((int(j), direction))
    return out


def _owners(model: Model) -> np.ndarray:
    design = model.design
    return design.fixed_predictor if len(design.fixed_predictor) else np.zeros(len(design.fixed_names), np.int64)


def _is_threshold(model: Model, j: int) -> bool:
    return model.design.fixed_names[j] in model.design.layout.thresholds


def _coefficients(model: Model) -> Iterator[Parameter]:
    design = model.design
    owner, names = _owners(model), design.layout.names
    directions = dict(intercepts(model))
    gone = {j for j, _ in model.dropped}
    for j, name in enumerate(design.fixed_names):
        if j in gone:
            continue
        predictor = names[owner[j]]
        location = bool(owner[j] < len(design.layout.locations)) or _is_threshold(model, j)
        column = design.fixed_columns[j]
        if column is None:
            wider = ("Intercept",) if location and name != "Intercept" else ()
            yield Parameter(name, "Intercept", wider, predictor, location, place=j, direction=directions[j])
        else:
            wide = "beta" if location else f"{predictor}_beta"
            yield Parameter(f"beta[{name}]", "beta", (wide,), predictor, location, place=j, column=column)


def _terms(model: Model) -> Iterator[Parameter]:
    layout = model.design.layout
    for t, (group, scale) in enumerate(zip(model.design.groups, model.scales, strict=True)):
        predictor, location = layout.names[group.predictor], group.predictor < len(layout.locations)
        k, one = len(group.names), bool(getattr(scale, "hom", False))
        label = group.label
        for place, name in enumerate(group.names[:1] if one else group.names):
            address = f"sd[{label}]" if one else f"sd[{label}, {name}]"
            wider = ("sd",) if one else (f"sd[{label}]", "sd")
            yield Parameter(address, "sd", wider, predictor, location, t, place, group.columns[place])
        if k > 1 and _correlated(group):
            yield Parameter(f"cor[{label}]", "cor", ("cor",), predictor, location, t)
        yield Parameter(f"cov[{label}]", "cov", ("cov",), predictor, location, t)


def _correlated(group: GroupColumns) -> bool:
    return group.scale != "diagonal"


def _constants(model: Model) -> Iterator[Parameter]:
    """Parameters of the family without a formula."""
    design = model.design
    if model.is_linear:
        if design.known_se is None:
            yield Parameter("sigma", "constant")
        return
    described = {part.name for part in model.formula.further}
    for name in design.layout.parameters:
        if name not in described and name not in design.layout.thresholds:
            yield Parameter(name, "constant", predictor=name, location=False)
