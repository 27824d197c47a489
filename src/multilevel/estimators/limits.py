"""Estimates that lie at infinity: the limit of the likelihood along a direction that separates the rows.

    β̂ = β₀ + t d,  t → ∞:    rows that d makes certain contribute log 1 = 0, the others determine what is left of β₀

So the coefficients with d_j ≠ 0 are ±∞, all others, the variances of the groups among them, are those of the rows
that stay uncertain, and the log-likelihood is its supremum.

Reference: Geyer (2009), *Likelihood inference in exponential families and directions of recession*, EJS 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..core.laplace import Laplace
from ..core.laplace_objective import ConstantAtLimit
from ..data.latent_rows import held as held_rows
from ..errors import IdentifiabilityError, IdentifiabilityWarning, SeparationWarning, listed, printable
from ..fit.estimates import Estimates
from ..fit.generalized import GeneralizedCertainty
from ..model.limit import limited
from ..model.model import Model
from ..model.separation import Separation, separation

Make = Callable[[Model], Laplace]


def in_the_limit(model: Model, make: Make, maximise: Callable[[Model, Laplace], Estimates]) -> Estimates:
    """Estimates of a model, with infinite coefficients where the rows are separated.

    Parameters
    ----------
    make : the criterion of a model
    maximise : the estimates at its maximum; asked for the rows in the limit where there is separation

    Raises
    ------
    IdentifiabilityError
        E_SEPARATION, when the model was made with ``separation="raise"``.
    """
    criterion = make(model)
    limit, found = at_infinity(model, criterion)
    if found is None:
        return _constants_in_the_limit(model, make, maximise, criterion)
    if model.separation == "raise":
        raise IdentifiabilityError(_message(model, found), code="E_SEPARATION", hint=HINT)
    criterion = make(limit)
    left = _nothing(model, criterion) if found.complete else maximise(limit, criterion)
    phi = left.notes["phi"]
    finite = np.zeros(len(left.beta)) if phi is None else criterion.rows.to_beta @ np.array(phi)[criterion.n_theta :]
    return _infinite(model, left, found, finite)


def _constants_in_the_limit(
    model: Model, make: Make, maximise: Callable[[Model, Laplace], Estimates], criterion: Laplace
) -> Estimates:
    """Estimates, with constants of the family held at their limit where the likelihood rises towards it."""
    limits: dict[str, tuple[float, float]] = {}
    held = model
    while True:
        try:
            found = maximise(held, criterion)
            break
        except ConstantAtLimit as limit:
            limits[limit.name] = limit.sign, limit.value
            held = with_constants(held, {limit.name: limit.value})
            criterion = make(held)
    if not limits:
        return found
    family = model.distribution.family
    names = [name for name, _, _ in model.rows.constants]
    links = {name: model.distribution.links[d] for name, d, _ in model.rows.constants}
    values: dict[str, float] = {}
    for name in names:
        if name in limits:
            values.update(family.natural(name, limits[name][0] * np.inf, links[name]))
    notes = {
        **found.notes,
        "held": {name: value for name, (_, value) in limits.items()},
        "constants": {**found.notes["constants"], **{name: value for name, (_, value) in limits.items()}},
    }
    warned = tuple(
        IdentifiabilityWarning(
            f'"{name}" of the family "{model.family}" is at its limit ({values.get(name, np.nan):g}): the likelihood '
            "only rises towards it",
            code="W_PARAMETER_LIMIT",
            hint=f"The rows show nothing that needs {name}: use the simpler family without it.",
        )
        for name in limits
    )
    return replace(
        found,
        dispersion={**found.dispersion, **values},
        n_parameters=found.n_parameters + len(limits),
        warnings=(*found.warnings, *warned),
        notes=notes,
    )


def criterion_again(make: Make, model: Model, notes: Mapping[str, Any]) -> Laplace:
    """The criterion at whose optimum a fit stopped: in the limit that its notes tell of, if they do."""
    if notes.get("separation"):
        return make(at_infinity(model, make(model))[0])
    return make(with_constants(model, notes["held"]) if notes.get("held") else model)


def with_constants(model: Model, values: Mapping[str, float]) -> Model:
    """The model with constants of its family held at values, on their links' scales."""
    rows = model.rows
    for name, value in values.items():
        rows = held_rows(rows, name, value)
    out = model.with_design(model.design)
    out.__dict__["rows"] = rows
    return out


def at_infinity(model: Model, criterion: Laplace) -> tuple[Model, Separation | None]:
    """The model of the rows that stay uncertain, and what separates; the same model where nothing does."""
    found = separation(criterion.rows, criterion.distribution, criterion.at_start)
    if found is None:
        return model, None
    out = model.with_design(model.design)
    out.__dict__["rows"] = limited(criterion.rows, found)
    return out, found


def _infinite(model: Model, left: Estimates, found: Separation, finite: np.ndarray) -> Estimates:
    """The estimates with infinite coefficients in their places, and what predictions need to know of them."""
    beta = np.where(found.signs == 0.0, left.beta, found.signs * np.inf)
    direction = model.rows.to_beta @ found.direction
    notes = {**left.notes, "separation": {"finite": finite.tolist(), "direction": direction.tolist()}}
    return replace(
        left,
        beta=beta,
        n_parameters=left.n_parameters + found.free.shape[1],
        warnings=(*left.warnings, SeparationWarning(_message(model, found), hint=HINT, terms=_names(model, found))),
        notes=notes,
    )


def _nothing(model: Model, criterion: Laplace) -> Estimates:
    """Complete separation: every row is certain in the limit, and says nothing about the variances."""
    alone = Laplace(replace(criterion.rows, factors=(), latent=()), criterion.distribution, ())
    state = alone.evaluate(np.zeros(alone.n_coefficients))
    sizes = tuple((len(g.levels), len(g.names)) for g in model.design.groups)
    unknown = tuple(np.full((k, k), np.nan) for _, k in sizes)
    return Estimates(
        criterion="deviance",
        beta=criterion.rows.to_beta @ state.theta,
        sigma=None,
        covariances=unknown,
        effects=tuple(np.zeros(size) for size in sizes),
        log_likelihood=-0.5 * state.value,
        objective=state.value,
        n_parameters=criterion.n_theta + criterion.n_coefficients,
        certainty=GeneralizedCertainty(alone, state, set(), sizes),
        notes={"method": "limit of the likelihood", "phi": None, "constants": {}},
    )


HINT = (
    "The data hold no upper bound for it: pool its categories or drop it, or give it a prior (a penalised or Bayesian "
    "fit). Likelihood-ratio tests of the term stay valid."
)


def _names(model: Model, found: Separation) -> list[str]:
    """Coefficients that are infinite, slopes before intercepts."""
    names = [n for n, s in zip(model.design.fixed_names, found.signs, strict=True) if s != 0.0]
    return sorted(names, key=lambda name: "Intercept" in name)


def _message(model: Model, found: Separation) -> str:
    names = _names(model, found)
    shown = listed((f'"{printable(name, 40)}"' for name in names), 4)
    n = int(found.rows.sum()) if len(model.rows.offsets) == model.design.n else 0
    kind = "complete" if found.complete else "quasi-complete"
    which = f" of {n} of {model.design.n} rows" if n and not found.complete else ""
    verb = "its coefficient is infinite" if len(names) == 1 else "their coefficients are infinite"
    return f"{kind} separation{which} by {shown}: {verb} (reported as ±inf)"
