"""One draw of a posterior as a fit of its own: what is computed from estimates can be computed from every draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from .posterior import Posterior, posterior

if TYPE_CHECKING:
    from ..fit.fit import Fit

NOTHING: Any = SimpleNamespace(sample=None, sensitivity=None, hessian=None)  # a draw is certain of itself


def single(draws: Posterior, s: int) -> Fit:
    """Draw `s` in the place of estimates."""
    fit = draws.fit
    names = fit.model.design.layout.names
    if len(names) != len(fit.model.distribution.links):
        names = ("mu", *(p.name for p in fit.model.distribution.family.further))
    constants = {names[d]: float(values[s]) for d, values in draws.constants.items()}
    sigma = None if fit.sigma is None else float(np.exp(constants["sigma"]))
    estimates = replace(
        fit.estimates,
        beta=draws.beta[s],
        sigma=sigma,
        covariances=tuple(c[s] for c in draws.covariances),
        effects=tuple(b[s] for b in draws.effects),
        certainty=NOTHING,
        notes={} if fit.model.is_linear else {"constants": constants},
        dispersion={},
    )
    return type(fit)(fit.model, fit.estimator, estimates, 0.0, (), fit.level)


def over_draws(fit: Fit, f: Callable[[Fit], np.ndarray], most: int) -> np.ndarray:
    """f of at most so many draws of a sampled fit, spread over all chains: (draws, …)."""
    draws = posterior(fit).thinned(most)
    return np.stack([np.asarray(f(single(draws, s)), dtype=float) for s in range(len(draws))])
