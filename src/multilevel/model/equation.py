"""The equation of a model with the columns' names.

    linear          y = b0 + b1·x + u0[g] + e                        u0[g] ~ N(0, sd²), e ~ N(0, sigma²)
    generalized     y ~ Poisson(mu), log(mu) = b0 + b1·x + u0[g]     one line for each linear predictor
    ordered         logit P(y ≤ k) = Intercept[k] − mu,  mu = b1·x + u0[g]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import printable

if TYPE_CHECKING:
    from ..formula.design import GroupColumns
    from .model import Model

MOST_COLUMNS = 6  # of an equation
MOST_LINES = 4  # of linear predictors
FUNCTIONS = {"identity": "{}", "inverse": "1/{}", "sqrt": "√{}", "inverse_squared": "1/{}²", "logm1": "log({} - 1)"}
NAMES = {"gaussian": "Normal"}


def equation(model: Model) -> list[str]:
    """The model as one equation, and the linear predictors and distributions of what varies."""
    return _linear(model) if model.is_linear else _generalized(model)


def _linear(model: Model) -> list[str]:
    design = model.design
    parts = [_sum("b", design.fixed_names)] if design.fixed_names else []
    parts += ["offset"] if design.offset is not None else []
    parts += [_of_group(group, first) for group, first in _places(model)]
    where = [_distribution(group, first) for group, first in _places(model)]
    where.append(_residual(model))
    return [f"{printable(design.response_name, 40)} = {' + '.join([*parts, 'e'])}", *where]


def _residual(model: Model) -> str:
    design = model.design
    if design.known_se is not None:
        return "e ~ N(0, se²), se known"
    precision = design.weights is not None and design.weights_kind == "precision"
    return "e ~ N(0, sigma²/weight)" if precision else "e ~ N(0, sigma²)"


# --- generalized models ------------------------------------------------------------------------------------------
def _generalized(model: Model) -> list[str]:
    layout = model.design.layout
    lines = [_response(model)]
    several = len(layout.locations) - MOST_LINES
    for d, name in enumerate(layout.names):
        if MOST_LINES <= d < len(layout.locations):
            continue
        if text := _predictor(model, d):
            lines.append(f"{_left(model, d, name)} = {text}")
        if d == MOST_LINES - 1 and several > 0:
            lines.append(f"… ({several} more)")
    shown = [(g, first) for g, first in _places(model) if g.predictor < MOST_LINES or several <= 0]
    return [*lines, *(_distribution(group, first) for group, first in shown)]


def _response(model: Model) -> str:
    """``y ~ Poisson(mu)``, or the cumulative probabilities of ordered categories."""
    layout, name = model.design.layout, printable(model.design.response_name, 40)
    if layout.ordered:
        return f"{model.link} P({name} ≤ k) = Intercept[k] - mu,  k = 1 … {len(layout.thresholds)}"
    if len(layout.locations) > 1:
        shown = [printable(location, 20) for location in layout.locations[:MOST_LINES]]
        more = ["…"] if len(layout.locations) > MOST_LINES else []
        return f"{name} ~ Categorical(softmax({', '.join(['0', *shown, *more])}))"
    arguments = ["trials"] if model.observations.trials is not None else []
    return f"{name} ~ {_noun(model.family)}({', '.join([*arguments, *layout.names])})"


def _noun(family: str) -> str:
    """``NegativeBinomial`` of ``negative_binomial``."""
    return NAMES.get(family) or "".join(word.capitalize() for word in family.split("_"))


def _left(model: Model, d: int, name: str) -> str:
    layout, shown = model.design.layout, printable(name, 20)
    if layout.ordered or len(layout.locations) > 1:
        return shown  # the link stands in the first line
    link = model.distribution.links[d]
    return FUNCTIONS.get(link, link + "({})").format(shown)


def _predictor(model: Model, d: int) -> str:
    """The sum of one linear predictor, or nothing for a constant or a threshold."""
    design = model.design
    mine = [
        (j, name)
        for j, name in enumerate(design.fixed_names)
        if design.fixed_predictor[j] == d and name not in design.layout.thresholds
    ]
    count = len(design.layout.thresholds)
    prefix = _prefix(model, d)
    names = [name.removeprefix(prefix) for _, name in mine]
    parts = [_sum("b", names, first=mine[0][0] - count)] if mine else []
    parts += ["offset"] if d < len(design.offsets) and design.offsets[d] is not None else []
    parts += [_of_group(g, first, prefix) for g, first in _places(model) if g.predictor == d]
    return " + ".join(parts) or ("0" if d < len(design.layout.locations) else "")


def _prefix(model: Model, d: int) -> str:
    """What names of coefficients of a predictor begin with."""
    layout = model.design.layout
    return "" if d == 0 and len(layout.locations) == 1 else f"{layout.names[d]}_"


# --- parts -------------------------------------------------------------------------------------------------------
def _places(model: Model) -> list[tuple[GroupColumns, int]]:
    """Every term with the number of its first effect."""
    groups = model.design.groups
    starts = np.cumsum([0, *(len(g.names) for g in groups)]).tolist()
    return list(zip(groups, starts, strict=False))


def _of_group(group: GroupColumns, first: int, prefix: str = "") -> str:
    names = [name.removeprefix(prefix) for name in group.names]
    return _sum("u", names, f"[{printable(group.label, 40)}]", first)


def _sum(letter: str, names: Sequence[str], index: str = "", first: int = 0) -> str:
    """``b0 + b1·Days``, cut after a few columns."""
    shown = [
        f"{letter}{first + j}{index}" + ("" if name == "Intercept" else f"·{printable(name, 40)}")
        for j, name in enumerate(names[:MOST_COLUMNS])
    ]
    more = len(names) - MOST_COLUMNS
    return " + ".join(shown) + (f" + … ({more} more)" if more > 0 else "")


def _distribution(group: GroupColumns, first: int) -> str:
    k, label = len(group.names), printable(group.label, 40)
    if k == 1:
        return f"u{first}[{label}] ~ N(0, sd²)"
    kind = {"diagonal": "uncorrelated", "compound_symmetry": "equal correlations"}.get(group.scale, "correlated")
    return f"(u{first} … u{first + k - 1})[{label}] ~ N(0, Σ {k}×{k}, {kind})"
