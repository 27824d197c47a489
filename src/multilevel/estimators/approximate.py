"""What estimators of generalized models share: minimise an approximate deviance, read off the estimates."""

from __future__ import annotations

import contextlib
from dataclasses import replace

import numpy as np

from ..core.curvature import Curvature
from ..core.laplace import Laplace, LaplaceState
from ..core.laplace_objective import LaplaceObjective
from ..errors import ConvergenceError
from ..fit.estimates import Estimates
from ..fit.generalized import GeneralizedCertainty
from ..model.model import Model
from ..numerics.newton import CONVERGED, Progress, minimise, scaled_gradient
from ..numerics.threads import threads_for
from .limits import in_the_limit
from .maximise import Start, _nearly_singular, internal_theta

TOLERANCE = 1e-11  # Newton decrement of the search; one step with the exact Hessian follows
THREADED, LARGE_TAIL = 0.005, 6000  # seconds from which BLAS threads matter; crossed levels from which two are worth it
SEARCHED = 60  # iterations that a compiled search may take
COARSE, DEAR = 1e-7, 0.05  # the same where a factorisation takes longer than so many seconds


def maximise_approximation(
    model: Model, criterion: Laplace, method: str, maxiter: int, start: Start, first: np.ndarray | None = None
) -> Estimates:
    """Estimates at the maximum of an approximate likelihood.

    Parameters
    ----------
    criterion : anything that evaluates like `core.laplace.Laplace`
    method : what the summary calls it
    first : φ to start from, internal; otherwise the criterion's own start

    Raises
    ------
    ConvergenceError
        When the gradient does not vanish within `maxiter` iterations; `.partial` holds what was reached.
    """
    phi = criterion.start() if first is None else first.copy()
    if start is not None:
        phi[: criterion.n_theta] = internal_theta(model, criterion, start)
    tail = criterion.latent.pattern.nt if criterion.seconds > THREADED else 0
    with threads_for(tail if tail >= LARGE_TAIL else 0) if tail else contextlib.nullcontext():
        return _maximised(model, criterion, method, maxiter, phi)


def _maximised(model: Model, criterion: Laplace, method: str, maxiter: int, phi: np.ndarray) -> Estimates:
    """The search from φ, the observed information at its end, and the estimates there."""
    from .progress import ticker

    objective = LaplaceObjective(criterion)
    tolerance = COARSE if criterion.seconds > DEAR else TOLERANCE
    phi, hessian, steps = criterion.search(phi, tolerance) if maxiter >= SEARCHED else (phi, None, 0)
    if hessian is not None:
        state, progress = criterion.evaluate(phi), Progress(iterations=steps, converged=True)
    else:
        with ticker(method) as tick:
            state, progress = minimise(objective, phi, maxiter, tick, polish=False, tolerance=tolerance)
    if state.mode is None:
        raise _nowhere(model)
    curvature = Curvature(criterion, state, progress.zeros, objective)
    if hessian is not None:
        curvature.__dict__["hessian"] = hessian
        progress.scaled_gradient = scaled_gradient(curvature.here, hessian)
        progress.converged = progress.scaled_gradient < CONVERGED
    if maxiter >= SEARCHED and not (progress.converged and curvature.definite):  # a saddle, or a flat valley
        state, again = minimise(_plain(criterion), state.theta, maxiter)
        progress = replace(again, iterations=progress.iterations + again.iterations)
        curvature = Curvature(criterion, state, progress.zeros)
    curvature = curvature.polished() if progress.converged else curvature
    progress.definite = not progress.converged or curvature.definite
    estimates = read_off(model, curvature, progress, method)
    if not progress.converged:
        raise _not_converged(estimates, progress)
    return estimates


def _plain(criterion: Laplace) -> LaplaceObjective:
    """The objective without corrections from the steps: exact Hessians take their place where steps are slow."""
    out = LaplaceObjective(criterion)
    out.learns = False
    return out


def read_off(model: Model, curvature: Curvature, progress: Progress, method: str) -> Estimates:
    """The estimates at an optimum, in the units of the data."""
    criterion, state = curvature.criterion, curvature.state
    rows = criterion.rows
    assert state.mode is not None
    c = state.theta[criterion.n_theta :]
    beta = rows.to_beta @ c
    beta[[j for j, _ in rows.dropped]] = np.nan
    u = criterion.by_factor(state.mode.u)
    covariances: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    effects: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    sds: list[np.ndarray] = [np.zeros(0)] * len(model.scales)
    for f, factor in enumerate(rows.factors):
        for t, a, b in factor.terms:
            lam = rows.to_effects[t] @ state.lam[f][a:b, a:b]
            sds[t] = np.sqrt((lam**2).sum(axis=1))
            covariances[t] = lam @ lam.T
            effects[t] = u[f][:, a:b] @ lam.T
    return Estimates(
        criterion="deviance",
        beta=beta,
        sigma=None,
        covariances=tuple(covariances),
        effects=tuple(effects),
        log_likelihood=-0.5 * state.value,
        objective=state.value,
        n_parameters=criterion.n_theta + criterion.n_coefficients,
        certainty=GeneralizedCertainty(criterion, state, progress.zeros, curvature=curvature),
        converged=progress.converged and progress.definite,
        boundary=_boundary(model, criterion, state, progress),
        iterations=progress.iterations,
        evaluations=criterion.evaluations,
        scaled_gradient=progress.scaled_gradient,
        notes={
            "method": method,
            "phi": state.theta.tolist(),
            "zeros": sorted(int(j) for j in progress.zeros),
            "sds": [s.tolist() for s in sds],
            "constants": {name: float(c[place]) for name, _, place in rows.constants},
        },
        dispersion=natural(criterion, c),
    )


def without_groups(model: Model) -> Estimates:
    """Complete pooling: the generalized linear model of the fixed part, with all group effects zero."""
    alone = model.with_design(replace(model.design, groups=()))
    with np.errstate(all="ignore"):
        found = in_the_limit(alone, _no_groups, _regression)
    sizes = tuple((len(g.levels), len(g.names)) for g in model.design.groups)
    assert isinstance(found.certainty, GeneralizedCertainty)
    return replace(
        found,
        effects=tuple(np.zeros(size) for size in sizes),
        covariances=tuple(np.zeros((k, k)) for _, k in sizes),
        certainty=GeneralizedCertainty(found.certainty.criterion, found.certainty.state, set(), sizes),
        notes={**found.notes, "phi": None, "sds": [np.zeros(k).tolist() for _, k in sizes]},
    )


def _no_groups(model: Model) -> Laplace:
    return Laplace(model.rows, model.distribution, ())


def _regression(model: Model, criterion: Laplace) -> Estimates:
    return maximise_approximation(model, criterion, "maximum likelihood", 200, None)


def natural(criterion: Laplace, c: np.ndarray) -> dict[str, float]:
    """Dispersion parameters on their natural scale."""
    out: dict[str, float] = {}
    for name, predictor, place in criterion.rows.constants:
        distribution = criterion.distribution
        out.update(distribution.family.natural(name, float(c[place]), distribution.links[predictor]))
    return out


def _boundary(model: Model, criterion: Laplace, state: LaplaceState, progress: Progress) -> tuple[str, ...]:
    labels = []
    for t, part in enumerate(criterion.slices):
        at_zero = any(part.start <= j < part.stop for j in progress.zeros)
        if at_zero or _nearly_singular(model, t, state.theta[part]):
            labels.append(model.design.groups[t].label)
    return tuple(dict.fromkeys(labels))


def _nowhere(model: Model) -> ConvergenceError:
    return ConvergenceError(
        "the likelihood is not finite at the start: no parameters were reached",
        hint=f'The link "{model.link}" may not suit the data; try the default link, or rescale predictors and offsets.',
    )


def _not_converged(estimates: Estimates, progress: Progress) -> ConvergenceError:
    return ConvergenceError(
        f"not converged after {progress.iterations} iterations: the scaled gradient is {progress.scaled_gradient:.2g} "
        f"(below 1e-4 is needed)",
        hint="Raise maxiter, rescale predictors, or simplify the group terms; error.partial holds what was reached.",
        partial=estimates,
        iterations=progress.iterations,
        gradient=progress.scaled_gradient,
    )
