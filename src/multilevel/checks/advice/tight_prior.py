"""A given prior that suppresses heterogeneity: the data alone put a standard deviation beyond its prior's upper end.

A hyperprior that is too narrow makes groups look alike, and no diagnostic of a sampler notices. See
`fit/prior_conflict.py` for the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...fit.prior_conflict import Held, held_down
from ..base import Finding, quote
from .base import Advice

if TYPE_CHECKING:
    from ...model.model import Model

CODE = "N_TIGHT_PRIOR"


@dataclass(frozen=True)
class TightPrior(Advice):
    """Silent where no prior was given."""

    def before(self, model: Model) -> list[Finding]:
        if not (model.priors_given and model.groups):
            return []
        held = held_down(model)
        if not held:
            return [Finding(CODE, "ok", "priors leave room", "no standard deviation is held down by its prior.")]
        return [_finding(h) for h in held]


def _finding(held: Held) -> Finding:
    text = (
        f"the data alone put {quote(held.parameter)} near {held.sd:.3g}, and its prior has "
        f"{100.0 * held.above:.2g}% of its mass above that."
    )
    remedy = "Widen the prior: groups are pulled together more than the data say."
    values = {"parameter": held.parameter, "sd": held.sd, "above": held.above}
    return Finding(CODE, "caution", f"a prior holds {quote(held.parameter)} down", text, remedy, values)


MEMBER = TightPrior()
