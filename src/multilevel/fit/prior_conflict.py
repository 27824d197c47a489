"""Whether a given prior suppresses differences between groups: what the data say alone lies beyond its upper end.

    P_prior(sd > ŝd) < 0.05,    ŝd by restricted likelihood, or from the scatter of the levels' scores

The data then ask for more variation than the prior was willing to believe, and groups are pulled together more than
they should be. A posterior under such a prior looks healthy: no diagnostic of a sampler notices.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import PriorWarning, printable

if TYPE_CHECKING:
    from ..model.model import Model
    from ..priors.terms import TermPrior

LEFT = 0.05  # of the prior's mass above the estimate
DRAWS = 4000


@dataclass(frozen=True)
class Held:
    """A standard deviation beyond its prior: address, estimate without the prior, the prior's share above that."""

    parameter: str
    sd: float
    above: float


def held_down(model: Model) -> list[Held]:
    """The standard deviations that a prior given by the user holds down."""
    given = [c.parameter for c in model.priors.chosen if c.given]
    if not any(name.startswith(("sd[", "cov[")) for name in given):
        return []
    with np.errstate(all="ignore"):
        sds, sigma = likelihood_alone(model)
    out = []
    for t, (group, prior) in enumerate(zip(model.design.groups, model.priors.terms, strict=True)):
        names = [f"sd[{group.label}, {name}]" for name in group.names]
        if prior.proper and {f"cov[{group.label}]", f"sd[{group.label}]", *names} & set(given):
            shares = zip(names, sds[t], _above(prior, sds[t], sigma), strict=True)
            out += [Held(name, float(sd), float(above)) for name, sd, above in shares if above < LEFT]
    return out


def likelihood_alone(model: Model) -> tuple[list[np.ndarray], float]:
    """Standard deviations of every term without their priors, roughly, and σ (1 where there is none)."""
    if model.is_linear:
        from ..core.collapsed import restricted

        found = restricted(model)
        return [np.sqrt(np.maximum(np.diag(c), 0.0)) for c in found.covariances], found.sigma or 1.0
    from ..core.laplace import Laplace

    criterion = Laplace(model.rows, model.distribution, model.scales)
    phi = criterion.start()
    roots = [
        to_effects @ scale.factor(phi[part])
        for to_effects, scale, part in zip(model.rows.to_effects, model.scales, criterion.slices, strict=True)
    ]
    return [np.sqrt((root**2).sum(axis=1)) for root in roots], 1.0


def _above(prior: TermPrior, sds: np.ndarray, sigma: float) -> np.ndarray:
    """P(sd > value) of each coefficient, by draws: priors of whole covariances have no formula for it."""
    draws = prior.draw(DRAWS, np.full(DRAWS, sigma), np.random.default_rng(0))
    return np.asarray((np.broadcast_to(draws, (DRAWS, len(sds))) > sds).mean(axis=0))


def prior_warnings(model: Model) -> tuple[PriorWarning, ...]:
    """What is to be said about given priors before draws are made."""
    return tuple(
        PriorWarning(
            f"the prior of {printable(held.parameter, 60)} is narrow: the data alone put it near {held.sd:.3g}, and "
            f"the prior has {100.0 * held.above:.2g}% above that",
            hint="Groups are pulled together more than the data say; widen it, unless you know better.",
            parameter=held.parameter,
        )
        for held in held_down(model)
    )
