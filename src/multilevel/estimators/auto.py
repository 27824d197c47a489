"""The posterior by whatever serves the model best: ``model.fit("auto")``.

    linear models                       "collapsed": importance sampling, or NUTS where its k̂ or the dimension says so
    others, few parameters              nested Laplace with its check: exact draws where k̂ is below 0.7
    where that check fails, and beyond  "nuts"; at once for horseshoe and R2-D2 priors, and where its density is
                                        compiled unless one factor's rows are many

All three draw from the same posterior; `fit.sample.info["sampler"]` says which did.

Reference: `docs/bayes.md`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..fit.sample import Sample
from .bayesian import Bayesian
from .collapsed import MOST_COORDINATES, Collapsed, coordinates_of
from .nested_laplace import NestedLaplace
from .nuts import Nuts

if TYPE_CHECKING:
    from ..model.model import Model

MANY_ROWS = 30_000  # beyond which hundreds of integrals cost less than gradients of ten thousand trajectories
WORTH = 0.25  # seconds of one evaluation beyond which a first try by integrals costs more than chains


@dataclass(frozen=True)
class Auto(Bayesian):
    """Settings: those of every Bayesian estimator."""

    def late(self, model: Model) -> bool:
        from ..core.marginal import many_levels

        return not model.is_linear and many_levels(model) and coordinates_of(model) <= MOST_COORDINATES

    def sample(self, model: Model) -> Sample:
        settings: dict[str, Any] = {
            "draws": self.draws, "tune": self.tune, "chains": self.chains, "seed": self.seed,
        }  # fmt: skip
        from ..core.joint import JointPosterior
        from ..core.joint_shrinkage import shrinks

        if model.is_linear:
            return Collapsed(**settings).sample(model)
        chains = Nuts(**settings)
        if not shrinks(model) and not _quick(model):
            joint = JointPosterior(model)
            if joint.compiled is not None:
                return chains.joint(model, joint)
        if _few(model) and not shrinks(model):
            found = NestedLaplace(**settings).sample(model)
            if found.info["exact"]:
                return found
            refused = f"; integrals were tried first: k-hat {found.info['khat']:.2f}"
        else:
            refused = ""
        found = chains.sample(model)
        return replace(found, info={**found.info, "sampler": found.info["sampler"] + refused})


def _quick(model: Model) -> bool:
    """Whether integrals are the better first try even where chains are compiled.

    A marginal density with a kernel, on so many rows that its hundreds of evaluations cost less than the
    hundred thousand gradients of chains; or nothing to integrate out.
    """
    from ..core.marginal import marginal_posterior
    from ..core.one_factor import OneFactorLaplace

    target = marginal_posterior(model)
    if target.exact or not model.scales:
        return True
    return isinstance(target.criterion, OneFactorLaplace) and model.rows.n > MANY_ROWS


def _few(model: Model) -> bool:
    """Whether so few parameters are left that integrals over them are cheap."""
    from ..core.marginal import marginal_posterior

    target = marginal_posterior(model)
    return target.d <= MOST_COORDINATES and (target.exact or target.seconds < WORTH)


MEMBER = Auto
