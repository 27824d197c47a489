"""The parameters of a model by name, and their values at any state of its criterion.

    fixed effects, standard deviations of the groups, σ or the family's constants, correlations

One order and one set of names for profile, bootstrap and their tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..core.likelihood import Likelihood, State
from ..fit.estimates import Estimates, correlation_pairs
from ..glossary import RESIDUAL, SIGMA

if TYPE_CHECKING:
    from ..model.model import Model

FIXED, SD, CORRELATION = "fixed", "sd", "correlation"


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Parameters
    ----------
    kind : {"fixed", "sd", "sigma", "correlation"}, or the name of a constant ("shape", "zi")
    group : str
        Grouping factor; empty for fixed effects, ``"Residual"`` for σ and constants.
    term : str
        Coefficient; for a correlation the first of the two.
    other : str
        The second coefficient of a correlation.
    place : tuple of int
        Where it stands: column; (term, coefficient); (term, later, earlier coefficient).
    """

    kind: str
    group: str
    term: str
    other: str = ""
    place: tuple[int, ...] = ()

    @property
    def constant(self) -> bool:
        """Whether it is a constant of a generalized model's family; its place is that in `LatentRows.constants`."""
        return self.group == RESIDUAL and bool(self.place)

    @property
    def label(self) -> str:
        """``Days``, ``sd(Days | Subject)``, ``sigma``, ``cor(Intercept, Days | Subject)``."""
        if self.kind == SD:
            return f"sd({self.term} | {self.group})"
        if self.kind == CORRELATION:
            return f"cor({self.term}, {self.other} | {self.group})"
        return self.term if self.kind == FIXED else self.kind

    @property
    def terms(self) -> str:
        """What tables show as its term: ``Days``, or ``Intercept, Days`` for a correlation."""
        return f"{self.term}, {self.other}" if self.other else self.term


def parameters(model: Model) -> tuple[Parameter, ...]:
    """All parameters in the order of the tables: fixed effects, standard deviations by group, σ, correlations."""
    design = model.design
    found = [Parameter(FIXED, "", name, place=(j,)) for j, name in enumerate(design.fixed_names)]
    terms = _by_label(model)
    for t in terms:
        group = design.groups[t]
        found += [Parameter(SD, group.label, name, place=(t, i)) for i, name in enumerate(group.names)]
    if not model.is_linear:
        found += [Parameter(name, RESIDUAL, "", place=(i,)) for i, (name, _, _) in enumerate(model.rows.constants)]
    elif design.known_se is None:
        found.append(Parameter(SIGMA, RESIDUAL, ""))
    for t in terms:
        group = design.groups[t]
        if len(group.names) > 1 and group.scale != "diagonal":
            for i, j in correlation_pairs(len(group.names)):
                found.append(Parameter(CORRELATION, group.label, group.names[j], group.names[i], (t, i, j)))
    return tuple(found)


def _by_label(model: Model) -> list[int]:
    """Terms with those of one grouping factor together."""
    labels = list(model.groups)
    groups = model.design.groups
    return sorted(range(len(groups)), key=lambda t: labels.index(groups[t].label))


def values(model: Model, likelihood: Likelihood, state: State, names: tuple[Parameter, ...]) -> np.ndarray:
    """The parameters' values at a state of the criterion, in the units of the data."""
    products = likelihood.products
    assert state.solution is not None
    unit = products.y_shift.scale
    beta = products.beta_origin + unit * (products.to_beta @ state.solution.beta)
    beta[[j for j, _ in products.dropped]] = np.nan
    covariances = []
    for t, scale in enumerate(likelihood.scales):
        lam = products.to_effects[t] @ scale.factor(state.theta[likelihood.slices[t]])
        covariances.append(lam @ lam.T)
    return _listed(names, beta, float(np.sqrt(state.sigma2)) * unit, covariances)


def estimated(estimates: Estimates, names: tuple[Parameter, ...]) -> np.ndarray:
    """The parameters' values in any estimates."""
    return _listed(names, estimates.beta, 1.0, estimates.covariances, estimates.sigma, estimates.dispersion)


def _listed(
    names: tuple[Parameter, ...],
    beta: np.ndarray,
    unit: float,
    covariances: list[np.ndarray] | tuple[np.ndarray, ...],
    sigma: float | None = None,
    dispersion: Mapping[str, float] | None = None,
) -> np.ndarray:
    """Values in order; `covariances` are in units of unit²."""
    out = np.empty(len(names))
    for place, name in enumerate(names):
        if name.constant:
            out[place] = (dispersion or {}).get(name.kind, np.nan)
        elif name.kind == FIXED:
            out[place] = beta[name.place[0]]
        elif name.kind == SD:
            t, i = name.place
            out[place] = unit * np.sqrt(max(covariances[t][i, i], 0.0))
        elif name.kind == CORRELATION:
            t, i, j = name.place
            size = np.sqrt(covariances[t][i, i] * covariances[t][j, j])
            out[place] = min(max(covariances[t][i, j] / size, -1.0), 1.0) if size > 0.0 else np.nan
        else:
            out[place] = unit if sigma is None else sigma
    return out
