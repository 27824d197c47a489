"""What ML and REML share: build the criterion, minimise it, read off the estimates."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..core.fused import minimise_likelihood
from ..core.laplace import Laplace
from ..core.likelihood import Likelihood, State
from ..errors import ConvergenceError, SettingError
from ..fit.estimates import Estimates
from ..fit.mixed import MixedCertainty
from ..model.model import Model
from ..numerics.newton import Progress

Start = Sequence[float] | None
EXPLAINED = 1e-4  # residual standard deviation over the response's spread, below which cross-products run out of digits


def maximise(model: Model, reml: bool, maxiter: int, start: Start) -> Estimates:
    """Estimates at the maximum of the (restricted) likelihood.

    Raises
    ------
    ConvergenceError
        When the gradient does not vanish within `maxiter` iterations; `.partial` holds what was reached.
    """
    products = model.products
    sigma2 = None if model.design.known_se is None else 1.0 / products.y_shift.scale**2
    likelihood = Likelihood(products, model.scales, reml, sigma2)
    first = likelihood.start() if start is None else internal_theta(model, likelihood, start)
    if likelihood.n_theta:
        from .progress import ticker

        with ticker("REML" if reml else "ML") as tick, np.errstate(all="ignore"):
            try:
                state, progress = minimise_likelihood(likelihood, first, maxiter, tick)
            except np.linalg.LinAlgError:  # the search left what numbers can hold
                state, progress = likelihood.evaluate(first), Progress()
    else:
        state, progress = likelihood.evaluate(first), Progress(converged=True, decrement=0.0, scaled_gradient=0.0)
    estimates = _estimates(model, likelihood, state, progress)
    if not progress.converged:
        raise _not_converged(model, estimates, progress)
    return estimates


def internal_theta(model: Model, criterion: Likelihood | Laplace, start: Sequence[float]) -> np.ndarray:
    """θ given for the columns as they are, moved to centred and scaled ones."""
    given = np.asarray(start, dtype=float)
    if given.shape != (criterion.n_theta,):
        relative = "relative " if model.is_linear else ""
        raise SettingError(
            f"start holds {given.size} numbers and the model has {criterion.n_theta} {relative}covariance parameters",
            hint="Give them term by term, lower triangles column by column.",
        )
    to_effects = model.products.to_effects if isinstance(criterion, Likelihood) else criterion.rows.to_effects
    out = np.empty(criterion.n_theta)
    for t, (scale, part) in enumerate(zip(model.scales, criterion.slices, strict=True)):
        lam = np.linalg.solve(to_effects[t], scale.factor(given[part]))
        out[part] = scale.from_covariance(lam @ lam.T)
    return out


def _estimates(model: Model, likelihood: Likelihood, state: State, progress: Progress) -> Estimates:
    products = model.products
    unit = products.y_shift.scale
    assert state.solution is not None
    beta = products.beta_origin + unit * (products.to_beta @ state.solution.beta)
    beta[[j for j, _ in products.dropped]] = np.nan
    u = likelihood.elimination.by_factor(state.solution.u)
    covariances: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    effects: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    sds: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    for f, factor in enumerate(products.factors):
        for t, a, b in factor.terms:
            lam = products.to_effects[t] @ state.lam[f][a:b, a:b]
            sds[t] = float(np.sqrt(state.sigma2)) * unit * np.sqrt((lam**2).sum(axis=1))
            covariances[t] = state.sigma2 * unit**2 * (lam @ lam.T)
            effects[t] = unit * (u[f][:, a:b] @ lam.T)
    value = likelihood.external_value(state.value)
    known = likelihood.known_sigma2 is not None
    return Estimates(
        criterion="REML criterion" if likelihood.reml else "deviance",
        beta=beta,
        sigma=None if known else float(np.sqrt(state.sigma2)) * unit,
        covariances=tuple(covariances),
        effects=tuple(effects),
        log_likelihood=-0.5 * value,
        objective=value,
        n_parameters=products.p + likelihood.n_theta + int(not known),
        certainty=MixedCertainty(likelihood, state, progress.zeros),
        converged=progress.converged and progress.definite,
        boundary=_boundary(model, likelihood, state, progress),
        iterations=progress.iterations,
        evaluations=likelihood.evaluations,
        scaled_gradient=progress.scaled_gradient,
        notes={  # where a saved fit finds the optimum again
            "theta": state.theta.tolist(),
            "zeros": sorted(progress.zeros),
            "reml": likelihood.reml,
            "sds": [s.tolist() for s in sds],
            "centred": _centred(model, state),
        },
    )


def _centred(model: Model, state: State) -> dict[str, object] | None:
    """The fit at the columns' pilot centres: {value, at, intercept}; None where columns were not centred."""
    products = model.products
    if products.centres is None:
        return None
    assert state.solution is not None
    intercept = [column is None for column in model.design.fixed_columns]
    value = products.y_shift.centre + products.y_shift.scale * float(state.solution.beta[intercept.index(True)])
    return {"value": value, "at": list(products.centres), "intercept": intercept}


def _boundary(model: Model, likelihood: Likelihood, state: State, progress: Progress) -> tuple[str, ...]:
    """Labels of the terms whose covariance lost a rank."""
    labels = []
    for t, part in enumerate(likelihood.slices):
        if any(part.start <= j < part.stop for j in progress.zeros) or _nearly_singular(model, t, state.theta[part]):
            labels.append(model.design.groups[t].label)
    return tuple(dict.fromkeys(labels))


def _nearly_singular(model: Model, t: int, theta: np.ndarray) -> bool:
    """A compound-symmetric correlation at an end of its interval (zeros are known exactly)."""
    scale = model.scales[t]
    for kind, value in zip(scale.kinds(), theta, strict=True):
        if kind == "bounded":
            low, high = scale.bounds()
            if min(value - low, high - value) < 1e-6 * (high - low):
                return True
    return False


def _not_converged(model: Model, estimates: Estimates, progress: Progress) -> ConvergenceError:
    hint = "Raise maxiter, rescale predictors, or simplify the group terms; error.partial holds what was reached."
    explained = estimates.sigma is not None and estimates.sigma < EXPLAINED * model.products.y_shift.scale
    if explained or not np.isfinite(progress.scaled_gradient):
        hint = "Predictors and groups explain the response up to rounding: is it computed from them?"
    return ConvergenceError(
        f"not converged after {progress.iterations} iterations: the scaled gradient is {progress.scaled_gradient:.2g} "
        f"(below 1e-4 is needed)",
        hint=hint,
        partial=estimates,
        iterations=progress.iterations,
        gradient=progress.scaled_gradient,
    )
